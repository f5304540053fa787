/* tests/unit/proxy/test_proxy.c — the states of a request: how it comes to a worker, when it is sent
 * again, and how it ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <sys/mman.h>

/* Answers "hi" and closes, as a worker does. */
static void worker_answers(stage_t *s)
{
    say_head(s, 200, "2");
    say_data(s, "hi", 0);
    say_end(s);
    worker_speaks(s);
    worker_hang_up(s);
}

static void test_whole_way(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    assert_running(s, WSGI_PROXY_SENT);
    worker_takes(s);
    const wsgi_request_t request = worker_hears_request(s);
    assert_string_equal(request.script.data, "/srv/app.wsgi");
    assert_int_equal(request.id, 7);
    say_hello(s);
    worker_speaks(s);
    assert_running(s, WSGI_PROXY_RELAY);
    assert_worker_hears_nothing(s);
    worker_answers(s);
    assert_done(s, "hi");
    assert_int_equal(s->client.status, 200);
    assert_string_equal(s->client.fields, "Content-Type: text/plain\ncontent-LENGTH: 2\n");
}

static void test_states_have_names(void **state)
{
    static const char *const names[] = {"QUEUE", "CONNECT", "SENT",  "REUSE",
                                        "RELAY", "END",     "FAILED"};

    (void)state;
    for (unsigned i = 0; i < WSGI_PROXY_STATE_COUNT; i++) {
        assert_string_equal(wsgi_proxy_state_name(i), names[i]);
    }
}

static void test_all_in_one_segment(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    worker_takes(s);
    say_hello(s);
    worker_answers(s);
    assert_done(s, "hi");
}

static void test_the_machine_is_used_again(void **state)
{
    stage_t *s = *state;

    for (unsigned i = 0; i < 3; i++) {
        stage_relay(s);
        worker_answers(s);
        assert_done(s, "hi");
        stage_again(s);
    }
}

/* QUEUE */

typedef struct others {
    stage_t *stage;
    wsgi_place_t places[WSGI_LINK_SCOUTS];
} others_t;

static enum wsgi_turn enter(stage_t *s, wsgi_place_t *place)
{
    int fd = -1;

    return wsgi_link_enter(s->link, place, s->now_us, false, &fd);
}

static void others_enter(others_t *others, stage_t *s)
{
    others->stage = s;
    for (size_t i = 0; i < WSGI_LINK_SCOUTS; i++) {
        wsgi_place_init(&others->places[i]);
        assert_int_equal(enter(s, &others->places[i]), WSGI_TURN_SCOUT);
    }
}

static void others_leave(others_t *others, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wsgi_link_leave(others->stage->link, &others->places[i], others->stage->now_us);
    }
}

static void others_end(others_t *others)
{
    others_leave(others, WSGI_LINK_SCOUTS);
    for (size_t i = 0; i < WSGI_LINK_SCOUTS; i++) {
        wsgi_place_destroy(&others->places[i]);
    }
}

static void test_queue_waits_for_a_place(void **state)
{
    stage_t *s = *state;
    others_t others;

    others_enter(&others, s);
    stage_begin(s);
    assert_running(s, WSGI_PROXY_QUEUE);
    assert_true(wait_now(s).is_for_place);
    assert_int_equal(wait_now(s).until_us, s->start_us + WSGI_LINK_PATIENCE_US);
    s->now_us += WSGI_LINK_PATIENCE_US; /* between the step and the wait: it asks all the same */
    assert_int_equal(wait_now(s).until_us, s->start_us + WSGI_LINK_PATIENCE_US);
    step_at(s, wait_now(s).until_us);
    assert_int_equal(wait_now(s).until_us, s->start_us + CONNECT_TIMEOUT_US);
    assert_nobody_asked(s);
    others_leave(&others, 1);
    stage_settle(s);
    assert_running(s, WSGI_PROXY_SENT);
    others_end(&others);
}

static void test_queue_ends_at_the_instant(void **state)
{
    stage_t *s = *state;
    others_t others;

    others_enter(&others, s);
    stage_begin(s);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US - 1);
    assert_running(s, WSGI_PROXY_QUEUE);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US);
    assert_failed(s, WSGI_E_REFUSED, 503);
    assert_detail(s, "no worker took the request within 5 s");
    assert_nobody_asked(s);
    others_end(&others); /* and the row is left, or closing the link would abort */
}

