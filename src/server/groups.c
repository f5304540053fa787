/* server/groups.c — process groups as httpd sees them.
 *
 * What the parent keeps of a generation lives in sub-pools of the process pool: pconf is cleared at
 * each restart, while a retired supervisor goes on until the httpd children of its time have gone.
 * Everything here belongs to the process that made it; cleanups that a fork inherits do nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include "server_private.h"

#include "ap_mpm.h"
#include "apr_portable.h"
#include "apr_signal.h"
#include "apr_thread_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

#define REGISTRY_KEY "wsgi-groups:1" /* of this layout; another version of the module looks away */
#define LONG_US      INT64_C(60000000) /* a supervisor that lived so long did not fail to start */

/* What our program exits with by itself is above the common signals (daemon/process.h). */
#define OWN_STATUS_MIN 64

/* One process group of one generation. */
typedef struct record {
    struct record *next;
    struct registry *registry;
    apr_pool_t *pool;     /* its own; ends with it */
    apr_pool_t *run_pool; /* of one supervisor; clearing it takes the other-child record away */
    wsgi_group_t group;
    unsigned index;
    bool is_retired; /* its pconf has gone: never started again */

    int callers_fd, workers_fd; /* the rendezvous; both -1 once retired */
    wsgi_backlog_t *backlog;    /* of the children; NULL once retired */
    int counters_fd, program_fd, scoreboard_fd;
    int control_fd;  /* of the running supervisor */
    apr_proc_t proc; /* pid 0: none runs */
    int64_t started_us;
    unsigned failures; /* of supervisors, in a row */
} record_t;

typedef struct registry {
    record_t *records;
    apr_pool_t *pool; /* the process pool */
    pid_t owner;
} registry_t;

/* A child's links by index. */
static struct {
    wsgi_link_t **links;
    int *rendezvous_fds; /* the same by themselves, for forks of an embedded application */
    unsigned count;
} wsgi_the_links;

static bool is_owner(const registry_t *registry)
{
    return registry->owner == getpid();
}

static registry_t *find_registry(const server_rec *main_server)
{
    void *data = NULL;

    apr_pool_userdata_get(&data, REGISTRY_KEY, main_server->process->pool);
    return data;
}

/* --- records --------------------------------------------------------------------------------- */

static void close_rendezvous(record_t *record)
{
    wsgi_fd_close(&record->callers_fd);
    wsgi_fd_close(&record->workers_fd);
    wsgi_fd_close(&record->counters_fd);
    wsgi_fd_close(&record->program_fd);
    wsgi_fd_close(&record->scoreboard_fd);
    wsgi_backlog_destroy(record->backlog);
    record->backlog = NULL;
}

static void remove_record(record_t *record)
{
    record_t **link = &record->registry->records;

    while (*link != record) {
        link = &(*link)->next;
    }
    *link = record->next;
    close_rendezvous(record);
    wsgi_fd_close(&record->control_fd);
    apr_pool_destroy(record->pool);
}

static void copy_settings(record_t *record, const wsgi_group_t *group)
{
    record->group = *group;
#define TEXT(member)                                                                               \
    record->group.settings.member = apr_pstrdup(record->pool, group->settings.member);
#define NUMBER(member)
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    record->group.program = apr_pstrdup(record->pool, group->program);
    record->group.settings.parent_pid = getpid();
}

static record_t *add_record(registry_t *registry, const wsgi_group_t *group, unsigned index)
{
    apr_pool_t *pool;
    record_t *record;

    apr_pool_create(&pool, registry->pool);
    apr_pool_tag(pool, "wsgi_group");
    record = apr_pcalloc(pool, sizeof(*record));
    record->registry = registry;
    record->pool = pool;
    apr_pool_create(&record->run_pool, pool);
    apr_pool_tag(record->run_pool, "wsgi_supervisor");
    copy_settings(record, group);
    record->index = index;
    record->callers_fd = record->workers_fd = record->counters_fd = -1;
    record->program_fd = record->control_fd = record->scoreboard_fd = -1;
    record->next = registry->records;
    registry->records = record;
    return record;
}

