/* tests/unit/proxy/test_upload.c — the request and its body on their way to the worker, and a client
 * that is slow, silent, gone, or talks while it is talked to.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

enum { FIRST_MOST = WSGI_WIRE_DATA_MAX, LARGE = 1 << 20 };

static char *large_body(void)
{
    char *body = malloc(LARGE);

    assert_non_null(body);
    for (size_t i = 0; i < LARGE; i++) {
        body[i] = (char)(i * 2654435761u >> 24);
    }
    return body;
}

static void continue_body(stage_t *s)
{
    say(s, WSGI_FRAME_CONTINUE, 0, NOTHING);
    worker_speaks(s);
}

static void answer(stage_t *s)
{
    say_head(s, 200, NULL);
    say_data(s, "ok", 0);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "ok");
}

/* What the worker gets with REQUEST. */

static bool is_included(const wsgi_request_t *request)
{
    return (request->flags & WSGI_REQUEST_BODY_INCLUDED) != 0;
}

static bool says_tellme(stage_t *s, wsgi_request_t *request)
{
    wsgi_frame_t frame;

    worker_takes(s);
    assert_true(worker_hears_any(s, &frame));
    assert_int_equal(frame.type, WSGI_FRAME_REQUEST);
    assert_int_equal(wsgi_wire_get_request(frame.payload, &s->store, request), WSGI_OK);
    return (frame.flags & WSGI_FRAME_FLAG_TELLME) != 0;
}

static void test_first_part(void **state)
{
    static const struct {
        size_t len, arrived, read_most, first;
        uint32_t flags;
        bool is_announced, is_whole;
    } cases[] = {
        {0, 0, 0, 0, 0, true, true},
        {5, 5, 0, 5, 0, true, true},
        {5, 5, 2, 5, 0, true, true},
        {5, 3, 0, 3, 0, true, false},
        {5, 0, 0, 0, 0, true, false},
        {5, 5, 0, 0, WSGI_REQUEST_EXPECT, true, false},
        {FIRST_MOST, FIRST_MOST, 0, FIRST_MOST, 0, true, true},
        {FIRST_MOST, FIRST_MOST - 1, 0, FIRST_MOST - 1, 0, true, false},
        {FIRST_MOST + 1, FIRST_MOST + 1, 0, 0, 0, true, false},
        {0, 0, 0, 0, 0, false, true},
        {5, 5, 0, 5, 0, false, true},
        {5, 4, 0, 4, 0, false, false},
        {5, 5, 0, 0, WSGI_REQUEST_EXPECT, false, false},
        {FIRST_MOST - 1, FIRST_MOST - 1, 0, FIRST_MOST - 1, 0, false, true},
        {FIRST_MOST, FIRST_MOST, 0, FIRST_MOST, 0, false, false}, /* its end is not known yet */
    };
    stage_t *s = *state;
    char *body = large_body();
    wsgi_request_t request;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        recorder_set_body(&s->client, body, cases[i].len, cases[i].arrived);
        s->client.read_most = cases[i].read_most;
        s->client.ex.request.flags = cases[i].flags;
        if (!cases[i].is_announced) {
            s->client.ex.request.body_length = WSGI_BODY_UNKNOWN;
        }
        stage_begin(s);
        assert_int_equal(says_tellme(s, &request), !cases[i].is_whole);
        assert_int_equal(is_included(&request), cases[i].is_whole);
        assert_int_equal(request.body_length, s->client.ex.request.body_length);
        assert_int_equal(request.body_first.len, cases[i].first);
        assert_memory_equal(request.body_first.data, body, cases[i].first);
        assert_int_equal(s->client.ex.bytes_in, cases[i].first);
        stage_again(s);
    }
    free(body);
}

static void test_first_part_is_sent_to_each_worker_again(void **state)
{
    stage_t *s = *state;
    wsgi_request_t request;

    recorder_set_body(&s->client, "abcdef", 6, 3);
    stage_begin(s);
    assert_true(says_tellme(s, &request));
    s->client.arrived = 6;
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    worker_speaks(s);
    assert_true(says_tellme(s, &request));
    assert_int_equal(request.body_first.len, 3);
    say_hello(s);
    worker_speaks(s);
    continue_body(s);
    const wsgi_bytes_t rest = worker_hears(s, WSGI_FRAME_BODY);
    assert_int_equal(rest.len, 3);
    assert_memory_equal(rest.data, "def", 3);
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    answer(s);
}

