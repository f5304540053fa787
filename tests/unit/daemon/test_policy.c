/* tests/unit/daemon/test_policy.c — what the supervisor decides, against recorded schedules.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <setjmp.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define BEGIN  (1000 * SECOND)

typedef struct group {
    wsgi_policy_t policy;
    wsgi_slot_t slots[3];
} group_t;

static void begin(group_t *group, unsigned slot_count, int64_t shutdown_timeout_s)
{
    wsgi_policy_init(&group->policy, group->slots, slot_count, shutdown_timeout_s * SECOND, BEGIN);
}

static void expect_deed(group_t *group, int64_t now_us, enum wsgi_deed deed, unsigned slot)
{
    const wsgi_decision_t got = wsgi_policy_decide(&group->policy, now_us);

    assert_int_equal(got.deed, deed);
    assert_int_equal(got.slot, slot);
}

static void expect_wait(group_t *group, int64_t now_us, int64_t until_us)
{
    const wsgi_decision_t got = wsgi_policy_decide(&group->policy, now_us);

    assert_int_equal(got.deed, WSGI_DEED_WAIT);
    assert_int_equal(got.until_us, until_us);
}

static void expect_finish(group_t *group, int64_t now_us)
{
    assert_int_equal(wsgi_policy_decide(&group->policy, now_us).deed, WSGI_DEED_FINISH);
}

static void expect_state(const group_t *group, enum wsgi_group_state state)
{
    assert_int_equal(wsgi_policy_group_state(&group->policy), state);
}

static void start_all(group_t *group, int64_t now_us)
{
    for (unsigned i = 0; i < group->policy.slot_count; i++) {
        expect_deed(group, now_us, WSGI_DEED_START, i);
        wsgi_policy_note_ready(&group->policy, i);
    }
}

/* The worker of slot 0 ends at once, and another is not started before `pause_us` have passed. */
static void expect_pause(group_t *group, int64_t *now_us, enum wsgi_ending ending, int64_t pause_us)
{
    wsgi_policy_note_exit(&group->policy, 0, ending, false, *now_us);
    if (pause_us > 0) {
        expect_wait(group, *now_us, *now_us + pause_us);
        expect_wait(group, *now_us + pause_us - 1, *now_us + pause_us);
    }
    *now_us += pause_us;
    expect_deed(group, *now_us, WSGI_DEED_START, 0);
}

static void test_all_slots_start_once(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 3, 5);
    start_all(&group, BEGIN);
    expect_wait(&group, BEGIN, WSGI_POLICY_NEVER);
    expect_wait(&group, BEGIN + 3600 * SECOND, WSGI_POLICY_NEVER);
}

static void test_no_start_before_the_first(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 2, 5);
    expect_wait(&group, 0, BEGIN);
    expect_wait(&group, BEGIN - 1, BEGIN);
    start_all(&group, BEGIN);
}

static void test_crashes_back_off_after_the_first(void **state)
{
    static const int pauses_s[] = {0, 1, 2, 4, 8, 16, 30, 30, 30};
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        expect_pause(&group, &now_us, WSGI_ENDED_BADLY, pauses_s[i] * SECOND);
    }
}

static void test_a_worker_that_cannot_start_backs_off_at_once(void **state)
{
    static const int pauses_s[] = {1, 2, 4, 8, 16, 30, 30};
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        expect_pause(&group, &now_us, WSGI_ENDED_UNABLE, pauses_s[i] * SECOND);
    }
}

/* One that ends by itself with status 0, and served nobody, would be started in a loop. */
static void test_an_early_end_in_order_counts_as_failure(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_IN_ORDER, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_IN_ORDER, SECOND);
}

static void fail_three_times(group_t *group, int64_t *now_us)
{
    begin(group, 1, 5);
    expect_deed(group, *now_us, WSGI_DEED_START, 0);
    expect_pause(group, now_us, WSGI_ENDED_BADLY, 0);
    expect_pause(group, now_us, WSGI_ENDED_BADLY, SECOND);
    expect_pause(group, now_us, WSGI_ENDED_BADLY, 2 * SECOND);
}

static void test_a_useful_worker_resets_failures(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    fail_three_times(&group, &now_us);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, true, now_us);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, SECOND);
}

static void test_a_long_lived_worker_resets_failures(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    fail_three_times(&group, &now_us);
    now_us += WSGI_POLICY_LONG_US;
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);

    fail_three_times(&group, &now_us);
    now_us += WSGI_POLICY_LONG_US - 1;
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 4 * SECOND);
}

/* Python that takes a minute to fail has still failed. */
static void test_unable_is_never_of_use(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    now_us += 60 * SECOND;
    expect_pause(&group, &now_us, WSGI_ENDED_UNABLE, SECOND);
    now_us += 60 * SECOND;
    expect_pause(&group, &now_us, WSGI_ENDED_UNABLE, 2 * SECOND);
}

static void test_slots_back_off_apart(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 3, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_UNABLE, false, BEGIN);
    wsgi_policy_note_exit(&group.policy, 2, WSGI_ENDED_UNABLE, false, BEGIN - SECOND / 2);
    expect_wait(&group, BEGIN, BEGIN + SECOND / 2);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_BADLY, true, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    expect_deed(&group, BEGIN + SECOND / 2, WSGI_DEED_START, 2);
    expect_wait(&group, BEGIN + SECOND / 2, BEGIN + SECOND);
}