/* What helps is not always more processes. */
static void test_the_cure_is_named(void **state)
{
    static const struct {
        uint32_t group, row0, row1;
        const char *sentence;
    } cases[] = {
        {WSGI_GROUP_READY, WSGI_WORKER_STOPPING, WSGI_WORKER_READY, "; raise processes= or"},
        {WSGI_GROUP_STARTING, WSGI_WORKER_EMPTY, WSGI_WORKER_EMPTY, "are still starting: make"},
        {WSGI_GROUP_STARTING, WSGI_WORKER_EMPTY, WSGI_WORKER_STARTING, "are still starting: make"},
        {WSGI_GROUP_STARTING, WSGI_WORKER_STOPPING, WSGI_WORKER_STARTING, "are still starting"},
        {WSGI_GROUP_STARTING, WSGI_WORKER_STOPPING, WSGI_WORKER_EMPTY, "are being replaced"},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s->counters->state = cases[i].group;
        s->counters->rows[0].state = cases[i].row0;
        s->counters->rows[1].state = cases[i].row1;
        stage_begin(s);
        step_at(s, s->start_us + CONNECT_TIMEOUT_US);
        assert_failed(s, WSGI_E_REFUSED, 503);
        assert_detail(s, cases[i].sentence);
        stage_again(s);
    }
}

static void test_hello_frees_the_place(void **state)
{
    stage_t *s = *state;
    others_t others;
    wsgi_place_t last;

    stage_begin(s);
    wsgi_place_init(&last);
    for (size_t i = 0; i < WSGI_LINK_SCOUTS - 1; i++) {
        wsgi_place_init(&others.places[i]);
        assert_int_equal(enter(s, &others.places[i]), WSGI_TURN_SCOUT);
    }
    assert_int_equal(enter(s, &last), WSGI_TURN_WAIT);
    s->now_us += WSGI_LINK_PATIENCE_US;
    worker_takes(s);
    say_hello(s);
    worker_speaks(s);
    assert_int_equal(enter(s, &last), WSGI_TURN_SCOUT);
    wsgi_link_leave(s->link, &last, s->now_us);
    for (size_t i = 0; i < WSGI_LINK_SCOUTS - 1; i++) {
        wsgi_link_leave(s->link, &others.places[i], s->now_us);
    }
}

/* CONNECT */

static unsigned fill_rendezvous(stage_t *s)
{
    const int least = 1;
    unsigned count = 0;

    assert_int_equal(setsockopt(s->rendezvous[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    while (wsgi_link_pass(s->link, s->rendezvous[0]) == WSGI_OK) {
        count++;
    }
    return count;
}

static void empty_rendezvous(stage_t *s, unsigned count)
{
    while (count-- > 0) {
        worker_takes(s);
    }
    worker_hang_up(s);
}

static void test_full_rendezvous_is_tried_again(void **state)
{
    stage_t *s = *state;
    const unsigned count = fill_rendezvous(s);

    stage_begin(s);
    assert_running(s, WSGI_PROXY_CONNECT);
    const wsgi_wait_t wait = wait_now(s);
    assert_false(wait.is_for_place);
    assert_int_equal(wait.worker_events | wait.client_events, 0);
    assert_int_equal(wait.until_us, s->now_us + WSGI_PROXY_FULL_US);
    step_at(s, wait.until_us);
    assert_running(s, WSGI_PROXY_CONNECT);
    empty_rendezvous(s, count);
    step_at(s, wait_now(s).until_us);
    assert_running(s, WSGI_PROXY_SENT);
    worker_takes(s);
    worker_hears_request(s);
    assert_worker_hears_nothing(s); /* the request once, however often it was tried */
    say_hello(s);
    worker_answers(s);
    assert_done(s, "hi");
}

static void test_full_rendezvous_until_the_instant(void **state)
{
    stage_t *s = *state;

    (void)fill_rendezvous(s);
    stage_begin(s);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US - 1);
    assert_running(s, WSGI_PROXY_CONNECT);
    assert_int_equal(wait_now(s).until_us, s->start_us + CONNECT_TIMEOUT_US);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US);
    assert_failed(s, WSGI_E_REFUSED, 503);
}

static void test_nobody_at_the_other_end(void **state)
{
    stage_t *s = *state;

    wsgi_fd_close(&s->rendezvous[1]);
    stage_begin(s);
    assert_failed(s, WSGI_E_REFUSED, 503);
    assert_detail(s, "all its workers and their supervisor have ended");
}

/* compat: FAIL-sending */
static void test_broken_rendezvous(void **state)
{
    stage_t *s = *state;

    wsgi_fd_close(&s->rendezvous[0]);
    stage_link(s, 1);
    stage_begin(s);
    assert_failed(s, WSGI_E_IO, 500);
    assert_detail(s, "does not take the request");
}

/* compat: FAIL-socket */
static void test_no_descriptors_left(void **state)
{
    stage_t *s = *state;
    const struct rlimit before = exhaust_descriptors();

    wsgi_proxy_start(s->p, s->link, &s->client.ex, &s->result, s->now_us);
    s->is_running = wsgi_proxy_step(s->p, s->now_us);
    give_descriptors_back(before);
    assert_failed(s, WSGI_E_IO, 500);
    assert_detail(s, "raise the limit of open files");
}

/* SENT */

static void test_nobody_says_hello(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    assert_int_equal(wait_now(s).until_us, s->now_us + WSGI_PROXY_LOOK_US);
    assert_int_equal(wait_now(s).worker_events, POLLIN);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US - 1);
    assert_running(s, WSGI_PROXY_SENT);
    assert_int_equal(wait_now(s).until_us, s->start_us + CONNECT_TIMEOUT_US);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US);
    assert_failed(s, WSGI_E_REFUSED, 503);
    worker_takes(s); /* who takes it now sees that it was withdrawn */
    worker_hears_request(s);
    assert_let_go(s);
}

