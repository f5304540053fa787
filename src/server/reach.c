/* server/reach.c — what requests can lead to: Python in httpd's children, and which process groups
 * serve one application only.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "reach.h"

#include "ap_listen.h"

/* What holds in a server where no section says otherwise; virtual hosts have inherited it. */
static const wsgi_dir_config_t *defaults(const server_rec *server)
{
    return ap_get_module_config(server->lookup_defaults, &wsgi_module);
}

static const wsgi_group_ref_t *default_group(const server_rec *server)
{
    const wsgi_dir_config_t *dir = defaults(server);
    return dir == NULL ? NULL : dir->process_group;
}

/* ---- httpd's own children ---- */

/* Can a request get a handler of ours other than by an alias? Any directive may name it (SetHandler,
 * AddHandler, a rewrite rule's [H=]), and so can an .htaccess that may say such things. */
static bool may_set_handler(const ap_directive_t *node)
{
    for (; node != NULL; node = node->next) {
        const char *args = node->args == NULL ? "" : node->args;
        if (strstr(args, "wsgi-script") != NULL || strstr(args, "x-httpd-wsgi") != NULL ||
            (strncasecmp(node->directive, "AllowOverride", 13) == 0 &&
             strcasecmp(args, "None") != 0) ||
            (strcasecmp(node->directive, "WSGIHandlerScript") == 0 &&
             strstr(args, "process-group=") == NULL) ||
            may_set_handler(node->first_child)) {
            return true;
        }
    }
    return false;
}

static bool lets_htaccess_authenticate(const ap_directive_t *node)
{
    const char *args = node->args == NULL ? "" : node->args;
    return (strcasecmp(node->directive, "AllowOverride") == 0 &&
            (ap_strcasestr(args, "AuthConfig") != NULL || ap_strcasestr(args, "All") != NULL)) ||
           (strcasecmp(node->directive, "AllowOverrideList") == 0 &&
            ap_strcasestr(args, "WSGIA") != NULL);
}

/* A script that httpd asks while it processes a request. Where children may have Python anyway, an
 * .htaccess can bring one too. */
static bool may_have_hooks(const ap_directive_t *node, bool may_be_in_htaccess)
{
    static const char *const names[] = {"WSGIDispatchScript", "WSGIAccessScript",
                                        "WSGIAuthUserScript", "WSGIAuthGroupScript"};
    for (; node != NULL; node = node->next) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strcasecmp(node->directive, names[i]) == 0) {
                return true;
            }
        }
        if ((may_be_in_htaccess && lets_htaccess_authenticate(node)) ||
            may_have_hooks(node->first_child, may_be_in_htaccess)) {
            return true;
        }
    }
    return false;
}

static bool has_open_alias(const wsgi_server_config_t *config)
{
    for (int i = 0; i < config->aliases->nelts; i++) {
        if (APR_ARRAY_IDX(config->aliases, i, wsgi_alias_t *)->options.process_group == NULL) {
            return true;
        }
    }
    return false;
}

/* Does this server delegate whatever says nothing itself? */
static bool delegates_by_default(const server_rec *server)
{
    const wsgi_group_ref_t *ref = default_group(server);
    return ref != NULL && ref->group >= 0;
}

static bool refers_to_embedded(const wsgi_server_config_t *config)
{
    for (int i = 0; i < config->group_refs->nelts; i++) {
        if (APR_ARRAY_IDX(config->group_refs, i, wsgi_group_ref_t *)->group < 0) {
            return true;
        }
    }
    return false;
}

bool wsgi_reach_embedded(const wsgi_settings_t *settings, const server_rec *main_server)
{
    const wsgi_server_config_t *main = wsgi_server_config(main_server);
    if (may_have_hooks(ap_conftree, !settings->restrict_embedded)) {
        return true;
    }
    if (settings->restrict_embedded) {
        return false;
    }
    bool may_set = may_set_handler(ap_conftree);
    for (const server_rec *s = main_server; s != NULL; s = s->next) {
        const wsgi_server_config_t *config = wsgi_server_config(s);
        bool is_reached = may_set || has_open_alias(config) || has_open_alias(main);
        if (refers_to_embedded(config) || (is_reached && !delegates_by_default(s))) {
            return true;
        }
    }
    return false;
}

/* ---- groups of one application ---- */

/* The ways by which requests get to a group. */
typedef struct ways {
    int group;
    int aliases; /* in how many servers how many lead there */
    const wsgi_alias_t *alias;
    server_rec *server;
    bool has_others; /* sections, handler scripts, imports into %{GLOBAL} */
} ways_t;

/* Does anything but a server as a whole choose interpreters, or a script choose groups? */
static bool may_choose(const ap_directive_t *node, bool is_section)
{
    for (; node != NULL; node = node->next) {
        bool is_host = strncasecmp(node->directive, "<VirtualHost", 12) == 0;
        if ((is_section && strcasecmp(node->directive, "WSGIApplicationGroup") == 0) ||
            strcasecmp(node->directive, "WSGIDispatchScript") == 0 ||
            may_choose(node->first_child, is_section || !is_host)) {
            return true;
        }
    }
    return false;
}

/* A name that a request expands may be any group's. */
static bool has_dynamic_group(const server_rec *main_server)
{
    for (const server_rec *s = main_server; s != NULL; s = s->next) {
        const apr_array_header_t *refs = wsgi_server_config(s)->group_refs;
        for (int i = 0; i < refs->nelts; i++) {
            if (APR_ARRAY_IDX(refs, i, wsgi_group_ref_t *)->group == WSGI_GROUP_DYNAMIC) {
                return true;
            }
        }
    }
    return false;
}