static void test_request_that_is_too_large(void **state)
{
    stage_t *s = *state;
    const size_t len = WSGI_WIRE_REQUEST_MAX;
    char *text = malloc(len);
    const wsgi_var_t var = {0, WSGI_LITERAL("HTTP_X_LARGE"), {text, len}};

    assert_non_null(text);
    memset(text, 'x', len);
    s->client.ex.request.vars = &var;
    s->client.ex.request.var_count = 1;
    stage_begin(s);
    assert_failed(s, WSGI_E_TOO_LARGE, 431);
    assert_detail(s, "LimitRequestFields");
    assert_nobody_asked(s);
    free(text);
}

static void test_request_that_does_not_fit_into_the_pair_at_once(void **state)
{
    stage_t *s = *state;
    const size_t len = 3 << 20;
    char *text = malloc(len);
    const wsgi_var_t var = {0, WSGI_LITERAL("HTTP_X_LARGE"), {text, len}};
    wsgi_frame_t frame;

    assert_non_null(text);
    memset(text, 'x', len);
    s->client.ex.request.vars = &var;
    s->client.ex.request.var_count = 1;
    stage_begin(s);
    worker_takes(s);
    assert_int_equal(wait_now(s).worker_events, POLLIN | POLLOUT);
    say_hello(s);
    worker_speaks(s);
    while (!worker_hears_any(s, &frame)) {
        stage_settle(s);
    }
    wsgi_request_t request;
    assert_int_equal(wsgi_wire_get_request(frame.payload, &s->store, &request), WSGI_OK);
    assert_int_equal(request.vars[0].value.len, len);
    assert_int_equal(wait_now(s).worker_events, POLLIN);
    answer(s);
    free(text);
}

static void test_continue_before_the_request_is_read(void **state)
{
    stage_t *s = *state;
    const size_t len = 3 << 20;
    char *text = malloc(len);
    const wsgi_var_t var = {0, WSGI_LITERAL("HTTP_X_LARGE"), {text, len}};

    assert_non_null(text);
    memset(text, 'x', len);
    s->client.ex.request.vars = &var;
    s->client.ex.request.var_count = 1;
    recorder_set_body(&s->client, "body", 4, 0);
    stage_relay(s);
    continue_body(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
    free(text);
}

/* CONTINUE */

static void test_continue_for_a_body_that_is_there(void **state)
{
    stage_t *s = *state;

    for (size_t len = 0; len < 5; len += 4) {
        recorder_set_body(&s->client, "body", len, len);
        stage_relay(s);
        continue_body(s);
        assert_failed(s, WSGI_E_PROTOCOL, 502);
        assert_detail(s, "asked for a request body that it has");
        stage_again(s);
    }
}

static void test_nothing_is_read_until_it_is_asked_for(void **state)
{
    stage_t *s = *state;
    char *body = large_body();

    recorder_set_body(&s->client, body, LARGE, LARGE);
    stage_relay(s);
    worker_hears_request(s);
    assert_worker_hears_nothing(s);
    assert_int_equal(wait_now(s).client_events, 0);
    answer(s); /* an answer that does not care */
    assert_int_equal(s->client.read_calls, 0);
    free(body);
}

static void take_whole_body(stage_t *s, wsgi_buffer_t *taken)
{
    wsgi_frame_t frame = {.type = WSGI_FRAME_BODY};

    while (frame.type == WSGI_FRAME_BODY) {
        while (!worker_hears_any(s, &frame)) {
            stage_settle(s);
        }
        if (frame.type == WSGI_FRAME_BODY) {
            assert_in_range(frame.payload.len, 1, WSGI_WIRE_DATA_MAX);
            assert_int_equal(wsgi_buffer_append(taken, frame.payload.data, frame.payload.len),
                             WSGI_OK);
        }
    }
    assert_int_equal(frame.type, WSGI_FRAME_BODY_END);
    assert_memory_equal(frame.payload.data, "\0\0\0\0", 4);
}

static void test_large_body(void **state)
{
    static const int64_t lengths[] = {LARGE, WSGI_BODY_UNKNOWN};
    stage_t *s = *state;
    char *body = large_body();

    for (size_t i = 0; i < 2; i++) {
        wsgi_buffer_t taken = {0};

        recorder_set_body(&s->client, body, LARGE, LARGE);
        s->client.read_most = 7777;
        s->client.ex.request.body_length = lengths[i];
        stage_relay(s);
        const wsgi_bytes_t first = worker_hears_request(s).body_first;
        assert_int_equal(wsgi_buffer_append(&taken, first.data, first.len), WSGI_OK);
        continue_body(s);
        take_whole_body(s, &taken);
        assert_int_equal(taken.len, LARGE);
        assert_memory_equal(taken.data, body, LARGE);
        assert_worker_hears_nothing(s);
        answer(s);
        assert_int_equal(s->client.ex.body_error, WSGI_OK);
        wsgi_buffer_clear(&taken, 0);
        stage_again(s);
    }
    free(body);
}

static void test_body_of_unknown_length_that_ends_later(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "abc", 3, 2);
    s->client.ex.request.body_length = WSGI_BODY_UNKNOWN;
    stage_relay(s);
    assert_int_equal(worker_hears_request(s).body_first.len, 2);
    continue_body(s);
    assert_worker_hears_nothing(s);
    s->client.arrived = 3;
    s->now_us = wait_now(s).until_us;
    stage_settle(s);
    assert_int_equal(worker_hears(s, WSGI_FRAME_BODY).len, 1);
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    assert_worker_hears_nothing(s);
    answer(s);
}

