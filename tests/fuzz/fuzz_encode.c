/* tests/fuzz/fuzz_encode.c — the encoders, given whatever a caller may hold: what they take, the
 * decoders read as the same; what they refuse leaves nothing in the buffer. The input is read as
 * numbers and lengths; texts are parts of one long one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_field.h"
#include "wsgi_wire.h"

enum { ARENA = 2 * WSGI_WIRE_REQUEST_MAX, ITEMS = 40 };
_Static_assert(ARENA > WSGI_WIRE_HEAD_MAX + WSGI_WIRE_DATA_MAX, "every limit can be passed");

static char arena[ARENA + 1]; /* of 'a', and a NUL */

/* The input, byte by byte; zeros behind its end. */
typedef struct source {
    const uint8_t *at, *end;
} source_t;

static uint8_t byte(source_t *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint64_t number(source_t *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | byte(in);
    }
    return value;
}

/* Mostly short; now and then beside a limit, or longer than any memory. */
static size_t length(source_t *in)
{
    static const size_t limits[] = {UINT16_MAX,         WSGI_WIRE_DATA_MAX,
                                    WSGI_WIRE_HEAD_MAX, WSGI_WIRE_REQUEST_MAX,
                                    SIZE_MAX / 2,       UINT32_MAX};
    const uint8_t kind = byte(in);

    if (kind < 0xf0) {
        return kind % 0x40;
    }
    return limits[kind % (sizeof(limits) / sizeof(limits[0]))] - 3 + byte(in) % 8;
}

/* One that no memory holds is only to be refused: nobody may look at its bytes. */
static wsgi_bytes_t text(source_t *in)
{
    const size_t len = length(in);

    return (wsgi_bytes_t){len <= ARENA ? arena + (ARENA - len) : arena, len};
}

/* Either the frame is whole and can be taken apart, or nothing was written. */
static bool is_written(int code, const wsgi_buffer_t *out, wsgi_frame_t *frame)
{
    if (code != WSGI_OK) {
        CLAIM(code == WSGI_E_INVALID || code == WSGI_E_TOO_LARGE);
        CLAIM(out->len == 0);
        return false;
    }
    const wsgi_bytes_t made = {out->data, out->len};
    CLAIM(wsgi_wire_take(made, UINT32_MAX, frame, NULL) == (ssize_t)out->len);
    return true;
}

static void check_vars(const wsgi_request_t *wanted, const wsgi_request_t *got)
{
    CLAIM(got->var_count == wanted->var_count);
    for (size_t i = 0; i < got->var_count; i++) {
        CLAIM(got->vars[i].number == wanted->vars[i].number);
        CLAIM(got->vars[i].number != 0 || is_same(got->vars[i].name, wanted->vars[i].name));
        CLAIM(is_same(got->vars[i].value, wanted->vars[i].value));
    }
}

static void encode_request(source_t *in, wsgi_buffer_t *out)
{
    wsgi_var_t vars[ITEMS];
    wsgi_wire_store_t store = {0};
    wsgi_request_t again;
    wsgi_frame_t frame;
    wsgi_request_t request = {
        .flags = (uint32_t)number(in, 1),
        .body_length = (int64_t)number(in, 1) - 1,
        .log_level = (uint8_t)number(in, 1),
        .tries = (uint8_t)number(in, 1),
        .script = text(in),
        .callable = text(in),
        .log_id = text(in),
        .body_first = text(in),
        .vars = vars,
        .var_count = byte(in) % ITEMS,
    };

    for (size_t i = 0; i < request.var_count; i++) {
        vars[i] = (wsgi_var_t){(uint32_t)number(in, 1) % (WSGI_META_COUNT + 1), text(in), text(in)};
    }
    if (byte(in) == 0xff) {
        request.var_count = WSGI_WIRE_VARS_MAX + 1; /* refused before one is looked at */
    }
    if (is_written(wsgi_wire_put_request(out, 0, &request), out, &frame)) {
        CLAIM(wsgi_wire_get_request(frame.payload, &store, &again) == WSGI_OK);
        CLAIM(again.log_level == request.log_level && again.tries == request.tries);
        CLAIM(again.flags == request.flags && again.body_length == request.body_length);
        CLAIM(is_same(again.script, request.script) && is_same(again.log_id, request.log_id));
        CLAIM(is_same(again.callable, request.callable));
        CLAIM(is_same(again.body_first, request.body_first));
        check_vars(&request, &again);
    }
    free(store.items);
}

static void encode_head(source_t *in, wsgi_buffer_t *out)
{
    wsgi_field_t fields[ITEMS];
    wsgi_wire_store_t store = {0};
    wsgi_head_t again;
    wsgi_frame_t frame;
    wsgi_head_t head = {(unsigned)number(in, 2), text(in), fields, byte(in) % ITEMS};

    for (size_t i = 0; i < head.field_count; i++) {
        fields[i] = (wsgi_field_t){text(in), text(in)};
    }
    if (byte(in) == 0xff) {
        head.field_count = WSGI_WIRE_FIELDS_MAX + 1;
    }
    if (is_written(wsgi_wire_put_head(out, &head), out, &frame)) {
        const int code = wsgi_wire_get_head(frame.payload, &store, &again);

        CLAIM(code == WSGI_OK || code == WSGI_E_PROTOCOL); /* a field without a name */
        CLAIM(code != WSGI_OK ||
              (again.status == head.status && is_same(again.reason, head.reason)));
        CLAIM(code != WSGI_OK || again.field_count == head.field_count);
    }
    free(store.items);
}

static void encode_file(source_t *in, wsgi_buffer_t *out)
{
    const wsgi_wire_file_t file = {(int64_t)number(in, 8), (int64_t)number(in, 8)};
    wsgi_wire_file_t again;
    wsgi_frame_t frame;

    if (is_written(wsgi_wire_put_file(out, 0, &file), out, &frame)) {
        CLAIM(wsgi_wire_get_file(frame.payload, &again) == WSGI_OK);
        CLAIM(again.offset == file.offset && again.length == file.length);
    }
}

static void encode_log(source_t *in, wsgi_buffer_t *out)
{
    const wsgi_wire_log_t line = {(uint32_t)number(in, 1), (uint32_t)number(in, 4), text(in),
                                  text(in)};
    wsgi_wire_log_t again;
    wsgi_frame_t frame;

    if (is_written(wsgi_wire_put_log(out, &line), out, &frame)) {
        CLAIM(wsgi_wire_get_log(frame.payload, &again) == WSGI_OK);
        CLAIM(again.line == line.line && is_same(again.file, line.file));
        CLAIM(is_same(again.text, line.text));
    }
}

static void encode_data(source_t *in, wsgi_buffer_t *out)
{
    const wsgi_bytes_t data = text(in);
    wsgi_frame_t frame;

    if (is_written(wsgi_wire_put(out, WSGI_FRAME_DATA, 0, data), out, &frame)) {
        CLAIM(is_same(frame.payload, data));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const encoders[])(source_t *, wsgi_buffer_t *) = {
        encode_request, encode_head, encode_file, encode_log, encode_data};
    source_t in = {data, data + size};
    wsgi_buffer_t out = {0};

    if (arena[0] == '\0') {
        memset(arena, 'a', ARENA);
    }
    encoders[byte(&in) % (sizeof(encoders) / sizeof(encoders[0]))](&in, &out);
    wsgi_buffer_clear(&out, 0);
    return 0;
}
