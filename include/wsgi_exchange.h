/* wsgi_exchange.h — the contract in the middle: one request as an application host sees it, and
 * the verbs to answer it. Made by server/ (over a request_rec) and daemon/ (over a connection);
 * used by gateway/ (which answers) and proxy/ (which carries it to a worker).
 * Runs in:  httpd child, worker.   Threads: the one that serves the request, and no other.
 * Owns:     the host owns the exchange and all it points to, until after finish().
 * Python:   none; a caller detaches before a verb that may block.
 * Blocks:   read_body, send_body, send_file, finish; each up to the host's time-out.
 *
 * There is no release callback for body chunks: verbs block, so what is passed is borrowed until
 * the verb returns, and no host needs to copy or keep it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_EXCHANGE_H
#define WSGI_EXCHANGE_H

#include "wsgi_request.h"

typedef struct wsgi_exchange wsgi_exchange_t;

enum wsgi_read_mode {
    WSGI_READ_BLOCK,   /* wait for at least one byte, the end, or the time-out */
    WSGI_READ_NONBLOCK /* WSGI_E_AGAIN where nothing is there yet */
};

enum wsgi_send_flag {
    WSGI_SEND_MORE = 0, /* reaches the client before the verb returns (PEP 3333) */
    WSGI_SEND_LAST = 1, /* only finish(WSGI_DONE) follows: the host may end with it */
    WSGI_SEND_HOLD = 2  /* more follows soon: the host may hold it, in bounded memory */
};

enum wsgi_outcome {
    WSGI_DONE,      /* the answer is complete */
    WSGI_FAILED,    /* no head was sent: the host answers with the status given */
    WSGI_TRUNCATED, /* the head went out, the body is not complete: make that visible */
};

typedef struct wsgi_exchange_verbs {
    /* Up to len bytes of the request body. 0 = its end, for ever. WSGI_E_AGAIN (non-blocking only),
     * WSGI_E_GONE, WSGI_E_TIMEOUT, WSGI_E_TOO_LARGE, WSGI_E_SHORT, WSGI_E_IO: final. Sends
     * 100 (Continue) first where the client waits for it and no head has gone out; that is all
     * that a read of 0 bytes does. */
    ssize_t (*read_body)(wsgi_exchange_t *ex, void *data, size_t len, enum wsgi_read_mode mode);

    /* Takes the head; copies what it keeps. It leaves with the first body bytes or with finish().
     * May be called again until then: the later head replaces the earlier one. WSGI_OK,
     * WSGI_E_NOMEM, WSGI_E_INVALID (already sent). */
    int (*send_head)(wsgi_exchange_t *ex, const wsgi_head_t *head);

    /* Sends body bytes, after send_head(). WSGI_OK, WSGI_E_GONE (also on a time-out), WSGI_E_IO. */
    int (*send_body)(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag);

    /* Sends length bytes of a regular file from offset; the descriptor stays the caller's and its
     * own offset is not moved. Results as send_body(). */
    int (*send_file)(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length);

    /* One log line of this request: right virtual host, request id; from this line of a source file,
     * NULL = of no interest. Never blocks for long. */
    void (*log)(wsgi_exchange_t *ex, int level, const char *file, int line, const char *text);

    /* Has the client gone? A hint, free of system calls. */
    bool (*is_aborted)(wsgi_exchange_t *ex);

    /* The last verb, exactly once. status: the HTTP status for WSGI_FAILED, else 0. */
    int (*finish)(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status);
} wsgi_exchange_verbs_t;

struct wsgi_exchange {
    const wsgi_exchange_verbs_t *verbs;
    wsgi_request_t request;
    void *native; /* httpd hosts: the request_rec, for apache.request_rec; else NULL */
    int body_fd;  /* the client's socket: readable when read_body(NONBLOCK) may have more, writable
                  * when send_body() need not block; -1 = cannot be polled */
    int64_t client_timeout_us; /* silence of a client that is polled; 0 = none of its own */
    int body_error; /* WSGI_E_* by which the request body ended early, final: written by the host in
                     * read_body(), and by a caller whose own waiting for the client came to an end */
    bool is_spoilt; /* written by the gateway: a script has failed to load, and half of it may have
                     * taken effect: a process that can be replaced should be */
    bool head_sent; /* written by the host: the head has left, its status stands */
    uint64_t bytes_in, bytes_out; /* written by the host: body bytes read and sent */
};

#endif
