/* server/directives.c — from the words of the configuration files to a server's and a directory's
 * settings, by the tables directives.def and daemon_options.def.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "options.h"
#include "wsgi_runtime.h"
#include "wsgi_server.h"

#include <stddef.h>

static wsgi_place_t place_of(const cmd_parms *cmd)
{
    return (wsgi_place_t){apr_pstrdup(cmd->pool, cmd->directive->filename),
                          cmd->directive->line_num};
}

/* The member of a struct that the directive's or option's line in its table names. */
static void *member_at(void *object, size_t offset)
{
    return (char *)object + offset;
}

static size_t directive_offset(const cmd_parms *cmd)
{
    return (size_t)(uintptr_t)cmd->info;
}

static const char *complain_flag(const cmd_parms *cmd, const char *word)
{
    return apr_psprintf(cmd->pool, "%s takes On or Off, not '%s'", cmd->cmd->name, word);
}

/* ---- directory settings ---- */

static const char *set_dir_text(cmd_parms *cmd, void *dir, const char *word)
{
    if (*word == '\0') {
        return apr_psprintf(cmd->pool, "%s takes a name, not an empty text", cmd->cmd->name);
    }
    *(const char **)member_at(dir, directive_offset(cmd)) = word;
    return NULL;
}

static const char *set_dir_flag(cmd_parms *cmd, void *dir, const char *word)
{
    int flag = wsgi_option_flag(word);
    *(int *)member_at(dir, directive_offset(cmd)) = flag;
    return flag < 0 ? complain_flag(cmd, word) : NULL;
}

static const wsgi_group_ref_t *refer_to_group(const cmd_parms *cmd, const char *word)
{
    wsgi_group_ref_t *ref = apr_palloc(cmd->pool, sizeof *ref);
    *ref = (wsgi_group_ref_t){wsgi_name_parse(word), place_of(cmd), WSGI_GROUP_DYNAMIC};
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->group_refs, wsgi_group_ref_t *) = ref;
    return ref;
}

static const char *set_process_group(cmd_parms *cmd, void *dir, const char *word)
{
    ((wsgi_dir_config_t *)dir)->process_group = refer_to_group(cmd, word);
    return NULL;
}

static const wsgi_name_t *keep_name(const cmd_parms *cmd, const char *word)
{
    wsgi_name_t name = wsgi_name_parse(word);
    return apr_pmemdup(cmd->pool, &name, sizeof name);
}

static const char *set_application_group(cmd_parms *cmd, void *dir, const char *word)
{
    ((wsgi_dir_config_t *)dir)->application_group = keep_name(cmd, word);
    return NULL;
}

/* ---- aliases ---- */

static const char *alias_process_group(cmd_parms *cmd, wsgi_dir_config_t *options,
                                       const char *value)
{
    options->process_group = refer_to_group(cmd, value);
    return NULL;
}

static const char *alias_application_group(cmd_parms *cmd, wsgi_dir_config_t *options,
                                           const char *value)
{
    options->application_group = keep_name(cmd, value);
    return NULL;
}

static const char *alias_callable_object(cmd_parms *cmd, wsgi_dir_config_t *options,
                                         const char *value)
{
    options->callable_object = value;
    return *value == '\0' ? apr_psprintf(cmd->pool,
                                         "%s: callable-object takes a name, not an "
                                         "empty text",
                                         cmd->cmd->name)
                          : NULL;
}

static const char *alias_pass_authorization(cmd_parms *cmd, wsgi_dir_config_t *options,
                                            const char *value)
{
    options->pass_authorization = wsgi_option_flag(value);
    return options->pass_authorization >= 0
               ? NULL
               : apr_psprintf(cmd->pool, "%s: pass-authorization takes On or Off, not '%s'",
                              cmd->cmd->name, value);
}

static const struct {
    const char *name;
    const char *(*parse)(cmd_parms *cmd, wsgi_dir_config_t *options, const char *value);
} alias_options[] = {
    {"process-group", alias_process_group},
    {"application-group", alias_application_group},
    {"callable-object", alias_callable_object},
    {"pass-authorization", alias_pass_authorization},
};

/* An option that is not known where it has a value, else a word that is no option=value. */
static const char *complain_option(const cmd_parms *cmd, const wsgi_option_t *option,
                                   const char *known)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is %s; options are: %s", cmd->cmd->name, option->name,
                        option->value != NULL ? "no option" : "not of the form option=value",
                        known);
}

static const char *complain_alias_option(const cmd_parms *cmd, const wsgi_option_t *option)
{
    const char *known = "";
    for (size_t i = 0; i < sizeof alias_options / sizeof *alias_options; i++) {
        known = apr_pstrcat(cmd->pool, known, i == 0 ? "" : " ", alias_options[i].name, NULL);
    }
    return complain_option(cmd, option, known);
}

