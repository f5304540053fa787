/* daemon/connection.h — one connection from an httpd child: its requests, one after the other, and
 * the exchange through which the gateway answers.
 * Runs in:  worker.   Threads: one at a time, and any from one request to the next; a fork handler
 *           writes `fd` and `is_counted`, in the fork.
 * Owns:     the descriptor from wsgi_connection_serve() on, as long as it is kept, and the buffers
 *           from init to free: they serve one connection after the other.
 * Memory:   malloc.   Python: none.   Blocks: the two that serve, as long as the application does;
 *           each wait for the peer up to socket_timeout_us.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_CONNECTION_H
#define WSGI_CONNECTION_H

#include "flights.h"
#include "wsgi_exchange.h"
#include "wsgi_metrics.h"
#include "wsgi_wire.h"

/* TAKEN or IDLE → REQUEST → SERVE → IDLE or CLOSE, or from any to CLOSE. */
enum wsgi_connection_state {
    WSGI_CONNECTION_TAKEN,   /* from the rendezvous: the caller is told so */
    WSGI_CONNECTION_IDLE,    /* kept: the caller may send its next request on it */
    WSGI_CONNECTION_REQUEST, /* the request is read; may still be withdrawn */
    WSGI_CONNECTION_SERVE,   /* the gateway has the exchange */
    WSGI_CONNECTION_CLOSE
};

enum wsgi_served {
    WSGI_SERVED,         /* answered, or given up on after it was begun */
    WSGI_SERVED_NOTHING, /* withdrawn, too late, or no request: nothing was begun */
    WSGI_SERVED_RETIRE   /* handed back: the script has changed, this process must be replaced */
};

struct wsgi_connection;

typedef struct wsgi_connection_settings {
    const char *group;      /* for log lines */
    wsgi_worker_row_t *row; /* this worker's counters */
    wsgi_hello_t hello;
    int64_t socket_timeout_us;
    wsgi_flights_t *flights;  /* where requests are noted while they are served; NULL = nowhere */
    int64_t queue_timeout_us; /* an older request is not begun: 504; 0 = none is too old */

    /* Called before a request is handed back, so that its next try cannot come to us; may be NULL. */
    void (*on_retire)(void *baton);
    /* Called when an answer is complete: may the caller keep the connection? NULL = never. */
    bool (*may_keep)(void *baton, struct wsgi_connection *conn);
    void *baton;
} wsgi_connection_settings_t;

typedef struct wsgi_connection {
    wsgi_exchange_t exchange; /* first: the verbs cast back */
    const wsgi_connection_settings_t *settings;
    _Atomic int fd; /* -1 while there is none, and in a process that the application forked */
    enum wsgi_connection_state state;
    enum wsgi_served served;

    /* reading */
    wsgi_buffer_t request_bytes; /* the REQUEST frame; the exchange's request points into it */
    wsgi_wire_store_t request_store;
    wsgi_buffer_t in;  /* what came behind it */
    size_t in_used;    /* its front, behind which the next frame begins */
    wsgi_bytes_t body; /* received and not read yet; points into one of the two */
    int body_status;   /* WSGI_E_AGAIN: more to come; WSGI_OK: its end; else what ended it */
    bool wants_continue, is_gone;

    /* writing */
    wsgi_buffer_t debt; /* rest of a frame that was sent in part: goes before all else */
    wsgi_buffer_t head; /* HEAD frame, until it leaves with the first bytes of the body */
    wsgi_buffer_t line; /* LOG frame under construction */
    bool is_counted;    /* in the row's busy */
    bool is_ended;      /* END or ABORT has been sent: the peer may be gone */
    bool is_kept;       /* END without CLOSE was, and the next request may follow it */
} wsgi_connection_t;

void wsgi_connection_init(wsgi_connection_t *conn, const wsgi_connection_settings_t *settings);
void wsgi_connection_free(wsgi_connection_t *conn);

/* Takes over fd, fresh from the rendezvous, and serves the request that came on it. */
enum wsgi_served wsgi_connection_serve(wsgi_connection_t *conn, int fd);

/* Serves what has come on a kept connection; where that is nothing, it stays kept. */
enum wsgi_served wsgi_connection_serve_next(wsgi_connection_t *conn);

/* After either: is it kept for another request? Else it has been closed. */
bool wsgi_connection_is_kept(const wsgi_connection_t *conn);

/* Takes a kept connection back from its caller: GOAWAY, and it is closed. Never waits. */
void wsgi_connection_revoke(wsgi_connection_t *conn);

const char *wsgi_connection_state_name(enum wsgi_connection_state state);

/* answer.c: the verbs of the exchange that send, and what the states need of them. */
extern const wsgi_exchange_verbs_t wsgi_connection_verbs;

/* Sends a frame without delay. WSGI_OK, WSGI_E_GONE (also: timed out), WSGI_E_NOMEM. */
int wsgi_answer_frame(wsgi_connection_t *conn, enum wsgi_frame_type type, uint8_t flags,
                      wsgi_bytes_t payload);
int wsgi_answer_hello(wsgi_connection_t *conn);

/* Nothing that came after the last END is acted on. One attempt: a caller that does not read has
 * not sent anything either. */
void wsgi_answer_goaway(wsgi_connection_t *conn);

/* connection.c: the verb that reads. */
ssize_t wsgi_connection_read_body(wsgi_exchange_t *ex, void *data, size_t len,
                                  enum wsgi_read_mode mode);

/* To be asked once, before END is sent: is nothing of the request left unread, and may the caller
 * have the connection? Sets is_kept. */
bool wsgi_connection_decide_keep(wsgi_connection_t *conn);

/* Waits for POLLIN or POLLOUT. WSGI_OK, WSGI_E_TIMEOUT, WSGI_E_GONE. */
int wsgi_connection_wait(wsgi_connection_t *conn, short events);

/* The row no longer counts this request as running. Once, before the peer can know the end. */
void wsgi_connection_uncount(wsgi_connection_t *conn, bool is_error);

#endif