/* A worker's successor is started beside it, except where there may only be one process. */
static unsigned row_count(const wsgi_group_settings_t *settings)
{
    return (unsigned)settings->processes * (settings->is_multiprocess ? 2 : 1);
}

/* At a time, with those that are on their way out. */
static unsigned most_children(void)
{
    int limit;

    return ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit) == APR_SUCCESS && limit > 0
               ? 2 * (unsigned)limit
               : 512;
}

static int open_rendezvous(record_t *record, wsgi_result_t *result)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return wsgi_fail(result, WSGI_E_IO,
                         "cannot make the rendezvous of process group '%s' "
                         "(%s): raise the limit of open files",
                         record->group.settings.name, strerror(errno));
    }
    record->callers_fd = ends[0];
    record->workers_fd = ends[1];
    record->backlog = wsgi_backlog_create(most_children());
    if (record->backlog == NULL) {
        return wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
    }
    record->counters_fd = wsgi_counters_create(row_count(&record->group.settings), result);
    return record->counters_fd < 0 ? result->code : WSGI_OK;
}

static int open_program(record_t *record, wsgi_result_t *result)
{
    const char *path = record->group.program;

    record->program_fd = open(path, O_RDONLY | O_CLOEXEC);
    return record->program_fd >= 0
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_IO, "%s cannot be opened (%s)", path, strerror(errno));
}

/* --- supervisors ----------------------------------------------------------------------------- */

static void on_supervisor_event(int reason, void *data, apr_wait_t status);

/* Where the group's server logs; with syslog or the like that is httpd's standard error. */
static int log_descriptor(const server_rec *server)
{
    apr_os_file_t fd;

    if (server->error_log == NULL || apr_os_file_get(&fd, server->error_log) != APR_SUCCESS) {
        return STDERR_FILENO;
    }
    return fd;
}

static int start_supervisor(record_t *record, wsgi_result_t *result)
{
    const wsgi_program_start_t start = {
        .program_fd = record->program_fd,
        .path = record->group.program,
        .settings = &record->group.settings,
        .log_fd = log_descriptor(record->group.server),
        .rendezvous_fd = record->workers_fd,
        .counters_fd = record->counters_fd,
        .scoreboard_fd = record->scoreboard_fd,
    };
    pid_t pid;

    pid = wsgi_program_start(&start, &record->control_fd, result);
    if (pid < 0) {
        return (int)pid;
    }
    record->proc = (apr_proc_t){.pid = pid};
    record->started_us = wsgi_now_us();
    apr_proc_other_child_register(&record->proc, on_supervisor_event, record, NULL,
                                  record->run_pool);
    return WSGI_OK;
}

/* Callers get 503 at once until a supervisor says otherwise. */
static void mark_failed(const record_t *record)
{
    wsgi_counters_t *counters = wsgi_counters_map(record->counters_fd, true, NULL);

    if (counters != NULL) {
        counters->state = WSGI_GROUP_FAILED;
        wsgi_counters_unmap(counters);
    }
}

static void start_again(record_t *record)
{
    wsgi_result_t result = {0};

    (void)wsgi_counters_restore(record->counters_fd, row_count(&record->group.settings));
    if (start_supervisor(record, &result) != WSGI_OK) {
        mark_failed(record);
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, record->group.server,
                     WSGI_ID(1602) "process group '%s' is down, requests get 503, and is tried "
                                   "again: %s",
                     record->group.settings.name, result.detail);
    }
}