static const char *parse_alias_option(cmd_parms *cmd, wsgi_dir_config_t *options,
                                      const wsgi_option_t *option)
{
    for (size_t i = 0; i < sizeof alias_options / sizeof *alias_options; i++) {
        if (strcmp(option->name, alias_options[i].name) == 0) {
            return alias_options[i].parse(cmd, options, option->value);
        }
    }
    return complain_alias_option(cmd, option);
}

static const char *parse_alias_options(cmd_parms *cmd, wsgi_dir_config_t *options, const char *args)
{
    wsgi_option_t option;
    enum wsgi_option_result result;
    while ((result = wsgi_option_take(cmd->pool, &args, &option)) == WSGI_OPTION_TAKEN) {
        const char *error = parse_alias_option(cmd, options, &option);
        if (error != NULL) {
            return error;
        }
    }
    return result == WSGI_OPTION_BAD ? complain_alias_option(cmd, &option) : NULL;
}

/* Takes the two words and the options; the first word goes to *from. */
static const char *parse_alias(cmd_parms *cmd, const char *args, const char **from,
                               wsgi_alias_t **made)
{
    wsgi_alias_t *alias = *made = apr_pcalloc(cmd->pool, sizeof *alias);
    alias->options = *(wsgi_dir_config_t *)wsgi_config_create_dir(cmd->pool, NULL);
    *from = ap_getword_conf(cmd->pool, &args);
    alias->target = ap_getword_conf(cmd->pool, &args);
    if (**from == '\0' || *alias->target == '\0') {
        return apr_psprintf(cmd->pool, "%s wants: %s", cmd->cmd->name, cmd->cmd->errmsg);
    }
    return parse_alias_options(cmd, &alias->options, args);
}

static void keep_alias(const cmd_parms *cmd, wsgi_alias_t *alias)
{
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->aliases, wsgi_alias_t *) = alias;
}

static const char *add_alias(cmd_parms *cmd, void *dir, const char *args)
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

static const char *add_alias_match(cmd_parms *cmd, void *dir, const char *args)
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

/* ---- process groups ---- */

typedef struct daemon_option {
    const char *name;
    const char *(*parse)(cmd_parms *cmd, wsgi_group_draft_t *draft,
                         const struct daemon_option *option, const char *value);
    size_t offset;
    int64_t least, most;
} daemon_option_t;

static const char *option_number(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                 const daemon_option_t *option, const char *value)
{
    const char *group = draft->group.settings.name;
    int64_t *number = member_at(draft, option->offset);
    int junk = wsgi_option_number(value, option->least, option->most, number);
    if (junk < 0) {
        return apr_psprintf(cmd->pool,
                            "%s '%s': %s takes a number from %" APR_INT64_T_FMT
                            " to %" APR_INT64_T_FMT ", not '%s'",
                            cmd->cmd->name, group, option->name, option->least, option->most,
                            value);
    }
    if (junk > 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                     WSGI_ID(1501) "%s:%d: %s '%s': %s=%s is taken for %" APR_INT64_T_FMT
                                   "; write the number alone",
                     cmd->directive->filename, cmd->directive->line_num, cmd->cmd->name, group,
                     option->name, value, *number);
    }
    return NULL;
}

static const char *option_text(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    (void)cmd;
    *(const char **)member_at(draft, option->offset) = value;
    return NULL;
}

static const char *option_directory(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                    const daemon_option_t *option, const char *value)
{
    if (*value != '/') {
        return apr_psprintf(cmd->pool, "%s '%s': %s takes an absolute directory, not '%s'",
                            cmd->cmd->name, draft->group.settings.name, option->name, value);
    }
    return option_text(cmd, draft, option, value);
}

static const char *option_display_name(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                       const daemon_option_t *option, const char *value)
{
    if (strcmp(value, "%{GROUP}") == 0) {
        value = apr_psprintf(cmd->pool, "(wsgi:%s)", draft->group.settings.name);
    }
    return option_text(cmd, draft, option, value);
}

static const daemon_option_t daemon_options[] = {
#define OPTION(name, parser, member, least, most, unset, help)                                     \
    {name, parser, offsetof(wsgi_group_draft_t, member), least, most},
#include "daemon_options.def"
#undef OPTION
};

static const char *complain_daemon_option(const cmd_parms *cmd, const wsgi_option_t *option)
{
    const char *known = "";
    for (size_t i = 0; i < sizeof daemon_options / sizeof *daemon_options; i++) {
        known = apr_pstrcat(cmd->pool, known, i == 0 ? "" : " ", daemon_options[i].name, NULL);
    }
    return complain_option(cmd, option, known);
}

