/* proxy/proxy_private.h — one request on its way to a worker and back: a machine that never waits
 * for the worker, driven by readiness and by the time it is told. States: README.md.
 * Runs in:  httpd child.   Threads: one at a time, and not bound to one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROXY_PRIVATE_H
#define WSGI_PROXY_PRIVATE_H

#include "link.h"
#include "wsgi_wire.h"

enum {
    WSGI_PROXY_IN_LEAST = 64 << 10, /* what is received from a worker and not yet passed on */
    WSGI_PROXY_IN_MOST = 256 << 10, /* the same where frames are large or the client is slow */
    WSGI_PROXY_OUT_KEEP = 128 << 10,
    WSGI_PROXY_PIECE = 16 << 10, /* to a client that uploads meanwhile: hardly ever blocks */

    WSGI_PROXY_FULL_US = 3000,           /* between two tries at a full rendezvous */
    WSGI_PROXY_CROWDED_US = 20000,       /* the same where too many wait already */
    WSGI_PROXY_FIRM_US = 100000,         /* a request is not taken back before */
    WSGI_PROXY_UNREAD_US = 500000,       /* then a worker that has not read it is given up */
    WSGI_PROXY_BLOCK_US = 450000,        /* of these a driver waits in the read itself */
    WSGI_PROXY_LOOK_US = 100000,         /* between two looks at the counters */
    WSGI_PROXY_NAP_LEAST_US = 1000,      /* between two looks at a client that cannot be polled; */
    WSGI_PROXY_NAP_MOST_US = 32000,      /* doubled while it is silent */
    WSGI_PROXY_CLIENT_LOOK_US = 1000000, /* at one that can: lets httpd apply limits of its own */
};

enum wsgi_proxy_state {
    WSGI_PROXY_QUEUE,   /* waits for a kept connection, or a place at the rendezvous */
    WSGI_PROXY_CONNECT, /* the request is in a fresh pair; its other end goes to the rendezvous */
    WSGI_PROXY_SENT,    /* waits for HELLO: until it comes nobody has begun */
    WSGI_PROXY_REUSE,   /* the request is on a kept connection: whether it has begun is not known */
    WSGI_PROXY_RELAY,   /* request body and answer, both ways at once */
    WSGI_PROXY_END,     /* the answer is complete, finish() has been called */
    WSGI_PROXY_FAILED,  /* it is not, finish() has been called */
    WSGI_PROXY_STATE_COUNT
};

enum wsgi_upload_state {
    WSGI_UPLOAD_NONE,    /* the whole body travels in REQUEST, or there is none */
    WSGI_UPLOAD_WAITING, /* for CONTINUE: the application has not asked for it */
    WSGI_UPLOAD_RUNNING, /* BODY frames */
    WSGI_UPLOAD_OVER     /* BODY_END is written, or the worker reads no more */
};

/* What is worth a try. A bit is cleared by the call that finds nothing there, and set by whoever
 * has waited for it. */
enum wsgi_ready {
    WSGI_READY_WORKER_READ = 1u << 0,
    WSGI_READY_WORKER_WRITE = 1u << 1,
    WSGI_READY_CLIENT_READ = 1u << 2,
    WSGI_READY_CLIENT_WRITE = 1u << 3
};

enum wsgi_party { WSGI_PARTY_NONE, WSGI_PARTY_WORKER, WSGI_PARTY_CLIENT };

typedef struct wsgi_proxy {
    struct wsgi_proxy *next_spare; /* guarded by the link's lock */
    wsgi_place_t place;

    wsgi_link_t *link;
    const wsgi_link_settings_t *settings;
    wsgi_exchange_t *ex;
    wsgi_result_t *result; /* the caller's, may be NULL */
    int code;              /* what it was told */
    enum wsgi_proxy_state state;
    unsigned ready; /* enum wsgi_ready */
    int64_t now_us; /* of this step */

    /* the way to a worker */
    bool has_asked;         /* for a way */
    bool is_crowded;        /* too many wait already */
    bool is_wary;           /* a kept connection has failed: the next try is with a fresh pair */
    bool is_half_shut;      /* taken back, and found begun in the same instant */
    bool has_send_failed;   /* with a part of REQUEST left */
    int fd, far_fd;         /* our end of the pair, and the other until it has been passed */
    unsigned try_count;     /* fresh pairs that came back unbegun */
    int64_t connect_by_us;  /* a worker must have begun, over all tries */
    int64_t firm_until_us;  /* what a worker was told: until then nothing is taken back */
    int64_t unread_till_us; /* REUSE: then it is asked whether the worker has read the request */
    uint32_t worker_pid;    /* for messages; 0 = unknown */

    /* silence while relaying */
    enum wsgi_party awaited; /* whose turn it is */
    bool has_moved;          /* since limit_us was set */
    int64_t limit_us;

    /* to the worker (upload.c) */
    wsgi_buffer_t out; /* REQUEST, kept until the worker has begun; then a BODY frame */
    size_t out_sent;
    enum wsgi_upload_state upload;
    int64_t body_left;  /* to come from the client, or WSGI_BODY_UNKNOWN */
    int body_error;     /* WSGI_OK, or what ended the client's body */
    int64_t nap_us;     /* until the silent client is looked at again, */
    int64_t look_at_us; /* which is then */

    /* from the worker (download.c) */
    wsgi_buffer_t in;
    size_t in_taken;   /* bytes at its front that are done with */
    size_t in_missing; /* at least so many more complete the first frame behind them */
    uint32_t allowed;  /* frame types that may come now */
    wsgi_wire_store_t store;
    unsigned answer_status; /* of HEAD */
    int64_t answer_left;    /* of the Content-Length, or WSGI_BODY_UNKNOWN */
    bool is_held;           /* frames wait for a client that uploads and does not read */
    bool has_fetched;       /* the driver has waited in the read: `fetched` is what it gave */
    ssize_t fetched;        /* bytes behind in.len, or the error as a negative number */
    int passed_fd;          /* came along, for the next FILE */
    bool has_lost_fd;       /* one came and found no room in this process */
} wsgi_proxy_t;

