/* server/metavars.h — the meta-variables of a request (RFC 3875, PEP 3333) from its request_rec.
 * Runs in:  httpd child.   Threads: the request's.   Memory: r->pool, values borrowed from r.
 * Blocks:   never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_METAVARS_H
#define WSGI_METAVARS_H

#include "route.h"
#include "wsgi_request.h"

/* Fills the request's vars and var_count, its log_id and WSGI_REQUEST_HTTPS of its flags. pid: of
 * this child, in decimal. */
void wsgi_metavars_collect(request_rec *r, const wsgi_route_t *route, wsgi_bytes_t pid,
                           wsgi_request_t *request);

/* For those who decide about access, before anybody serves the request: fields without credentials,
 * and what CGI defines; fills vars and var_count. */
void wsgi_metavars_collect_guard(request_rec *r, wsgi_request_t *request);

#endif
