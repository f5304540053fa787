/* tests/unit/daemon/test_watch.c — when a worker has to be replaced, to end, or to be killed: each
 * rule with all others off, on a clock that is a number.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <setjmp.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define BEGIN  (1000 * SECOND)

/* A worker that has just started, and has nothing to do. */
static wsgi_watch_facts_t a_worker(void)
{
    return (wsgi_watch_facts_t){
        .started_us = BEGIN,
        .probe_ended_us = BEGIN,
        .next_flight_us = WSGI_WATCH_NEVER,
    };
}

static void expect(const wsgi_watch_settings_t *settings, const wsgi_watch_facts_t *facts,
                   int64_t now_us, enum wsgi_watch_what what, enum wsgi_reason reason)
{
    const wsgi_verdict_t got = wsgi_watch_decide(settings, facts, now_us);

    assert_int_equal(got.what, what);
    assert_int_equal(got.reason, reason);
}

static void expect_wait(const wsgi_watch_settings_t *settings, const wsgi_watch_facts_t *facts,
                        int64_t now_us, int64_t until_us)
{
    const wsgi_verdict_t got = wsgi_watch_decide(settings, facts, now_us);

    assert_int_equal(got.what, WSGI_WATCH_WAIT);
    assert_int_equal(got.until_us, until_us);
}

/* Not a moment before, and at the moment. */
static void expect_mark_at(const wsgi_watch_settings_t *settings, const wsgi_watch_facts_t *facts,
                           int64_t due_us, enum wsgi_reason reason)
{
    expect_wait(settings, facts, due_us - 1, due_us);
    expect(settings, facts, due_us, WSGI_WATCH_MARK, reason);
}

