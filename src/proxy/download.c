/* proxy/download.c — from the worker: frames, one function each. All that a worker sends is hostile
 * until it has been checked here or in the codec.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "proxy_private.h"

#include "wsgi_field.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BIT(name) WSGI_FRAME_BIT(WSGI_FRAME_##name)

#define BEGUN     (BIT(CONTINUE) | BIT(HEAD) | BIT(LOG) | BIT(ABORT))

void wsgi_download_reset(wsgi_proxy_t *p, bool is_fresh)
{
    p->in.len = p->in_taken = p->in_missing = 0;
    p->has_fetched = false;
    p->allowed = BIT(GOAWAY) | (is_fresh ? BIT(HELLO) : BEGUN);
    p->answer_left = WSGI_BODY_UNKNOWN;
    p->is_held = false;
    p->has_lost_fd = false;
    wsgi_fd_close(&p->passed_fd);
}

static wsgi_bytes_t unread(const wsgi_proxy_t *p)
{
    return (wsgi_bytes_t){p->in.data + p->in_taken, p->in.len - p->in_taken};
}

static bool is_open(const wsgi_proxy_t *p)
{
    return p->state == WSGI_PROXY_SENT || p->state == WSGI_PROXY_REUSE ||
           p->state == WSGI_PROXY_RELAY;
}

static void fail_protocol(wsgi_proxy_t *p, const char *what)
{
    wsgi_proxy_fail(p, WSGI_E_PROTOCOL,
                    "%s; if it is not broken otherwise, install mod_wsgi.so and wsgi-daemon from "
                    "one build and restart httpd",
                    what);
}

static void fail_client(wsgi_proxy_t *p, int code)
{
    if (code == WSGI_E_GONE) {
        wsgi_proxy_fail(p, code, "the client went away before it had the whole answer");
    }
    else {
        wsgi_proxy_fail(p, code, "the answer cannot be sent (%s)", wsgi_strerror(code));
    }
}

/* HELLO, GOAWAY, CONTINUE */

static void take_hello(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    wsgi_hello_t hello;

    if (wsgi_wire_get_hello(frame->payload, &hello) != WSGI_OK ||
        hello.version != WSGI_WIRE_VERSION || hello.worker_index >= WSGI_COUNTERS_ROWS_MAX) {
        fail_protocol(p, "a worker sent HELLO of another version");
        return;
    }
    wsgi_proxy_hello(p, &hello);
}

static void take_goaway(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    (void)frame;
    wsgi_proxy_try_again(p);
}

static void take_continue(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    (void)frame;
    if (p->upload != WSGI_UPLOAD_WAITING || p->out_sent < p->out.len) {
        fail_protocol(p, "the worker asked for a request body that it has");
        return;
    }
    wsgi_upload_begin(p);
}

/* HEAD */

/* 1xx would be read by the client, or by a proxy on its way, as the prelude of another answer. */
static bool is_final(unsigned status)
{
    return status >= 200;
}

/* The last one counts, as with httpd's own field table. */
static int find_length(const wsgi_head_t *head, int64_t *length)
{
    int code = WSGI_OK;

    *length = WSGI_BODY_UNKNOWN;
    for (size_t i = 0; i < head->field_count && code == WSGI_OK; i++) {
        const wsgi_field_t *field = &head->fields[i];

        if (wsgi_bytes_equal_nocase(field->name, WSGI_LITERAL("Content-Length"))) {
            code = wsgi_length_parse(field->value.data, field->value.len, length);
        }
    }
    return code;
}

static void take_head(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    wsgi_head_t head;
    int code = wsgi_wire_get_head(frame->payload, &p->store, &head);

    if (code == WSGI_OK &&
        (!is_final(head.status) || find_length(&head, &p->answer_left) != WSGI_OK)) {
        code = WSGI_E_PROTOCOL;
    }
    if (code == WSGI_OK) {
        p->answer_status = head.status;
        code = p->ex->verbs->send_head(p->ex, &head);
    }
    if (code == WSGI_E_PROTOCOL || code == WSGI_E_INVALID) {
        fail_protocol(p, "the worker sent an illegal head");
    }
    else if (code != WSGI_OK) {
        fail_client(p, code);
    }
}