static void test_worker_that_does_not_read(void **state)
{
    stage_t *s = *state;
    char *body = large_body();

    recorder_set_body(&s->client, body, LARGE, LARGE);
    stage_relay(s);
    continue_body(s);
    assert_running(s, WSGI_PROXY_RELAY);
    assert_true(s->client.ex.bytes_in < LARGE); /* the rest stays with the client */
    assert_int_equal(wait_now(s).worker_events, POLLIN | POLLOUT);
    assert_int_equal(wait_now(s).client_events, 0);
    const int64_t limit_us = wait_now(s).until_us;
    assert_int_equal(limit_us, s->now_us + SOCKET_TIMEOUT_US);
    step_at(s, limit_us - 1);
    assert_running(s, WSGI_PROXY_RELAY);
    step_at(s, limit_us);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
    free(body);
}

static void test_worker_that_answers_without_reading_all(void **state)
{
    stage_t *s = *state;
    char *body = large_body();

    recorder_set_body(&s->client, body, LARGE, LARGE);
    stage_relay(s);
    continue_body(s);
    say_head(s, 413, "2");
    say_data(s, "no", 0);
    say_end(s);
    assert_int_equal(worker_sends(s, 0, NULL, 0), s->says.len);
    worker_hang_up(s); /* resets: what it had not read is lost, what it had said is not */
    stage_settle(s);
    assert_done(s, "no");
    free(body);
}

static void test_worker_that_closes_its_ear(void **state)
{
    stage_t *s = *state;
    char *body = large_body();

    recorder_set_body(&s->client, body, LARGE, LARGE);
    stage_relay(s);
    worker_hears_request(s);
    assert_int_equal(shutdown(s->worker, SHUT_RD), 0);
    continue_body(s);
    assert_running(s, WSGI_PROXY_RELAY);
    assert_int_equal(s->p->upload, WSGI_UPLOAD_OVER);
    answer(s);
    free(body);
}

/* Bodies that end early */

static void test_ends_that_the_worker_is_told(void **state)
{
    static const int codes[] = {0, WSGI_E_TIMEOUT, WSGI_E_TOO_LARGE, WSGI_E_SHORT, WSGI_E_IO};
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        for (size_t first = 0; first < 2; first++) {
            recorder_set_body(&s->client, "abc", 3, first == 0 ? 3 : 0);
            s->client.ex.request.body_length = 9;
            s->client.body_end = codes[i];
            stage_relay(s);
            assert_int_equal(worker_hears_request(s).body_first.len, first == 0 ? 3 : 0);
            s->client.arrived = 3;
            continue_body(s);
            if (first == 1) {
                assert_int_equal(worker_hears(s, WSGI_FRAME_BODY).len, 3);
            }
            /* The end where bytes were announced is a body that is short. */
            assert_int_equal(worker_hears_body_end(s), codes[i] == 0 ? WSGI_E_SHORT : codes[i]);
            assert_worker_hears_nothing(s);
            answer(s); /* what the application makes of it */
            stage_again(s);
        }
    }
}

static void test_client_gone_before_the_request(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "abc", 3, 3);
    s->client.ex.request.body_length = 9;
    s->client.body_end = WSGI_E_GONE;
    stage_begin(s);
    assert_failed(s, WSGI_E_GONE, 400);
    assert_detail(s, "went away before its request body was complete");
    assert_nobody_asked(s);
}

