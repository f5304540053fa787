/* daemon/watchdog.c — the thread that keeps the rules, and the one that asks Python for it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "threads.h"

#define HAND_LIMIT_S 1 /* that a thread has which may wait for the interpreter */

struct wsgi_watchdog {
    wsgi_watchdog_settings_t settings;
    wsgi_watch_settings_t rules;
    int wake_fd;
    pthread_t thread, hand;
    _Atomic bool is_stopping;
    int64_t started_us;
    _Atomic int64_t released_us;

    /* Wishes for the second thread. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wants_probe, wants_stacks, wants_interrupts, wants_end; /* guarded by lock */
    _Atomic int64_t asked_us, ended_us;                          /* of the probe */
};

static const char *group_name(const wsgi_watchdog_t *self)
{
    return self->settings.group->name;
}

static void tell(const wsgi_watchdog_t *self, enum wsgi_worker_event event)
{
    const unsigned char byte = (unsigned char)event;

    if (write(self->settings.event_fd, &byte, 1) < 0) {
        return; /* full: the main thread has plenty to read already */
    }
}

/* --- what needs the interpreter: the second thread --------------------------------------------- */

/* The text of a request under way, for a log line. */
static void name_flight(const wsgi_watchdog_t *self, unsigned index, char *out, size_t room)
{
    wsgi_journal_quote_one(self->settings.journal, index, out, room);
}

typedef struct interrupt {
    const wsgi_flight_t *flight;
    uint64_t serial;
} interrupt_t;

/* Asked while that thread cannot end its request. */
static bool is_still_running(void *baton)
{
    const interrupt_t *it = baton;

    return it->flight->serial == it->serial;
}

static void interrupt_one(const wsgi_watchdog_t *self, unsigned index)
{
    wsgi_flight_t *flight = &self->settings.flights->table[index];
    wsgi_interp_t *interp = flight->interp;
    interrupt_t it = {flight, flight->serial};
    char request[WSGI_JOURNAL_QUOTE];

    if (it.serial == 0 || flight->wishes_interrupt != it.serial) {
        return;
    }
    name_flight(self, index, request, sizeof(request));
    if (interp == NULL) {
        flight->wishes_interrupt = 0;
        wsgi_log(WSGI_LOG_INFO, "[%s] %s cannot be interrupted: its interpreter is being made",
                 group_name(self), request);
        return;
    }
    wsgi_log(WSGI_LOG_WARNING,
             WSGI_ID(1414) "[%s] %s has run for longer than request-timeout=%d allows and is "
                           "interrupted by mod_wsgi.RequestTimeout; the traceback that follows "
                           "tells where it was",
             group_name(self), request, (int)self->settings.group->request_timeout_s);
    if (!wsgi_runtime_interrupt(interp, flight->thread, is_still_running, &it)) {
        wsgi_log(WSGI_LOG_INFO, "[%s] %s came to its end by itself", group_name(self), request);
    }
    flight->wishes_interrupt = 0;
}

static void interrupt_all(const wsgi_watchdog_t *self)
{
    for (unsigned i = 0; i < self->settings.flights->capacity; i++) {
        if (self->settings.flights->table[i].wishes_interrupt != 0) {
            interrupt_one(self, i);
        }
    }
}

/* Whom a thread serves, for the head of its stack. */
static void describe_thread(void *baton, uint64_t thread, char *out, size_t room)
{
    const wsgi_watchdog_t *self = baton;

    snprintf(out, room, "idle, or not ours");
    for (unsigned i = 0; i < self->settings.flights->capacity; i++) {
        const wsgi_flight_t *flight = &self->settings.flights->table[i];
        if (flight->serial != 0 && flight->thread == thread) {
            name_flight(self, i, out, room);
        }
    }
}

static void log_stacks(wsgi_watchdog_t *self)
{
    if (wsgi_log_is_enabled(WSGI_LOG_INFO)) {
        wsgi_runtime_log_stacks(describe_thread, self);
    }
}

static void probe(wsgi_watchdog_t *self)
{
    wsgi_runtime_probe();
    self->ended_us = wsgi_now_us();
    self->asked_us = 0;
    wsgi_flights_wake(self->settings.flights);
}

typedef struct wishes {
    bool probe, stacks, interrupts, end;
} wishes_t;

static wishes_t take_wishes(wsgi_watchdog_t *self)
{
    pthread_mutex_lock(&self->lock);
    while (!self->wants_probe && !self->wants_stacks && !self->wants_interrupts &&
           !self->wants_end) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    const wishes_t wishes = {self->wants_probe, self->wants_stacks, self->wants_interrupts,
                             self->wants_end};
    self->wants_probe = self->wants_stacks = self->wants_interrupts = false;
    pthread_mutex_unlock(&self->lock);
    return wishes;
}

