/* core/system.c — the few system calls that every layer needs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

void wsgi_fd_close(int *fd)
{
    if (*fd >= 0) {
        const int saved_errno = errno;

        (void)close(*fd); /* Linux has freed the number even where it says EINTR: never again */
        errno = saved_errno;
    }
    *fd = -1;
}

int wsgi_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *data)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(thread, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        (void)pthread_setname_np(*thread, name);
    }
    return error;
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t wsgi_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t wsgi_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}
