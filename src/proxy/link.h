/* proxy/link.h — the way of one httpd child to the workers of one process group: connections that
 * workers have left with it, the few places at the rendezvous, the row of those who wait for either,
 * and the memory of requests between two uses.
 * Runs in:  httpd child.   Threads: any; internally locked.   Blocks: wsgi_link_await().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_LINK_H
#define WSGI_PROXY_LINK_H

#include "wsgi_proxy.h"

#include <pthread.h>

enum {
    WSGI_LINK_SCOUTS = 8,          /* callers at the rendezvous: only they have descriptors there */
    WSGI_LINK_SPARES = 8,          /* finished requests whose memory is kept for the next ones */
    WSGI_LINK_PATIENCE_US = 20000, /* in the row; then a connection or a place is for who waits */
    WSGI_LINK_LOOK_US = 1000,      /* idle for longer: looked at before it is used */
    WSGI_LINK_IDLE_US = 60000000   /* idle for longer: closed, at the link's next use */
};

enum wsgi_place_state {
    WSGI_PLACE_NONE = 0,
    WSGI_PLACE_WAITING, /* in the row */
    WSGI_PLACE_SCOUT,   /* at the rendezvous */
    WSGI_PLACE_USER     /* has a connection to a worker */
};

/* A connection that its worker has left with us, or may leave. */
typedef struct wsgi_kept {
    int fd;                            /* -1: the request has it */
    bool is_timed;                     /* SO_RCVTIMEO is set */
    uint32_t worker_index, generation; /* of HELLO; the index is below WSGI_COUNTERS_ROWS_MAX */
    int64_t since_us;                  /* idle since */
} wsgi_kept_t;

/* A request's standing with the link. */
typedef struct wsgi_place {
    enum wsgi_place_state state; /* guarded by the link's lock; left by its owner only, but that
                                  * who waits may be called up */
    struct wsgi_place *next;     /* who came after this one; guarded by the link's lock */
    bool is_called;              /* to ask again; guarded by the link's lock */
    wsgi_kept_t kept;            /* of a USER */
    int64_t since_us;            /* waits since; the owner's, while WAITING read by others */
    pthread_cond_t is_due;       /* on the monotonic clock */
} wsgi_place_t;

void wsgi_place_init(wsgi_place_t *place) WSGI_NONNULL;
void wsgi_place_destroy(wsgi_place_t *place) WSGI_NONNULL;

const wsgi_link_settings_t *wsgi_link_settings(const wsgi_link_t *link) WSGI_NONNULL;

/* May a worker take a request, as far as the counters tell? */
bool wsgi_link_may_serve(const wsgi_link_t *link) WSGI_NONNULL;

/* As far as the counters tell: why may nobody take a request at the moment? */
enum wsgi_lack {
    WSGI_LACK_NONE,      /* there are workers */
    WSGI_LACK_STARTING,  /* they start, or import */
    WSGI_LACK_REPLACING, /* they take nothing any more, and their successors wait for their end */
};
enum wsgi_lack wsgi_link_lack(const wsgi_link_t *link) WSGI_NONNULL;

/* The row of the counters, or NULL. */
const wsgi_worker_row_t *wsgi_link_row(const wsgi_link_t *link, uint32_t worker_index) WSGI_NONNULL;

enum wsgi_turn {
    WSGI_TURN_WAIT,  /* stands in the row: ask again, or await it */
    WSGI_TURN_FULL,  /* listen-backlog: ask again later; nothing to leave */
    WSGI_TURN_SCOUT, /* a fresh pair may go to the rendezvous */
    WSGI_TURN_KEPT   /* *fd is a connection to place->kept's worker, owned by the request now */
};

/* Asks for a way to a worker. `is_wary`: not on a kept connection. Whoever got something else than
 * FULL has to leave, or keep. */
enum wsgi_turn wsgi_link_enter(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us, bool is_wary,
                               int *fd) WSGI_NONNULL WSGI_MUST_CHECK;

/* Blocks until who waits should ask again, or wsgi_now_us() has reached until_us. */
void wsgi_link_await(wsgi_link_t *link, wsgi_place_t *place, int64_t until_us) WSGI_NONNULL;

/* A worker has said HELLO to a scout. */
void wsgi_link_begun(wsgi_link_t *link, wsgi_place_t *place, uint32_t worker_index,
                     uint32_t generation, int64_t now_us) WSGI_NONNULL;

/* A user's connection is for others now; its place is given up. */
void wsgi_link_keep(wsgi_link_t *link, wsgi_place_t *place, int fd, int64_t now_us) WSGI_NONNULL;

/* Gives up the place or the turn in the row; the request's connection is closed. Nothing for NONE. */
void wsgi_link_leave(wsgi_link_t *link, wsgi_place_t *place, int64_t now_us) WSGI_NONNULL;

/* A worker does not read what is sent to it: its idle connections are closed. */
void wsgi_link_distrust(wsgi_link_t *link, const wsgi_kept_t *kept) WSGI_NONNULL;

/* A worker has said something on a connection where nobody asked: one line. */
void wsgi_link_log_noise(const wsgi_link_t *link, const wsgi_kept_t *kept) WSGI_NONNULL;

/* Puts a descriptor into the rendezvous; never blocks; the caller still closes its own copy.
 * WSGI_OK · WSGI_E_AGAIN (full: try again in a few milliseconds) · WSGI_E_REFUSED (nobody has the
 * workers' end any more) · WSGI_E_IO (errno says why). */
int wsgi_link_pass(const wsgi_link_t *link, int fd) WSGI_NONNULL WSGI_MUST_CHECK;

/* A finished request, to be used again, or NULL. Giving back: false where enough are kept. */
struct wsgi_proxy *wsgi_link_take_spare(wsgi_link_t *link) WSGI_NONNULL;
bool wsgi_link_give_spare(wsgi_link_t *link, struct wsgi_proxy *spare) WSGI_NONNULL;

#endif
