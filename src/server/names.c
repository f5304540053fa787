/* server/names.c — names of groups and interpreters: parsing and expansion.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "apr_strings.h"

#include <string.h>

static const struct {
    const char *token;
    wsgi_name_t name;
} tokens[] = {
    {"%{GLOBAL}", {WSGI_NAME_LITERAL, {"", 0}}},
    {"%{RESOURCE}", {WSGI_NAME_RESOURCE, {"", 0}}},
    {"%{SERVER}", {WSGI_NAME_SERVER, {"", 0}}},
    {"%{HOST}", {WSGI_NAME_HOST, {"", 0}}},
};

#define ENV_PREFIX "%{ENV:"

wsgi_name_t wsgi_name_literal(const char *text)
{
    return (wsgi_name_t){WSGI_NAME_LITERAL, {text, strlen(text)}};
}

static bool is_variable(const char *text)
{
    size_t len = strlen(text);
    return len > sizeof ENV_PREFIX && strncmp(text, ENV_PREFIX, sizeof ENV_PREFIX - 1) == 0 &&
           text[len - 1] == '}';
}

wsgi_name_t wsgi_name_parse(const char *text)
{
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        if (strcmp(text, tokens[i].token) == 0) {
            return tokens[i].name;
        }
    }
    return (wsgi_name_t){is_variable(text) ? WSGI_NAME_ENV : WSGI_NAME_LITERAL,
                         {text, strlen(text)}};
}

wsgi_name_t wsgi_name_parse_callable(const char *text)
{
    wsgi_name_t name = wsgi_name_parse(text);
    return name.kind == WSGI_NAME_ENV || *text != '%' ? name : wsgi_name_literal("application");
}

wsgi_name_t wsgi_name_parse_hook(const char *text)
{
    wsgi_name_t name = wsgi_name_parse(text);
    return name.kind == WSGI_NAME_RESOURCE || name.kind == WSGI_NAME_ENV ? wsgi_name_literal(text)
                                                                         : name;
}

size_t wsgi_name_put_decimal(char out[WSGI_NAME_DECIMAL_BYTES], unsigned number)
{
    char reversed[WSGI_NAME_DECIMAL_BYTES];
    size_t len = 0;
    do {
        reversed[len++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < len; i++) {
        out[i] = reversed[len - 1 - i];
    }
    out[len] = '\0';
    return len;
}

static char *put(char *to, const char *data, size_t len)
{
    memcpy(to, data, len);
    return to + len;
}

static wsgi_bytes_t expand_place(const wsgi_name_t *name, const wsgi_name_place_t *place,
                                 apr_pool_t *pool)
{
    const char *server = name->kind == WSGI_NAME_HOST ? place->host : place->server;
    size_t server_len = strlen(server);
    char *text =
        apr_palloc(pool, server_len + WSGI_NAME_DECIMAL_BYTES + place->script_name.len + 3);
    char *end = put(text, server, server_len);
    if (place->port != 80 && place->port != 443) {
        *end++ = ':';
        end += wsgi_name_put_decimal(end, place->port);
    }
    if (name->kind == WSGI_NAME_RESOURCE) {
        *end++ = '|';
        end = put(end, place->script_name.data, place->script_name.len);
    }
    *end = '\0';
    return (wsgi_bytes_t){text, (size_t)(end - text)};
}

/* The value of the variable that a token names, or NULL. */
static const char *find_value(const wsgi_name_t *name, const wsgi_name_place_t *place,
                              apr_pool_t *pool)
{
    size_t prefix = sizeof ENV_PREFIX - 1;
    const char *key = apr_pstrmemdup(pool, name->text.data + prefix, name->text.len - prefix - 1);
    return place->find_variable(place->baton, key);
}

static wsgi_bytes_t expand_variable(const wsgi_name_t *name, const wsgi_name_place_t *place,
                                    apr_pool_t *pool)
{
    const char *value = find_value(name, place, pool);
    if (value == NULL) {
        return name->text;
    }
    wsgi_name_t again = wsgi_name_parse(value);
    bool is_plain = again.kind == WSGI_NAME_LITERAL || again.kind == WSGI_NAME_ENV;
    return is_plain ? again.text : expand_place(&again, place, pool);
}

wsgi_bytes_t wsgi_name_expand(const wsgi_name_t *name, const wsgi_name_place_t *place,
                              apr_pool_t *pool)
{
    switch (name->kind) {
    case WSGI_NAME_LITERAL:
        return name->text;
    case WSGI_NAME_ENV:
        return expand_variable(name, place, pool);
    default:
        return expand_place(name, place, pool);
    }
}

wsgi_bytes_t wsgi_name_collapse_slashes(wsgi_bytes_t path, apr_pool_t *pool)
{
    const char *run = memmem(path.data, path.len, "//", 2);
    if (run == NULL) {
        return path;
    }
    char *copy = apr_pstrmemdup(pool, path.data, path.len);
    char *to = copy + (run - path.data);
    for (const char *from = run; from < path.data + path.len; from++) {
        if (*from != '/' || to == copy || to[-1] != '/') {
            *to++ = *from;
        }
    }
    *to = '\0';
    return (wsgi_bytes_t){copy, (size_t)(to - copy)};
}
