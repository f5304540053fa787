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
    const char *help;
} daemon_option_t;

/* What every complaint begins with. */
static const char *where(const cmd_parms *cmd, const wsgi_group_draft_t *draft)
{
    return apr_psprintf(cmd->pool, "%s '%s'", cmd->cmd->name, draft->group.settings.name);
}

static void warn_of_junk(const cmd_parms *cmd, const wsgi_group_draft_t *draft,
                         const daemon_option_t *option, const char *value, int junk)
{
    int len = (int)strlen(value) - junk;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                 WSGI_ID(1501) "%s:%d: %s: %s=%s is taken for %.*s; write the number alone",
                 cmd->directive->filename, cmd->directive->line_num, where(cmd, draft),
                 option->name, value, len, value);
}

static const char *option_number(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                 const daemon_option_t *option, const char *value)
{
    int64_t *number = wsgi_member_at(draft, option->offset);
    int junk = wsgi_option_number(value, option->least, option->most, number);
    if (junk < 0) {
        return apr_psprintf(cmd->pool,
                            "%s: %s takes a number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                            ", not '%s'",
                            where(cmd, draft), option->name, option->least, option->most, value);
    }
    if (junk > 0) {
        warn_of_junk(cmd, draft, option, value, junk);
    }
    return NULL;
}

/* Bytes; 0 is the default, whatever the least may be. */
static const char *option_size(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    int64_t *number = wsgi_member_at(draft, option->offset);
    int junk = wsgi_option_number(value, 0, option->most, number);
    if (junk < 0 || (*number != 0 && *number < option->least)) {
        return apr_psprintf(
            cmd->pool,
            "%s: %s takes 0 (the default) or a number of bytes from %" APR_INT64_T_FMT
            " to %" APR_INT64_T_FMT ", not '%s'",
            where(cmd, draft), option->name, option->least, option->most, value);
    }
    if (junk > 0) {
        warn_of_junk(cmd, draft, option, value, junk);
    }
    return NULL;
}

static const char *option_octal(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                const daemon_option_t *option, const char *value)
{
    int64_t *number = wsgi_member_at(draft, option->offset);
    int junk = wsgi_option_octal(value, option->least, option->most, number);
    if (junk < 0) {
        return apr_psprintf(
            cmd->pool,
            "%s: %s takes an octal number from %" APR_INT64_T_FMT " to %o, such as 022, not '%s'",
            where(cmd, draft), option->name, option->least, (unsigned)option->most, value);
    }
    if (junk > 0) {
        warn_of_junk(cmd, draft, option, value, junk);
    }
    return NULL;
}

static const char *option_interval(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                   const daemon_option_t *option, const char *value)
{
    return wsgi_option_interval(value, wsgi_member_at(draft, option->offset)) == 0
               ? NULL
               : apr_psprintf(cmd->pool,
                              "%s: %s takes seconds, from 0.000001 to 3600 (Python's own is "
                              "0.005), not '%s'",
                              where(cmd, draft), option->name, value);
}

static const char *option_flag(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    int flag = wsgi_option_flag(value);
    if (flag < 0) {
        return wsgi_directive_complain_flag(
            cmd, apr_pstrcat(cmd->pool, where(cmd, draft), ": ", option->name, NULL), value);
    }
    *(int64_t *)wsgi_member_at(draft, option->offset) = flag;
    return NULL;
}

static const char *option_text(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    (void)cmd;
    *(const char **)wsgi_member_at(draft, option->offset) = value;
    return NULL;
}

static const char *option_name(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    if (*value == '\0') {
        return apr_psprintf(cmd->pool, "%s: %s takes a name, not an empty text", where(cmd, draft),
                            option->name);
    }
    return option_text(cmd, draft, option, value);
}

static const char *option_path(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    if (*value != '/') {
        return apr_psprintf(cmd->pool, "%s: %s takes an absolute path, not '%s'", where(cmd, draft),
                            option->name, value);
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

/* ---- options without effect: checked as ever, so that a configuration means the same to both ---- */

static const char *tell_no_effect(const cmd_parms *cmd, const wsgi_group_draft_t *draft,
                                  const daemon_option_t *option, const char *error)
{
    if (error == NULL) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, cmd->server, "%s: %s has no effect: %s",
                     where(cmd, draft), option->name, option->help);
    }
    return error;
}

static const char *accept_name(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    return tell_no_effect(cmd, draft, option, option_name(cmd, draft, option, value));
}

static const char *accept_number(cmd_parms *cmd, wsgi_group_draft_t *draft,
                                 const daemon_option_t *option, const char *value)
{
    return tell_no_effect(cmd, draft, option, option_number(cmd, draft, option, value));
}

static const char *accept_size(cmd_parms *cmd, wsgi_group_draft_t *draft,
                               const daemon_option_t *option, const char *value)
{
    return tell_no_effect(cmd, draft, option, option_size(cmd, draft, option, value));
}

/* ---- the table ---- */

static const daemon_option_t daemon_options[] = {
#define OPTION(name, parser, member, least, most, unset, help)                                     \
    {name, parser, offsetof(wsgi_group_draft_t, member), least, most, help},
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

/* Options that exclude each other. */
static const char *check_pairs(const cmd_parms *cmd, const wsgi_group_draft_t *draft)
{
    const struct {
        const char *one, *other;
        bool are_both;
    } pairs[] = {
        {"script-user", "script-group", draft->script_user != NULL && draft->script_group != NULL},
        {"python", "python-home",
         draft->python != NULL && *draft->group.settings.python_home != '\0'},
        {"python", "chroot", draft->python != NULL && *draft->group.settings.chroot != '\0'},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i].are_both) {
            return apr_psprintf(cmd->pool, "%s: %s= and %s= exclude each other: remove one",
                                where(cmd, draft), pairs[i].one, pairs[i].other);
        }
    }
    return NULL;
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
    return check_pairs(cmd, draft);
}
