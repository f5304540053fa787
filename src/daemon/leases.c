/* daemon/leases.c — who has which connection: one atomic word for each.
 *
 * The generation tells an event of an earlier connection in the same place from one of this: the
 * epoll set may still deliver it after the descriptor was closed, also because a fork of the
 * application holds it for a moment.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "leases.h"

#include <stdlib.h>

enum { PHASE_BITS = 8, PHASE_MASK = (1 << PHASE_BITS) - 1 };

static enum wsgi_lease_phase phase_of(uint32_t state)
{
    return (enum wsgi_lease_phase)(state & PHASE_MASK);
}

static uint32_t with_phase(uint32_t state, enum wsgi_lease_phase phase)
{
    return (state & ~(uint32_t)PHASE_MASK) | (uint32_t)phase;
}

static uint32_t next_generation(uint32_t state)
{
    return (state & ~(uint32_t)PHASE_MASK) + (1u << PHASE_BITS);
}

/* From one phase to another within the same generation. */
static bool change(wsgi_lease_t *lease, uint32_t state, enum wsgi_lease_phase to)
{
    return atomic_compare_exchange_strong(&lease->state, &state, with_phase(state, to));
}

int wsgi_leases_init(wsgi_leases_t *leases, unsigned count,
                     const wsgi_connection_settings_t *settings)
{
    *leases = (wsgi_leases_t){.settings = settings, .count = count};
    leases->leases = calloc(count, sizeof(*leases->leases));
    return leases->leases != NULL ? WSGI_OK : WSGI_E_NOMEM;
}

void wsgi_leases_free(wsgi_leases_t *leases)
{
    for (unsigned i = 0; i < leases->used; i++) {
        if (leases->leases[i].is_initialised) {
            wsgi_connection_free(&leases->leases[i].connection);
        }
    }
    free(leases->leases);
    leases->leases = NULL;
}

/* A hint for httpd's children. The row is another's where our supervisor died and its successor
 * began. */
static void count(wsgi_leases_t *leases, unsigned more)
{
    wsgi_worker_row_t *row = leases->settings->row;

    leases->open += more;
    if (row->generation == leases->settings->hello.generation) {
        atomic_fetch_add_explicit(&row->leases, more, memory_order_relaxed);
    }
}

static void initialise(wsgi_leases_t *leases, wsgi_lease_t *lease)
{
    const unsigned reach = (unsigned)(lease - leases->leases) + 1;
    unsigned used = leases->used;

    if (!lease->is_initialised) {
        wsgi_connection_init(&lease->connection, leases->settings);
        lease->next_fd = -1;
        lease->is_initialised = true;
    }
    while (used < reach && !atomic_compare_exchange_weak(&leases->used, &used, reach)) {
    }
}

static wsgi_lease_t *claim_free(wsgi_leases_t *leases, unsigned limit)
{
    for (unsigned i = 0; i < limit && i < leases->count; i++) {
        wsgi_lease_t *lease = &leases->leases[i];
        const uint32_t state = lease->state;

        if (phase_of(state) == WSGI_LEASE_FREE && change(lease, state, WSGI_LEASE_OWNED)) {
            initialise(leases, lease);
            count(leases, 1);
            return lease;
        }
    }
    return NULL;
}

static wsgi_lease_t *longest_parked(wsgi_leases_t *leases, uint32_t *state)
{
    wsgi_lease_t *longest = NULL;
    int64_t since_us = INT64_MAX;

    for (unsigned i = 0; i < leases->used; i++) {
        wsgi_lease_t *lease = &leases->leases[i];
        const uint32_t now = lease->state;
        const int64_t parked_us = lease->parked_us;

        if (phase_of(now) == WSGI_LEASE_PARKED && parked_us < since_us) {
            longest = lease;
            since_us = parked_us;
            *state = now;
        }
    }
    return longest;
}

static wsgi_lease_t *claim_parked(wsgi_leases_t *leases)
{
    wsgi_lease_t *lease;
    uint32_t state;

    while ((lease = longest_parked(leases, &state)) != NULL) {
        const uint32_t owned = with_phase(next_generation(state), WSGI_LEASE_OWNED);

        if (atomic_compare_exchange_strong(&lease->state, &state, owned)) {
            wsgi_connection_revoke(&lease->connection);
            lease->is_watched = false;
            return lease;
        }
    }
    return NULL;
}

wsgi_lease_t *wsgi_leases_claim(wsgi_leases_t *leases, unsigned limit)
{
    wsgi_lease_t *lease = claim_free(leases, limit);

    return lease != NULL ? lease : claim_parked(leases);
}

uint64_t wsgi_lease_mark(const wsgi_leases_t *leases, const wsgi_lease_t *lease)
{
    return (uint64_t)(lease->state >> PHASE_BITS) << 32 | (uint64_t)(lease - leases->leases);
}

wsgi_lease_t *wsgi_leases_find(wsgi_leases_t *leases, uint64_t mark)
{
    wsgi_lease_t *lease = &leases->leases[mark & UINT32_MAX];
    uint32_t state = lease->state;

    while (state >> PHASE_BITS == mark >> 32) {
        if (phase_of(state) == WSGI_LEASE_PARKED && change(lease, state, WSGI_LEASE_OWNED)) {
            return lease;
        }
        if (phase_of(state) != WSGI_LEASE_PARKED &&
            (phase_of(state) != WSGI_LEASE_OWNED || change(lease, state, WSGI_LEASE_MISSED))) {
            return NULL;
        }
        state = lease->state;
    }
    return NULL;
}

bool wsgi_lease_park(wsgi_lease_t *lease)
{
    const uint32_t state = lease->state;

    lease->parked_us = wsgi_now_us();
    if (phase_of(state) == WSGI_LEASE_OWNED && change(lease, state, WSGI_LEASE_PARKED)) {
        return true;
    }
    lease->state = with_phase(state, WSGI_LEASE_OWNED); /* others change nothing in MISSED */
    return false;
}

void wsgi_lease_release(wsgi_leases_t *leases, wsgi_lease_t *lease)
{
    lease->is_watched = false;
    count(leases, -1u);
    lease->state = next_generation(lease->state) | WSGI_LEASE_FREE;
}

void wsgi_lease_revoke(wsgi_leases_t *leases, wsgi_lease_t *lease)
{
    const uint32_t state = lease->state;

    if (phase_of(state) == WSGI_LEASE_PARKED && change(lease, state, WSGI_LEASE_OWNED)) {
        wsgi_connection_revoke(&lease->connection);
        wsgi_lease_release(leases, lease);
    }
}

void wsgi_leases_revoke_all(wsgi_leases_t *leases)
{
    for (unsigned i = 0; i < leases->used; i++) {
        wsgi_lease_revoke(leases, &leases->leases[i]);
    }
}

void wsgi_leases_forget(wsgi_leases_t *leases)
{
    const unsigned used = leases->used;

    for (unsigned i = 0; i < used; i++) {
        wsgi_lease_t *lease = &leases->leases[i];

        if (lease->is_initialised) {
            int fd = atomic_exchange(&lease->connection.fd, -1);
            wsgi_fd_close(&fd);
            wsgi_fd_close(&lease->next_fd);
            lease->connection.is_counted = false; /* the worker counts it, in memory we share */
        }
    }
}
