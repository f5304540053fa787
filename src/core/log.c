/* core/log.c — the log sink of the process, and asserts. Lines are made here, written elsewhere.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 8192 };

static void write_to_stderr(void *baton, int level, const char *file, int line, const char *text);

static struct {
    wsgi_log_write_t *write;
    void *baton;
    int max_level;
} the_sink = {write_to_stderr, NULL, WSGI_LOG_NOTICE};

static const char *const level_names[] = {
    [WSGI_LOG_CRIT] = "crit",     [WSGI_LOG_ERR] = "error",     [WSGI_LOG_WARNING] = "warn",
    [WSGI_LOG_NOTICE] = "notice", [WSGI_LOG_INFO] = "info",     [WSGI_LOG_DEBUG] = "debug",
    [WSGI_LOG_TRACE1] = "trace1", [WSGI_LOG_TRACE2] = "trace2", [WSGI_LOG_TRACE3] = "trace3",
    [WSGI_LOG_TRACE4] = "trace4", [WSGI_LOG_TRACE5] = "trace5",
};

static void write_to_stderr(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    const bool is_known = level >= WSGI_LOG_CRIT && level <= WSGI_LOG_TRACE5;
    dprintf(STDERR_FILENO, "[wsgi:%s] %s:%d: %s\n", is_known ? level_names[level] : "?", file, line,
            text);
}

void wsgi_log_install(wsgi_log_write_t *write, void *baton, int max_level)
{
    the_sink.write = write;
    the_sink.baton = baton;
    the_sink.max_level = max_level;
}

bool wsgi_log_is_enabled(int level)
{
    return level <= the_sink.max_level;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* Writes c so that it cannot pass for the start of another line: at most 4 bytes, at least 1. */
static size_t escape_byte(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    if (!is_control(c)) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    if (c == '\n' || c == '\r' || c == '\t') {
        out[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        return 2;
    }
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

/* Copies text, escaped, into line; what does not fit is cut, and the cut can be seen. */
static void escape_line(char line[LINE_BYTES], const char *text)
{
    static const char mark[] = " [cut]";
    size_t used = 0;

    while (*text != '\0' && used + 4 + sizeof(mark) <= LINE_BYTES) {
        used += escape_byte(line + used, (unsigned char)*text++);
    }
    if (*text != '\0') {
        memcpy(line + used, mark, sizeof(mark));
    }
    else {
        line[used] = '\0';
    }
}

void wsgi_log_at(int level, const char *file, int line, const char *fmt, ...)
{
    const int saved_errno = errno;
    char text[LINE_BYTES], escaped[LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    const int wanted = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    escape_line(escaped, wanted < 0 ? fmt : text);
    the_sink.write(the_sink.baton, level, file, line, escaped);
    errno = saved_errno;
}

void wsgi_assert_failed(const char *expr, const char *file, int line)
{
    wsgi_log_at(WSGI_LOG_CRIT, file, line, WSGI_ID(1001) "broken invariant: %s", expr);
    abort();
}
