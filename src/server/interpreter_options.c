/* server/interpreter_options.c — <WSGIInterpreterOptions>: the section, and what its blocks come to
 * for one process group.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "interpreter_options.h"

#include "directives.h"

#include <stddef.h>

/* Other directives inside would hold for the whole server, which nobody means who writes them
 * there. */
static const struct {
    const char *directive;
    size_t offset;
} children[] = {
    {"WSGIPythonPath", offsetof(wsgi_group_settings_t, python_path)},
    {"WSGISwitchInterval", offsetof(wsgi_group_settings_t, switch_interval_us)},
    {"WSGIPerInterpreterGIL", offsetof(wsgi_group_settings_t, per_interpreter_gil)},
    {"WSGIFreeThreading", offsetof(wsgi_group_settings_t, free_threading)},
    {"WSGIRestrictStdin", offsetof(wsgi_group_settings_t, restrict_stdin)},
    {"WSGIRestrictStdout", offsetof(wsgi_group_settings_t, restrict_stdout)},
    {"WSGIRestrictSignal", offsetof(wsgi_group_settings_t, allow_signals)},
};

#define CHILD_COUNT (sizeof children / sizeof *children)

/* ---- blocks ---- */

static unsigned bit_of(size_t offset)
{
    for (size_t i = 0; i < CHILD_COUNT; i++) {
        if (children[i].offset == offset) {
            return 1u << i;
        }
    }
    return 0;
}

void *wsgi_interpreter_block_member(wsgi_interpreter_block_t *block, size_t offset)
{
    block->given |= bit_of(offset);
    return wsgi_member_at(&block->python, offset);
}

static bool is_given(const wsgi_interpreter_block_t *block, size_t offset)
{
    return (block->given & bit_of(offset)) != 0;
}

#define IS_GIVEN(block, member) is_given((block), offsetof(wsgi_group_settings_t, member))

bool wsgi_interpreter_block_frees_one(const wsgi_interpreter_block_t *block)
{
    return block->application_group != NULL && IS_GIVEN(block, free_threading);
}

static int selector_count(const wsgi_interpreter_block_t *block)
{
    return (block->process_group != NULL) + (block->application_group != NULL);
}

/* ---- what they come to ---- */

