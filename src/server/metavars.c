/* server/metavars.c — meta-variables of a request. What ap_add_common_vars() and ap_add_cgi_vars()
 * would put into tables, without the tables, their copies and a sub-request.
 *
 * A later name wins: httpd's environment of the request first, then the request's fields, then what
 * CGI defines, which nobody may override.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "metavars.h"

#include "http_ssl.h"
#include "util_script.h"

#include "trusted.h"
#include "wsgi_field.h"

typedef struct collector {
    request_rec *r;
    const wsgi_route_t *route;
    const core_dir_config *core;
    wsgi_bytes_t pid;
    wsgi_var_t *next;
    bool is_https; /* by a variable of that name */
    bool is_guard; /* for who decides about access: no credentials */
} collector_t;

static const wsgi_bytes_t absent = {NULL, 0};

static void put(collector_t *it, unsigned number, wsgi_bytes_t name, wsgi_bytes_t value)
{
    *it->next++ = (wsgi_var_t){number, name, value};
}

/* ---- httpd's environment of the request: SetEnv, RewriteRule E=, SSLOptions, REDIRECT_* ---- */

static bool has_prefix(const char *text, const char *prefix, size_t len)
{
    return strncmp(text, prefix, len) == 0;
}

/* A page's mod_include gives those of its own request to what it includes, which has no body. */
static bool tells_body(const char *key)
{
    return strcmp(key, "CONTENT_LENGTH") == 0 || strcmp(key, "CONTENT_TYPE") == 0;
}

/* HTTPS is for us, PATH is httpd's own, the body is told by fields alone; the rest are keys that
 * only the gateway and we may make. */
static bool is_withheld(collector_t *it, const char *key, const char *value)
{
    switch (*key) {
    case 'C':
        return tells_body(key);
    case 'H':
        if (strcmp(key, "HTTPS") == 0) {
            it->is_https = strcasecmp(value, "on") == 0 || strcmp(value, "1") == 0;
            return true;
        }
        return false;
    case 'P':
        return strcmp(key, "PATH") == 0;
    case 'm':
        return has_prefix(key, "mod_wsgi.", 9);
    case 'w':
        return has_prefix(key, "wsgi.", 5);
    default:
        return false;
    }
}

static void collect_environment(collector_t *it, const apr_array_header_t *environment)
{
    const apr_table_entry_t *entries = (const apr_table_entry_t *)environment->elts;
    for (int i = 0; i < environment->nelts; i++) {
        const char *key = entries[i].key;
        const char *value = entries[i].val == NULL ? "" : entries[i].val;
        if (key != NULL && !is_withheld(it, key, value)) {
            wsgi_bytes_t name = wsgi_text(key);
            put(it, wsgi_meta_find(key, name.len), name, wsgi_text(value));
        }
    }
}

/* ---- request fields ---- */

/* Fields that are dropped whatever the settings: Proxy would become HTTP_PROXY, by which clients of
 * the application's own choose a proxy. */
static bool is_passed_unknown(const collector_t *it, wsgi_bytes_t field)
{
    if (field.len == 5) {
        return strcasecmp(field.data, "Proxy") != 0;
    }
    return field.len != 19 || strcasecmp(field.data, "Proxy-Authorization") != 0 ||
           (!it->is_guard && it->core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON);
}

static bool is_passed_known(const collector_t *it, unsigned number)
{
    return number != WSGI_META_HTTP_AUTHORIZATION ||
           (!it->is_guard && (it->route->config.pass_authorization == WSGI_FLAG_ON ||
                              it->core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON));
}

static void collect_unknown_field(collector_t *it, wsgi_bytes_t field, wsgi_bytes_t value)
{
    if (is_passed_unknown(it, field)) {
        char *key = apr_palloc(it->r->pool, field.len + 5);
        size_t len = wsgi_meta_key_from_field(field.data, field.len, key);
        if (len > 0) {
            put(it, WSGI_META_NONE, (wsgi_bytes_t){key, len}, value);
        }
    }
}

static void collect_fields(collector_t *it, const apr_array_header_t *fields)
{
    const apr_table_entry_t *entries = (const apr_table_entry_t *)fields->elts;
    for (int i = 0; i < fields->nelts; i++) {
        if (entries[i].key == NULL) {
            continue;
        }
        wsgi_bytes_t field = wsgi_text(entries[i].key);
        unsigned number = wsgi_meta_find_field(field.data, field.len);
        if (number == WSGI_META_NONE) {
            collect_unknown_field(it, field, wsgi_text(entries[i].val));
        }
        else if (is_passed_known(it, number)) {
            put(it, number, WSGI_LITERAL(""), wsgi_text(entries[i].val));
        }
    }
}

