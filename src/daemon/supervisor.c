/* daemon/supervisor.c — starts workers, names the cause when one ends, and replaces it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "death.h"
#include "threads.h"
#include "worker.h"

#define QUOTE_BYTES 900 /* of a dead worker's requests, in a log line */

enum source { SIGNALS, NOTICES, CONTROL, RENDEZVOUS, SOURCES };

/* What is kept of a worker that runs. */
typedef struct worker {
    pid_t pid;    /* 0 = none */
    int event_fd; /* takes the supervisor's orders; -1 = none */
    wsgi_journal_t *journal;
    bool was_killed;
} worker_t;

typedef struct supervisor {
    const wsgi_process_t *process;
    const char *group;
    wsgi_policy_t policy;
    wsgi_slot_t *slots;
    wsgi_seat_t *seats;
    worker_t *workers; /* by slot */
    int64_t oom_kills; /* of the control group so far; -1 = cannot be told */
    struct pollfd sources[SOURCES];
    int notice_write_fd; /* the workers' end */
} supervisor_t;

static wsgi_worker_row_t *row_of(const supervisor_t *self, unsigned slot)
{
    return &self->process->counters->rows[slot];
}

/* --- deeds ----------------------------------------------------------------------------------- */

/* What the others have of us would outlive them. */
static void forget_others(supervisor_t *self, unsigned slot)
{
    for (unsigned i = 0; i < self->policy.slot_count; i++) {
        if (i != slot) {
            wsgi_fd_close(&self->workers[i].event_fd);
            wsgi_journal_close(self->workers[i].journal);
        }
    }
    wsgi_fd_close(&self->sources[SIGNALS].fd);
    wsgi_fd_close(&self->sources[NOTICES].fd);
    wsgi_fd_close(&self->sources[CONTROL].fd);
}

static void become_worker(supervisor_t *self, unsigned slot, int event_read_fd,
                          pid_t supervisor_pid)
{
    const wsgi_worker_settings_t settings = {
        .process = self->process,
        .supervisor_pid = supervisor_pid,
        .slot = slot,
        .journal = self->workers[slot].journal,
        .notice_fd = self->notice_write_fd,
        .event_read_fd = event_read_fd,
        .event_write_fd = self->workers[slot].event_fd,
    };

    forget_others(self, slot);
    wsgi_worker_run(&settings);
}

static void begin_row(wsgi_worker_row_t *row)
{
    row->generation++;
    row->busy = 0;
    row->leases = 0;
    row->requests = 0;
    row->errors = 0;
}

static void close_worker(worker_t *worker)
{
    wsgi_fd_close(&worker->event_fd);
    wsgi_journal_close(worker->journal);
    *worker = (worker_t){.event_fd = -1};
}

/* The worker's journal and its pipe of events, whose reading end is left to the caller. */
static int open_worker(worker_t *worker)
{
    int events[2];

    if (pipe2(events, O_CLOEXEC) != 0) {
        return -1;
    }
    worker->event_fd = events[1];
    worker->journal = wsgi_journal_open();
    if (worker->journal == NULL || fcntl(events[1], F_SETFL, O_NONBLOCK) != 0) {
        wsgi_fd_close(&events[0]);
    }
    return events[0];
}

static void refuse_worker(supervisor_t *self, unsigned slot)
{
    wsgi_log(
        WSGI_LOG_ERR,
        WSGI_ID(1403) "[%s] cannot start a worker (%s): raise the limits of memory, open files "
                      "and processes of the group's user",
        self->group, strerror(errno));
    close_worker(&self->workers[slot]);
    wsgi_policy_note_exit(&self->policy, slot, WSGI_ENDED_UNABLE, false, wsgi_now_us());
}

static void start_worker(supervisor_t *self, unsigned slot)
{
    worker_t *worker = &self->workers[slot];
    int event_read_fd = open_worker(worker);
    pid_t supervisor_pid = getpid(), pid;

    begin_row(row_of(self, slot));
    pid = event_read_fd >= 0 ? fork() : -1;
    if (pid == 0) {
        become_worker(self, slot, event_read_fd, supervisor_pid);
    }
    if (pid < 0) {
        refuse_worker(self, slot);
    }
    else {
        worker->pid = pid;
        row_of(self, slot)->pid = (uint32_t)pid;
        wsgi_log(WSGI_LOG_INFO, "[%s] started worker %d", self->group, (int)pid);
    }
    wsgi_fd_close(&event_read_fd);
}

/* Full: the worker has plenty to read, and will be killed at its deadline. */
static void order(const supervisor_t *self, unsigned slot, enum wsgi_worker_event event)
{
    const unsigned char byte = (unsigned char)event;

    if (write(self->workers[slot].event_fd, &byte, 1) < 0) {
        wsgi_log(WSGI_LOG_INFO, "[%s] worker %d does not listen: %s", self->group,
                 (int)self->workers[slot].pid, strerror(errno));
    }
}

