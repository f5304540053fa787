/* server/program.c — finds the program of process groups and runs it with a hand-over.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- finding --------------------------------------------------------------------------------- */

/* The directory of the module, with its slash; nothing where the module has no path. */
static int module_folder(char *path, size_t room)
{
    static const char anchor;
    Dl_info module;
    const char *slash = NULL;

    if (dladdr(&anchor, &module) != 0) {
        slash = strrchr(module.dli_fname, '/');
    }
    return snprintf(path, room, "%.*s", slash != NULL ? (int)(slash + 1 - module.dli_fname) : 0,
                    slash != NULL ? module.dli_fname : "");
}

static bool is_runnable(const char *path)
{
    return access(path, R_OK | X_OK) == 0;
}

int wsgi_program_find(const char *version, char *path, size_t room, wsgi_result_t *result)
{
    char folder[4096];
    int error;

    module_folder(folder, sizeof(folder));
    snprintf(path, room, "%swsgi-daemon-%s", folder, version);
    if (is_runnable(path)) {
        return WSGI_OK;
    }
    error = errno;
    snprintf(path, room, WSGI_LIBEXECDIR "/wsgi-daemon-%s", version);
    if (is_runnable(path)) {
        return WSGI_OK;
    }
    return wsgi_fail(result, WSGI_E_IO,
                     "the program of process groups for Python %s can be run neither as "
                     "%swsgi-daemon-%s (%s) nor as %s (%s)",
                     version, folder, version, strerror(error), path, strerror(errno));
}

/* --- what it is given ------------------------------------------------------------------------ */

/* A file in memory that nobody can change any more, or -1 with errno. */
static int seal_blob(const wsgi_buffer_t *blob)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    int fd = memfd_create("wsgi-settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (write(fd, blob->data, blob->len) != (ssize_t)blob->len ||
                    fcntl(fd, F_ADD_SEALS, seals) != 0)) {
        wsgi_fd_close(&fd);
    }
    return fd;
}

static int open_settings(const wsgi_group_settings_t *settings, wsgi_result_t *result)
{
    wsgi_buffer_t blob = {0};
    int fd = WSGI_E_NOMEM;

    if (wsgi_handover_pack(&blob, settings) != WSGI_OK) {
        wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
    }
    else {
        fd = seal_blob(&blob);
        if (fd < 0) {
            fd =
                wsgi_fail(result, WSGI_E_IO, "cannot hand the settings over (%s)", strerror(errno));
        }
    }
    free(blob.data);
    return fd;
}

/* --- the child, between fork and exec: async-signal-safe calls only -------------------------- */

typedef struct launch {
    const wsgi_program_start_t *start;
    char *const *arguments;
    int settings_fd, control_fd;
    int failure_fd; /* closed by a successful exec; else errno is written to it */
} launch_t;

/* First out of the way of each other, then to their places. dup2 clears close-on-exec. */
static bool place_descriptors(int *fds, int *program_fd, int *failure_fd)
{
    for (int i = 0; i < WSGI_FD_END; i++) {
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, WSGI_FD_END);
    }
    *program_fd = fcntl(*program_fd, F_DUPFD_CLOEXEC, WSGI_FD_END);
    *failure_fd = fcntl(*failure_fd, F_DUPFD_CLOEXEC, WSGI_FD_END);
    for (int i = 0; i < WSGI_FD_END; i++) {
        if (fds[i] < 0 || dup2(fds[i], i) < 0) {
            return false;
        }
    }
    return *program_fd >= 0 && *failure_fd >= 0;
}

static void run_program(const launch_t *launch)
{
    const wsgi_program_start_t *start = launch->start;
    int program_fd = start->program_fd, failure_fd = launch->failure_fd, error;
    int fds[WSGI_FD_END] = {
        [WSGI_FD_NULL] = open("/dev/null", O_RDONLY | O_CLOEXEC),
        [WSGI_FD_STDOUT] = start->log_fd,
        [WSGI_FD_LOG] = start->log_fd,
        [WSGI_FD_SETTINGS] = launch->settings_fd,
        [WSGI_FD_CONTROL] = launch->control_fd,
        [WSGI_FD_RENDEZVOUS] = start->rendezvous_fd,
        [WSGI_FD_COUNTERS] = start->counters_fd,
    };

    fds[WSGI_FD_SCOREBOARD] =
        start->settings->server_metrics ? start->scoreboard_fd : fds[WSGI_FD_NULL];
    setsid(); /* a restart's signal to httpd's process group is none of its business */
    if (place_descriptors(fds, &program_fd, &failure_fd)) {
        fexecve(program_fd, launch->arguments, environ);
        execve(start->path, launch->arguments, environ);
    }
    error = errno;
    if (write(failure_fd, &error, sizeof(error)) < 0) {
        error = 0; /* the parent sees the exit status all the same */
    }
    _exit(127);
}

/* --- the parent ------------------------------------------------------------------------------ */

/* With every signal held back: a handler of httpd's must not run in the child. The program takes
 * what came meanwhile. */
static pid_t fork_quietly(const launch_t *launch)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0) {
        run_program(launch);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* 0 once the program runs, else its errno. */
static int await_exec(int failure_fd)
{
    int error = 0;

    while (read(failure_fd, &error, sizeof(error)) < 0 && errno == EINTR) {
        continue;
    }
    return error;
}

static pid_t launch_program(launch_t *launch, wsgi_result_t *result)
{
    int ends[2], error;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return wsgi_fail(result, WSGI_E_IO, "cannot make a pipe (%s)", strerror(errno));
    }
    launch->failure_fd = ends[1];
    pid = fork_quietly(launch);
    error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) {
        error = await_exec(ends[0]);
    }
    close(ends[0]);
    if (error != 0) {
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
            continue;
        }
        return wsgi_fail(result, WSGI_E_IO, "%s cannot be started (%s)", launch->start->path,
                         strerror(error));
    }
    return pid;
}

/* The second argument only makes room: the program's title takes the place of both. */
static pid_t launch_with_title(launch_t *launch, wsgi_result_t *result)
{
    const wsgi_group_settings_t *settings = launch->start->settings;
    char title[64], room[256];
    char *const arguments[] = {title, room, NULL};
    size_t len = strlen(settings->name) + strlen(settings->display_name);

    snprintf(title, sizeof(title), "%s", strrchr(launch->start->path, '/') + 1);
    memset(room, ' ', sizeof(room));
    room[len < sizeof(room) ? len : sizeof(room) - 1] = '\0';
    launch->arguments = arguments;
    return launch_program(launch, result);
}

pid_t wsgi_program_start(const wsgi_program_start_t *start, int *control_fd, wsgi_result_t *result)
{
    launch_t launch = {.start = start};
    int ends[2] = {-1, -1};
    pid_t pid;

    launch.settings_fd = open_settings(start->settings, result);
    if (launch.settings_fd < 0) {
        return launch.settings_fd;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        pid = wsgi_fail(result, WSGI_E_IO, "cannot make a control socket (%s)", strerror(errno));
    }
    else {
        launch.control_fd = ends[1];
        pid = launch_with_title(&launch, result);
    }
    wsgi_fd_close(&launch.settings_fd);
    wsgi_fd_close(&ends[1]);
    if (pid < 0) {
        wsgi_fd_close(&ends[0]);
    }
    *control_fd = ends[0];
    return pid;
}
