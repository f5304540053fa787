/* tests/unit/proxy/test_download.c — what a worker may send, when, and what becomes of it; all else
 * ends the request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include "wsgi_field.h"

#include <fcntl.h>
#include <sys/mman.h>

#define BIT(name) WSGI_FRAME_BIT(WSGI_FRAME_##name)

static int file_of(const char *text)
{
    const int fd = memfd_create("answer", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

/* Grammar: each type in each phase of an answer. */

enum phase {
    BEFORE_HELLO,
    AFTER_HELLO,
    AFTER_CONTINUE,
    AFTER_HEAD,
    AFTER_BOTH,
    AFTER_DATA,
    PHASE_COUNT
};

static const struct {
    const char *name;
    uint32_t allowed; /* as docs/wire.md has it */
    bool is_cut;      /* the head has left */
} phases[PHASE_COUNT] = {
    [BEFORE_HELLO] = {"before HELLO", BIT(HELLO) | BIT(GOAWAY), false},
    [AFTER_HELLO] = {"after HELLO", BIT(GOAWAY) | BIT(LOG) | BIT(CONTINUE) | BIT(HEAD) | BIT(ABORT),
                     false},
    [AFTER_CONTINUE] = {"after CONTINUE", BIT(LOG) | BIT(HEAD) | BIT(ABORT), false},
    [AFTER_HEAD] = {"after HEAD",
                    BIT(LOG) | BIT(CONTINUE) | BIT(ABORT) | BIT(DATA) | BIT(FILE) | BIT(END),
                    false},
    [AFTER_BOTH] = {"after CONTINUE and HEAD",
                    BIT(LOG) | BIT(ABORT) | BIT(DATA) | BIT(FILE) | BIT(END), false},
    [AFTER_DATA] = {"after DATA",
                    BIT(LOG) | BIT(CONTINUE) | BIT(ABORT) | BIT(DATA) | BIT(FILE) | BIT(END), true},
};

static void play_until(stage_t *s, enum phase phase)
{
    recorder_set_body(&s->client, "body", 4, 0);
    stage_begin(s);
    worker_takes(s);
    if (phase >= AFTER_HELLO) {
        say_hello(s);
    }
    if (phase == AFTER_CONTINUE || phase == AFTER_BOTH) {
        say(s, WSGI_FRAME_CONTINUE, 0, NOTHING);
    }
    if (phase >= AFTER_HEAD) {
        say_head(s, 200, NULL);
    }
    if (phase == AFTER_DATA) {
        say_data(s, "part", WSGI_FRAME_FLAG_FLUSH);
    }
    worker_speaks(s);
    assert_true(s->is_running);
}

static void say_legal_frame(stage_t *s, unsigned type)
{
    const wsgi_request_t request = {.body_length = 0};

    switch (type) {
    case WSGI_FRAME_HELLO:
        say_hello(s);
        break;
    case WSGI_FRAME_REQUEST:
        assert_int_equal(wsgi_wire_put_request(&s->says, 0, &request), WSGI_OK);
        break;
    case WSGI_FRAME_BODY_END:
    case WSGI_FRAME_ABORT:
        say_number(s, type, 501);
        break;
    case WSGI_FRAME_HEAD:
        say_head(s, 200, NULL);
        break;
    case WSGI_FRAME_HINT:
        say(s, type, 0, (wsgi_bytes_t){"\x67\0\0\0\0\0\0\0", 8});
        break;
    case WSGI_FRAME_BODY:
    case WSGI_FRAME_DATA:
        say(s, type, 0, WSGI_LITERAL("bytes"));
        break;
    case WSGI_FRAME_FILE:
        say_file(s, 0, 4);
        break;
    case WSGI_FRAME_LOG:
        say_log(s, WSGI_LOG_INFO, "line");
        break;
    default:
        say(s, type, 0, NOTHING);
    }
}

