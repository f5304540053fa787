/* daemon/threads.h — the threads of a worker: all that are idle wait in one epoll set, for the next
 * caller at the rendezvous and for requests on kept connections; more are made as they are needed.
 * Runs in:  worker.   Threads: open, stop and free on the main thread; the pool's own inside.
 * Owns:     its epoll set, its threads and their connections.
 * Memory:   malloc.   Python: told of the end of each thread.   Blocks: stop, until the last
 *           request is answered; the caller sets the limit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_THREADS_H
#define WSGI_THREADS_H

#include "connection.h"

/* What a thread tells the main thread, one byte each. Lower values are signal numbers. */
enum wsgi_worker_event {
    WSGI_EVENT_CALLERS_GONE = 128, /* end of file at the rendezvous */
    WSGI_EVENT_RETIRE,             /* the code of the application has changed */
    WSGI_EVENT_LEAVE,              /* the watchdog: to be replaced, the journal says why */
    WSGI_EVENT_END,                /* the watchdog: released, and nothing more to wait for */
    WSGI_EVENT_GO,                 /* the supervisor: serve */
    WSGI_EVENT_RELEASE             /* the supervisor: finish, and end */
};

typedef struct wsgi_threads wsgi_threads_t;

typedef struct wsgi_threads_settings {
    unsigned max_threads;
    size_t stack_bytes;              /* of each; 0 = the system's */
    int rendezvous_fd;               /* the caller's, non-blocking use */
    int event_fd;                    /* written with a wsgi_worker_event */
    const wsgi_counters_t *counters; /* of the group, or NULL: then others are not looked at */
    const wsgi_connection_settings_t *connection;
} wsgi_threads_settings_t;

/* With its first thread waiting. NULL with the reason. `settings` is borrowed until free. */
wsgi_threads_t *wsgi_threads_open(const wsgi_threads_settings_t *settings, wsgi_result_t *result);

/* Takes no more from now on, and takes back what is kept idle. */
void wsgi_threads_stop_taking(wsgi_threads_t *threads);

/* Takes no more, takes back what is kept idle, and returns when all threads have ended. */
void wsgi_threads_stop(wsgi_threads_t *threads);
void wsgi_threads_free(wsgi_threads_t *threads);

/* In a process that the application forked: closes what is ours, else the death of the worker
 * stays hidden from its callers. Async-signal-safe. A thread of the pool that comes back from its
 * request there ends the process. */
void wsgi_threads_forget(wsgi_threads_t *threads);

#endif
