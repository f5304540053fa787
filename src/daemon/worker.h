/* daemon/worker.h — a worker: Python, threads, the application.
 * Runs in:  worker, from its fork to its end.   Threads: the main thread; starts the pool.
 * Owns:     the process.   Blocks: for its whole life.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_WORKER_H
#define WSGI_WORKER_H

#include "process.h"

/* What a worker tells its supervisor, through a pipe that all workers of a group share. */
enum wsgi_notice_what {
    WSGI_NOTICE_READY = 1, /* Python has started; requests are taken */
    WSGI_NOTICE_RETIRING   /* it has begun to end, on whosever wish */
};

typedef struct wsgi_notice {
    uint32_t slot;
    uint32_t generation; /* of the slot's row: a late word of a dead process is known by it */
    uint32_t what;       /* enum wsgi_notice_what */
} wsgi_notice_t;

typedef struct wsgi_worker_settings {
    const wsgi_process_t *process;
    int64_t supervisor_pid;
    unsigned slot;
    int notice_fd; /* taken over */
} wsgi_worker_settings_t;

/* To be called right after the fork, with all descriptors of the supervisor closed but those of
 * the settings and the rendezvous. */
void wsgi_worker_run(const wsgi_worker_settings_t *settings) WSGI_NORETURN;

#endif
