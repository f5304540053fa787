/* proxy/upload.c — towards the worker: the request, then the rest of its body in frames.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "proxy_private.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool is_body_over(const wsgi_proxy_t *p)
{
    return p->body_left == 0 || p->body_error != WSGI_OK;
}

static void note_read(wsgi_proxy_t *p, ssize_t count)
{
    if (count == WSGI_E_AGAIN) {
        p->ready &= ~WSGI_READY_CLIENT_READ;
    }
    else if (count < 0) {
        p->body_error = (int)count;
    }
    else if (p->body_left == WSGI_BODY_UNKNOWN) {
        p->body_left = count > 0 ? WSGI_BODY_UNKNOWN : 0;
    }
    else if (count == 0) {
        p->body_error = WSGI_E_SHORT;
    }
    else {
        p->body_left -= count;
    }
}

/* Reads what the client has sent so far, up to `room` bytes; gives how many. */
static size_t read_client(wsgi_proxy_t *p, char *at, size_t room)
{
    wsgi_exchange_t *ex = p->ex;
    size_t got = 0;

    while (got < room && !is_body_over(p) && (p->ready & WSGI_READY_CLIENT_READ) != 0) {
        const bool is_near = p->body_left >= 0 && (uint64_t)p->body_left < room - got;
        const size_t want = is_near ? (size_t)p->body_left : room - got;
        const ssize_t count = ex->verbs->read_body(ex, at + got, want, WSGI_READ_NONBLOCK);

        note_read(p, count);
        got += count > 0 ? (size_t)count : 0;
    }
    return got;
}

static void fail_without_client(wsgi_proxy_t *p)
{
    wsgi_proxy_fail(p, WSGI_E_GONE, "the client went away before its request body was complete");
}

/* REQUEST */

/* A larger body, and one whose client waits for 100 (Continue), stays where it is until the
 * application asks: the request can be sent to another worker as long as none has begun. */
static bool is_body_taken_along(const wsgi_request_t *request)
{
    return request->body_length <= (int64_t)WSGI_WIRE_DATA_MAX &&
           (request->flags & WSGI_REQUEST_EXPECT) == 0;
}

/* The receive buffer is not in use before the first try, so it serves as scratch. */
static int read_first(wsgi_proxy_t *p, wsgi_request_t *request)
{
    if (request->body_length == 0 || !is_body_taken_along(request)) {
        return WSGI_OK;
    }
    if (wsgi_buffer_reserve(&p->in, WSGI_WIRE_DATA_MAX) != WSGI_OK) {
        return WSGI_E_NOMEM;
    }
    const size_t got = read_client(p, p->in.data, WSGI_WIRE_DATA_MAX);
    request->body_first = (wsgi_bytes_t){p->in.data, got};
    return p->body_error == WSGI_E_GONE ? WSGI_E_GONE : WSGI_OK;
}

static int encode(wsgi_proxy_t *p)
{
    wsgi_request_t request = p->ex->request;
    int code = read_first(p, &request);

    request.firm_until_us = p->firm_until_us;
    if (code == WSGI_OK) {
        const bool is_whole = p->body_left == 0 && p->body_error == WSGI_OK;

        p->upload = is_whole ? WSGI_UPLOAD_NONE : WSGI_UPLOAD_WAITING;
        request.flags |= is_whole ? WSGI_REQUEST_BODY_INCLUDED : 0;
        code = wsgi_wire_put_request(&p->out, is_whole ? 0 : WSGI_FRAME_FLAG_TELLME, &request);
    }
    return code;
}

void wsgi_upload_prepare(wsgi_proxy_t *p)
{
    p->out.len = p->out_sent = 0;
    p->body_left = p->ex->request.body_length;
    p->body_error = WSGI_OK;
    p->look_at_us = 0;
    const int code = encode(p);
    if (code == WSGI_E_GONE) {
        fail_without_client(p);
    }
    else if (code == WSGI_E_TOO_LARGE) {
        wsgi_proxy_fail(p, code,
                        "the meta-variables of the request are larger than a worker accepts; lower "
                        "LimitRequestFields or LimitRequestFieldSize");
    }
    else if (code != WSGI_OK) {
        wsgi_proxy_fail(p, code, "the request cannot be encoded (%s)", wsgi_strerror(code));
    }
}

/* Sending. */

