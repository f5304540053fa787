/* server/route.h — who serves a request: the settings that hold for it, process group, interpreter
 * and callable.
 * Runs in:  httpd child.   Threads: the request's.   Memory: r->pool.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_ROUTE_H
#define WSGI_ROUTE_H

#include "settings.h"

#define WSGI_HANDLER_SCRIPT "wsgi-script"              /* the mapped file is the script */
#define WSGI_HANDLER_TYPE   "application/x-httpd-wsgi" /* the same, as a media type */

typedef struct wsgi_route {
    wsgi_dir_config_t config;   /* options of the alias or handler over the directory's */
    const char *handler_script; /* NULL: the mapped file itself is the script */
    bool is_open_name;          /* a client can have chosen the application group */
    wsgi_bytes_t script_name, path_info;
    bool is_dispatched;         /* a dispatch script has chosen the process group */
    int group;                  /* index into the settings' groups, or WSGI_GROUP_EMBEDDED */
    const wsgi_group_t *target; /* that group; NULL: embedded */
    wsgi_bytes_t process_group, application_group, callable; /* NUL-terminated */
} wsgi_route_t;

/* The alias that mapped this request, or NULL. */
const wsgi_alias_t *wsgi_mapping_alias(const request_rec *r);

/* SCRIPT_NAME and PATH_INFO into the route. */
void wsgi_route_split_uri(const request_rec *r, wsgi_route_t *route);

/* The name of the interpreter of a hook script; *is_open: a client can have chosen it. */
wsgi_bytes_t wsgi_route_hook_group(request_rec *r, const wsgi_name_t *name, bool *is_open);

/* handler: of the request's handler name, or NULL. OK, or an HTTP status with the reason logged: the
 * group does not exist, or is not for this place. */
int wsgi_route_find(request_rec *r, const wsgi_handler_script_t *handler, wsgi_route_t *route);

/* The file that is loaded, as httpd sees it. */
static inline const char *wsgi_route_script(const request_rec *r, const wsgi_route_t *route)
{
    return route->handler_script != NULL ? route->handler_script : r->filename;
}

/* The path as the application sees it, or NULL: its group's chroot hides it. */
static inline const char *wsgi_route_path_inside(const wsgi_route_t *route, const char *path)
{
    return route->target == NULL ? path : wsgi_settings_path_inside(route->target, path);
}

#endif
