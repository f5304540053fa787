/* server/mapping.c — from a URL to a script: WSGIScriptAlias and WSGIScriptAliasMatch.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "route.h"
#include "wsgi_server.h"

/* What a sub-request was mapped by: its notes reach the request that mod_dir makes of it
 * (DirectoryIndex, FallbackResource), its request_config does not. The value is the target of the
 * alias, this very string, so that nobody else can set it. */
#define NOTE_ALIAS "mod_wsgi.alias"

/* An alias that covers a part of the URI, and the file name up to there. */
typedef struct match {
    int index; /* of the alias, in the order of its server; INT_MAX: none yet */
    const char *target;
    size_t covered;
} match_t;

static const wsgi_alias_t *alias_at(const wsgi_server_config_t *config, int index)
{
    return APR_ARRAY_IDX(config->aliases, index, const wsgi_alias_t *);
}

/* For an alias of the root the whole URI follows the target, its slash included. */
static void match_path(const wsgi_server_config_t *config, const char *uri, match_t *match)
{
    size_t covered;
    int index = wsgi_alias_map_find(config->alias_map, uri, &covered);
    if (index >= 0) {
        const wsgi_alias_t *alias = alias_at(config, index);
        bool is_root = alias->path[strspn(alias->path, "/")] == '\0';
        *match = (match_t){index, alias->target, is_root ? 0 : covered};
    }
}

/* The first expression that stands before the path found, searched anywhere in the URI. */
static void match_regex(request_rec *r, const wsgi_server_config_t *config, match_t *match)
{
    ap_regmatch_t found[AP_MAX_REG_MATCH];
    for (int i = 0; i < config->aliases->nelts && i < match->index; i++) {
        const wsgi_alias_t *alias = alias_at(config, i);
        if (alias->regex != NULL &&
            ap_regexec(alias->regex, r->uri, AP_MAX_REG_MATCH, found, 0) == 0) {
            const char *target =
                ap_pregsub(r->pool, alias->target, r->uri, AP_MAX_REG_MATCH, found);
            *match = (match_t){i, target, (size_t)found[0].rm_eo};
        }
    }
}

static void remember(request_rec *r, const wsgi_alias_t *alias)
{
    ap_set_module_config(r->request_config, &wsgi_module, (void *)alias);
    if (r->main != NULL) {
        apr_table_setn(r->notes, NOTE_ALIAS, alias->target);
    }
}

static const wsgi_alias_t *alias_of_target(const wsgi_server_config_t *config, const char *target)
{
    for (int i = 0; i < config->aliases->nelts; i++) {
        if (alias_at(config, i)->target == target) {
            return alias_at(config, i);
        }
    }
    return NULL;
}

static const wsgi_alias_t *alias_of_note(const request_rec *r)
{
    const wsgi_server_config_t *config = wsgi_server_config(r->server);
    const char *target = apr_table_get(r->notes, NOTE_ALIAS);
    if (target == NULL) {
        return NULL;
    }
    const wsgi_alias_t *alias = alias_of_target(config, target);
    return alias == NULL && config->main != NULL ? alias_of_target(config->main, target) : alias;
}

static bool map(request_rec *r, const wsgi_server_config_t *config)
{
    match_t match = {INT_MAX, NULL, 0};
    match_path(config, r->uri, &match);
    if (config->has_regex_aliases) {
        match_regex(r, config, &match);
    }
    if (match.target == NULL) {
        return false;
    }
    r->filename = apr_pstrcat(r->pool, match.target, r->uri + match.covered, NULL);
    r->handler = WSGI_HANDLER_SCRIPT;
    remember(r, alias_at(config, match.index));
    return true;
}

int wsgi_mapping_translate(request_rec *r)
{
    const wsgi_server_config_t *config = wsgi_server_config(r->server);
    if (r->uri[0] != '/') {
        return DECLINED;
    }
    if (config->aliases->nelts > 0 && map(r, config)) {
        return OK;
    }
    const wsgi_server_config_t *main = config->main;
    return main != NULL && main->aliases->nelts > 0 && map(r, main) ? OK : DECLINED;
}

const wsgi_alias_t *wsgi_mapping_alias(const request_rec *r)
{
    const wsgi_alias_t *alias = ap_get_module_config(r->request_config, &wsgi_module);
    return alias != NULL ? alias : alias_of_note(r);
}