/* The lines that wsgi_interpreter.def describes. */
static const char *add_lines(apr_pool_t *pool, const char *lines,
                             const wsgi_interpreter_block_t *block)
{
    lines = block->application_group == NULL
                ? apr_pstrcat(pool, lines, "*\n", NULL)
                : apr_pstrcat(pool, lines, "=", block->application_group, "\n", NULL);
#define NUMBER(member)                                                                             \
    if (IS_GIVEN(block, member)) {                                                                 \
        lines = apr_psprintf(pool, "%s" #member " %" APR_INT64_T_FMT "\n", lines,                  \
                             block->python.member);                                                \
    }
#define TEXT(member)                                                                               \
    if (IS_GIVEN(block, member)) {                                                                 \
        lines = apr_pstrcat(pool, lines, #member " ", block->python.member, "\n", NULL);           \
    }
#include "wsgi_interpreter.def"
#undef NUMBER
#undef TEXT
    return lines;
}

/* Signals are the script's in a service group, whatever is said elsewhere. */
static void apply(apr_pool_t *pool, const wsgi_interpreter_block_t *block,
                  wsgi_group_settings_t *settings)
{
    wsgi_interpreter_block_t part = *block;
    if (settings->threads == 0) {
        part.given &= ~bit_of(offsetof(wsgi_group_settings_t, allow_signals));
    }
    if (IS_GIVEN(&part, free_threading) && part.application_group == NULL) {
        settings->free_threading = part.python.free_threading;
    }
    settings->interpreter_options = add_lines(pool, settings->interpreter_options, &part);
}

void wsgi_interpreter_blocks_apply(apr_pool_t *pool, const apr_array_header_t *blocks,
                                   wsgi_group_settings_t *settings)
{
    for (int selectors = 0; selectors <= 2; selectors++) {
        for (int i = 0; i < blocks->nelts; i++) {
            const wsgi_interpreter_block_t *block =
                APR_ARRAY_IDX(blocks, i, const wsgi_interpreter_block_t *);
            if (selector_count(block) == selectors &&
                (block->process_group == NULL ||
                 strcmp(block->process_group, settings->name) == 0)) {
                apply(pool, block, settings);
            }
        }
    }
}

/* ---- the section ---- */

static const char *complain(const cmd_parms *cmd, const wsgi_option_t *option)
{
    return wsgi_directive_complain_option(cmd, option, "process-group application-group");
}

static const char *take_selector(const cmd_parms *cmd, wsgi_interpreter_block_t *block,
                                 const wsgi_option_t *option)
{
    const char **selector = NULL;
    if (strcasecmp(option->name, "process-group") == 0) {
        selector = &block->process_group;
    }
    else if (strcasecmp(option->name, "application-group") == 0) {
        selector = &block->application_group;
    }
    if (selector == NULL) {
        return complain(cmd, option);
    }
    if (*selector != NULL) {
        return apr_psprintf(cmd->pool, "%s>: %s is given twice; write a block for each",
                            cmd->cmd->name, option->name);
    }
    *selector = strcmp(option->value, "%{GLOBAL}") == 0 ? "" : option->value;
    return NULL;
}

static const char *take_selectors(const cmd_parms *cmd, wsgi_interpreter_block_t *block,
                                  const char *args)
{
    wsgi_option_t option;
    enum wsgi_option_result result;
    while ((result = wsgi_option_take(cmd->pool, &args, &option)) == WSGI_OPTION_TAKEN) {
        const char *error = take_selector(cmd, block, &option);
        if (error != NULL) {
            return error;
        }
    }
    return result == WSGI_OPTION_BAD ? complain(cmd, &option) : NULL;
}

static bool may_stand_inside(const char *directive)
{
    for (size_t i = 0; i < CHILD_COUNT; i++) {
        if (strcasecmp(directive, children[i].directive) == 0) {
            return true;
        }
    }
    return false;
}

static const char *check_children(cmd_parms *cmd)
{
    for (ap_directive_t *child = cmd->directive->first_child; child != NULL; child = child->next) {
        if (!may_stand_inside(child->directive)) {
            const char *known = "";
            for (size_t i = 0; i < CHILD_COUNT; i++) {
                known = apr_pstrcat(cmd->pool, known, " ", children[i].directive, NULL);
            }
            cmd->err_directive = child;
            return apr_psprintf(cmd->pool, "%s is not allowed inside %s>; there may stand:%s",
                                child->directive, cmd->cmd->name, known);
        }
    }
    return NULL;
}

static const char *walk_children(cmd_parms *cmd, wsgi_interpreter_block_t *block)
{
    wsgi_server_config_t *config = wsgi_server_config(cmd->server);
    config->open_block = block;
    const char *error = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    config->open_block = NULL;
    APR_ARRAY_PUSH(config->interpreter_blocks, wsgi_interpreter_block_t *) = block;
    return error;
}

const char *wsgi_directive_open_interpreter_options(cmd_parms *cmd, void *dir, const char *args)
{
    (void)dir;
    const char *end = ap_strrchr_c(args, '>');
    if (end == NULL) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, "> lacks its closing '>'", NULL);
    }
    wsgi_interpreter_block_t *block = apr_pcalloc(cmd->pool, sizeof *block);
    block->place = wsgi_directive_place(cmd);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    if (error == NULL) {
        error =
            take_selectors(cmd, block, apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args)));
    }
    if (error == NULL) {
        error = check_children(cmd);
    }
    return error != NULL ? error : walk_children(cmd, block);
}
