/* daemon/flights.c — the requests that a worker is serving.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "flights.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORD_BITS 64u

static unsigned word_count(unsigned capacity)
{
    return (capacity + WORD_BITS - 1) / WORD_BITS;
}

int wsgi_flights_init(wsgi_flights_t *flights, unsigned capacity, wsgi_journal_t *journal)
{
    memset(flights, 0, sizeof(*flights));
    flights->wake_fd = -1;
    flights->wake_at = UINT64_MAX;
    flights->capacity = capacity;
    flights->journal = journal;
    flights->table = calloc(capacity, sizeof(*flights->table));
    flights->used = calloc(word_count(capacity), sizeof(*flights->used));
    if (flights->table == NULL || flights->used == NULL) {
        wsgi_flights_free(flights);
        return WSGI_E_NOMEM;
    }
    return WSGI_OK;
}

void wsgi_flights_free(wsgi_flights_t *flights)
{
    free(flights->table);
    free(flights->used);
    flights->table = NULL;
    flights->used = NULL;
}

/* The lowest free place, so that few of them are touched; -1 where more threads serve than were
 * announced. */
static int claim(const wsgi_flights_t *flights)
{
    for (unsigned i = 0; i < word_count(flights->capacity); i++) {
        uint64_t word = atomic_load_explicit(&flights->used[i], memory_order_relaxed);
        while (~word != 0) {
            const unsigned bit = (unsigned)__builtin_ctzll(~word);
            const unsigned index = i * WORD_BITS + bit;
            if (index >= flights->capacity) {
                return -1;
            }
            if (atomic_compare_exchange_weak(&flights->used[i], &word, word | UINT64_C(1) << bit)) {
                return (int)index;
            }
        }
    }
    return -1;
}

static void give_back(const wsgi_flights_t *flights, unsigned index)
{
    atomic_fetch_and_explicit(&flights->used[index / WORD_BITS],
                              ~(UINT64_C(1) << index % WORD_BITS), memory_order_release);
}

static void note_activity(wsgi_flights_t *flights, int64_t now_us)
{
    atomic_store_explicit(&flights->last_active_us, now_us, memory_order_relaxed);
}

static void enter(wsgi_flights_t *flights, unsigned index, const wsgi_request_t *request,
                  int64_t now_us)
{
    wsgi_flight_t *flight = &flights->table[index];

    flight->ignores_activity = (request->flags & WSGI_REQUEST_IGNORE_ACTIVITY) != 0;
    flight->thread = (uint64_t)pthread_self();
    flight->interp = NULL;
    flight->interrupted_us = 0;
    flight->begun_us = now_us;
    if (!flight->ignores_activity) {
        flights->running_active++;
        note_activity(flights, now_us);
    }
    wsgi_journal_enter(flights->journal, index, request);
    flight->serial = ++flights->serial;
}

int wsgi_flights_begin(wsgi_flights_t *flights, const wsgi_request_t *request)
{
    int64_t never = 0;

    if (flights == NULL) {
        return -1;
    }
    const int64_t now_us = wsgi_now_us();
    const int index = claim(flights);
    flights->running++;
    if (flights->first_us == 0) {
        atomic_compare_exchange_strong(&flights->first_us, &never, now_us);
    }
    if (index >= 0) {
        enter(flights, (unsigned)index, request, now_us);
    }
    return index;
}

void wsgi_flights_enter(wsgi_flights_t *flights, int index, wsgi_interp_t *interp)
{
    if (flights != NULL && index >= 0) {
        atomic_store_explicit(&flights->table[index].interp, interp, memory_order_release);
    }
}

static void leave(wsgi_flights_t *flights, unsigned index)
{
    wsgi_flight_t *flight = &flights->table[index];

    flight->serial = 0;
    wsgi_journal_leave(flights->journal, index);
    if (!flight->ignores_activity) {
        note_activity(flights, wsgi_now_us());
        flights->running_active--;
    }
    give_back(flights, index);
}

void wsgi_flights_end(wsgi_flights_t *flights, int index, bool is_served)
{
    if (flights == NULL) {
        return;
    }
    if (index >= 0) {
        leave(flights, (unsigned)index);
    }
    const uint64_t completed = is_served ? ++flights->completed : 0;
    const uint32_t left = --flights->running;
    if (completed == flights->wake_at || (left == 0 && flights->wakes_when_idle)) {
        wsgi_flights_wake(flights);
    }
}

void wsgi_flights_spoil(wsgi_flights_t *flights)
{
    if (flights != NULL && !atomic_exchange(&flights->is_spoilt, true)) {
        wsgi_flights_wake(flights);
    }
}

void wsgi_flights_wake(const wsgi_flights_t *flights)
{
    const uint64_t one = 1;

    if (flights->wake_fd >= 0 && write(flights->wake_fd, &one, sizeof(one)) < 0) {
        return; /* it has plenty to read already */
    }
}
