/* python/options.c — settings of one interpreter: the process's, and over them those of the blocks
 * that choose it (WSGIInterpreterOptions), in the lines of wsgi_interpreter.def.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "compat.h"

#include <stdlib.h>
#include <string.h>

static bool is_chosen(const wsgi_interp_t *interp, const char *name, size_t len)
{
    if (*interp->name == '\0' && wsgi_interp_is_main_name(name, len)) {
        return true;
    }
    return strlen(interp->name) == len && memcmp(interp->name, name, len) == 0;
}

bool wsgi_interp_option_next(const wsgi_interp_t *interp, wsgi_interp_option_t *option)
{
    if (option->rest == NULL) {
        option->rest = wsgi_runtime_settings()->interpreter_options;
    }
    while (*option->rest != '\0') {
        const char *line = option->rest;
        size_t len = strcspn(line, "\n");
        option->rest = line + len + (line[len] == '\n');
        if (*line == '*' || *line == '=') {
            option->is_named = *line == '=';
            option->is_chosen = !option->is_named || is_chosen(interp, line + 1, len - 1);
        }
        else if (option->is_chosen) {
            size_t name_len = strcspn(line, " \n");
            size_t value_at = name_len + (name_len < len);
            option->name = (wsgi_bytes_t){line, name_len};
            option->value = (wsgi_bytes_t){line + value_at, len - value_at};
            return true;
        }
    }
    return false;
}

bool wsgi_interp_option_is(const wsgi_interp_option_t *option, const char *name)
{
    return strlen(name) == option->name.len &&
           memcmp(option->name.data, name, option->name.len) == 0;
}

/* What a named block says of the switch interval is kept apart: it is a property of the GIL, which
 * the interpreter may share with others. */
typedef struct intervals {
    int64_t last_us, last_unnamed_us;
    bool has_named;
} intervals_t;

static void take(wsgi_interp_settings_t *settings, intervals_t *intervals,
                 const wsgi_interp_option_t *option)
{
    int64_t number = strtoll(option->value.data, NULL, 10);
    if (wsgi_interp_option_is(option, "switch_interval_us")) {
        intervals->last_us = number;
        intervals->last_unnamed_us = option->is_named ? intervals->last_unnamed_us : number;
        intervals->has_named |= option->is_named;
    }
    else if (wsgi_interp_option_is(option, "per_interpreter_gil")) {
        settings->per_interpreter_gil = number != 0;
    }
    else if (wsgi_interp_option_is(option, "restrict_stdin")) {
        settings->restrict_stdin = number != 0;
    }
    else if (wsgi_interp_option_is(option, "restrict_stdout")) {
        settings->restrict_stdout = number != 0;
    }
    else if (wsgi_interp_option_is(option, "allow_signals")) {
        settings->allow_signals = number != 0;
    }
}

/* Without any GIL there is none to be had of one's own; the main interpreter's is the process's. */
static bool has_own_gil(const wsgi_interp_t *interp, const wsgi_interp_settings_t *settings)
{
    bool is_free = wsgi_runtime_settings()->free_threading && !COMPAT_HAS_GIL;
    return settings->per_interpreter_gil && COMPAT_HAS_OWN_GIL && !is_free && *interp->name != '\0';
}

void wsgi_interp_settle(wsgi_interp_t *interp)
{
    const wsgi_runtime_settings_t *process = wsgi_runtime_settings();
    wsgi_interp_settings_t settings = {
        .per_interpreter_gil = process->per_interpreter_gil,
        .restrict_stdin = process->restrict_stdin,
        .restrict_stdout = process->restrict_stdout,
        .allow_signals = process->allow_signals,
    };
    intervals_t intervals = {process->switch_interval_us, process->switch_interval_us, false};
    wsgi_interp_option_t option = {0};
    while (wsgi_interp_option_next(interp, &option)) {
        take(&settings, &intervals, &option);
    }
    settings.per_interpreter_gil = has_own_gil(interp, &settings);
    settings.switch_interval_us =
        settings.per_interpreter_gil ? intervals.last_us : intervals.last_unnamed_us;
    if (intervals.has_named && !settings.per_interpreter_gil) {
        wsgi_log(
            WSGI_LOG_WARNING,
            WSGI_ID(1130) "WSGISwitchInterval of a block with application-group= has no effect "
                          "on interpreter \"%s\", which shares its GIL with others; leave that "
                          "selector out, or set WSGIPerInterpreterGIL On",
            interp->name);
    }
    interp->settings = settings;
}

bool wsgi_interp_options_want_own_gil(void)
{
    const wsgi_runtime_settings_t *process = wsgi_runtime_settings();
    return process->per_interpreter_gil ||
           strstr(process->interpreter_options, "\nper_interpreter_gil 1\n") != NULL;
}
