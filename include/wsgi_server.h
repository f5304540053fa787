/* wsgi_server.h — httpd's side as mod_wsgi.c wires it to httpd's hooks: configuration, children,
 * URL mapping, hook scripts, the handler.
 * Runs in:  httpd parent (configuration), child (the rest).   Threads: the process's main thread;
 *           wsgi_mapping_… and wsgi_handler_… any of the MPM's.
 * Owns:     its settings, in pconf; a child's state, in pchild.
 * Python:   started and stopped in the child; entered only through wsgi_gateway.h and wsgi_hook.h.
 * Blocks:   wsgi_handler_serve() as long as the application does; child's start and end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SERVER_H
#define WSGI_SERVER_H

#include "httpd.h"
#include "http_config.h"
#include "mod_auth.h"

/* The members of the module record. */
extern const command_rec wsgi_directives[];
void *wsgi_config_create_dir(apr_pool_t *pool, char *path);
void *wsgi_config_merge_dir(apr_pool_t *pool, void *outer, void *inner);
void *wsgi_config_create_server(apr_pool_t *pool, server_rec *server);
void *wsgi_config_merge_server(apr_pool_t *pool, void *outer, void *inner);

/* Resolves the settings of all servers, and complains about each fault: OK, or
 * HTTP_INTERNAL_SERVER_ERROR. Reached by `httpd -t` too. */
int wsgi_server_check_config(apr_pool_t *pconf, server_rec *main_server);

/* The real pass: names us in httpd's banner and starts the process groups. OK or an error, logged. */
int wsgi_server_parent_start(apr_pool_t *pconf, server_rec *main_server);

/* Starts again what could not be started before; httpd calls it every ten seconds. */
void wsgi_server_parent_monitor(server_rec *main_server);

/* Links to the process groups; Python, where the configuration may need it here. */
void wsgi_server_child_init(apr_pool_t *pchild, server_rec *main_server);

/* WSGIScriptAlias: OK with r->filename and r->handler set, or DECLINED. */
int wsgi_mapping_translate(request_rec *r);

/* Serves a request whose handler is ours: OK, an HTTP status, or DECLINED where it is not. */
int wsgi_handler_serve(request_rec *r);

/* WSGIAccessScript: OK, DECLINED, or HTTP_FORBIDDEN. */
int wsgi_hook_check_access(request_rec *r);

/* The providers `wsgi` of authentication and `wsgi-group` of authorisation. */
extern const authn_provider wsgi_hook_users;
extern const authz_provider wsgi_hook_groups;

#endif
