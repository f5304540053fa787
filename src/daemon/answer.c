/* daemon/answer.c — the verbs of a connection's exchange that send: frames straight from the memory
 * of the caller, as few writes as the answer allows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_FRAMES    16 /* DATA frames in one write: 1 MiB */
#define BATCH_PIECES    (2 * BATCH_FRAMES + 3)
#define FILE_BYTES      256u        /* of the name of a source file there */
#define LINE_BYTES      (16u << 10) /* of a LOG frame: small enough to be sent whole or not at all */
#define FILE_COPY_BYTES (256u << 10)

/* What one write sends: pieces in the order of the wire, and a descriptor with the first of them. */
typedef struct batch {
    struct iovec pieces[BATCH_PIECES];
    char headers[BATCH_FRAMES + 1][WSGI_WIRE_HEADER_BYTES];
    unsigned piece_count, header_count;
    int fd; /* -1 = none */
} batch_t;

/* --- writing --------------------------------------------------------------------------------- */

static void add_piece(batch_t *batch, const void *data, size_t len)
{
    if (len > 0) {
        batch->pieces[batch->piece_count++] = (struct iovec){(void *)(uintptr_t)data, len};
    }
}

static void add_frame(batch_t *batch, enum wsgi_frame_type type, uint8_t flags, const void *data,
                      size_t len)
{
    char *header = batch->headers[batch->header_count++];

    wsgi_wire_put_header(header, type, flags, (uint32_t)len);
    add_piece(batch, header, WSGI_WIRE_HEADER_BYTES);
    add_piece(batch, data, len);
}

static void batch_begin(batch_t *batch, const wsgi_connection_t *conn)
{
    batch->piece_count = batch->header_count = 0;
    batch->fd = -1;
    add_piece(batch, conn->debt.data, conn->debt.len);
}