static void count_aliases(ways_t *ways, server_rec *server, const wsgi_server_config_t *config)
{
    const wsgi_group_ref_t *unsaid = default_group(server);
    for (int i = 0; i < config->aliases->nelts; i++) {
        const wsgi_alias_t *alias = APR_ARRAY_IDX(config->aliases, i, wsgi_alias_t *);
        const wsgi_group_ref_t *ref = alias->options.process_group;
        ref = ref != NULL ? ref : unsaid;
        if (ref != NULL && ref->group == ways->group) {
            ways->aliases++;
            ways->alias = alias;
            ways->server = server;
        }
    }
}

static bool is_of_alias(const wsgi_server_config_t *config, const wsgi_group_ref_t *ref)
{
    for (int i = 0; i < config->aliases->nelts; i++) {
        if (APR_ARRAY_IDX(config->aliases, i, wsgi_alias_t *)->options.process_group == ref) {
            return true;
        }
    }
    return false;
}

/* An import is no request; but one that names the main interpreter has it to itself. */
static bool is_of_import(const wsgi_server_config_t *config, const wsgi_group_ref_t *ref)
{
    for (int i = 0; i < config->imports->nelts; i++) {
        const wsgi_import_t *import = APR_ARRAY_IDX(config->imports, i, wsgi_import_t *);
        if (import->process_group == ref) {
            return import->application_group->text.len > 0;
        }
    }
    return false;
}

/* What is left of the mentions is a section's, or a handler script's. */
static bool has_other_mention(int group, const server_rec *server)
{
    const wsgi_server_config_t *config = wsgi_server_config(server);
    for (int i = 0; i < config->group_refs->nelts; i++) {
        const wsgi_group_ref_t *ref = APR_ARRAY_IDX(config->group_refs, i, wsgi_group_ref_t *);
        if (ref->group == group && ref != default_group(server) && !is_of_alias(config, ref) &&
            !is_of_import(config, ref)) {
            return true;
        }
    }
    return false;
}

static ways_t find_ways(int group, server_rec *main_server, bool may_set)
{
    ways_t ways = {.group = group};
    const wsgi_server_config_t *main = wsgi_server_config(main_server);
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        const wsgi_server_config_t *config = wsgi_server_config(s);
        const wsgi_group_ref_t *unsaid = default_group(s);
        count_aliases(&ways, s, config);
        if (config != main) {
            count_aliases(&ways, s, main);
        }
        ways.has_others |=
            has_other_mention(group, s) || (may_set && unsaid != NULL && unsaid->group == group);
    }
    return ways;
}

static bool is_default_name(const wsgi_name_t *name)
{
    return name == NULL || name->kind == WSGI_NAME_RESOURCE;
}

/* A directory holds as many applications as files; what is not there may become one. */
static bool is_file(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    return apr_stat(&info, path, APR_FINFO_TYPE, pool) == APR_SUCCESS && info.filetype == APR_REG;
}

static bool is_one_application(const ways_t *ways, const wsgi_group_t *group, apr_pool_t *pool)
{
    if (ways->aliases != 1 || ways->has_others || group->settings.threads == 0) {
        return false;
    }
    const wsgi_alias_t *alias = ways->alias;
    return alias->path != NULL && is_default_name(alias->options.application_group) &&
           is_default_name(defaults(ways->server)->application_group) &&
           wsgi_settings_may_use(ways->server, group) && is_file(alias->target, pool);
}

/* As in the URLs of clients that come where the configuration listens. */
static unsigned port_of(const server_rec *server)
{
    if (server->port != 0) {
        return server->port;
    }
    if (server->is_virtual && server->addrs != NULL && server->addrs->host_port != 0) {
        return server->addrs->host_port;
    }
    return ap_listeners != NULL ? ap_listeners->bind_addr->port : DEFAULT_HTTP_PORT;
}

static const char *name_of(const ways_t *ways, bool is_case_blind, apr_pool_t *pconf)
{
    static const wsgi_name_t resource = {WSGI_NAME_RESOURCE, {"", 0}};
    wsgi_bytes_t script = wsgi_name_collapse_slashes(wsgi_text(ways->alias->path), pconf);
    while (script.len > 0 && script.data[script.len - 1] == '/') {
        script.len--;
    }
    const wsgi_name_place_t place = {
        .server = ways->server->server_hostname,
        .host = ways->server->server_hostname,
        .port = port_of(ways->server),
        .script_name = script,
    };
    char *name = apr_pstrdup(pconf, wsgi_name_expand(&resource, &place, pconf).data);
    if (is_case_blind) {
        ap_str_tolower(name);
    }
    return name;
}

void wsgi_reach_place(const wsgi_settings_t *settings, server_rec *main_server, apr_pool_t *pconf)
{
    if (has_dynamic_group(main_server) || may_choose(ap_conftree, false)) {
        return;
    }
    bool may_set = may_set_handler(ap_conftree);
    for (unsigned i = 0; i < settings->group_count; i++) {
        wsgi_group_t *group = &settings->groups[i];
        ways_t ways = find_ways((int)i, main_server, may_set);
        if (is_one_application(&ways, group, pconf)) {
            group->settings.main_application_group = name_of(&ways, settings->is_case_blind, pconf);
        }
    }
}
