/* daemon/policy.c — what the supervisor decides, as a function of slots, exits and time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#define SECOND_US INT64_C(1000000)

void wsgi_policy_init(wsgi_policy_t *policy, wsgi_slot_t *slots, unsigned slot_count,
                      int64_t shutdown_timeout_us, int64_t first_start_us)
{
    *policy = (wsgi_policy_t){
        .slots = slots,
        .slot_count = slot_count,
        .shutdown_timeout_us = shutdown_timeout_us,
    };
    for (unsigned i = 0; i < slot_count; i++) {
        slots[i] = (wsgi_slot_t){.phase = WSGI_SLOT_EMPTY, .due_us = first_start_us};
    }
}

static int64_t kill_time(const wsgi_policy_t *policy, int64_t now_us)
{
    return policy->shutdown_timeout_us > 0 ? now_us + policy->shutdown_timeout_us
                                           : WSGI_POLICY_NEVER;
}

/* What is due for a slot now; WAIT with the time of its next deed otherwise. */
static wsgi_decision_t decide_slot(wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    wsgi_slot_t *slot = &policy->slots[index];
    wsgi_decision_t decision = {.slot = index, .until_us = WSGI_POLICY_NEVER};
    bool is_due = slot->due_us <= now_us;

    switch (slot->phase) {
    case WSGI_SLOT_EMPTY:
        if (!policy->is_draining && is_due) {
            decision.deed = WSGI_DEED_START;
            slot->phase = WSGI_SLOT_STARTING;
            slot->since_us = now_us;
        }
        else if (!policy->is_draining) {
            decision.until_us = slot->due_us;
        }
        break;
    case WSGI_SLOT_STARTING:
    case WSGI_SLOT_READY:
        if (policy->is_draining) {
            decision.deed = WSGI_DEED_STOP;
            slot->phase = WSGI_SLOT_STOPPING;
            slot->due_us = kill_time(policy, now_us);
        }
        break;
    case WSGI_SLOT_STOPPING:
        decision.until_us = slot->due_us;
        if (is_due) {
            decision.deed = WSGI_DEED_KILL;
            slot->due_us = WSGI_POLICY_NEVER;
        }
        break;
    case WSGI_SLOT_PHASES:
        break;
    }
    return decision;
}

static bool is_empty(const wsgi_policy_t *policy)
{
    for (unsigned i = 0; i < policy->slot_count; i++) {
        if (policy->slots[i].phase != WSGI_SLOT_EMPTY) {
            return false;
        }
    }
    return true;
}

wsgi_decision_t wsgi_policy_decide(wsgi_policy_t *policy, int64_t now_us)
{
    wsgi_decision_t wait = {.deed = WSGI_DEED_WAIT, .until_us = WSGI_POLICY_NEVER};

    for (unsigned i = 0; i < policy->slot_count; i++) {
        wsgi_decision_t decision = decide_slot(policy, i, now_us);
        if (decision.deed != WSGI_DEED_WAIT) {
            return decision;
        }
        if (decision.until_us < wait.until_us) {
            wait.until_us = decision.until_us;
        }
    }
    if (policy->is_draining && is_empty(policy)) {
        wait.deed = WSGI_DEED_FINISH;
    }
    return wait;
}

void wsgi_policy_note_ready(wsgi_policy_t *policy, unsigned slot)
{
    if (policy->slots[slot].phase == WSGI_SLOT_STARTING) {
        policy->slots[slot].phase = WSGI_SLOT_READY;
    }
}

void wsgi_policy_note_retiring(wsgi_policy_t *policy, unsigned slot, int64_t now_us)
{
    enum wsgi_slot_phase phase = policy->slots[slot].phase;

    if (phase == WSGI_SLOT_STARTING || phase == WSGI_SLOT_READY) {
        policy->slots[slot].phase = WSGI_SLOT_STOPPING;
        policy->slots[slot].due_us = kill_time(policy, now_us);
    }
}

/* The first crash is an accident: its successor starts at once. */
static int64_t back_off_us(unsigned failures, enum wsgi_ending ending)
{
    static const unsigned char seconds[] = {0, 1, 2, 4, 8, 16, 30};
    const unsigned last = sizeof(seconds) - 1;
    unsigned step = ending == WSGI_ENDED_UNABLE ? failures : failures - 1;

    return seconds[step < last ? step : last] * SECOND_US;
}

void wsgi_policy_note_exit(wsgi_policy_t *policy, unsigned slot, enum wsgi_ending ending,
                           bool has_served, int64_t now_us)
{
    wsgi_slot_t *s = &policy->slots[slot];
    bool was_of_use =
        ending != WSGI_ENDED_UNABLE && (has_served || now_us - s->since_us >= WSGI_POLICY_LONG_US);

    if (s->phase == WSGI_SLOT_STOPPING || was_of_use) {
        s->failures = 0;
        s->due_us = now_us;
    }
    else {
        s->failures++;
        s->due_us = now_us + back_off_us(s->failures, ending);
    }
    s->is_unable = ending == WSGI_ENDED_UNABLE;
    s->phase = WSGI_SLOT_EMPTY;
}

void wsgi_policy_note_drain(wsgi_policy_t *policy)
{
    policy->is_draining = true;
}

enum wsgi_group_state wsgi_policy_group_state(const wsgi_policy_t *policy)
{
    unsigned hopeful = 0;

    if (policy->is_draining) {
        return WSGI_GROUP_STOPPING;
    }
    for (unsigned i = 0; i < policy->slot_count; i++) {
        if (policy->slots[i].phase == WSGI_SLOT_READY) {
            return WSGI_GROUP_READY;
        }
        hopeful += !policy->slots[i].is_unable;
    }
    return hopeful > 0 ? WSGI_GROUP_STARTING : WSGI_GROUP_FAILED;
}
