/* server/directives.c — from the words of the configuration files to a server's and a directory's
 * settings: the table directives.def, and the parsers of what may differ from place to place.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "directives.h"

#include "wsgi_server.h"

#include <stddef.h>

/* ---- shared ---- */

wsgi_place_t wsgi_directive_place(const cmd_parms *cmd)
{
    return (wsgi_place_t){apr_pstrdup(cmd->pool, cmd->directive->filename),
                          cmd->directive->line_num};
}

const char *wsgi_directive_complain_flag(const cmd_parms *cmd, const char *what, const char *word)
{
    return apr_psprintf(cmd->pool, "%s takes On or Off, not '%s'", what, word);
}

const char *wsgi_directive_complain_option(const cmd_parms *cmd, const wsgi_option_t *option,
                                           const char *known)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is %s; options are: %s", cmd->cmd->name, option->name,
                        option->value != NULL ? "no option" : "not of the form option=value",
                        known);
}

const wsgi_group_ref_t *wsgi_directive_refer(const cmd_parms *cmd, const char *word)
{
    wsgi_group_ref_t *ref = apr_palloc(cmd->pool, sizeof *ref);
    *ref = (wsgi_group_ref_t){wsgi_name_parse(word), wsgi_directive_place(cmd), WSGI_GROUP_DYNAMIC};
    APR_ARRAY_PUSH(wsgi_server_config(cmd->server)->group_refs, wsgi_group_ref_t *) = ref;
    return ref;
}

const wsgi_name_t *wsgi_directive_name(const cmd_parms *cmd, wsgi_name_t name)
{
    return apr_pmemdup(cmd->pool, &name, sizeof name);
}

/* ---- directory settings ---- */

static int *flag_of(const cmd_parms *cmd, void *dir)
{
    return wsgi_member_at(dir, (size_t)(uintptr_t)cmd->info);
}

static const char *set_dir_flag(cmd_parms *cmd, void *dir, const char *word)
{
    int flag = *flag_of(cmd, dir) = wsgi_option_flag(word);
    return flag < 0 ? wsgi_directive_complain_flag(cmd, cmd->cmd->name, word) : NULL;
}

/* Checked, and of no effect. */
static const char *accept_dir_flag(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    return wsgi_option_flag(word) < 0 ? wsgi_directive_complain_flag(cmd, cmd->cmd->name, word)
                                      : NULL;
}

/* On, Off, or a third word. */
static const char *set_dir_choice(cmd_parms *cmd, void *dir, const char *word, const char *third)
{
    int *choice = flag_of(cmd, dir);
    *choice = strcasecmp(word, third) == 0 ? WSGI_FLAG_THIRD : wsgi_option_flag(word);
    return *choice < 0 ? apr_psprintf(cmd->pool, "%s takes On, Off or %s, not '%s'", cmd->cmd->name,
                                      third, word)
                       : NULL;
}

static const char *set_chunked_request(cmd_parms *cmd, void *dir, const char *word)
{
    return set_dir_choice(cmd, dir, word, "Buffer");
}

static const char *set_map_head(cmd_parms *cmd, void *dir, const char *word)
{
    return set_dir_choice(cmd, dir, word, "Auto");
}

static const char *set_process_group(cmd_parms *cmd, void *dir, const char *word)
{
    ((wsgi_dir_config_t *)dir)->process_group = wsgi_directive_refer(cmd, word);
    return NULL;
}

static const char *set_application_group(cmd_parms *cmd, void *dir, const char *word)
{
    ((wsgi_dir_config_t *)dir)->application_group = wsgi_directive_name(cmd, wsgi_name_parse(word));
    return NULL;
}

static const char *set_callable_object(cmd_parms *cmd, void *dir, const char *word)
{
    if (*word == '\0') {
        return apr_psprintf(cmd->pool, "%s takes a name, not an empty text", cmd->cmd->name);
    }
    ((wsgi_dir_config_t *)dir)->callable_object =
        wsgi_directive_name(cmd, wsgi_name_parse_callable(word));
    return NULL;
}

/* Each use replaces an earlier one of the same place; no name at all allows nothing. */
static const char *set_restrict_process(cmd_parms *cmd, void *dir, const char *args)
{
    apr_array_header_t *names = apr_array_make(cmd->pool, 4, sizeof(const char *));
    while (*args != '\0') {
        const char *word = ap_getword_conf(cmd->pool, &args);
        if (*word != '\0') {
            APR_ARRAY_PUSH(names, const char *) = strcmp(word, "%{GLOBAL}") == 0 ? "" : word;
        }
    }
    ((wsgi_dir_config_t *)dir)->restrict_process = names;
    return NULL;
}

/* ---- the table ---- */

/* Where httpd lets a directive stand; GLOBAL's parsers refuse virtual hosts as well. */
#define WSGI_IN_GLOBAL   RSRC_CONF
#define WSGI_IN_SERVER   RSRC_CONF
#define WSGI_IN_DIR      (RSRC_CONF | ACCESS_CONF)
#define WSGI_IN_FILEINFO (RSRC_CONF | ACCESS_CONF | OR_FILEINFO)
#define WSGI_IN_AUTHCFG  OR_AUTHCFG

#define NONE             0
#define PLACE(member)    offsetof(wsgi_dir_config_t, member)
#define WHOLE(member)    offsetof(wsgi_server_config_t, member)
#define HOOK(member)     offsetof(wsgi_hook_scripts_t, member)

const command_rec wsgi_directives[] = {
#define DIRECTIVE(name, context, arguments, parser, member, unset, help)                           \
    AP_INIT_##arguments(#name, parser, (void *)(uintptr_t)(member), WSGI_IN_##context, help),
#include "directives.def"
#undef DIRECTIVE
    {.name = NULL},
};