/* DATA */

/* What follows in the buffer already: a frame type, or 0. */
static unsigned type_behind(const wsgi_proxy_t *p)
{
    wsgi_frame_t next;

    return wsgi_wire_take(unread(p), p->allowed, &next, NULL) > 0 ? next.type : 0;
}

static bool is_head_request(const wsgi_request_t *request)
{
    bool is_head = false;

    for (size_t i = 0; i < request->var_count; i++) {
        const wsgi_bytes_t value = request->vars[i].value;

        if (request->vars[i].number == WSGI_META_REQUEST_METHOD) {
            is_head = value.len == 4 && memcmp(value.data, "HEAD", 4) == 0;
        }
    }
    return is_head;
}

/* An answer that has no body by its nature may announce the length of the one it would have. */
static bool is_short(const wsgi_proxy_t *p)
{
    return p->answer_left > 0 && p->answer_status != 204 && p->answer_status != 304 &&
           !is_head_request(&p->ex->request);
}

/* The client sees a chunk now where the worker wants that (PEP 3333), unless more of the answer is
 * at hand. */
static enum wsgi_send_flag flag_for(const wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    const unsigned next = type_behind(p);

    if (next == WSGI_FRAME_END && !is_short(p)) {
        return WSGI_SEND_LAST;
    }
    const bool has_more = next == WSGI_FRAME_DATA || next == WSGI_FRAME_FILE;
    const bool is_now = (frame->flags & WSGI_FRAME_FLAG_FLUSH) != 0 && !has_more;
    return is_now ? WSGI_SEND_MORE : WSGI_SEND_HOLD;
}

/* An answer ends at its Content-Length, whatever the worker says. */
static int64_t within_length(wsgi_proxy_t *p, int64_t length)
{
    if (p->answer_left == WSGI_BODY_UNKNOWN) {
        return length;
    }
    const int64_t granted = length < p->answer_left ? length : p->answer_left;
    p->answer_left -= granted;
    return granted;
}

static void end_at_length(wsgi_proxy_t *p, int code, bool is_beyond)
{
    if (code != WSGI_OK) {
        fail_client(p, code);
    }
    else if (is_beyond) {
        fail_protocol(p, "the worker sent more than the Content-Length of its answer");
    }
}

/* Is the client known to send its request before it reads the answer? Perhaps. */
static bool is_duplex(const wsgi_proxy_t *p)
{
    return p->upload == WSGI_UPLOAD_RUNNING && p->ex->body_fd >= 0;
}

/* Leaves all but a piece of a DATA frame in the buffer, as a frame of its own: its header
 * overwrites the end of the piece, which has been sent. */
static void put_back_behind(wsgi_proxy_t *p, const wsgi_frame_t *frame, size_t piece)
{
    const size_t rest = frame->payload.len - piece;
    char *header = p->in.data + p->in_taken - rest - WSGI_WIRE_HEADER_BYTES;

    wsgi_wire_put_header(header, WSGI_FRAME_DATA, frame->flags, (uint32_t)rest);
    p->in_taken -= rest + WSGI_WIRE_HEADER_BYTES;
}

static void take_data(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    const bool is_cut = is_duplex(p) && frame->payload.len > WSGI_PROXY_PIECE;
    const size_t piece = is_cut ? WSGI_PROXY_PIECE : frame->payload.len;
    const int64_t granted = within_length(p, (int64_t)piece);
    const bool is_beyond = granted < (int64_t)piece;
    int code = WSGI_OK;

    p->has_moved |= piece > 0;
    if (granted > 0) {
        code = p->ex->verbs->send_body(p->ex, frame->payload.data, (size_t)granted,
                                       is_cut || is_beyond ? WSGI_SEND_MORE : flag_for(p, frame));
    }
    if (is_cut) {
        put_back_behind(p, frame, piece);
    }
    end_at_length(p, code, is_beyond);
}

