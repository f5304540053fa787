/* server/route.c — who serves a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include "util_script.h"

/* SCRIPT_NAME and PATH_INFO as CGI has them, runs of slashes as one. */
static void split_uri(const request_rec *r, wsgi_route_t *route)
{
    wsgi_bytes_t script_name = wsgi_text(r->uri);
    wsgi_bytes_t path_info = r->path_info == NULL ? WSGI_LITERAL("") : wsgi_text(r->path_info);
    if (path_info.len > 0) {
        script_name.len = (size_t)ap_find_path_info(r->uri, r->path_info);
    }
    route->script_name = wsgi_name_collapse_slashes(script_name, r->pool);
    route->path_info = wsgi_name_collapse_slashes(path_info, r->pool);
}

static wsgi_bytes_t expand(request_rec *r, const wsgi_route_t *route, const wsgi_name_t *name)
{
    if (name->kind == WSGI_NAME_LITERAL) {
        return name->text;
    }
    wsgi_name_place_t place = {r->server->server_hostname, ap_get_server_port(r),
                               route->script_name};
    return wsgi_name_expand(name, &place, r->pool);
}

/* A group belongs to the virtual host that defines it and to those of the same name, so that the
 * HTTP and the HTTPS side of a site can share it; the main server's belong to all. */
static bool may_use(const request_rec *r, const wsgi_group_t *group)
{
    const server_rec *owner = group->server;
    return owner == r->server || !owner->is_virtual ||
           (owner->server_hostname != NULL && r->server->server_hostname != NULL &&
            strcmp(owner->server_hostname, r->server->server_hostname) == 0);
}

static int find_group(request_rec *r, const wsgi_settings_t *settings, wsgi_route_t *route)
{
    const wsgi_group_ref_t *ref = route->config.process_group;
    route->group = WSGI_GROUP_EMBEDDED;
    route->process_group = WSGI_LITERAL("");
    if (ref == NULL || ref->group == WSGI_GROUP_EMBEDDED) {
        return OK;
    }
    route->process_group = expand(r, route, &ref->name);
    route->group =
        ref->group >= 0 ? ref->group : wsgi_settings_find_group(settings, route->process_group);
    if (route->group < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0150) "no WSGIDaemonProcess defines the process group '%s' that "
                                    "%s, line %d, leads to",
                      route->process_group.data, ref->place.file, ref->place.line);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!may_use(r, &settings->groups[route->group])) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0151) "the process group '%s' belongs to a virtual host of another "
                                    "ServerName: define it in this one, or outside all of them",
                      route->process_group.data);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

int wsgi_route_find(request_rec *r, wsgi_route_t *route)
{
    static const wsgi_name_t default_application_group = {WSGI_NAME_RESOURCE, {"", 0}};

    wsgi_server_config_t *main = wsgi_server_config_main(wsgi_server_config(r->server));
    const wsgi_alias_t *alias = wsgi_mapping_alias(r);
    route->config = *wsgi_dir_config(r);
    if (alias != NULL) {
        wsgi_dir_config_lay(&route->config, &route->config, &alias->options);
    }
    split_uri(r, route);
    const wsgi_name_t *application_group = route->config.application_group;
    route->application_group = expand(
        r, route, application_group != NULL ? application_group : &default_application_group);
    route->callable = route->config.callable_object == NULL
                          ? WSGI_LITERAL("application")
                          : wsgi_text(route->config.callable_object);
    return find_group(r, main->settings, route);
}
