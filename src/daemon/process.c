/* daemon/process.c — what a process of a group does to itself first, whatever it inherited.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void wsgi_signals_forget_handlers(void)
{
    for (int number = 1; number <= SIGRTMAX; number++) {
        signal(number, SIG_DFL); /* fails for SIGKILL, SIGSTOP and the C library's own */
    }
    signal(SIGPIPE, SIG_IGN);
}

void wsgi_signals_unblock(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void wsgi_signals_reset(void)
{
    wsgi_signals_forget_handlers();
    wsgi_signals_unblock();
}

/* For kernels before 5.9 and emulators. */
static int close_listed_from(int first, wsgi_result_t *result)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (dir == NULL) {
        return wsgi_fail(result, WSGI_E_IO,
                         "cannot close inherited descriptors: no close_range, and /proc/self/fd "
                         "cannot be read (%s): mount /proc",
                         strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd >= first && fd != dirfd(dir)) {
            close(fd);
        }
    }
    closedir(dir);
    return WSGI_OK;
}

int wsgi_process_close_from(int first, wsgi_result_t *result)
{
    if (close_range((unsigned)first, ~0u, 0) == 0) {
        return WSGI_OK;
    }
    return close_listed_from(first, result);
}

bool wsgi_process_follow_parent(int64_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return getppid() == (pid_t)parent;
}
