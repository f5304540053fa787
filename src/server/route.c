/* server/route.c — who serves a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include "hook.h"

#include "util_script.h"

#include <stdlib.h>

/* SCRIPT_NAME and PATH_INFO as CGI has them, runs of slashes as one. */
void wsgi_route_split_uri(const request_rec *r, wsgi_route_t *route)
{
    wsgi_bytes_t script_name = wsgi_text(r->uri);
    wsgi_bytes_t path_info = r->path_info == NULL ? WSGI_LITERAL("") : wsgi_text(r->path_info);
    if (path_info.len > 0) {
        script_name.len = (size_t)ap_find_path_info(r->uri, r->path_info);
    }
    route->script_name = wsgi_name_collapse_slashes(script_name, r->pool);
    route->path_info = wsgi_name_collapse_slashes(path_info, r->pool);
}

/* Notes of the request, its environment, the process's: the first that has it. */
static const char *find_variable(void *baton, const char *key)
{
    const request_rec *r = baton;
    const char *value = apr_table_get(r->notes, key);
    if (value == NULL) {
        value = apr_table_get(r->subprocess_env, key);
    }
    return value != NULL ? value : getenv(key);
}

static wsgi_bytes_t expand(request_rec *r, const wsgi_route_t *route, const wsgi_name_t *name)
{
    if (name->kind == WSGI_NAME_LITERAL) {
        return name->text;
    }
    wsgi_name_place_t place = {
        .server = r->server->server_hostname,
        .host = r->hostname != NULL ? r->hostname : r->server->server_hostname,
        .port = ap_get_server_port(r),
        .script_name = route->script_name,
        .find_variable = find_variable,
        .baton = r,
    };
    return wsgi_name_expand(name, &place, r->pool);
}

/* ---- the interpreter ---- */

/* Letter case is not told apart where the file system does not. */
static wsgi_bytes_t lower(apr_pool_t *pool, wsgi_bytes_t text)
{
    char *copy = apr_pstrmemdup(pool, text.data, text.len);
    ap_str_tolower(copy);
    return (wsgi_bytes_t){copy, text.len};
}

/* Without UseCanonicalName the port in a name is that of the Host field. Those that stand for
 * themselves, or are left out of names, are not the client's choice. */
static bool is_own_port(const request_rec *r)
{
    unsigned port = ap_get_server_port(r);
    return port == r->connection->local_addr->port || port == r->server->port ||
           port == DEFAULT_HTTP_PORT || port == DEFAULT_HTTPS_PORT;
}

/* Only literals, the server's name and the path of an alias are the administrator's words. */
static bool is_open(const request_rec *r, const wsgi_name_t *name, const wsgi_alias_t *alias)
{
    switch (name->kind) {
    case WSGI_NAME_LITERAL:
        return false;
    case WSGI_NAME_SERVER:
        return !is_own_port(r);
    case WSGI_NAME_RESOURCE:
        return alias == NULL || alias->path == NULL || !is_own_port(r);
    default:
        return true;
    }
}

wsgi_bytes_t wsgi_route_hook_group(request_rec *r, const wsgi_name_t *name, bool *is_open_name)
{
    static const wsgi_route_t nowhere;
    *is_open_name = is_open(r, name, NULL);
    return expand(r, &nowhere, name);
}

static void find_application_group(request_rec *r, const wsgi_settings_t *settings,
                                   const wsgi_alias_t *alias, wsgi_route_t *route)
{
    static const wsgi_name_t unset = {WSGI_NAME_RESOURCE, {"", 0}};

    const wsgi_name_t *name = route->config.application_group;
    name = name != NULL ? name : &unset;
    route->is_open_name |= is_open(r, name, alias);
    route->application_group = expand(r, route, name);
    if (settings->is_case_blind && name->kind == WSGI_NAME_RESOURCE) {
        route->application_group = lower(r->pool, route->application_group);
    }
}

static wsgi_bytes_t find_callable(request_rec *r, const wsgi_route_t *route)
{
    const wsgi_name_t *name = route->config.callable_object;
    if (route->handler_script != NULL) {
        return WSGI_LITERAL("handle_request");
    }
    if (name == NULL) {
        return WSGI_LITERAL("application");
    }
    wsgi_bytes_t text = expand(r, route, name);
    bool is_unresolved = name->kind == WSGI_NAME_ENV && text.data == name->text.data;
    return is_unresolved ? WSGI_LITERAL("application") : text;
}