static void assert_refused_as(stage_t *s, bool is_cut)
{
    if (is_cut) {
        assert_cut(s, WSGI_E_PROTOCOL);
    }
    else {
        assert_failed(s, WSGI_E_PROTOCOL, 502);
    }
    assert_nobody_asked(s);
}

static void check_frame(stage_t *s, enum phase phase, unsigned type, const int *file)
{
    const bool is_allowed = (phases[phase].allowed & WSGI_FRAME_BIT(type)) != 0;
    const bool is_end = type == WSGI_FRAME_END || type == WSGI_FRAME_ABORT;

    play_until(s, phase);
    say_legal_frame(s, type);
    worker_speaks_with(s, file, type == WSGI_FRAME_FILE ? 1 : 0);
    if (s->p->code != (is_allowed ? WSGI_OK : WSGI_E_PROTOCOL) ||
        s->is_running != (is_allowed && !is_end)) {
        fail_msg("%s %s: %s", wsgi_wire_type_name(type), phases[phase].name,
                 wsgi_strerror(s->p->code));
    }
    if (!is_allowed) {
        assert_refused_as(s, phases[phase].is_cut);
        assert_detail(s, wsgi_wire_type_name(type));
    }
    stage_again(s);
}

static void test_each_frame_in_each_phase(void **state)
{
    int file = file_of("file");

    for (enum phase phase = 0; phase < PHASE_COUNT; phase++) {
        for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
            check_frame(*state, phase, type, &file);
        }
    }
    wsgi_fd_close(&file);
}

static void say_bytes(stage_t *s, const char *bytes, size_t len)
{
    assert_int_equal(wsgi_buffer_append(&s->says, bytes, len), WSGI_OK);
}

static void test_illegal_headers(void **state)
{
    static const char headers[][WSGI_WIRE_HEADER_BYTES] = {
        {0, 0, 0, 0, 0, 0, 0, 0},                        /* no type */
        {0, 0, 0, 0, WSGI_FRAME_COUNT, 0, 0, 0},         /* unknown */
        {0, 0, 0, 0, (char)0xff, 0, 0, 0},               /* unknown */
        {1, 0, 0, 0, WSGI_FRAME_CONTINUE, 0, 0, 0},      /* too long */
        {1, 0, 1, 0, WSGI_FRAME_DATA, 0, 0, 0},          /* too long: 64 Ki and 1 */
        {0, 0, 0, (char)0x80, WSGI_FRAME_DATA, 0, 0, 0}, /* 2 Gi */
        {7, 0, 0, 0, WSGI_FRAME_HEAD, 0, 0, 0},          /* too short */
        {3, 0, 0, 0, WSGI_FRAME_ABORT, 0, 0, 0},         /* too short */
        {0, 0, 0, 0, WSGI_FRAME_DATA, 1, 0, 0},          /* a flag of another type */
        {0, 0, 0, 0, WSGI_FRAME_DATA, 8, 0, 0},          /* a flag of none */
        {0, 0, 0, 0, WSGI_FRAME_DATA, 0, 1, 0},          /* not zero */
        {0, 0, 0, 0, WSGI_FRAME_DATA, 0, 0, (char)0x80}, /* not zero */
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        for (enum phase phase = BEFORE_HELLO; phase < PHASE_COUNT; phase++) {
            play_until(s, phase);
            say_bytes(s, headers[i], sizeof(headers[i])); /* refused before any payload */
            worker_speaks(s);
            assert_refused_as(s, phases[phase].is_cut);
            stage_again(s);
        }
    }
}

static void test_garbage(void **state)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "Traceback (most recent call last):\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (enum phase phase = BEFORE_HELLO; phase < PHASE_COUNT; phase++) {
            play_until(s, phase);
            say_bytes(s, texts[i], strlen(texts[i]));
            worker_speaks(s);
            assert_refused_as(s, phases[phase].is_cut);
            stage_again(s);
        }
    }
}

static void test_what_follows_the_end_is_not_read(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "2");
    say_data(s, "hi", 0);
    say_end(s);
    say_data(s, "evil", 0);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "hi");
}

