/* tests/unit/daemon/caller.h — an httpd child in small: what it writes into its end of a pair, and
 * what it finds there, as text: "HELLO(2,3,7) HEAD(200 OK) DATA(hello)! END." Flags: '!' FLUSH,
 * '.' CLOSE. Long texts are told by their length, "DATA[65536]".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CALLER_H
#define CALLER_H

#include "wsgi_wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "HELLO(2,3,7)"

static const wsgi_hello_t usual_hello = {WSGI_WIRE_VERSION, 3, 7};

static inline wsgi_request_t usual_request(void)
{
    static const wsgi_var_t vars[] = {{0, {"NAME", 4}, {"value", 5}}};

    return (wsgi_request_t){
        .script = WSGI_LITERAL("/srv/app.wsgi"),
        .process_group = WSGI_LITERAL("group"),
        .application_group = WSGI_LITERAL("interpreter"),
        .callable = WSGI_LITERAL("application"),
        .log_id = WSGI_LITERAL("ID"),
        .vars = vars,
        .var_count = 1,
    };
}

/* A body of which nothing travels in REQUEST. */
static inline wsgi_request_t request_with_body(int64_t length)
{
    wsgi_request_t request = usual_request();

    request.body_length = length;
    return request;
}

static inline void put_bytes(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static inline void put_and_clear(int fd, wsgi_buffer_t *frame)
{
    put_bytes(fd, frame->data, frame->len);
    wsgi_buffer_clear(frame, 0);
}

static inline void put_request(int fd, uint8_t flags, const wsgi_request_t *request)
{
    wsgi_buffer_t frame = {0};

    assert_int_equal(wsgi_wire_put_request(&frame, flags, request), WSGI_OK);
    put_and_clear(fd, &frame);
}

static inline void put_frame(int fd, enum wsgi_frame_type type, const char *payload)
{
    wsgi_buffer_t frame = {0};

    assert_int_equal(wsgi_wire_put(&frame, type, 0, (wsgi_bytes_t){payload, strlen(payload)}),
                     WSGI_OK);
    put_and_clear(fd, &frame);
}

static inline void put_body_end(int fd, int32_t number)
{
    wsgi_buffer_t frame = {0};

    assert_int_equal(wsgi_wire_put_number(&frame, WSGI_FRAME_BODY_END, 0, number), WSGI_OK);
    put_and_clear(fd, &frame);
}

/* --- what has come --------------------------------------------------------------------------- */

typedef struct transcript {
    wsgi_buffer_t bytes;
    char text[16384];
    int passed_fds[4];
    unsigned passed_count;
} transcript_t;

static inline void keep_descriptor(transcript_t *got, struct msghdr *message)
{
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);

    if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS) {
        assert_true(got->passed_count < 4);
        assert_int_equal(cmsg->cmsg_len, CMSG_LEN(sizeof(int)));
        memcpy(&got->passed_fds[got->passed_count++], CMSG_DATA(cmsg), sizeof(int));
    }
}

/* Reads at most len bytes; false at the end. */
static inline bool collect_some(transcript_t *got, int fd, size_t len)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    assert_int_equal(wsgi_buffer_reserve(&got->bytes, len), WSGI_OK);
    struct iovec piece = {got->bytes.data + got->bytes.len, len};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    const ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

    if (count <= 0) {
        return false;
    }
    keep_descriptor(got, &message);
    got->bytes.len += (size_t)count;
    return true;
}

static inline void collect(transcript_t *got, int fd)
{
    while (collect_some(got, fd, 64 << 10)) {
    }
}

static inline void print(transcript_t *got, const char *format, ...) WSGI_PRINTF(2, 3);
static inline void print(transcript_t *got, const char *format, ...)
{
    const size_t used = strlen(got->text);
    va_list args;

    va_start(args, format);
    vsnprintf(got->text + used, sizeof(got->text) - used, format, args);
    va_end(args);
}

static inline void print_head(transcript_t *got, wsgi_bytes_t payload)
{
    wsgi_wire_store_t store = {0};
    wsgi_head_t head;

    assert_int_equal(wsgi_wire_get_head(payload, &store, &head), WSGI_OK);
    print(got, "(%u %.*s", head.status, (int)head.reason.len, head.reason.data);
    for (size_t i = 0; i < head.field_count; i++) {
        const wsgi_field_t *field = &head.fields[i];
        print(got, "; %.*s: %.*s", (int)field->name.len, field->name.data, (int)field->value.len,
              field->value.data);
    }
    print(got, ")");
    free(store.items);
}

static inline void print_text(transcript_t *got, wsgi_bytes_t text)
{
    if (text.len > 64) {
        print(got, "[%zu]", text.len);
    }
    else {
        print(got, "(%.*s)", (int)text.len, text.data);
    }
}

static inline void print_payload(transcript_t *got, const wsgi_frame_t *frame)
{
    wsgi_hello_t hello;
    wsgi_wire_file_t file;
    wsgi_wire_log_t line;
    int32_t number;

    switch (frame->type) {
    case WSGI_FRAME_HELLO:
        assert_int_equal(wsgi_wire_get_hello(frame->payload, &hello), WSGI_OK);
        print(got, "(%u,%u,%u)", hello.version, hello.worker_index, hello.generation);
        break;
    case WSGI_FRAME_HEAD:
        print_head(got, frame->payload);
        break;
    case WSGI_FRAME_DATA:
        print_text(got, frame->payload);
        break;
    case WSGI_FRAME_FILE:
        assert_int_equal(wsgi_wire_get_file(frame->payload, &file), WSGI_OK);
        print(got, "(%lld,%lld)", (long long)file.offset, (long long)file.length);
        break;
    case WSGI_FRAME_LOG:
        assert_int_equal(wsgi_wire_get_log(frame->payload, &line), WSGI_OK);
        print(got, "(%u", line.level);
        print_text(got, line.text);
        print(got, ")");
        break;
    case WSGI_FRAME_ABORT:
        assert_int_equal(wsgi_wire_get_number(frame->payload, &number), WSGI_OK);
        print(got, "(%d)", number);
        break;
    default:
        break;
    }
}

static inline const char *describe(transcript_t *got)
{
    wsgi_bytes_t left = {got->bytes.data, got->bytes.len};
    wsgi_frame_t frame;
    ssize_t size;

    got->text[0] = '\0';
    while ((size = wsgi_wire_take(left, UINT32_MAX, &frame, NULL)) > 0) {
        print(got, "%s%s", got->text[0] != '\0' ? " " : "", wsgi_wire_type_name(frame.type));
        print_payload(got, &frame);
        print(got, "%s%s", frame.flags & WSGI_FRAME_FLAG_FLUSH ? "!" : "",
              frame.flags & WSGI_FRAME_FLAG_CLOSE ? "." : "");
        left.data += size;
        left.len -= (size_t)size;
    }
    if (left.len > 0) {
        print(got, " +%zu bytes%s", left.len, size < 0 ? " of garbage" : "");
    }
    return got->text;
}

static inline void forget(transcript_t *got)
{
    for (unsigned i = 0; i < got->passed_count; i++) {
        wsgi_fd_close(&got->passed_fds[i]);
    }
    wsgi_buffer_clear(&got->bytes, 0);
    memset(got, 0, sizeof(*got));
}

#endif