static void test_with_all_off_nothing_happens(void **state)
{
    const wsgi_watch_settings_t settings = {.graceful_us = 15 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.completed = UINT64_MAX;
    facts.running = 3;
    facts.first_us = facts.last_active_us = BEGIN;
    facts.probe_asked_us = BEGIN;
    expect_wait(&settings, &facts, BEGIN + 1000000 * SECOND, WSGI_WATCH_NEVER);
}

static void test_maximum_requests(void **state)
{
    const wsgi_watch_settings_t settings = {.maximum_requests = 10};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.completed = 9;
    expect_wait(&settings, &facts, BEGIN, WSGI_WATCH_NEVER);
    facts.completed = 10;
    facts.running = 5; /* a busy process reaches its limit too */
    expect(&settings, &facts, BEGIN, WSGI_WATCH_MARK, WSGI_REASON_MAXIMUM_REQUESTS);
}

static void test_restart_interval(void **state)
{
    const wsgi_watch_settings_t settings = {.restart_us = 60 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.running = facts.running_active = 5;
    expect_mark_at(&settings, &facts, BEGIN + 60 * SECOND, WSGI_REASON_RESTART_INTERVAL);
}

static void test_startup_timeout_counts_from_the_first_request(void **state)
{
    const wsgi_watch_settings_t settings = {.startup_us = 15 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    expect_wait(&settings, &facts, BEGIN + 100 * SECOND, BEGIN + 115 * SECOND);
    facts.first_us = BEGIN + 100 * SECOND;
    expect_mark_at(&settings, &facts, BEGIN + 115 * SECOND, WSGI_REASON_STARTUP_TIMEOUT);
    facts.has_application = true;
    expect_wait(&settings, &facts, BEGIN + 1000 * SECOND, WSGI_WATCH_NEVER);
}

static void test_inactivity_timeout(void **state)
{
    const wsgi_watch_settings_t settings = {.inactivity_us = 30 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    expect_wait(&settings, &facts, BEGIN + 100 * SECOND, BEGIN + 130 * SECOND);
    facts.last_active_us = BEGIN;
    facts.running = facts.running_active = 1;
    expect_wait(&settings, &facts, BEGIN + 100 * SECOND, BEGIN + 130 * SECOND);
    facts.running_active = 0; /* what runs does not count */
    expect_mark_at(&settings, &facts, BEGIN + 30 * SECOND, WSGI_REASON_INACTIVITY_TIMEOUT);
}

static void test_request_timeout(void **state)
{
    const wsgi_watch_settings_t settings = {.request_us = 20 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.next_flight_us = BEGIN + 20 * SECOND;
    expect_wait(&settings, &facts, BEGIN, BEGIN + 20 * SECOND);
    facts.has_stuck = true;
    expect(&settings, &facts, BEGIN + 20 * SECOND, WSGI_WATCH_MARK, WSGI_REASON_REQUEST_TIMEOUT);
}

static void test_failed_load(void **state)
{
    const wsgi_watch_settings_t settings = {0};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.is_spoilt = true;
    expect(&settings, &facts, BEGIN, WSGI_WATCH_MARK, WSGI_REASON_LOAD_FAILURE);
}

static void test_deadlock_timeout(void **state)
{
    const wsgi_watch_settings_t settings = {.deadlock_us = 300 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    expect_wait(&settings, &facts, BEGIN, BEGIN + WSGI_WATCH_PROBE_US);
    expect(&settings, &facts, BEGIN + WSGI_WATCH_PROBE_US, WSGI_WATCH_PROBE, WSGI_REASON_NONE);
    facts.probe_asked_us = BEGIN;
    expect_wait(&settings, &facts, BEGIN + 300 * SECOND - 1, BEGIN + 300 * SECOND);
    expect(&settings, &facts, BEGIN + 300 * SECOND, WSGI_WATCH_KILL, WSGI_REASON_DEADLOCK_TIMEOUT);
    facts.is_marked = true; /* also while it is on its way out */
    facts.released_us = BEGIN;
    expect(&settings, &facts, BEGIN + 300 * SECOND, WSGI_WATCH_KILL, WSGI_REASON_DEADLOCK_TIMEOUT);
}

static void test_marked_once(void **state)
{
    const wsgi_watch_settings_t settings = {
        .maximum_requests = 1, .restart_us = SECOND, .inactivity_us = SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.completed = 5;
    facts.last_active_us = BEGIN;
    facts.is_marked = true;
    expect_wait(&settings, &facts, BEGIN + 100 * SECOND, WSGI_WATCH_NEVER);
}

static void test_end_when_idle_or_at_the_deadline(void **state)
{
    const wsgi_watch_settings_t settings = {.graceful_us = 15 * SECOND};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.is_marked = true;
    facts.running = 2;
    expect_wait(&settings, &facts, BEGIN + 100 * SECOND, WSGI_WATCH_NEVER); /* not released yet */
    facts.released_us = BEGIN;
    facts.patience_us = 15 * SECOND;
    expect_wait(&settings, &facts, BEGIN + 15 * SECOND - 1, BEGIN + 15 * SECOND);
    expect(&settings, &facts, BEGIN + 15 * SECOND, WSGI_WATCH_END, WSGI_REASON_NONE);
    facts.dead = 2; /* nobody waits for the stuck */
    expect(&settings, &facts, BEGIN, WSGI_WATCH_END, WSGI_REASON_NONE);
    facts.running = facts.dead = 0;
    expect(&settings, &facts, BEGIN, WSGI_WATCH_END, WSGI_REASON_NONE);
}

static void test_no_patience_is_at_once(void **state)
{
    const wsgi_watch_settings_t settings = {0};
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.running = 2;
    facts.released_us = BEGIN;
    expect(&settings, &facts, BEGIN, WSGI_WATCH_END, WSGI_REASON_NONE);
}

static void test_the_earliest_rule_is_waited_for(void **state)
{
    const wsgi_watch_settings_t settings = {
        .restart_us = 60 * SECOND,
        .deadlock_us = 300 * SECOND,
        .inactivity_us = 30 * SECOND,
        .startup_us = 20 * SECOND,
    };
    wsgi_watch_facts_t facts = a_worker();

    (void)state;
    facts.probe_asked_us = BEGIN;
    facts.first_us = facts.last_active_us = BEGIN;
    expect_wait(&settings, &facts, BEGIN, BEGIN + 20 * SECOND);
    facts.has_application = true;
    expect_wait(&settings, &facts, BEGIN, BEGIN + 30 * SECOND);
    facts.running_active = 1;
    expect_wait(&settings, &facts, BEGIN + 50 * SECOND, BEGIN + 60 * SECOND);
}

/* --- single requests ------------------------------------------------------------------------- */

static void expect_flight(const wsgi_watch_settings_t *settings, int64_t interrupted_us,
                          int64_t now_us, enum wsgi_watch_flight what, int64_t until_us)
{
    int64_t got_us;

    assert_int_equal(wsgi_watch_flight(settings, BEGIN, interrupted_us, now_us, &got_us), what);
    assert_int_equal(got_us, until_us);
}

static void test_a_request_that_is_not_interrupted(void **state)
{
    const wsgi_watch_settings_t off = {.interrupt_us = SECOND}, on = {.request_us = 10 * SECOND};
    const int64_t due_us = BEGIN + 10 * SECOND;

    (void)state;
    expect_flight(&off, 0, BEGIN + 1000 * SECOND, WSGI_FLIGHT_RUNS, WSGI_WATCH_NEVER);
    expect_flight(&on, 0, due_us - 1, WSGI_FLIGHT_RUNS, due_us);
    expect_flight(&on, 0, due_us, WSGI_FLIGHT_STUCK, due_us);
}

static void test_a_request_that_is_interrupted(void **state)
{
    const wsgi_watch_settings_t on = {.request_us = 10 * SECOND, .interrupt_us = 3 * SECOND};
    const int64_t due_us = BEGIN + 10 * SECOND;

    (void)state;
    expect_flight(&on, 0, due_us - 1, WSGI_FLIGHT_RUNS, due_us);
    expect_flight(&on, 0, due_us, WSGI_FLIGHT_INTERRUPT, due_us);
    expect_flight(&on, due_us, due_us + 3 * SECOND - 1, WSGI_FLIGHT_RUNS, due_us + 3 * SECOND);
    expect_flight(&on, due_us, due_us + 3 * SECOND, WSGI_FLIGHT_STUCK, due_us + 3 * SECOND);
}

static void test_settings_of_a_group(void **state)
{
    static const struct {
        int64_t threads, request_us;
    } cases[] = {{1, 10000000}, {10, 33025850}, {25, 42188758}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsgi_group_settings_t group = {
            .threads = cases[i].threads,
            .request_timeout_s = 10,
            .graceful_timeout_s = 15,
            .eviction_timeout_s = 40,
        };
        const wsgi_watch_settings_t got = wsgi_watch_settings(&group);
        assert_true(got.request_us / 10 == cases[i].request_us / 10);
        assert_int_equal(got.interrupt_us, 0);
        assert_int_equal(wsgi_watch_patience(&got, WSGI_REASON_GRACEFUL_SIGNAL), 15 * SECOND);
        assert_int_equal(wsgi_watch_patience(&got, WSGI_REASON_EVICTION_SIGNAL), 40 * SECOND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_all_off_nothing_happens),
        cmocka_unit_test(test_maximum_requests),
        cmocka_unit_test(test_restart_interval),
        cmocka_unit_test(test_startup_timeout_counts_from_the_first_request),
        cmocka_unit_test(test_inactivity_timeout),
        cmocka_unit_test(test_request_timeout),
        cmocka_unit_test(test_failed_load),
        cmocka_unit_test(test_deadlock_timeout),
        cmocka_unit_test(test_marked_once),
        cmocka_unit_test(test_end_when_idle_or_at_the_deadline),
        cmocka_unit_test(test_no_patience_is_at_once),
        cmocka_unit_test(test_the_earliest_rule_is_waited_for),
        cmocka_unit_test(test_a_request_that_is_not_interrupted),
        cmocka_unit_test(test_a_request_that_is_interrupted),
        cmocka_unit_test(test_settings_of_a_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
