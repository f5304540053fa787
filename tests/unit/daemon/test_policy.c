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
    wsgi_slot_t slots[6];
    wsgi_seat_t seats[3];
} group_t;

/* Workers follow each other. */
static void begin(group_t *group, unsigned seat_count, int64_t shutdown_timeout_s)
{
    const wsgi_policy_settings_t settings = {
        .seat_count = seat_count,
        .shutdown_timeout_us = shutdown_timeout_s * SECOND,
        .graceful_timeout_us = 15 * SECOND,
        .first_start_us = BEGIN,
    };

    wsgi_policy_init(&group->policy, &settings, group->slots, group->seats);
}

/* A successor starts beside its predecessor. */
static void begin_pairs(group_t *group, unsigned seat_count)
{
    const wsgi_policy_settings_t settings = {
        .seat_count = seat_count,
        .is_side_by_side = true,
        .shutdown_timeout_us = 5 * SECOND,
        .graceful_timeout_us = 15 * SECOND,
        .first_start_us = BEGIN,
    };

    wsgi_policy_init(&group->policy, &settings, group->slots, group->seats);
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

static void become_ready(group_t *group, int64_t now_us, unsigned slot)
{
    wsgi_policy_note_loaded(&group->policy, slot);
    expect_deed(group, now_us, WSGI_DEED_GO, slot);
}

static void start_all(group_t *group, int64_t now_us)
{
    for (unsigned i = 0; i < group->policy.settings.seat_count; i++) {
        expect_deed(group, now_us, WSGI_DEED_START, i);
        become_ready(group, now_us, i);
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

/* compat: LIFE-loop */
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

/* compat: LIFE-loop */
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
    become_ready(&group, now_us, 0);
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
    become_ready(&group, now_us, 0);
    now_us += WSGI_POLICY_LONG_US;
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);

    fail_three_times(&group, &now_us);
    become_ready(&group, now_us, 0);
    now_us += WSGI_POLICY_LONG_US - 1;
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 4 * SECOND);
}

/* An import that takes long, and crashes, has still failed. */
static void test_a_long_start_is_of_no_use(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    fail_three_times(&group, &now_us);
    now_us += WSGI_POLICY_LONG_US;
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
    wsgi_policy_note_loaded(&group.policy, 0);
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
    wsgi_policy_note_loaded(&group.policy, 0);
    wsgi_policy_note_leaving(&group.policy, 0, 0, false, BEGIN);
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
    wsgi_policy_note_loaded(&group.policy, 1);
    expect_state(&group, WSGI_GROUP_STARTING);
    expect_deed(&group, BEGIN, WSGI_DEED_GO, 1);
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
    become_ready(&group, BEGIN + 2 * SECOND, 0);
    expect_state(&group, WSGI_GROUP_READY);

    wsgi_policy_note_drain(&group.policy);
    expect_state(&group, WSGI_GROUP_STOPPING);
}

/* compat: FAIL-cannot-start */
static void test_a_group_that_crashes_as_it_starts_has_failed(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);
    expect_state(&group, WSGI_GROUP_STARTING); /* the first may be an accident */
    wsgi_policy_note_loaded(&group.policy, 0);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, false, now_us);
    expect_state(&group, WSGI_GROUP_FAILED);
    assert_int_equal(wsgi_policy_next_start(&group.policy, 0), now_us + SECOND);
    now_us += SECOND;
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_state(&group, WSGI_GROUP_FAILED);
    expect_pause(&group, &now_us, WSGI_ENDED_IN_ORDER, 2 * SECOND);
    become_ready(&group, now_us, 0);
    expect_state(&group, WSGI_GROUP_READY);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 4 * SECOND); /* it was ready: no failed start */
    expect_state(&group, WSGI_GROUP_STARTING);
}