/* The delay is sat out by the new supervisor: httpd's parent may not sleep. */
static int64_t back_off_ms(record_t *record, int64_t now_us)
{
    static const int seconds[] = {0, 1, 2, 4, 8, 16, 30};
    const unsigned last = sizeof(seconds) / sizeof(seconds[0]) - 1;
    unsigned step;

    if (now_us - record->started_us >= LONG_US) {
        record->failures = 0;
    }
    step = record->failures++;
    return seconds[step < last ? step : last] * 1000;
}

/* The MPM tells the bare number, of a signal or of an exit. */
static const char *describe(const record_t *record, int number)
{
    if (number > 0 && number < OWN_STATUS_MIN) {
        return apr_psprintf(record->run_pool,
                            "was ended by signal %d (%s), or exited with that status", number,
                            apr_signal_description_get(number));
    }
    return apr_psprintf(record->run_pool, "exited with status %d", number);
}

/* It may have failed before it had the counters. */
static bool could_not_start(int status)
{
    return status >= OWN_STATUS_MIN;
}

/* It has not even sat out the delay that it was told. */
static bool was_hasty(const record_t *record, int64_t now_us)
{
    return now_us - record->started_us < record->group.settings.restart_delay_ms * 1000;
}

static const char *describe_delay(const record_t *record, bool is_left_to_monitor, int64_t delay_ms)
{
    if (is_left_to_monitor) {
        return " within 10 s";
    }
    return delay_ms == 0
               ? ""
               : apr_psprintf(record->run_pool, " and waits %d s", (int)(delay_ms / 1000));
}

static void replace_supervisor(record_t *record, pid_t pid, int status)
{
    const int64_t now_us = wsgi_now_us();
    const bool is_left_to_monitor = could_not_start(status) && was_hasty(record, now_us);
    const int64_t delay_ms = back_off_ms(record, now_us);
    const int level = status == 0 ? APLOG_INFO : APLOG_ERR;

    if (could_not_start(status)) {
        mark_failed(record);
    }
    ap_log_error(APLOG_MARK, level, 0, record->group.server,
                 WSGI_ID(1601) "supervisor %d of process group '%s' %s; another is started%s",
                 (int)pid, record->group.settings.name, describe(record, status),
                 describe_delay(record, is_left_to_monitor, delay_ms));
    record->group.settings.restart_delay_ms = delay_ms;
    if (!is_left_to_monitor) {
        start_again(record);
    }
}

static bool is_server_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

static void on_supervisor_event(int reason, void *data, apr_wait_t status)
{
    record_t *record = data;
    pid_t pid = record->proc.pid;

    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return; /* the end of pconf retires it, the end of the process pool waits for it */
    }
    record->proc.pid = 0;
    wsgi_fd_close(&record->control_fd);
    apr_pool_clear(record->run_pool);
    if (record->is_retired) {
        remove_record(record);
    }
    else if (!is_server_stopping()) {
        replace_supervisor(record, pid, status);
    }
}

void wsgi_groups_parent_monitor(server_rec *main_server)
{
    registry_t *registry = find_registry(main_server);

    for (record_t *it = registry == NULL ? NULL : registry->records; it != NULL; it = it->next) {
        if (it->proc.pid == 0 && !it->is_retired && !is_server_stopping()) {
            start_again(it);
        }
    }
}

/* --- the end of a generation, and of all ----------------------------------------------------- */

/* pconf is cleared: the children of its time keep the rendezvous open as long as they live. */
static apr_status_t retire_generation(void *data)
{
    registry_t *registry = data;
    record_t *next;

    for (record_t *it = registry->records; is_owner(registry) && it != NULL; it = next) {
        next = it->next;
        it->is_retired = true;
        close_rendezvous(it);
        if (it->proc.pid == 0) {
            remove_record(it);
        }
    }
    return APR_SUCCESS;
}

static int64_t stop_deadline_us(const registry_t *registry)
{
    int64_t longest_s = 0;

    for (const record_t *it = registry->records; it != NULL; it = it->next) {
        if (it->group.settings.shutdown_timeout_s > longest_s) {
            longest_s = it->group.settings.shutdown_timeout_s;
        }
    }
    return wsgi_now_us() + (longest_s + 1) * 1000000;
}