/* ---- CGI ---- */

static wsgi_bytes_t decimal(const collector_t *it, unsigned number)
{
    char *text = apr_palloc(it->r->pool, WSGI_NAME_DECIMAL_BYTES);
    return (wsgi_bytes_t){text, wsgi_name_put_decimal(text, number)};
}

/* Would an output filter see no body of a HEAD request that it would of a GET? */
static bool has_content_filter(const request_rec *r)
{
    const ap_filter_t *filter = r->output_filters;
    return filter != NULL && filter->frec->ftype < AP_FTYPE_PROTOCOL;
}

/* A path as the application sees it, absent where a chroot hides it. */
static wsgi_bytes_t inside(const collector_t *it, const char *path)
{
    return wsgi_text(path == NULL ? NULL : wsgi_route_path_inside(it->route, path));
}

static wsgi_bytes_t get_request_method(const collector_t *it)
{
    int mapping = it->route->config.map_head_to_get;
    bool is_mapped =
        mapping == WSGI_FLAG_ON || (mapping != WSGI_FLAG_OFF && has_content_filter(it->r));
    return it->r->method_number == M_GET && it->r->header_only && is_mapped
               ? WSGI_LITERAL("GET")
               : wsgi_text(it->r->method);
}

static wsgi_bytes_t get_server_protocol(const collector_t *it)
{
    return wsgi_text(it->r->protocol);
}