/* FILE */

/* The descriptor may be anything the worker could open. Only of a regular file is it known that
 * reading neither blocks nor ends early, and even that may shrink: the host copes. What the worker
 * itself could not read through it (O_PATH, write only) the host would, as it opens it once more. */
static bool is_readable_with(int fd, const wsgi_wire_file_t *file)
{
    const int flags = fcntl(fd, F_GETFL);
    struct stat info;

    return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY &&
           fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
           file->offset + file->length <= (int64_t)info.st_size;
}

static void send_checked_file(wsgi_proxy_t *p, const wsgi_frame_t *frame, int fd)
{
    wsgi_wire_file_t file;

    if (wsgi_wire_get_file(frame->payload, &file) != WSGI_OK || !is_readable_with(fd, &file)) {
        fail_protocol(p, "the worker passed a file that is not regular, not open for reading, or "
                         "shorter than it says");
        return;
    }
    const int64_t granted = within_length(p, file.length);
    int code = WSGI_OK;
    p->has_moved |= file.length > 0;
    if (granted > 0) {
        code = p->ex->verbs->send_file(p->ex, fd, file.offset, granted);
    }
    end_at_length(p, code, granted < file.length);
}

static void take_file(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    int fd = p->passed_fd;

    p->passed_fd = -1;
    if (fd >= 0) {
        send_checked_file(p, frame, fd);
        wsgi_fd_close(&fd);
    }
    else if (p->has_lost_fd) {
        wsgi_proxy_fail(p, WSGI_E_IO,
                        "no room for the file that the worker passed; raise the limit of open "
                        "files of httpd");
    }
    else {
        fail_protocol(p, "the worker sent FILE without a descriptor");
    }
}

/* LOG */

static void take_log(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    wsgi_wire_log_t line;

    if (wsgi_wire_get_log(frame->payload, &line) != WSGI_OK) {
        fail_protocol(p, "the worker sent an illegal LOG");
        return;
    }
    p->ex->verbs->log(p->ex, (int)line.level, line.file.len > 0 ? line.file.data : NULL,
                      (int)(line.line & INT32_MAX), line.text.data);
}

/* END, ABORT */

static void take_end(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    if (is_short(p)) {
        fail_protocol(p, "the worker sent less than the Content-Length of its answer");
        return;
    }
    if ((frame->flags & WSGI_FRAME_FLAG_CLOSE) == 0) {
        wsgi_proxy_keep(p);
    }
    wsgi_proxy_complete(p);
}

static void take_abort(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    int32_t status;

    if (wsgi_wire_get_number(frame->payload, &status) != WSGI_OK || status < 400 || status > 599) {
        status = 500;
    }
    wsgi_proxy_abort(p, (unsigned)status);
}

/* The grammar of an answer: what each frame does, and how it changes what may follow. */
static const struct take {
    void (*take)(wsgi_proxy_t *p, const wsgi_frame_t *frame);
    uint32_t adds, drops;
    bool is_life; /* not so lines for the log, and parts of the answer only if there is something
                   * in them: a worker that sends nothing else is silent all the same */
} takes[WSGI_FRAME_COUNT] = {
    [WSGI_FRAME_HELLO] = {take_hello, BEGUN, BIT(HELLO), true},
    [WSGI_FRAME_GOAWAY] = {take_goaway, 0, 0, true},
    [WSGI_FRAME_CONTINUE] = {take_continue, 0, BIT(CONTINUE) | BIT(GOAWAY), true},
    [WSGI_FRAME_HEAD] = {take_head, BIT(DATA) | BIT(FILE) | BIT(END), BIT(HEAD) | BIT(GOAWAY),
                         true},
    [WSGI_FRAME_DATA] = {take_data, 0, 0, false},
    [WSGI_FRAME_FILE] = {take_file, 0, 0, false},
    [WSGI_FRAME_LOG] = {take_log, 0, 0, false},
    [WSGI_FRAME_END] = {take_end, 0, 0, true},
    [WSGI_FRAME_ABORT] = {take_abort, 0, 0, true},
};