/* What to wait for. No events = do not look at that side; both none = only the time counts. */
typedef struct wsgi_wait {
    bool is_for_place;                  /* wsgi_link_await() and nothing else */
    short worker_events, client_events; /* of poll(2) */
    int64_t until_us;
} wsgi_wait_t;

/* proxy.c — the machine, for a driver */

wsgi_proxy_t *wsgi_proxy_new(void);
void wsgi_proxy_free(wsgi_proxy_t *p);

/* Takes an exchange up. Limits count from now_us. */
void wsgi_proxy_start(wsgi_proxy_t *p, wsgi_link_t *link, wsgi_exchange_t *ex,
                      wsgi_result_t *result, int64_t now_us);

/* Does all that can be done at now_us without the worker; the exchange's verbs may block on the
 * client. False: finish() has been called, p->code is the result, release it. */
bool wsgi_proxy_step(wsgi_proxy_t *p, int64_t now_us) WSGI_MUST_CHECK;

/* After a step that gave true. Whoever waits sets p->ready. */
wsgi_wait_t wsgi_proxy_wait(wsgi_proxy_t *p, int64_t now_us);

/* Lets everything go but the memory. */
void wsgi_proxy_release(wsgi_proxy_t *p);

const char *wsgi_proxy_state_name(enum wsgi_proxy_state state);

/* proxy.c — what the two directions may do to the request */

/* Ends it as failed: one sentence, to which the group's name and the worker's pid are added. */
void wsgi_proxy_fail(wsgi_proxy_t *p, int code, const char *fmt, ...) WSGI_PRINTF(3, 4) WSGI_COLD;

/* Ends it where the worker has given up and said why itself. */
void wsgi_proxy_abort(wsgi_proxy_t *p, unsigned status);

/* Ends it with a whole answer. */
void wsgi_proxy_complete(wsgi_proxy_t *p);

/* HELLO has come: the worker has begun, and may leave the connection with us. */
void wsgi_proxy_hello(wsgi_proxy_t *p, const wsgi_hello_t *hello);

/* A sign of life on a kept connection: it has begun. */
void wsgi_proxy_begun(wsgi_proxy_t *p);

/* No worker has begun, or one has handed the request back: another is asked. */
void wsgi_proxy_try_again(wsgi_proxy_t *p);

/* The answer is complete, and the worker leaves the connection with us. */
void wsgi_proxy_keep(wsgi_proxy_t *p);

/* upload.c — REQUEST and the body's rest */

/* Encodes REQUEST with as much of a small body as has arrived. */
void wsgi_upload_prepare(wsgi_proxy_t *p);
/* Sends what lies in p->out. True: nothing is left there. */
bool wsgi_upload_flush(wsgi_proxy_t *p);
/* CONTINUE has come. */
void wsgi_upload_begin(wsgi_proxy_t *p);
/* Carries at most one frame. */
void wsgi_upload_step(wsgi_proxy_t *p);
/* The body ends here: BODY_END tells the worker why. */
void wsgi_upload_cut(wsgi_proxy_t *p, int error);
/* The worker reads no more. */
void wsgi_upload_drop(wsgi_proxy_t *p);
/* Has the worker read all that was sent? */
bool wsgi_upload_is_read(const wsgi_proxy_t *p);
/* Is it the client's turn? */
bool wsgi_upload_awaits_client(const wsgi_proxy_t *p);

/* download.c — frames of the worker */

/* What may come first: on a fresh pair HELLO. */
void wsgi_download_reset(wsgi_proxy_t *p, bool is_fresh);
/* Waits in the read itself, up to WSGI_PROXY_BLOCK_US; the next step takes what has come. */
void wsgi_download_await(wsgi_proxy_t *p);
/* Nothing of this answer, and nothing behind it, is left. */
bool wsgi_download_is_clean(const wsgi_proxy_t *p);
/* Something is there that may not be: a worker takes a connection back by GOAWAY, or keeps quiet. */
bool wsgi_download_is_noisy(const wsgi_proxy_t *p);
/* Takes what there is, after at most one look at the socket. */
void wsgi_download_step(wsgi_proxy_t *p);
/* Can the socket be looked at? */
bool wsgi_download_has_room(const wsgi_proxy_t *p);

#endif
