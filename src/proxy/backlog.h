/* proxy/backlog.h — how many requests wait for a worker of a group, over all children of httpd.
 * Runs in:  httpd child; created in the parent.   Threads: a slot is one link's, which locks.
 * Owns:     shared memory that only httpd's processes have.   Blocks: never.
 *
 * Each child counts in its own slot, with its pid; what a dead one has counted is void. Lock-free
 * sums are not exact while others come and go: a bound that is missed by a few does no harm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_BACKLOG_H
#define WSGI_PROXY_BACKLOG_H

#include "wsgi_proxy.h"

typedef struct wsgi_backlog_slot {
    _Atomic uint32_t pid; /* 0 = free */
    _Atomic uint32_t waiting;
} wsgi_backlog_slot_t;

/* A slot for this process, which has one link to each group; NULL: none is free, so its waiters are not counted. */
wsgi_backlog_slot_t *wsgi_backlog_claim(wsgi_backlog_t *backlog, uint32_t pid) WSGI_NONNULL;
void wsgi_backlog_release(wsgi_backlog_slot_t *slot);

/* One more waits; false, and none more, where `most` wait already. A NULL slot always may. */
bool wsgi_backlog_enter(wsgi_backlog_t *backlog, wsgi_backlog_slot_t *slot, unsigned most);
void wsgi_backlog_leave(wsgi_backlog_slot_t *slot);

/* Frees the slots of processes that have died while requests waited in them. */
void wsgi_backlog_sweep(wsgi_backlog_t *backlog) WSGI_NONNULL;

#endif
