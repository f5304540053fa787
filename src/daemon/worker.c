/* daemon/worker.c — a worker: starts Python and the pool of threads, waits for the word to end,
 * and ends in order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "limits.h"
#include "signals.h"
#include "threads.h"
#include "watchdog.h"
#include "wsgi_runtime.h"

#define SILENCE_US INT64_C(300000000) /* of an httpd child, at least: httpd ends it sooner */

typedef struct worker {
    const wsgi_worker_settings_t *settings;
    const wsgi_group_settings_t *group;
    wsgi_connection_settings_t connection;
    wsgi_threads_settings_t pool;
    wsgi_threads_t *threads; /* NULL before it may serve */
    wsgi_flights_t flights;
    wsgi_watchdog_t *watchdog;
    wsgi_signals_t signals;
    int event_read_fd, event_write_fd; /* signals and wsgi_worker_event, one byte each */
    int rendezvous_fd;
    timer_t end_timer;      /* SIGKILL */
    bool can_limit_end;     /* there is such a timer */
    _Atomic bool is_ending; /* and it runs */
} worker_t;

/* Handlers of signals and forks have no argument. */
static worker_t *wsgi_the_worker;

/* It serves no requests: its main thread runs scripts to their end. */
static bool is_service(const worker_t *worker)
{
    return worker->group->threads == 0;
}

/* --- signals and forks ----------------------------------------------------------------------- */

/* The supervisor kills what takes longer than shutdown-timeout. This is for the time when it is
 * dead itself; nothing that the application does to signals or its alarm can hold it off. Its
 * deadline does not move. Async-signal-safe. */
static void limit_end(worker_t *worker)
{
    const struct itimerspec limit = {
        .it_value.tv_sec = (time_t)worker->group->shutdown_timeout_s + 1,
    };

    if (worker->can_limit_end && !atomic_exchange(&worker->is_ending, true)) {
        timer_settime(worker->end_timer, 0, &limit, NULL);
    }
}

/* The end has a limit from here on, since the main thread may never hear of it: it may be in a
 * script that is loaded ahead of requests. The supervisor's death is a SIGTERM too. */
static void on_signal(int number)
{
    const unsigned char byte = (unsigned char)number;
    int saved = errno;

    if (write(wsgi_the_worker->event_write_fd, &byte, 1) < 0) {
        errno = 0; /* full: what is in it ends the process as well */
    }
    if (number == SIGTERM || number == SIGINT) {
        limit_end(wsgi_the_worker);
    }
    errno = saved;
}

/* A handler rather than SIG_IGN or a mask: the application's subprocesses would inherit those. */
static void set_handlers(void (*handler)(int))
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

/* In the child, async-signal-safe calls only. With our handlers left in place nobody could end it
 * by SIGTERM, as multiprocessing does. */
static void on_fork_in_child(void)
{
    worker_t *worker = wsgi_the_worker;

    if (!is_service(worker)) {
        set_handlers(SIG_DFL);
    }
    if (worker->threads != NULL) {
        wsgi_threads_forget(worker->threads);
    }
    if (worker->watchdog != NULL) {
        wsgi_watchdog_forget(worker->watchdog);
    }
    wsgi_signals_forget(&worker->signals);
    wsgi_fd_close(&worker->event_read_fd);
    wsgi_fd_close(&worker->event_write_fd);
    wsgi_fd_close(&worker->rendezvous_fd);
    close(worker->settings->notice_fd);
}

/* --- start ----------------------------------------------------------------------------------- */

static void tell_supervisor(const worker_t *worker, enum wsgi_notice_what what)
{
    const wsgi_notice_t notice = {
        .slot = worker->settings->slot,
        .generation = worker->connection.hello.generation,
        .what = what,
        .reason = wsgi_journal_reason(worker->settings->journal),
    };

    if (write(worker->settings->notice_fd, &notice, sizeof(notice)) < 0) {
        wsgi_log(WSGI_LOG_INFO, "[%s] the supervisor does not listen: %s", worker->group->name,
                 strerror(errno));
    }
}