static void test_a_group_with_one_seat_of_hope_has_not_failed(void **state)
{
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin_pairs(&group, 2);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    expect_deed(&group, now_us, WSGI_DEED_START, 1);
    expect_pause(&group, &now_us, WSGI_ENDED_BADLY, 0);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, false, now_us);
    expect_state(&group, WSGI_GROUP_STARTING);
    become_ready(&group, now_us, 1);
    expect_state(&group, WSGI_GROUP_READY);
}

/* --- replacement ----------------------------------------------------------------------------- */

static void leave(group_t *group, unsigned slot, int64_t now_us)
{
    wsgi_policy_note_leaving(&group->policy, slot, 15 * SECOND, false, now_us);
}

static void end_in_order(group_t *group, unsigned slot, int64_t now_us)
{
    wsgi_policy_note_retiring(&group->policy, slot, now_us);
    wsgi_policy_note_exit(&group->policy, slot, WSGI_ENDED_IN_ORDER, true, now_us);
}

static void test_a_successor_is_ready_before_the_old_one_is_released(void **state)
{
    group_t group;
    const int64_t later_us = BEGIN + 3 * SECOND;

    (void)state;
    begin_pairs(&group, 2);
    start_all(&group, BEGIN);
    leave(&group, 1, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 3);
    expect_wait(&group, BEGIN, WSGI_POLICY_NEVER);
    expect_state(&group, WSGI_GROUP_READY);
    become_ready(&group, later_us, 3);
    expect_deed(&group, later_us, WSGI_DEED_RELEASE, 1);
    expect_wait(&group, later_us, later_us + 21 * SECOND);
    end_in_order(&group, 1, later_us);
    expect_wait(&group, later_us, WSGI_POLICY_NEVER);

    leave(&group, 3, later_us); /* and back to the first slot of the seat */
    expect_deed(&group, later_us, WSGI_DEED_START, 1);
    become_ready(&group, later_us, 1);
    expect_deed(&group, later_us, WSGI_DEED_RELEASE, 3);
}

static void test_in_sequence_never_two_at_once(void **state)
{
    group_t group;
    const int64_t later_us = BEGIN + 3 * SECOND;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_wait(&group, BEGIN, BEGIN + 21 * SECOND);
    wsgi_policy_note_retiring(&group.policy, 0, later_us);
    expect_wait(&group, later_us, later_us + 5 * SECOND);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_IN_ORDER, true, later_us);
    expect_deed(&group, later_us, WSGI_DEED_START, 0);
}

static void test_an_old_one_serves_on_while_successors_fail(void **state)
{
    static const int pauses_s[] = {1, 2, 4, 8, 16, 30, 30};
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    leave(&group, 0, now_us);
    expect_deed(&group, now_us, WSGI_DEED_START, 1);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_UNABLE, false, now_us);
        expect_wait(&group, now_us, now_us + pauses_s[i] * SECOND);
        expect_state(&group, WSGI_GROUP_READY);
        now_us += pauses_s[i] * SECOND;
        expect_deed(&group, now_us, WSGI_DEED_START, 1);
    }
    become_ready(&group, now_us, 1);
    expect_deed(&group, now_us, WSGI_DEED_RELEASE, 0);
}

static void test_one_that_leaves_and_crashes_is_replaced_by_its_successor(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, true, BEGIN);
    expect_wait(&group, BEGIN, WSGI_POLICY_NEVER);
    become_ready(&group, BEGIN, 1);
    expect_wait(&group, BEGIN, WSGI_POLICY_NEVER);
}

/* It keeps its own time; when it does not, the supervisor does. */
static void test_a_released_worker_is_killed_at_last(void **state)
{
    group_t group;
    const int64_t last_us = BEGIN + 21 * SECOND;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    leave(&group, 0, BEGIN + 10 * SECOND); /* said again: the deadline does not move */
    expect_wait(&group, last_us - 1, last_us);
    expect_deed(&group, last_us, WSGI_DEED_KILL, 0);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, true, last_us);
    expect_deed(&group, last_us, WSGI_DEED_START, 0);
}

