/* tests/unit/core/test_wire.c — frames: round trips, bytes as documented, and all that is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"
#include "wsgi_wire.h"

#include "failing_alloc.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ANY_TYPE UINT32_MAX

static wsgi_bytes_t bytes_of(const wsgi_buffer_t *buffer)
{
    return (wsgi_bytes_t){buffer->data, buffer->len};
}

static void assert_bytes(wsgi_bytes_t got, const char *want, size_t len)
{
    assert_int_equal(got.len, len);
    assert_memory_equal(got.data, want, len);
}
#define assert_text(got, want) assert_bytes(got, want, sizeof(want) - 1)

/* The one frame in the buffer. */
static wsgi_frame_t the_frame(const wsgi_buffer_t *buffer, enum wsgi_frame_type type)
{
    wsgi_frame_t frame = {0};
    size_t missing = 0;

    assert_int_equal(wsgi_wire_take(bytes_of(buffer), WSGI_FRAME_BIT(type), &frame, &missing),
                     buffer->len);
    assert_int_equal(frame.type, type);
    return frame;
}

/* Headers and wsgi_wire_take() */

static void test_header_bytes(void **state)
{
    char header[WSGI_WIRE_HEADER_BYTES];

    (void)state;
    wsgi_wire_put_header(header, WSGI_FRAME_DATA, WSGI_FRAME_FLAG_FLUSH, 0x8001);
    assert_memory_equal(header, "\x01\x80\x00\x00\x08\x04\x00\x00", 8);
}

static void test_take_tells_what_is_missing(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_frame_t frame;
    size_t missing;

    (void)state;
    assert_int_equal(wsgi_wire_put(&out, WSGI_FRAME_BODY, 0, WSGI_LITERAL("hello")), WSGI_OK);
    for (size_t len = 0; len < out.len; len++) {
        const wsgi_bytes_t part = {out.data, len};

        missing = 0;
        assert_int_equal(wsgi_wire_take(part, ANY_TYPE, &frame, &missing), 0);
        assert_int_equal(missing, (len < 8 ? 8 : out.len) - len);
        assert_int_equal(wsgi_wire_take(part, ANY_TYPE, &frame, NULL), 0);
    }
    frame = the_frame(&out, WSGI_FRAME_BODY);
    assert_int_equal(frame.flags, 0);
    assert_text(frame.payload, "hello");
    wsgi_buffer_clear(&out, 0);
}

static void test_take_leaves_the_next_frame(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_frame_t frame;

    (void)state;
    assert_int_equal(wsgi_wire_put(&out, WSGI_FRAME_CONTINUE, 0, WSGI_LITERAL("")), WSGI_OK);
    assert_int_equal(wsgi_wire_put(&out, WSGI_FRAME_END, WSGI_FRAME_FLAG_CLOSE, WSGI_LITERAL("")),
                     WSGI_OK);
    assert_int_equal(wsgi_wire_take(bytes_of(&out), ANY_TYPE, &frame, NULL), 8);
    assert_int_equal(frame.type, WSGI_FRAME_CONTINUE);
    wsgi_buffer_consume(&out, 8);
    frame = the_frame(&out, WSGI_FRAME_END);
    assert_int_equal(frame.flags, WSGI_FRAME_FLAG_CLOSE);
    assert_int_equal(frame.payload.len, 0);
    wsgi_buffer_clear(&out, 0);
}

/* The largest payload of each type, and the flags it may carry. */
static const struct {
    uint32_t least, most;
    uint8_t flags;
} limits[WSGI_FRAME_COUNT] = {
    [WSGI_FRAME_HELLO] = {12, 12, 0},
    [WSGI_FRAME_REQUEST] = {94, WSGI_WIRE_REQUEST_MAX, WSGI_FRAME_FLAG_TELLME},
    [WSGI_FRAME_BODY] = {0, WSGI_WIRE_DATA_MAX, 0},
    [WSGI_FRAME_BODY_END] = {4, 4, 0},
    [WSGI_FRAME_HEAD] = {8, WSGI_WIRE_HEAD_MAX, 0},
    [WSGI_FRAME_DATA] = {0, WSGI_WIRE_DATA_MAX, WSGI_FRAME_FLAG_FLUSH},
    [WSGI_FRAME_FILE] = {16, 16, WSGI_FRAME_FLAG_FLUSH},
    [WSGI_FRAME_LOG] = {14, WSGI_WIRE_DATA_MAX, 0},
    [WSGI_FRAME_HINT] = {8, WSGI_WIRE_HEAD_MAX, 0},
    [WSGI_FRAME_END] = {0, 0, WSGI_FRAME_FLAG_CLOSE},
    [WSGI_FRAME_ABORT] = {4, 4, 0},
};

/* What take says to a bare header: 0 = goes on reading, or it is a whole frame. */
static ssize_t take_header(unsigned type, unsigned flags, uint32_t len, uint32_t allowed)
{
    const char header[8] = {
        (char)len, (char)(len >> 8), (char)(len >> 16), (char)(len >> 24), (char)type, (char)flags,
    };
    wsgi_frame_t frame;

    return wsgi_wire_take((wsgi_bytes_t){header, 8}, allowed, &frame, NULL);
}