static void let_serve(supervisor_t *self, unsigned slot)
{
    order(self, slot, WSGI_EVENT_GO);
}

static void release_worker(supervisor_t *self, unsigned slot)
{
    order(self, slot, WSGI_EVENT_RELEASE);
}

static void stop_worker(supervisor_t *self, unsigned slot)
{
    kill(self->workers[slot].pid, SIGTERM);
}

static void kill_worker(supervisor_t *self, unsigned slot)
{
    worker_t *worker = &self->workers[slot];
    char requests[QUOTE_BYTES];

    wsgi_journal_quote(worker->journal, requests, sizeof(requests));
    wsgi_log(WSGI_LOG_WARNING,
             WSGI_ID(1402) "[%s] worker %d is killed: it did not end within shutdown-timeout=%d "
                           "(requests running: %u%s%s); look for requests or atexit functions that "
                           "hang",
             self->group, (int)worker->pid, (int)self->process->settings.shutdown_timeout_s,
             (unsigned)row_of(self, slot)->busy, *requests != '\0' ? ": " : "", requests);
    worker->was_killed = true;
    kill(worker->pid, SIGKILL);
}

/* Does all that is due. False: there is nothing more to do, ever. */
static bool act(supervisor_t *self, int64_t *until_us)
{
    static void (*const deeds[])(supervisor_t *, unsigned) = {
        [WSGI_DEED_START] = start_worker,     [WSGI_DEED_GO] = let_serve,
        [WSGI_DEED_RELEASE] = release_worker, [WSGI_DEED_STOP] = stop_worker,
        [WSGI_DEED_KILL] = kill_worker,
    };

    for (;;) {
        wsgi_decision_t decision = wsgi_policy_decide(&self->policy, wsgi_now_us());
        if (decision.deed == WSGI_DEED_WAIT || decision.deed == WSGI_DEED_FINISH) {
            *until_us = decision.until_us;
            return decision.deed == WSGI_DEED_WAIT;
        }
        deeds[decision.deed](self, decision.slot);
    }
}

static void publish(const supervisor_t *self)
{
    static const uint32_t states[] = {
        [WSGI_SLOT_EMPTY] = WSGI_WORKER_EMPTY,       [WSGI_SLOT_STARTING] = WSGI_WORKER_STARTING,
        [WSGI_SLOT_LOADED] = WSGI_WORKER_STARTING,   [WSGI_SLOT_READY] = WSGI_WORKER_READY,
        [WSGI_SLOT_LEAVING] = WSGI_WORKER_READY,     [WSGI_SLOT_RELEASED] = WSGI_WORKER_STOPPING,
        [WSGI_SLOT_STOPPING] = WSGI_WORKER_STOPPING,
    };

    for (unsigned i = 0; i < self->policy.slot_count; i++) {
        row_of(self, i)->state = states[self->slots[i].phase];
    }
    self->process->counters->state = wsgi_policy_group_state(&self->policy);
}

/* --- ends of workers ------------------------------------------------------------------------- */

/* What it was in the middle of. */
static void describe_requests(const supervisor_t *self, unsigned slot, char *text, size_t room)
{
    const unsigned busy = row_of(self, slot)->busy;
    char requests[QUOTE_BYTES];

    wsgi_journal_quote(self->workers[slot].journal, requests, sizeof(requests));
    if (busy == 0) {
        snprintf(text, room, "none of them running");
    }
    else {
        snprintf(text, room, "%u of them running (502 for each)%s%s", busy,
                 *requests != '\0' ? ": serving " : "", requests);
    }
}

static void describe_work(const supervisor_t *self, unsigned slot, const wsgi_death_t *death,
                          char *text, size_t room)
{
    char work[QUOTE_BYTES + 64];

    if (death->was_starting) {
        wsgi_journal_quote_import(self->workers[slot].journal, work, sizeof(work));
        snprintf(text, room, "while it was starting%s%s",
                 *work != '\0' ? ", in the import of " : "", work);
        return;
    }
    describe_requests(self, slot, work, sizeof(work));
    snprintf(text, room, "and %llu requests, %s", (unsigned long long)row_of(self, slot)->requests,
             work);
}

/* When the next one starts, and what callers get meanwhile. */
static void describe_pause(const supervisor_t *self, unsigned slot, char *text, size_t room)
{
    const int64_t pause_us = wsgi_policy_next_start(&self->policy, slot) - wsgi_now_us();
    const bool is_failed = wsgi_policy_group_state(&self->policy) == WSGI_GROUP_FAILED;

    text[0] = '\0';
    if (pause_us > 0) {
        snprintf(text, room, " in %d s%s", (int)((pause_us + 999999) / 1000000),
                 is_failed ? ", requests get 503" : "");
    }
}

