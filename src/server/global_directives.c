/* server/global_directives.c — directives of the whole server: Python's, and those that are only
 * accepted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "directives.h"

#include "interpreter_options.h"
#include "wsgi_runtime.h"

#include <ctype.h>
#include <stddef.h>

/* The whole server's, or that of the <WSGIInterpreterOptions> in which the directive stands. */
static void *member_of(const cmd_parms *cmd)
{
    wsgi_server_config_t *config = wsgi_server_config(cmd->server);
    size_t offset = (size_t)(uintptr_t)cmd->info;
    return config->open_block == NULL
               ? wsgi_member_at(config, offset)
               : wsgi_interpreter_block_member(config->open_block,
                                               offset - offsetof(wsgi_server_config_t, python));
}

static const char *only_global(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

const char *wsgi_directive_set_text(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    *(const char **)member_of(cmd) = word;
    return only_global(cmd);
}

static const char *set_flag(cmd_parms *cmd, const char *word, bool is_inverse)
{
    int flag = wsgi_option_flag(word);
    if (flag < 0) {
        return wsgi_directive_complain_flag(cmd, cmd->cmd->name, word);
    }
    *(int64_t *)member_of(cmd) = is_inverse ? !flag : flag;
    return only_global(cmd);
}

const char *wsgi_directive_set_flag(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    return set_flag(cmd, word, false);
}

/* For a directive whose member says the opposite. */
const char *wsgi_directive_clear_flag(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    return set_flag(cmd, word, true);
}

static void warn_of_junk(const cmd_parms *cmd, const char *word, int64_t number)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                 WSGI_ID(1508) "%s:%d: %s %s is taken for %" APR_INT64_T_FMT
                               "; write the number alone",
                 cmd->directive->filename, cmd->directive->line_num, cmd->cmd->name, word, number);
}

/* A negative level is level 0, as deployed. */
const char *wsgi_directive_set_optimize(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    int64_t level = 0;
    bool is_negative = *word == '-' && isdigit((unsigned char)word[1]);
    int junk = is_negative ? 0 : wsgi_option_number(word, 0, INT32_MAX, &level);
    if (junk < 0) {
        return apr_psprintf(cmd->pool, "%s takes a level, 0 or more, not '%s'", cmd->cmd->name,
                            word);
    }
    if (junk > 0) {
        warn_of_junk(cmd, word, level);
    }
    *(int64_t *)member_of(cmd) = level;
    return only_global(cmd);
}

const char *wsgi_directive_set_hash_seed(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    int64_t seed = WSGI_HASH_SEED_RANDOM;
    if (strcmp(word, "random") != 0 && wsgi_option_number(word, 0, UINT32_MAX, &seed) != 0) {
        return apr_psprintf(cmd->pool, "%s takes random or a number from 0 to 4294967295, not '%s'",
                            cmd->cmd->name, word);
    }
    *(int64_t *)member_of(cmd) = seed;
    return only_global(cmd);
}

const char *wsgi_directive_set_switch_interval(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    if (wsgi_option_interval(word, member_of(cmd)) < 0) {
        return apr_psprintf(cmd->pool,
                            "%s takes seconds, from 0.000001 to 3600 (Python's own is 0.005), not "
                            "'%s'",
                            cmd->cmd->name, word);
    }
    return only_global(cmd);
}

/* Filters follow each other in lines. */
const char *wsgi_directive_add_warning(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir;
    const char **lines = member_of(cmd);
    *lines = **lines == '\0' ? word : apr_pstrcat(cmd->pool, *lines, "\n", word, NULL);
    return only_global(cmd);
}

/* ---- accepted only ---- */

const char *wsgi_directive_accept_path(cmd_parms *cmd, void *dir, const char *word)
{
    (void)dir, (void)word;
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, cmd->server, "%s is %s", cmd->cmd->name,
                 cmd->cmd->errmsg);
    return only_global(cmd);
}

const char *wsgi_directive_accept_flag(cmd_parms *cmd, void *dir, const char *word)
{
    return wsgi_option_flag(word) < 0 ? wsgi_directive_complain_flag(cmd, cmd->cmd->name, word)
                                      : wsgi_directive_accept_path(cmd, dir, word);
}

const char *wsgi_directive_accept_mutex(cmd_parms *cmd, void *dir, const char *word)
{
    static const char *const kinds[] = {"default", "flock",    "fcntl",
                                        "sysvsem", "posixsem", "pthread"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(word, kinds[i]) == 0) {
            return wsgi_directive_accept_path(cmd, dir, word);
        }
    }
    return apr_psprintf(cmd->pool,
                        "%s takes default, flock, fcntl, sysvsem, posixsem or pthread, not '%s'",
                        cmd->cmd->name, word);
}

const char *wsgi_directive_accept_obsolete(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir, (void)args;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                 WSGI_ID(1507) "%s has no effect any more: %s (%s, line %d)", cmd->cmd->name,
                 cmd->cmd->errmsg, cmd->directive->filename, cmd->directive->line_num);
    return NULL;
}