static const char *parse_daemon_option(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                       const wsgi_option_t *option)
{
    for (size_t i = 0; i < sizeof daemon_options / sizeof *daemon_options; i++) {
        if (strcmp(option->name, daemon_options[i].name) == 0) {
            return daemon_options[i].parse(cmd, draft, &daemon_options[i], option->value);
        }
    }
    return complain_daemon_option(cmd, option);
}

#define THREADS_DEFAULT    15
#define CONNECT_TIMEOUT_S  15
#define LISTEN_BACKLOG     100
#define SHUTDOWN_TIMEOUT_S 5

/* processes stays 0 where it is not given: that is what wsgi.multiprocess asks. */
static const wsgi_group_settings_t group_unset = {
#define TEXT(member) .member = "",
#define NUMBER(member)
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    .threads = THREADS_DEFAULT,
    .shutdown_timeout_s = SHUTDOWN_TIMEOUT_S,
    .connect_timeout_s = CONNECT_TIMEOUT_S,
    .listen_backlog = LISTEN_BACKLOG,
    .hash_seed = WSGI_HASH_SEED_RANDOM,
};

static wsgi_group_draft_t *draft_group(const cmd_parms *cmd, const char *name)
{
    wsgi_group_draft_t *draft = apr_pcalloc(cmd->pool, sizeof *draft);
    draft->place = place_of(cmd);
    draft->group.server = cmd->server;
    draft->group.settings = group_unset;
    draft->group.settings.name = name;
    return draft;
}

static const char *add_group(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    const char *name = ap_getword_conf(cmd->pool, &args);
    if (*name == '\0' || *name == '%' || strchr(name, '=') != NULL) {
        return apr_psprintf(cmd->pool, "%s wants: %s; '%s' is no name for a group", cmd->cmd->name,
                            cmd->cmd->errmsg, name);
    }
    wsgi_group_draft_t *draft = draft_group(cmd, name);
    wsgi_option_t option;
    enum wsgi_option_result result;
    while ((result = wsgi_option_take(cmd->pool, &args, &option)) == WSGI_OPTION_TAKEN) {
        const char *error = parse_daemon_option(cmd, draft, &option);
        if (error != NULL) {
            return error;
        }
    }
    if (result == WSGI_OPTION_BAD) {
        return complain_daemon_option(cmd, &option);
    }
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->group_drafts, wsgi_group_draft_t *) = draft;
    return NULL;
}

/* ---- the whole server's ---- */

static const char *set_server_text(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    *(const char **)member_at(wsgi_server_config(cmd->server), directive_offset(cmd)) = word;
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

static const char *accept_path(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir, (void)word;
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, cmd->server, "%s is %s", cmd->cmd->name,
                 cmd->cmd->errmsg);
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

static const char *accept_flag(cmd_parms *cmd, void *dir, const char *word)
{
    return wsgi_option_flag(word) < 0 ? complain_flag(cmd, word) : accept_path(cmd, dir, word);
}

static const char *accept_mutex(cmd_parms *cmd, void *dir, const char *word)
{
    static const char *const kinds[] = {"default", "flock",    "fcntl",
                                        "sysvsem", "posixsem", "pthread"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(word, kinds[i]) == 0) {
            return accept_path(cmd, dir, word);
        }
    }
    return apr_psprintf(cmd->pool,
                        "%s takes default, flock, fcntl, sysvsem, posixsem or pthread, "
                        "not '%s'",
                        cmd->cmd->name, word);
}

/* ---- the table ---- */

/* Where httpd lets a directive stand; GLOBAL's parsers refuse virtual hosts as well. */
#define WSGI_IN_GLOBAL                       RSRC_CONF
#define WSGI_IN_SERVER                       RSRC_CONF
#define WSGI_IN_DIR                          (RSRC_CONF | ACCESS_CONF)
#define WSGI_IN_FILEINFO                     (RSRC_CONF | ACCESS_CONF | OR_FILEINFO)

#define MEMBER_set_dir_text(member)          offsetof(wsgi_dir_config_t, member)
#define MEMBER_set_dir_flag(member)          offsetof(wsgi_dir_config_t, member)
#define MEMBER_set_server_text(member)       offsetof(wsgi_server_config_t, member)
#define MEMBER_set_process_group(member)     0
#define MEMBER_set_application_group(member) 0
#define MEMBER_add_alias(member)             0
#define MEMBER_add_alias_match(member)       0
#define MEMBER_add_group(member)             0
#define MEMBER_accept_path(member)           0
#define MEMBER_accept_flag(member)           0
#define MEMBER_accept_mutex(member)          0

const command_rec wsgi_directives[] = {
#define DIRECTIVE(name, context, arguments, parser, member, unset, help)                           \
    AP_INIT_##arguments(#name, parser, (void *)(uintptr_t)MEMBER_##parser(member),                 \
                        WSGI_IN_##context, help),
#include "directives.def"
#undef DIRECTIVE
    {.name = NULL},
};
