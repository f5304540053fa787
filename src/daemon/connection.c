/* daemon/connection.c — the states of a connection, and reading: the request and its body.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wsgi_gateway.h"

#define REQUEST_READ_BYTES (16u << 10) /* nearly every request comes whole in one read */
#define BODY_READ_BYTES    (WSGI_WIRE_HEADER_BYTES + WSGI_WIRE_DATA_MAX)
#define KEEP_BYTES         (64u << 10) /* of memory in each buffer between connections */

#define BODY_FRAMES                                                                                \
    (WSGI_FRAME_BIT(WSGI_FRAME_BODY) | WSGI_FRAME_BIT(WSGI_FRAME_BODY_END) |                       \
     WSGI_FRAME_BIT(WSGI_FRAME_GONE))

int wsgi_connection_wait(wsgi_connection_t *conn, short events)
{
    int64_t deadline_us = wsgi_now_us() + conn->settings->socket_timeout_us;
    struct pollfd pollfd = {.fd = conn->fd, .events = events};

    for (;;) {
        int64_t left_us = deadline_us - wsgi_now_us();
        int ready = left_us > 0 ? poll(&pollfd, 1, (int)((left_us + 999) / 1000)) : 0;
        if (ready > 0) {
            return pollfd.revents & POLLNVAL ? WSGI_E_GONE : WSGI_OK;
        }
        if (ready == 0) {
            return WSGI_E_TIMEOUT;
        }
        if (errno != EINTR) {
            return WSGI_E_GONE;
        }
    }
}

/* One read of at most `room` bytes to the end of the buffer: the bytes, or WSGI_E_AGAIN,
 * WSGI_E_GONE, WSGI_E_NOMEM. */
