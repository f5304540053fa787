/* server/trusted.c — trusted proxies: the fields by which they tell what only they have seen, the
 * directives that list fields and proxies, and what becomes of a request's meta-variables.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "trusted.h"

#include "directives.h"

#include "apr_lib.h"

#include <arpa/inet.h>

#include "wsgi_field.h"

typedef struct rewriter {
    request_rec *r;
    const apr_array_header_t *proxies; /* apr_ipsubnet_t *; NULL: whoever connects is one */
    wsgi_request_t *request;
    wsgi_var_t *vars; /* the request's */
} rewriter_t;

/* ---- the fields ---- */

/* Fields of one class tell the same thing: where one of them is listed, none that is not trusted
 * may reach the application. */
enum class {
    CLIENT,
    SCHEME,
    HOST,
    SERVER,
    PORT,
    MOUNT,
    CLASS_COUNT,
};

typedef struct wsgi_trusted_field {
    wsgi_bytes_t key; /* in the environ */
    enum class class;
    void (*tell)(rewriter_t *it, wsgi_var_t *field);
} field_t;

static void tell_chain(rewriter_t *it, wsgi_var_t *field);
static void tell_client(rewriter_t *it, wsgi_var_t *field);
static void tell_scheme(rewriter_t *it, wsgi_var_t *field);
static void tell_secure(rewriter_t *it, wsgi_var_t *field);
static void tell_host(rewriter_t *it, wsgi_var_t *field);
static void tell_server(rewriter_t *it, wsgi_var_t *field);
static void tell_port(rewriter_t *it, wsgi_var_t *field);
static void tell_mount(rewriter_t *it, wsgi_var_t *field);