static void test_take_refuses_by_the_header_alone(void **state)
{
    (void)state;
    for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
        const uint32_t bit = WSGI_FRAME_BIT(type);
        const uint32_t least = limits[type].least, most = limits[type].most;

        assert_int_not_equal(take_header(type, 0, least, bit), WSGI_E_PROTOCOL);
        assert_int_not_equal(take_header(type, 0, most, bit), WSGI_E_PROTOCOL);
        assert_int_equal(take_header(type, 0, most + 1, bit), WSGI_E_PROTOCOL);
        assert_int_equal(take_header(type, 0, UINT32_MAX, bit), WSGI_E_PROTOCOL);
        assert_int_equal(take_header(type, 0, least, ~bit), WSGI_E_PROTOCOL);
        if (least > 0) {
            assert_int_equal(take_header(type, 0, least - 1, bit), WSGI_E_PROTOCOL);
        }
        for (unsigned flag = 1; flag < 256; flag <<= 1) {
            const bool is_refused = take_header(type, flag, least, bit) == WSGI_E_PROTOCOL;

            assert_int_equal(is_refused, (limits[type].flags & flag) == 0);
        }
    }
    assert_int_equal(take_header(0, 0, 0, ANY_TYPE), WSGI_E_PROTOCOL);
    for (unsigned type = WSGI_FRAME_COUNT; type < 256; type++) {
        assert_int_equal(take_header(type, 0, 0, ANY_TYPE), WSGI_E_PROTOCOL);
    }
}

static void test_take_refuses_reserved_bits(void **state)
{
    wsgi_frame_t frame;
    static const char *const frames[] = {"\0\0\0\0\x05\0\1\0", "\0\0\0\0\x05\0\0\x80"};

    (void)state;
    assert_int_equal(take_header(WSGI_FRAME_GONE, 0, 0, ANY_TYPE), 8);
    for (size_t i = 0; i < 2; i++) {
        const wsgi_bytes_t data = {frames[i], 8};
        assert_int_equal(wsgi_wire_take(data, ANY_TYPE, &frame, NULL), WSGI_E_PROTOCOL);
    }
}

static void test_type_names(void **state)
{
    (void)state;
    assert_string_equal(wsgi_wire_type_name(WSGI_FRAME_HELLO), "HELLO");
    assert_string_equal(wsgi_wire_type_name(WSGI_FRAME_BODY_END), "BODY_END");
    assert_string_equal(wsgi_wire_type_name(WSGI_FRAME_UPGRADE), "UPGRADE");
    assert_string_equal(wsgi_wire_type_name(0), "?");
    assert_string_equal(wsgi_wire_type_name(WSGI_FRAME_COUNT), "?");
    for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
        assert_string_not_equal(wsgi_wire_type_name(type), "?");
    }
}

/* The small frames */

static void test_hello(void **state)
{
    const wsgi_hello_t hello = {.version = 1, .worker_index = 0x01020304, .generation = 7};
    wsgi_hello_t got;
    wsgi_buffer_t out = {0};

    (void)state;
    assert_int_equal(wsgi_wire_put_hello(&out, &hello), WSGI_OK);
    assert_text(bytes_of(&out), "\x0c\0\0\0\1\0\0\0\1\0\0\0\4\3\2\1\7\0\0\0");
    const wsgi_bytes_t payload = the_frame(&out, WSGI_FRAME_HELLO).payload;
    assert_int_equal(wsgi_wire_get_hello(payload, &got), WSGI_OK);
    assert_memory_equal(&got, &hello, sizeof(got));
    assert_int_equal(wsgi_wire_get_hello((wsgi_bytes_t){payload.data, 11}, &got), WSGI_E_PROTOCOL);
    assert_int_equal(wsgi_wire_get_hello((wsgi_bytes_t){out.data, 13}, &got), WSGI_E_PROTOCOL);
    assert_int_equal(wsgi_wire_get_hello((wsgi_bytes_t){NULL, 0}, &got), WSGI_E_PROTOCOL);
    wsgi_buffer_clear(&out, 0);
}

