/* server/server_private.h — what every file of this folder that logs to httpd includes first: the
 * module's log level, and httpd's own headers in one place.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SERVER_PRIVATE_H
#define WSGI_SERVER_PRIVATE_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "apr_strings.h"

#include "wsgi_core.h"

APLOG_USE_MODULE(wsgi);

/* A text whose life is somebody else's; NULL gives the absent value (data == NULL). */
static inline wsgi_bytes_t wsgi_text(const char *text)
{
    return (wsgi_bytes_t){text, text == NULL ? 0 : strlen(text)};
}

#endif
