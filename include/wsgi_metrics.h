/* wsgi_metrics.h — the counters of one process group in shared memory: written by its supervisor
 * and workers, mapped read-only by httpd. Hints and figures only: nobody's safety depends on them.
 * Runs in:  supervisor, worker (write), httpd child (read).   Threads: any; lock-free atomics.
 * Owns:     a mapping, from map to unmap. The memory is sealed against resizing.
 * Blocks:   never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_METRICS_H
#define WSGI_METRICS_H

#include "wsgi_core.h"

#include <stdatomic.h>

#define WSGI_COUNTERS_VERSION    2u
#define WSGI_GROUP_PROCESSES_MAX 4096u
#define WSGI_COUNTERS_ROWS_MAX   (2 * WSGI_GROUP_PROCESSES_MAX) /* a successor has its own */

/* Why a worker ends. Those up to SIGNAL_PIPE_ERROR are what applications are told as shutdown_reason;
 * the others are found out by the supervisor, or are between it and the worker. */
#define WSGI_REASONS(REASON)                                                                       \
    REASON(NONE, "")                                                                               \
    REASON(SHUTDOWN_SIGNAL, "shutdown_signal")                                                     \
    REASON(GRACEFUL_SIGNAL, "graceful_signal")                                                     \
    REASON(EVICTION_SIGNAL, "eviction_signal")                                                     \
    REASON(MAXIMUM_REQUESTS, "maximum_requests")                                                   \
    REASON(RESTART_INTERVAL, "restart_interval")                                                   \
    REASON(INACTIVITY_TIMEOUT, "inactivity_timeout")                                               \
    REASON(REQUEST_TIMEOUT, "request_timeout")                                                     \
    REASON(STARTUP_TIMEOUT, "startup_timeout")                                                     \
    REASON(DEADLOCK_TIMEOUT, "deadlock_timeout")                                                   \
    REASON(CPU_TIME_LIMIT, "cpu_time_limit")                                                       \
    REASON(SCRIPT_RELOAD, "script_reload")                                                         \
    REASON(SIGNAL_PIPE_ERROR, "signal_pipe_error")                                                 \
    REASON(LOAD_FAILURE, "load_failure")                                                           \
    REASON(START_FAILURE, "start_failure")                                                         \
    REASON(EXIT, "exit")                                                                           \
    REASON(SIGNAL, "signal")                                                                       \
    REASON(MEMORY, "out_of_memory")                                                                \
    REASON(DESCRIPTORS, "descriptors_closed")

enum wsgi_reason {
#define REASON(name, text) WSGI_REASON_##name,
    WSGI_REASONS(REASON)
#undef REASON
        WSGI_REASON_COUNT
};

/* Its name, in the contract's words where they have one; "" for NONE and for nonsense. */
const char *wsgi_reason_name(unsigned reason);

enum wsgi_worker_state {
    WSGI_WORKER_EMPTY = 0,
    WSGI_WORKER_STARTING,
    WSGI_WORKER_READY,
    WSGI_WORKER_STOPPING
};

enum wsgi_group_state {
    WSGI_GROUP_STARTING = 0, /* no worker ready yet, but one may come */
    WSGI_GROUP_READY,
    WSGI_GROUP_FAILED, /* cannot start; tried again with back-off: answer 503 at once */
    WSGI_GROUP_STOPPING
};

typedef struct wsgi_worker_row {
    _Alignas(64) _Atomic uint32_t state; /* enum wsgi_worker_state */
    _Atomic uint32_t generation;         /* counts the processes that had this row */
    _Atomic uint32_t pid;
    _Atomic uint32_t busy;     /* threads that serve a request now */
    _Atomic uint64_t requests; /* begun since the row's process started */
    _Atomic uint64_t errors;   /* of these ended by WSGI_FAILED or WSGI_TRUNCATED */
    _Atomic uint32_t leases;   /* connections that it keeps open, at most one per thread */
} wsgi_worker_row_t;

/* Of one size for every group (unused pages cost nothing): a worker can write anything here, so no
 * reader takes a size from it. Any index below WSGI_COUNTERS_ROWS_MAX is safe to use. */
typedef struct wsgi_counters {
    uint32_t version, size_bytes, row_count, reserved;
    _Alignas(64) _Atomic uint32_t state;            /* enum wsgi_group_state */
    _Atomic uint32_t restarts;                      /* workers replaced since the group started */
    _Atomic uint32_t restarts_by[30];               /* of them by enum wsgi_reason */
    wsgi_worker_row_t rows[WSGI_COUNTERS_ROWS_MAX]; /* row_count of them in use */
} wsgi_counters_t;

/* Makes the sealed memory for a group of `rows` workers: a close-on-exec descriptor,
 * WSGI_E_INVALID (not 1 … WSGI_COUNTERS_ROWS_MAX), or WSGI_E_IO with the reason. */
int wsgi_counters_create(unsigned rows, wsgi_result_t *result) WSGI_MUST_CHECK;

/* Writes its layout anew: a worker may have overwritten it, and the next supervisor would refuse it.
 * False: the descriptor is not of such memory. */
bool wsgi_counters_restore(int fd, unsigned rows);

/* Maps it. NULL with the reason where it is not sealed, or not of this layout and version.
 * `is_writer` false: PROT_READ only. The descriptor may be closed afterwards. */
wsgi_counters_t *wsgi_counters_map(int fd, bool is_writer, wsgi_result_t *result);
void wsgi_counters_unmap(wsgi_counters_t *counters);

/* Is a worker ready, or may one become so soon? False: the group has failed or is empty. */
bool wsgi_counters_may_serve(const wsgi_counters_t *counters);

#endif
