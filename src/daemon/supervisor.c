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

#include "policy.h"
#include "worker.h"

enum source { SIGNALS, NOTICES, CONTROL, RENDEZVOUS, SOURCES };

typedef struct supervisor {
    const wsgi_process_t *process;
    const char *group;
    wsgi_policy_t policy;
    wsgi_slot_t *slots;
    pid_t *pids; /* 0 = none */
    struct pollfd sources[SOURCES];
    int notice_write_fd; /* the workers' end */
} supervisor_t;

static wsgi_worker_row_t *row_of(const supervisor_t *self, unsigned slot)
{
    return &self->process->counters->rows[slot];
}

/* --- deeds ----------------------------------------------------------------------------------- */

static void become_worker(supervisor_t *self, unsigned slot, pid_t supervisor_pid)
{
    const wsgi_worker_settings_t settings = {
        .process = self->process,
        .supervisor_pid = supervisor_pid,
        .slot = slot,
        .notice_fd = self->notice_write_fd,
    };

    wsgi_fd_close(&self->sources[SIGNALS].fd);
    wsgi_fd_close(&self->sources[NOTICES].fd);
    wsgi_fd_close(&self->sources[CONTROL].fd);
    wsgi_worker_run(&settings);
}

static void begin_row(const supervisor_t *self, wsgi_worker_row_t *row)
{
    if (row->generation++ > 0) {
        self->process->counters->restarts++;
    }
    row->busy = 0;
    row->leases = 0;
    row->requests = 0;
    row->errors = 0;
}

static void start_worker(supervisor_t *self, unsigned slot)
{
    pid_t supervisor_pid = getpid(), pid;

    begin_row(self, row_of(self, slot));
    pid = fork();
    if (pid == 0) {
        become_worker(self, slot, supervisor_pid);
    }
    if (pid < 0) {
        wsgi_log(WSGI_LOG_ERR,
                 WSGI_ID(1403) "[%s] cannot start a worker (%s): raise the limits of memory and "
                               "processes of the group's user",
                 self->group, strerror(errno));
        wsgi_policy_note_exit(&self->policy, slot, WSGI_ENDED_UNABLE, false, wsgi_now_us());
        return;
    }
    self->pids[slot] = pid;
    row_of(self, slot)->pid = (uint32_t)pid;
    wsgi_log(WSGI_LOG_INFO, "[%s] started worker %d", self->group, (int)pid);
}

static void stop_worker(supervisor_t *self, unsigned slot)
{
    kill(self->pids[slot], SIGTERM);
}

static void kill_worker(supervisor_t *self, unsigned slot)
{
    wsgi_log(
        WSGI_LOG_WARNING,
        WSGI_ID(1402) "[%s] worker %d is killed: it did not end within shutdown-timeout=%d "
                      "(requests running: %u); look for requests or atexit functions that hang",
        self->group, (int)self->pids[slot], (int)self->process->settings.shutdown_timeout_s,
        (unsigned)row_of(self, slot)->busy);
    kill(self->pids[slot], SIGKILL);
}

/* Does all that is due. False: there is nothing more to do, ever. */
static bool act(supervisor_t *self, int64_t *until_us)
{
    static void (*const deeds[])(supervisor_t *, unsigned) = {
        [WSGI_DEED_START] = start_worker,
        [WSGI_DEED_STOP] = stop_worker,
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
        [WSGI_SLOT_EMPTY] = WSGI_WORKER_EMPTY,
        [WSGI_SLOT_STARTING] = WSGI_WORKER_STARTING,
        [WSGI_SLOT_READY] = WSGI_WORKER_READY,
        [WSGI_SLOT_STOPPING] = WSGI_WORKER_STOPPING,
    };

    for (unsigned i = 0; i < self->policy.slot_count; i++) {
        row_of(self, i)->state = states[self->slots[i].phase];
    }
    self->process->counters->state = wsgi_policy_group_state(&self->policy);
}

/* --- ends of workers ------------------------------------------------------------------------- */

