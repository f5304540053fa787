/* server/names.h — names of groups, interpreters and callables as directives give them: a literal,
 * or one token that stands for something of the request. Pure but for its pool; no httpd types.
 * Runs in:  httpd parent (parse), child (expand).   Threads: any.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_NAMES_H
#define WSGI_NAMES_H

#include "apr_pools.h"

#include "wsgi_core.h"

enum wsgi_name_kind {
    WSGI_NAME_LITERAL,  /* %{GLOBAL} is the literal "" */
    WSGI_NAME_SERVER,   /* %{SERVER}: server[:port] */
    WSGI_NAME_RESOURCE, /* %{RESOURCE}: server[:port]|script */
};

typedef struct wsgi_name {
    enum wsgi_name_kind kind;
    wsgi_bytes_t text; /* of a literal; NUL-terminated */
} wsgi_name_t;

/* What the tokens stand for. */
typedef struct wsgi_name_place {
    const char *server;
    unsigned port; /* 80 and 443 are left out of names */
    wsgi_bytes_t script_name;
} wsgi_name_place_t;

/* Only a whole value is a token; any other text, an unknown token included, is a literal. The text
 * is borrowed. */
wsgi_name_t wsgi_name_parse(const char *text);

/* The name at this place, NUL-terminated: the literal's own text, or from the pool. */
wsgi_bytes_t wsgi_name_expand(const wsgi_name_t *name, const wsgi_name_place_t *place,
                              apr_pool_t *pool);

/* The path with each run of '/' as one: the path itself where it has none, else from the pool. */
wsgi_bytes_t wsgi_name_collapse_slashes(wsgi_bytes_t path, apr_pool_t *pool);

/* Writes a number in decimal and NUL behind it; gives its length. */
#define WSGI_NAME_DECIMAL_BYTES 12
size_t wsgi_name_put_decimal(char out[WSGI_NAME_DECIMAL_BYTES], unsigned number);

#endif