static void test_byte_by_byte(void **state)
{
    stage_t *s = *state;
    wsgi_buffer_t all;

    stage_begin(s);
    worker_takes(s);
    say_hello(s);
    say_log(s, WSGI_LOG_ERR, "a line");
    say_head(s, 200, "10");
    say_data(s, "01234", 0);
    say_data(s, "56789", WSGI_FRAME_FLAG_FLUSH);
    say_end(s);
    all = s->says;
    s->says = (wsgi_buffer_t){0};
    for (size_t i = 0; i < all.len; i++) {
        assert_true(s->is_running);
        say_bytes(s, all.data + i, 1);
        worker_speaks(s);
    }
    assert_done(s, "0123456789");
    assert_int_equal(s->client.log_calls, 1);
    wsgi_buffer_clear(&all, 0);
}

/* HEAD */

static void test_status_of_a_head(void **state)
{
    static const struct {
        unsigned status;
        bool is_legal;
    } cases[] = {
        {100, false}, {101, false}, {103, false}, {199, false}, {200, true}, {204, true},
        {299, true},  {304, true},  {404, true},  {500, true},  {600, true}, {999, true},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_relay(s);
        say_head(s, cases[i].status, NULL);
        worker_speaks(s);
        if (cases[i].is_legal) {
            assert_running(s, WSGI_PROXY_RELAY);
            assert_int_equal(s->client.status, cases[i].status);
        }
        else {
            assert_failed(s, WSGI_E_PROTOCOL, 502);
            assert_int_equal(s->client.head_calls, 0);
        }
        stage_again(s);
    }
}

static void test_length_of_a_head(void **state)
{
    static const struct {
        const char *length;
        bool is_legal;
    } cases[] = {
        {"0", true},   {"17", true},   {"9223372036854775807", true},
        {"-1", false}, {"1x", false},  {"9223372036854775808", false},
        {"", false},   {"1 2", false}, {"0x10", false},
        {"+1", false}, {"1,1", false}, {"99999999999999999999999999", false},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_relay(s);
        say_head(s, 200, cases[i].length);
        worker_speaks(s);
        if (cases[i].is_legal) {
            assert_running(s, WSGI_PROXY_RELAY);
        }
        else {
            assert_failed(s, WSGI_E_PROTOCOL, 502);
            assert_int_equal(s->client.head_calls, 0);
        }
        stage_again(s);
    }
}

/* What the encoder would refuse, made by hand. */
static void test_texts_of_a_head(void **state)
{
    static const struct {
        char from, to;
    } cases[] = {{'F', '\r'}, {'F', '\n'}, {'F', '\0'}, {'C', ' '}, {'C', ':'}, {'/', '\n'}};
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_relay(s);
        say_head(s, 200, "2");
        char *at = memchr(s->says.data, cases[i].from, s->says.len);
        assert_non_null(at);
        *at = cases[i].to;
        worker_speaks(s);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        assert_int_equal(s->client.head_calls, 0);
        stage_again(s);
    }
}

static void test_head_that_the_host_refuses(void **state)
{
    static const struct {
        int said, code;
        unsigned status;
    } cases[] = {
        {WSGI_E_INVALID, WSGI_E_PROTOCOL, 502},
        {WSGI_E_NOMEM, WSGI_E_NOMEM, 500},
        {WSGI_E_IO, WSGI_E_IO, 500},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s->client.head_code = cases[i].said;
        stage_relay(s);
        say_head(s, 200, NULL);
        worker_speaks(s);
        assert_failed(s, cases[i].code, cases[i].status);
        stage_again(s);
    }
}