/* Without it the worker can serve all the same. */
static int prepare_end(worker_t *worker, wsgi_result_t *result)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};

    (void)result;
    worker->can_limit_end = worker->group->shutdown_timeout_s > 0 &&
                            timer_create(CLOCK_MONOTONIC, &event, &worker->end_timer) == 0;
    return WSGI_OK;
}

static int open_events(worker_t *worker, wsgi_result_t *result)
{
    (void)worker, (void)result;
    set_handlers(on_signal);
    wsgi_signals_unblock(); /* which were, as in the supervisor, since the fork: none has killed us */
    return WSGI_OK;
}

/* The soft limit is SIGXCPU, once a second; the hard one is for what cannot be ended in order. */
static int limit_cpu_time(worker_t *worker, wsgi_result_t *result)
{
    const rlim_t soft = (rlim_t)worker->group->cpu_time_limit_s;
    const struct rlimit limit = {soft, soft + 1 + (rlim_t)worker->group->shutdown_timeout_s};

    if (soft > 0 && setrlimit(RLIMIT_CPU, &limit) != 0) {
        return wsgi_fail(result, WSGI_E_IO,
                         "cannot set cpu-time-limit=%d (%s): lower it, or raise the limit of the "
                         "group's user",
                         (int)soft, strerror(errno));
    }
    return WSGI_OK;
}

static int take_surroundings(worker_t *worker, wsgi_result_t *result)
{
    (void)result;
    wsgi_limits_set(worker->group);
    wsgi_locale_set(worker->group);
    return WSGI_OK;
}

static wsgi_scoreboard_t *read_scoreboard(void)
{
    return wsgi_scoreboard_read(wsgi_the_worker->settings->process->scoreboard);
}

static int start_python(worker_t *worker, wsgi_result_t *result)
{
    const wsgi_process_t *process = worker->settings->process;
    const wsgi_group_settings_t *group = worker->group;
    const wsgi_runtime_settings_t runtime = {
        .python_home = group->python_home,
        .python_executable = group->python_executable,
        .python_path = group->python_path,
        .home = group->home,
        .process_group = group->name,
        .main_name = group->main_application_group,
        .server_description = group->server_description,
        .server_build_date = group->server_build_date,
        .mpm_name = group->mpm_name,
        .mpm_processes = (int)group->mpm_processes,
        .mpm_threads = (int)group->mpm_threads,
        .server_version = (int)group->server_version,
        .processes = (int)group->processes,
        .threads = (int)group->threads,
        .is_multiprocess = group->is_multiprocess != 0,
        .is_multithread = group->threads != 1,
        .is_run_once = group->threads == 1 && group->maximum_requests == 1,
        .python_eggs = group->python_eggs,
        .python_warnings = group->python_warnings,
        .optimize = (int)group->python_optimize,
        .hash_seed = group->hash_seed,
        .switch_interval_us = group->switch_interval_us,
        .dont_write_bytecode = group->dont_write_bytecode != 0,
        .restrict_stdin = group->restrict_stdin != 0,
        .restrict_stdout = group->restrict_stdout != 0,
        .allow_signals = group->allow_signals != 0 || is_service(worker),
        .abandon_interpreters = group->abandon_interpreters != 0,
        .per_interpreter_gil = group->per_interpreter_gil != 0,
        .read_scoreboard = process->scoreboard != NULL ? read_scoreboard : NULL,
        .interpreter_options = group->interpreter_options,
        .is_case_blind = group->is_case_blind != 0,
        .free_threading = group->free_threading != 0,
        .can_interrupt = group->request_timeout_s > 0 && group->interrupt_timeout_s > 0,
    };

    return wsgi_runtime_start(&runtime, result);
}

