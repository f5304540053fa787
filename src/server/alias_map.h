/* server/alias_map.h — which of the URL paths of one server's aliases a URI begins with: by hash
 * over path segments, so the time depends on the URI and not on the number of aliases.
 * Runs in:  httpd parent (make), child (find).   Threads: any; immutable once made.
 * Owns:     nothing but its table, in the pool; paths are borrowed.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_ALIAS_MAP_H
#define WSGI_ALIAS_MAP_H

#include "apr_pools.h"

#include "wsgi_core.h"

typedef struct wsgi_alias_map wsgi_alias_map_t;

/* paths[i] begins with '/', NUL-terminated; NULL leaves its place empty (no URI matches it). */
wsgi_alias_map_t *wsgi_alias_map_make(apr_pool_t *pool, const char *const *paths, size_t count);

/* The first path, in the order of the array, that is a prefix of the URI up to the end of one of
 * its segments; a path that ends in '/' also wants that slash. Any run of slashes equals one.
 * Gives its index and the bytes of the URI it covers, or -1. The uri begins with '/'. */
int wsgi_alias_map_find(const wsgi_alias_map_t *map, const char *uri, size_t *covered);

#endif