/* A third process of a seat would be one too many. */
static void test_a_seat_has_two_processes_at_most(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    become_ready(&group, BEGIN, 1);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    leave(&group, 1, BEGIN);
    expect_wait(&group, BEGIN, BEGIN + 21 * SECOND);
    expect_state(&group, WSGI_GROUP_READY);
    end_in_order(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
}

static void test_a_signal_to_one_beside_others(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    expect_wait(&group, BEGIN, BEGIN + 5 * SECOND);
}

/* One that sends itself a signal as it starts would be started in a loop. */
static void test_an_end_before_it_served_counts_as_failure(void **state)
{
    static const int pauses_s[] = {0, 1, 2, 4};
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin_pairs(&group, 1);
    expect_deed(&group, now_us, WSGI_DEED_START, 0);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        wsgi_policy_note_retiring(&group.policy, 0, now_us);
        expect_wait(&group, now_us, now_us + 5 * SECOND);
        expect_pause(&group, &now_us, WSGI_ENDED_IN_ORDER, pauses_s[i] * SECOND);
    }
}

/* A signal may come at any time. */
static void test_one_that_wants_to_leave_before_it_serves(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 1);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    wsgi_policy_note_loaded(&group.policy, 0);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_GO, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    expect_state(&group, WSGI_GROUP_READY);

    wsgi_policy_note_loaded(&group.policy, 1); /* and its successor too */
    leave(&group, 1, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_GO, 1);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_wait(&group, BEGIN, BEGIN + 21 * SECOND);
    end_in_order(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    become_ready(&group, BEGIN, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 1);
}

/* --- changed scripts ------------------------------------------------------------------------- */

static void test_nobody_serves_new_code_before_all_have_left_the_old(void **state)
{
    group_t group;
    const int64_t later_us = BEGIN + SECOND;

    (void)state;
    begin_pairs(&group, 2);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 1, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 1);
    expect_state(&group, WSGI_GROUP_STARTING);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 2);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 3);
    wsgi_policy_note_loaded(&group.policy, 3);
    wsgi_policy_note_released(&group.policy, 1);
    expect_wait(&group, later_us, BEGIN + 5 * SECOND);
    wsgi_policy_note_released(&group.policy, 0);
    expect_deed(&group, later_us, WSGI_DEED_GO, 3);
    become_ready(&group, later_us, 2);
    expect_wait(&group, later_us, BEGIN + 21 * SECOND);
}

static void test_words_about_one_change_retire_once(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 2);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 1, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 1);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 2);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 3);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN + SECOND); /* saw it at the same time */
    assert_int_equal(group.slots[2].phase, WSGI_SLOT_STARTING);
    end_in_order(&group, 0, BEGIN);
    wsgi_policy_note_released(&group.policy, 1);
    become_ready(&group, BEGIN, 2);
    become_ready(&group, BEGIN, 3);
    wsgi_policy_note_changed(&group.policy, 2, BEGIN + SECOND); /* changed again */
    expect_deed(&group, BEGIN + SECOND, WSGI_DEED_START, 0);
    expect_deed(&group, BEGIN + SECOND, WSGI_DEED_RELEASE, 2);
    expect_deed(&group, BEGIN + SECOND, WSGI_DEED_RELEASE, 3);
}

static void test_one_that_starts_during_a_change_is_started_again(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 2);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    become_ready(&group, BEGIN, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_STOP, 1);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 2);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 3);
    wsgi_policy_note_exit(&group.policy, 1, WSGI_ENDED_IN_ORDER, false, BEGIN);
    expect_wait(&group, BEGIN, BEGIN + 21 * SECOND);
}

/* One that a debugger has stopped, for example. */
static void test_a_missing_word_holds_new_code_up_for_a_limited_time(void **state)
{
    group_t group;
    const int64_t limit_us = BEGIN + WSGI_POLICY_ACK_US;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    wsgi_policy_note_loaded(&group.policy, 1);
    expect_wait(&group, BEGIN, limit_us);
    expect_deed(&group, limit_us, WSGI_DEED_GO, 1);
}

