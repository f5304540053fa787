/* server/script_directives.c — directives that name a script and go on with options: aliases,
 * handler scripts, imports, hook scripts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "directives.h"

#include "apr_hash.h"

#include "wsgi_server.h"

/* ---- options ---- */

static const char *option_process_group(cmd_parms *cmd, wsgi_dir_config_t *options,
                                        const char *value)
{
    if (options->process_group != NULL) { /* given before: it need not exist */
        (void)apr_array_pop(wsgi_server_config(cmd->server)->group_refs);
    }
    options->process_group = wsgi_directive_refer(cmd, value);
    return NULL;
}

static const char *option_application_group(cmd_parms *cmd, wsgi_dir_config_t *options,
                                            const char *value)
{
    options->application_group = wsgi_directive_name(cmd, wsgi_name_parse(value));
    return NULL;
}

static const char *option_interpreter(cmd_parms *cmd, wsgi_dir_config_t *options, const char *value)
{
    options->application_group = wsgi_directive_name(cmd, wsgi_name_parse_hook(value));
    return NULL;
}

static const char *option_callable_object(cmd_parms *cmd, wsgi_dir_config_t *options,
                                          const char *value)
{
    options->callable_object = wsgi_directive_name(cmd, wsgi_name_literal(value));
    return *value == '\0'
               ? apr_psprintf(cmd->pool, "%s: callable-object takes a name, not an empty text",
                              cmd->cmd->name)
               : NULL;
}

static const char *option_pass_authorization(cmd_parms *cmd, wsgi_dir_config_t *options,
                                             const char *value)
{
    options->pass_authorization = wsgi_option_flag(value);
    return options->pass_authorization >= 0
               ? NULL
               : wsgi_directive_complain_flag(
                     cmd, apr_pstrcat(cmd->pool, cmd->cmd->name, ": pass-authorization", NULL),
                     value);
}

enum user { ALIAS = 1, HANDLER = 2, IMPORT = 4, HOOK = 8 };

static const struct {
    const char *name;
    unsigned users; /* enum user */
    const char *(*parse)(cmd_parms *cmd, wsgi_dir_config_t *options, const char *value);
} known_options[] = {
    {"process-group", ALIAS | HANDLER | IMPORT, option_process_group},
    {"application-group", ALIAS | HANDLER | IMPORT, option_application_group},
    {"application-group", HOOK, option_interpreter},
    {"callable-object", ALIAS, option_callable_object},
    {"pass-authorization", ALIAS | HANDLER, option_pass_authorization},
};

static const char *complain(const cmd_parms *cmd, enum user user, const wsgi_option_t *option)
{
    const char *known = "";
    for (size_t i = 0; i < sizeof known_options / sizeof *known_options; i++) {
        if ((known_options[i].users & user) != 0) {
            known = apr_pstrcat(cmd->pool, known, *known == '\0' ? "" : " ", known_options[i].name,
                                NULL);
        }
    }
    return wsgi_directive_complain_option(cmd, option, known);
}

static const char *parse_option(cmd_parms *cmd, enum user user, wsgi_dir_config_t *options,
                                const wsgi_option_t *option)
{
    for (size_t i = 0; i < sizeof known_options / sizeof *known_options; i++) {
        if ((known_options[i].users & user) != 0 &&
            strcmp(option->name, known_options[i].name) == 0) {
            return known_options[i].parse(cmd, options, option->value);
        }
    }
    return complain(cmd, user, option);
}

static const char *parse_options(cmd_parms *cmd, enum user user, wsgi_dir_config_t *options,
                                 const char *args)
{
    *options = *(wsgi_dir_config_t *)wsgi_config_create_dir(cmd->pool, NULL);
    wsgi_option_t option;
    enum wsgi_option_result result;
    while ((result = wsgi_option_take(cmd->pool, &args, &option)) == WSGI_OPTION_TAKEN) {
        const char *error = parse_option(cmd, user, options, &option);
        if (error != NULL) {
            return error;
        }
    }
    return result == WSGI_OPTION_BAD ? complain(cmd, user, &option) : NULL;
}

static const char *complain_words(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s wants: %s", cmd->cmd->name, cmd->cmd->errmsg);
}

/* ---- aliases ---- */

/* Takes the two words and the options; the first word goes to *from. */
static const char *parse_alias(cmd_parms *cmd, const char *args, const char **from,
                               wsgi_alias_t **made)
{
    wsgi_alias_t *alias = *made = apr_pcalloc(cmd->pool, sizeof *alias);
    alias->place = wsgi_directive_place(cmd);
    *from = ap_getword_conf(cmd->pool, &args);
    alias->target = ap_getword_conf(cmd->pool, &args);
    if (**from == '\0' || *alias->target == '\0') {
        return complain_words(cmd);
    }
    return parse_options(cmd, ALIAS, &alias->options, args);
}