static void fail_illegal(wsgi_proxy_t *p)
{
    const wsgi_bytes_t rest = unread(p);
    const unsigned type = rest.len > 4 ? (uint8_t)rest.data[4] : 0;
    char what[96];

    (void)snprintf(what, sizeof(what), "the worker sent an illegal frame of type %u (%s) %s", type,
                   wsgi_wire_type_name(type),
                   p->state == WSGI_PROXY_SENT ? "before HELLO" : "in its answer");
    fail_protocol(p, what);
}

/* While the client uploads, an answer goes out only as fast as it reads: a client that sends all
 * before it reads any would wait for us for ever, and we for it. What does not fit is kept, until
 * the buffer is full. */
static bool must_hold(wsgi_proxy_t *p, const wsgi_frame_t *frame)
{
    const bool is_body = (WSGI_FRAME_BIT(frame->type) & (BIT(DATA) | BIT(FILE))) != 0;

    if (!is_body || !is_duplex(p) || unread(p).len >= WSGI_PROXY_IN_MOST) {
        return false;
    }
    const bool is_writable = (p->ready & WSGI_READY_CLIENT_WRITE) != 0;
    p->ready &= ~WSGI_READY_CLIENT_WRITE;
    return !is_writable;
}

static void take_frames(wsgi_proxy_t *p)
{
    p->is_held = false;
    while (is_open(p)) {
        wsgi_frame_t frame;
        const ssize_t size = wsgi_wire_take(unread(p), p->allowed, &frame, &p->in_missing);

        if (size < 0) {
            fail_illegal(p);
            return;
        }
        p->is_held = size > 0 && must_hold(p, &frame);
        if (size == 0 || p->is_held) {
            return;
        }
        const struct take *take = &takes[frame.type];
        p->in_taken += (size_t)size;
        p->allowed = (p->allowed & ~take->drops) | take->adds;
        p->has_moved |= take->is_life;
        if (p->state == WSGI_PROXY_REUSE && frame.type != WSGI_FRAME_GOAWAY) {
            wsgi_proxy_begun(p);
        }
        take->take(p, &frame);
    }
}

/* Receiving. */

bool wsgi_download_has_room(const wsgi_proxy_t *p)
{
    return !p->is_held || (unread(p).len < WSGI_PROXY_IN_MOST && p->passed_fd < 0);
}

/* Bytes that may be asked for. Behind a descriptor only the rest of its frame is: the next one
 * cannot come before this one has found its FILE. */
static size_t make_room(wsgi_proxy_t *p)
{
    const size_t least = p->in_missing > 0 && !p->is_held ? p->in_missing : 1;

    wsgi_buffer_consume(&p->in, p->in_taken);
    p->in_taken = 0;
    if (p->in.capacity - p->in.len < least) {
        const size_t aim = p->in.capacity == 0 ? WSGI_PROXY_IN_LEAST : WSGI_PROXY_IN_MOST;
        const size_t more = aim > p->in.len + least ? aim - p->in.len : least;

        if (wsgi_buffer_reserve(&p->in, more) != WSGI_OK) {
            return 0;
        }
    }
    return p->passed_fd < 0 ? p->in.capacity - p->in.len : least;
}

static bool keep_descriptor(wsgi_proxy_t *p, struct msghdr *message)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd;

    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
        return true;
    }
    memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    if (p->passed_fd >= 0) {
        wsgi_fd_close(&fd);
        return false;
    }
    p->passed_fd = fd;
    return true;
}

