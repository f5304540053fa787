/* server/trusted.h — what fields of trusted proxies tell of a request, over what httpd knows itself.
 * Runs in:  httpd parent (directives), child (requests).   Threads: any; the lists are immutable.
 * Memory:   lists in the pool of the configuration, values in r->pool.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_TRUSTED_H
#define WSGI_TRUSTED_H

#include "settings.h"
#include "wsgi_request.h"

/* So many variables may come to a request's: HTTP_HOST and mod_wsgi.mount_point. */
#define WSGI_TRUSTED_VARIABLES 2

/* Does what the place's lists say to the request's variables and to WSGI_REQUEST_HTTPS. `vars` are
 * those of the request, with room for WSGI_TRUSTED_VARIABLES more. config->trusted_headers is set. */
void wsgi_trusted_apply(request_rec *r, const wsgi_dir_config_t *config, wsgi_var_t *vars,
                        wsgi_request_t *request);

#endif
