/* proxy/link.c — places at the rendezvous, first come first served, and passing a descriptor.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "proxy_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct wsgi_link {
    wsgi_link_settings_t settings; /* never changes */

    pthread_mutex_t lock;
    unsigned held_count;         /* places taken, ≤ WSGI_LINK_PLACES; guarded by lock */
    wsgi_place_t *first, **last; /* who waits, in order of arrival; guarded by lock */
    wsgi_proxy_t *spares;        /* chained by next_spare; guarded by lock */
    unsigned spare_count;        /* ≤ WSGI_LINK_SPARES; guarded by lock */
};

wsgi_link_t *wsgi_link_open(const wsgi_link_settings_t *settings)
{
    wsgi_link_t *link = malloc(sizeof(*link));

    if (link != NULL) {
        *link = (wsgi_link_t){.settings = *settings, .last = &link->first};
        pthread_mutex_init(&link->lock, NULL);
    }
    return link;
}

void wsgi_link_close(wsgi_link_t *link)
{
    if (link == NULL) {
        return;
    }
    WSGI_ASSERT(link->held_count == 0 && link->first == NULL);
    while (link->spares != NULL) {
        wsgi_proxy_t *spare = link->spares;

        link->spares = spare->next_spare;
        wsgi_proxy_free(spare);
    }
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

/* Places. */

void wsgi_place_init(wsgi_place_t *place)
{
    pthread_condattr_t monotonic;

    *place = (wsgi_place_t){.state = WSGI_PLACE_NONE};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&place->is_held, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void wsgi_place_destroy(wsgi_place_t *place)
{
    WSGI_ASSERT(place->state == WSGI_PLACE_NONE);
    pthread_cond_destroy(&place->is_held);
}

static void assert_locked(wsgi_link_t *link)
{
    WSGI_ASSERT(pthread_mutex_trylock(&link->lock) == EBUSY);
}

static void join_row_locked(wsgi_link_t *link, wsgi_place_t *place)
{
    assert_locked(link);
    place->state = WSGI_PLACE_WAITING;
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

/* Straight to the one who has waited longest: nobody who comes now gets in between. */
static void pass_on_locked(wsgi_link_t *link)
{
    wsgi_place_t *longest = link->first;

    assert_locked(link);
    if (longest == NULL) {
        link->held_count--;
        return;
    }
    leave_row_locked(link, longest);
    longest->state = WSGI_PLACE_HELD;
    pthread_cond_signal(&longest->is_held);
}

bool wsgi_link_enter(wsgi_link_t *link, wsgi_place_t *place)
{
    pthread_mutex_lock(&link->lock);
    if (place->state == WSGI_PLACE_NONE && link->held_count < WSGI_LINK_PLACES) {
        link->held_count++;
        place->state = WSGI_PLACE_HELD;
    }
    else if (place->state == WSGI_PLACE_NONE) {
        join_row_locked(link, place);
    }
    const bool is_held = place->state == WSGI_PLACE_HELD;
    pthread_mutex_unlock(&link->lock);
    return is_held;
}

void wsgi_link_await(wsgi_link_t *link, wsgi_place_t *place, int64_t until_us)
{
    const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    int error = 0;

    pthread_mutex_lock(&link->lock);
    while (place->state == WSGI_PLACE_WAITING && error == 0) {
        error = pthread_cond_timedwait(&place->is_held, &link->lock, &until);
    }
    pthread_mutex_unlock(&link->lock);
}

void wsgi_link_leave(wsgi_link_t *link, wsgi_place_t *place)
{
    pthread_mutex_lock(&link->lock);
    if (place->state == WSGI_PLACE_WAITING) {
        leave_row_locked(link, place);
    }
    else if (place->state == WSGI_PLACE_HELD) {
        pass_on_locked(link);
    }
    place->state = WSGI_PLACE_NONE;
    pthread_mutex_unlock(&link->lock);
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
