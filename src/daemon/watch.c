/* daemon/watch.c — when a worker has to be replaced, to end, or to be killed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <math.h>

#define SECOND_US INT64_C(1000000)

wsgi_watch_settings_t wsgi_watch_settings(const wsgi_group_settings_t *group)
{
    const double scale = 1.0 + log(group->threads > 1 ? (double)group->threads : 1.0);

    return (wsgi_watch_settings_t){
        .maximum_requests = (uint64_t)group->maximum_requests,
        .startup_us = group->startup_timeout_s * SECOND_US,
        .restart_us = group->restart_interval_s * SECOND_US,
        .inactivity_us = group->inactivity_timeout_s * SECOND_US,
        .request_us = (int64_t)((double)group->request_timeout_s * scale * 1e6),
        .interrupt_us = group->interrupt_timeout_s * SECOND_US,
        .deadlock_us = group->deadlock_timeout_s * SECOND_US,
        .graceful_us = group->graceful_timeout_s * SECOND_US,
        .eviction_us = group->eviction_timeout_s * SECOND_US,
    };
}

int64_t wsgi_watch_patience(const wsgi_watch_settings_t *settings, enum wsgi_reason reason)
{
    return reason == WSGI_REASON_EVICTION_SIGNAL ? settings->eviction_us : settings->graceful_us;
}

/* --- rules: when each is due; NEVER where it is off or has nothing to count from --------------- */

typedef struct input {
    const wsgi_watch_settings_t *settings;
    const wsgi_watch_facts_t *facts;
    int64_t now_us;
} input_t;

static int64_t maximum_requests_due(const input_t *in)
{
    const uint64_t most = in->settings->maximum_requests;

    return most > 0 && in->facts->completed >= most ? in->now_us : WSGI_WATCH_NEVER;
}

static int64_t restart_due(const input_t *in)
{
    const int64_t interval_us = in->settings->restart_us;

    return interval_us > 0 ? in->facts->started_us + interval_us : WSGI_WATCH_NEVER;
}

/* Without any request so far: one that begins now is not over its time before. */
static int64_t startup_due(const input_t *in)
{
    const int64_t timeout_us = in->settings->startup_us, first_us = in->facts->first_us;

    if (timeout_us == 0 || in->facts->has_application) {
        return WSGI_WATCH_NEVER;
    }
    return (first_us > 0 ? first_us : in->now_us) + timeout_us;
}

/* A worker that has served nobody would be replaced by its like. */
static int64_t inactivity_due(const input_t *in)
{
    const int64_t timeout_us = in->settings->inactivity_us;
    const int64_t last_us = in->facts->last_active_us;

    if (timeout_us == 0) {
        return WSGI_WATCH_NEVER;
    }
    return (last_us > 0 && in->facts->running_active == 0 ? last_us : in->now_us) + timeout_us;
}

static int64_t request_due(const input_t *in)
{
    return in->settings->request_us > 0 && in->facts->has_stuck ? in->now_us : WSGI_WATCH_NEVER;
}

static int64_t load_failure_due(const input_t *in)
{
    return in->facts->is_spoilt ? in->now_us : WSGI_WATCH_NEVER;
}

static const struct {
    enum wsgi_reason reason;
    int64_t (*due)(const input_t *in);
} rules[] = {
    {WSGI_REASON_STARTUP_TIMEOUT, startup_due},
    {WSGI_REASON_REQUEST_TIMEOUT, request_due},
    {WSGI_REASON_MAXIMUM_REQUESTS, maximum_requests_due},
    {WSGI_REASON_RESTART_INTERVAL, restart_due},
    {WSGI_REASON_INACTIVITY_TIMEOUT, inactivity_due},
    {WSGI_REASON_LOAD_FAILURE, load_failure_due},
};

/* --- the verdict ----------------------------------------------------------------------------- */

static wsgi_verdict_t earlier(wsgi_verdict_t a, int64_t until_us)
{
    a.until_us = until_us < a.until_us ? until_us : a.until_us;
    return a;
}

static bool is_due(const wsgi_verdict_t *verdict)
{
    return verdict->what != WSGI_WATCH_WAIT;
}

static wsgi_verdict_t deadlock(const input_t *in, wsgi_verdict_t verdict)
{
    const wsgi_watch_facts_t *facts = in->facts;

    if (in->settings->deadlock_us == 0) {
        return verdict;
    }
    if (facts->probe_asked_us > 0) {
        const int64_t due_us = facts->probe_asked_us + in->settings->deadlock_us;
        if (due_us <= in->now_us) {
            return (wsgi_verdict_t){WSGI_WATCH_KILL, WSGI_REASON_DEADLOCK_TIMEOUT, 0};
        }
        return earlier(verdict, due_us);
    }
    const int64_t due_us = facts->probe_ended_us + WSGI_WATCH_PROBE_US;
    if (due_us <= in->now_us) {
        return (wsgi_verdict_t){WSGI_WATCH_PROBE, WSGI_REASON_NONE, 0};
    }
    return earlier(verdict, due_us);
}

/* The deadline counts from the release and does not move. */
static wsgi_verdict_t end(const input_t *in, wsgi_verdict_t verdict)
{
    const wsgi_watch_facts_t *facts = in->facts;
    const int64_t due_us = facts->released_us + facts->patience_us;

    if (facts->released_us == 0) {
        return verdict;
    }
    if (facts->running <= facts->dead || due_us <= in->now_us) {
        return (wsgi_verdict_t){WSGI_WATCH_END, WSGI_REASON_NONE, 0};
    }
    return earlier(verdict, due_us);
}

static wsgi_verdict_t mark(const input_t *in, wsgi_verdict_t verdict)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const int64_t due_us = rules[i].due(in);
        if (due_us <= in->now_us) {
            return (wsgi_verdict_t){WSGI_WATCH_MARK, rules[i].reason, 0};
        }
        verdict = earlier(verdict, due_us);
    }
    return verdict;
}

wsgi_verdict_t wsgi_watch_decide(const wsgi_watch_settings_t *settings,
                                 const wsgi_watch_facts_t *facts, int64_t now_us)
{
    const input_t in = {settings, facts, now_us};
    wsgi_verdict_t verdict = {WSGI_WATCH_WAIT, WSGI_REASON_NONE, facts->next_flight_us};

    verdict = deadlock(&in, verdict);
    if (!is_due(&verdict)) {
        verdict = end(&in, verdict);
    }
    return is_due(&verdict) || facts->is_marked ? verdict : mark(&in, verdict);
}

/* --- single requests ------------------------------------------------------------------------- */

enum wsgi_watch_flight wsgi_watch_flight(const wsgi_watch_settings_t *settings, int64_t begun_us,
                                         int64_t interrupted_us, int64_t now_us, int64_t *until_us)
{
    if (settings->request_us == 0) {
        *until_us = WSGI_WATCH_NEVER;
        return WSGI_FLIGHT_RUNS;
    }
    *until_us = interrupted_us > 0 ? interrupted_us + settings->interrupt_us
                                   : begun_us + settings->request_us;
    if (*until_us > now_us) {
        return WSGI_FLIGHT_RUNS;
    }
    return interrupted_us == 0 && settings->interrupt_us > 0 ? WSGI_FLIGHT_INTERRUPT
                                                             : WSGI_FLIGHT_STUCK;
}