static wsgi_bytes_t get_query_string(const collector_t *it)
{
    return it->r->args == NULL ? WSGI_LITERAL("") : wsgi_text(it->r->args);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The target as it stands in the request line, over all internal redirects, unless CGIVar asks for
 * the current one. */
static wsgi_bytes_t get_request_uri(const collector_t *it)
{
    const char *rule =
        it->core->cgi_var_rules == NULL
            ? NULL
            : apr_hash_get(it->core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING);
    if (rule != NULL && strcmp(rule, "current-uri") == 0) {
        return wsgi_text(it->r->uri);
    }
    const char *from = it->r->the_request == NULL ? "" : it->r->the_request;
    from += strcspn(from, " \t");
    while (is_blank(*from)) {
        from++;
    }
    return (wsgi_bytes_t){from, strcspn(from, " \t")};
}

static wsgi_bytes_t get_script_name(const collector_t *it)
{
    return it->route->script_name;
}

static wsgi_bytes_t get_path_info(const collector_t *it)
{
    return it->route->path_info;
}

static wsgi_bytes_t get_request_scheme(const collector_t *it)
{
    return wsgi_text(ap_http_scheme(it->r));
}

static wsgi_bytes_t get_context_prefix(const collector_t *it)
{
    return wsgi_text(ap_context_prefix(it->r));
}

static wsgi_bytes_t get_context_document_root(const collector_t *it)
{
    return inside(it, ap_context_document_root(it->r));
}

/* The name may be the client's (UseCanonicalName Off), hence the escapes that CGI scripts rely on. */
static wsgi_bytes_t get_server_name(const collector_t *it)
{
    const char *name = ap_get_server_name_for_url(it->r);
    return wsgi_text(name[strcspn(name, "<>&\"")] == '\0' ? name
                                                          : ap_escape_html(it->r->pool, name));
}

static wsgi_bytes_t get_server_port(const collector_t *it)
{
    return decimal(it, ap_get_server_port(it->r));
}

static wsgi_bytes_t get_server_addr(const collector_t *it)
{
    return wsgi_text(it->r->connection->local_ip);
}

static wsgi_bytes_t get_server_software(const collector_t *it)
{
    (void)it;
    return wsgi_text(ap_get_server_banner());
}

static wsgi_bytes_t get_server_admin(const collector_t *it)
{
    return wsgi_text(it->r->server->server_admin);
}

static wsgi_bytes_t get_remote_addr(const collector_t *it)
{
    return wsgi_text(it->r->useragent_ip);
}

static wsgi_bytes_t get_remote_port(const collector_t *it)
{
    return decimal(it, it->r->connection->client_addr->port);
}

static wsgi_bytes_t get_remote_user(const collector_t *it)
{
    return wsgi_text(it->r->user);
}

static wsgi_bytes_t get_auth_type(const collector_t *it)
{
    return wsgi_text(it->r->ap_auth_type);
}

static wsgi_bytes_t get_document_root(const collector_t *it)
{
    return inside(it, ap_document_root(it->r));
}

static wsgi_bytes_t get_script_filename(const collector_t *it)
{
    return inside(it, it->r->filename);
}

static wsgi_bytes_t get_mod_wsgi_listener_host(const collector_t *it)
{
    const char *host = it->r->connection->local_addr->hostname;
    return host == NULL ? WSGI_LITERAL("") : wsgi_text(host);
}

static wsgi_bytes_t get_mod_wsgi_listener_port(const collector_t *it)
{
    return decimal(it, it->r->connection->local_addr->port);
}

static wsgi_bytes_t get_mod_wsgi_server_pid(const collector_t *it)
{
    return it->pid;
}

/* httpd makes its ids when a line is logged first; we make them now, so that both say the same. */
static wsgi_bytes_t get_mod_wsgi_request_id(const collector_t *it)
{
    request_rec *r = it->r;
    if (r->log_id == NULL) {
        ap_run_generate_log_id(r->connection, r, &r->log_id);
    }
    return wsgi_text(r->log_id);
}

static wsgi_bytes_t get_mod_wsgi_connection_id(const collector_t *it)
{
    conn_rec *connection = it->r->connection;
    if (connection->log_id == NULL) {
        ap_run_generate_log_id(connection, NULL, &connection->log_id);
    }
    return wsgi_text(connection->log_id);
}

static const struct {
    unsigned number;
    wsgi_bytes_t (*get)(const collector_t *it);
} cgi_variables[] = {
    {WSGI_META_REQUEST_METHOD, get_request_method},
    {WSGI_META_SERVER_PROTOCOL, get_server_protocol},
    {WSGI_META_QUERY_STRING, get_query_string},
    {WSGI_META_REQUEST_URI, get_request_uri},
    {WSGI_META_SCRIPT_NAME, get_script_name},
    {WSGI_META_PATH_INFO, get_path_info},
    {WSGI_META_REQUEST_SCHEME, get_request_scheme},
    {WSGI_META_CONTEXT_PREFIX, get_context_prefix},
    {WSGI_META_CONTEXT_DOCUMENT_ROOT, get_context_document_root},
    {WSGI_META_SERVER_NAME, get_server_name},
    {WSGI_META_SERVER_PORT, get_server_port},
    {WSGI_META_SERVER_ADDR, get_server_addr},
    {WSGI_META_SERVER_SOFTWARE, get_server_software},
    {WSGI_META_SERVER_ADMIN, get_server_admin},
    {WSGI_META_REMOTE_ADDR, get_remote_addr},
    {WSGI_META_REMOTE_PORT, get_remote_port},
    {WSGI_META_REMOTE_USER, get_remote_user},
    {WSGI_META_AUTH_TYPE, get_auth_type},
    {WSGI_META_DOCUMENT_ROOT, get_document_root},
    {WSGI_META_SCRIPT_FILENAME, get_script_filename},
    {WSGI_META_MOD_WSGI_SCRIPT_NAME, get_script_name},
    {WSGI_META_MOD_WSGI_PATH_INFO, get_path_info},
    {WSGI_META_MOD_WSGI_LISTENER_HOST, get_mod_wsgi_listener_host},
    {WSGI_META_MOD_WSGI_LISTENER_PORT, get_mod_wsgi_listener_port},
    {WSGI_META_MOD_WSGI_SERVER_PID, get_mod_wsgi_server_pid},
    {WSGI_META_MOD_WSGI_REQUEST_ID, get_mod_wsgi_request_id},
    {WSGI_META_MOD_WSGI_CONNECTION_ID, get_mod_wsgi_connection_id},
};

static void put_unless_absent(collector_t *it, unsigned number, wsgi_bytes_t value)
{
    if (value.data != NULL) {
        put(it, number, WSGI_LITERAL(""), value);
    }
}

static void collect_cgi(collector_t *it)
{
    for (size_t i = 0; i < sizeof cgi_variables / sizeof *cgi_variables; i++) {
        put_unless_absent(it, cgi_variables[i].number, cgi_variables[i].get(it));
    }
}

/* ---- after an internal redirect ---- */

static const char *qualified_url(const collector_t *it, request_rec *previous)
{
    apr_uri_t uri = previous->parsed_uri;
    if (uri.scheme == NULL) {
        uri.scheme = (char *)ap_http_scheme(previous);
    }
    if (uri.hostname == NULL) {
        uri.hostname = (char *)ap_get_server_name_for_url(previous);
    }
    if (uri.port == 0) {
        uri.port = ap_get_server_port(previous);
        uri.port_str = (char *)decimal(it, uri.port).data;
    }
    return apr_uri_unparse(it->r->pool, &uri, 0);
}

static wsgi_bytes_t find_earlier_user(const request_rec *r)
{
    while (r != NULL && r->user == NULL) {
        r = r->prev;
    }
    return r == NULL ? absent : wsgi_text(r->user);
}

static void collect_redirect(collector_t *it, request_rec *previous)
{
    const char *url = it->core->qualify_redirect_url == AP_CORE_CONFIG_ON
                          ? qualified_url(it, previous)
                          : previous->uri;
    put_unless_absent(it, WSGI_META_REDIRECT_URL, wsgi_text(url));
    put_unless_absent(it, WSGI_META_REDIRECT_QUERY_STRING, wsgi_text(previous->args));
    if (it->r->user == NULL) {
        put_unless_absent(it, WSGI_META_REDIRECT_REMOTE_USER, find_earlier_user(previous));
    }
}

#define REDIRECT_VARIABLES 3

void wsgi_metavars_collect(request_rec *r, const wsgi_route_t *route, wsgi_bytes_t pid,
                           wsgi_request_t *request)
{
    const apr_array_header_t *environment = apr_table_elts(r->subprocess_env);
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    size_t most = (size_t)environment->nelts + (size_t)fields->nelts +
                  sizeof cgi_variables / sizeof *cgi_variables + REDIRECT_VARIABLES +
                  WSGI_TRUSTED_VARIABLES;
    wsgi_var_t *vars = apr_palloc(r->pool, most * sizeof *vars);
    collector_t it = {
        .r = r,
        .route = route,
        .core = ap_get_core_module_config(r->per_dir_config),
        .pid = pid,
        .next = vars,
    };
    collect_environment(&it, environment);
    collect_fields(&it, fields);
    collect_cgi(&it);
    if (r->prev != NULL) {
        collect_redirect(&it, r->prev);
    }
    request->vars = vars;
    request->var_count = (size_t)(it.next - vars);
    request->log_id = r->log_id == NULL ? WSGI_LITERAL("") : wsgi_text(r->log_id);
    if (it.is_https || ap_ssl_conn_is_ssl(r->connection)) {
        request->flags |= WSGI_REQUEST_HTTPS;
    }
    if (route->config.trusted_headers != NULL) {
        wsgi_trusted_apply(r, &route->config, vars, request);
    }
}

/* ---- for who decides about access ---- */

static bool is_for_guard(unsigned number)
{
    switch (number) {
    case WSGI_META_REQUEST_METHOD:
    case WSGI_META_SERVER_PROTOCOL:
    case WSGI_META_QUERY_STRING:
    case WSGI_META_REQUEST_URI:
    case WSGI_META_SCRIPT_NAME:
    case WSGI_META_PATH_INFO:
    case WSGI_META_SERVER_NAME:
    case WSGI_META_SERVER_PORT:
    case WSGI_META_SERVER_ADDR:
    case WSGI_META_SERVER_SOFTWARE:
    case WSGI_META_SERVER_ADMIN:
    case WSGI_META_REMOTE_ADDR:
    case WSGI_META_REMOTE_PORT:
    case WSGI_META_DOCUMENT_ROOT:
        return true;
    default:
        return false;
    }
}

static void put_named(collector_t *it, wsgi_bytes_t name, const char *value)
{
    if (value != NULL) {
        put(it, WSGI_META_NONE, name, wsgi_text(value));
    }
}

#define GUARD_VARIABLES 2

void wsgi_metavars_collect_guard(request_rec *r, wsgi_request_t *request)
{
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    size_t count = sizeof cgi_variables / sizeof *cgi_variables;
    size_t most = (size_t)fields->nelts + count + GUARD_VARIABLES;
    wsgi_var_t *vars = apr_palloc(r->pool, most * sizeof *vars);
    wsgi_route_t route = {.group = WSGI_GROUP_EMBEDDED};
    wsgi_route_split_uri(r, &route);
    collector_t it = {
        .r = r,
        .route = &route,
        .core = ap_get_core_module_config(r->per_dir_config),
        .next = vars,
        .is_guard = true,
    };
    collect_fields(&it, fields);
    for (size_t i = 0; i < count; i++) {
        if (is_for_guard(cgi_variables[i].number)) {
            put_unless_absent(&it, cgi_variables[i].number, cgi_variables[i].get(&it));
        }
    }
    put_named(&it, WSGI_LITERAL("SERVER_SIGNATURE"), ap_psignature("", r));
    put_named(&it, WSGI_LITERAL("REMOTE_HOST"), ap_get_useragent_host(r, REMOTE_HOST, NULL));
    request->vars = vars;
    request->var_count = (size_t)(it.next - vars);
}
