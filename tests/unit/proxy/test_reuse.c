/* tests/unit/proxy/test_reuse.c — kept connections: how a request goes on one, what a worker may do
 * meanwhile, and that only what it has not begun goes elsewhere.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include "log_lines.h"

static void say_end_and_keep(stage_t *s)
{
    say(s, WSGI_FRAME_END, 0, NOTHING);
}

static void say_answer(stage_t *s)
{
    say_head(s, 200, "2");
    say_data(s, "hi", 0);
}

/* For the next request of the same child. */
static void stage_next(stage_t *s)
{
    wsgi_proxy_release(s->p);
    recorder_free(&s->client);
    recorder_init(&s->client);
    s->is_running = false;
    wsgi_buffer_clear(&s->heard, 0);
    s->heard_used = 0;
}

/* One request has been answered, and the connection is kept. */
static void keep_one(stage_t *s)
{
    log_lines_begin();
    stage_relay(s);
    (void)worker_hears_request(s);
    say_answer(s);
    say_end_and_keep(s);
    worker_speaks(s);
    assert_done(s, "hi");
    stage_next(s);
}

/* And the next one is on it. */
static void stage_reuse(stage_t *s)
{
    keep_one(s);
    stage_begin(s);
    assert_running(s, WSGI_PROXY_REUSE);
    assert_nobody_asked(s);
}

/* It is with a fresh pair now, and not with this worker. */
static void assert_moved(stage_t *s)
{
    assert_running(s, WSGI_PROXY_SENT);
    worker_takes(s);
    assert_string_equal(worker_hears_request(s).callable.data, "application");
    say_hello(s);
    say_answer(s);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "hi");
    assert_nobody_asked(s);
}

static void test_requests_follow_each_other(void **state)
{
    stage_t *s = *state;

    keep_one(s);
    for (unsigned i = 0; i < 3; i++) {
        stage_begin(s);
        assert_running(s, WSGI_PROXY_REUSE);
        assert_string_equal(worker_hears_request(s).script.data, "/srv/app.wsgi");
        assert_worker_hears_nothing(s);
        say_answer(s); /* no HELLO */
        say_end_and_keep(s);
        worker_speaks(s);
        assert_done(s, "hi");
        stage_next(s);
    }
    assert_nobody_asked(s);
    assert_string_equal(log_lines, "");
}

static void test_end_with_close_ends_it(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say_answer(s);
    say_end(s);
    worker_speaks(s);
    assert_done(s, "hi");
    worker_listens(s);
    assert_let_go(s);
    stage_again(s);
    stage_begin(s);
    assert_running(s, WSGI_PROXY_SENT);
}

/* GOAWAY may be right behind END: the worker has changed its mind. Anything else may not. */
static void test_what_comes_behind_end(void **state)
{
    stage_t *s = *state;

    for (unsigned is_noise = 0; is_noise < 2; is_noise++) {
        log_lines_begin();
        stage_relay(s);
        say_answer(s);
        say_end_and_keep(s);
        say(s, is_noise != 0 ? WSGI_FRAME_END : WSGI_FRAME_GOAWAY, 0, NOTHING);
        worker_speaks(s);
        assert_done(s, "hi");
        assert_let_go(s);
        assert_int_equal(is_logged("WSGI1301: [blue] closed"), is_noise);
        stage_again(s);
        stage_begin(s);
        assert_running(s, WSGI_PROXY_SENT);
        stage_again(s);
    }
}

static void test_a_failed_answer_is_not_kept(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, "5");
    say_data(s, "hi", 0);
    say_end_and_keep(s);
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
    worker_listens(s);
    assert_let_go(s);
}

static void test_an_unfinished_upload_is_not_kept(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "body", 4, 2);
    stage_relay(s);
    say(s, WSGI_FRAME_CONTINUE, 0, NOTHING);
    say_answer(s);
    say_end_and_keep(s);
    worker_speaks(s);
    assert_done(s, "hi");
    while (worker_listens(s)) {
    }
    assert_let_go(s);
}

static void test_a_body_that_nobody_asked_for_does_no_harm(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "body", 4, 0);
    stage_relay(s);
    (void)worker_hears_request(s);
    say_answer(s);
    say_end_and_keep(s);
    worker_speaks(s);
    assert_done(s, "hi");
    stage_next(s);
    stage_begin(s);
    assert_running(s, WSGI_PROXY_REUSE);
    (void)worker_hears_request(s);
    assert_worker_hears_nothing(s);
}

/* Not begun: sent again. */