/* One attempt. Bytes sent, or -1 with errno. */
static ssize_t send_pieces(int fd, struct iovec *pieces, unsigned count, int passed_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};

    if (passed_fd >= 0) {
        struct cmsghdr *cmsg;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &passed_fd, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Drops `sent` bytes from the front of the pieces; the number of pieces done with. */
static unsigned skip_sent(struct iovec *pieces, unsigned count, size_t sent)
{
    unsigned done = 0;

    while (done < count && sent >= pieces[done].iov_len) {
        sent -= pieces[done++].iov_len;
    }
    if (done < count) {
        pieces[done].iov_base = (char *)pieces[done].iov_base + sent;
        pieces[done].iov_len -= sent;
    }
    return done;
}

static int lose_peer(wsgi_connection_t *conn)
{
    conn->is_gone = true;
    return WSGI_E_GONE;
}

/* Sends all of it, waiting where the peer does not read. WSGI_OK or WSGI_E_GONE. */
static int batch_send(batch_t *batch, wsgi_connection_t *conn)
{
    struct iovec *pieces = batch->pieces;
    unsigned count = batch->piece_count;

    while (count > 0 && !conn->is_gone) {
        ssize_t sent = send_pieces(conn->fd, pieces, count, batch->fd);
        if (sent >= 0) {
            unsigned done = skip_sent(pieces, count, (size_t)sent);
            pieces += done;
            count -= done;
            batch->fd = -1; /* it went with the first byte */
        }
        else if (errno == EAGAIN) {
            if (wsgi_connection_wait(conn, POLLOUT) != WSGI_OK) {
                return lose_peer(conn);
            }
        }
        else if (errno != EINTR) {
            return lose_peer(conn);
        }
    }
    conn->debt.len = 0;
    return conn->is_gone ? WSGI_E_GONE : WSGI_OK;
}

int wsgi_answer_frame(wsgi_connection_t *conn, enum wsgi_frame_type type, uint8_t flags,
                      wsgi_bytes_t payload)
{
    batch_t batch;

    batch_begin(&batch, conn);
    add_frame(&batch, type, flags, payload.data, payload.len);
    return batch_send(&batch, conn);
}

int wsgi_answer_hello(wsgi_connection_t *conn)
{
    batch_t batch;
    int status = wsgi_wire_put_hello(&conn->line, &conn->settings->hello);

    if (status == WSGI_OK) {
        batch_begin(&batch, conn);
        add_piece(&batch, conn->line.data, conn->line.len);
        status = batch_send(&batch, conn);
    }
    conn->line.len = 0;
    return status;
}

void wsgi_answer_goaway(wsgi_connection_t *conn)
{
    char header[WSGI_WIRE_HEADER_BYTES];
    struct iovec piece = {header, sizeof(header)};

    wsgi_wire_put_header(header, WSGI_FRAME_GOAWAY, 0, 0);
    (void)send_pieces(conn->fd, &piece, 1, -1);
}

/* --- head and body --------------------------------------------------------------------------- */

static int send_head(wsgi_exchange_t *ex, const wsgi_head_t *head)
{
    wsgi_connection_t *conn = (wsgi_connection_t *)ex;

    if (ex->head_sent) {
        return WSGI_E_INVALID;
    }
    conn->head.len = 0;
    return wsgi_wire_put_head(&conn->head, head);
}

static void add_head(batch_t *batch, const wsgi_connection_t *conn)
{
    add_piece(batch, conn->head.data, conn->head.len);
}

static void note_sent(wsgi_connection_t *conn, size_t body_bytes)
{
    conn->exchange.head_sent = true;
    conn->exchange.bytes_out += body_bytes;
    conn->head.len = 0;
}

/* A caller that has read END must find our capacity free already. */
static void add_end(batch_t *batch, wsgi_connection_t *conn)
{
    const bool is_kept = wsgi_connection_decide_keep(conn);

    wsgi_connection_uncount(conn, false);
    conn->is_ended = true;
    add_frame(batch, WSGI_FRAME_END, is_kept ? 0 : WSGI_FRAME_FLAG_CLOSE, NULL, 0);
}

/* As many DATA frames as one batch holds; the bytes taken. Only the last of the chunk asks for a
 * flush. */
static size_t add_data(batch_t *batch, const char *data, size_t len, enum wsgi_send_flag flag)
{
    size_t taken = 0;

    for (unsigned i = 0; i < BATCH_FRAMES && taken < len; i++) {
        size_t left = len - taken;
        size_t size = left < WSGI_WIRE_DATA_MAX ? left : WSGI_WIRE_DATA_MAX;
        bool is_flush = flag == WSGI_SEND_MORE && size == left;
        add_frame(batch, WSGI_FRAME_DATA, is_flush ? WSGI_FRAME_FLAG_FLUSH : 0, data + taken, size);
        taken += size;
    }
    return taken;
}

static int send_body(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag)
{
    wsgi_connection_t *conn = (wsgi_connection_t *)ex;
    const char *next = data;
    int status = WSGI_OK;

    while (status == WSGI_OK && (len > 0 || (flag == WSGI_SEND_LAST && !conn->is_ended))) {
        batch_t batch;
        batch_begin(&batch, conn);
        add_head(&batch, conn);
        size_t taken = add_data(&batch, next, len, flag);
        if (flag == WSGI_SEND_LAST && taken == len) {
            add_end(&batch, conn);
        }
        status = batch_send(&batch, conn);
        note_sent(conn, taken);
        next += taken;
        len -= taken;
    }
    return status;
}

/* --- files ----------------------------------------------------------------------------------- */

/* A descriptor that httpd can be given: a regular file, for reading only, since what it is given it
 * could use. *opened is the caller's to close. -1 = send a copy instead. */
static int descriptor_to_pass(int fd, int *opened)
{
    struct stat st;
    char path[32];
    int flags = fcntl(fd, F_GETFL);

    *opened = -1;
    if (flags < 0 || (flags & O_PATH) != 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return -1;
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        return fd;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *opened = open(path, O_RDONLY | O_CLOEXEC);
    return *opened;
}

static int pass_file(wsgi_connection_t *conn, int fd, const wsgi_wire_file_t *file)
{
    batch_t batch;
    int status = wsgi_wire_put_file(&conn->line, WSGI_FRAME_FLAG_FLUSH, file);

    if (status == WSGI_OK) {
        batch_begin(&batch, conn);
        add_head(&batch, conn);
        add_piece(&batch, conn->line.data, conn->line.len);
        batch.fd = fd;
        status = batch_send(&batch, conn);
        note_sent(conn, (size_t)file->length);
    }
    conn->line.len = 0;
    return status;
}

/* What cannot be passed is read here: a pipe is refused by pread, as it has no offset. */
static int copy_file(wsgi_exchange_t *ex, int fd, wsgi_wire_file_t file)
{
    char *buffer = malloc(FILE_COPY_BYTES);
    int status = buffer != NULL ? WSGI_OK : WSGI_E_NOMEM;

    while (status == WSGI_OK && file.length > 0) {
        size_t want = file.length < FILE_COPY_BYTES ? (size_t)file.length : FILE_COPY_BYTES;
        ssize_t got = pread(fd, buffer, want, file.offset);
        if (got > 0) {
            status = send_body(ex, buffer, (size_t)got, WSGI_SEND_MORE);
            file.offset += got;
            file.length -= got;
        }
        else if (got == 0 || errno != EINTR) {
            status = WSGI_E_IO;
        }
    }
    free(buffer);
    return status;
}

static int send_file(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length)
{
    wsgi_wire_file_t file = {.offset = offset, .length = length};
    int opened, status;
    int passed = descriptor_to_pass(fd, &opened);

    status =
        passed >= 0 ? pass_file((wsgi_connection_t *)ex, passed, &file) : copy_file(ex, fd, file);
    wsgi_fd_close(&opened);
    return status;
}

/* --- the rest -------------------------------------------------------------------------------- */

/* A LOG frame if it can be sent at once. What went out of it in part is owed. */
static bool send_line(wsgi_connection_t *conn, const wsgi_wire_log_t *line)
{
    struct iovec piece;
    ssize_t sent = -1;

    if (conn->is_ended || conn->is_gone || conn->debt.len > 0) {
        return false;
    }
    if (wsgi_wire_put_log(&conn->line, line) == WSGI_OK) {
        piece = (struct iovec){conn->line.data, conn->line.len};
        sent = send_pieces(conn->fd, &piece, 1, -1);
    }
    if (sent > 0 && (size_t)sent < conn->line.len &&
        wsgi_buffer_append(&conn->debt, conn->line.data + sent, conn->line.len - (size_t)sent) !=
            WSGI_OK) {
        conn->is_gone = true; /* the stream is out of step for good */
    }
    conn->line.len = 0;
    return sent > 0;
}

/* `logging` holds a lock while it writes: a slow client must not freeze the worker. A line that
 * cannot go to httpd at once goes to the inherited log, with the id of its request. */
static void log_line(wsgi_exchange_t *ex, int level, const char *file, int number, const char *text)
{
    const wsgi_bytes_t *id = &ex->request.log_id;
    const wsgi_wire_log_t line = {
        .level = (uint32_t)level,
        .line = (uint32_t)number,
        .file = {file != NULL ? file : "", file != NULL ? strnlen(file, FILE_BYTES) : 0},
        .text = {text, strnlen(text, LINE_BYTES)},
    };

    if (!send_line((wsgi_connection_t *)ex, &line) && wsgi_log_is_enabled(level)) {
        wsgi_log_at(level, file != NULL ? file : __FILE__, file != NULL ? number : __LINE__,
                    "[request %.*s] %s", (int)id->len, id->data != NULL ? id->data : "", text);
    }
}

static bool is_aborted(wsgi_exchange_t *ex)
{
    return ((const wsgi_connection_t *)ex)->is_gone;
}

static int complete(wsgi_connection_t *conn)
{
    batch_t batch;
    int status;

    if (conn->is_ended) {
        return WSGI_OK; /* it went with the last of the body */
    }
    batch_begin(&batch, conn);
    add_head(&batch, conn);
    add_end(&batch, conn);
    status = batch_send(&batch, conn);
    note_sent(conn, 0);
    return status;
}

/* ABORT; what was promised of the head goes before it only if the answer is cut behind it. */
static int give_up(wsgi_connection_t *conn, enum wsgi_outcome outcome, unsigned status)
{
    batch_t batch;
    int result;

    wsgi_connection_uncount(conn, true);
    if (conn->is_ended) {
        return WSGI_OK;
    }
    conn->is_ended = true;
    result = wsgi_wire_put_number(&conn->line, WSGI_FRAME_ABORT, 0,
                                  outcome == WSGI_FAILED ? (int32_t)status : 0);
    if (result == WSGI_OK) {
        batch_begin(&batch, conn);
        if (outcome == WSGI_TRUNCATED) {
            add_head(&batch, conn);
        }
        add_piece(&batch, conn->line.data, conn->line.len);
        result = batch_send(&batch, conn);
    }
    conn->line.len = 0;
    return result;
}

static int finish(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status)
{
    wsgi_connection_t *conn = (wsgi_connection_t *)ex;

    return outcome == WSGI_DONE ? complete(conn) : give_up(conn, outcome, status);
}

const wsgi_exchange_verbs_t wsgi_connection_verbs = {
    .read_body = wsgi_connection_read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_file = send_file,
    .log = log_line,
    .is_aborted = is_aborted,
    .finish = finish,
};
