/* daemon/policy.c — what the supervisor decides, as a function of slots, exits and time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#define SECOND_US INT64_C(1000000)
#define MARGIN_US SECOND_US /* a released worker keeps its own time, and knows it first */
#define ACCIDENTS 1         /* in a row, while starting, that do not make a group a failed one */

unsigned wsgi_policy_slot_count(const wsgi_policy_settings_t *settings)
{
    return settings->seat_count * (settings->is_side_by_side ? 2 : 1);
}

void wsgi_policy_init(wsgi_policy_t *policy, const wsgi_policy_settings_t *settings,
                      wsgi_slot_t *slots, wsgi_seat_t *seats)
{
    *policy = (wsgi_policy_t){
        .settings = *settings,
        .slots = slots,
        .seats = seats,
        .slot_count = wsgi_policy_slot_count(settings),
    };
    for (unsigned i = 0; i < policy->slot_count; i++) {
        slots[i] = (wsgi_slot_t){.phase = WSGI_SLOT_EMPTY};
    }
    for (unsigned i = 0; i < settings->seat_count; i++) {
        seats[i] = (wsgi_seat_t){.due_us = settings->first_start_us};
    }
}

/* --- slots and seats ------------------------------------------------------------------------- */

static wsgi_seat_t *seat_of(const wsgi_policy_t *policy, unsigned slot)
{
    return &policy->seats[slot % policy->settings.seat_count];
}

/* The other slot of the same seat; NULL where there is none. */
static const wsgi_slot_t *neighbour(const wsgi_policy_t *policy, unsigned slot)
{
    const unsigned seats = policy->settings.seat_count;

    if (!policy->settings.is_side_by_side) {
        return NULL;
    }
    return &policy->slots[slot < seats ? slot + seats : slot - seats];
}

static bool is_fresh(const wsgi_slot_t *slot)
{
    return slot->phase == WSGI_SLOT_STARTING || slot->phase == WSGI_SLOT_LOADED ||
           slot->phase == WSGI_SLOT_READY;
}

static int64_t kill_time(const wsgi_policy_t *policy, int64_t now_us)
{
    const int64_t limit_us = policy->settings.shutdown_timeout_us;

    return limit_us > 0 ? now_us + limit_us : WSGI_POLICY_NEVER;
}

static void stop(const wsgi_policy_t *policy, wsgi_slot_t *slot, int64_t now_us)
{
    slot->phase = WSGI_SLOT_STOPPING;
    slot->due_us = kill_time(policy, now_us);
    slot->ack_by_us = 0;
}

static void forgive(wsgi_seat_t *seat, int64_t now_us)
{
    *seat = (wsgi_seat_t){.due_us = now_us};
}

/* --- what is due ----------------------------------------------------------------------------- */

static wsgi_decision_t wait_until(int64_t until_us)
{
    return (wsgi_decision_t){.deed = WSGI_DEED_WAIT, .until_us = until_us};
}

static wsgi_decision_t now(enum wsgi_deed deed)
{
    return (wsgi_decision_t){.deed = deed, .until_us = WSGI_POLICY_NEVER};
}

static wsgi_decision_t decide_empty(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    const wsgi_slot_t *other = neighbour(policy, index);
    const int64_t due_us = seat_of(policy, index)->due_us;
    wsgi_slot_t *slot = &policy->slots[index];

    if (policy->is_draining || (other != NULL && is_fresh(other))) {
        return wait_until(WSGI_POLICY_NEVER);
    }
    if (due_us > now_us) {
        return wait_until(due_us);
    }
    *slot = (wsgi_slot_t){.phase = WSGI_SLOT_STARTING, .since_us = now_us};
    return now(WSGI_DEED_START);
}

/* New code waits for the word of all who have old code; for a limited time, as one of them may be
 * stopped by a debugger. */
