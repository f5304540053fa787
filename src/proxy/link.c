/* proxy/link.c — ways to a worker: idle connections first, else a place at the rendezvous, else the
 * row; and passing a descriptor.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "backlog.h"
#include "idle.h"
#include "proxy_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_US 100000 /* between two looks for dead children that have waited */

struct wsgi_link {
    wsgi_link_settings_t settings; /* never changes */
    wsgi_backlog_slot_t *slot;     /* ours in the backlog, or NULL; never changes */
    _Atomic int64_t swept_us;

    pthread_mutex_t lock;
    wsgi_idle_t idle;            /* guarded by lock */
    unsigned scout_count;        /* ≤ WSGI_LINK_SCOUTS; guarded by lock */
    unsigned user_count;         /* requests that have a connection; guarded by lock */
    wsgi_place_t *first, **last; /* who waits, in order of arrival; guarded by lock */
    wsgi_proxy_t *spares;        /* chained by next_spare; guarded by lock */
    unsigned spare_count;        /* ≤ WSGI_LINK_SPARES; guarded by lock */
};

wsgi_link_t *wsgi_link_open(const wsgi_link_settings_t *settings)
{
    wsgi_link_t *link = malloc(sizeof(*link));

    if (link == NULL) {
        return NULL;
    }
    *link = (wsgi_link_t){.settings = *settings, .last = &link->first};
    if (wsgi_idle_init(&link->idle, settings->rows) != WSGI_OK) {
        free(link);
        return NULL;
    }
    if (settings->backlog != NULL) {
        link->slot = wsgi_backlog_claim(settings->backlog, (uint32_t)getpid());
    }
    pthread_mutex_init(&link->lock, NULL);
    return link;
}