bool wsgi_upload_flush(wsgi_proxy_t *p)
{
    while (p->out_sent < p->out.len && (p->ready & WSGI_READY_WORKER_WRITE) != 0) {
        const ssize_t count = send(p->fd, p->out.data + p->out_sent, p->out.len - p->out_sent,
                                   MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count >= 0) {
            p->out_sent += (size_t)count;
            p->has_moved = true;
        }
        else if (errno == EAGAIN) {
            p->ready &= ~WSGI_READY_WORKER_WRITE;
        }
        else if (errno != EINTR) {
            p->has_send_failed = true;
            p->ready |= WSGI_READY_WORKER_READ;
            wsgi_upload_drop(p); /* why it left, and whether it has answered, is read from it */
        }
    }
    return p->out_sent == p->out.len;
}

/* Counts what lies in the worker's receive queue, to the whole: what is read in part counts. */
bool wsgi_upload_is_read(const wsgi_proxy_t *p)
{
    int unread = 0;

    return p->out_sent == p->out.len && ioctl(p->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

void wsgi_upload_drop(wsgi_proxy_t *p)
{
    p->out_sent = p->out.len;
    if (p->upload == WSGI_UPLOAD_RUNNING) {
        p->upload = WSGI_UPLOAD_OVER;
    }
}

/* The body's rest. */

static void finish_body(wsgi_proxy_t *p)
{
    p->upload = WSGI_UPLOAD_OVER;
    p->has_moved = true; /* the silence of the client, if it was one, is over */
    if (wsgi_wire_put_number(&p->out, WSGI_FRAME_BODY_END, 0, p->body_error) != WSGI_OK) {
        wsgi_proxy_fail(p, WSGI_E_NOMEM, "out of memory");
    }
}

void wsgi_upload_cut(wsgi_proxy_t *p, int error)
{
    p->body_error = p->ex->body_error = error;
    finish_body(p);
}

/* From here on REQUEST is not needed again: the worker has begun. */
void wsgi_upload_begin(wsgi_proxy_t *p)
{
    p->upload = WSGI_UPLOAD_RUNNING;
    p->nap_us = WSGI_PROXY_NAP_LEAST_US;
    p->out.len = p->out_sent = 0;
}

bool wsgi_upload_awaits_client(const wsgi_proxy_t *p)
{
    return p->upload == WSGI_UPLOAD_RUNNING && p->out_sent == p->out.len;
}

/* Makes one BODY frame of what has arrived, straight behind its header. */
static int fill(wsgi_proxy_t *p)
{
    p->out.len = p->out_sent = 0;
    const int code = wsgi_buffer_reserve(&p->out, WSGI_WIRE_HEADER_BYTES + WSGI_WIRE_DATA_MAX);
    if (code != WSGI_OK) {
        return code;
    }
    const size_t got = read_client(p, p->out.data + WSGI_WIRE_HEADER_BYTES, WSGI_WIRE_DATA_MAX);
    if (got > 0) {
        wsgi_wire_put_header(p->out.data, WSGI_FRAME_BODY, 0, (uint32_t)got);
        p->out.len = WSGI_WIRE_HEADER_BYTES + got;
        p->has_moved = true;
        p->nap_us = WSGI_PROXY_NAP_LEAST_US;
    }
    return p->body_error == WSGI_E_GONE ? WSGI_E_GONE : WSGI_OK;
}

/* When a silent client is looked at again, should nobody tell that it has sent something. One that
 * can be polled tells; but httpd applies limits of its own (mod_reqtimeout) only when asked. */
static void plan_look(wsgi_proxy_t *p)
{
    if (p->ex->body_fd >= 0) {
        p->look_at_us = p->now_us + WSGI_PROXY_CLIENT_LOOK_US;
        return;
    }
    p->look_at_us = p->now_us + p->nap_us;
    p->nap_us = p->nap_us < WSGI_PROXY_NAP_MOST_US ? 2 * p->nap_us : WSGI_PROXY_NAP_MOST_US;
}

static void carry_frame(wsgi_proxy_t *p)
{
    const int code = fill(p);

    if (code == WSGI_E_GONE) {
        fail_without_client(p);
        return;
    }
    if (code != WSGI_OK) {
        wsgi_proxy_fail(p, code, "out of memory");
        return;
    }
    if (is_body_over(p)) {
        finish_body(p);
    }
    else if ((p->ready & WSGI_READY_CLIENT_READ) == 0) {
        plan_look(p);
    }
    (void)wsgi_upload_flush(p);
}

void wsgi_upload_step(wsgi_proxy_t *p)
{
    if (!wsgi_upload_flush(p) || p->upload != WSGI_UPLOAD_RUNNING) {
        return;
    }
    if (p->now_us >= p->look_at_us) {
        p->ready |= WSGI_READY_CLIENT_READ;
    }
    if ((p->ready & WSGI_READY_CLIENT_READ) != 0) {
        carry_frame(p);
    }
}