static int64_t gate_time(const wsgi_policy_t *policy, int64_t now_us)
{
    int64_t latest_us = 0;

    for (unsigned i = 0; i < policy->slot_count; i++) {
        const int64_t ack_by_us = policy->slots[i].ack_by_us;
        latest_us = ack_by_us > now_us && ack_by_us > latest_us ? ack_by_us : latest_us;
    }
    return latest_us;
}

static wsgi_decision_t decide_loaded(const wsgi_policy_t *policy, wsgi_slot_t *slot, int64_t now_us)
{
    const int64_t gate_us = gate_time(policy, now_us);

    if (gate_us > 0) {
        return wait_until(gate_us);
    }
    slot->phase = WSGI_SLOT_READY;
    return now(WSGI_DEED_GO);
}

static wsgi_decision_t release(const wsgi_policy_t *policy, wsgi_slot_t *slot, int64_t now_us)
{
    slot->phase = WSGI_SLOT_RELEASED;
    slot->due_us = kill_time(policy, now_us);
    if (slot->due_us != WSGI_POLICY_NEVER) {
        slot->due_us += slot->patience_us + MARGIN_US;
    }
    return now(WSGI_DEED_RELEASE);
}

static wsgi_decision_t decide_leaving(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    const wsgi_slot_t *other = neighbour(policy, index);
    wsgi_slot_t *slot = &policy->slots[index];

    if (slot->is_outdated || (other != NULL && other->phase == WSGI_SLOT_READY)) {
        return release(policy, slot, now_us);
    }
    if (other != NULL) {
        return wait_until(WSGI_POLICY_NEVER);
    }
    const int64_t due_us = seat_of(policy, index)->due_us;
    return due_us <= now_us ? release(policy, slot, now_us) : wait_until(due_us);
}

/* It was told to leave before it served. Its predecessor waits for it to be ready, and goes first. */
static wsgi_decision_t decide_ready(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    const wsgi_slot_t *other = neighbour(policy, index);
    wsgi_slot_t *slot = &policy->slots[index];

    if (!slot->leaves_early || (other != NULL && other->phase == WSGI_SLOT_LEAVING)) {
        return wait_until(WSGI_POLICY_NEVER);
    }
    slot->phase = WSGI_SLOT_LEAVING;
    forgive(seat_of(policy, index), now_us);
    return decide_leaving(policy, index, now_us);
}

/* Two changes within one patience: both slots of a seat finish old code, and no new code can start.
 * The older one has code of before both. */
static bool is_in_the_way(const wsgi_policy_t *policy, unsigned index)
{
    const wsgi_slot_t *slot = &policy->slots[index], *other = neighbour(policy, index);

    return other != NULL && slot->phase == WSGI_SLOT_RELEASED &&
           other->phase == WSGI_SLOT_RELEASED && slot->since_us <= other->since_us;
}

static wsgi_decision_t decide_ending(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    wsgi_slot_t *slot = &policy->slots[index];

    if (is_in_the_way(policy, index)) {
        stop(policy, slot, now_us);
        return now(WSGI_DEED_STOP);
    }
    if (slot->due_us > now_us) {
        return wait_until(slot->due_us);
    }
    slot->due_us = WSGI_POLICY_NEVER;
    slot->phase = WSGI_SLOT_STOPPING;
    return now(WSGI_DEED_KILL);
}

static wsgi_decision_t decide_phase(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    wsgi_slot_t *slot = &policy->slots[index];

    switch (slot->phase) {
    case WSGI_SLOT_EMPTY:
        return decide_empty(policy, index, now_us);
    case WSGI_SLOT_LOADED:
        return decide_loaded(policy, slot, now_us);
    case WSGI_SLOT_READY:
        return decide_ready(policy, index, now_us);
    case WSGI_SLOT_LEAVING:
        return decide_leaving(policy, index, now_us);
    case WSGI_SLOT_RELEASED:
    case WSGI_SLOT_STOPPING:
        return decide_ending(policy, index, now_us);
    default:
        return wait_until(WSGI_POLICY_NEVER);
    }
}