#define PREFIX       "HTTP_X_"
#define PREFIX_BYTES (sizeof PREFIX - 1)
#define FIELD(name, class, tell)                                                                   \
    {                                                                                              \
        {PREFIX #name, sizeof(PREFIX #name) - 1}, class, tell                                      \
    }

static const field_t fields[] = {
    FIELD(FORWARDED_FOR, CLIENT, tell_chain),
    FIELD(CLIENT_IP, CLIENT, tell_client),
    FIELD(REAL_IP, CLIENT, tell_client),
    FIELD(FORWARDED_PROTO, SCHEME, tell_scheme),
    FIELD(FORWARDED_SCHEME, SCHEME, tell_scheme),
    FIELD(SCHEME, SCHEME, tell_scheme),
    FIELD(FORWARDED_HTTPS, SCHEME, tell_secure),
    FIELD(FORWARDED_SSL, SCHEME, tell_secure),
    FIELD(HTTPS, SCHEME, tell_secure),
    FIELD(FORWARDED_HOST, HOST, tell_host),
    FIELD(HOST, HOST, tell_host),
    FIELD(FORWARDED_SERVER, SERVER, tell_server),
    FIELD(FORWARDED_PORT, PORT, tell_port),
    FIELD(SCRIPT_NAME, MOUNT, tell_mount),
    FIELD(FORWARDED_SCRIPT_NAME, MOUNT, tell_mount),
};

static const field_t *find_field(wsgi_bytes_t key)
{
    if (key.len < PREFIX_BYTES || memcmp(key.data, PREFIX, PREFIX_BYTES) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (key.len == fields[i].key.len && memcmp(key.data, fields[i].key.data, key.len) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* ---- the directives ---- */

/* The list of a place, which grows while the place is read. */
static apr_array_header_t *list_of(const cmd_parms *cmd, const apr_array_header_t **list)
{
    if (*list == NULL) {
        *list = apr_array_make(cmd->pool, 4, sizeof(void *));
    }
    return (apr_array_header_t *)*list;
}

/* A server's settings cannot take in what an .htaccess says of one request. */
static bool is_in_server(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_HTACCESS) == NULL;
}

static void note_trust(const cmd_parms *cmd, const wsgi_dir_config_t *dir)
{
    wsgi_trust_t *trust = apr_array_push(wsgi_server_config(cmd->server)->trusts);
    *trust = (wsgi_trust_t){dir, wsgi_directive_place(cmd)};
}

static void warn_of_unknown(const cmd_parms *cmd, const char *word)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                 WSGI_ID(1721) "%s: '%s' is none of the fields that are known, and is ignored (%s, "
                               "line %d)",
                 cmd->cmd->name, word, cmd->directive->filename, cmd->directive->line_num);
}

const char *wsgi_directive_add_trusted_header(cmd_parms *cmd, void *dir, const char *word)
{
    wsgi_dir_config_t *config = dir;
    bool is_first = config->trusted_headers == NULL;
    apr_array_header_t *list = list_of(cmd, &config->trusted_headers);
    char *key = apr_palloc(cmd->temp_pool, strlen(word) + 5);
    size_t len = wsgi_meta_key_from_field(word, strlen(word), key);
    const field_t *field = find_field((wsgi_bytes_t){key, len});
    if (field != NULL) {
        APR_ARRAY_PUSH(list, const field_t *) = field;
    }
    else if (is_in_server(cmd)) {
        warn_of_unknown(cmd, word);
    }
    if (is_first && is_in_server(cmd)) {
        note_trust(cmd, config);
    }
    return NULL;
}

const char *wsgi_directive_add_trusted_proxy(cmd_parms *cmd, void *dir, const char *word)
{
    char *address = apr_pstrdup(cmd->temp_pool, word);
    char *mask = strchr(address, '/');
    if (mask != NULL) {
        *mask++ = '\0';
    }
    apr_ipsubnet_t *network;
    if (apr_ipsubnet_create(&network, address, mask, cmd->pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool,
                            "%s takes addresses and networks, such as 192.0.2.7, 10.0.0.0/8 or "
                            "fd00::/8, not '%s'",
                            cmd->cmd->name, word);
    }
    wsgi_dir_config_t *config = dir;
    APR_ARRAY_PUSH(list_of(cmd, &config->trusted_proxies), apr_ipsubnet_t *) = network;
    return NULL;
}

/* ---- variables of the request ---- */

static wsgi_bytes_t key_of(const wsgi_var_t *var)
{
    return var->number == WSGI_META_NONE ? var->name : wsgi_meta_name(var->number);
}

/* Of several with one key the last counts. */
static wsgi_var_t *find_var(const rewriter_t *it, wsgi_bytes_t key)
{
    for (size_t i = it->request->var_count; i > 0; i--) {
        wsgi_bytes_t found = key_of(&it->vars[i - 1]);
        if (found.len == key.len && memcmp(found.data, key.data, key.len) == 0) {
            return &it->vars[i - 1];
        }
    }
    return NULL;
}

static void set_var(rewriter_t *it, unsigned number, wsgi_bytes_t value)
{
    wsgi_var_t *var = find_var(it, wsgi_meta_name(number));
    if (var == NULL) {
        var = &it->vars[it->request->var_count++];
    }
    *var = (wsgi_var_t){number, {"", 0}, value};
}

/* Fields of the classes, unless they are the one that is kept. */
static void remove_fields(rewriter_t *it, unsigned classes, const field_t *const *kept)
{
    size_t count = 0;
    for (size_t i = 0; i < it->request->var_count; i++) {
        const field_t *field = find_field(key_of(&it->vars[i]));
        if (field == NULL || (classes & 1u << field->class) == 0 || kept[field->class] == field) {
            it->vars[count++] = it->vars[i];
        }
    }
    it->request->var_count = count;
}

/* ---- what they tell ---- */

static void tell_client(rewriter_t *it, wsgi_var_t *field)
{
    set_var(it, WSGI_META_REMOTE_ADDR, field->value);
}

static bool is_word(wsgi_bytes_t value, const char *word)
{
    return value.len == strlen(word) && strncasecmp(value.data, word, value.len) == 0;
}

static void set_scheme(rewriter_t *it, bool is_https, bool is_http)
{
    if (is_https) {
        it->request->flags |= WSGI_REQUEST_HTTPS;
    }
    else if (is_http) {
        it->request->flags &= ~(uint32_t)WSGI_REQUEST_HTTPS;
    }
}

static void tell_scheme(rewriter_t *it, wsgi_var_t *field)
{
    set_scheme(it, is_word(field->value, "https"), is_word(field->value, "http"));
}

static bool is_any(wsgi_bytes_t value, const char *const words[3])
{
    return is_word(value, words[0]) || is_word(value, words[1]) || is_word(value, words[2]);
}

static void tell_secure(rewriter_t *it, wsgi_var_t *field)
{
    static const char *const on[] = {"on", "true", "1"}, *const off[] = {"off", "false", "0"};
    set_scheme(it, is_any(field->value, on), is_any(field->value, off));
}

static void tell_host(rewriter_t *it, wsgi_var_t *field)
{
    set_var(it, WSGI_META_HTTP_HOST, field->value);
}

static void tell_server(rewriter_t *it, wsgi_var_t *field)
{
    set_var(it, WSGI_META_SERVER_NAME, field->value);
}

static void tell_port(rewriter_t *it, wsgi_var_t *field)
{
    set_var(it, WSGI_META_SERVER_PORT, field->value);
}

/* mod_wsgi.script_name goes on saying where the application is here. */
static void tell_mount(rewriter_t *it, wsgi_var_t *field)
{
    set_var(it, WSGI_META_SCRIPT_NAME, field->value);
    set_var(it, WSGI_META_MOD_WSGI_MOUNT_POINT, field->value);
}

/* ---- X-Forwarded-For: each proxy adds at the right who has connected to it ---- */

static bool is_trusted(const apr_array_header_t *proxies, apr_sockaddr_t *address)
{
    for (int i = 0; i < proxies->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(proxies, i, apr_ipsubnet_t *), address)) {
            return true;
        }
    }
    return false;
}

