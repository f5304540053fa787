/* daemon/worker.h — a worker: Python, threads, the application.
 * Runs in:  worker, from its fork to its end.   Threads: the main thread; starts the pool.
 * Owns:     the process.   Blocks: for its whole life.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_WORKER_H
#define WSGI_WORKER_H

#include "journal.h"
#include "process.h"

/* What a worker tells its supervisor, through a pipe that all workers of a group share. */
enum wsgi_notice_what {
    WSGI_NOTICE_LOADED = 1, /* Python has started; it serves once it is told to */
    WSGI_NOTICE_LEAVING,    /* it is to be replaced for `reason`; serves on */
    WSGI_NOTICE_CHANGED,    /* a script has changed; it takes nothing any more */
    WSGI_NOTICE_RELEASED,   /* it takes nothing any more, as it was told */
    WSGI_NOTICE_RETIRING    /* it has begun to end, on whosever wish */
};

typedef struct wsgi_notice {
    uint32_t slot;
    uint32_t generation; /* of the slot's row: a late word of a dead process is known by it */
    uint32_t what;       /* enum wsgi_notice_what */
    uint32_t reason;     /* enum wsgi_reason */
} wsgi_notice_t;

typedef struct wsgi_worker_settings {
    const wsgi_process_t *process;
    int64_t supervisor_pid;
    unsigned slot;
    wsgi_journal_t *journal;
    int notice_fd;                     /* taken over, as the two below */
    int event_read_fd, event_write_fd; /* signals, the supervisor's orders and words of threads, one
                                        * byte each: enum wsgi_worker_event or a signal's number */
} wsgi_worker_settings_t;

/* To be called right after the fork, with all descriptors of the supervisor closed but those of
 * the settings and the rendezvous. */
void wsgi_worker_run(const wsgi_worker_settings_t *settings) WSGI_NORETURN;

#endif