static void test_client_gone_later(void **state)
{
    stage_t *s = *state;

    for (unsigned has_answer = 0; has_answer < 2; has_answer++) {
        recorder_set_body(&s->client, "abc", 3, 0);
        s->client.ex.request.body_length = 9;
        s->client.body_end = WSGI_E_GONE;
        stage_relay(s);
        continue_body(s);
        if (has_answer != 0) {
            say_head(s, 200, NULL);
            say_data(s, "part", WSGI_FRAME_FLAG_FLUSH);
            worker_speaks(s);
        }
        s->client.arrived = 3;
        s->now_us = wait_now(s).until_us;
        stage_settle(s);
        if (has_answer != 0) {
            assert_cut(s, WSGI_E_GONE);
        }
        else {
            assert_failed(s, WSGI_E_GONE, 400);
        }
        assert_let_go(s);
        stage_again(s);
    }
}

/* Silent clients */

static void test_naps_grow_while_the_client_is_silent(void **state)
{
    static const int64_t naps_ms[] = {1, 2, 4, 8, 16, 32, 32, 32};
    stage_t *s = *state;

    recorder_set_body(&s->client, "abc", 3, 0);
    stage_relay(s);
    continue_body(s);
    for (size_t i = 0; i < sizeof(naps_ms) / sizeof(naps_ms[0]); i++) {
        assert_int_equal(wait_now(s).until_us - s->now_us, naps_ms[i] * 1000);
        const unsigned calls = s->client.read_calls;
        step_at(s, s->now_us + naps_ms[i] * 1000 - 1);
        assert_int_equal(s->client.read_calls, calls);
        step_at(s, s->now_us + 1);
        assert_int_equal(s->client.read_calls, calls + 1);
    }
    s->client.arrived = 1;
    s->now_us = wait_now(s).until_us;
    stage_settle(s);
    assert_int_equal(wait_now(s).until_us - s->now_us, 1000); /* short again */
}

static void test_silence_of_a_client(void **state)
{
    static const int64_t patience_us[] = {0, 2000000, 100000000};
    stage_t *s = *state;

    for (size_t i = 0; i < 3; i++) {
        recorder_set_body(&s->client, "abc", 3, 1);
        s->client.ex.client_timeout_us = patience_us[i];
        stage_relay(s);
        worker_hears_request(s);
        continue_body(s);
        const int64_t limit_us =
            s->now_us + (patience_us[i] > 0 ? patience_us[i] : SOCKET_TIMEOUT_US);
        step_at(s, limit_us - 1);
        assert_worker_hears_nothing(s);
        assert_true(wait_now(s).until_us <= limit_us);
        s->now_us = limit_us;
        stage_settle(s);
        assert_running(s, WSGI_PROXY_RELAY); /* the application answers what it likes */
        assert_int_equal(worker_hears_body_end(s), WSGI_E_TIMEOUT);
        assert_worker_hears_nothing(s);
        assert_int_equal(s->client.ex.body_error, WSGI_E_TIMEOUT);
        assert_int_equal(wait_now(s).until_us, limit_us + SOCKET_TIMEOUT_US); /* now the worker's */
        answer(s);
        stage_again(s);
    }
}

static void test_bytes_end_the_silence_of_a_client(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "abc", 3, 0);
    s->client.ex.client_timeout_us = 2000000;
    stage_relay(s);
    worker_hears_request(s);
    continue_body(s);
    for (size_t i = 1; i <= 3; i++) {
        s->now_us += 1999999;
        s->client.arrived = i;
        stage_settle(s);
        assert_int_equal(worker_hears(s, WSGI_FRAME_BODY).len, 1);
    }
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    assert_int_equal(s->client.ex.body_error, WSGI_OK);
}

/* The end of the body comes with the limit itself, and cannot be sent on at once. */
static void test_the_body_ends_once(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "abc", 3, 0);
    s->client.ex.request.body_length = WSGI_BODY_UNKNOWN;
    stage_relay(s);
    worker_hears_request(s);
    continue_body(s);
    const int64_t limit_us = s->now_us + SOCKET_TIMEOUT_US;
    step_at(s, limit_us - WSGI_PROXY_NAP_MOST_US);
    s->client.body_len = 0;
    s->p->ready &= ~WSGI_READY_WORKER_WRITE;
    step_at(s, limit_us);
    s->p->ready |= WSGI_READY_WORKER_WRITE;
    stage_settle(s);
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    assert_worker_hears_nothing(s);
    assert_int_equal(s->client.ex.body_error, WSGI_OK);
}

/* A client that can be polled */