/* Takes the next line of *text, which it cuts off there. */
static char *take_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    *text = end + 1;
    return line;
}

/* Before any request. A script that cannot be loaded is tried again by the first request for it. */
static int import_scripts(worker_t *worker, wsgi_result_t *result)
{
    char *lines = strdup(worker->group->import_scripts), *rest = lines;
    const char *application_group, *script;

    while (rest != NULL && (application_group = take_line(&rest)) != NULL &&
           (script = take_line(&rest)) != NULL) {
        wsgi_journal_enter_import(worker->settings->journal, script);
        if (wsgi_runtime_import(application_group, script, result) != WSGI_OK) {
            wsgi_log(WSGI_LOG_ERR, WSGI_ID(1411) "[%s] %s is not loaded ahead of requests: %s",
                     worker->group->name, script, result->detail);
        }
        wsgi_journal_leave_import(worker->settings->journal);
    }
    free(lines);
    return WSGI_OK;
}

static int start_watchdog(worker_t *worker, wsgi_result_t *result)
{
    const wsgi_watchdog_settings_t settings = {
        .group = worker->group,
        .flights = &worker->flights,
        .journal = worker->settings->journal,
        .event_fd = worker->event_write_fd,
    };

    if (wsgi_flights_init(&worker->flights, (unsigned)worker->group->threads,
                          worker->settings->journal) != WSGI_OK) {
        return wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
    }
    worker->watchdog = wsgi_watchdog_start(&settings, result);
    return worker->watchdog != NULL ? WSGI_OK : result->code;
}

static int watch_forks(worker_t *worker, wsgi_result_t *result)
{
    (void)worker;
    return pthread_atfork(NULL, NULL, on_fork_in_child) == 0
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
}

/* The rendezvous is the supervisor's to watch. Signals are left to Python and the scripts. */
static int become_service(worker_t *worker, wsgi_result_t *result)
{
    wsgi_fd_close(&worker->rendezvous_fd);
    return wsgi_runtime_exit_on_sigterm(result);
}

/* Sizes and timers, as the hand-over has them. */
static void log_settings(const wsgi_group_settings_t *group)
{
    static const struct {
        const char *name;
        size_t offset;
    } numbers[] = {
#define TEXT(member)
#define NUMBER(member) {#member, offsetof(wsgi_group_settings_t, member)},
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    };
    char text[2048];
    size_t used = 0;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && used < sizeof(text); i++) {
        const int64_t *value = (const void *)((const char *)group + numbers[i].offset);
        used += (size_t)snprintf(text + used, sizeof(text) - used, " %s=%lld", numbers[i].name,
                                 (long long)*value);
    }
    wsgi_log(WSGI_LOG_DEBUG, "[%s] settings:%s", group->name, text);
}

typedef int (*step_t)(worker_t *worker, wsgi_result_t *result);

static int start(worker_t *worker, wsgi_result_t *result)
{
    static const step_t server[] = {prepare_end,       open_events,    watch_forks,
                                    take_surroundings, limit_cpu_time, start_python,
                                    import_scripts,    start_watchdog, NULL};
    static const step_t service[] = {prepare_end,    take_surroundings, start_python,
                                     become_service, watch_forks,       NULL};
    int status = WSGI_OK;

    for (const step_t *step = is_service(worker) ? service : server;
         status == WSGI_OK && *step != NULL; step++) {
        status = (*step)(worker, result);
    }
    return status;
}

static void set_title(const worker_t *worker)
{
    char title[256];

    snprintf(title, sizeof(title), "(wsgi:%s)", worker->group->name);
    wsgi_title_set(&worker->settings->process->title,
                   worker->group->display_name[0] != '\0' ? worker->group->display_name : title);
}

/* --- end ------------------------------------------------------------------------------------- */

