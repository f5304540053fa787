/* tests/planted/planted_fault.c — faults on purpose, to test the tests. A request with the field
 * "X-Planted-Fault: heap-overflow" writes one byte behind an allocation, one with "undefined" adds
 * one to INT_MAX; the variable PLANTED_DROP, set by SetEnv,
 * takes REMOTE_PORT out of the environ. No product holds it:
 * `make planted` links it before wsgi_gateway_serve(), which both modes call, by the linker's
 * --wrap.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"
#include "wsgi_gateway.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int __real_wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex,
                              enum wsgi_reload_mode mode);
int __wrap_wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex,
                              enum wsgi_reload_mode mode);

static bool is_equal(wsgi_bytes_t bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static void overflow_the_heap(void)
{
    volatile size_t len = 16; /* volatile: not to be seen, nor warned of, while it is compiled */
    volatile char *bytes = malloc(len);

    if (bytes != NULL) {
        bytes[len] = 'x';
    }
    free((void *)bytes);
}

static void overflow_a_number(void)
{
    volatile int number = INT_MAX;

    number = number + 1;
}

static void commit(wsgi_bytes_t fault)
{
    if (is_equal(fault, "heap-overflow")) {
        overflow_the_heap();
    }
    else if (is_equal(fault, "undefined")) {
        overflow_a_number();
    }
}

/* The array is const for the gateway only: its host has made it for this request. */
static void drop(wsgi_request_t *request, uint32_t number)
{
    wsgi_var_t *vars = (wsgi_var_t *)request->vars;
    size_t kept = 0;

    for (size_t i = 0; i < request->var_count; i++) {
        if (vars[i].number != number) {
            vars[kept++] = vars[i];
        }
    }
    request->var_count = kept;
}

static bool has_variable(const wsgi_request_t *request, const char *name)
{
    for (size_t i = 0; i < request->var_count; i++) {
        if (is_equal(request->vars[i].name, name)) {
            return true;
        }
    }
    return false;
}

int __wrap_wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex,
                              enum wsgi_reload_mode mode)
{
    if (has_variable(&ex->request, "PLANTED_DROP")) {
        drop(&ex->request, WSGI_META_REMOTE_PORT);
    }
    for (size_t i = 0; i < ex->request.var_count; i++) {
        if (is_equal(ex->request.vars[i].name, "HTTP_X_PLANTED_FAULT")) {
            commit(ex->request.vars[i].value);
        }
    }
    return __real_wsgi_gateway_serve(interp, ex, mode);
}
