/* daemon/policy.h — what the supervisor decides, as a function of slots, exits and time.
 * Runs in:  supervisor.   Threads: one.   Owns: nothing.   Blocks: never; no system call.
 *
 * A slot is the place of one worker:
 *
 *   EMPTY --START--> STARTING --ready--> READY --STOP, or it says so--> STOPPING
 *     ^                  |                 |                               |  (KILL at its deadline)
 *     +------------------+------ exit -----+-------------------------------+
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_POLICY_H
#define WSGI_POLICY_H

#include "wsgi_metrics.h"

#define WSGI_POLICY_NEVER   INT64_MAX
#define WSGI_POLICY_LONG_US INT64_C(10000000) /* a worker that lived so long was no failed start */

enum wsgi_slot_phase {
    WSGI_SLOT_EMPTY,    /* no process; one may be started from due_us on */
    WSGI_SLOT_STARTING, /* forked, not ready yet */
    WSGI_SLOT_READY,
    WSGI_SLOT_STOPPING, /* on its way out; killed at due_us */
    WSGI_SLOT_PHASES
};

enum wsgi_ending {
    WSGI_ENDED_IN_ORDER, /* status 0, or it retired for a changed script */
    WSGI_ENDED_UNABLE,   /* it said that it cannot start: trying at once cannot help */
    WSGI_ENDED_BADLY     /* a signal or another status */
};

typedef struct wsgi_slot {
    enum wsgi_slot_phase phase;
    int64_t since_us;  /* when its process started */
    int64_t due_us;    /* EMPTY: earliest start; STOPPING: SIGKILL */
    unsigned failures; /* in a row */
    bool is_unable;    /* how its last process ended */
} wsgi_slot_t;

typedef struct wsgi_policy {
    wsgi_slot_t *slots; /* the caller's */
    unsigned slot_count;
    int64_t shutdown_timeout_us; /* 0 = no limit */
    bool is_draining;
} wsgi_policy_t;

enum wsgi_deed {
    WSGI_DEED_WAIT,  /* nothing before until_us */
    WSGI_DEED_START, /* fork a worker for the slot */
    WSGI_DEED_STOP,  /* SIGTERM to the slot's worker */
    WSGI_DEED_KILL,  /* SIGKILL to it */
    WSGI_DEED_FINISH /* drained: the supervisor may go */
};

typedef struct wsgi_decision {
    enum wsgi_deed deed;
    unsigned slot;
    int64_t until_us;
} wsgi_decision_t;

/* All slots empty, to be started from first_start_us on. */
void wsgi_policy_init(wsgi_policy_t *policy, wsgi_slot_t *slots, unsigned slot_count,
                      int64_t shutdown_timeout_us, int64_t first_start_us);

/* The next deed, already entered in the slots; call until it says WAIT or FINISH. */
wsgi_decision_t wsgi_policy_decide(wsgi_policy_t *policy, int64_t now_us);

/* What happened. `has_served`: it completed at least one request. */
void wsgi_policy_note_ready(wsgi_policy_t *policy, unsigned slot);
void wsgi_policy_note_retiring(wsgi_policy_t *policy, unsigned slot, int64_t now_us);
void wsgi_policy_note_exit(wsgi_policy_t *policy, unsigned slot, enum wsgi_ending ending,
                           bool has_served, int64_t now_us);
void wsgi_policy_note_drain(wsgi_policy_t *policy);

/* What the group's callers should know. */
enum wsgi_group_state wsgi_policy_group_state(const wsgi_policy_t *policy);

#endif