/* Of a service the settings hold nothing but what is to be run. */
static void run_service(const worker_t *worker)
{
    char *lines = strdup(worker->group->import_scripts), *rest = lines;
    const char *script;

    while (rest != NULL && take_line(&rest) != NULL && (script = take_line(&rest)) != NULL) {
        if (!wsgi_runtime_run(script)) {
            break;
        }
    }
    free(lines);
    signal(SIGTERM, SIG_IGN); /* it is ending already */
}

static bool start_serving(worker_t *worker, wsgi_result_t *result)
{
    worker->pool = (wsgi_threads_settings_t){
        .max_threads = (unsigned)worker->group->threads,
        .stack_bytes = (size_t)worker->group->stack_size,
        .rendezvous_fd = worker->rendezvous_fd,
        .event_fd = worker->event_write_fd,
        .counters = worker->settings->process->counters,
        .connection = &worker->connection,
    };
    if (worker->threads == NULL) {
        worker->threads = wsgi_threads_open(&worker->pool, result);
    }
    return worker->threads != NULL;
}

/* Its successor serves already, or its code is no longer the newest. Without another beside it it
 * serves until a moment when it has nothing to do. */
static void finish_and_end(const worker_t *worker)
{
    if (worker->group->is_multiprocess && worker->threads != NULL) {
        wsgi_threads_stop_taking(worker->threads);
    }
    tell_supervisor(worker, WSGI_NOTICE_RELEASED);
    wsgi_journal_set_reason(worker->settings->journal, WSGI_REASON_SCRIPT_RELOAD);
    wsgi_watchdog_release(worker->watchdog);
}

static void mark(const worker_t *worker, enum wsgi_reason reason)
{
    wsgi_watchdog_mark(worker->watchdog, reason);
}

/* It takes nothing any more. Alone it ends now, with no patience, for callers wait until it has. */
static bool hear_of_change(const worker_t *worker)
{
    if (wsgi_journal_set_reason(worker->settings->journal, WSGI_REASON_SCRIPT_RELOAD)) {
        wsgi_log(WSGI_LOG_INFO, "[%s] is to be replaced: script_reload", worker->group->name);
    }
    tell_supervisor(worker, WSGI_NOTICE_CHANGED);
    return worker->group->is_multiprocess != 0;
}

/* What each event means. False: to end, now. */
static bool hear(worker_t *worker, unsigned event, wsgi_result_t *result)
{
    wsgi_journal_t *journal = worker->settings->journal;
    const bool has_eviction = worker->group->eviction_timeout_s > 0;

    switch (event) {
    case SIGHUP:
    case SIGUSR2:
        wsgi_signals_publish(&worker->signals, (int)event);
        return true;
    case SIGUSR1:
        mark(worker, has_eviction ? WSGI_REASON_EVICTION_SIGNAL : WSGI_REASON_GRACEFUL_SIGNAL);
        return true;
    case SIGXCPU:
        mark(worker, WSGI_REASON_CPU_TIME_LIMIT);
        return true;
    case WSGI_EVENT_LEAVE:
        tell_supervisor(worker, WSGI_NOTICE_LEAVING);
        return true;
    case WSGI_EVENT_RETIRE:
        return hear_of_change(worker);
    case WSGI_EVENT_RELEASE:
        finish_and_end(worker);
        return true;
    case WSGI_EVENT_GO:
        return start_serving(worker, result);
    case WSGI_EVENT_END:
        return false;
    default: /* SIGTERM, SIGINT, callers gone */
        wsgi_journal_set_reason(journal, WSGI_REASON_SHUTDOWN_SIGNAL);
        return false;
    }
}

static void wait_for_end(worker_t *worker, wsgi_result_t *result)
{
    unsigned char event;
    ssize_t got;

    do {
        got = read(worker->event_read_fd, &event, 1);
    } while (got == 1 ? hear(worker, event, result) : got < 0 && errno == EINTR);
    if (got < 0) {
        wsgi_descriptors_lost(worker->settings->journal, worker->group->name, "its events");
    }
    if (got == 0) {
        wsgi_journal_set_reason(worker->settings->journal, WSGI_REASON_SIGNAL_PIPE_ERROR);
    }
}

