/* server/hook_access.c — WSGIAccessScript: may this host have this resource?
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include "wsgi_server.h"

static int forbid(request_rec *r, const wsgi_hook_script_t *script)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "the access script '%s' refuses the client: %s",
                  script->script, r->uri);
    return HTTP_FORBIDDEN;
}

/* httpd asks all modules that have a say, and each may refuse: OK opens nothing that another one
 * closes. */
int wsgi_hook_check_access(request_rec *r)
{
    const wsgi_hook_script_t *script = wsgi_dir_hooks(r)->access;
    if (script == NULL) {
        return DECLINED;
    }
    const char *host = ap_get_useragent_host(r, REMOTE_HOST, NULL);
    wsgi_hook_call_t call = {
        .function = "allow_access",
        .wants = WSGI_HOOK_WANTS_VERDICT,
        .arguments = {wsgi_text(host != NULL ? host : r->useragent_ip)},
        .argument_count = 1,
    };
    switch (wsgi_hook_ask_guard(r, script, &call)) {
    case WSGI_HOOK_TRUE:
        return OK;
    case WSGI_HOOK_NONE:
        return DECLINED;
    default:
        return forbid(r, script);
    }
}