static void test_hello_at_the_last_instant(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    worker_takes(s);
    s->now_us += CONNECT_TIMEOUT_US - 1;
    (void)wait_now(s);
    s->now_us++;
    say_hello(s);
    assert_int_equal(worker_sends(s, 0, NULL, 0), s->says.len);
    s->says.len = 0;
    s->p->ready |= WSGI_READY_WORKER_READ;
    stage_settle(s);
    assert_running(s, WSGI_PROXY_RELAY);
    s->now_us += CONNECT_TIMEOUT_US; /* that time-out is over for it */
    worker_answers(s);
    assert_done(s, "hi");
}

/* compat: FAIL-protocol */
static void test_unusable_hello(void **state)
{
    static const struct {
        wsgi_hello_t hello;
        bool is_usable;
    } cases[] = {
        {{WSGI_WIRE_VERSION, 0, 0}, true},
        {{WSGI_WIRE_VERSION, WSGI_COUNTERS_ROWS_MAX - 1, 9}, true},
        {{WSGI_WIRE_VERSION, WSGI_COUNTERS_ROWS_MAX, 0}, false},
        {{WSGI_WIRE_VERSION, UINT32_MAX, 0}, false},
        {{WSGI_WIRE_VERSION + 1, 0, 0}, false},
        {{0, 0, 0}, false},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_begin(s);
        worker_takes(s);
        assert_int_equal(wsgi_wire_put_hello(&s->says, &cases[i].hello), WSGI_OK);
        worker_speaks(s);
        if (cases[i].is_usable) {
            assert_running(s, WSGI_PROXY_RELAY);
        }
        else {
            assert_failed(s, WSGI_E_PROTOCOL, 502);
        }
        stage_again(s);
    }
}

/* Sent again: only what nobody has begun. */

enum unbegun { LEFT_UNREAD, LEFT_READ, HANDED_BACK, HANDED_BACK_LATE, UNBEGUN_COUNT };

static void worker_returns_it(stage_t *s, enum unbegun how, unsigned tries)
{
    worker_takes(s);
    if (how != LEFT_UNREAD) {
        const wsgi_request_t request = worker_hears_request(s);
        assert_string_equal(request.callable.data, "application");
        assert_int_equal(request.tries, tries);
    }
    if (how == HANDED_BACK_LATE) {
        say_hello(s);
    }
    if (how >= HANDED_BACK) {
        say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
        worker_speaks(s);
    }
    worker_hang_up(s);
    if (s->is_running) {
        stage_settle(s);
    }
}

/* compat: FAIL-restarts */
static void test_tries_are_bounded(void **state)
{
    stage_t *s = *state;

    for (unsigned processes = 1; processes <= 5; processes += 2) {
        for (enum unbegun how = 0; how < UNBEGUN_COUNT; how++) {
            stage_link(s, processes);
            stage_begin(s);
            for (unsigned i = 0; i < 2 * processes + 1; i++) {
                assert_running(s, WSGI_PROXY_SENT);
                worker_returns_it(s, how, i);
            }
            assert_failed(s, WSGI_E_REFUSED, 503);
            assert_detail(s, "workers in a row gave the request back");
            assert_nobody_asked(s);
            stage_again(s);
        }
    }
}