/* Room for one descriptor: the kernel drops any more. */
static ssize_t receive_bytes(wsgi_proxy_t *p, size_t room, int flags)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec bytes = {p->in.data + p->in.len, room};
    struct msghdr message = {
        .msg_iov = &bytes,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_LEN(sizeof(int)),
    };
    const ssize_t count = recvmsg(p->fd, &message, flags | MSG_CMSG_CLOEXEC);

    if (count > 0) {
        p->has_lost_fd |= (message.msg_flags & MSG_CTRUNC) != 0;
        if (!keep_descriptor(p, &message)) {
            fail_protocol(p, "the worker sent a descriptor that nobody asked for");
        }
    }
    return count;
}

/* On a kept connection a reset tells that the request lies there unread, since it is all that was
 * sent; so does a send that took only a part of it. Not so if a part of an answer has come. */
static bool is_unread(const wsgi_proxy_t *p, int error)
{
    return p->state == WSGI_PROXY_REUSE && unread(p).len == 0 &&
           (error == ECONNRESET || p->has_send_failed);
}

/* Nothing follows. A worker that has begun may have done anything. */
static void note_end(wsgi_proxy_t *p, int error)
{
    wsgi_upload_drop(p);
    take_frames(p);
    if (p->state == WSGI_PROXY_SENT || is_unread(p, error)) {
        wsgi_proxy_try_again(p);
    }
    else if (is_open(p)) {
        wsgi_proxy_fail(p, WSGI_E_DIED,
                        "the worker ended while it had the request; the supervisor's line in the "
                        "error log tells why");
    }
}

/* Bytes, or the error as a negative number. */
static ssize_t fetch(wsgi_proxy_t *p, size_t room, int flags)
{
    const ssize_t count = receive_bytes(p, room, flags);

    return count >= 0 ? count : -errno;
}

static void digest(wsgi_proxy_t *p, ssize_t count, size_t room)
{
    if (count < (ssize_t)room) {
        p->ready &= ~WSGI_READY_WORKER_READ;
    }
    if (count > 0) {
        p->in.len += (size_t)count;
        take_frames(p);
    }
    else if (count != -EAGAIN && count != -EINTR) {
        note_end(p, (int)-count);
    }
}

static void receive(wsgi_proxy_t *p)
{
    const size_t room = make_room(p);

    if (room == 0) {
        wsgi_proxy_fail(p, WSGI_E_NOMEM, "out of memory");
        return;
    }
    const ssize_t count = fetch(p, room, MSG_DONTWAIT);
    if (is_open(p)) {
        digest(p, count, room);
    }
}

void wsgi_download_await(wsgi_proxy_t *p)
{
    const size_t room = make_room(p);

    if (room == 0) {
        p->ready |= WSGI_READY_WORKER_READ; /* the step fails for the same reason */
        return;
    }
    p->fetched = fetch(p, room, 0);
    p->has_fetched = true;
    p->ready |= WSGI_READY_WORKER_READ; /* perhaps: cleared where there was less than room */
}

bool wsgi_download_is_clean(const wsgi_proxy_t *p)
{
    return unread(p).len == 0 && p->passed_fd < 0;
}

bool wsgi_download_is_noisy(const wsgi_proxy_t *p)
{
    wsgi_frame_t frame;

    return !wsgi_download_is_clean(p) && wsgi_wire_take(unread(p), BIT(GOAWAY), &frame, NULL) <= 0;
}

void wsgi_download_step(wsgi_proxy_t *p)
{
    if (p->has_fetched) {
        p->has_fetched = false;
        digest(p, p->fetched, p->in.capacity - p->in.len);
        return;
    }
    if (p->is_held) {
        take_frames(p);
    }
    if (is_open(p) && (p->ready & WSGI_READY_WORKER_READ) != 0 && wsgi_download_has_room(p)) {
        receive(p);
    }
}
