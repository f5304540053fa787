/* server/group_checks.h — may a request go to its process group? Asked when its route is known,
 * before anything of it is sent.
 * Runs in:  httpd child.   Threads: the request's.   Blocks: in stat() where script-user= or
 *           script-group= is set.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_GROUP_CHECKS_H
#define WSGI_GROUP_CHECKS_H

#include "route.h"

/* OK, or the status of a request that may not go there, logged. The script of the route is NUL-
 * terminated and the file as httpd sees it. */
int wsgi_group_check(request_rec *r, const wsgi_group_t *group, const char *script);

#endif