static void test_change_in_sequence(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_wait(&group, BEGIN, BEGIN + 6 * SECOND); /* nobody is served meanwhile */
    wsgi_policy_note_retiring(&group.policy, 0, BEGIN);
    expect_wait(&group, BEGIN, BEGIN + 5 * SECOND);
    expect_deed(&group, BEGIN + 5 * SECOND, WSGI_DEED_KILL, 0);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, true, BEGIN + 5 * SECOND);
    expect_deed(&group, BEGIN + 5 * SECOND, WSGI_DEED_START, 0);
    become_ready(&group, BEGIN + 5 * SECOND, 0);
}

/* It had its patience, and served on, until the change. */
static void test_change_in_sequence_after_the_release(void **state)
{
    group_t group;
    const int64_t later_us = BEGIN + SECOND;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    wsgi_policy_note_changed(&group.policy, 0, later_us);
    expect_wait(&group, later_us, later_us + 6 * SECOND);
    expect_deed(&group, later_us + 6 * SECOND, WSGI_DEED_KILL, 0);
}

/* As the word of the change and the last one may be read together. */
static void test_change_in_sequence_and_the_end_at_once(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    end_in_order(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    become_ready(&group, BEGIN, 0);
}

/* Requests that run long in both: those of the older one have to make room. */
static void test_two_changes_within_the_patience(void **state)
{
    group_t group;
    const int64_t second_us = BEGIN + 2 * SECOND;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 1);
    wsgi_policy_note_released(&group.policy, 0);
    become_ready(&group, BEGIN + 1, 1);
    wsgi_policy_note_changed(&group.policy, 1, second_us);
    expect_deed(&group, second_us, WSGI_DEED_RELEASE, 1);
    expect_deed(&group, second_us, WSGI_DEED_STOP, 0);
    wsgi_policy_note_released(&group.policy, 1);
    expect_wait(&group, second_us, second_us + 5 * SECOND);
    expect_deed(&group, second_us + 5 * SECOND, WSGI_DEED_KILL, 0);
    wsgi_policy_note_exit(&group.policy, 0, WSGI_ENDED_BADLY, true, second_us + 5 * SECOND);
    expect_deed(&group, second_us + 5 * SECOND, WSGI_DEED_START, 0);
    expect_wait(&group, second_us + 5 * SECOND,
                second_us + 21 * SECOND); /* the other has its own */
}

/* --- scripts that fail to load --------------------------------------------------------------- */

static void fail_to_load(group_t *group, unsigned slot, int64_t now_us)
{
    wsgi_policy_note_leaving(&group->policy, slot, 15 * SECOND, true, now_us);
}

/* compat: LOAD-again-daemon */
static void test_failed_loads_back_off_side_by_side(void **state)
{
    static const int pauses_s[] = {1, 2, 4, 8, 16, 30, 30};
    group_t group;
    int64_t now_us = BEGIN;
    unsigned slot = 0;

    (void)state;
    begin_pairs(&group, 1);
    start_all(&group, BEGIN);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        fail_to_load(&group, slot, now_us);
        expect_wait(&group, now_us, now_us + pauses_s[i] * SECOND);
        expect_state(&group, WSGI_GROUP_READY);
        now_us += pauses_s[i] * SECOND;
        expect_deed(&group, now_us, WSGI_DEED_START, 1 - slot);
        wsgi_policy_note_loaded(&group.policy, 1 - slot);
        expect_deed(&group, now_us, WSGI_DEED_GO, 1 - slot);
        expect_deed(&group, now_us, WSGI_DEED_RELEASE, slot);
        end_in_order(&group, slot, now_us);
        slot = 1 - slot;
    }
}