static void test_the_next_worker_answers(void **state)
{
    stage_t *s = *state;

    for (enum unbegun how = 0; how < UNBEGUN_COUNT; how++) {
        stage_begin(s);
        worker_returns_it(s, how, 0);
        worker_returns_it(s, how, 1);
        worker_takes(s);
        worker_hears_request(s);
        assert_worker_hears_nothing(s);
        say_hello(s);
        worker_answers(s);
        assert_done(s, "hi");
        stage_again(s);
    }
}

static void test_part_of_a_hello_is_none(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    worker_takes(s);
    say_hello(s);
    s->says.len--;
    worker_speaks(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_running(s, WSGI_PROXY_SENT);
    worker_takes(s);
    say_hello(s);
    worker_answers(s);
    assert_done(s, "hi");
}

static void test_tries_share_one_deadline(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    s->now_us += CONNECT_TIMEOUT_US - 1;
    worker_returns_it(s, HANDED_BACK_LATE, 0);
    assert_running(s, WSGI_PROXY_SENT);
    step_at(s, s->start_us + CONNECT_TIMEOUT_US);
    assert_failed(s, WSGI_E_REFUSED, 503);
}

static void test_handed_back_late_stands_in_the_row_again(void **state)
{
    stage_t *s = *state;
    others_t others;

    stage_relay(s);
    others_enter(&others, s);
    say(s, WSGI_FRAME_GOAWAY, 0, NOTHING);
    worker_speaks(s);
    assert_running(s, WSGI_PROXY_QUEUE);
    others_leave(&others, 1);
    stage_settle(s);
    assert_running(s, WSGI_PROXY_SENT);
    others_end(&others);
}

/* A worker that dies. */

static void test_death_after_hello(void **state)
{
    stage_t *s = *state;

    for (unsigned has_read = 0; has_read < 2; has_read++) {
        stage_relay(s);
        if (has_read != 0) {
            worker_hears_request(s);
        }
        worker_hang_up(s); /* a reset where it has not read everything */
        stage_settle(s);
        assert_failed(s, WSGI_E_DIED, 502);
        assert_detail(s, "process group 'blue', worker 4711: the worker ended");
        assert_nobody_asked(s);
        stage_again(s);
    }
}

static void test_death_after_the_body_was_asked_for(void **state)
{
    stage_t *s = *state;

    recorder_set_body(&s->client, "body", 4, 0);
    stage_relay(s);
    say(s, WSGI_FRAME_CONTINUE, 0, NOTHING);
    worker_speaks(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502);
    assert_nobody_asked(s);
}

static void test_death_after_head(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    worker_speaks(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502); /* the head has not left: it can still be another */
}

static void test_death_after_data(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "part", WSGI_FRAME_FLAG_FLUSH);
    say_data(s, "more", WSGI_FRAME_FLAG_FLUSH);
    worker_speaks(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_cut(s, WSGI_E_DIED);
    assert_int_equal(s->client.sent.len, 8);
    assert_nobody_asked(s);
}

/* Counters */

static void break_group(stage_t *s, uint32_t state)
{
    s->counters->state = state;
}

static void assert_refused_by_counters(stage_t *s)
{
    assert_failed(s, WSGI_E_REFUSED, 503);
    assert_detail(s, "it cannot start");
}

static const uint32_t broken[] = {WSGI_GROUP_FAILED, WSGI_GROUP_STOPPING};

static void test_failed_group_is_not_asked(void **state)
{
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        break_group(s, broken[i]);
        recorder_set_body(&s->client, "body", 4, 4);
        stage_begin(s);
        assert_refused_by_counters(s);
        assert_nobody_asked(s);
        assert_int_equal(s->client.read_calls, 0);
        stage_again(s);
    }
}

static void test_group_fails_while_the_rendezvous_is_full(void **state)
{
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        (void)fill_rendezvous(s);
        break_group(s, WSGI_GROUP_STARTING);
        stage_begin(s);
        break_group(s, broken[i]);
        step_at(s, s->now_us);
        assert_refused_by_counters(s);
        stage_again(s);
    }
}

