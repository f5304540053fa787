/* daemon/sink.c — log lines outside requests: one write each to the inherited error log, in the
 * format that httpd has by default.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 256

static const char *level_name(int level)
{
    static const char *const names[] = {"emerg",  "alert",  "crit",   "error",  "warn",
                                        "notice", "info",   "debug",  "trace1", "trace2",
                                        "trace3", "trace4", "trace5", "trace6"};
    const int last = (int)(sizeof(names) / sizeof(names[0])) - 1;

    return names[level < 0 ? 0 : level > last ? last : level];
}

/* "[Tue Nov 24 03:46:27.123456 2026] [wsgi:info] [pid 7:tid 7] " */
static size_t put_head(char *out, size_t room, int level, const char *file, int line)
{
    int64_t now_us = wsgi_wall_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm tm;
    char day[32];
    size_t len;

    localtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%a %b %d %H:%M:%S", &tm);
    len = (size_t)snprintf(out, room, "[%s.%06d %d] [wsgi:%s] [pid %d:tid %d] ", day,
                           (int)(now_us % 1000000), tm.tm_year + 1900, level_name(level),
                           (int)getpid(), (int)gettid());
    if (level >= WSGI_LOG_DEBUG) {
        const char *slash = strrchr(file, '/');
        len += (size_t)snprintf(out + len, room - len,
                                "%.80s(%d): ", slash != NULL ? slash + 1 : file, line);
    }
    return len;
}

static void write_line(void *baton, int level, const char *file, int line, const char *text)
{
    char head[HEAD_BYTES];
    const struct iovec pieces[] = {
        {head, put_head(head, sizeof(head), level, file, line)},
        {(void *)(uintptr_t)text, strlen(text)},
        {(void *)(uintptr_t) "\n", 1},
    };

    (void)baton;
    if (writev(WSGI_FD_LOG, pieces, sizeof(pieces) / sizeof(pieces[0])) < 0) {
        return; /* there is no other place to say so */
    }
}

void wsgi_sink_install(int max_level)
{
    wsgi_log_install(write_line, NULL, max_level);
}