static enum wsgi_ending classify(int status)
{
    if (WIFEXITED(status)) {
        int code = WEXITSTATUS(status);
        if (code == WSGI_EXIT_OK || code == WSGI_EXIT_RETIRED) {
            return WSGI_ENDED_IN_ORDER;
        }
        if (code == WSGI_EXIT_UNABLE) {
            return WSGI_ENDED_UNABLE;
        }
    }
    return WSGI_ENDED_BADLY;
}

static void describe_exit(int code, char *text, size_t room)
{
    static const char *const meanings[] = {
        [WSGI_EXIT_OK] = "ended in order",
        [WSGI_EXIT_UNABLE] = "could not start",
        [WSGI_EXIT_RETIRED] = "gave way to a successor with changed code",
    };
    bool is_known = code < (int)(sizeof(meanings) / sizeof(meanings[0])) && meanings[code] != NULL;

    if (is_known) {
        snprintf(text, room, "%s", meanings[code]);
    }
    else {
        snprintf(text, room, "exited with status %d", code);
    }
}

static void describe(int status, char *text, size_t room)
{
    if (!WIFSIGNALED(status)) {
        describe_exit(WEXITSTATUS(status), text, room);
        return;
    }
    int number = WTERMSIG(status);
    const char *name = sigabbrev_np(number);
    snprintf(text, room, "was ended by signal %d (%s%s)%s%s", number, name != NULL ? "SIG" : "",
             name != NULL ? name : "real-time", WCOREDUMP(status) ? ", with a core file" : "",
             number == SIGKILL ? ", from outside or by the kernel for lack of memory" : "");
}

static void log_end(const supervisor_t *self, unsigned slot, int status, enum wsgi_ending ending)
{
    const wsgi_worker_row_t *row = row_of(self, slot);
    char cause[160];

    describe(status, cause, sizeof(cause));
    if (ending == WSGI_ENDED_BADLY && self->slots[slot].phase != WSGI_SLOT_STOPPING) {
        wsgi_log(WSGI_LOG_ERR,
                 WSGI_ID(1409) "[%s] worker %d %s, after %.1f s and %llu requests, %u of them "
                               "running (those get 502); another is started",
                 self->group, (int)self->pids[slot], cause,
                 (double)(wsgi_now_us() - self->slots[slot].since_us) / 1e6,
                 (unsigned long long)row->requests, (unsigned)row->busy);
        return;
    }
    wsgi_log(WSGI_LOG_INFO, "[%s] worker %d %s", self->group, (int)self->pids[slot], cause);
}

static void note_end(supervisor_t *self, unsigned slot, int status)
{
    const wsgi_worker_row_t *row = row_of(self, slot);
    enum wsgi_ending ending = classify(status);

    log_end(self, slot, status, ending);
    wsgi_policy_note_exit(&self->policy, slot, ending, row->requests > row->busy, wsgi_now_us());
    self->pids[slot] = 0;
}

static void reap(supervisor_t *self)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < self->policy.slot_count; i++) {
            if (self->pids[i] == pid) {
                note_end(self, i, status);
            }
        }
    }
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

static void hear_notices(supervisor_t *self)
{
    wsgi_notice_t notice;

    while (read(self->sources[NOTICES].fd, &notice, sizeof(notice)) == sizeof(notice)) {
        if (notice.slot >= self->policy.slot_count ||
            notice.generation != row_of(self, notice.slot)->generation) {
            continue;
        }
        if (notice.what == WSGI_NOTICE_READY) {
            wsgi_policy_note_ready(&self->policy, notice.slot);
        }
        else if (notice.what == WSGI_NOTICE_RETIRING) {
            wsgi_policy_note_retiring(&self->policy, notice.slot, wsgi_now_us());
        }
    }
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
    unsigned count = (unsigned)settings->processes;

    self->slots = calloc(count, sizeof(*self->slots));
    self->pids = calloc(count, sizeof(*self->pids));
    if (self->slots == NULL || self->pids == NULL) {
        return false;
    }
    wsgi_policy_init(&self->policy, self->slots, count, settings->shutdown_timeout_s * 1000000,
                     wsgi_now_us() + settings->restart_delay_ms * 1000);
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
    free(self.pids);
    return WSGI_EXIT_OK;
}
