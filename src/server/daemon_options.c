/* server/daemon_options.c — WSGIDaemonProcess: a process group as written, by daemon_options.def.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "directives.h"

#include "wsgi_runtime.h"

#include <stddef.h>

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
    int64_t *number = wsgi_member_at(draft, option->offset);
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
    *(const char **)wsgi_member_at(draft, option->offset) = value;
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

static const char *complain(const cmd_parms *cmd, const wsgi_option_t *option)
{
    const char *known = "";
    for (size_t i = 0; i < sizeof daemon_options / sizeof *daemon_options; i++) {
        known = apr_pstrcat(cmd->pool, known, i == 0 ? "" : " ", daemon_options[i].name, NULL);
    }
    return wsgi_directive_complain_option(cmd, option, known);
}

static const char *parse_option(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                const wsgi_option_t *option)
{
    for (size_t i = 0; i < sizeof daemon_options / sizeof *daemon_options; i++) {
        if (strcmp(option->name, daemon_options[i].name) == 0) {
            return daemon_options[i].parse(cmd, draft, &daemon_options[i], option->value);
        }
    }
    return complain(cmd, option);
}

static wsgi_group_draft_t *make_draft(const cmd_parms *cmd, const char *name)
{
    wsgi_group_draft_t *draft = apr_pcalloc(cmd->pool, sizeof *draft);
    draft->place = wsgi_directive_place(cmd);
    draft->group.server = cmd->server;
    draft->group.settings = wsgi_group_unset;
    draft->group.settings.name = name;
    return draft;
}

const char *wsgi_directive_add_group(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    const char *name = ap_getword_conf(cmd->pool, &args);
    if (*name == '\0' || *name == '%' || strchr(name, '=') != NULL) {
        return apr_psprintf(cmd->pool, "%s wants: %s; '%s' is no name for a group", cmd->cmd->name,
                            cmd->cmd->errmsg, name);
    }
    wsgi_group_draft_t *draft = make_draft(cmd, name);
    wsgi_option_t option;
    enum wsgi_option_result result;
    while ((result = wsgi_option_take(cmd->pool, &args, &option)) == WSGI_OPTION_TAKEN) {
        const char *error = parse_option(cmd, draft, &option);
        if (error != NULL) {
            return error;
        }
    }
    if (result == WSGI_OPTION_BAD) {
        return complain(cmd, &option);
    }
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->group_drafts, wsgi_group_draft_t *) = draft;
    return NULL;
}