static void test_goaway_is_not_begun(void **state)
{
    stage_t *s = *state;

    for (unsigned has_read = 0; has_read < 2; has_read++) {
        stage_reuse(s);
        if (has_read != 0) {
            (void)worker_hears_request(s);
        }
        say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
        worker_speaks(s);
        assert_moved(s);
        stage_again(s);
    }
}

/* As it is when the worker closes in the instant in which the request arrives. */
static void test_goaway_and_the_end(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    assert_int_equal(worker_sends(s, 0, NULL, 0), s->says.len);
    s->says.len = 0;
    worker_hang_up(s);
    stage_settle(s);
    assert_moved(s);
}

static void test_goaway_before_the_request_is_sent(void **state)
{
    stage_t *s = *state;

    keep_one(s);
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    assert_int_equal(worker_sends(s, 0, NULL, 0), s->says.len);
    s->says.len = 0;
    worker_hang_up(s);
    stage_begin(s); /* idle for no time, so it is not looked at: the send fails */
    assert_moved(s);
}

static void test_a_reset_is_not_begun(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    worker_hang_up(s); /* with the request unread */
    stage_settle(s);
    assert_moved(s);
}

static void test_a_request_that_is_read_in_part_is_not_begun(void **state)
{
    stage_t *s = *state;
    char byte;

    stage_reuse(s);
    assert_int_equal(recv(s->worker, &byte, 1, 0), 1);
    worker_hang_up(s);
    stage_settle(s);
    assert_moved(s);
}

static void test_a_dead_worker_is_seen_by_the_send(void **state)
{
    stage_t *s = *state;

    keep_one(s);
    worker_hang_up(s);
    stage_begin(s);
    assert_moved(s);
}

static void test_a_request_that_does_not_fit_is_not_begun(void **state)
{
    static char value[1 << 20];
    const wsgi_var_t var = {0, WSGI_LITERAL("LARGE"), {value, sizeof(value)}};
    stage_t *s = *state;

    memset(value, 'x', sizeof(value));
    keep_one(s);
    s->client.ex.request.vars = &var;
    s->client.ex.request.var_count = 1;
    stage_begin(s);
    assert_running(s, WSGI_PROXY_REUSE);
    assert_true(s->p->out_sent < s->p->out.len);
    (void)worker_listens(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_running(s, WSGI_PROXY_SENT);
}

static void test_kept_ones_do_not_count_as_tries(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    worker_hang_up(s);
    stage_settle(s);
    for (unsigned i = 0; i < 3; i++) { /* 2 × 1 + 1 */
        assert_running(s, WSGI_PROXY_SENT);
        worker_takes(s);
        worker_hang_up(s);
        stage_settle(s);
    }
    assert_failed(s, WSGI_E_REFUSED, 503);
}

/* Begun: never sent again. */

static void test_an_end_after_reading_is_begun(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    (void)worker_hears_request(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502);
    assert_detail(s, "process group 'blue', worker 4711: the worker ended");
    assert_nobody_asked(s);
}

static void test_a_reset_behind_a_part_of_an_answer_is_begun(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say_log(s, WSGI_LOG_ERR, "a line");
    s->says.len -= 3;
    worker_speaks(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502);
}

static void test_any_frame_is_a_beginning(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say_log(s, WSGI_LOG_ERR, "a line");
    worker_speaks(s);
    assert_running(s, WSGI_PROXY_RELAY);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502);
}

static void test_hello_comes_once(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say_hello(s);
    worker_speaks(s);
    assert_failed(s, WSGI_E_PROTOCOL, 502);
}

/* A script that has changed: the worker looks at it after it has written a line, say. */
static void test_goaway_behind_a_line_is_still_not_begun(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    say_log(s, WSGI_LOG_INFO, "a line");
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    worker_speaks(s);
    assert_moved(s);
}

/* A worker that does not read */

static void test_what_is_unread_moves_on_in_half_a_second(void **state)
{
    stage_t *s = *state;
    int unused;

    stage_reuse(s);
    assert_int_equal(wait_now(s).until_us, s->start_us + WSGI_PROXY_UNREAD_US);
    step_at(s, s->start_us + WSGI_PROXY_UNREAD_US - 1);
    assert_running(s, WSGI_PROXY_REUSE);
    step_at(s, s->start_us + WSGI_PROXY_UNREAD_US);
    assert_running(s, WSGI_PROXY_SENT);
    (void)worker_hears_request(s); /* when it reads at last, it sees that nobody waits */
    assert_let_go(s);
    unused = s->worker;
    s->worker = -1;
    assert_moved(s);
    wsgi_fd_close(&unused);
}

