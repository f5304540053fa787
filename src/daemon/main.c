/* daemon/main.c — wsgi-daemon-X.Y: the program of a process group, started by the httpd parent. What
 * it is given is in wsgi_handover.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"
#include "process.h"
#include "supervisor.h"

/* --- the hand-over --------------------------------------------------------------------------- */

static char *read_blob(int fd, size_t len)
{
    char *blob = malloc(len);

    if (blob != NULL && pread(fd, blob, len, 0) != (ssize_t)len) {
        free(blob);
        blob = NULL;
    }
    return blob;
}

static void set_title(const wsgi_process_t *process)
{
    char title[256];

    snprintf(title, sizeof(title), "wsgi-daemon (%s)", process->settings.name);
    wsgi_title_set(&process->title, title);
}

static int read_settings(wsgi_process_t *process, wsgi_result_t *result)
{
    struct stat st;
    int fd = WSGI_FD_SETTINGS, status;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > WSGI_HANDOVER_MAX) {
        return wsgi_fail(result, WSGI_E_PROTOCOL,
                         "no settings at descriptor %d: this program is "
                         "started by httpd's mod_wsgi, not by hand",
                         fd);
    }
    process->blob = read_blob(fd, (size_t)st.st_size);
    if (process->blob == NULL) {
        return wsgi_fail(result, WSGI_E_IO, "cannot read the settings (%s)", strerror(errno));
    }
    wsgi_fd_close(&fd);
    status = wsgi_handover_unpack((wsgi_bytes_t){process->blob, (size_t)st.st_size},
                                  &process->settings, result);
    if (status == WSGI_OK) {
        wsgi_sink_install((int)process->settings.log_level);
        set_title(process);
    }
    return status;
}

static int map_counters(wsgi_process_t *process, wsgi_result_t *result)
{
    int fd = WSGI_FD_COUNTERS;

    process->counters = wsgi_counters_map(fd, true, result);
    if (process->counters == NULL) {
        return result->code;
    }
    wsgi_fd_close(&fd);
    if (process->settings.processes < 1 ||
        process->settings.processes * (process->settings.is_multiprocess ? 2 : 1) >
            process->counters->row_count) {
        return wsgi_fail(result, WSGI_E_PROTOCOL,
                         "%lld processes do not fit the counters of %u: "
                         "the module and this program are not of one version; install both anew",
                         (long long)process->settings.processes, process->counters->row_count);
    }
    return WSGI_OK;
}

static int map_scoreboard(wsgi_process_t *process, wsgi_result_t *result)
{
    int fd = WSGI_FD_SCOREBOARD;

    if (process->settings.server_metrics) {
        process->scoreboard = wsgi_scoreboard_map(fd, result);
        if (process->scoreboard == NULL) {
            return result->code;
        }
    }
    wsgi_fd_close(&fd);
    return WSGI_OK;
}

/* --- what it inherited ----------------------------------------------------------------------- */

static int close_rest(wsgi_process_t *process, wsgi_result_t *result)
{
    (void)process;
    for (int fd = WSGI_FD_SETTINGS; fd < WSGI_FD_END; fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return wsgi_process_close_from(WSGI_FD_END, result);
}

/* Prefork's hard restart signals the whole process group of httpd: this is none of it. */
static int leave_session(wsgi_process_t *process, wsgi_result_t *result)
{
    (void)process;
    if (setsid() < 0 && getsid(0) != getpid()) {
        return wsgi_fail(result, WSGI_E_IO, "cannot start a session (%s)", strerror(errno));
    }
    return WSGI_OK;
}

/* --- becoming the supervisor ----------------------------------------------------------------- */

/* The back-off of a supervisor whose predecessors ended soon is sat out here, since httpd's parent
 * may not sleep. */
static int wait_out_delay(wsgi_process_t *process, wsgi_result_t *result)
{
    struct pollfd control = {.fd = WSGI_FD_CONTROL};

    if (process->settings.restart_delay_ms <= 0) {
        return WSGI_OK;
    }
    process->counters->state = WSGI_GROUP_FAILED;
    return poll(&control, 1, (int)process->settings.restart_delay_ms) == 0
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_GONE, "httpd has ended");
}

static int follow_parent(wsgi_process_t *process, wsgi_result_t *result)
{
    return wsgi_process_follow_parent(process->settings.parent_pid)
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_GONE, "httpd has ended");
}

static int take_identity(wsgi_process_t *process, wsgi_result_t *result)
{
    return wsgi_identity_take(&process->settings, result);
}

/* --- steps ----------------------------------------------------------------------------------- */

static const struct {
    int (*run)(wsgi_process_t *process, wsgi_result_t *result);
    enum wsgi_exit status; /* where it fails */
} steps[] = {
    {close_rest, WSGI_EXIT_SYSTEM},       {leave_session, WSGI_EXIT_SYSTEM},
    {read_settings, WSGI_EXIT_HANDOVER},  {map_counters, WSGI_EXIT_COUNTERS},
    {map_scoreboard, WSGI_EXIT_COUNTERS}, {wait_out_delay, WSGI_EXIT_OK},
    {take_identity, WSGI_EXIT_IDENTITY},  {follow_parent, WSGI_EXIT_OK},
};

/* Callers of a group that cannot start get 503 at once. */
static enum wsgi_exit fail(const wsgi_process_t *process, const wsgi_result_t *result,
                           enum wsgi_exit status)
{
    const char *group = process->settings.name;

    if (status == WSGI_EXIT_OK) {
        return status; /* nobody is left who needs it */
    }
    if (process->counters != NULL) {
        process->counters->state = WSGI_GROUP_FAILED;
    }
    wsgi_log(WSGI_LOG_CRIT, WSGI_ID(1400) "[%s] cannot start, requests get 503: %s",
             group != NULL ? group : "?", result->detail);
    return status;
}

int main(int argc, char **argv)
{
    wsgi_process_t process = {0};
    wsgi_result_t result = {0};

    (void)argc;
    wsgi_signals_reset();
    wsgi_title_open(&process.title, argv);
    wsgi_sink_install(WSGI_LOG_NOTICE);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i].run(&process, &result) != WSGI_OK) {
            return (int)fail(&process, &result, steps[i].status);
        }
    }
    return (int)wsgi_supervisor_run(&process);
}
