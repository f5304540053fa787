/* core/result.c — error codes as phrases, and results on their way up.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <stdio.h>
#include <string.h>

const char *wsgi_strerror(int error)
{
    switch (error) {
    case WSGI_OK:
        return "success";
    case WSGI_E_AGAIN:
        return "nothing to do yet";
    case WSGI_E_INVALID:
        return "invalid value";
    case WSGI_E_NOMEM:
        return "out of memory";
    case WSGI_E_REFUSED:
        return "no worker took the request";
    case WSGI_E_DECLINED:
        return "the request was handed back before it began";
    case WSGI_E_FATAL:
        return "unusable after an earlier error";
    case WSGI_E_GONE:
        return "the client has gone";
    case WSGI_E_TIMEOUT:
        return "timed out";
    case WSGI_E_PROTOCOL:
        return "the peer broke the rules of the wire";
    case WSGI_E_TOO_LARGE:
        return "over a size limit";
    case WSGI_E_DIED:
        return "the worker ended while it had the request";
    case WSGI_E_IO:
        return "input or output failed";
    case WSGI_E_SHORT:
        return "the request body ended before its announced length";
    default:
        return error > 0 ? "success" : "unknown error";
    }
}

int wsgi_fail(wsgi_result_t *result, int code, const char *fmt, ...)
{
    if (result == NULL) {
        return code;
    }
    /* Not straight into detail: an outer layer may quote the detail it is about to replace. */
    wsgi_result_t made = {.code = code};
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(made.detail, sizeof(made.detail), fmt, args);
    va_end(args);
    *result = made;
    return code;
}