/* Its other connections would lead to the same worker. */
static void test_a_worker_that_does_not_read_is_not_asked_again(void **state)
{
    stage_t *s = *state;
    wsgi_place_t place;
    int pair[2], fd = -1;

    wsgi_place_init(&place);
    keep_one(s);
    assert_int_equal(wsgi_link_enter(s->link, &place, s->now_us, true, &fd), WSGI_TURN_SCOUT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    wsgi_link_begun(s->link, &place, 1, 1, s->now_us);
    stage_begin(s);
    wsgi_link_keep(s->link, &place, pair[0], s->now_us);
    step_at(s, s->start_us + WSGI_PROXY_UNREAD_US);
    assert_running(s, WSGI_PROXY_SENT);
    assert_int_equal(wsgi_link_enter(s->link, &place, s->now_us, false, &fd), WSGI_TURN_SCOUT);
    wsgi_link_leave(s->link, &place, s->now_us);
    wsgi_place_destroy(&place);
    wsgi_fd_close(&pair[1]);
}

static void test_what_is_read_stays(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    (void)worker_hears_request(s);
    step_at(s, s->start_us + WSGI_PROXY_UNREAD_US);
    assert_running(s, WSGI_PROXY_RELAY);
    assert_int_equal(wait_now(s).until_us, s->start_us + SOCKET_TIMEOUT_US); /* from the request */
    step_at(s, s->start_us + SOCKET_TIMEOUT_US);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
    assert_nobody_asked(s);
}

static void test_a_late_answer_is_taken(void **state)
{
    stage_t *s = *state;

    stage_reuse(s);
    (void)worker_hears_request(s);
    step_at(s, s->start_us + WSGI_PROXY_UNREAD_US);
    say_answer(s);
    say_end_and_keep(s);
    worker_speaks(s);
    assert_done(s, "hi");
    stage_next(s);
    stage_begin(s);
    assert_running(s, WSGI_PROXY_REUSE);
}

static void test_unread_at_the_end_of_connect_timeout(void **state)
{
    stage_t *s = *state;
    const int64_t just_before_us = 1000;

    keep_one(s);
    wsgi_proxy_start(s->p, s->link, &s->client.ex, &s->result, s->now_us);
    s->is_running = true;
    s->start_us = s->now_us;
    step_at(s, s->start_us + CONNECT_TIMEOUT_US - just_before_us);
    if (s->p->state == WSGI_PROXY_REUSE) {
        assert_int_equal(wait_now(s).until_us, s->start_us + CONNECT_TIMEOUT_US);
        step_at(s, s->start_us + CONNECT_TIMEOUT_US);
    }
    assert_failed(s, WSGI_E_REFUSED, 503);
}

static void test_a_request_says_until_when_it_is_firm(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    worker_takes(s);
    assert_int_equal(worker_hears_request(s).firm_until_us, s->start_us + WSGI_PROXY_FIRM_US);
    s->counters->state = WSGI_GROUP_FAILED;
    step_at(s, s->start_us + WSGI_PROXY_FIRM_US - 1);
    assert_running(s, WSGI_PROXY_SENT);
    step_at(s, s->start_us + WSGI_PROXY_FIRM_US);
    assert_failed(s, WSGI_E_REFUSED, 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        stage_test(test_requests_follow_each_other),
        stage_test(test_end_with_close_ends_it),
        stage_test(test_what_comes_behind_end),
        stage_test(test_a_failed_answer_is_not_kept),
        stage_test(test_an_unfinished_upload_is_not_kept),
        stage_test(test_a_body_that_nobody_asked_for_does_no_harm),
        stage_test(test_goaway_is_not_begun),
        stage_test(test_goaway_and_the_end),
        stage_test(test_goaway_before_the_request_is_sent),
        stage_test(test_a_reset_is_not_begun),
        stage_test(test_a_request_that_is_read_in_part_is_not_begun),
        stage_test(test_a_dead_worker_is_seen_by_the_send),
        stage_test(test_a_request_that_does_not_fit_is_not_begun),
        stage_test(test_kept_ones_do_not_count_as_tries),
        stage_test(test_an_end_after_reading_is_begun),
        stage_test(test_a_reset_behind_a_part_of_an_answer_is_begun),
        stage_test(test_any_frame_is_a_beginning),
        stage_test(test_hello_comes_once),
        stage_test(test_goaway_behind_a_line_is_still_not_begun),
        stage_test(test_what_is_unread_moves_on_in_half_a_second),
        stage_test(test_a_worker_that_does_not_read_is_not_asked_again),
        stage_test(test_what_is_read_stays),
        stage_test(test_a_late_answer_is_taken),
        stage_test(test_unread_at_the_end_of_connect_timeout),
        stage_test(test_a_request_says_until_when_it_is_firm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
