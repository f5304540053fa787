/* daemon/flights.h — the requests that a worker is serving, and what it has served: the facts of the
 * watchdog.
 * Runs in:  worker.   Threads: those that serve begin and end; the watchdog reads. Lock-free.
 * Owns:     the table; the journal is the caller's.   Memory: malloc.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_FLIGHTS_H
#define WSGI_FLIGHTS_H

#include "journal.h"
#include "wsgi_runtime.h"

/* A request under way. Written by the thread that serves it, except interrupted_us. */
typedef struct wsgi_flight {
    _Atomic uint64_t serial; /* 0 = none; written last, and first cleared */
    _Atomic int64_t begun_us;
    _Atomic int64_t interrupted_us;    /* when RequestTimeout was raised in it; 0 = it was not */
    _Atomic uint64_t wishes_interrupt; /* the serial for which it is wished; the watchdog's */
    _Atomic uint64_t thread;           /* pthread_t of who serves it */
    _Atomic(wsgi_interp_t *) interp;   /* NULL while it is being found or made */
    bool ignores_activity;
} wsgi_flight_t;

typedef struct wsgi_flights {
    wsgi_flight_t *table;
    unsigned capacity;
    _Atomic uint64_t *used; /* a bit for each */
    wsgi_journal_t *journal;
    _Atomic uint64_t serial, completed;
    _Atomic uint32_t running, running_active; /* active: those that do not ignore activity */
    _Atomic int64_t first_us, last_active_us; /* 0 = never */
    _Atomic uint64_t wake_at;                 /* that many completed; UINT64_MAX = never */
    _Atomic bool wakes_when_idle;
    _Atomic bool is_spoilt; /* a script has failed to load here */
    int wake_fd;            /* an eventfd; -1 = none */
} wsgi_flights_t;

/* WSGI_OK or WSGI_E_NOMEM. `capacity` requests at a time, one for each thread. */
int wsgi_flights_init(wsgi_flights_t *flights, unsigned capacity, wsgi_journal_t *journal);
void wsgi_flights_free(wsgi_flights_t *flights);

/* The calling thread begins a request; what wsgi_flights_end() wants. NULL flights: does nothing.
 * Its interpreter is told as soon as there is one: to make it may take for ever. */
int wsgi_flights_begin(wsgi_flights_t *flights, const wsgi_request_t *request);
void wsgi_flights_enter(wsgi_flights_t *flights, int index, wsgi_interp_t *interp);
/* `is_served`: it was not handed back. */
void wsgi_flights_end(wsgi_flights_t *flights, int index, bool is_served);

/* A script has failed to load: this process should be replaced. */
void wsgi_flights_spoil(wsgi_flights_t *flights);

/* Makes the watchdog look. Async-signal-safe. */
void wsgi_flights_wake(const wsgi_flights_t *flights);

#endif
