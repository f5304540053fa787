/* daemon/process.h — what every process of a group knows about itself: settings, counters, title.
 * Runs in:  supervisor, worker.   Threads: set up by the one thread of the supervisor, then read
 *           only.   Owns: the settings' text, the counters' mapping.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROCESS_H
#define WSGI_PROCESS_H

#include "wsgi_handover.h"
#include "wsgi_metrics.h"
#include "wsgi_scoreboard.h"

/* Exit statuses. None may ever be 15: httpd takes that from any of its children as the order to
 * stop (APEXIT_CHILDFATAL). */
enum wsgi_exit {
    WSGI_EXIT_OK = 0,
    WSGI_EXIT_HANDOVER = 64, /* started by hand, or by another version of the module */
    WSGI_EXIT_COUNTERS,
    WSGI_EXIT_IDENTITY,
    WSGI_EXIT_SYSTEM,     /* the system refuses what every process needs */
    WSGI_EXIT_UNABLE,     /* worker: Python cannot start */
    WSGI_EXIT_DESCRIPTORS /* worker: the application has closed what it hears by */
};

/* The memory that ps shows: arguments and, behind them, the environment's first strings. */
typedef struct wsgi_title {
    char *start;
    size_t capacity;
} wsgi_title_t;

typedef struct wsgi_process {
    wsgi_group_settings_t settings;
    char *blob; /* what the settings' texts point into */
    wsgi_counters_t *counters;
    wsgi_scoreboard_map_t *scoreboard; /* httpd's, to read; NULL without server-metrics */
    wsgi_title_t title;
} wsgi_process_t;

/* Frees the area of the title by moving the environment. Call it first; may fail for lack of
 * memory, and then leaves a title that cannot be changed. */
void wsgi_title_open(wsgi_title_t *title, char **argv) WSGI_NONNULL;

/* What ps and top show from now on, cut to the room there is. */
void wsgi_title_set(const wsgi_title_t *title, const char *text) WSGI_NONNULL;

/* Sends wsgi_log() to standard error in httpd's default format. */
void wsgi_sink_install(int max_level);

/* All signals to their default, SIGPIPE ignored, none blocked: httpd's are inherited otherwise. */
void wsgi_signals_reset(void);

/* The same in two steps, for a process that has handlers of its own to set before a signal comes. */
void wsgi_signals_forget_handlers(void);
void wsgi_signals_unblock(void);

/* Closes every descriptor from `first` on. WSGI_OK or WSGI_E_IO. */
int wsgi_process_close_from(int first, wsgi_result_t *result);

/* Asks for SIGTERM when the parent dies. False where it is no longer `parent`: it has died before
 * that. To be called after the last change of identity, which clears the request. */
bool wsgi_process_follow_parent(int64_t parent);

#endif
