/* wsgi_recorder.h — what the requests of one process took, summed up between two readings. For
 * Python code that asks for it (mod_wsgi.request_metrics()), once it has asked.
 * Runs in:  httpd child (embedded), worker.   Threads: any.
 * Owns:     its memory, for the process's life.
 * Blocks:   never for long: one lock, a leaf, held for a few instructions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_RECORDER_H
#define WSGI_RECORDER_H

#include "wsgi_core.h"

/* The parts of a request that are timed, by the names that they have in Python. */
#define WSGI_PHASES(PHASE)                                                                         \
    PHASE(SERVER, server) /* from its arrival at httpd to the group, or the application */         \
    PHASE(QUEUE, queue)   /* from there to a worker; groups only, as the next */                   \
    PHASE(DAEMON, daemon) /* from there to the application */                                      \
    PHASE(APPLICATION, application)   /* from its call until close() has returned */               \
    PHASE(REQUEST, request)           /* from its arrival to the end of the answer */              \
    PHASE(INPUT_READ, input_read)     /* waiting for the body, within the application's time */    \
    PHASE(OUTPUT_WRITE, output_write) /* sending the answer */                                     \
    PHASE(GIL_WAIT, gil_wait)         /* waiting for the interpreter where the server asks for it */

enum wsgi_phase {
#define PHASE(name, key) WSGI_PHASE_##name,
    WSGI_PHASES(PHASE)
#undef PHASE
        WSGI_PHASE_COUNT
};

/* Quarters of 16 octaves from 1 ms on, in the first of which the shorter ones are counted too; then
 * all from 65536 ms on. */
#define WSGI_PHASE_BUCKETS 65u
unsigned wsgi_phase_bucket(int64_t us);

/* One request. */
typedef struct wsgi_sample {
    int64_t phases_us[WSGI_PHASE_COUNT]; /* negative: it has no such phase */
    unsigned gil_wait_count;
    int64_t gil_wait_min_us, gil_wait_max_us; /* of single waits */
    uint64_t input_bytes, input_reads, output_bytes, output_writes;
    int64_t cpu_us;  /* of its thread */
    unsigned status; /* 0 = it never had one */
} wsgi_sample_t;

typedef struct wsgi_phase_sum {
    int64_t sum_us, min_us, max_us; /* the latter two have no meaning without a count */
    uint64_t count;
    uint32_t buckets[WSGI_PHASE_BUCKETS];
} wsgi_phase_sum_t;

/* One thread that serves requests. */
typedef struct wsgi_thread_sum {
    uint64_t requests;     /* ended */
    int64_t busy_us;       /* in requests, the one under way included */
    int64_t cpu_us;        /* of those that ended */
    int64_t longest_us;    /* of those that ended */
    int64_t elapsed_us;    /* of the one under way; 0 = there is none */
    uint64_t all_requests; /* since the recording began */
} wsgi_thread_sum_t;

typedef struct wsgi_interval {
    int64_t start_us, stop_us; /* wall clock */
    uint64_t requests;
    wsgi_phase_sum_t phases[WSGI_PHASE_COUNT];
    uint64_t gil_wait_count, input_bytes, input_reads, output_bytes, output_writes;
    uint64_t statuses[5]; /* 1xx … 5xx */
    unsigned threads_started, threads_active;
    int64_t cpu_user_us, cpu_system_us; /* of the process */
    uint64_t all_requests, under_way;   /* since the recording began; now */
    int64_t all_busy_us;
    unsigned thread_count;       /* room for so many threads, whether or not they exist */
    wsgi_thread_sum_t threads[]; /* by thread number - 1 */
} wsgi_interval_t;

typedef struct wsgi_recorder wsgi_recorder_t;

/* `threads`: as many may serve requests at a time. NULL without memory. */
wsgi_recorder_t *wsgi_recorder_new(unsigned threads);
void wsgi_recorder_free(wsgi_recorder_t *recorder);

/* A request begins in the thread of that number, from 1 on, and ends there; sample NULL: it was none
 * of this process's. */
void wsgi_recorder_begin(wsgi_recorder_t *recorder, unsigned thread);
void wsgi_recorder_end(wsgi_recorder_t *recorder, unsigned thread, const wsgi_sample_t *sample);

/* What has been since the last reading that took it; the caller frees it. NULL without memory. */
wsgi_interval_t *wsgi_recorder_take(wsgi_recorder_t *recorder);
wsgi_interval_t *wsgi_recorder_look(wsgi_recorder_t *recorder);

/* CPU time of the process so far; resident memory, now and at most. */
void wsgi_process_cpu_us(int64_t *user_us, int64_t *system_us);
void wsgi_process_memory(uint64_t *bytes, uint64_t *most_bytes);

/* CPU time of the calling thread. */
int64_t wsgi_thread_cpu_us(void);

#endif
