/* daemon/death.c — how a worker ended.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "death.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

/* --- the kernel's account of memory ---------------------------------------------------------- */

static bool read_text(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd >= 0 ? read(fd, text, room - 1) : -1;

    wsgi_fd_close(&fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

bool wsgi_death_parse_cgroup(const char *text, char *path, size_t room)
{
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");

    if (line == NULL) {
        return false;
    }
    line = strchr(line, '/');
    if (line == NULL) {
        return false;
    }
    const int len = (int)strcspn(line, "\n");
    return snprintf(path, room, "/sys/fs/cgroup%.*s/memory.events", len, line) < (int)room;
}

int64_t wsgi_death_parse_events(const char *text)
{
    static const char key[] = "oom_kill ";
    const char *line = strncmp(text, key, sizeof(key) - 1) == 0 ? text : NULL;

    if (line == NULL) {
        line = strstr(text, "\noom_kill ");
        line += line != NULL;
    }
    return line != NULL ? strtoll(line + sizeof(key) - 1, NULL, 10) : -1;
}

int64_t wsgi_death_oom_kills(void)
{
    char text[4096], path[4096];

    if (!read_text("/proc/self/cgroup", text, sizeof(text)) ||
        !wsgi_death_parse_cgroup(text, path, sizeof(path)) ||
        !read_text(path, text, sizeof(text))) {
        return -1;
    }
    return wsgi_death_parse_events(text);
}

/* --- collecting ------------------------------------------------------------------------------ */

static int64_t us_of(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

/* Its limits can be asked for as long as nobody has waited for it. */
static int64_t cpu_limit_us(pid_t pid)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_CPU, NULL, &limit) != 0 || limit.rlim_max == RLIM_INFINITY ||
        limit.rlim_max > INT64_MAX / 1000000) {
        return INT64_MAX;
    }
    return (int64_t)limit.rlim_max * 1000000;
}

static bool has_risen(int64_t *oom_kills)
{
    const int64_t before = *oom_kills;

    *oom_kills = wsgi_death_oom_kills();
    return before >= 0 && *oom_kills > before;
}

bool wsgi_death_collect(wsgi_death_t *death, int64_t *oom_kills)
{
    siginfo_t info = {0};
    struct rusage usage;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
        return false;
    }
    *death = (wsgi_death_t){.pid = info.si_pid, .cpu_limit_us = cpu_limit_us(info.si_pid)};
    if (wait4(info.si_pid, &death->status, 0, &usage) != info.si_pid) {
        return false;
    }
    death->cpu_us = us_of(usage.ru_utime) + us_of(usage.ru_stime);
    death->is_out_of_memory =
        WIFSIGNALED(death->status) && WTERMSIG(death->status) == SIGKILL && has_risen(oom_kills);
    return true;
}

/* --- what it means --------------------------------------------------------------------------- */

enum wsgi_ending wsgi_death_ending(const wsgi_death_t *death)
{
    if (!WIFEXITED(death->status) || death->was_serving) {
        return WSGI_ENDED_BADLY;
    }
    switch (WEXITSTATUS(death->status)) {
    case WSGI_EXIT_OK:
        return death->was_starting ? WSGI_ENDED_BADLY : WSGI_ENDED_IN_ORDER;
    case WSGI_EXIT_UNABLE:
        return WSGI_ENDED_UNABLE;
    default:
        return WSGI_ENDED_BADLY;
    }
}

/* The kernel's clock for limits counts by ticks, and is ahead of the account that it gives. */
static bool is_over_cpu_limit(const wsgi_death_t *death)
{
    const int64_t limit_us = death->cpu_limit_us;

    return limit_us != INT64_MAX && death->cpu_us >= limit_us - limit_us / 16 - 500000;
}

enum wsgi_reason wsgi_death_reason(const wsgi_death_t *death)
{
    if (death->reason != WSGI_REASON_NONE) {
        return death->reason;
    }
    if (WIFEXITED(death->status)) {
        const bool is_unable =
            !death->was_serving && WEXITSTATUS(death->status) == WSGI_EXIT_UNABLE;

        return is_unable ? WSGI_REASON_START_FAILURE : WSGI_REASON_EXIT;
    }
    if (WTERMSIG(death->status) == SIGXCPU || is_over_cpu_limit(death)) {
        return WSGI_REASON_CPU_TIME_LIMIT;
    }
    return death->is_out_of_memory ? WSGI_REASON_MEMORY : WSGI_REASON_SIGNAL;
}

static void describe_exit(const wsgi_death_t *death, char *text, size_t room)
{
    const int code = WEXITSTATUS(death->status);
    const char *reason = wsgi_reason_name(death->reason);

    if (death->reason == WSGI_REASON_DESCRIPTORS) {
        snprintf(text, room, "ended by itself: the application had closed its descriptors");
    }
    else if (death->was_serving) {
        snprintf(text, room, "exited with status %d in the middle of a request (os._exit()?)",
                 code);
    }
    else if (code == WSGI_EXIT_OK && !death->was_starting) {
        snprintf(text, room, "ended in order%s%s", *reason != '\0' ? ": " : "", reason);
    }
    else if (code == WSGI_EXIT_UNABLE) {
        snprintf(text, room, "could not start");
    }
    else {
        snprintf(text, room, "exited with status %d", code);
    }
}

/* Who sent SIGKILL is not told; what is known of it is. */
static const char *explain_kill(const wsgi_death_t *death)
{
    if (death->is_by_itself) {
        return death->reason == WSGI_REASON_DEADLOCK_TIMEOUT
                   ? ", by itself: no thread could have the Python interpreter within "
                     "deadlock-timeout"
                   : ", by itself";
    }
    if (death->was_killed) {
        return ", as it did not end within shutdown-timeout";
    }
    if (is_over_cpu_limit(death)) {
        return ", by the kernel: resource limit of CPU time (cpu-time-limit)";
    }
    return death->is_out_of_memory
               ? ", by the kernel for lack of memory (oom_kill of the control group has risen)"
               : ", from outside";
}

static const char *explain_signal(const wsgi_death_t *death)
{
    switch (WTERMSIG(death->status)) {
    case SIGKILL:
        return explain_kill(death);
    case SIGXCPU:
        return ", resource limit of CPU time";
    case SIGXFSZ:
        return ", resource limit of file size";
    default:
        return "";
    }
}

void wsgi_death_describe(const wsgi_death_t *death, char *text, size_t room)
{
    if (!WIFSIGNALED(death->status)) {
        describe_exit(death, text, room);
        return;
    }
    const int number = WTERMSIG(death->status);
    const char *name = sigabbrev_np(number);
    snprintf(text, room, "was ended by signal %d (%s%s)%s%s", number, name != NULL ? "SIG" : "",
             name != NULL ? name : "real-time",
             WCOREDUMP(death->status) ? ", with a core file" : "", explain_signal(death));
}
