/* server/hook.h — hook scripts: Python functions that httpd asks while it processes a request.
 * Runs in:  httpd child.   Threads: the request's.   Memory: r->pool.
 * Python:   entered through wsgi_hook.h only.   Blocks: as long as the functions do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SERVER_HOOK_H
#define WSGI_SERVER_HOOK_H

#include "route.h"
#include "wsgi_hook.h"
#include "wsgi_request.h"

/* Makes the calls; vars are the environ's. False: one failed, or Python cannot be had; the reason
 * has been logged, and the caller refuses. */
bool wsgi_hook_ask(request_rec *r, const wsgi_hook_script_t *script, const wsgi_request_t *vars,
                   wsgi_hook_call_t *calls, size_t count);

/* One call that decides about access: without the variables of a routed request, and without
 * credentials. */
enum wsgi_hook_answer wsgi_hook_ask_guard(request_rec *r, const wsgi_hook_script_t *script,
                                          wsgi_hook_call_t *call);

/* Lets the dispatch script of the route change its process group, interpreter and callable. OK, or
 * an HTTP status with the reason logged. */
int wsgi_hook_dispatch(request_rec *r, wsgi_route_t *route);

#endif