/* compat: LOAD-again-daemon */
static void test_failed_loads_back_off_in_sequence(void **state)
{
    static const int pauses_s[] = {1, 2, 4, 8, 16, 30, 30};
    group_t group;
    int64_t now_us = BEGIN;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        fail_to_load(&group, 0, now_us);
        expect_wait(&group, now_us, now_us + pauses_s[i] * SECOND);
        now_us += pauses_s[i] * SECOND;
        expect_deed(&group, now_us, WSGI_DEED_RELEASE, 0);
        end_in_order(&group, 0, now_us);
        expect_deed(&group, now_us, WSGI_DEED_START, 0);
        become_ready(&group, now_us, 0);
    }
    now_us += WSGI_POLICY_LONG_US; /* it was well for so long */
    fail_to_load(&group, 0, now_us);
    expect_wait(&group, now_us, now_us + SECOND);
}

static void test_changed_code_ends_the_back_off(void **state)
{
    group_t group;

    (void)state;
    begin(&group, 1, 5);
    start_all(&group, BEGIN);
    fail_to_load(&group, 0, BEGIN);
    expect_wait(&group, BEGIN, BEGIN + SECOND);
    wsgi_policy_note_changed(&group.policy, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_RELEASE, 0);
    end_in_order(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 0);
    become_ready(&group, BEGIN, 0);
    fail_to_load(&group, 0, BEGIN);
    expect_wait(&group, BEGIN, BEGIN + SECOND);
}

static void test_drain_in_the_middle_of_a_replacement(void **state)
{
    group_t group;

    (void)state;
    begin_pairs(&group, 2);
    start_all(&group, BEGIN);
    leave(&group, 0, BEGIN);
    expect_deed(&group, BEGIN, WSGI_DEED_START, 2);
    wsgi_policy_note_drain(&group.policy);
    for (unsigned i = 0; i < 3; i++) {
        expect_deed(&group, BEGIN, WSGI_DEED_STOP, i);
    }
    for (unsigned i = 0; i < 3; i++) {
        end_in_order(&group, i, BEGIN);
    }
    expect_finish(&group, BEGIN);
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
        cmocka_unit_test(test_a_long_start_is_of_no_use),
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
        cmocka_unit_test(test_a_group_that_crashes_as_it_starts_has_failed),
        cmocka_unit_test(test_a_group_with_one_seat_of_hope_has_not_failed),
        cmocka_unit_test(test_a_successor_is_ready_before_the_old_one_is_released),
        cmocka_unit_test(test_in_sequence_never_two_at_once),
        cmocka_unit_test(test_an_old_one_serves_on_while_successors_fail),
        cmocka_unit_test(test_one_that_leaves_and_crashes_is_replaced_by_its_successor),
        cmocka_unit_test(test_a_released_worker_is_killed_at_last),
        cmocka_unit_test(test_a_seat_has_two_processes_at_most),
        cmocka_unit_test(test_a_signal_to_one_beside_others),
        cmocka_unit_test(test_an_end_before_it_served_counts_as_failure),
        cmocka_unit_test(test_one_that_wants_to_leave_before_it_serves),
        cmocka_unit_test(test_nobody_serves_new_code_before_all_have_left_the_old),
        cmocka_unit_test(test_words_about_one_change_retire_once),
        cmocka_unit_test(test_one_that_starts_during_a_change_is_started_again),
        cmocka_unit_test(test_a_missing_word_holds_new_code_up_for_a_limited_time),
        cmocka_unit_test(test_change_in_sequence),
        cmocka_unit_test(test_change_in_sequence_after_the_release),
        cmocka_unit_test(test_change_in_sequence_and_the_end_at_once),
        cmocka_unit_test(test_two_changes_within_the_patience),
        cmocka_unit_test(test_failed_loads_back_off_side_by_side),
        cmocka_unit_test(test_failed_loads_back_off_in_sequence),
        cmocka_unit_test(test_changed_code_ends_the_back_off),
        cmocka_unit_test(test_drain_in_the_middle_of_a_replacement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