static void test_largest_head(void **state)
{
    enum { FIELDS = 16, SIZE = 65000 };
    stage_t *s = *state;
    char *value = malloc(SIZE);
    wsgi_field_t fields[FIELDS];
    const wsgi_head_t head = {200, WSGI_LITERAL("Fine"), fields, FIELDS};

    assert_non_null(value);
    memset(value, 'v', SIZE);
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = (wsgi_field_t){WSGI_LITERAL("X-Large"), {value, SIZE}};
    }
    stage_relay(s);
    assert_int_equal(wsgi_wire_put_head(&s->says, &head), WSGI_OK);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "");
    wsgi_proxy_release(s->p);
    assert_true(s->p->in.capacity <= WSGI_PROXY_IN_MOST); /* a spare does not keep it */
    free(value);
}

/* DATA: when the client sees it */

static void assert_flags(const recorder_t *r, const char *expected)
{
    static const char letters[] = {
        [WSGI_SEND_MORE] = 'M', [WSGI_SEND_LAST] = 'L', [WSGI_SEND_HOLD] = 'H'};
    char got[RECORDED_MOST + 1] = "";

    for (size_t i = 0; i < r->send_calls; i++) {
        got[i] = letters[r->flags[i]];
    }
    assert_string_equal(got, expected);
}

enum { FLUSH = WSGI_FRAME_FLAG_FLUSH };

static void test_flushed_data_is_seen_at_once(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    worker_speaks(s);
    say_data(s, "b", FLUSH);
    worker_speaks(s);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "ab");
    assert_flags(&s->client, "MM");
}

static void test_data_without_flush_is_held(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", 0);
    worker_speaks(s);
    assert_flags(&s->client, "H");
    assert_false(s->client.ex.head_sent);
}

static void test_data_with_more_behind_it_is_held(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    say_data(s, "b", FLUSH);
    say_data(s, "c", FLUSH);
    worker_speaks(s);
    assert_flags(&s->client, "HHM");
}

static void test_data_with_part_of_a_frame_behind_it_is_seen(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    say_data(s, "b", FLUSH);
    s->says.len--;
    worker_speaks(s);
    assert_flags(&s->client, "M");
}

static void test_last_data_goes_with_the_end(void **state)
{
    static const char *const lengths[] = {NULL, "2"};
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        stage_relay(s);
        say_head(s, 200, lengths[i]);
        say_data(s, "a", FLUSH);
        say_data(s, "b", FLUSH);
        say_end(s);
        worker_speaks(s);
        assert_done(s, "ab");
        assert_flags(&s->client, "HL");
        stage_again(s);
    }
}

static void test_a_line_for_the_log_does_not_hold_data(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    say_log(s, WSGI_LOG_INFO, "line");
    worker_speaks(s);
    assert_flags(&s->client, "M");
}

static void test_empty_data_is_nothing(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "0");
    say_data(s, "", FLUSH);
    say_data(s, "", 0);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "");
    assert_int_equal(s->client.send_calls, 0);
}

static void test_large_answer(void **state)
{
    enum { SIZE = 3 << 20 };
    stage_t *s = *state;
    char *body = malloc(SIZE);

    assert_non_null(body);
    for (size_t i = 0; i < SIZE; i++) {
        body[i] = (char)(i * 2654435761u >> 24);
    }
    stage_relay(s);
    say_head(s, 200, "3145728");
    for (size_t at = 0; at < SIZE; at += WSGI_WIRE_DATA_MAX) {
        say(s, WSGI_FRAME_DATA, 0, (wsgi_bytes_t){body + at, WSGI_WIRE_DATA_MAX});
    }
    say_end(s);
    worker_speaks(s);
    assert_false(s->is_running);
    assert_int_equal(s->client.outcome, WSGI_DONE);
    assert_int_equal(s->client.sent.len, SIZE);
    assert_memory_equal(s->client.sent.data, body, SIZE);
    assert_true(s->p->in.capacity <= WSGI_PROXY_IN_MOST);
    free(body);
}