static void order_stop(registry_t *registry)
{
    for (record_t *it = registry->records; it != NULL; it = it->next) {
        close_rendezvous(it);
        wsgi_fd_close(&it->control_fd);
        if (it->proc.pid > 0) {
            kill(it->proc.pid, SIGTERM);
        }
    }
}

static bool has_ended(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) != 0;
}

/* The workers are in the session of their supervisor. */
static void kill_family(const record_t *record)
{
    ap_log_perror(APLOG_MARK, APLOG_WARNING, 0, record->pool,
                  WSGI_ID(1603) "process group '%s' is killed: it did not end within "
                                "shutdown-timeout and a second",
                  record->group.settings.name);
    kill(-record->proc.pid, SIGKILL);
    kill(record->proc.pid, SIGKILL);
    while (waitpid(record->proc.pid, NULL, 0) < 0 && errno == EINTR) {
        continue;
    }
}

/* Nothing may be left when the parent's process id is gone. Before the sub-pools of the process
 * pool are destroyed, that is while everything here is intact. */
static apr_status_t stop_all(void *data)
{
    registry_t *registry = data;
    int64_t deadline_us;

    if (!is_owner(registry)) {
        return APR_SUCCESS;
    }
    deadline_us = stop_deadline_us(registry);
    order_stop(registry);
    for (record_t *it = registry->records; it != NULL; it = it->next) {
        while (it->proc.pid > 0 && !has_ended(it->proc.pid)) {
            if (wsgi_now_us() >= deadline_us) {
                kill_family(it);
                break;
            }
            apr_sleep(5000);
        }
        it->proc.pid = 0;
    }
    registry->records = NULL; /* their pools go before pconf, whose cleanup looks for them */
    return APR_SUCCESS;
}

/* --- a new generation ------------------------------------------------------------------------ */

static registry_t *open_registry(server_rec *main_server)
{
    apr_pool_t *pool = main_server->process->pool;
    registry_t *registry = find_registry(main_server);

    if (registry == NULL) {
        registry = apr_pcalloc(pool, sizeof(*registry));
        registry->pool = pool;
        registry->owner = getpid();
        apr_pool_userdata_setn(registry, REGISTRY_KEY, NULL, pool);
        apr_pool_pre_cleanup_register(pool, registry, stop_all);
    }
    return registry;
}

/* A descriptor of its own, so that each record closes what it has. */
static int share_scoreboard(record_t *record, int scoreboard_fd, wsgi_result_t *result)
{
    if (!record->group.settings.server_metrics) {
        return WSGI_OK;
    }
    record->scoreboard_fd = fcntl(scoreboard_fd, F_DUPFD_CLOEXEC, 0);
    return record->scoreboard_fd >= 0
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_IO, "cannot share the scoreboard (%s)", strerror(errno));
}

static int open_group(registry_t *registry, const wsgi_group_t *group, unsigned index,
                      int scoreboard_fd, wsgi_result_t *result)
{
    record_t *record = add_record(registry, group, index);
    int status = open_rendezvous(record, result);

    if (status == WSGI_OK) {
        status = share_scoreboard(record, scoreboard_fd, result);
    }
    if (status == WSGI_OK) {
        status = open_program(record, result);
    }
    return status == WSGI_OK ? start_supervisor(record, result) : status;
}

int wsgi_groups_parent_open(const wsgi_group_t *groups, unsigned count, int scoreboard_fd,
                            apr_pool_t *pconf, server_rec *main_server, wsgi_result_t *result)
{
    registry_t *registry = open_registry(main_server);
    int status = WSGI_OK;

    apr_pool_cleanup_register(pconf, registry, retire_generation, apr_pool_cleanup_null);
    for (unsigned i = 0; status == WSGI_OK && i < count; i++) {
        status = open_group(registry, &groups[i], i, scoreboard_fd, result);
    }
    return status;
}