static ssize_t receive(wsgi_connection_t *conn, wsgi_buffer_t *buffer, size_t room)
{
    ssize_t got;

    if (wsgi_buffer_reserve(buffer, room) != WSGI_OK) {
        return WSGI_E_NOMEM;
    }
    do {
        got = recv(conn->fd, buffer->data + buffer->len, room, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return WSGI_E_AGAIN;
    }
    if (got <= 0) {
        return WSGI_E_GONE;
    }
    buffer->len += (size_t)got;
    return got;
}

static ssize_t receive_in_time(wsgi_connection_t *conn, wsgi_buffer_t *buffer, size_t room)
{
    for (;;) {
        ssize_t got = receive(conn, buffer, room);
        int status = got == WSGI_E_AGAIN ? wsgi_connection_wait(conn, POLLIN) : WSGI_OK;
        if (got != WSGI_E_AGAIN) {
            return got;
        }
        if (status != WSGI_OK) {
            return status;
        }
    }
}

void wsgi_connection_uncount(wsgi_connection_t *conn, bool is_error)
{
    wsgi_worker_row_t *row = conn->settings->row;

    /* Another generation has the row where our supervisor died and its successor began. */
    const bool is_ours = conn->is_counted && row->generation == conn->settings->hello.generation;

    conn->is_counted = false;
    if (!is_ours) {
        return;
    }
    atomic_fetch_sub_explicit(&row->busy, 1, memory_order_relaxed);
    if (is_error) {
        atomic_fetch_add_explicit(&row->errors, 1, memory_order_relaxed);
    }
}

static void count(wsgi_connection_t *conn)
{
    wsgi_worker_row_t *row = conn->settings->row;

    if (row->generation == conn->settings->hello.generation) {
        conn->is_counted = true;
        atomic_fetch_add_explicit(&row->busy, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&row->requests, 1, memory_order_relaxed);
    }
}

/* --- states ---------------------------------------------------------------------------------- */

static enum wsgi_connection_state run_taken(wsgi_connection_t *conn)
{
    return wsgi_answer_hello(conn) == WSGI_OK ? WSGI_CONNECTION_REQUEST : WSGI_CONNECTION_CLOSE;
}

static void begin_request(wsgi_connection_t *conn)
{
    conn->exchange = (wsgi_exchange_t){.body_fd = -1};
    conn->in_used = 0;
    conn->body = WSGI_LITERAL("");
    conn->wants_continue = conn->is_gone = conn->is_ended = conn->is_kept = false;
}

/* What has come while nobody looked: the next request, a part of it, or the caller's departure. */
static enum wsgi_connection_state run_idle(wsgi_connection_t *conn)
{
    const ssize_t got = receive(conn, &conn->request_bytes, REQUEST_READ_BYTES);

    if (got == WSGI_E_AGAIN) {
        return WSGI_CONNECTION_IDLE;
    }
    begin_request(conn);
    return got > 0 ? WSGI_CONNECTION_REQUEST : WSGI_CONNECTION_CLOSE;
}

/* Reads until the first frame is whole; what came behind it goes to the other buffer. */
static int read_frame(wsgi_connection_t *conn, wsgi_frame_t *frame)
{
    wsgi_buffer_t *bytes = &conn->request_bytes;

    for (;;) {
        size_t missing = 0;
        const ssize_t size = wsgi_wire_take((wsgi_bytes_t){bytes->data, bytes->len},
                                            WSGI_FRAME_BIT(WSGI_FRAME_REQUEST), frame, &missing);
        if (size < 0) {
            return (int)size;
        }
        if (size > 0) {
            return wsgi_buffer_append(&conn->in, bytes->data + size, bytes->len - (size_t)size);
        }
        const ssize_t got = receive_in_time(
            conn, bytes, missing > REQUEST_READ_BYTES ? missing : REQUEST_READ_BYTES);
        if (got < 0) {
            return (int)got;
        }
    }
}

/* A caller that gives up, or turns to another worker, closes its end: seen here, the request was not
 * begun. It is told as a reset where our HELLO lies there unread. The look is worth a system call
 * only where the caller may have had time to change its mind. */
static bool is_withdrawn(const wsgi_connection_t *conn)
{
    char byte;

    if (wsgi_now_us() < conn->exchange.request.firm_until_us) {
        return false;
    }
    ssize_t got = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void prepare_exchange(wsgi_connection_t *conn, uint8_t frame_flags)
{
    wsgi_exchange_t *ex = &conn->exchange;
    uint32_t flags = ex->request.flags;
    bool is_whole = (flags & WSGI_REQUEST_BODY_INCLUDED) != 0 || ex->request.body_length == 0;

    ex->verbs = &wsgi_connection_verbs;
    ex->body_fd = is_whole ? -1 : conn->fd;
    conn->body = ex->request.body_first;
    conn->body_status = is_whole ? WSGI_OK : WSGI_E_AGAIN;
    conn->wants_continue = !is_whole && ((flags & WSGI_REQUEST_EXPECT) != 0 ||
                                         (frame_flags & WSGI_FRAME_FLAG_TELLME) != 0);
}

/* Since when httpd has had it; both ends read the same clock. */
static int64_t age_us(const wsgi_connection_t *conn)
{
    return wsgi_wall_us() - conn->exchange.request.request_start_us;
}

static enum wsgi_connection_state refuse_late(wsgi_connection_t *conn)
{
    wsgi_exchange_t *ex = &conn->exchange;
    char line[160];

    snprintf(line, sizeof(line),
             WSGI_ID(1412) "[%s] the request is not begun: it has waited for %.1f s, longer than "
                           "queue-timeout; raise processes= or threads=",
             conn->settings->group, (double)age_us(conn) / 1e6);
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, line);
    ex->verbs->finish(ex, WSGI_FAILED, 504);
    return WSGI_CONNECTION_CLOSE;
}

static enum wsgi_connection_state drop(wsgi_connection_t *conn, int status)
{
    if (status != WSGI_E_GONE) {
        wsgi_log(WSGI_LOG_ERR, WSGI_ID(1407) "[%s] (%s) dropped a connection from httpd: %s",
                 conn->settings->group, wsgi_connection_state_name(conn->state),
                 wsgi_strerror(status));
    }
    return WSGI_CONNECTION_CLOSE;
}

static enum wsgi_connection_state run_request(wsgi_connection_t *conn)
{
    const int64_t queue_timeout_us = conn->settings->queue_timeout_us;
    wsgi_frame_t frame;
    int status = read_frame(conn, &frame);

    if (status == WSGI_OK) {
        status =
            wsgi_wire_get_request(frame.payload, &conn->request_store, &conn->exchange.request);
    }
    if (status != WSGI_OK) {
        return drop(conn, status);
    }
    if (is_withdrawn(conn)) {
        wsgi_answer_goaway(conn); /* a caller that is still there need not guess */
        return WSGI_CONNECTION_CLOSE;
    }
    prepare_exchange(conn, frame.flags);
    return queue_timeout_us > 0 && age_us(conn) > queue_timeout_us ? refuse_late(conn)
                                                                   : WSGI_CONNECTION_SERVE;
}

static int refuse_without_interpreter(wsgi_exchange_t *ex, const wsgi_result_t *result)
{
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, result->detail);
    return ex->verbs->finish(ex, WSGI_FAILED, 500);
}

static enum wsgi_connection_state run_serve(wsgi_connection_t *conn)
{
    wsgi_exchange_t *ex = &conn->exchange;
    wsgi_flights_t *flights = conn->settings->flights;
    wsgi_result_t result = {0};
    wsgi_interp_t *interp;
    int status, flight;