static void test_client_that_does_not_take_data(void **state)
{
    static const int codes[] = {WSGI_E_GONE, WSGI_E_IO};
    static const unsigned statuses[] = {400, 500};
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        stage_relay(s);
        s->client.send_code = codes[i];
        say_head(s, 200, NULL);
        say_data(s, "a", FLUSH);
        say_data(s, "b", FLUSH);
        worker_speaks(s);
        assert_failed(s, codes[i], statuses[i]);
        assert_int_equal(s->client.send_calls, 1);
        stage_again(s);
    }
}

static void test_client_that_goes_away_in_the_answer(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    worker_speaks(s);
    s->client.send_code = WSGI_E_GONE;
    say_data(s, "b", FLUSH);
    worker_speaks(s);
    assert_cut(s, WSGI_E_GONE);
    worker_hears_request(s);
    assert_let_go(s);
}

/* Content-Length */

static void test_more_than_the_length(void **state)
{
    static const struct {
        const char *chunks[3]; /* of an answer of 3 bytes */
        bool is_together;      /* with END behind the last */
    } cases[] = {
        {{"abcd"}, false},    {{"abcd"}, true},          {{"abc", "d"}, false},
        {{"abc", "d"}, true}, {{"ab", "cd", "e"}, true},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_relay(s);
        say_head(s, 200, "3");
        for (size_t j = 0; j < 3 && cases[i].chunks[j] != NULL; j++) {
            say_data(s, cases[i].chunks[j], FLUSH);
        }
        if (cases[i].is_together) {
            say_end(s);
        }
        worker_speaks(s);
        assert_ended(s, WSGI_E_PROTOCOL);
        assert_detail(s, "more than the Content-Length");
        assert_int_equal(s->client.sent.len, 3);
        assert_memory_equal(s->client.sent.data, "abc", 3);
        stage_again(s);
    }
}

static void test_no_byte_where_the_length_is_zero(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "0");
    say_data(s, "a", FLUSH);
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
    assert_int_equal(s->client.send_calls, 0);
}

static void test_less_than_the_length(void **state)
{
    stage_t *s = *state;

    for (unsigned is_together = 0; is_together < 2; is_together++) {
        stage_relay(s);
        say_head(s, 200, "3");
        say_data(s, "ab", FLUSH);
        if (is_together == 0) {
            worker_speaks(s);
        }
        say_end(s);
        worker_speaks(s);
        assert_cut(s, WSGI_E_PROTOCOL); /* or the client would wait for the third */
        assert_detail(s, "less than the Content-Length");
        stage_again(s);
    }
}

static void test_nothing_of_the_length(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "3");
    say_end(s);
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
}

static void test_answers_without_a_body_may_announce_one(void **state)
{
    static const struct {
        const char *method;
        unsigned status;
        bool is_done;
    } cases[] = {
        {"GET", 204, true},  {"GET", 304, true},    {"HEAD", 200, true},  {"HEAD", 404, true},
        {"GET", 205, false}, {"HEADS", 200, false}, {"head", 200, false},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsgi_var_t method = {
            WSGI_META_REQUEST_METHOD, {"", 0}, {cases[i].method, strlen(cases[i].method)}};
        s->client.ex.request.vars = &method;
        s->client.ex.request.var_count = 1;
        stage_relay(s);
        say_head(s, cases[i].status, "3");
        say_end(s);
        worker_speaks(s);
        if (cases[i].is_done) {
            assert_done(s, "");
        }
        else {
            assert_failed(s, WSGI_E_PROTOCOL, 502);
        }
        stage_again(s);
    }
}

static void test_the_last_of_two_lengths_counts(void **state)
{
    static const wsgi_field_t fields[] = {
        {WSGI_LITERAL("Content-Length"), WSGI_LITERAL("9")},
        {WSGI_LITERAL("Content-Length"), WSGI_LITERAL("2")},
    };
    const wsgi_head_t head = {200, WSGI_LITERAL(""), fields, 2};
    stage_t *s = *state;

    stage_relay(s);
    assert_int_equal(wsgi_wire_put_head(&s->says, &head), WSGI_OK);
    say_data(s, "hi", 0);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "hi");
}

