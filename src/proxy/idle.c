/* proxy/idle.c — idle connections, and what is known of the workers at their other ends. All that
 * the counters say is a hint: it makes a choice better or worse, never wrong.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "idle.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_PER_AGE 512u
#define TURN          16u /* requests: long enough for warm caches to pay */

int wsgi_idle_init(wsgi_idle_t *idle, unsigned row_count)
{
    *idle = (wsgi_idle_t){
        .row_count = row_count < WSGI_COUNTERS_ROWS_MAX ? row_count : WSGI_COUNTERS_ROWS_MAX,
    };
    idle->uses = calloc(idle->row_count + 1, sizeof(*idle->uses));
    return idle->uses != NULL ? WSGI_OK : WSGI_E_NOMEM;
}

void wsgi_idle_free(wsgi_idle_t *idle)
{
    for (unsigned i = 0; i < idle->count; i++) {
        wsgi_fd_close(&idle->items[i].fd);
    }
    free(idle->items);
    free(idle->uses);
    *idle = (wsgi_idle_t){0};
}

/* So that what was long ago, or another process in the same row, counts less and less. */
static void age(wsgi_idle_t *idle)
{
    idle->note_count = 0;
    for (unsigned i = 0; i < idle->row_count; i++) {
        idle->uses[i].lately /= 2;
    }
}

void wsgi_idle_note(wsgi_idle_t *idle, uint32_t worker_index, int more)
{
    if (worker_index >= idle->row_count) {
        return;
    }
    idle->uses[worker_index].now += (uint32_t)more;
    if (more > 0) {
        idle->uses[worker_index].lately++;
        if (++idle->note_count == NOTES_PER_AGE) {
            age(idle);
        }
    }
}

bool wsgi_idle_is_turn_of(const wsgi_idle_t *idle, uint32_t other, uint32_t worker_index)
{
    return other < idle->row_count && worker_index < idle->row_count &&
           idle->uses[other].lately + TURN < idle->uses[worker_index].lately;
}

bool wsgi_idle_is_time_for_turns(const wsgi_idle_t *idle)
{
    return idle->note_count % TURN == 0;
}

void wsgi_idle_pass_turn(wsgi_idle_t *idle, uint32_t worker_index)
{
    if (worker_index < idle->row_count) {
        idle->uses[worker_index].lately += TURN;
    }
}

static uint32_t load(const _Atomic uint32_t *hint)
{
    return atomic_load_explicit(hint, memory_order_relaxed);
}

uint32_t wsgi_idle_busy(const wsgi_idle_t *idle, const wsgi_counters_t *counters,
                        uint32_t worker_index)
{
    const uint32_t known = worker_index < idle->row_count ? idle->uses[worker_index].now : 0;
    const uint32_t said = counters == NULL ? 0 : load(&counters->rows[worker_index].busy);

    return said > known ? said : known;
}

static bool is_dead(const wsgi_kept_t *item, const wsgi_counters_t *counters, int64_t now_us)
{
    if (now_us - item->since_us >= WSGI_LINK_IDLE_US) {
        return true;
    }
    if (counters == NULL) {
        return false;
    }
    const wsgi_worker_row_t *row = &counters->rows[item->worker_index];
    return load(&row->generation) != item->generation || load(&row->state) == WSGI_WORKER_STOPPING;
}

/* False: no room; the next call goes on. */
static bool doom(wsgi_doomed_t *doomed, int fd)
{
    if (doomed->count == sizeof(doomed->fds) / sizeof(doomed->fds[0])) {
        return false;
    }
    doomed->fds[doomed->count++] = fd;
    return true;
}

void wsgi_idle_sweep(wsgi_idle_t *idle, const wsgi_counters_t *counters, int64_t now_us,
                     wsgi_doomed_t *doomed)
{
    unsigned left = 0;

    for (unsigned i = 0; i < idle->count; i++) {
        const wsgi_kept_t item = idle->items[i];

        if (!is_dead(&item, counters, now_us) || !doom(doomed, item.fd)) {
            idle->items[left++] = item;
        }
    }
    idle->count = left;
}

const wsgi_kept_t *wsgi_idle_best(const wsgi_idle_t *idle, const wsgi_counters_t *counters)
{
    const wsgi_kept_t *best = NULL;
    uint32_t least = UINT32_MAX;

    for (unsigned i = idle->count; i-- > 0;) {
        const uint32_t busy = wsgi_idle_busy(idle, counters, idle->items[i].worker_index);

        if (best == NULL || busy < least ||
            (busy == least &&
             wsgi_idle_is_turn_of(idle, idle->items[i].worker_index, best->worker_index))) {
            best = &idle->items[i];
            least = busy;
        }
    }
    return best;
}

void wsgi_idle_remove(wsgi_idle_t *idle, const wsgi_kept_t *item)
{
    const size_t index = (size_t)(item - idle->items);

    memmove(&idle->items[index], &idle->items[index + 1],
            (idle->count - index - 1) * sizeof(*idle->items));
    idle->count--;
}

int wsgi_idle_add(wsgi_idle_t *idle, const wsgi_kept_t *item)
{
    if (idle->count == idle->capacity) {
        const unsigned capacity = idle->capacity == 0 ? 16 : 2 * idle->capacity;
        wsgi_kept_t *items = realloc(idle->items, capacity * sizeof(*items));

        if (items == NULL) {
            return WSGI_E_NOMEM;
        }
        idle->items = items;
        idle->capacity = capacity;
    }
    idle->items[idle->count++] = *item;
    return WSGI_OK;
}

void wsgi_idle_drop_worker(wsgi_idle_t *idle, const wsgi_kept_t *like, wsgi_doomed_t *doomed)
{
    unsigned left = 0;

    for (unsigned i = 0; i < idle->count; i++) {
        const wsgi_kept_t item = idle->items[i];
        const bool is_alike =
            item.worker_index == like->worker_index && item.generation == like->generation;

        if (!is_alike || !doom(doomed, item.fd)) {
            idle->items[left++] = item;
        }
    }
    idle->count = left;
}

void wsgi_doomed_close(wsgi_doomed_t *doomed)
{
    for (unsigned i = 0; i < doomed->count; i++) {
        wsgi_fd_close(&doomed->fds[i]);
    }
    doomed->count = 0;
}
