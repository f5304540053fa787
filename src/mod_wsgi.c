/* mod_wsgi.c — the module record and the order of events:
 *
 *   parent  directives    src/server/directives.def
 *           check_config  settings resolved; `httpd -t` ends here
 *           post_config   (not in the first of the two passes at start) banner, process groups
 *           monitor       every ten seconds: process groups that could not be started again
 *   child   child_init    links to the groups; Python where an application may run here
 *   request translate     WSGIScriptAlias names script and handler
 *           access, users, groups   hook scripts, where the configuration names them
 *           handler       embedded: gateway; process group: proxy
 *
 * It stays mapped (linked with -z nodelete) when httpd unloads it between two passes of its
 * configuration: libpython, thread-local keys and cleanups of the process pool outlive a pass.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_server.h"

#include "http_core.h"
#include "http_request.h"
#include "mpm_common.h"

static int on_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                           server_rec *main_server)
{
    (void)plog, (void)ptemp;
    return wsgi_server_check_config(pconf, main_server);
}

static int on_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                          server_rec *main_server)
{
    (void)plog, (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK; /* everything of this pass is about to be thrown away */
    }
    return wsgi_server_parent_start(pconf, main_server);
}

static int on_monitor(apr_pool_t *pool, server_rec *main_server)
{
    (void)pool;
    wsgi_server_parent_monitor(main_server);
    return OK;
}

static void on_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    wsgi_server_child_init(pchild, main_server);
}

static int on_translate_name(request_rec *r)
{
    return wsgi_mapping_translate(r);
}

static int on_check_access(request_rec *r)
{
    return wsgi_hook_check_access(r);
}

static int on_handler(request_rec *r)
{
    return wsgi_handler_serve(r);
}

static void register_providers(apr_pool_t *pool)
{
    ap_register_auth_provider(pool, AUTHN_PROVIDER_GROUP, "wsgi", AUTHN_PROVIDER_VERSION,
                              &wsgi_hook_users, AP_AUTH_INTERNAL_PER_URI);
    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP, "wsgi-group", AUTHZ_PROVIDER_VERSION,
                              &wsgi_hook_groups, AP_AUTH_INTERNAL_PER_URI);
}

/* The scripts see the URL, and may judge by it: so they are asked again, for each internal redirect
 * and sub-request, also where it stays in the settings of one place. */
static void register_hooks(apr_pool_t *pool)
{
    static const char *const after_alias[] = {"mod_alias.c", NULL};
    static const char *const before_users[] = {"mod_userdir.c", "mod_vhost_alias.c", NULL};
    static const char *const after_tls[] = {"mod_ssl.c", NULL};
    static const char *const before_hosts[] = {"mod_authz_host.c", "mod_access_compat.c", NULL};

    ap_hook_check_config(on_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(on_post_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_monitor(on_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(on_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(on_translate_name, after_alias, before_users, APR_HOOK_MIDDLE);
    ap_hook_check_access(on_check_access, after_tls, before_hosts, APR_HOOK_MIDDLE,
                         AP_AUTH_INTERNAL_PER_URI);
    register_providers(pool);
    ap_hook_handler(on_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

/* the one symbol that the module shows */
extern module wsgi_module __attribute__((visibility("default")));

AP_DECLARE_MODULE(wsgi) = {
    STANDARD20_MODULE_STUFF,  wsgi_config_create_dir,
    wsgi_config_merge_dir,    wsgi_config_create_server,
    wsgi_config_merge_server, wsgi_directives,
    register_hooks,           AP_MODULE_FLAG_NONE,
};
