/* wsgi_proxy.h — from an exchange to a worker of a process group and back.
 * Runs in:  httpd child.   Threads: any; a link is internally locked, an exchange is one thread's.
 * Owns:     a link: its waiters and idle connections. What its settings name stays the caller's.
 * Memory:   malloc.   Python: none.   Blocks: wsgi_proxy_serve(), within the limits given.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_H
#define WSGI_PROXY_H

#include "wsgi_exchange.h"
#include "wsgi_metrics.h"

typedef struct wsgi_link wsgi_link_t;

/* Counts who waits for a group over all children: made in the parent, before they are forked, with
 * room for so many children at a time; nobody else has it. NULL only without memory. */
typedef struct wsgi_backlog wsgi_backlog_t;

wsgi_backlog_t *wsgi_backlog_create(unsigned children);
void wsgi_backlog_destroy(wsgi_backlog_t *backlog);

typedef struct wsgi_link_settings {
    const char *group;               /* name, for log lines; borrowed */
    int rendezvous_fd;               /* the callers' end */
    const wsgi_counters_t *counters; /* read-only mapping; may be NULL: no hints */
    unsigned processes;              /* of the group: bounds the retries */
    unsigned rows;              /* of workers in the counters: more, as successors have theirs */
    unsigned threads;           /* of each: bounds its connections; 0 = not known */
    wsgi_backlog_t *backlog;    /* NULL: nobody counts */
    unsigned listen_backlog;    /* who may wait, over all children */
    int64_t connect_timeout_us; /* to be begun by a worker, all waiting included */
    int64_t socket_timeout_us;  /* silence of the worker */
    const char *socket_timeout_name; /* what the user has set it by, for log lines; borrowed */
} wsgi_link_settings_t;

/* One link per child and process group. NULL only without memory. */
wsgi_link_t *wsgi_link_open(const wsgi_link_settings_t *settings);
void wsgi_link_close(wsgi_link_t *link);

/* Carries one exchange to a worker and its answer back: calls the exchange's verbs, finish()
 * exactly once on every path. Result, already passed to finish() as the status in brackets:
 * WSGI_OK · WSGI_E_REFUSED (503: no worker took it in time) · WSGI_E_DIED (502) ·
 * WSGI_E_PROTOCOL (502) · WSGI_E_TIMEOUT (504) · WSGI_E_GONE (client) · WSGI_E_IO (500);
 * result->detail says what happened, for one log line by the caller. */
int wsgi_proxy_serve(wsgi_link_t *link, wsgi_exchange_t *ex, wsgi_result_t *result);

#endif
