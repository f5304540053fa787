/* tests/fuzz/fuzz_wire.c — a stream of frames, as either end reads it: taken, decoded, encoded
 * again to the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_wire.h"

static int again_hello(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    wsgi_hello_t hello;

    (void)flags;
    return wsgi_wire_get_hello(payload, &hello) == WSGI_OK ? wsgi_wire_put_hello(out, &hello)
                                                           : WSGI_E_PROTOCOL;
}

static int again_request(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    wsgi_wire_store_t store = {0};
    wsgi_request_t request;
    int code = wsgi_wire_get_request(payload, &store, &request);

    if (code == WSGI_OK) {
        code = wsgi_wire_put_request(out, flags, &request);
    }
    free(store.items);
    return code;
}

static int again_head(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    wsgi_wire_store_t store = {0};
    wsgi_head_t head;
    int code = wsgi_wire_get_head(payload, &store, &head);

    (void)flags;
    if (code == WSGI_OK) {
        code = wsgi_wire_put_head(out, &head);
    }
    free(store.items);
    return code;
}

static int again_file(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    wsgi_wire_file_t file;

    if (wsgi_wire_get_file(payload, &file) != WSGI_OK) {
        return WSGI_E_PROTOCOL;
    }
    CLAIM(file.offset >= 0 && file.length >= 0 && file.offset <= INT64_MAX - file.length);
    return wsgi_wire_put_file(out, flags, &file);
}

static int again_log(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    wsgi_wire_log_t line;

    (void)flags;
    if (wsgi_wire_get_log(payload, &line) != WSGI_OK) {
        return WSGI_E_PROTOCOL;
    }
    CLAIM(line.level >= WSGI_LOG_CRIT && line.level <= WSGI_LOG_TRACE5);
    CLAIM(strlen(line.text.data) == line.text.len);
    const int code = wsgi_wire_put_log(out, &line);
    memcpy(out->data + WSGI_WIRE_HEADER_BYTES, payload.data, 4); /* the level may be clamped */
    return code;
}

static int again_number(wsgi_bytes_t payload, uint8_t flags, wsgi_buffer_t *out)
{
    int32_t number;

    CLAIM(wsgi_wire_get_number(payload, &number) == WSGI_OK);
    return wsgi_wire_put_number(out, WSGI_FRAME_ABORT, flags, number);
}

static int (*const again[WSGI_FRAME_COUNT])(wsgi_bytes_t, uint8_t, wsgi_buffer_t *) = {
    [WSGI_FRAME_HELLO] = again_hello,     [WSGI_FRAME_REQUEST] = again_request,
    [WSGI_FRAME_BODY_END] = again_number, [WSGI_FRAME_HEAD] = again_head,
    [WSGI_FRAME_FILE] = again_file,       [WSGI_FRAME_LOG] = again_log,
    [WSGI_FRAME_HINT] = again_head,       [WSGI_FRAME_ABORT] = again_number,
};

/* Decoded and encoded, a frame is the same again; save where its decoder refuses it. */
static void check_frame(const wsgi_frame_t *frame, wsgi_bytes_t whole)
{
    wsgi_buffer_t out = {0};
    const int code = again[frame->type] != NULL
                         ? again[frame->type](frame->payload, frame->flags, &out)
                         : wsgi_wire_put(&out, frame->type, frame->flags, frame->payload);

    CLAIM(code == WSGI_OK || code == WSGI_E_PROTOCOL);
    if (code == WSGI_OK) {
        CLAIM(out.len == whole.len);
        out.data[4] = whole.data[4]; /* one encoder serves BODY_END and ABORT, HEAD and HINT */
        CLAIM(memcmp(out.data, whole.data, out.len) == 0);
    }
    else {
        CLAIM(out.len == 0);
    }
    wsgi_buffer_clear(&out, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi_bytes_t rest = input(data, size);
    wsgi_frame_t frame;
    size_t missing = 0;
    ssize_t took;

    while ((took = wsgi_wire_take(rest, UINT32_MAX, &frame, &missing)) > 0) {
        CLAIM((size_t)took <= rest.len);
        CLAIM(frame.payload.len + WSGI_WIRE_HEADER_BYTES == (size_t)took);
        CLAIM(wsgi_wire_take(rest, ~WSGI_FRAME_BIT(frame.type), &frame, NULL) == WSGI_E_PROTOCOL);
        check_frame(&frame, (wsgi_bytes_t){rest.data, (size_t)took});
        rest = (wsgi_bytes_t){rest.data + took, rest.len - (size_t)took};
    }
    CLAIM(took == WSGI_E_PROTOCOL || missing > 0);
    return 0;
}
