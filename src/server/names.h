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
    WSGI_NAME_HOST,     /* %{HOST}: as SERVER, of the name that the client asked for */
    WSGI_NAME_ENV,      /* %{ENV:x}: the variable x of the request or the process */
};

typedef struct wsgi_name {
    enum wsgi_name_kind kind;
    wsgi_bytes_t text; /* of a literal, or the whole token of ENV; NUL-terminated */
} wsgi_name_t;

/* What the tokens stand for. */
typedef struct wsgi_name_place {
    const char *server, *host; /* host: the client's word */
    unsigned port;             /* 80 and 443 are left out of names */
    wsgi_bytes_t script_name;
    const char *(*find_variable)(void *baton, const char *key); /* NULL: there is none */
    void *baton;
} wsgi_name_place_t;

/* Only a whole value is a token; any other text, an unknown token included, is a literal. The text
 * is borrowed. */
wsgi_name_t wsgi_name_parse(const char *text);
wsgi_name_t wsgi_name_literal(const char *text);
/* Of a callable object: a literal or %{ENV:x}; any other token is "application". */
wsgi_name_t wsgi_name_parse_callable(const char *text);
/* Of a hook script's interpreter: what stands for something of a routed request is a literal. */
wsgi_name_t wsgi_name_parse_hook(const char *text);

/* The name at this place, NUL-terminated: the literal's own text, or from the pool. A variable that
 * begins with '%' is expanded once more; one that does not exist leaves the token as it stands. */
wsgi_bytes_t wsgi_name_expand(const wsgi_name_t *name, const wsgi_name_place_t *place,
                              apr_pool_t *pool);

/* The path with each run of '/' as one: the path itself where it has none, else from the pool. */
wsgi_bytes_t wsgi_name_collapse_slashes(wsgi_bytes_t path, apr_pool_t *pool);

/* Writes a number in decimal and NUL behind it; gives its length. */
#define WSGI_NAME_DECIMAL_BYTES 12
size_t wsgi_name_put_decimal(char out[WSGI_NAME_DECIMAL_BYTES], unsigned number);

#endif