/* Nobody had asked for it. The policy has been told, and knows when its successor starts. */
static void log_death(const supervisor_t *self, unsigned slot, const wsgi_death_t *death,
                      const char *cause, int64_t since_us)
{
    char work[QUOTE_BYTES + 128], pause[64];

    describe_work(self, slot, death, work, sizeof(work));
    describe_pause(self, slot, pause, sizeof(pause));
    wsgi_log(WSGI_LOG_ERR,
             WSGI_ID(1409) "[%s] worker %d %s, after %.1f s%s %s; another is started%s",
             self->group, (int)death->pid, cause, (double)(wsgi_now_us() - since_us) / 1e6,
             death->was_starting ? "," : "", work, pause);
}

static void log_end(const supervisor_t *self, unsigned slot, const wsgi_death_t *death,
                    int64_t since_us)
{
    char cause[240];

    wsgi_death_describe(death, cause, sizeof(cause));
    if (wsgi_death_ending(death) == WSGI_ENDED_BADLY && !death->was_killed) {
        log_death(self, slot, death, cause, since_us);
        return;
    }
    wsgi_log(WSGI_LOG_INFO, "[%s] worker %d %s", self->group, (int)death->pid, cause);
}

static void count_restart(const supervisor_t *self, const wsgi_death_t *death)
{
    wsgi_counters_t *counters = self->process->counters;

    if (!self->policy.is_draining) {
        counters->restarts++;
        counters->restarts_by[wsgi_death_reason(death)]++;
    }
}

/* A service may end at any time. One that has been told to end has no phase of a start any more. */
static bool is_starting(const supervisor_t *self, unsigned slot)
{
    return self->process->settings.threads > 0 && !self->policy.is_draining &&
           (self->slots[slot].phase == WSGI_SLOT_STARTING ||
            self->slots[slot].phase == WSGI_SLOT_LOADED);
}

static void note_end(supervisor_t *self, unsigned slot, wsgi_death_t *death)
{
    worker_t *worker = &self->workers[slot];
    const wsgi_worker_row_t *row = row_of(self, slot);
    const int64_t since_us = self->slots[slot].since_us;

    death->reason = wsgi_journal_reason(worker->journal);
    death->is_by_itself = worker->journal->is_killing_itself != 0;
    death->was_killed = worker->was_killed;
    death->was_serving = row->busy > 0;
    death->was_starting = is_starting(self, slot);
    count_restart(self, death);
    wsgi_policy_note_exit(&self->policy, slot, wsgi_death_ending(death), row->requests > row->busy,
                          wsgi_now_us());
    log_end(self, slot, death, since_us);
    close_worker(worker);
}

/* --- what is heard --------------------------------------------------------------------------- */

static void drain(supervisor_t *self, const char *reason)
{
    if (!self->policy.is_draining) {
        wsgi_log(WSGI_LOG_INFO, "[%s] ends: %s", self->group, reason);
    }
    wsgi_policy_note_drain(&self->policy);
    self->sources[CONTROL].fd = self->sources[RENDEZVOUS].fd = -1; /* both stay at end of file */
}

/* What a worker gives its requests once it is released: the policy's part of its deadline. */
static int64_t patience_us(const supervisor_t *self, uint32_t reason)
{
    const wsgi_group_settings_t *settings = &self->process->settings;

    return 1000000 * (reason == WSGI_REASON_EVICTION_SIGNAL ? settings->eviction_timeout_s
                                                            : settings->graceful_timeout_s);
}

static void hear_notice(supervisor_t *self, const wsgi_notice_t *notice)
{
    const int64_t now_us = wsgi_now_us();

    switch (notice->what) {
    case WSGI_NOTICE_LOADED:
        wsgi_policy_note_loaded(&self->policy, notice->slot);
        break;
    case WSGI_NOTICE_LEAVING:
        wsgi_policy_note_leaving(&self->policy, notice->slot, patience_us(self, notice->reason),
                                 notice->reason == WSGI_REASON_LOAD_FAILURE, now_us);
        break;
    case WSGI_NOTICE_CHANGED:
        wsgi_policy_note_changed(&self->policy, notice->slot, now_us);
        break;
    case WSGI_NOTICE_RELEASED:
        wsgi_policy_note_released(&self->policy, notice->slot);
        break;
    case WSGI_NOTICE_RETIRING:
        wsgi_policy_note_retiring(&self->policy, notice->slot, now_us);
        break;
    default:
        break;
    }
}

