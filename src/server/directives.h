/* server/directives.h — what the files of the directives share: where something was said, how a
 * fault is told, and the parsers that stand in files of their own.
 * Runs in:  httpd parent; child for .htaccess.   Threads: one per configuration.   Blocks: never.
 * Memory:   cmd->pool.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_DIRECTIVES_H
#define WSGI_DIRECTIVES_H

#include "options.h"
#include "settings.h"

/* The member of a struct that a line of a table names. */
static inline void *wsgi_member_at(void *object, size_t offset)
{
    return (char *)object + offset;
}

wsgi_place_t wsgi_directive_place(const cmd_parms *cmd);

/* What to tell the administrator; `what` takes On or Off. */
const char *wsgi_directive_complain_flag(const cmd_parms *cmd, const char *what, const char *word);

/* An option that is not known where it has a value, else a word that is no option=value. */
const char *wsgi_directive_complain_option(const cmd_parms *cmd, const wsgi_option_t *option,
                                           const char *known);

/* A mention of a process group, to be resolved with all others. */
const wsgi_group_ref_t *wsgi_directive_refer(const cmd_parms *cmd, const char *word);

const wsgi_name_t *wsgi_directive_name(const cmd_parms *cmd, wsgi_name_t name);

/* Parsers for httpd: NULL, or what is wrong. */

/* daemon_options.c */
const char *wsgi_directive_add_group(cmd_parms *cmd, void *dir, const char *args);

/* script_directives.c: scripts with options */
const char *wsgi_directive_add_alias(cmd_parms *cmd, void *dir, const char *args);
const char *wsgi_directive_add_alias_match(cmd_parms *cmd, void *dir, const char *args);
const char *wsgi_directive_add_handler_script(cmd_parms *cmd, void *dir, const char *args);
const char *wsgi_directive_add_import_script(cmd_parms *cmd, void *dir, const char *args);
const char *wsgi_directive_set_hook_script(cmd_parms *cmd, void *dir, const char *args);

/* trusted.c */
const char *wsgi_directive_add_trusted_header(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_add_trusted_proxy(cmd_parms *cmd, void *dir, const char *word);

/* global_directives.c: the whole server's; those for Python write into its group settings */
const char *wsgi_directive_set_text(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_set_flag(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_clear_flag(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_set_optimize(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_set_hash_seed(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_set_switch_interval(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_add_warning(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_accept_path(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_accept_flag(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_accept_mutex(cmd_parms *cmd, void *dir, const char *word);
const char *wsgi_directive_accept_obsolete(cmd_parms *cmd, void *dir, const char *args);

/* interpreter_options.c */
const char *wsgi_directive_open_interpreter_options(cmd_parms *cmd, void *dir, const char *args);

#endif