static void test_group_fails_while_hello_is_awaited(void **state)
{
    stage_t *s = *state;

    for (size_t i = 0; i < 2; i++) {
        break_group(s, WSGI_GROUP_STARTING);
        stage_begin(s);
        break_group(s, broken[i]);
        step_at(s, wait_now(s).until_us); /* it looks often enough */
        assert_refused_by_counters(s);
        assert_true(s->now_us - s->start_us <= WSGI_PROXY_LOOK_US);
        stage_again(s);
    }
}

static void test_hello_counts_more_than_counters(void **state)
{
    stage_t *s = *state;

    stage_begin(s);
    worker_takes(s);
    break_group(s, WSGI_GROUP_STOPPING);
    say_hello(s);
    worker_answers(s);
    assert_done(s, "hi");
}

/* Silence */

static void test_silence_before_head(void **state)
{
    stage_t *s = *state;

    s->now_us += 17;
    stage_relay(s);
    const int64_t since_us = s->now_us;
    assert_int_equal(wait_now(s).until_us, since_us + SOCKET_TIMEOUT_US);
    step_at(s, since_us + SOCKET_TIMEOUT_US - 1);
    assert_running(s, WSGI_PROXY_RELAY);
    step_at(s, since_us + SOCKET_TIMEOUT_US);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
    assert_detail(s, "silent for 60 s");
    assert_detail(s, "or raise some-option");
    assert_nobody_asked(s);
}

/* A worker that sends frames in which there is nothing is as silent as one that sends none. */
static void test_empty_parts_are_silence(void **state)
{
    stage_t *s = *state;
    int file = memfd_create("empty", MFD_CLOEXEC);

    stage_relay(s);
    say_head(s, 200, NULL);
    worker_speaks(s);
    const int64_t limit_us = wait_now(s).until_us;
    step_at(s, limit_us - 2);
    say_data(s, "", 0);
    say_data(s, "", WSGI_FRAME_FLAG_FLUSH);
    worker_speaks(s);
    say_file(s, 0, 0);
    worker_speaks_with(s, &file, 1);
    assert_int_equal(wait_now(s).until_us, limit_us);
    step_at(s, limit_us);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
    wsgi_fd_close(&file);
}

static void test_silence_after_data(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "part", WSGI_FRAME_FLAG_FLUSH);
    worker_speaks(s);
    step_at(s, s->now_us + SOCKET_TIMEOUT_US);
    assert_cut(s, WSGI_E_TIMEOUT);
}

static void test_each_frame_ends_the_silence(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    s->now_us += SOCKET_TIMEOUT_US - 1;
    say_head(s, 200, NULL);
    worker_speaks(s);
    for (unsigned i = 0; i < 3; i++) {
        s->now_us += SOCKET_TIMEOUT_US - 1;
        say_data(s, "x", WSGI_FRAME_FLAG_FLUSH);
        worker_speaks(s);
        assert_int_equal(wait_now(s).until_us, s->now_us + SOCKET_TIMEOUT_US);
    }
    say_end(s);
    worker_speaks(s);
    assert_done(s, "xxx");
}

static void test_lines_for_the_log_do_not(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    const int64_t limit_us = s->now_us + SOCKET_TIMEOUT_US;
    s->now_us = limit_us - 1;
    say_log(s, WSGI_LOG_INFO, "still here");
    worker_speaks(s);
    assert_int_equal(s->client.log_calls, 1);
    assert_int_equal(wait_now(s).until_us, limit_us);
    step_at(s, limit_us);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
}

/* A spare that has waited for its last worker must not judge the next one by that time. */
static void test_silence_is_counted_anew_for_each_request(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    worker_answers(s);
    stage_again(s);
    s->now_us += 2 * SOCKET_TIMEOUT_US;
    stage_relay(s);
    assert_running(s, WSGI_PROXY_RELAY);
    assert_int_equal(wait_now(s).until_us, s->now_us + SOCKET_TIMEOUT_US);
}

/* ABORT and the client's end */