static void test_a_retiring_worker_is_replaced_when_it_has_ended(void **state)
{
    group_t group;
    const int64_t later_us = BEGIN + SECOND;

    (void)state;
    begin(&group, 2, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 1, later_us);
    assert_int_equal(group.slots[1].phase, WSGI_SLOT_STOPPING);
    expect_wait(&group, later_us, later_us + 5 * SECOND);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_IN_ORDER, false, later_us);
    expect_deed(&group, later_us, WSGI_DEED_START, 1);
    assert_int_equal(group.slots[0].phase, WSGI_SLOT_READY);
}

static void test_a_word_repeated_does_not_move_the_deadline(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN + 4 * SECOND);
    wsgi_policy_note_ready(&group.policy, 0);
    assert_int_equal(group.slots[0].phase, WSGI_SLOT_STOPPING);
    expect_wait(&group, BEGIN + 4 * SECOND, BEGIN + 5 * SECOND);
    wsgi_policy_note_drain(&group.policy);
    expect_wait(&group, BEGIN + 4 * SECOND, BEGIN + 5 * SECOND);
}

static void test_words_of_a_slot_without_process_are_ignored(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    wsgi_policy_note_ready(&group.policy, 0);
    assert_int_equal(group.slots[0].phase, WSGI_SLOT_EMPTY);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    assert_int_equal(group.slots[0].phase, WSGI_SLOT_EMPTY);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
}

static void test_kill_at_the_deadline_and_once(void **state)
{
    group_t group;
    int64_t now_us = BEGIN + 5 * SECOND;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    expect_wait(&group, now_us - 1, now_us);
    expect_deed(&group, now_us, WSGI_DEED_KILL, 0);
    expect_wait(&group, now_us, WSGI_POLICY_NEVER);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, false, now_us);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0); /* being killed was no failure */
}

static void test_without_time_out_nothing_is_killed(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 0);
    start_all(&group, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    expect_wait(&group, BEGIN, WSGI_POLICY_NEVER);
    expect_wait(&group, WSGI_POLICY_NEVER - 1, WSGI_POLICY_NEVER);
}

static void test_drain_stops_all_then_finishes(void **state)
{
    group_t group;
    const int64_t now_us = BEGIN + SECOND;

    (void)state;
    begin(&group, 3, 5);
    start_all(&group, BEGIN);
    group.slots[1].phase = WSGI_SLOT_STARTING;
    wsgi_policy_note_drain(&group.policy);
    for (unsigned i = 0; i < 3; i++) {
        expect_deed(&group, now_us, WSGI_DEED_STOP, i);
    }
    expect_wait(&group, now_us, now_us + 5 * SECOND);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_IN_ORDER, true, now_us);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_BADLY, false, now_us);
    expect_wait(&group, now_us, now_us + 5 * SECOND);
    expect_deed(&group, now_us + 5 * SECOND, WSGI_DEED_KILL, 2);
    wsgi_policy_note_exit(&group.policy, 2, WSGI_ENDED_BADLY, false, now_us + 5 * SECOND);
    expect_finish(&group, now_us + 5 * SECOND);
}

static void test_drain_during_back_off_starts_nothing(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_UNABLE, false, BEGIN);
    wsgi_policy_note_drain(&group.policy);
    expect_finish(&group, BEGIN + 60 * SECOND);
}

static void test_group_state(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 2, 5);
    expect_state(&group, WSGI_GROUP_STARTING);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    expect_state(&group, WSGI_GROUP_STARTING);
    wsgi_policy_note_ready(&group.policy, 1);
    expect_state(&group, WSGI_GROUP_READY);

    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_UNABLE, false, BEGIN);
    expect_state(&group, WSGI_GROUP_READY);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_BADLY, false, BEGIN);
    expect_state(&group, WSGI_GROUP_STARTING); /* slot 1 has a hope */
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_UNABLE, false, BEGIN);
    expect_state(&group, WSGI_GROUP_FAILED);
    expect_deed(&group, BEGIN + 2 * SECOND, WSGI_DEED_START, 0);
    expect_state(&group, WSGI_GROUP_FAILED); /* until the new one has proved better */
    wsgi_policy_note_ready(&group.policy, 0);
    expect_state(&group, WSGI_GROUP_READY);

    wsgi_policy_note_drain(&group.policy);
    expect_state(&group, WSGI_GROUP_STOPPING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_slots_start_once),
        cmocka_unit_test(test_no_start_before_the_first),
        cmocka_unit_test(test_crashes_back_off_after_the_first),
        cmocka_unit_test(test_a_worker_that_cannot_start_backs_off_at_once),
        cmocka_unit_test(test_an_early_end_in_order_counts_as_failure),
        cmocka_unit_test(test_a_useful_worker_resets_failures),
        cmocka_unit_test(test_a_long_lived_worker_resets_failures),
        cmocka_unit_test(test_unable_is_never_of_use),
        cmocka_unit_test(test_slots_back_off_apart),
        cmocka_unit_test(test_a_retiring_worker_is_replaced_when_it_has_ended),
        cmocka_unit_test(test_a_word_repeated_does_not_move_the_deadline),
        cmocka_unit_test(test_words_of_a_slot_without_process_are_ignored),
        cmocka_unit_test(test_kill_at_the_deadline_and_once),
        cmocka_unit_test(test_without_time_out_nothing_is_killed),
        cmocka_unit_test(test_drain_stops_all_then_finishes),
        cmocka_unit_test(test_drain_during_back_off_starts_nothing),
        cmocka_unit_test(test_group_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