typedef struct line {
    int client, host; /* ends of the client's connection */
} line_t;

static line_t connect_client(stage_t *s)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    s->client.ex.body_fd = ends[1];
    return (line_t){ends[0], ends[1]};
}

static void hang_up_client(line_t *line)
{
    wsgi_fd_close(&line->client);
    wsgi_fd_close(&line->host);
}

static void test_polled_client_is_not_asked_without_cause(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);

    recorder_set_body(&s->client, "abc", 3, 0);
    stage_relay(s);
    worker_hears_request(s);
    continue_body(s);
    assert_int_equal(wait_now(s).client_events, POLLIN);
    assert_int_equal(wait_now(s).until_us, s->now_us + WSGI_PROXY_CLIENT_LOOK_US);
    const unsigned calls = s->client.read_calls;
    step_at(s, s->now_us + WSGI_PROXY_CLIENT_LOOK_US - 1);
    assert_int_equal(s->client.read_calls, calls);
    step_at(s, s->now_us + 1);
    assert_int_equal(s->client.read_calls, calls + 1); /* limits of httpd's own */
    s->client.arrived = 3;
    assert_int_equal(send(line.client, "x", 1, 0), 1);
    stage_settle(s);
    assert_int_equal(worker_hears(s, WSGI_FRAME_BODY).len, 3);
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    assert_int_equal(wait_now(s).client_events, 0);
    answer(s);
    hang_up_client(&line);
}

static void test_client_is_not_polled_before_its_body_is_wanted(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);

    recorder_set_body(&s->client, "abc", 3, 0);
    stage_begin(s);
    assert_int_equal(wait_now(s).client_events, 0);
    worker_takes(s);
    say_hello(s);
    worker_speaks(s);
    assert_int_equal(wait_now(s).client_events, 0);
    hang_up_client(&line);
}

static void stuff_client(const line_t *line)
{
    char bytes[4096] = {0};

    while (send(line->host, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    while (send(line->host, bytes, 1, MSG_DONTWAIT) > 0) {
    }
}

static void read_client_up(const line_t *line)
{
    char bytes[4096];

    while (recv(line->client, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void say_much(stage_t *s, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len; at += WSGI_WIRE_DATA_MAX) {
        const size_t left = len - at;

        say(s, WSGI_FRAME_DATA, 0,
            (wsgi_bytes_t){bytes + at, left < WSGI_WIRE_DATA_MAX ? left : WSGI_WIRE_DATA_MAX});
    }
}

/* It sends its whole body before it reads: the answer waits, the body goes on. */
static void test_answer_waits_for_a_client_that_uploads(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);
    char *body = large_body();

    stuff_client(&line);
    recorder_set_body(&s->client, body, FIRST_MOST + 9, FIRST_MOST);
    stage_relay(s);
    worker_hears_request(s);
    continue_body(s);
    say_head(s, 200, NULL);
    say_much(s, body, FIRST_MOST);
    worker_speaks(s);
    assert_int_equal(s->client.send_calls, 0);
    assert_true(s->p->is_held);
    assert_int_equal(wait_now(s).client_events, POLLIN | POLLOUT);
    assert_int_equal(wait_now(s).worker_events, POLLIN);
    s->client.arrived = s->client.body_len;
    assert_int_equal(send(line.client, "x", 1, 0), 1);
    stage_settle(s);
    worker_hears(s, WSGI_FRAME_BODY);
    worker_hears(s, WSGI_FRAME_BODY);
    assert_int_equal(worker_hears_body_end(s), WSGI_OK);
    say_end(s); /* with the body over, a slow client is waited for in send_body() */
    worker_speaks(s);
    assert_false(s->is_running);
    assert_int_equal(s->client.outcome, WSGI_DONE);
    assert_int_equal(s->client.sent.len, FIRST_MOST);
    assert_memory_equal(s->client.sent.data, body, FIRST_MOST);
    hang_up_client(&line);
    free(body);
}

static void test_answer_goes_in_pieces_to_a_client_that_uploads(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);
    char *body = large_body();

    stuff_client(&line);
    recorder_set_body(&s->client, "abc", 3, 0);
    stage_relay(s);
    continue_body(s);
    say_head(s, 200, NULL);
    say_much(s, body, FIRST_MOST);
    worker_speaks(s);
    read_client_up(&line);
    assert_true(look_around(s));
    step_at(s, s->now_us);
    assert_int_equal(s->client.send_calls, 1); /* one for each time it was seen to be writable */
    stage_settle(s);
    assert_int_equal(s->client.send_calls, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s->client.sizes[i], WSGI_PROXY_PIECE);
    }
    assert_memory_equal(s->client.sent.data, body, FIRST_MOST);
    say_much(s, body, WSGI_PROXY_PIECE + 1);
    worker_speaks(s);
    assert_int_equal(s->client.sizes[4], WSGI_PROXY_PIECE);
    assert_int_equal(s->client.sizes[5], 1);
    hang_up_client(&line);
    free(body);
}

static void test_what_is_held_is_bounded(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);
    char *body = large_body();

    stuff_client(&line);
    recorder_set_body(&s->client, "abc", 3, 0);
    stage_relay(s);
    continue_body(s);
    say_head(s, 200, NULL);
    say_much(s, body, LARGE);
    worker_speaks(s);
    assert_true(s->p->in.capacity <= WSGI_PROXY_IN_MOST);
    assert_true(s->p->is_held);
    assert_true(s->client.sent.len >= LARGE - 2 * WSGI_PROXY_IN_MOST); /* beyond it, it must */
    assert_memory_equal(s->client.sent.data, body, s->client.sent.len);
    read_client_up(&line);
    stage_settle(s);
    assert_int_equal(s->client.sent.len, LARGE);
    assert_memory_equal(s->client.sent.data, body, LARGE);
    hang_up_client(&line);
    free(body);
}