static void keep_alias(const cmd_parms *cmd, wsgi_alias_t *alias)
{
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->aliases, wsgi_alias_t *) = alias;
}

const char *wsgi_directive_add_alias(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    wsgi_alias_t *alias;
    const char *path, *error = parse_alias(cmd, args, &path, &alias);
    if (error != NULL) {
        return error;
    }
    if (*path != '/') {
        return apr_psprintf(cmd->pool, "%s: the URL path '%s' must begin with '/'", cmd->cmd->name,
                            path);
    }
    alias->path = path;
    keep_alias(cmd, alias);
    return NULL;
}

const char *wsgi_directive_add_alias_match(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    wsgi_alias_t *alias;
    const char *pattern, *error = parse_alias(cmd, args, &pattern, &alias);
    if (error != NULL) {
        return error;
    }
    alias->regex = ap_pregcomp(cmd->pool, pattern, AP_REG_EXTENDED);
    if (alias->regex == NULL) {
        return apr_psprintf(cmd->pool, "%s: '%s' is not a regular expression", cmd->cmd->name,
                            pattern);
    }
    keep_alias(cmd, alias);
    return NULL;
}

/* ---- handler scripts ---- */

const char *wsgi_directive_add_handler_script(cmd_parms *cmd, void *dir, const char *args)
{
    wsgi_dir_config_t *config = dir;
    wsgi_handler_script_t *handler = apr_pcalloc(cmd->pool, sizeof *handler);
    const char *name = ap_getword_conf(cmd->pool, &args);
    handler->script = ap_getword_conf(cmd->pool, &args);
    if (*name == '\0' || *handler->script == '\0') {
        return complain_words(cmd);
    }
    if (config->handler_scripts == NULL) {
        config->handler_scripts = apr_hash_make(cmd->pool);
    }
    apr_hash_set(config->handler_scripts, name, APR_HASH_KEY_STRING, handler);
    return parse_options(cmd, HANDLER, &handler->options, args);
}

/* ---- imports ---- */

const char *wsgi_directive_add_import_script(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    wsgi_import_t *import = apr_pcalloc(cmd->pool, sizeof *import);
    wsgi_dir_config_t options;
    import->script = ap_getword_conf(cmd->pool, &args);
    if (*import->script == '\0') {
        return complain_words(cmd);
    }
    const char *error = parse_options(cmd, IMPORT, &options, args);
    if (error != NULL) {
        return error;
    }
    if (options.process_group == NULL || options.application_group == NULL) {
        return apr_psprintf(cmd->pool, "%s wants both process-group= and application-group=: %s",
                            cmd->cmd->name, import->script);
    }
    if (options.process_group->name.kind != WSGI_NAME_LITERAL ||
        options.application_group->kind != WSGI_NAME_LITERAL) {
        return apr_psprintf(cmd->pool,
                            "%s runs before any request: process-group= and application-group= "
                            "take a name or %%{GLOBAL}, nothing that a request expands",
                            cmd->cmd->name);
    }
    import->place = wsgi_directive_place(cmd);
    import->process_group = options.process_group;
    import->application_group = options.application_group;
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->imports, wsgi_import_t *) = import;
    return NULL;
}

/* ---- hook scripts ---- */

static void keep_hook(const cmd_parms *cmd, wsgi_dir_config_t *config,
                      const wsgi_hook_script_t *hook)
{
    wsgi_hook_scripts_t *hooks = apr_pcalloc(cmd->pool, sizeof *hooks);
    if (config->hooks != NULL) {
        *hooks = *config->hooks;
    }
    const wsgi_hook_script_t **member = wsgi_member_at(hooks, (size_t)(uintptr_t)cmd->info);
    *member = hook;
    config->hooks = hooks;
}

const char *wsgi_directive_set_hook_script(cmd_parms *cmd, void *dir, const char *args)
{
    wsgi_hook_script_t *hook = apr_palloc(cmd->pool, sizeof *hook);
    wsgi_dir_config_t options;
    hook->script = ap_getword_conf(cmd->pool, &args);
    if (*hook->script == '\0') {
        return complain_words(cmd);
    }
    const char *error = parse_options(cmd, HOOK, &options, args);
    hook->application_group =
        options.application_group != NULL ? *options.application_group : wsgi_name_literal("");
    keep_hook(cmd, dir, hook);
    return error;
}