static void test_file(void **state)
{
    static const struct {
        wsgi_wire_file_t file;
        bool is_legal;
    } cases[] = {
        {{0, 0}, true},         {{4096, 1}, true},       {{1, INT64_MAX - 1}, true},
        {{INT64_MAX, 0}, true}, {{1, INT64_MAX}, false}, {{INT64_MAX, INT64_MAX}, false},
        {{-1, 1}, false},       {{0, -1}, false},        {{INT64_MIN, INT64_MIN}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi_buffer_t out = {0};
        wsgi_wire_file_t got;
        const int code = wsgi_wire_put_file(&out, WSGI_FRAME_FLAG_FLUSH, &cases[i].file);

        assert_int_equal(code, cases[i].is_legal ? WSGI_OK : WSGI_E_INVALID);
        assert_int_equal(out.len, cases[i].is_legal ? 24 : 0);
        if (cases[i].is_legal) {
            const wsgi_bytes_t payload = the_frame(&out, WSGI_FRAME_FILE).payload;
            assert_int_equal(wsgi_wire_get_file(payload, &got), WSGI_OK);
            assert_memory_equal(&got, &cases[i].file, sizeof(got));
        }
        const wsgi_bytes_t raw = {(const char *)&cases[i].file, sizeof(got)}; /* little-endian */
        assert_int_equal(wsgi_wire_get_file(raw, &got) == WSGI_OK, cases[i].is_legal);
        wsgi_buffer_clear(&out, 0);
    }
    wsgi_wire_file_t got;
    assert_int_equal(wsgi_wire_get_file(WSGI_LITERAL("too short"), &got), WSGI_E_PROTOCOL);
}

static void test_log(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_log_t got;

    (void)state;
    const wsgi_wire_log_t line = {WSGI_LOG_INFO, 7, WSGI_LITERAL("app.py"), WSGI_LITERAL("a line")};
    assert_int_equal(wsgi_wire_put_log(&out, &line), WSGI_OK);
    wsgi_bytes_t payload = the_frame(&out, WSGI_FRAME_LOG).payload;
    assert_int_equal(wsgi_wire_get_log(payload, &got), WSGI_OK);
    assert_int_equal(got.level, WSGI_LOG_INFO);
    assert_int_equal(got.line, 7);
    assert_text(got.file, "app.py");
    assert_int_equal(got.file.data[got.file.len], '\0');
    assert_text(got.text, "a line");
    assert_int_equal(got.text.data[got.text.len], '\0');

#define NO_SOURCE "\0\0\0\0\0\0\0\0\0"
    assert_int_equal(wsgi_wire_get_log(WSGI_LITERAL("\0\0\0\0" NO_SOURCE "a\0"), &got), WSGI_OK);
    assert_int_equal(got.level, WSGI_LOG_CRIT);
    assert_text(got.file, "");
    assert_text(got.text, "a");
    assert_int_equal(wsgi_wire_get_log(WSGI_LITERAL("\xff\xff\xff\xff" NO_SOURCE "\0"), &got),
                     WSGI_OK);
    assert_int_equal(got.level, WSGI_LOG_TRACE5);
    assert_text(got.text, "");
    const wsgi_bytes_t illegal[] = {
        WSGI_LITERAL("\4\0\0\0" NO_SOURCE "ab"),
        WSGI_LITERAL("\4\0\0\0" NO_SOURCE "a\0b\0"),
        WSGI_LITERAL("\4\0\0\0" NO_SOURCE),
        WSGI_LITERAL("\4\0\0\0\0\0\0\0\2\0\0\0\0a\0b\0"),      /* a NUL in the file's name */
        WSGI_LITERAL("\4\0\0\0\0\0\0\0\4\0\0\0f\0a\0"),        /* longer than all there is */
        WSGI_LITERAL("\4\0\0\0\0\0\0\0\xff\xff\xff\xff\0a\0"), /* than any frame */
    };
    for (size_t i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
        assert_int_equal(wsgi_wire_get_log(illegal[i], &got), WSGI_E_PROTOCOL);
    }
    wsgi_buffer_clear(&out, 0);
}

static void test_numbers(void **state)
{
    wsgi_buffer_t out = {0};
    int32_t got;

    (void)state;
    assert_int_equal(wsgi_wire_put_number(&out, WSGI_FRAME_BODY_END, 0, WSGI_E_SHORT), WSGI_OK);
    assert_int_equal(wsgi_wire_get_number(the_frame(&out, WSGI_FRAME_BODY_END).payload, &got),
                     WSGI_OK);
    assert_int_equal(got, WSGI_E_SHORT);
    assert_int_equal(wsgi_wire_get_number(WSGI_LITERAL("\xf4\1\0"), &got), WSGI_E_PROTOCOL);
    assert_int_equal(wsgi_wire_get_number(WSGI_LITERAL("\xf4\1\0\0\0"), &got), WSGI_E_PROTOCOL);
    assert_int_equal(wsgi_wire_get_number(WSGI_LITERAL("\xf4\1\0\0"), &got), WSGI_OK);
    assert_int_equal(got, 500);
    wsgi_buffer_clear(&out, 0);
}

static void test_too_large_leaves_out_as_it_was(void **state)
{
    wsgi_buffer_t out = {0};
    char *big = calloc(1, WSGI_WIRE_REQUEST_MAX + 1);

    (void)state;
    assert_int_equal(wsgi_buffer_append(&out, "x", 1), WSGI_OK);
    for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
        const wsgi_bytes_t payload = {big, limits[type].most + 1};
        assert_int_equal(wsgi_wire_put(&out, type, 0, payload), WSGI_E_TOO_LARGE);
    }
    const wsgi_wire_log_t line = {WSGI_LOG_INFO, 0, {"", 0}, {big, WSGI_WIRE_DATA_MAX - 13}};
    assert_int_equal(wsgi_wire_put_log(&out, &line), WSGI_E_TOO_LARGE);
    const wsgi_wire_log_t wrapping = {WSGI_LOG_INFO, 0, {big, SIZE_MAX}, {big, 1}};
    assert_int_equal(wsgi_wire_put_log(&out, &wrapping), WSGI_E_TOO_LARGE);
    assert_text(bytes_of(&out), "x");
    wsgi_buffer_clear(&out, 0);
    free(big);
}

/* REQUEST */