static void test_lengths_do_not_pass_to_the_next_request(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "1000");
    worker_speaks(s);
    stage_again(s);
    stage_relay(s);
    say_head(s, 200, NULL);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "");
}

/* FILE */

static void relay_head(stage_t *s, const char *length)
{
    stage_relay(s);
    say_head(s, 200, length);
    worker_speaks(s);
}

static void test_file(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    stage_relay(s);
    say_head(s, 200, "8");
    say_file(s, 2, 5);
    worker_speaks_with(s, &file, 1);
    say_file(s, 0, 3);
    say_end(s);
    worker_speaks_with(s, &file, 1);
    assert_done(s, "23456012");
    assert_int_equal(s->client.file_calls, 2);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 10); /* nobody moves an offset that is shared */
    wsgi_fd_close(&file);
}

static void test_empty_file(void **state)
{
    stage_t *s = *state;
    int file = file_of("");

    relay_head(s, "0");
    say_file(s, 0, 0);
    say_end(s);
    worker_speaks_with(s, &file, 1);
    assert_done(s, "");
    assert_int_equal(s->client.file_calls, 0);
    wsgi_fd_close(&file);
}

static void test_file_that_has_not_the_bytes(void **state)
{
    static const wsgi_wire_file_t cases[] = {
        {0, 11}, {10, 1}, {11, 0}, {9, 2}, {INT64_MAX - 1, 1}, {0, INT64_MAX}, {INT64_MAX, 0},
    };
    stage_t *s = *state;
    int file = file_of("0123456789");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_head(s, NULL);
        say_file(s, cases[i].offset, cases[i].length);
        worker_speaks_with(s, &file, 1);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        assert_int_equal(s->client.file_calls, 0);
        stage_again(s);
    }
    wsgi_fd_close(&file);
}

static void test_file_of_impossible_numbers(void **state)
{
    static const int64_t cases[][2] = {{-1, 1}, {0, -1}, {INT64_MAX, 1}, {1, INT64_MAX}};
    stage_t *s = *state;
    int file = file_of("0123456789");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_head(s, NULL);
        say(s, WSGI_FRAME_FILE, 0, (wsgi_bytes_t){(const char *)cases[i], sizeof(cases[i])});
        worker_speaks_with(s, &file, 1);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        stage_again(s);
    }
    wsgi_fd_close(&file);
}

static void test_file_that_is_none(void **state)
{
    stage_t *s = *state;
    int pipe_ends[2];

    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    int others[] = {
        pipe_ends[0],
        pipe_ends[1],
        open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        open("/dev/zero", O_RDONLY | O_CLOEXEC),
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        open("/proc/self/exe", O_PATH | O_CLOEXEC), /* opened anew it could be read by us */
        open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600),
    };
    assert_true(others[5] >= 0 && others[6] >= 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        relay_head(s, NULL);
        say_file(s, 0, 0);
        worker_speaks_with(s, &others[i], 1);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        assert_detail(s, "not regular");
        stage_again(s);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        wsgi_fd_close(&others[i]);
    }
}

static void test_file_without_a_descriptor(void **state)
{
    stage_t *s = *state;

    relay_head(s, NULL);
    say_file(s, 0, 0);
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
    assert_detail(s, "without a descriptor");
}

static void test_one_descriptor_serves_one_file(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    relay_head(s, NULL);
    say_file(s, 0, 2);
    say_file(s, 2, 2);
    worker_speaks_with(s, &file, 1);
    assert_cut(s, WSGI_E_PROTOCOL);
    assert_int_equal(s->client.sent.len, 2);
    wsgi_fd_close(&file);
}

static void test_descriptors_that_nobody_asked_for(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    relay_head(s, NULL);
    say_data(s, "a", FLUSH);
    worker_speaks_with(s, &file, 1); /* could still be early for its FILE */
    assert_running(s, WSGI_PROXY_RELAY);
    say_data(s, "b", FLUSH);
    worker_speaks_with(s, &file, 1);
    assert_cut(s, WSGI_E_PROTOCOL);
    assert_detail(s, "a descriptor that nobody asked for");
    wsgi_fd_close(&file);
}