void wsgi_link_close(wsgi_link_t *link)
{
    if (link == NULL) {
        return;
    }
    WSGI_ASSERT(link->scout_count == 0 && link->user_count == 0 && link->first == NULL);
    while (link->spares != NULL) {
        wsgi_proxy_t *spare = link->spares;

        link->spares = spare->next_spare;
        wsgi_proxy_free(spare);
    }
    wsgi_idle_free(&link->idle);
    wsgi_backlog_release(link->slot);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

const wsgi_link_settings_t *wsgi_link_settings(const wsgi_link_t *link)
{
    return &link->settings;
}

bool wsgi_link_may_serve(const wsgi_link_t *link)
{
    return link->settings.counters == NULL || wsgi_counters_may_serve(link->settings.counters);
}

static bool has_row(const wsgi_link_t *link, enum wsgi_worker_state state)
{
    const unsigned most = 2 * link->settings.processes;

    for (unsigned i = 0; i < most && i < WSGI_COUNTERS_ROWS_MAX; i++) {
        if (link->settings.counters->rows[i].state == state) {
            return true;
        }
    }
    return false;
}

enum wsgi_lack wsgi_link_lack(const wsgi_link_t *link)
{
    const wsgi_counters_t *counters = link->settings.counters;

    if (counters == NULL || counters->state != WSGI_GROUP_STARTING) {
        return WSGI_LACK_NONE;
    }
    return has_row(link, WSGI_WORKER_STOPPING) && !has_row(link, WSGI_WORKER_STARTING)
               ? WSGI_LACK_REPLACING
               : WSGI_LACK_STARTING;
}

const wsgi_worker_row_t *wsgi_link_row(const wsgi_link_t *link, uint32_t worker_index)
{
    const wsgi_counters_t *counters = link->settings.counters;

    return counters != NULL && worker_index < WSGI_COUNTERS_ROWS_MAX ? &counters->rows[worker_index]
                                                                     : NULL;
}

/* Places. */

void wsgi_place_init(wsgi_place_t *place)
{
    pthread_condattr_t monotonic;

    *place = (wsgi_place_t){.state = WSGI_PLACE_NONE, .kept.fd = -1};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&place->is_due, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void wsgi_place_destroy(wsgi_place_t *place)
{
    WSGI_ASSERT(place->state == WSGI_PLACE_NONE);
    pthread_cond_destroy(&place->is_due);
}

static void assert_locked(wsgi_link_t *link)
{
    WSGI_ASSERT(pthread_mutex_trylock(&link->lock) == EBUSY);
}

static void join_row_locked(wsgi_link_t *link, wsgi_place_t *place)
{
    assert_locked(link);
    place->next = NULL;
    *link->last = place;
    link->last = &place->next;
}

static void leave_row_locked(wsgi_link_t *link, wsgi_place_t *place)
{
    wsgi_place_t **at = &link->first;

    assert_locked(link);
    while (*at != place) {
        at = &(*at)->next;
    }
    *at = place->next;
    if (link->last == &place->next) {
        link->last = at;
    }
}

/* Every change of a place goes through here: rows, counts and the backlog follow. Its own kept
 * connection has to be right before it becomes a user and until it is one no longer. */
static void set_state_locked(wsgi_link_t *link, wsgi_place_t *place, enum wsgi_place_state state)
{
    const enum wsgi_place_state before = place->state;
    const bool has_waited = before == WSGI_PLACE_WAITING || before == WSGI_PLACE_SCOUT;
    const bool does_wait = state == WSGI_PLACE_WAITING || state == WSGI_PLACE_SCOUT;

    assert_locked(link);
    if (before == WSGI_PLACE_WAITING) {
        leave_row_locked(link, place);
    }
    if (state == WSGI_PLACE_WAITING) {
        join_row_locked(link, place);
    }
    link->scout_count += (state == WSGI_PLACE_SCOUT) - (before == WSGI_PLACE_SCOUT);
    link->user_count += (state == WSGI_PLACE_USER) - (before == WSGI_PLACE_USER);
    if ((state == WSGI_PLACE_USER) != (before == WSGI_PLACE_USER)) {
        wsgi_idle_note(&link->idle, place->kept.worker_index, state == WSGI_PLACE_USER ? 1 : -1);
    }
    if (has_waited && !does_wait) {
        wsgi_backlog_leave(link->slot);
    }
    place->state = state;
}

/* The first in the row, if it has lost its patience. */
static wsgi_place_t *impatient_locked(wsgi_link_t *link, int64_t now_us)
{
    wsgi_place_t *first = link->first;

    assert_locked(link);
    return first != NULL && now_us - first->since_us >= WSGI_LINK_PATIENCE_US ? first : NULL;
}

/* Something has changed that who waits may want to know. Who has waited for long gets the place at
 * the rendezvous; else the first is told to ask again, and may find that another was faster: to keep
 * strictly to the row would cost up to two thirds of the throughput. */
static void call_next_locked(wsgi_link_t *link, int64_t now_us)
{
    wsgi_place_t *first = impatient_locked(link, now_us);

    if (first != NULL && link->scout_count < WSGI_LINK_SCOUTS) {
        set_state_locked(link, first, WSGI_PLACE_SCOUT);
        pthread_cond_signal(&first->is_due);
    }
    else if (link->first != NULL && !link->first->is_called) {
        link->first->is_called = true;
        pthread_cond_signal(&link->first->is_due);
    }
}

static bool is_ready(const wsgi_worker_row_t *row)
{
    return atomic_load_explicit(&row->state, memory_order_relaxed) == WSGI_WORKER_READY;
}

/* As its row says, has it a thread that is promised to nobody? */
static bool is_roomy(const wsgi_link_t *link, const wsgi_worker_row_t *row)
{
    return is_ready(row) &&
           (link->settings.threads == 0 ||
            atomic_load_explicit(&row->leases, memory_order_relaxed) < link->settings.threads);
}

/* Has it promised threads to other children that make little use of them? They are taken back
 * sooner than a request here should wait; under load it is better to wait. */
static bool is_half_idle(const wsgi_link_t *link, const wsgi_worker_row_t *row)
{
    return is_ready(row) && atomic_load_explicit(&row->busy, memory_order_relaxed) <
                                (link->settings.threads + 1) / 2;
}

static bool has_room(const wsgi_link_t *link)
{
    const wsgi_counters_t *counters = link->settings.counters;

    for (unsigned i = 0; counters != NULL && i < link->idle.row_count; i++) {
        if (is_roomy(link, &counters->rows[i]) || is_half_idle(link, &counters->rows[i])) {
            return true;
        }
    }
    return counters == NULL;
}

static bool has_connection_locked(wsgi_link_t *link, uint32_t worker_index)
{
    assert_locked(link);
    for (unsigned i = 0; i < link->idle.count; i++) {
        if (link->idle.items[i].worker_index == worker_index) {
            return true;
        }
    }
    return false;
}

/* Is this worker better than that of the best connection we have: with fewer requests, or with as
 * many and its turn has come? */
static bool is_better_locked(wsgi_link_t *link, uint32_t worker_index, uint32_t best,
                             uint32_t least)
{
    const wsgi_counters_t *counters = link->settings.counters;
    const uint32_t busy = wsgi_idle_busy(&link->idle, counters, worker_index);

    assert_locked(link);
    if (busy > least || !is_roomy(link, &counters->rows[worker_index])) {
        return false;
    }
    if (busy < least) {
        return true;
    }
    if (!wsgi_idle_is_turn_of(&link->idle, worker_index, best) ||
        has_connection_locked(link, worker_index)) {
        return false;
    }
    wsgi_idle_pass_turn(&link->idle, worker_index); /* whoever answers: not again at once */
    return true;
}

/* One caller at a time goes and looks for a better worker, or it would never get its share. */
static bool has_better_locked(wsgi_link_t *link, const wsgi_kept_t *best)
{
    const wsgi_counters_t *counters = link->settings.counters;

    assert_locked(link);
    if (counters == NULL || link->scout_count > 0 || link->first != NULL) {
        return false;
    }
    const uint32_t least = wsgi_idle_busy(&link->idle, counters, best->worker_index);
    if (least == 0 && !wsgi_idle_is_time_for_turns(&link->idle)) {
        return false;
    }
    for (unsigned i = 0; i < link->idle.row_count; i++) {
        if (is_better_locked(link, i, best->worker_index, least)) {
            return true;
        }
    }
    return false;
}

static bool take_idle_locked(wsgi_link_t *link, wsgi_place_t *place, bool is_choosy)
{
    const wsgi_kept_t *best = wsgi_idle_best(&link->idle, link->settings.counters);

    assert_locked(link);
    if (best == NULL || (is_choosy && has_better_locked(link, best))) {
        return false;
    }
    place->kept = *best;
    wsgi_idle_remove(&link->idle, best);
    set_state_locked(link, place, WSGI_PLACE_USER);
    return true;
}

static bool may_scout_locked(wsgi_link_t *link, const wsgi_place_t *place, int64_t now_us,
                             bool is_wary)
{
    assert_locked(link);
    if (link->scout_count >= WSGI_LINK_SCOUTS) {
        return false;
    }
    if (is_wary || link->idle.count > 0) {
        return true; /* the latter: there is a better worker than those */
    }
    if (place->state == WSGI_PLACE_WAITING && now_us - place->since_us >= WSGI_LINK_PATIENCE_US) {
        return true;
    }
    const bool is_first = link->first == NULL || link->first == place;
    return is_first && (link->user_count == 0 || has_room(link));
}

static bool enter_backlog(wsgi_link_t *link, const wsgi_place_t *place)
{
    return place->state == WSGI_PLACE_WAITING || link->settings.backlog == NULL ||
           wsgi_backlog_enter(link->settings.backlog, link->slot, link->settings.listen_backlog);
}

/* For who has nothing yet. */
static enum wsgi_turn find_way_locked(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us,
                                      bool is_wary)
{
    assert_locked(link);
    if (!is_wary && take_idle_locked(link, place, true)) {
        return WSGI_TURN_KEPT;
    }
    const bool may_scout = may_scout_locked(link, place, now_us, is_wary);
    if (!enter_backlog(link, place)) {
        return !is_wary && take_idle_locked(link, place, false) ? WSGI_TURN_KEPT : WSGI_TURN_FULL;
    }
    if (may_scout) {
        set_state_locked(link, place, WSGI_PLACE_SCOUT);
        return WSGI_TURN_SCOUT;
    }
    if (place->state == WSGI_PLACE_NONE) {
        place->since_us = now_us;
        set_state_locked(link, place, WSGI_PLACE_WAITING);
    }
    return WSGI_TURN_WAIT;
}

static enum wsgi_turn enter_locked(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us,
                                   bool is_wary)
{
    assert_locked(link);
    place->is_called = false;
    switch (place->state) {
    case WSGI_PLACE_SCOUT:
        return WSGI_TURN_SCOUT;
    case WSGI_PLACE_USER: /* handed over while it waited */
        return WSGI_TURN_KEPT;
    default:
        return find_way_locked(link, place, now_us, is_wary);
    }
}

static enum wsgi_turn try_to_enter(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us,
                                   bool is_wary, int *fd)
{
    wsgi_doomed_t doomed = {.count = 0};

    pthread_mutex_lock(&link->lock);
    wsgi_idle_sweep(&link->idle, link->settings.counters, now_us, &doomed);
    const enum wsgi_turn turn = enter_locked(link, place, now_us, is_wary);
    if (turn == WSGI_TURN_KEPT) {
        *fd = place->kept.fd;
        place->kept.fd = -1;
    }
    pthread_mutex_unlock(&link->lock);
    wsgi_doomed_close(&doomed);
    return turn;
}

void wsgi_link_log_noise(const wsgi_link_t *link, const wsgi_kept_t *kept)
{
    wsgi_log(WSGI_LOG_ERR,
             WSGI_ID(1301) "[%s] closed a connection to the worker in row %u, which spoke on it "
                           "without a request; if the worker is not broken otherwise, install "
                           "mod_wsgi.so and wsgi-daemon from one build and restart httpd",
             link->settings.group, (unsigned)kept->worker_index);
}

/* Nothing may come on an idle connection but GOAWAY and its end, and both are the end. */
static bool is_quiet(const wsgi_link_t *link, const wsgi_kept_t *kept, int fd)
{
    char bytes[WSGI_WIRE_HEADER_BYTES];
    wsgi_frame_t frame;
    const ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got > 0 && wsgi_wire_take((wsgi_bytes_t){bytes, (size_t)got},
                                  WSGI_FRAME_BIT(WSGI_FRAME_GOAWAY), &frame, NULL) <= 0) {
        wsgi_link_log_noise(link, kept);
    }
    return false;
}

static void sweep_backlog(wsgi_link_t *link, int64_t now_us)
{
    int64_t swept_us = link->swept_us;

    if (link->settings.backlog != NULL && now_us - swept_us >= SWEEP_US &&
        atomic_compare_exchange_strong(&link->swept_us, &swept_us, now_us)) {
        wsgi_backlog_sweep(link->settings.backlog);
    }
}

enum wsgi_turn wsgi_link_enter(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us, bool is_wary,
                               int *fd)
{
    for (;;) {
        const enum wsgi_turn turn = try_to_enter(link, place, now_us, is_wary, fd);

        if (turn == WSGI_TURN_FULL) {
            sweep_backlog(link, now_us);
        }
        if (turn != WSGI_TURN_KEPT || now_us - place->kept.since_us < WSGI_LINK_LOOK_US ||
            is_quiet(link, &place->kept, *fd)) {
            return turn;
        }
        wsgi_fd_close(fd);
        wsgi_link_leave(link, place, now_us);
    }
}

void wsgi_link_await(wsgi_link_t *link, wsgi_place_t *place, int64_t until_us)
{
    const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    int error = 0;

    pthread_mutex_lock(&link->lock);
    while (place->state == WSGI_PLACE_WAITING && !place->is_called && error == 0) {
        error = pthread_cond_timedwait(&place->is_due, &link->lock, &until);
    }
    pthread_mutex_unlock(&link->lock);
}

void wsgi_link_begun(wsgi_link_t *link, wsgi_place_t *place, uint32_t worker_index,
                     uint32_t generation, int64_t now_us)
{
    pthread_mutex_lock(&link->lock);
    place->kept = (wsgi_kept_t){.fd = -1, .worker_index = worker_index, .generation = generation};
    set_state_locked(link, place, WSGI_PLACE_USER);
    call_next_locked(link, now_us);
    pthread_mutex_unlock(&link->lock);
}

/* Straight to the one who has waited for too long: nobody who comes now gets in between. */
static bool hand_over_locked(wsgi_link_t *link, const wsgi_kept_t *kept, int64_t now_us)
{
    wsgi_place_t *heir = impatient_locked(link, now_us);

    assert_locked(link);
    if (heir == NULL) {
        return false;
    }
    heir->kept = *kept;
    set_state_locked(link, heir, WSGI_PLACE_USER);
    pthread_cond_signal(&heir->is_due);
    return true;
}

void wsgi_link_keep(wsgi_link_t *link, wsgi_place_t *place, int fd, int64_t now_us)
{
    const wsgi_kept_t none = {.fd = -1};

    pthread_mutex_lock(&link->lock);
    wsgi_kept_t kept = place->kept;
    kept.fd = fd;
    kept.since_us = now_us;
    set_state_locked(link, place, WSGI_PLACE_NONE);
    place->kept = none;
    if (hand_over_locked(link, &kept, now_us)) {
        kept.fd = -1;
    }
    else {
        kept.fd = wsgi_idle_add(&link->idle, &kept) == WSGI_OK ? -1 : kept.fd;
        call_next_locked(link, now_us);
    }
    pthread_mutex_unlock(&link->lock);
    wsgi_fd_close(&kept.fd);
}

void wsgi_link_leave(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us)
{
    pthread_mutex_lock(&link->lock);
    int fd = place->kept.fd; /* handed over in the instant in which it gave up */
    if (place->state != WSGI_PLACE_NONE) {
        set_state_locked(link, place, WSGI_PLACE_NONE);
        call_next_locked(link, now_us);
    }
    place->kept.fd = -1;
    pthread_mutex_unlock(&link->lock);
    wsgi_fd_close(&fd);
}

void wsgi_link_distrust(wsgi_link_t *link, const wsgi_kept_t *kept)
{
    wsgi_doomed_t doomed = {.count = 0};

    pthread_mutex_lock(&link->lock);
    wsgi_idle_drop_worker(&link->idle, kept, &doomed);
    pthread_mutex_unlock(&link->lock);
    wsgi_doomed_close(&doomed);
}

/* The rendezvous. */

/* A socket that is no socket, or one of a kind that cannot carry descriptors, is a defect of ours
 * and ends as WSGI_E_IO; so do limits of memory. */
static int code_of_send(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ETOOMANYREFS: /* descriptors in flight, counted per user; they get fewer as workers read */
        return WSGI_E_AGAIN;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOTCONN:
    case EPIPE:
        return WSGI_E_REFUSED;
    default:
        return WSGI_E_IO;
    }
}