static wsgi_request_t a_request(void)
{
    static const wsgi_var_t vars[] = {
        {WSGI_META_REQUEST_METHOD, {"", 0}, {"POST", 4}},
        {0, {"HTTP_X_OWN", 10}, {"a value", 7}},
        {WSGI_META_QUERY_STRING, {"", 0}, {"", 0}},
        {WSGI_META_HTTP_HOST, {"", 0}, {"caf\xe9\0!", 6}},
    };

    return (wsgi_request_t){
        .id = UINT64_C(0x1122334455667788),
        .flags = WSGI_REQUEST_HTTPS | WSGI_REQUEST_RELOADING,
        .body_length = 70000,
        .script_mtime_us = INT64_C(-5),
        .request_start_us = INT64_C(1700000000000000),
        .queue_start_us = INT64_C(1700000000000123),
        .log_level = WSGI_LOG_TRACE1,
        .tries = 3,
        .firm_until_us = INT64_C(98765432109),
        .script = WSGI_LITERAL("/srv/app.wsgi"),
        .process_group = WSGI_LITERAL("group"),
        .application_group = WSGI_LITERAL(""),
        .callable = WSGI_LITERAL("application"),
        .handler = WSGI_LITERAL("wsgi-script"),
        .log_id = {NULL, 0},
        .vars = vars,
        .var_count = sizeof(vars) / sizeof(vars[0]),
        .body_first = WSGI_LITERAL("first part"),
    };
}

static void assert_same_text(wsgi_bytes_t got, wsgi_bytes_t want)
{
    assert_bytes(got, want.len > 0 ? want.data : "", want.len);
    assert_int_equal(got.data[got.len], '\0');
}

static void assert_same_request(const wsgi_request_t *got, const wsgi_request_t *want)
{
    assert_int_equal(got->id, want->id);
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->body_length, want->body_length);
    assert_int_equal(got->script_mtime_us, want->script_mtime_us);
    assert_int_equal(got->request_start_us, want->request_start_us);
    assert_int_equal(got->queue_start_us, want->queue_start_us);
    assert_int_equal(got->log_level, want->log_level);
    assert_int_equal(got->tries, want->tries);
    assert_int_equal(got->firm_until_us, want->firm_until_us);
    assert_same_text(got->script, want->script);
    assert_same_text(got->process_group, want->process_group);
    assert_same_text(got->application_group, want->application_group);
    assert_same_text(got->callable, want->callable);
    assert_same_text(got->handler, want->handler);
    assert_same_text(got->log_id, want->log_id);
    assert_int_equal(got->var_count, want->var_count);
    for (size_t i = 0; i < want->var_count; i++) {
        assert_int_equal(got->vars[i].number, want->vars[i].number);
        assert_bytes(got->vars[i].name, want->vars[i].name.data, want->vars[i].name.len);
        assert_bytes(got->vars[i].value, want->vars[i].value.data, want->vars[i].value.len);
    }
    assert_bytes(got->body_first, want->body_first.data, want->body_first.len);
}