static void test_what_is_held_goes_out_when_the_worker_has_ended(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);
    char *body = large_body();

    for (unsigned has_end = 0; has_end < 2; has_end++) {
        s->client.ex.body_fd = line.host;
        stuff_client(&line);
        recorder_set_body(&s->client, "abc", 3, 0);
        stage_relay(s);
        continue_body(s);
        say_head(s, 200, NULL);
        say_much(s, body, FIRST_MOST);
        if (has_end != 0) {
            say_end(s);
        }
        worker_speaks(s);
        assert_true(s->p->is_held);
        worker_hang_up(s);
        stage_settle(s);
        assert_false(s->is_running);
        assert_int_equal(s->p->code, has_end != 0 ? WSGI_OK : WSGI_E_DIED);
        assert_int_equal(s->client.sent.len, FIRST_MOST);
        assert_memory_equal(s->client.sent.data, body, FIRST_MOST);
        stage_again(s);
    }
    hang_up_client(&line);
    free(body);
}

static void test_length_is_kept_over_pieces(void **state)
{
    stage_t *s = *state;
    line_t line = connect_client(s);
    char *body = large_body();

    recorder_set_body(&s->client, "abc", 3, 0);
    stage_relay(s);
    continue_body(s);
    say_head(s, 200, "20000");
    say_much(s, body, 20001);
    worker_speaks(s);
    assert_cut(s, WSGI_E_PROTOCOL);
    assert_int_equal(s->client.sent.len, 20000);
    assert_memory_equal(s->client.sent.data, body, 20000);
    hang_up_client(&line);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        stage_test(test_first_part),
        stage_test(test_first_part_is_sent_to_each_worker_again),
        stage_test(test_request_that_is_too_large),
        stage_test(test_request_that_does_not_fit_into_the_pair_at_once),
        stage_test(test_continue_before_the_request_is_read),
        stage_test(test_continue_for_a_body_that_is_there),
        stage_test(test_nothing_is_read_until_it_is_asked_for),
        stage_test(test_large_body),
        stage_test(test_body_of_unknown_length_that_ends_later),
        stage_test(test_worker_that_does_not_read),
        stage_test(test_worker_that_answers_without_reading_all),
        stage_test(test_worker_that_closes_its_ear),
        stage_test(test_ends_that_the_worker_is_told),
        stage_test(test_client_gone_before_the_request),
        stage_test(test_client_gone_later),
        stage_test(test_naps_grow_while_the_client_is_silent),
        stage_test(test_silence_of_a_client),
        stage_test(test_bytes_end_the_silence_of_a_client),
        stage_test(test_the_body_ends_once),
        stage_test(test_polled_client_is_not_asked_without_cause),
        stage_test(test_client_is_not_polled_before_its_body_is_wanted),
        stage_test(test_answer_waits_for_a_client_that_uploads),
        stage_test(test_answer_goes_in_pieces_to_a_client_that_uploads),
        stage_test(test_what_is_held_is_bounded),
        stage_test(test_what_is_held_goes_out_when_the_worker_has_ended),
        stage_test(test_length_is_kept_over_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