static void *run_hand(void *data)
{
    wsgi_watchdog_t *self = data;
    wishes_t wishes;

    while (!(wishes = take_wishes(self)).end) {
        if (wishes.stacks) {
            log_stacks(self); /* where requests are before they are interrupted */
        }
        if (wishes.interrupts) {
            interrupt_all(self);
        }
        if (wishes.probe) {
            probe(self);
        }
    }
    wsgi_runtime_thread_end();
    return NULL;
}

static void wish(wsgi_watchdog_t *self, bool *what)
{
    pthread_mutex_lock(&self->lock);
    *what = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* --- facts ----------------------------------------------------------------------------------- */

/* Another request may have taken the place meanwhile: it is not to be charged with this one's time. */
static void begin_interrupt(wsgi_watchdog_t *self, wsgi_flight_t *flight, uint64_t serial,
                            int64_t now_us)
{
    flight->interrupted_us = now_us;
    if (flight->serial != serial) {
        flight->interrupted_us = 0;
        return;
    }
    flight->wishes_interrupt = serial;
    wish(self, &self->wants_stacks);
    wish(self, &self->wants_interrupts);
}

static void look_at_flight(wsgi_watchdog_t *self, wsgi_flight_t *flight, wsgi_watch_facts_t *facts,
                           int64_t now_us)
{
    const uint64_t serial = flight->serial;
    int64_t until_us = WSGI_WATCH_NEVER;
    const enum wsgi_watch_flight what = wsgi_watch_flight(
        &self->rules, flight->begun_us, flight->interrupted_us, now_us, &until_us);

    if (serial == 0 || flight->serial != serial) {
        return; /* it came to its end while we looked */
    }
    if (what == WSGI_FLIGHT_STUCK) {
        facts->dead++;
        facts->has_stuck = true;
        return;
    }
    if (what == WSGI_FLIGHT_INTERRUPT) {
        begin_interrupt(self, flight, serial, now_us);
        until_us = now_us + self->rules.interrupt_us;
    }
    if (until_us < facts->next_flight_us) {
        facts->next_flight_us = until_us;
    }
}

static void look_at_flights(wsgi_watchdog_t *self, wsgi_watch_facts_t *facts, int64_t now_us)
{
    wsgi_flights_t *flights = self->settings.flights;

    if (self->rules.request_us == 0) {
        return;
    }
    facts->next_flight_us = now_us + self->rules.request_us; /* of one that begins now */
    for (unsigned i = 0; i < flights->capacity; i++) {
        look_at_flight(self, &flights->table[i], facts, now_us);
    }
}

static wsgi_watch_facts_t collect(wsgi_watchdog_t *self, int64_t now_us)
{
    const wsgi_flights_t *flights = self->settings.flights;
    const enum wsgi_reason reason = wsgi_journal_reason(self->settings.journal);
    wsgi_watch_facts_t facts = {
        .started_us = self->started_us,
        .completed = flights->completed,
        .running = flights->running,
        .running_active = flights->running_active,
        .next_flight_us = WSGI_WATCH_NEVER,
        .first_us = flights->first_us,
        .last_active_us = flights->last_active_us,
        .is_spoilt = flights->is_spoilt,
        .has_application = wsgi_runtime_has_application(),
        .probe_asked_us = self->asked_us,
        .probe_ended_us = self->ended_us,
        .is_marked = reason != WSGI_REASON_NONE,
        .released_us = self->released_us,
        .patience_us = wsgi_watch_patience(&self->rules, reason),
    };

    look_at_flights(self, &facts, now_us);
    return facts;
}

/* --- deeds ----------------------------------------------------------------------------------- */

void wsgi_watchdog_mark(wsgi_watchdog_t *self, enum wsgi_reason reason)
{
    if (wsgi_journal_set_reason(self->settings.journal, reason)) {
        wsgi_log(WSGI_LOG_INFO, "[%s] is to be replaced: %s", group_name(self),
                 wsgi_reason_name(reason));
        tell(self, WSGI_EVENT_LEAVE);
    }
}

static void mark(wsgi_watchdog_t *self, enum wsgi_reason reason)
{
    if (reason == WSGI_REASON_REQUEST_TIMEOUT) {
        char requests[3 * WSGI_JOURNAL_QUOTE];
        wsgi_journal_quote(self->settings.journal, requests, sizeof(requests));
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1413) "[%s] a request has run for longer than request-timeout=%d allows, "
                               "and the process is replaced; running: %s; the stacks of its "
                               "threads follow at level info",
                 group_name(self), (int)self->settings.group->request_timeout_s, requests);
        wish(self, &self->wants_stacks);
    }
    wsgi_watchdog_mark(self, reason);
}

static void kill_self(const wsgi_watchdog_t *self)
{
    wsgi_journal_t *journal = self->settings.journal;

    journal->is_killing_itself = WSGI_REASON_DEADLOCK_TIMEOUT;
    wsgi_journal_set_reason(journal, WSGI_REASON_DEADLOCK_TIMEOUT);
    kill(getpid(), SIGKILL);
}