/* ---- the process group ---- */

static bool is_allowed(const wsgi_route_t *route)
{
    const apr_array_header_t *names = route->config.restrict_process;
    for (int i = 0; names != NULL && i < names->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(names, i, const char *), route->process_group.data) == 0) {
            return true;
        }
    }
    return names == NULL;
}

static int refuse_restricted(request_rec *r, const wsgi_route_t *route)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0149) "WSGIRestrictProcess does not allow the process group '%s' here",
                  route->process_group.len > 0 ? route->process_group.data : "%{GLOBAL}");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int refuse_unknown(request_rec *r, const wsgi_route_t *route)
{
    const wsgi_group_ref_t *ref = route->config.process_group;
    if (route->is_dispatched) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1704) "no WSGIDaemonProcess defines the process group '%s' that the "
                                    "dispatch script %s chose",
                      route->process_group.data, route->config.hooks->dispatch->script);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0150) "no WSGIDaemonProcess defines the process group '%s' that %s, line "
                                "%d, leads to",
                  route->process_group.data, ref->place.file, ref->place.line);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int refuse_foreign(request_rec *r, const wsgi_route_t *route)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0151) "the process group '%s' belongs to a virtual host of another "
                                "ServerName: define it in this one, or outside all of them",
                  route->process_group.data);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int refuse_embedded(request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0143) "WSGIRestrictEmbedded is on and nothing delegates this request: "
                                "name a process group with WSGIProcessGroup or process-group=");
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Its name, and its index where that was resolved with the configuration. */
static void name_group(request_rec *r, const wsgi_settings_t *settings, wsgi_route_t *route)
{
    const wsgi_group_ref_t *ref = route->config.process_group;
    bool is_embedded = ref == NULL || ref->group == WSGI_GROUP_EMBEDDED;
    route->process_group = is_embedded ? WSGI_LITERAL("") : expand(r, route, &ref->name);
    route->group = ref != NULL ? ref->group : WSGI_GROUP_EMBEDDED;
    if (route->process_group.len == 0) {
        route->group = WSGI_GROUP_EMBEDDED;
    }
    else if (route->group < 0) {
        int index = wsgi_settings_find_group(settings, route->process_group);
        route->group = index < 0 ? WSGI_GROUP_DYNAMIC : index;
    }
}

static int find_group(request_rec *r, const wsgi_settings_t *settings, wsgi_route_t *route)
{
    name_group(r, settings, route);
    if (!is_allowed(route)) {
        return refuse_restricted(r, route);
    }
    if (route->group == WSGI_GROUP_EMBEDDED) {
        return settings->restrict_embedded ? refuse_embedded(r) : OK;
    }
    if (route->group < 0) {
        return refuse_unknown(r, route);
    }
    route->target = &settings->groups[route->group];
    return wsgi_settings_may_use(r->server, route->target) ? OK : refuse_foreign(r, route);
}

int wsgi_route_find(request_rec *r, const wsgi_handler_script_t *handler, wsgi_route_t *route)
{
    const wsgi_server_config_t *main = wsgi_server_config_main(wsgi_server_config(r->server));
    const wsgi_alias_t *alias = handler == NULL ? wsgi_mapping_alias(r) : NULL;
    const wsgi_dir_config_t *options = handler != NULL ? &handler->options : NULL;
    options = alias != NULL ? &alias->options : options;
    route->config = *wsgi_dir_config(r);
    if (options != NULL) {
        wsgi_dir_config_lay(&route->config, &route->config, options);
    }
    route->handler_script = handler != NULL ? handler->script : NULL;
    route->is_dispatched = route->is_open_name = false;
    route->target = NULL;
    wsgi_route_split_uri(r, route);
    if (route->config.hooks != NULL && route->config.hooks->dispatch != NULL) {
        int status = wsgi_hook_dispatch(r, route);
        if (status != OK) {
            return status;
        }
    }
    find_application_group(r, main->settings, alias, route);
    route->callable = find_callable(r, route);
    return find_group(r, main->settings, route);
}