static void hear_notices(supervisor_t *self)
{
    wsgi_notice_t notice;

    while (read(self->sources[NOTICES].fd, &notice, sizeof(notice)) == sizeof(notice)) {
        if (notice.slot < self->policy.slot_count &&
            notice.generation == row_of(self, notice.slot)->generation) {
            hear_notice(self, &notice);
        }
    }
}

static void reap(supervisor_t *self)
{
    wsgi_death_t death;

    while (wsgi_death_collect(&death, &self->oom_kills)) {
        hear_notices(self); /* its last words */
        for (unsigned i = 0; i < self->policy.slot_count; i++) {
            if (self->workers[i].pid == death.pid) {
                note_end(self, i, &death);
            }
        }
    }
}

static void hear_signals(supervisor_t *self)
{
    struct signalfd_siginfo info;

    while (read(self->sources[SIGNALS].fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            drain(self, "it was told to");
        }
    }
    reap(self);
}

static void hear_control(supervisor_t *self)
{
    drain(self, "httpd has ended");
}

static void hear_rendezvous(supervisor_t *self)
{
    drain(self, "the httpd children of its generation have gone");
}

static void wait_and_hear(supervisor_t *self, int64_t until_us)
{
    static void (*const hear[SOURCES])(supervisor_t *) = {
        [SIGNALS] = hear_signals,
        [NOTICES] = hear_notices,
        [CONTROL] = hear_control,
        [RENDEZVOUS] = hear_rendezvous,
    };
    int64_t left_us = until_us - wsgi_now_us();
    struct timespec timeout = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};

    if (left_us < 0) {
        timeout = (struct timespec){0};
    }
    if (ppoll(self->sources, SOURCES, until_us == WSGI_POLICY_NEVER ? NULL : &timeout, NULL) <= 0) {
        return;
    }
    for (int i = 0; i < SOURCES; i++) {
        if (self->sources[i].fd >= 0 && self->sources[i].revents != 0) {
            hear[i](self);
        }
    }
}

/* --- start ----------------------------------------------------------------------------------- */

/* Blocked and read from a descriptor; workers unblock them again. */
static int open_signals(void)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaddset(&set, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* End of file is reported whether asked for or not; a caller's message is not for the supervisor. */
static bool open_sources(supervisor_t *self)
{
    int notices[2];

    if (pipe2(notices, O_CLOEXEC | O_NONBLOCK) != 0) {
        return false;
    }
    self->notice_write_fd = notices[1];
    self->sources[SIGNALS] = (struct pollfd){.fd = open_signals(), .events = POLLIN};
    self->sources[NOTICES] = (struct pollfd){.fd = notices[0], .events = POLLIN};
    self->sources[CONTROL] = (struct pollfd){.fd = WSGI_FD_CONTROL};
    self->sources[RENDEZVOUS] = (struct pollfd){.fd = WSGI_FD_RENDEZVOUS};
    return self->sources[SIGNALS].fd >= 0;
}

static bool open_slots(supervisor_t *self)
{
    const wsgi_group_settings_t *settings = &self->process->settings;
    const wsgi_policy_settings_t policy = {
        .seat_count = (unsigned)settings->processes,
        .is_side_by_side = settings->is_multiprocess != 0,
        .shutdown_timeout_us = settings->shutdown_timeout_s * 1000000,
        .graceful_timeout_us = settings->graceful_timeout_s * 1000000,
        .first_start_us = wsgi_now_us() + settings->restart_delay_ms * 1000,
    };
    const unsigned count = wsgi_policy_slot_count(&policy);

    self->slots = calloc(count, sizeof(*self->slots));
    self->seats = calloc(policy.seat_count, sizeof(*self->seats));
    self->workers = calloc(count, sizeof(*self->workers));
    if (self->slots == NULL || self->seats == NULL || self->workers == NULL) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        self->workers[i].event_fd = -1;
    }
    wsgi_policy_init(&self->policy, &policy, self->slots, self->seats);
    self->oom_kills = wsgi_death_oom_kills();
    return true;
}

enum wsgi_exit wsgi_supervisor_run(const wsgi_process_t *process)
{
    supervisor_t self = {.process = process, .group = process->settings.name};
    int64_t until_us;

    if (!open_sources(&self) || !open_slots(&self)) {
        wsgi_log(WSGI_LOG_CRIT,
                 WSGI_ID(1410) "[%s] cannot start (%s): raise the limits of open "
                               "files and memory",
                 self.group, strerror(errno));
        return WSGI_EXIT_SYSTEM;
    }
    while (act(&self, &until_us)) {
        publish(&self);
        wait_and_hear(&self, until_us);
    }
    publish(&self);
    free(self.slots);
    free(self.seats);
    free(self.workers);
    return WSGI_EXIT_OK;
}
