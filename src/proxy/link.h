/* proxy/link.h — the way of one httpd child to the workers of one process group: the rendezvous,
 * the few places at it, and the memory of requests between two uses.
 * Runs in:  httpd child.   Threads: any; internally locked.   Blocks: wsgi_link_await().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_LINK_H
#define WSGI_PROXY_LINK_H

#include "wsgi_proxy.h"

#include <pthread.h>

enum {
    WSGI_LINK_PLACES = 8, /* callers that stand at the rendezvous: only they have descriptors */
    WSGI_LINK_SPARES = 8  /* finished requests whose memory is kept for the next ones */
};

enum wsgi_place_state { WSGI_PLACE_NONE = 0, WSGI_PLACE_WAITING, WSGI_PLACE_HELD };

/* A caller's place at the rendezvous, or in the row before it. */
typedef struct wsgi_place {
    enum wsgi_place_state state; /* guarded by the link's lock */
    struct wsgi_place *next;     /* who came after this one; guarded by the link's lock */
    pthread_cond_t is_held;      /* on the monotonic clock */
} wsgi_place_t;

void wsgi_place_init(wsgi_place_t *place) WSGI_NONNULL;
void wsgi_place_destroy(wsgi_place_t *place) WSGI_NONNULL;

const wsgi_link_settings_t *wsgi_link_settings(const wsgi_link_t *link) WSGI_NONNULL;

/* May a worker take a request, as far as the counters tell? */
bool wsgi_link_may_serve(const wsgi_link_t *link) WSGI_NONNULL;

/* True: the place is held. False: it waits in the row, first come first served; ask again, or
 * await it. Whoever has asked has to leave. */
bool wsgi_link_enter(wsgi_link_t *link, wsgi_place_t *place) WSGI_NONNULL WSGI_MUST_CHECK;

/* Blocks until a waiting place is held or wsgi_now_us() has reached until_us. */
void wsgi_link_await(wsgi_link_t *link, wsgi_place_t *place, int64_t until_us) WSGI_NONNULL;

/* Gives the place up, or leaves the row; the first in the row moves up. Nothing for NONE. */
void wsgi_link_leave(wsgi_link_t *link, wsgi_place_t *place) WSGI_NONNULL;

/* Puts a descriptor into the rendezvous; never blocks; the caller still closes its own copy.
 * WSGI_OK · WSGI_E_AGAIN (full: try again in a few milliseconds) · WSGI_E_REFUSED (nobody has the
 * workers' end any more) · WSGI_E_IO (errno says why). */
int wsgi_link_pass(const wsgi_link_t *link, int fd) WSGI_NONNULL WSGI_MUST_CHECK;

/* A finished request, to be used again, or NULL. Giving back: false where enough are kept. */
struct wsgi_proxy *wsgi_link_take_spare(wsgi_link_t *link) WSGI_NONNULL;
bool wsgi_link_give_spare(wsgi_link_t *link, struct wsgi_proxy *spare) WSGI_NONNULL;

#endif