/* A name is no address, and is not looked up: who sends it chooses it. */
static bool is_trusted_item(const apr_array_header_t *proxies, const char *item)
{
    apr_sockaddr_t address = {.family = APR_INET, .ipaddr_ptr = &address.sa.sin.sin_addr};
    if (inet_pton(AF_INET, item, address.ipaddr_ptr) != 1) {
        address.family = APR_INET6;
        address.ipaddr_ptr = &address.sa.sin6.sin6_addr;
        if (inet_pton(AF_INET6, item, address.ipaddr_ptr) != 1) {
            return false;
        }
    }
    return is_trusted(proxies, &address);
}

/* The items between the commas, without blanks around them; empty ones are skipped. */
static apr_array_header_t *split(apr_pool_t *pool, wsgi_bytes_t chain)
{
    apr_array_header_t *items = apr_array_make(pool, 8, sizeof(char *));
    char *rest, *text = apr_pstrmemdup(pool, chain.data, chain.len);
    for (char *item = apr_strtok(text, ",", &rest); item != NULL;
         item = apr_strtok(NULL, ",", &rest)) {
        while (apr_isspace(*item)) {
            item++;
        }
        size_t len = strlen(item);
        while (len > 0 && apr_isspace(item[len - 1])) {
            item[--len] = '\0';
        }
        if (len > 0) {
            APR_ARRAY_PUSH(items, char *) = item;
        }
    }
    return items;
}

/* The items from `first` on. apr_array_pstrcat() joins by one character only. */
static const char *join(apr_pool_t *pool, const apr_array_header_t *items, int first)
{
    struct iovec *parts = apr_palloc(pool, (size_t)items->nelts * 2 * sizeof *parts);
    size_t count = 0;
    for (int i = first; i < items->nelts; i++) {
        char *item = APR_ARRAY_IDX(items, i, char *);
        parts[count++] = (struct iovec){", ", i > first ? 2 : 0};
        parts[count++] = (struct iovec){item, strlen(item)};
    }
    return apr_pstrcatv(pool, parts, count, NULL);
}

/* What stands left of the first that is no trusted proxy is anybody's claim. */
static void cut_chain(rewriter_t *it, apr_array_header_t *items, wsgi_var_t *field)
{
    int first = items->nelts - 1;
    while (first > 0 && is_trusted_item(it->proxies, APR_ARRAY_IDX(items, first, char *))) {
        first--;
    }
    set_var(it, WSGI_META_REMOTE_ADDR, wsgi_text(APR_ARRAY_IDX(items, first, char *)));
    field->value = wsgi_text(join(it->r->pool, items, first));
}

static void tell_chain(rewriter_t *it, wsgi_var_t *field)
{
    apr_array_header_t *items = split(it->r->pool, field->value);
    if (items->nelts == 0) {
        return;
    }
    if (it->proxies == NULL) {
        set_var(it, WSGI_META_REMOTE_ADDR, wsgi_text(APR_ARRAY_IDX(items, 0, char *)));
        return;
    }
    cut_chain(it, items, field);
}

/* ---- */

void wsgi_trusted_apply(request_rec *r, const wsgi_dir_config_t *config, wsgi_var_t *vars,
                        wsgi_request_t *request)
{
    rewriter_t it = {r, config->trusted_proxies, request, vars};
    bool is_proxy = it.proxies == NULL || is_trusted(it.proxies, r->useragent_addr);
    const field_t *kept[CLASS_COUNT] = {NULL};
    unsigned classes = 0;
    for (int i = 0; i < config->trusted_headers->nelts; i++) {
        const field_t *field = APR_ARRAY_IDX(config->trusted_headers, i, const field_t *);
        wsgi_var_t *var = is_proxy ? find_var(&it, field->key) : NULL;
        classes |= 1u << field->class;
        if (var != NULL) {
            kept[field->class] = field;
            field->tell(&it, var);
        }
    }
    remove_fields(&it, classes, kept);
}