/* --- children -------------------------------------------------------------------------------- */

/* NULL without a code: a process of the group has written over what they begin with, and a link goes
 * without hints. */
static const wsgi_counters_t *map_counters(const record_t *record, wsgi_result_t *result)
{
    const wsgi_counters_t *counters = wsgi_counters_map(record->counters_fd, false, result);

    if (counters == NULL && result->code == WSGI_E_PROTOCOL) {
        result->code = WSGI_OK;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, record->group.server,
                     WSGI_ID(1606) "a process of group '%s' has spoiled the group's counters: this "
                                   "child does without them; restart httpd, and look for what "
                                   "writes over memory there",
                     record->group.settings.name);
    }
    return counters;
}

static wsgi_link_t *open_link(const record_t *record)
{
    wsgi_result_t result = {0};
    const wsgi_group_settings_t *group = &record->group.settings;
    const wsgi_link_settings_t settings = {
        .group = group->name,
        .rendezvous_fd = record->callers_fd,
        .counters = map_counters(record, &result),
        .processes = (unsigned)group->processes,
        .rows = row_count(group),
        .threads = (unsigned)group->threads,
        .backlog = record->backlog,
        .listen_backlog = (unsigned)group->listen_backlog,
        .connect_timeout_us = group->connect_timeout_s * 1000000,
        .socket_timeout_us = group->socket_timeout_s * 1000000,
        .socket_timeout_name = record->group.has_socket_timeout ? "socket-timeout" : "Timeout",
    };
    wsgi_link_t *link = result.code == WSGI_OK ? wsgi_link_open(&settings) : NULL;

    if (link == NULL) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, record->group.server,
                     WSGI_ID(1604) "process group '%s' cannot be reached from this child, requests "
                                   "get 503: %s",
                     group->name, result.code != WSGI_OK ? result.detail : "out of memory");
    }
    return link;
}

/* In the child; the records are its own copies. */
static void close_parents_part(record_t *record)
{
    wsgi_fd_close(&record->workers_fd);
    wsgi_fd_close(&record->counters_fd);
    wsgi_fd_close(&record->program_fd);
    wsgi_fd_close(&record->control_fd);
}

/* A process that an embedded application forks is no caller: as one it would keep this generation's
 * workers alive for as long as it lives. Async-signal-safe. */
static void on_fork_in_child(void)
{
    for (unsigned i = 0; i < wsgi_the_links.count; i++) {
        wsgi_fd_close(&wsgi_the_links.rendezvous_fds[i]);
    }
}

void wsgi_groups_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    registry_t *registry = find_registry(main_server);
    record_t *records = registry == NULL ? NULL : registry->records;
    unsigned count = 0;

    for (const record_t *it = records; it != NULL; it = it->next) {
        count += !it->is_retired;
    }
    wsgi_the_links.links = apr_pcalloc(pchild, (count + 1) * sizeof(*wsgi_the_links.links));
    wsgi_the_links.rendezvous_fds = apr_palloc(pchild, (count + 1) * sizeof(int));
    wsgi_the_links.count = count;
    for (record_t *it = records; it != NULL; it = it->next) {
        if (!it->is_retired) {
            wsgi_the_links.links[it->index] = open_link(it);
            wsgi_the_links.rendezvous_fds[it->index] = it->callers_fd;
        }
        close_parents_part(it);
    }
    if (count > 0 && pthread_atfork(NULL, NULL, on_fork_in_child) != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     WSGI_ID(1605) "out of memory: processes that applications fork keep process "
                                   "groups of before a restart alive");
    }
}

wsgi_link_t *wsgi_groups_child_link(unsigned index)
{
    return index < wsgi_the_links.count ? wsgi_the_links.links[index] : NULL;
}