static void ask_for_probe(wsgi_watchdog_t *self, int64_t now_us)
{
    self->asked_us = now_us;
    wish(self, &self->wants_probe);
}

/* The time to wait then. */
static int64_t act(wsgi_watchdog_t *self, int64_t now_us)
{
    const wsgi_watch_facts_t facts = collect(self, now_us);
    const wsgi_verdict_t verdict = wsgi_watch_decide(&self->rules, &facts, now_us);

    switch (verdict.what) {
    case WSGI_WATCH_WAIT:
        return verdict.until_us;
    case WSGI_WATCH_MARK:
        mark(self, verdict.reason);
        return now_us;
    case WSGI_WATCH_PROBE:
        ask_for_probe(self, now_us);
        return now_us;
    case WSGI_WATCH_KILL:
        kill_self(self);
        break;
    case WSGI_WATCH_END:
        self->released_us = 0; /* said once */
        tell(self, WSGI_EVENT_END);
        return now_us;
    }
    return WSGI_WATCH_NEVER;
}

/* --- the thread ------------------------------------------------------------------------------ */

/* True: what wakes it can be waited for again. One wake-up may have been for two. */
static bool take_wake(const wsgi_watchdog_t *self, const struct pollfd *wake)
{
    uint64_t count;

    errno = EBADF;
    return (wake->revents & POLLNVAL) == 0 &&
           (read(self->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ||
            errno == EAGAIN || errno == EINTR);
}

static void wait_until(const wsgi_watchdog_t *self, int64_t until_us)
{
    struct pollfd wake = {.fd = self->wake_fd, .events = POLLIN};
    const int64_t left_us = until_us - wsgi_now_us();
    const struct timespec timeout = {left_us / 1000000, left_us % 1000000 * 1000};

    if (left_us <= 0) {
        return;
    }
    const int ready = ppoll(&wake, 1, until_us == WSGI_WATCH_NEVER ? NULL : &timeout, NULL);
    if ((ready < 0 && errno != EINTR) || (ready > 0 && !take_wake(self, &wake))) {
        wsgi_descriptors_lost(self->settings.journal, group_name(self), "the watchdog's");
    }
}

static void *run(void *data)
{
    wsgi_watchdog_t *self = data;

    while (!self->is_stopping) {
        wait_until(self, act(self, wsgi_now_us()));
    }
    return NULL;
}

void wsgi_watchdog_release(wsgi_watchdog_t *self)
{
    int64_t not_yet = 0;

    self->settings.flights->wakes_when_idle = true;
    atomic_compare_exchange_strong(&self->released_us, &not_yet, wsgi_now_us());
    wsgi_flights_wake(self->settings.flights);
}

static int start_threads(wsgi_watchdog_t *self)
{
    const int error = wsgi_thread_start(&self->hand, "wsgi:hand", run_hand, self);

    return error == 0 ? wsgi_thread_start(&self->thread, "wsgi:watchdog", run, self) : error;
}

static wsgi_watchdog_t *make(const wsgi_watchdog_settings_t *settings)
{
    wsgi_watchdog_t *self = calloc(1, sizeof(*self));

    if (self == NULL) {
        return NULL;
    }
    self->settings = *settings;
    self->rules = wsgi_watch_settings(settings->group);
    self->started_us = wsgi_now_us();
    self->ended_us = self->started_us;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    settings->flights->wake_fd = self->wake_fd;
    if (self->rules.maximum_requests > 0) {
        settings->flights->wake_at = self->rules.maximum_requests;
    }
    return self;
}

wsgi_watchdog_t *wsgi_watchdog_start(const wsgi_watchdog_settings_t *settings,
                                     wsgi_result_t *result)
{
    wsgi_watchdog_t *self = make(settings);
    int error = self == NULL ? ENOMEM : self->wake_fd < 0 ? EMFILE : start_threads(self);

    if (error != 0) {
        wsgi_fail(result, WSGI_E_IO,
                  "cannot start the worker's watchdog (%s): raise its limits of open files, memory "
                  "and processes",
                  strerror(error));
        return NULL; /* the process ends */
    }
    return self;
}

void wsgi_watchdog_stop(wsgi_watchdog_t *self)
{
    struct timespec limit;

    self->is_stopping = true;
    wsgi_flights_wake(self->settings.flights);
    pthread_join(self->thread, NULL);
    wish(self, &self->wants_end);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += HAND_LIMIT_S;
    pthread_timedjoin_np(self->hand, NULL, &limit);
}

void wsgi_watchdog_free(wsgi_watchdog_t *self)
{
    wsgi_watchdog_forget(self);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void wsgi_watchdog_forget(wsgi_watchdog_t *self)
{
    wsgi_fd_close(&self->wake_fd);
    self->settings.flights->wake_fd = -1;
}