int wsgi_link_pass(const wsgi_link_t *link, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {
                     .cmsg_len = CMSG_LEN(sizeof(int)),
                     .cmsg_level = SOL_SOCKET,
                     .cmsg_type = SCM_RIGHTS,
                 }};
    struct iovec one_byte = {.iov_base = "", .iov_len = 1};
    const struct msghdr message = {
        .msg_iov = &one_byte,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    const ssize_t sent =
        sendmsg(link->settings.rendezvous_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? code_of_send(errno) : WSGI_OK;
}

/* Spares. */

wsgi_proxy_t *wsgi_link_take_spare(wsgi_link_t *link)
{
    pthread_mutex_lock(&link->lock);
    wsgi_proxy_t *spare = link->spares;
    if (spare != NULL) {
        link->spares = spare->next_spare;
        link->spare_count--;
    }
    pthread_mutex_unlock(&link->lock);
    return spare;
}

bool wsgi_link_give_spare(wsgi_link_t *link, wsgi_proxy_t *spare)
{
    pthread_mutex_lock(&link->lock);
    const bool is_kept = link->spare_count < WSGI_LINK_SPARES;
    if (is_kept) {
        spare->next_spare = link->spares;
        link->spares = spare;
        link->spare_count++;
    }
    pthread_mutex_unlock(&link->lock);
    return is_kept;
}