static void test_a_descriptor_before_hello_is_closed_with_the_request(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    stage_begin(s);
    worker_takes(s);
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    worker_speaks_with(s, &file, 1);
    worker_takes(s);
    say_hello(s);
    say_head(s, 200, NULL);
    say_file(s, 0, 1); /* the other worker's must not serve this one */
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
    wsgi_fd_close(&file);
}

static void test_several_descriptors_in_one_message(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");
    const int fds[] = {file, file, file};

    relay_head(s, NULL);
    say_file(s, 0, 2);
    say_end(s);
    worker_speaks_with(s, fds, 3); /* the first is used, none leaks */
    assert_done(s, "01");
    wsgi_fd_close(&file);
}

static void test_no_room_for_the_descriptor(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    relay_head(s, NULL);
    say_file(s, 0, 2);
    assert_int_equal(worker_sends(s, 0, &file, 1), s->says.len);
    const struct rlimit before = exhaust_descriptors();
    s->p->ready |= WSGI_READY_WORKER_READ;
    s->is_running = wsgi_proxy_step(s->p, s->now_us);
    give_descriptors_back(before);
    assert_failed(s, WSGI_E_IO, 500);
    assert_detail(s, "raise the limit of open files");
    wsgi_fd_close(&file);
}

static void test_file_beyond_the_length(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    relay_head(s, "3");
    say_file(s, 0, 5);
    say_end(s);
    worker_speaks_with(s, &file, 1);
    assert_cut(s, WSGI_E_PROTOCOL);
    assert_int_equal(s->client.sent.len, 3);
    wsgi_fd_close(&file);
}

static void test_file_with_its_head_in_many_pieces(void **state)
{
    enum { SIZE = 60000 };
    stage_t *s = *state;
    int file = file_of("0123456789");
    char *value = malloc(SIZE);
    wsgi_field_t fields[8];
    const wsgi_head_t head = {200, WSGI_LITERAL(""), fields, 8};

    assert_non_null(value);
    memset(value, 'v', SIZE);
    for (size_t i = 0; i < 8; i++) {
        fields[i] = (wsgi_field_t){WSGI_LITERAL("X-Large"), {value, SIZE}};
    }
    stage_relay(s);
    assert_int_equal(wsgi_wire_put_head(&s->says, &head), WSGI_OK);
    say_file(s, 3, 4);
    worker_speaks_with(s, &file, 1); /* it comes with the first byte of HEAD */
    say_file(s, 0, 1);
    say_data(s, "!", 0);
    say_end(s);
    worker_speaks_with(s, &file, 1);
    assert_done(s, "34560!");
    free(value);
    wsgi_fd_close(&file);
}

/* The second descriptor must not arrive before the first has found its frame. */
static void test_files_that_come_in_pieces(void **state)
{
    stage_t *s = *state;
    int files[] = {file_of("first"), file_of("second")};

    relay_head(s, NULL);
    say_file(s, 0, 5);
    const size_t whole = s->says.len;
    s->says.len = 10;
    assert_int_equal(worker_sends(s, 0, &files[0], 1), 10);
    stage_settle(s);
    s->says.len = whole;
    assert_int_equal(worker_sends(s, 10, NULL, 0), whole - 10);
    s->says.len = 0;
    say_file(s, 0, 6);
    say_end(s);
    worker_speaks_with(s, &files[1], 1);
    assert_done(s, "firstsecond");
    wsgi_fd_close(&files[0]);
    wsgi_fd_close(&files[1]);
}

static void test_client_that_does_not_take_a_file(void **state)
{
    stage_t *s = *state;
    int file = file_of("0123456789");

    s->client.send_code = WSGI_E_GONE;
    relay_head(s, NULL);
    say_file(s, 0, 5);
    worker_speaks_with(s, &file, 1);
    assert_failed(s, WSGI_E_GONE, 400);
    wsgi_fd_close(&file);
}

