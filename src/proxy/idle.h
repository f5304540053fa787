/* proxy/idle.h — the idle connections of a link: which of them is the best, and which are dead.
 * Runs in:  httpd child.   Threads: one at a time; the link locks.
 * Owns:     the connections, until they are taken or doomed.   Memory: malloc.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_IDLE_H
#define WSGI_PROXY_IDLE_H

#include "link.h"

/* What this child knows of a worker by itself. */
typedef struct wsgi_row_use {
    uint32_t now;    /* its requests that the worker has */
    uint32_t lately; /* those that it has sent there; halved from time to time */
} wsgi_row_use_t;

typedef struct wsgi_idle {
    wsgi_kept_t *items; /* the most recently used last */
    unsigned count, capacity;
    wsgi_row_use_t *uses; /* of each row, and one to spare */
    unsigned row_count, note_count;
} wsgi_idle_t;

/* Descriptors to be closed when the lock has been given back. */
typedef struct wsgi_doomed {
    int fds[32];
    unsigned count;
} wsgi_doomed_t;

/* WSGI_OK, WSGI_E_NOMEM. */
int wsgi_idle_init(wsgi_idle_t *idle, unsigned row_count) WSGI_NONNULL;
/* Closes all of them. */
void wsgi_idle_free(wsgi_idle_t *idle) WSGI_NONNULL;

/* A request begins or ends at a worker. */
void wsgi_idle_note(wsgi_idle_t *idle, uint32_t worker_index, int more) WSGI_NONNULL;

/* Threads that are busy in a worker: what it says, and at least what we know. */
uint32_t wsgi_idle_busy(const wsgi_idle_t *idle, const wsgi_counters_t *counters,
                        uint32_t worker_index);

/* Has `other` had so many requests less of this child lately than `worker_index` that it is its turn
 * where both are equally busy? Busy threads alone do not tell: where processors are short, a request
 * that has been sent counts only once its worker gets to run. */
bool wsgi_idle_is_turn_of(const wsgi_idle_t *idle, uint32_t other, uint32_t worker_index)
    WSGI_NONNULL;

/* True once for every so many requests, to spare the others the look at all workers. */
bool wsgi_idle_is_time_for_turns(const wsgi_idle_t *idle) WSGI_NONNULL;

/* The worker had a chance to get one. */
void wsgi_idle_pass_turn(wsgi_idle_t *idle, uint32_t worker_index) WSGI_NONNULL;

/* Dooms those of dead, stopping or replaced workers, and those that have been idle for long. */
void wsgi_idle_sweep(wsgi_idle_t *idle, const wsgi_counters_t *counters, int64_t now_us,
                     wsgi_doomed_t *doomed);

/* The one of the worker with the fewest busy threads; of several the one whose turn it is, else the
 * most recently used. NULL: there is none. Good until the next call. */
const wsgi_kept_t *wsgi_idle_best(const wsgi_idle_t *idle, const wsgi_counters_t *counters);

void wsgi_idle_remove(wsgi_idle_t *idle, const wsgi_kept_t *item) WSGI_NONNULL;
/* WSGI_OK, WSGI_E_NOMEM: still the caller's. */
int wsgi_idle_add(wsgi_idle_t *idle, const wsgi_kept_t *item) WSGI_NONNULL WSGI_MUST_CHECK;

/* Dooms those of one worker. */
void wsgi_idle_drop_worker(wsgi_idle_t *idle, const wsgi_kept_t *like, wsgi_doomed_t *doomed)
    WSGI_NONNULL;

void wsgi_doomed_close(wsgi_doomed_t *doomed) WSGI_NONNULL;

#endif