static void test_request_round_trip(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    const wsgi_request_t request = a_request();
    wsgi_request_t got;

    (void)state;
    assert_int_equal(wsgi_wire_put_request(&out, WSGI_FRAME_FLAG_TELLME, &request), WSGI_OK);
    const wsgi_frame_t frame = the_frame(&out, WSGI_FRAME_REQUEST);
    assert_int_equal(frame.flags, WSGI_FRAME_FLAG_TELLME);
    for (int i = 0; i < 2; i++) {
        calls_until_failure =
            i; /* the second time no memory is asked for: the store serves again */
        assert_int_equal(wsgi_wire_get_request(frame.payload, &store, &got), WSGI_OK);
        calls_until_failure = 0;
        assert_ptr_equal(got.vars, store.items);
        assert_same_request(&got, &request);
    }
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

static void test_smallest_request(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    const wsgi_request_t request = {.body_length = WSGI_BODY_UNKNOWN};
    wsgi_request_t got;

    (void)state;
    assert_int_equal(wsgi_wire_put_request(&out, 0, &request), WSGI_OK);
    assert_int_equal(out.len, 8 + 94);
    assert_int_equal(
        wsgi_wire_get_request(the_frame(&out, WSGI_FRAME_REQUEST).payload, &store, &got), WSGI_OK);
    assert_same_request(&got, &request);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

static void test_name_of_a_numbered_variable_stays_at_home(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    const wsgi_var_t var = {WSGI_META_PATH_INFO, WSGI_LITERAL("PATH_INFO"), WSGI_LITERAL("/")};
    const wsgi_request_t request = {.vars = &var, .var_count = 1};
    wsgi_request_t got;

    (void)state;
    assert_int_equal(wsgi_wire_put_request(&out, 0, &request), WSGI_OK);
    assert_int_equal(out.len, 8 + 94 + 8 + 1);
    assert_int_equal(
        wsgi_wire_get_request(the_frame(&out, WSGI_FRAME_REQUEST).payload, &store, &got), WSGI_OK);
    assert_int_equal(got.vars[0].number, WSGI_META_PATH_INFO);
    assert_int_equal(got.vars[0].name.len, 0);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

/* Each byte of the encoding cut off, and each byte too many, is noticed. */
static void test_request_of_wrong_length(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    const wsgi_request_t request = a_request();
    wsgi_request_t got;

    (void)state;
    assert_int_equal(wsgi_wire_put_request(&out, 0, &request), WSGI_OK);
    assert_int_equal(wsgi_buffer_append(&out, "", 1), WSGI_OK);
    for (size_t len = 0; len <= out.len - 8; len++) {
        char *copy = malloc(len + 1); /* exact, so that a sanitizer sees a read behind it */

        memcpy(copy, out.data + 8, len);
        const int code = wsgi_wire_get_request((wsgi_bytes_t){copy, len}, &store, &got);
        assert_int_equal(code, len == out.len - 9 ? WSGI_OK : WSGI_E_PROTOCOL);
        free(copy);
    }
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

/* One byte of a good encoding is changed; offsets as drawn in docs/wire.md. */
static void test_request_with_a_wrong_byte(void **state)
{
    static const struct {
        size_t offset;
        unsigned char byte;
    } cases[] = {
        {15, 0x80},             /* body_length below -1 */
        {8, 9},                 /* body_length 9 + …: see below, less than the first part */
        {41, 0x80},             /* an unknown flag */
        {40, 1 | 8},            /* body included, but not whole */
        {46, 1},                /* 65540 variables */
        {44, 5},                /* one more variable than there are */
        {44, 3},                /* one less */
        {50, 2},                /* first part of the body above its limit */
        {48, 9},                /* first part shorter than what is there */
        {52, 12},               /* script one byte shorter: no NUL behind it */
        {78, 1},                /* reserved */
        {88 + 4, 0},            /* a NUL inside the script */
        {88 + 13, 'x'},         /* none behind it */
        {134, 0},               /* REQUEST_METHOD becomes a variable without number and name */
        {134, WSGI_META_COUNT}, /* a number that does not exist */
        {136, 1},               /* a number and a name */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi_buffer_t out = {0};
        wsgi_wire_store_t store = {0};
        const wsgi_request_t request = a_request();
        wsgi_request_t got;

        assert_int_equal(wsgi_wire_put_request(&out, 0, &request), WSGI_OK);
        char *payload = out.data + WSGI_WIRE_HEADER_BYTES;
        if (cases[i].offset == 8) {
            memset(payload + 8, 0, 8);
        }
        payload[cases[i].offset] = (char)cases[i].byte;
        const wsgi_bytes_t bytes = {payload, out.len - WSGI_WIRE_HEADER_BYTES};
        if (wsgi_wire_get_request(bytes, &store, &got) != WSGI_E_PROTOCOL) {
            fail_msg("offset %zu, byte %u is accepted", cases[i].offset, cases[i].byte);
        }
        wsgi_buffer_clear(&out, 0);
        free(store.items);
    }
}

static int put_changed(void (*change)(wsgi_request_t *request))
{
    wsgi_buffer_t out = {0};
    wsgi_request_t request = a_request();

    change(&request);
    const int code = wsgi_wire_put_request(&out, 0, &request);
    if (code == WSGI_OK) {
        wsgi_wire_store_t store = {0};
        wsgi_request_t got;
        const wsgi_bytes_t payload = the_frame(&out, WSGI_FRAME_REQUEST).payload;

        assert_int_equal(wsgi_wire_get_request(payload, &store, &got), WSGI_OK);
        free(store.items);
    }
    else {
        assert_int_equal(out.len, 0);
    }
    wsgi_buffer_clear(&out, 0);
    return code;
}

static char big[WSGI_WIRE_REQUEST_MAX];
static wsgi_var_t many[WSGI_WIRE_VARS_MAX + 1];

static void set_unknown_flag(wsgi_request_t *request)
{
    request->flags |= WSGI_REQUEST_PASS_NATIVE;
}

static void set_negative_length(wsgi_request_t *request)
{
    request->body_length = -2;
}

static void set_short_length(wsgi_request_t *request)
{
    request->body_length = 9;
}

static void set_included_in_part(wsgi_request_t *request)
{
    request->flags |= WSGI_REQUEST_BODY_INCLUDED;
}

static void set_included(wsgi_request_t *request)
{
    request->flags |= WSGI_REQUEST_BODY_INCLUDED;
    request->body_length = 10;
}

static void set_included_of_unknown_length(wsgi_request_t *request)
{
    request->flags |= WSGI_REQUEST_BODY_INCLUDED;
    request->body_length = WSGI_BODY_UNKNOWN;
}

static void set_unknown_number(wsgi_request_t *request)
{
    static const wsgi_var_t var = {WSGI_META_COUNT, {"A", 1}, {"", 0}};

    request->vars = &var;
    request->var_count = 1;
}

static void set_no_name(wsgi_request_t *request)
{
    static const wsgi_var_t var = {0};

    request->vars = &var;
    request->var_count = 1;
}

static void set_name_len(wsgi_request_t *request, size_t len)
{
    many[0] = (wsgi_var_t){0, {big, len}, {"", 0}};
    request->vars = many;
    request->var_count = 1;
}

static void set_longest_name(wsgi_request_t *request)
{
    set_name_len(request, UINT16_MAX);
}

static void set_too_long_name(wsgi_request_t *request)
{
    set_name_len(request, UINT16_MAX + 1);
}

static void set_var_count(wsgi_request_t *request, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        many[i] = (wsgi_var_t){WSGI_META_HTTP_COOKIE, {"", 0}, {"abc", 3}};
    }
    request->vars = many;
    request->var_count = count;
}

static void set_most_vars(wsgi_request_t *request)
{
    set_var_count(request, WSGI_WIRE_VARS_MAX);
}

static void set_too_many_vars(wsgi_request_t *request)
{
    set_var_count(request, WSGI_WIRE_VARS_MAX + 1);
}

static void set_longest_first(wsgi_request_t *request)
{
    request->body_first = (wsgi_bytes_t){big, WSGI_WIRE_DATA_MAX};
}

static void set_too_long_first(wsgi_request_t *request)
{
    request->body_first = (wsgi_bytes_t){big, WSGI_WIRE_DATA_MAX + 1};
}

static void set_value_len(wsgi_request_t *request, size_t len)
{
    many[0] = (wsgi_var_t){WSGI_META_HTTP_COOKIE, {"", 0}, {big, len}};
    *request = (wsgi_request_t){.vars = many, .var_count = 1};
}

static void set_largest_whole(wsgi_request_t *request)
{
    set_value_len(request, WSGI_WIRE_REQUEST_MAX - 94 - 8);
}

static void set_too_large_whole(wsgi_request_t *request)
{
    set_value_len(request, WSGI_WIRE_REQUEST_MAX - 94 - 8 + 1);
}

static void set_absurd_value(wsgi_request_t *request)
{
    set_value_len(request, SIZE_MAX - 90);
}

static void set_too_long_text(wsgi_request_t *request)
{
    request->script = (wsgi_bytes_t){big, sizeof(big)};
}

static void set_absurd_texts(wsgi_request_t *request)
{
    request->script = request->handler = (wsgi_bytes_t){big, SIZE_MAX / 2};
}

static void test_request_limits(void **state)
{
    static const struct {
        void (*change)(wsgi_request_t *request);
        int code;
    } cases[] = {
        {set_unknown_flag, WSGI_E_INVALID},
        {set_negative_length, WSGI_E_INVALID},
        {set_short_length, WSGI_E_INVALID},
        {set_included_in_part, WSGI_E_INVALID},
        {set_included, WSGI_OK},
        {set_included_of_unknown_length, WSGI_OK},
        {set_unknown_number, WSGI_E_INVALID},
        {set_no_name, WSGI_E_INVALID},
        {set_longest_name, WSGI_OK},
        {set_too_long_name, WSGI_E_TOO_LARGE},
        {set_most_vars, WSGI_OK},
        {set_too_many_vars, WSGI_E_TOO_LARGE},
        {set_longest_first, WSGI_OK},
        {set_too_long_first, WSGI_E_TOO_LARGE},
        {set_largest_whole, WSGI_OK},
        {set_too_large_whole, WSGI_E_TOO_LARGE},
        {set_absurd_value, WSGI_E_TOO_LARGE},
        {set_too_long_text, WSGI_E_TOO_LARGE},
        {set_absurd_texts, WSGI_E_TOO_LARGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int code = put_changed(cases[i].change);

        if (code != cases[i].code) {
            fail_msg("case %zu gives %d", i, code);
        }
    }
}

/* Encodes, appends bytes to the payload, sets 16 bits of it, decodes. */
static int get_request_longer_by(const wsgi_request_t *request, wsgi_bytes_t more, size_t offset,
                                 uint16_t number)
{
    const char low_first[] = {(char)number, (char)(number >> 8)};
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    wsgi_request_t got;

    assert_int_equal(wsgi_wire_put_request(&out, 0, request), WSGI_OK);
    assert_int_equal(wsgi_buffer_append(&out, more.data, more.len), WSGI_OK);
    memcpy(out.data + WSGI_WIRE_HEADER_BYTES + offset, low_first, sizeof(low_first));
    const wsgi_bytes_t payload = {out.data + WSGI_WIRE_HEADER_BYTES,
                                  out.len - WSGI_WIRE_HEADER_BYTES};
    const int code = wsgi_wire_get_request(payload, &store, &got);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
    return code;
}

static void test_request_beyond_the_limits_of_a_decoder(void **state)
{
    wsgi_request_t request = {.body_length = WSGI_BODY_UNKNOWN};

    (void)state;
    set_var_count(&request, WSGI_WIRE_VARS_MAX - 1);
    const wsgi_bytes_t one = WSGI_LITERAL("\1\0\0\0\0\0\0\0");
    assert_int_equal(get_request_longer_by(&request, one, 44, WSGI_WIRE_VARS_MAX), WSGI_OK);
    set_var_count(&request, WSGI_WIRE_VARS_MAX);
    assert_int_equal(get_request_longer_by(&request, one, 44, WSGI_WIRE_VARS_MAX + 1),
                     WSGI_E_PROTOCOL);

    request = (wsgi_request_t){
        .body_length = WSGI_BODY_UNKNOWN,
        .body_first = {big, WSGI_WIRE_DATA_MAX - 1},
    };
    assert_int_equal(get_request_longer_by(&request, WSGI_LITERAL("x"), 50, 1), WSGI_E_PROTOCOL);
    request.body_first.len = WSGI_WIRE_DATA_MAX;
    assert_int_equal(get_request_longer_by(&request, WSGI_LITERAL(""), 48, 0), WSGI_OK);
    assert_int_equal(get_request_longer_by(&request, WSGI_LITERAL("x"), 48, 1), WSGI_E_PROTOCOL);
}

/* HEAD */

static const wsgi_field_t some_fields[] = {
    {{"Content-Type", 12}, {"text/plain", 10}},
    {{"Set-Cookie", 10}, {"a=1", 3}},
    {{"Set-Cookie", 10}, {"", 0}},
};

static int get_head_of(const wsgi_head_t *head, wsgi_wire_store_t *store, wsgi_buffer_t *out,
                       wsgi_head_t *got)
{
    assert_int_equal(wsgi_wire_put_head(out, head), WSGI_OK);
    return wsgi_wire_get_head(the_frame(out, WSGI_FRAME_HEAD).payload, store, got);
}

static void test_head_round_trip(void **state)
{
    const wsgi_head_t head = {404, WSGI_LITERAL("Not Found"), some_fields, 3};
    wsgi_head_t got;
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};

    (void)state;
    assert_int_equal(get_head_of(&head, &store, &out, &got), WSGI_OK);
    assert_int_equal(got.status, 404);
    assert_text(got.reason, "Not Found");
    assert_int_equal(got.field_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_bytes(got.fields[i].name, some_fields[i].name.data, some_fields[i].name.len);
        assert_bytes(got.fields[i].value, some_fields[i].value.data, some_fields[i].value.len);
    }
    wsgi_buffer_clear(&out, 0);
    assert_int_equal(get_head_of(&(wsgi_head_t){.status = 204}, &store, &out, &got), WSGI_OK);
    assert_int_equal(got.status, 204);
    assert_int_equal(got.reason.len, 0);
    assert_int_equal(got.field_count, 0);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

static void test_head_of_wrong_length(void **state)
{
    const wsgi_head_t head = {200, WSGI_LITERAL("OK"), some_fields, 3};
    wsgi_head_t got;
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};

    (void)state;
    assert_int_equal(wsgi_wire_put_head(&out, &head), WSGI_OK);
    assert_int_equal(wsgi_buffer_append(&out, "", 1), WSGI_OK);
    for (size_t len = 0; len <= out.len - 8; len++) {
        char *copy = malloc(len + 1);

        memcpy(copy, out.data + 8, len);
        const int code = wsgi_wire_get_head((wsgi_bytes_t){copy, len}, &store, &got);
        assert_int_equal(code, len == out.len - 9 ? WSGI_OK : WSGI_E_PROTOCOL);
        free(copy);
    }
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

/* A daemon that would split the response, or worse. */
static void test_head_of_a_hostile_daemon(void **state)
{
    static const wsgi_field_t fields[] = {
        {{"X", 1}, {"a\r\nSet-Cookie: b", 16}},
        {{"X", 1}, {"a\nb", 3}},
        {{"X", 1}, {"a\0b", 3}},
        {{"X\r\nY", 4}, {"a", 1}},
        {{"X: b", 4}, {"a", 1}},
        {{"X Y", 3}, {"a", 1}},
        {{"", 0}, {"a", 1}},
    };
    wsgi_head_t got;

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const wsgi_head_t head = {200, WSGI_LITERAL("OK"), &fields[i], 1};
        wsgi_buffer_t out = {0};
        wsgi_wire_store_t store = {0};

        assert_int_equal(get_head_of(&head, &store, &out, &got), WSGI_E_PROTOCOL);
        wsgi_buffer_clear(&out, 0);
        free(store.items);
    }
    wsgi_wire_store_t store = {0};
    static const wsgi_bytes_t payloads[] = {
        {"\x63\0\0\0\0\0\0\0", 8},                   /* status 99 */
        {"\xe8\3\0\0\0\0\0\0", 8},                   /* status 1000 */
        {"\xc8\0\1\0\0\0\0\0\n", 9},                 /* reason "\n" */
        {"\xc8\0\1\0\0\0\0\0", 8},                   /* reason not there */
        {"\xc8\0\0\0\0\0\0\1", 8},                   /* 16 million fields */
        {"\xc8\0\0\0\1\0\0\0\1\0\1\0\0\0\0\0X", 17}, /* number and name */
        {"\xc8\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0", 16},  /* number without name */
    };
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        assert_int_equal(wsgi_wire_get_head(payloads[i], &store, &got), WSGI_E_PROTOCOL);
    }
    free(store.items);
}

static void test_head_limits(void **state)
{
    wsgi_buffer_t out = {0};
    static wsgi_field_t fields[WSGI_WIRE_FIELDS_MAX + 1];
    const wsgi_field_t long_name = {{big, UINT16_MAX + 1}, {"", 0}};
    const wsgi_field_t long_value = {{"X", 1}, {big, WSGI_WIRE_HEAD_MAX - 8 - 8}};
    const wsgi_field_t absurd_value = {{"X", 1}, {big, SIZE_MAX}};

    (void)state;
    for (size_t i = 0; i <= WSGI_WIRE_FIELDS_MAX; i++) {
        fields[i] = some_fields[0];
    }
    const struct {
        wsgi_head_t head;
        int code;
    } cases[] = {
        {{99, {"", 0}, NULL, 0}, WSGI_E_INVALID},
        {{1000, {"", 0}, NULL, 0}, WSGI_E_INVALID},
        {{200, {big, UINT16_MAX + 1}, NULL, 0}, WSGI_E_TOO_LARGE},
        {{200, {"", 0}, &long_name, 1}, WSGI_E_TOO_LARGE},
        {{200, {"", 0}, &long_value, 1}, WSGI_E_TOO_LARGE},
        {{200, {"", 0}, &absurd_value, 1}, WSGI_E_TOO_LARGE},
        {{200, {"", 0}, fields, WSGI_WIRE_FIELDS_MAX + 1}, WSGI_E_TOO_LARGE},
        {{200, {"", 0}, fields, WSGI_WIRE_FIELDS_MAX}, WSGI_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(wsgi_wire_put_head(&out, &cases[i].head), cases[i].code);
        assert_int_equal(out.len > 0, cases[i].code == WSGI_OK);
    }
    const wsgi_bytes_t one = WSGI_LITERAL("\0\0\1\0\0\0\0\0X"); /* field 4097 of a decoder */
    wsgi_wire_store_t store = {0};
    wsgi_head_t got;
    assert_int_equal(wsgi_buffer_append(&out, one.data, one.len), WSGI_OK);
    out.data[WSGI_WIRE_HEADER_BYTES + 4]++;
    const wsgi_bytes_t payload = {out.data + WSGI_WIRE_HEADER_BYTES,
                                  out.len - WSGI_WIRE_HEADER_BYTES};
    assert_int_equal(wsgi_wire_get_head(payload, &store, &got), WSGI_E_PROTOCOL);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

/* Without memory */

static int put_one_of_each(wsgi_buffer_t *out, unsigned which)
{
    const wsgi_request_t request = a_request();
    const wsgi_head_t head = {200, WSGI_LITERAL("OK"), some_fields, 3};

    switch (which) {
    case 0:
        return wsgi_wire_put(out, WSGI_FRAME_GONE, 0, (wsgi_bytes_t){NULL, 0});
    case 1:
        return wsgi_wire_put_hello(out, &(wsgi_hello_t){0});
    case 2:
        return wsgi_wire_put_request(out, 0, &request);
    case 3:
        return wsgi_wire_put_head(out, &head);
    case 4:
        return wsgi_wire_put_file(out, 0, &(wsgi_wire_file_t){0});
    case 5:
        return wsgi_wire_put_log(out, &(wsgi_wire_log_t){0});
    default:
        return wsgi_wire_put_number(out, WSGI_FRAME_ABORT, 0, 500);
    }
}

static void test_encoders_without_memory(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 7; which++) {
        wsgi_buffer_t out = {0};

        calls_until_failure = 1;
        assert_int_equal(put_one_of_each(&out, which), WSGI_E_NOMEM);
        assert_int_equal(out.len, 0);
        assert_int_equal(put_one_of_each(&out, which), WSGI_OK);
        wsgi_buffer_clear(&out, 0);
    }
}

static void test_decoders_without_memory(void **state)
{
    wsgi_buffer_t out = {0};
    wsgi_wire_store_t store = {0};
    wsgi_request_t request;
    wsgi_head_t head;

    (void)state;
    assert_int_equal(put_one_of_each(&out, 2), WSGI_OK);
    wsgi_bytes_t payload = the_frame(&out, WSGI_FRAME_REQUEST).payload;
    calls_until_failure = 1;
    assert_int_equal(wsgi_wire_get_request(payload, &store, &request), WSGI_E_NOMEM);
    assert_null(store.items);
    assert_int_equal(wsgi_wire_get_request(payload, &store, &request), WSGI_OK);
    wsgi_buffer_clear(&out, 0);
    free(store.items);

    store = (wsgi_wire_store_t){0};
    assert_int_equal(put_one_of_each(&out, 3), WSGI_OK);
    payload = the_frame(&out, WSGI_FRAME_HEAD).payload;
    calls_until_failure = 1;
    assert_int_equal(wsgi_wire_get_head(payload, &store, &head), WSGI_E_NOMEM);
    assert_int_equal(wsgi_wire_get_head(payload, &store, &head), WSGI_OK);
    wsgi_buffer_clear(&out, 0);
    free(store.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_take_tells_what_is_missing),
        cmocka_unit_test(test_take_leaves_the_next_frame),
        cmocka_unit_test(test_take_refuses_by_the_header_alone),
        cmocka_unit_test(test_take_refuses_reserved_bits),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_too_large_leaves_out_as_it_was),
        cmocka_unit_test(test_request_round_trip),
        cmocka_unit_test(test_smallest_request),
        cmocka_unit_test(test_name_of_a_numbered_variable_stays_at_home),
        cmocka_unit_test(test_request_of_wrong_length),
        cmocka_unit_test(test_request_with_a_wrong_byte),
        cmocka_unit_test(test_request_limits),
        cmocka_unit_test(test_request_beyond_the_limits_of_a_decoder),
        cmocka_unit_test(test_head_round_trip),
        cmocka_unit_test(test_head_of_wrong_length),
        cmocka_unit_test(test_head_of_a_hostile_daemon),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_encoders_without_memory),
        cmocka_unit_test(test_decoders_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
