/* daemon/leases.h — the connections that a worker keeps open: each one is the promise of a thread, so
 * there are never more of them than threads.
 * Runs in:  worker.   Threads: any of the pool; a lease that is owned belongs to the thread that owns
 *           it, and all changes of owner are one atomic exchange.
 * Owns:     the leases and their connections.   Memory: malloc.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_LEASES_H
#define WSGI_LEASES_H

#include "connection.h"

enum wsgi_lease_phase {
    WSGI_LEASE_FREE,   /* no connection */
    WSGI_LEASE_PARKED, /* kept by its caller; whoever sees something on it may take it */
    WSGI_LEASE_OWNED,  /* a thread has it */
    WSGI_LEASE_MISSED  /* a thread has it, and something came meanwhile that it has to look for */
};

typedef struct wsgi_lease {
    wsgi_connection_t connection; /* first: its callbacks cast back; the owner's */
    _Atomic uint32_t state;       /* generation << 8 | enum wsgi_lease_phase */
    _Atomic int64_t parked_us;    /* since when, for the choice of whom to revoke */
    bool is_watched;              /* in the epoll set; the owner's */
    _Atomic bool is_initialised;
    int next_fd; /* a caller taken in the place of this one, or -1; the owner's */
} wsgi_lease_t;

typedef struct wsgi_leases {
    const wsgi_connection_settings_t *settings;
    wsgi_lease_t *leases;
    unsigned count;
    _Atomic unsigned used; /* those behind it have never been used */
    _Atomic unsigned open; /* not FREE */
} wsgi_leases_t;

/* WSGI_OK, WSGI_E_NOMEM. `settings` is borrowed until free, and everything is FREE by then. */
int wsgi_leases_init(wsgi_leases_t *leases, unsigned count,
                     const wsgi_connection_settings_t *settings);
void wsgi_leases_free(wsgi_leases_t *leases);

/* A lease for a new caller, owned: a free one of the first `limit`, else the one that has been
 * parked longest, taken back from its caller. NULL: threads own them all. */
wsgi_lease_t *wsgi_leases_claim(wsgi_leases_t *leases, unsigned limit);

/* What the epoll set is told with a connection, and back: the parked lease, owned now. NULL: it is
 * no longer that connection, or its owner has been told to look again. */
uint64_t wsgi_lease_mark(const wsgi_leases_t *leases, const wsgi_lease_t *lease);
wsgi_lease_t *wsgi_leases_find(wsgi_leases_t *leases, uint64_t mark);

/* Gives an owned lease up; it has to be watched before. False: something came meanwhile, and it is
 * still owned: look for it. */
bool wsgi_lease_park(wsgi_lease_t *lease) WSGI_MUST_CHECK;

/* The connection is closed. */
void wsgi_lease_release(wsgi_leases_t *leases, wsgi_lease_t *lease);

/* Takes the lease back if it is parked; all that are. */
void wsgi_lease_revoke(wsgi_leases_t *leases, wsgi_lease_t *lease);
void wsgi_leases_revoke_all(wsgi_leases_t *leases);

/* In a fork of the application: closes all connections. Async-signal-safe. */
void wsgi_leases_forget(wsgi_leases_t *leases);

#endif
