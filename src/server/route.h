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
    wsgi_dir_config_t config; /* the alias's options over the directory's */
    wsgi_bytes_t script_name, path_info;
    int group; /* index into the settings' groups, or WSGI_GROUP_EMBEDDED */
    wsgi_bytes_t process_group, application_group, callable; /* NUL-terminated */
} wsgi_route_t;

/* The alias that mapped this request, or NULL. */
const wsgi_alias_t *wsgi_mapping_alias(const request_rec *r);

/* OK, or an HTTP status with the reason logged: no such group, or not for this virtual host. */
int wsgi_route_find(request_rec *r, wsgi_route_t *route);

#endif
