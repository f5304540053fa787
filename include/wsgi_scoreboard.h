/* wsgi_scoreboard.h — a picture of httpd's scoreboard, in plain C: made by httpd's children and
 * parent, for Python code that may be told of it (mod_wsgi.server_metrics()). To process groups it
 * comes through shared memory that they can only read.
 * Runs in:  httpd parent (creates, draws), child (draws, reads its own), worker (reads).
 * Threads:  any. Drawing and reading take no lock: a reader sees whether it was disturbed.
 * Owns:     a mapping, until the process ends; the memory is sealed against resizing.
 * Blocks:   never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SCOREBOARD_H
#define WSGI_SCOREBOARD_H

#include "wsgi_core.h"

#include <stdatomic.h>

#define WSGI_SCOREBOARD_VERSION 1u
#define WSGI_SCOREBOARD_MAX     (1u << 20) /* places of workers */

typedef struct wsgi_score_process {
    int64_t pid; /* 0: the place is free */
    int32_t generation;
    uint32_t is_quiescing;
} wsgi_score_process_t;

/* Texts are cut to their room, and NUL-terminated. */
typedef struct wsgi_score_worker {
    int32_t thread, generation;
    uint64_t accesses, bytes;
    int64_t start_us, stop_us, last_used_us; /* wall clock; 0 = never */
    char client[64], request[64], vhost[32];
    char status[8]; /* one character, as mod_status has it */
} wsgi_score_worker_t;

/* The picture: this head, the processes, then each process's workers. All of it are 64-bit words,
 * so that it can be copied while others draw it. */
typedef struct wsgi_scoreboard {
    uint32_t version, processes, threads, reserved; /* reserved: 0 */
    int64_t generation, restart_us, current_us;
} wsgi_scoreboard_t;

size_t wsgi_scoreboard_bytes(unsigned processes, unsigned threads);

static inline wsgi_score_process_t *wsgi_score_processes(const wsgi_scoreboard_t *board)
{
    return (wsgi_score_process_t *)(board + 1);
}

static inline wsgi_score_worker_t *wsgi_score_workers(const wsgi_scoreboard_t *board,
                                                      unsigned process)
{
    wsgi_score_process_t *end = wsgi_score_processes(board) + board->processes;
    return (wsgi_score_worker_t *)end + (size_t)process * board->threads;
}

/* Its place in shared memory. */
typedef struct wsgi_scoreboard_map wsgi_scoreboard_map_t;

/* Makes the memory, mapped for drawing here and in forks of this process; from then on others can map
 * it for reading only. In *fd the close-on-exec descriptor to hand over. NULL with the reason. */
wsgi_scoreboard_map_t *wsgi_scoreboard_create(unsigned processes, unsigned threads, int *fd,
                                              wsgi_result_t *result);
void wsgi_scoreboard_unmap(wsgi_scoreboard_map_t *map);

/* Maps it for reading; the descriptor may be closed afterwards. NULL with the reason. */
wsgi_scoreboard_map_t *wsgi_scoreboard_map(int fd, wsgi_result_t *result);

/* Is it time for another picture? True for one caller in a quarter of a second, who is to draw it. */
bool wsgi_scoreboard_is_due(wsgi_scoreboard_map_t *map, int64_t now_us);
/* One of another shape is not drawn. */
void wsgi_scoreboard_draw(wsgi_scoreboard_map_t *map, const wsgi_scoreboard_t *picture);

/* A copy of the last picture, which the caller frees. NULL: there is none yet, no memory, or it is
 * drawn all the time. Whatever stands in the memory, the copy is well-formed. */
wsgi_scoreboard_t *wsgi_scoreboard_read(const wsgi_scoreboard_map_t *map);

#endif