/* Subscribers are told first, so that they can end what would keep threads from ending. */
static void end_serving(const worker_t *worker, const char *reason)
{
    tell_supervisor(worker, WSGI_NOTICE_RETIRING);
    if (worker->threads != NULL) {
        wsgi_threads_stop_taking(worker->threads);
    }
    wsgi_runtime_publish_stop(reason);
    if (worker->threads != NULL) {
        wsgi_threads_stop(worker->threads);
    }
    wsgi_watchdog_stop(worker->watchdog);
}

/* The end of a service that nobody asked for is no wish to be replaced at once; it has no events. */
static void end(worker_t *worker)
{
    const char *reason = wsgi_reason_name(wsgi_journal_reason(worker->settings->journal));

    wsgi_log(WSGI_LOG_INFO, "[%s] ends in order%s%s", worker->group->name,
             *reason != '\0' ? ": " : "", reason);
    limit_end(worker);
    if (is_service(worker)) {
        wsgi_runtime_publish_stop(NULL);
    }
    else {
        end_serving(worker, reason);
    }
    wsgi_runtime_stop();
    fflush(NULL);
}

static int64_t socket_timeout_us(const wsgi_group_settings_t *group)
{
    const int64_t timeout_us = group->socket_timeout_s * 1000000;

    return timeout_us > SILENCE_US ? timeout_us : SILENCE_US;
}

static void describe_connections(worker_t *worker)
{
    const wsgi_worker_settings_t *settings = worker->settings;
    wsgi_worker_row_t *row = &settings->process->counters->rows[settings->slot];

    worker->connection = (wsgi_connection_settings_t){
        .group = worker->group->name,
        .row = row,
        .hello = {WSGI_WIRE_VERSION, settings->slot, row->generation},
        .socket_timeout_us = socket_timeout_us(worker->group),
        .queue_timeout_us = worker->group->queue_timeout_s * 1000000,
        .flights = &worker->flights,
    };
}

static void cannot_start(const worker_t *worker, const wsgi_result_t *result)
{
    wsgi_log(WSGI_LOG_CRIT, WSGI_ID(1404) "[%s] cannot start, requests get 503: %s",
             worker->group->name, result->detail);
    _exit(WSGI_EXIT_UNABLE);
}

void wsgi_worker_run(const wsgi_worker_settings_t *settings)
{
    worker_t worker = {
        .settings = settings,
        .group = &settings->process->settings,
        .signals = {-1, -1},
        .event_read_fd = settings->event_read_fd,
        .event_write_fd = settings->event_write_fd,
        .rendezvous_fd = WSGI_FD_RENDEZVOUS,
    };
    wsgi_result_t result = {0};

    wsgi_signals_forget_handlers();
    if (is_service(&worker)) {
        wsgi_signals_unblock(); /* it has no handlers of ours to wait for */
    }
    if (!wsgi_process_follow_parent(settings->supervisor_pid)) {
        _exit(WSGI_EXIT_OK);
    }
    wsgi_the_worker = &worker;
    set_title(&worker);
    if (wsgi_log_is_enabled(WSGI_LOG_DEBUG)) {
        log_settings(worker.group);
    }
    describe_connections(&worker);
    if (start(&worker, &result) != WSGI_OK) {
        cannot_start(&worker, &result);
    }
    result = (wsgi_result_t){0};
    tell_supervisor(&worker, WSGI_NOTICE_LOADED);
    if (is_service(&worker)) {
        run_service(&worker);
    }
    else {
        wait_for_end(&worker, &result);
    }
    if (result.code != WSGI_OK) {
        cannot_start(&worker, &result);
    }
    end(&worker);
    _exit(WSGI_EXIT_OK);
}