/* What is due for a slot now; WAIT with the time of its next deed otherwise. */
static wsgi_decision_t decide_slot(const wsgi_policy_t *policy, unsigned index, int64_t now_us)
{
    wsgi_slot_t *slot = &policy->slots[index];
    const bool serves_nobody = slot->phase == WSGI_SLOT_STARTING || slot->phase == WSGI_SLOT_LOADED;

    if ((policy->is_draining && slot->phase != WSGI_SLOT_EMPTY &&
         slot->phase != WSGI_SLOT_STOPPING) ||
        (slot->is_outdated && serves_nobody)) {
        stop(policy, slot, now_us);
        return now(WSGI_DEED_STOP);
    }
    return decide_phase(policy, index, now_us);
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
        decision.slot = i;
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

/* --- what happened --------------------------------------------------------------------------- */

void wsgi_policy_note_loaded(wsgi_policy_t *policy, unsigned slot)
{
    if (policy->slots[slot].phase == WSGI_SLOT_STARTING) {
        policy->slots[slot].phase = WSGI_SLOT_LOADED;
    }
}

static const unsigned char pauses_s[] = {0, 1, 2, 4, 8, 16, 30};

static int64_t pause_us(unsigned step)
{
    const unsigned last = sizeof(pauses_s) - 1;

    return pauses_s[step < last ? step : last] * SECOND_US;
}

/* A script that is at fault for long is not one that fails again and again. */
static void note_load_failure(const wsgi_policy_t *policy, unsigned slot, int64_t now_us)
{
    wsgi_seat_t *seat = seat_of(policy, slot);
    const bool is_new = now_us - policy->slots[slot].since_us >= WSGI_POLICY_LONG_US;
    const unsigned failures = is_new ? 1 : seat->load_failures + 1;

    *seat = (wsgi_seat_t){.load_failures = failures, .due_us = now_us + pause_us(failures)};
}

void wsgi_policy_note_leaving(wsgi_policy_t *policy, unsigned slot, int64_t patience_us,
                              bool has_failed_load, int64_t now_us)
{
    wsgi_slot_t *s = &policy->slots[slot];

    if (!is_fresh(s)) {
        return;
    }
    s->patience_us = patience_us;
    if (s->phase != WSGI_SLOT_READY) {
        s->leaves_early = true;
        return;
    }
    s->phase = WSGI_SLOT_LEAVING;
    if (has_failed_load) {
        note_load_failure(policy, slot, now_us);
    }
    else {
        forgive(seat_of(policy, slot), now_us);
    }
}

/* It takes nothing any more, so while it is there and has no successor nobody is served: it has no
 * patience, were it released before. */
static void outdate_alone(const wsgi_policy_t *policy, wsgi_slot_t *slot, int64_t now_us)
{
    const int64_t due_us = kill_time(policy, now_us);

    slot->patience_us = 0;
    if (slot->phase == WSGI_SLOT_RELEASED && due_us != WSGI_POLICY_NEVER &&
        due_us + MARGIN_US < slot->due_us) {
        slot->due_us = due_us + MARGIN_US;
    }
}

/* One who has served, or serves, has to say that it begins nothing any more. */
static void outdate(const wsgi_policy_t *policy, unsigned slot, int64_t now_us)
{
    wsgi_slot_t *s = &policy->slots[slot];

    s->is_outdated = true;
    if (s->phase == WSGI_SLOT_READY || s->phase == WSGI_SLOT_LEAVING) {
        s->phase = WSGI_SLOT_LEAVING;
        s->patience_us = policy->settings.graceful_timeout_us;
        s->ack_by_us = now_us + WSGI_POLICY_ACK_US;
    }
    if (!policy->settings.is_side_by_side) {
        outdate_alone(policy, s, now_us);
    }
}

/* Its word comes from each of them; those that were started since have the new code. */
void wsgi_policy_note_changed(wsgi_policy_t *policy, unsigned slot, int64_t now_us)
{
    if (policy->slots[slot].is_outdated) {
        return;
    }
    for (unsigned i = 0; i < policy->slot_count; i++) {
        if (policy->slots[i].phase != WSGI_SLOT_EMPTY) {
            outdate(policy, i, now_us);
        }
    }
    for (unsigned i = 0; i < policy->settings.seat_count; i++) {
        forgive(&policy->seats[i], now_us);
    }
}

void wsgi_policy_note_released(wsgi_policy_t *policy, unsigned slot)
{
    policy->slots[slot].ack_by_us = 0;
}

void wsgi_policy_note_retiring(wsgi_policy_t *policy, unsigned slot, int64_t now_us)
{
    wsgi_slot_t *s = &policy->slots[slot];

    if (s->phase == WSGI_SLOT_EMPTY || s->phase == WSGI_SLOT_STOPPING) {
        return;
    }
    s->is_failed = s->phase == WSGI_SLOT_STARTING || s->phase == WSGI_SLOT_LOADED;
    if (s->phase == WSGI_SLOT_READY) {
        forgive(seat_of(policy, slot), now_us);
    }
    else if (s->is_failed) {
        seat_of(policy, slot)->due_us = WSGI_POLICY_NEVER; /* its exit says more */
    }
    stop(policy, s, now_us);
}

/* The first crash is an accident: its successor starts at once. */
static int64_t back_off_us(unsigned failures, enum wsgi_ending ending)
{
    return pause_us(ending == WSGI_ENDED_UNABLE ? failures : failures - 1);
}

static bool was_to_end(const wsgi_slot_t *slot)
{
    return !is_fresh(slot) && !slot->is_failed;
}

static bool was_starting(const wsgi_slot_t *slot)
{
    return slot->phase == WSGI_SLOT_STARTING || slot->phase == WSGI_SLOT_LOADED || slot->is_failed;
}

/* One that was to end anyway has had its successor thought of when that became known. */
void wsgi_policy_note_exit(wsgi_policy_t *policy, unsigned slot, enum wsgi_ending ending,
                           bool has_served, int64_t now_us)
{
    wsgi_slot_t *s = &policy->slots[slot];
    wsgi_seat_t *seat = seat_of(policy, slot);
    const bool has_started = ending != WSGI_ENDED_UNABLE && !was_starting(s);
    const bool was_of_use =
        has_started && (has_served || now_us - s->since_us >= WSGI_POLICY_LONG_US);

    if (!was_to_end(s)) {
        seat->failures = was_of_use ? 0 : seat->failures + 1;
        seat->due_us = was_of_use ? now_us : now_us + back_off_us(seat->failures, ending);
        seat->is_unable =
            ending == WSGI_ENDED_UNABLE || (!has_started && seat->failures >= ACCIDENTS + 1);
    }
    *s = (wsgi_slot_t){.phase = WSGI_SLOT_EMPTY};
}

void wsgi_policy_note_drain(wsgi_policy_t *policy)
{
    policy->is_draining = true;
}

static bool serves(const wsgi_slot_t *slot)
{
    return slot->phase == WSGI_SLOT_READY || slot->phase == WSGI_SLOT_LEAVING;
}

int64_t wsgi_policy_next_start(const wsgi_policy_t *policy, unsigned slot)
{
    return seat_of(policy, slot)->due_us;
}

enum wsgi_group_state wsgi_policy_group_state(const wsgi_policy_t *policy)
{
    unsigned hopeful = 0;

    if (policy->is_draining) {
        return WSGI_GROUP_STOPPING;
    }
    for (unsigned i = 0; i < policy->slot_count; i++) {
        if (serves(&policy->slots[i])) {
            return WSGI_GROUP_READY;
        }
    }
    for (unsigned i = 0; i < policy->settings.seat_count; i++) {
        hopeful += !policy->seats[i].is_unable;
    }
    return hopeful > 0 ? WSGI_GROUP_STARTING : WSGI_GROUP_FAILED;
}