    count(conn);
    conn->served = WSGI_SERVED;
    flight = wsgi_flights_begin(flights, &ex->request);
    interp = wsgi_interp_find(ex->request.application_group.data,
                              (ex->request.flags & WSGI_REQUEST_OPEN_NAME) != 0, &result);
    wsgi_flights_enter(flights, flight, interp);
    status = interp != NULL ? wsgi_gateway_serve(interp, ex, WSGI_RELOAD_BY_PROCESS)
                            : refuse_without_interpreter(ex, &result);
    wsgi_flights_end(flights, flight, status != WSGI_E_DECLINED);
    if (ex->is_spoilt) {
        wsgi_flights_spoil(flights);
    }
    if (status == WSGI_E_DECLINED) {
        conn->served = WSGI_SERVED_RETIRE;
        wsgi_connection_uncount(conn, false);
        if (conn->settings->on_retire != NULL) {
            conn->settings->on_retire(conn->settings->baton);
        }
        wsgi_answer_frame(conn, WSGI_FRAME_GOAWAY, 0, WSGI_LITERAL(""));
    }
    return conn->is_kept && !conn->is_gone ? WSGI_CONNECTION_IDLE : WSGI_CONNECTION_CLOSE;
}

static const struct {
    const char *name;
    enum wsgi_connection_state (*run)(wsgi_connection_t *conn);
} states[] = {
    [WSGI_CONNECTION_TAKEN] = {"TAKEN", run_taken},
    [WSGI_CONNECTION_IDLE] = {"IDLE", run_idle},
    [WSGI_CONNECTION_REQUEST] = {"REQUEST", run_request},
    [WSGI_CONNECTION_SERVE] = {"SERVE", run_serve},
    [WSGI_CONNECTION_CLOSE] = {"CLOSE", NULL},
};

const char *wsgi_connection_state_name(enum wsgi_connection_state state)
{
    return states[state].name;
}

void wsgi_connection_init(wsgi_connection_t *conn, const wsgi_connection_settings_t *settings)
{
    memset(conn, 0, sizeof(*conn));
    conn->settings = settings;
    conn->fd = -1;
    conn->state = WSGI_CONNECTION_CLOSE;
}

void wsgi_connection_free(wsgi_connection_t *conn)
{
    free(conn->request_bytes.data);
    free(conn->request_store.items);
    free(conn->in.data);
    free(conn->debt.data);
    free(conn->head.data);
    free(conn->line.data);
    wsgi_connection_init(conn, conn->settings);
}

static void trim(wsgi_connection_t *conn)
{
    wsgi_buffer_t *const buffers[] = {&conn->request_bytes, &conn->in, &conn->debt, &conn->head,
                                      &conn->line};

    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        wsgi_buffer_clear(buffers[i], KEEP_BYTES);
    }
}

static void close_connection(wsgi_connection_t *conn)
{
    int fd = atomic_exchange(&conn->fd, -1);

    conn->state = WSGI_CONNECTION_CLOSE;
    wsgi_fd_close(&fd);
}

static enum wsgi_served run(wsgi_connection_t *conn)
{
    conn->served = WSGI_SERVED_NOTHING;
    do {
        conn->state = states[conn->state].run(conn);
    } while (conn->state != WSGI_CONNECTION_IDLE && conn->state != WSGI_CONNECTION_CLOSE);
    wsgi_connection_uncount(conn, true);
    if (conn->state == WSGI_CONNECTION_CLOSE) {
        close_connection(conn);
    }
    trim(conn);
    return conn->served;
}

enum wsgi_served wsgi_connection_serve(wsgi_connection_t *conn, int fd)
{
    begin_request(conn);
    conn->fd = fd;
    conn->state = WSGI_CONNECTION_TAKEN;
    return run(conn);
}

enum wsgi_served wsgi_connection_serve_next(wsgi_connection_t *conn)
{
    WSGI_ASSERT(wsgi_connection_is_kept(conn));
    return run(conn);
}

bool wsgi_connection_is_kept(const wsgi_connection_t *conn)
{
    return conn->state == WSGI_CONNECTION_IDLE;
}

void wsgi_connection_revoke(wsgi_connection_t *conn)
{
    wsgi_answer_goaway(conn);
    close_connection(conn);
}

/* --- the request body ------------------------------------------------------------------------ */

/* What the other end may say that ended the body; anything else is a plain failure. */
static int body_end_status(wsgi_bytes_t payload)
{
    static const int known[] = {WSGI_OK, WSGI_E_GONE, WSGI_E_TIMEOUT, WSGI_E_TOO_LARGE,
                                WSGI_E_SHORT};
    int32_t number;

    if (wsgi_wire_get_number(payload, &number) == WSGI_OK) {
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (number == known[i]) {
                return number;
            }
        }
    }
    return WSGI_E_IO;
}

