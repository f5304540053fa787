/* daemon/watch.h — when a worker has to be replaced, to end, or to be killed: a function of its
 * settings, facts and time. No rule knows of another: each works with all others off.
 * Runs in:  worker, watchdog thread.   Threads: one.   Owns: nothing.   Blocks: never; no system
 *           call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_WATCH_H
#define WSGI_WATCH_H

#include "wsgi_handover.h"
#include "wsgi_metrics.h"

#define WSGI_WATCH_NEVER    INT64_MAX
#define WSGI_WATCH_PROBE_US INT64_C(1000000) /* from one probe of the interpreter to the next */

/* Times in microseconds; 0 = the rule is off. */
typedef struct wsgi_watch_settings {
    uint64_t maximum_requests;
    int64_t startup_us, restart_us, inactivity_us;
    int64_t request_us; /* the whole: request-timeout × (1 + ln(threads)) */
    int64_t interrupt_us, deadlock_us;
    int64_t graceful_us, eviction_us;
} wsgi_watch_settings_t;

typedef struct wsgi_watch_facts {
    int64_t started_us;
    uint64_t completed; /* requests */
    unsigned running, running_active;
    unsigned dead;          /* of the running: stuck for good, nobody waits for them */
    bool has_stuck;         /* at least one is */
    int64_t next_flight_us; /* when the rules about single requests want to look again */
    int64_t first_us;       /* when the first request began; 0 = there was none */
    int64_t last_active_us; /* begin or end of one that counts as activity; 0 = there was none */
    bool is_spoilt;         /* a script has failed to load */
    bool has_application;   /* a request has found its script loaded */
    int64_t probe_asked_us; /* the probe that has not come back; 0 = none is under way */
    int64_t probe_ended_us; /* when the last one came back; 0 = none was made */
    bool is_marked;         /* it is to be replaced, and the supervisor knows */
    int64_t released_us;    /* since when it may end; 0 = it may not */
    int64_t patience_us;    /* of its end, from released_us on */
} wsgi_watch_facts_t;

enum wsgi_watch_what {
    WSGI_WATCH_WAIT,
    WSGI_WATCH_MARK,  /* to be replaced for `reason` */
    WSGI_WATCH_PROBE, /* see whether the interpreter can be had */
    WSGI_WATCH_END,   /* released, and nothing more to wait for */
    WSGI_WATCH_KILL   /* nothing else can end it */
};

typedef struct wsgi_verdict {
    enum wsgi_watch_what what;
    enum wsgi_reason reason;
    int64_t until_us; /* WAIT: nothing changes by time before that */
} wsgi_verdict_t;

wsgi_watch_settings_t wsgi_watch_settings(const wsgi_group_settings_t *group);

wsgi_verdict_t wsgi_watch_decide(const wsgi_watch_settings_t *settings,
                                 const wsgi_watch_facts_t *facts, int64_t now_us);

/* What becomes of one request. */
enum wsgi_watch_flight {
    WSGI_FLIGHT_RUNS,
    WSGI_FLIGHT_INTERRUPT, /* over its time: raise RequestTimeout in it */
    WSGI_FLIGHT_STUCK      /* for good */
};

/* `interrupted_us`: when it was interrupted, 0 = it was not. *until_us: when to look again. */
enum wsgi_watch_flight wsgi_watch_flight(const wsgi_watch_settings_t *settings, int64_t begun_us,
                                         int64_t interrupted_us, int64_t now_us, int64_t *until_us);

/* What a request has from the worker's release on: longer for a signal's sake, where it says so. */
int64_t wsgi_watch_patience(const wsgi_watch_settings_t *settings, enum wsgi_reason reason);

#endif
