/* daemon/policy.h — what the supervisor decides, as a function of slots, exits and time.
 * Runs in:  supervisor.   Threads: one.   Owns: nothing.   Blocks: never; no system call.
 *
 * A slot is the place of one worker:
 *
 *   EMPTY --START--> STARTING --loaded--> LOADED --GO--> READY --its word--> LEAVING
 *     ^                                                                        |
 *     |                                              RELEASE: its successor is ready, or it is the
 *     |                                              only one, or its code is no longer the newest
 *     |                                                                        v
 *     +------- exit, from any ------- STOPPING <-- STOP, or it says so --- RELEASED
 *                                     (RELEASED and STOPPING: KILL at their deadline)
 *
 * A seat is what a slot is for: there are as many seats as the group has processes. Where workers
 * may run side by side a seat has two slots, so that a successor starts before its predecessor ends;
 * otherwise one, and they follow each other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_POLICY_H
#define WSGI_POLICY_H

#include "wsgi_metrics.h"

#define WSGI_POLICY_NEVER INT64_MAX
#define WSGI_POLICY_LONG_US                                                                        \
    INT64_C(10000000)                       /* one that was ready, and lived so long, was of use */
#define WSGI_POLICY_ACK_US INT64_C(5000000) /* to say that nothing is begun with old code */

enum wsgi_slot_phase {
    WSGI_SLOT_EMPTY,
    WSGI_SLOT_STARTING, /* forked, not loaded yet */
    WSGI_SLOT_LOADED,   /* serves nobody before it is told to */
    WSGI_SLOT_READY,
    WSGI_SLOT_LEAVING,  /* to be replaced; serves on */
    WSGI_SLOT_RELEASED, /* told to finish and to end by itself; killed at due_us */
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
    int64_t since_us;    /* when its process started */
    int64_t due_us;      /* RELEASED, STOPPING: SIGKILL */
    int64_t patience_us; /* LEAVING: how long it may take, once released */
    int64_t ack_by_us; /* nothing new is begun before it says that it begins nothing; 0 = no need */
    bool is_outdated;  /* it may have code of before a change */
    bool leaves_early; /* it said so before it served */
    bool is_failed;    /* it was on its way out before it had served anybody */
} wsgi_slot_t;

typedef struct wsgi_seat {
    int64_t due_us;         /* earliest start of the next process */
    unsigned failures;      /* to start, in a row */
    unsigned load_failures; /* of scripts, in a row */
    bool is_unable;         /* its last process could not start, nor will the next one */
} wsgi_seat_t;

typedef struct wsgi_policy_settings {
    unsigned seat_count;
    bool is_side_by_side;
    int64_t shutdown_timeout_us; /* 0 = no limit */
    int64_t graceful_timeout_us;
    int64_t first_start_us;
} wsgi_policy_settings_t;

typedef struct wsgi_policy {
    wsgi_policy_settings_t settings;
    wsgi_slot_t *slots; /* the caller's: seat s has slot s and, side by side, seat_count + s */
    wsgi_seat_t *seats; /* the caller's */
    unsigned slot_count;
    bool is_draining;
} wsgi_policy_t;

enum wsgi_deed {
    WSGI_DEED_WAIT,    /* nothing before until_us */
    WSGI_DEED_START,   /* fork a worker for the slot */
    WSGI_DEED_GO,      /* let the slot's worker serve */
    WSGI_DEED_RELEASE, /* let it finish and end */
    WSGI_DEED_STOP,    /* SIGTERM to the slot's worker */
    WSGI_DEED_KILL,    /* SIGKILL to it */
    WSGI_DEED_FINISH   /* drained: the supervisor may go */
};

typedef struct wsgi_decision {
    enum wsgi_deed deed;
    unsigned slot;
    int64_t until_us;
} wsgi_decision_t;

/* How many slots the settings need. */
unsigned wsgi_policy_slot_count(const wsgi_policy_settings_t *settings);

/* All slots empty. Both arrays are the caller's and stay. */
void wsgi_policy_init(wsgi_policy_t *policy, const wsgi_policy_settings_t *settings,
                      wsgi_slot_t *slots, wsgi_seat_t *seats);

/* The next deed, already entered in the slots; call until it says WAIT or FINISH. */
wsgi_decision_t wsgi_policy_decide(wsgi_policy_t *policy, int64_t now_us);

/* What happened. Loaded: it could serve. */
void wsgi_policy_note_loaded(wsgi_policy_t *policy, unsigned slot);

/* A worker wants to be replaced. `patience_us`: what it will give its requests once released; it
 * was a script's failure to load that made it so: then its successor waits, longer each time. */
void wsgi_policy_note_leaving(wsgi_policy_t *policy, unsigned slot, int64_t patience_us,
                              bool has_failed_load, int64_t now_us);

/* A worker saw a script that has changed: all that run now are outdated. */
void wsgi_policy_note_changed(wsgi_policy_t *policy, unsigned slot, int64_t now_us);

/* It begins nothing any more, as it was told. */
void wsgi_policy_note_released(wsgi_policy_t *policy, unsigned slot);

/* It has begun to end, on whosever wish. */
void wsgi_policy_note_retiring(wsgi_policy_t *policy, unsigned slot, int64_t now_us);

/* `has_served`: it completed at least one request. */
void wsgi_policy_note_exit(wsgi_policy_t *policy, unsigned slot, enum wsgi_ending ending,
                           bool has_served, int64_t now_us);
void wsgi_policy_note_drain(wsgi_policy_t *policy);

/* The earliest start of a process for the slot's seat. */
int64_t wsgi_policy_next_start(const wsgi_policy_t *policy, unsigned slot);

/* What the group's callers should know. */
enum wsgi_group_state wsgi_policy_group_state(const wsgi_policy_t *policy);

#endif