/* LOG */

static void test_lines_pass_through(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_log(s, WSGI_LOG_ERR, "something happened");
    worker_speaks(s);
    assert_int_equal(s->client.log_level, WSGI_LOG_ERR);
    assert_string_equal(s->client.log_text, "something happened");
    say_head(s, 200, NULL);
    say_data(s, "a", FLUSH);
    say_log(s, WSGI_LOG_DEBUG, "and more of it");
    say_end(s);
    worker_speaks(s);
    assert_int_equal(s->client.log_calls, 2);
    assert_string_equal(s->client.log_text, "and more of it");
    assert_done(s, "a");
}

static void test_level_of_a_line_is_clamped(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_log(s, WSGI_LOG_ERR, "emergency");
    s->says.data[WSGI_WIRE_HEADER_BYTES] = 0;
    worker_speaks(s);
    assert_int_equal(s->client.log_level, WSGI_LOG_CRIT);
}

static void test_illegal_lines(void **state)
{
    static const wsgi_bytes_t payloads[] = {
        WSGI_LITERAL("\3\0\0\0\0\0\0\0\0\0\0\0\0two\0lines\0"),
        WSGI_LITERAL("\3\0\0\0\0\0\0\0\0\0\0\0\0no end"),
    };
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        stage_relay(s);
        say(s, WSGI_FRAME_LOG, 0, payloads[i]);
        worker_speaks(s);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        assert_int_equal(s->client.log_calls, 0);
        stage_again(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        stage_test(test_each_frame_in_each_phase),
        stage_test(test_illegal_headers),
        stage_test(test_garbage),
        stage_test(test_what_follows_the_end_is_not_read),
        stage_test(test_byte_by_byte),
        stage_test(test_status_of_a_head),
        stage_test(test_length_of_a_head),
        stage_test(test_texts_of_a_head),
        stage_test(test_head_that_the_host_refuses),
        stage_test(test_largest_head),
        stage_test(test_flushed_data_is_seen_at_once),
        stage_test(test_data_without_flush_is_held),
        stage_test(test_data_with_more_behind_it_is_held),
        stage_test(test_data_with_part_of_a_frame_behind_it_is_seen),
        stage_test(test_last_data_goes_with_the_end),
        stage_test(test_a_line_for_the_log_does_not_hold_data),
        stage_test(test_empty_data_is_nothing),
        stage_test(test_large_answer),
        stage_test(test_client_that_does_not_take_data),
        stage_test(test_client_that_goes_away_in_the_answer),
        stage_test(test_more_than_the_length),
        stage_test(test_no_byte_where_the_length_is_zero),
        stage_test(test_less_than_the_length),
        stage_test(test_nothing_of_the_length),
        stage_test(test_answers_without_a_body_may_announce_one),
        stage_test(test_the_last_of_two_lengths_counts),
        stage_test(test_lengths_do_not_pass_to_the_next_request),
        stage_test(test_file),
        stage_test(test_empty_file),
        stage_test(test_file_that_has_not_the_bytes),
        stage_test(test_file_of_impossible_numbers),
        stage_test(test_file_that_is_none),
        stage_test(test_file_without_a_descriptor),
        stage_test(test_one_descriptor_serves_one_file),
        stage_test(test_descriptors_that_nobody_asked_for),
        stage_test(test_a_descriptor_before_hello_is_closed_with_the_request),
        stage_test(test_several_descriptors_in_one_message),
        stage_test(test_no_room_for_the_descriptor),
        stage_test(test_file_beyond_the_length),
        stage_test(test_file_with_its_head_in_many_pieces),
        stage_test(test_files_that_come_in_pieces),
        stage_test(test_client_that_does_not_take_a_file),
        stage_test(test_lines_pass_through),
        stage_test(test_level_of_a_line_is_clamped),
        stage_test(test_illegal_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