static void test_abort_before_the_answer(void **state)
{
    static const struct {
        int32_t said;
        unsigned status;
    } cases[] = {
        {500, 500}, {503, 503}, {404, 404},       {400, 400},       {599, 599},
        {0, 500},   {200, 500}, {399, 500},       {600, 500},       {-1, 500},
        {100, 500}, {301, 500}, {INT32_MAX, 500}, {INT32_MIN, 500},
    };
    stage_t *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_relay(s);
        if (i % 2 == 1) {
            say_head(s, 200, NULL); /* taken, and not gone out */
        }
        say_number(s, WSGI_FRAME_ABORT, cases[i].said);
        worker_speaks(s);
        assert_failed(s, WSGI_OK, cases[i].status); /* the worker has said why */
        stage_again(s);
    }
}

static void test_abort_in_the_answer(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    say_head(s, 200, NULL);
    say_data(s, "part", WSGI_FRAME_FLAG_FLUSH);
    say_number(s, WSGI_FRAME_ABORT, 0);
    worker_speaks(s);
    assert_cut(s, WSGI_OK);
}

static void test_client_does_not_take_the_end(void **state)
{
    stage_t *s = *state;

    s->client.finish_code = WSGI_E_GONE;
    stage_relay(s);
    worker_answers(s);
    assert_false(s->is_running);
    assert_int_equal(s->client.outcome, WSGI_DONE);
    assert_int_equal(s->p->code, WSGI_E_GONE);
    assert_detail(s, "did not take the end");
}

static void test_the_worker_is_let_go_before_the_client_is_told(void **state)
{
    stage_t *s = *state;

    stage_relay(s);
    step_at(s, s->now_us + SOCKET_TIMEOUT_US);
    assert_failed(s, WSGI_E_TIMEOUT, 504);
    worker_hears_request(s);
    assert_let_go(s); /* though nothing has been released yet */
}

static void test_nobody_wants_the_sentence(void **state)
{
    stage_t *s = *state;

    break_group(s, WSGI_GROUP_FAILED);
    wsgi_proxy_start(s->p, s->link, &s->client.ex, NULL, s->now_us);
    assert_false(wsgi_proxy_step(s->p, s->now_us));
    assert_int_equal(s->p->code, WSGI_E_REFUSED);
    assert_int_equal(s->client.finish_status, 503);
}

static void test_without_counters(void **state)
{
    stage_t *s = *state;
    wsgi_counters_t *counters = s->counters;

    s->counters = NULL;
    stage_link(s, 1);
    stage_relay(s);
    worker_hang_up(s);
    stage_settle(s);
    assert_failed(s, WSGI_E_DIED, 502);
    assert_detail(s, "process group 'blue': the worker ended");
    s->counters = counters;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_have_names),
        stage_test(test_whole_way),
        stage_test(test_all_in_one_segment),
        stage_test(test_the_machine_is_used_again),
        stage_test(test_queue_waits_for_a_place),
        stage_test(test_queue_ends_at_the_instant),
        stage_test(test_the_cure_is_named),
        stage_test(test_hello_frees_the_place),
        stage_test(test_full_rendezvous_is_tried_again),
        stage_test(test_full_rendezvous_until_the_instant),
        stage_test(test_nobody_at_the_other_end),
        stage_test(test_broken_rendezvous),
        stage_test(test_no_descriptors_left),
        stage_test(test_nobody_says_hello),
        stage_test(test_hello_at_the_last_instant),
        stage_test(test_unusable_hello),
        stage_test(test_tries_are_bounded),
        stage_test(test_the_next_worker_answers),
        stage_test(test_part_of_a_hello_is_none),
        stage_test(test_tries_share_one_deadline),
        stage_test(test_handed_back_late_stands_in_the_row_again),
        stage_test(test_death_after_hello),
        stage_test(test_death_after_the_body_was_asked_for),
        stage_test(test_death_after_head),
        stage_test(test_death_after_data),
        stage_test(test_failed_group_is_not_asked),
        stage_test(test_group_fails_while_the_rendezvous_is_full),
        stage_test(test_group_fails_while_hello_is_awaited),
        stage_test(test_hello_counts_more_than_counters),
        stage_test(test_silence_before_head),
        stage_test(test_empty_parts_are_silence),
        stage_test(test_silence_after_data),
        stage_test(test_each_frame_ends_the_silence),
        stage_test(test_lines_for_the_log_do_not),
        stage_test(test_silence_is_counted_anew_for_each_request),
        stage_test(test_abort_before_the_answer),
        stage_test(test_abort_in_the_answer),
        stage_test(test_client_does_not_take_the_end),
        stage_test(test_the_worker_is_let_go_before_the_client_is_told),
        stage_test(test_nobody_wants_the_sentence),
        stage_test(test_without_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