static void accept_body(wsgi_connection_t *conn, const wsgi_frame_t *frame)
{
    switch (frame->type) {
    case WSGI_FRAME_BODY:
        conn->body = frame->payload;
        break;
    case WSGI_FRAME_BODY_END:
        conn->body_status = body_end_status(frame->payload);
        break;
    default: /* GONE: nothing else is allowed through */
        conn->is_gone = true;
        conn->body_status = WSGI_E_GONE;
        break;
    }
}

static int fail_body(wsgi_connection_t *conn, int error)
{
    if (error == WSGI_E_GONE) {
        conn->is_gone = true;
    }
    else if (error != WSGI_E_TIMEOUT) {
        wsgi_log(WSGI_LOG_ERR, WSGI_ID(1408) "[%s] (%s) lost the request body: %s",
                 conn->settings->group, wsgi_connection_state_name(conn->state),
                 wsgi_strerror(error));
        error = WSGI_E_IO;
    }
    conn->body_status = error;
    return error;
}

/* Takes the next frame that is here in full. WSGI_OK; WSGI_E_AGAIN: *missing more bytes. */
static int take_frame(wsgi_connection_t *conn, size_t *missing)
{
    wsgi_buffer_t *in = &conn->in;
    wsgi_frame_t frame;

    wsgi_buffer_consume(in, conn->in_used);
    conn->in_used = 0;
    ssize_t size = wsgi_wire_take((wsgi_bytes_t){in->data, in->len}, BODY_FRAMES, &frame, missing);
    if (size <= 0) {
        return size == 0 ? WSGI_E_AGAIN : (int)size;
    }
    conn->in_used = (size_t)size;
    accept_body(conn, &frame);
    return WSGI_OK;
}

/* Waits for one frame of the body. WSGI_OK, WSGI_E_AGAIN (non-blocking only), or why it ended. */
static int next_frame(wsgi_connection_t *conn, enum wsgi_read_mode mode)
{
    for (;;) {
        size_t missing = 0;
        int status = take_frame(conn, &missing);
        if (status != WSGI_E_AGAIN) {
            return status == WSGI_OK ? WSGI_OK : fail_body(conn, status);
        }
        size_t room = missing > BODY_READ_BYTES ? missing : BODY_READ_BYTES;
        ssize_t got = mode == WSGI_READ_BLOCK ? receive_in_time(conn, &conn->in, room)
                                              : receive(conn, &conn->in, room);
        if (got < 0) {
            return got == WSGI_E_AGAIN ? WSGI_E_AGAIN : fail_body(conn, (int)got);
        }
    }
}

/* Nothing of this request may be in the way of the next. An application that has read as much as
 * was announced has not waited for BODY_END: it is looked for, without waiting. */
static bool has_read_all(wsgi_connection_t *conn)
{
    if (conn->wants_continue) {
        return conn->in.len == 0; /* the body is still at the caller, and stays there */
    }
    for (unsigned i = 0; i < 2 && conn->body_status == WSGI_E_AGAIN; i++) {
        if (next_frame(conn, WSGI_READ_NONBLOCK) != WSGI_OK) {
            return false;
        }
    }
    return conn->body_status == WSGI_OK && conn->in.len == conn->in_used;
}

bool wsgi_connection_decide_keep(wsgi_connection_t *conn)
{
    const wsgi_connection_settings_t *settings = conn->settings;

    conn->is_kept = settings->may_keep != NULL && has_read_all(conn) &&
                    settings->may_keep(settings->baton, conn);
    return conn->is_kept;
}

static ssize_t copy_body(wsgi_connection_t *conn, void *data, size_t len)
{
    if (len > conn->body.len) {
        len = conn->body.len;
    }
    memcpy(data, conn->body.data, len);
    conn->body.data += len;
    conn->body.len -= len;
    conn->exchange.bytes_in += len;
    return (ssize_t)len;
}

ssize_t wsgi_connection_read_body(wsgi_exchange_t *ex, void *data, size_t len,
                                  enum wsgi_read_mode mode)
{
    wsgi_connection_t *conn = (wsgi_connection_t *)ex;

    if (conn->wants_continue) {
        conn->wants_continue = false;
        wsgi_answer_frame(conn, WSGI_FRAME_CONTINUE, 0, WSGI_LITERAL(""));
    }
    while (conn->body.len == 0 && len > 0) {
        if (conn->body_status != WSGI_E_AGAIN) {
            return conn->body_status;
        }
        int status = next_frame(conn, mode);
        if (status != WSGI_OK) {
            return status;
        }
    }
    return copy_body(conn, data, len);
}
