/* bench/floor/mod_floor.c — what httpd alone costs for an application server's request: a handler in
 * C that builds the CGI variables and answers 12 bytes. bench/count builds it where it runs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <httpd.h>

#include <http_config.h>
#include <http_protocol.h>
#include <string.h>
#include <util_script.h>

static int on_handler(request_rec *r)
{
    static const char body[] = "Hello world\n";

    if (r->handler == NULL || strcmp(r->handler, "floor") != 0) {
        return DECLINED;
    }
    ap_add_common_vars(r);
    ap_add_cgi_vars(r);
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof(body) - 1);
    ap_rwrite(body, sizeof(body) - 1, r);
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(on_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(floor) = {STANDARD20_MODULE_STUFF, .register_hooks = register_hooks};
