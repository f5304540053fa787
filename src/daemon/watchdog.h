/* daemon/watchdog.h — the thread that keeps the rules of watch.h in a worker. It never waits for
 * Python: what needs the interpreter is done by a second thread, whose silence is a fact too.
 * Runs in:  worker.   Threads: start, release and stop on the main thread; mark on any; both its own
 *           with all signals blocked.
 * Owns:     its threads.   Memory: malloc.   Python: its second thread enters interpreters.
 * Blocks:   never; stop for as long as a decision takes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_WATCHDOG_H
#define WSGI_WATCHDOG_H

#include "flights.h"
#include "watch.h"

typedef struct wsgi_watchdog wsgi_watchdog_t;

typedef struct wsgi_watchdog_settings {
    const wsgi_group_settings_t *group;
    wsgi_flights_t *flights; /* its wake_fd is set here */
    wsgi_journal_t *journal;
    int event_fd; /* told WSGI_EVENT_LEAVE and WSGI_EVENT_END; see threads.h */
} wsgi_watchdog_settings_t;

/* NULL with the reason. `settings` is copied. */
wsgi_watchdog_t *wsgi_watchdog_start(const wsgi_watchdog_settings_t *settings,
                                     wsgi_result_t *result);

/* The worker is to be replaced for this reason, unless there was one before. */
void wsgi_watchdog_mark(wsgi_watchdog_t *watchdog, enum wsgi_reason reason);

/* From now on it may end: as soon as it is idle, and at the latest after its patience. Counts
 * once. */
void wsgi_watchdog_release(wsgi_watchdog_t *watchdog);

/* No more rules. The second thread is left behind where it waits for the interpreter. */
void wsgi_watchdog_stop(wsgi_watchdog_t *watchdog);

/* After stop, where the second thread was not left behind. */
void wsgi_watchdog_free(wsgi_watchdog_t *watchdog);

/* In a process that the application forked: closes what is ours. Async-signal-safe. */
void wsgi_watchdog_forget(wsgi_watchdog_t *watchdog);

#endif
