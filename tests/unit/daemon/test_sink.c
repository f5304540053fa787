/* tests/unit/daemon/test_sink.c — lines in the inherited error log, in httpd's default format.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct error_log {
    int own_stderr;
    char text[32 << 10];
} error_log_t;

static void open_log(error_log_t *log, int max_level)
{
    int fd = memfd_create("error.log", MFD_CLOEXEC);

    assert_true(fd >= 0);
    log->own_stderr = dup(WSGI_FD_LOG);
    dup2(fd, WSGI_FD_LOG);
    wsgi_fd_close(&fd);
    wsgi_sink_install(max_level);
}

static void close_log(error_log_t *log)
{
    const ssize_t got = pread(WSGI_FD_LOG, log->text, sizeof(log->text) - 1, 0);

    dup2(log->own_stderr, WSGI_FD_LOG);
    wsgi_fd_close(&log->own_stderr);
    assert_true(got >= 0);
    log->text[got] = '\0';
}

static void assert_matches(const char *text, const char *format, ...) WSGI_PRINTF(2, 3);
static void assert_matches(const char *text, const char *format, ...)
{
    char pattern[512];
    regex_t regex;
    va_list args;

    va_start(args, format);
    vsnprintf(pattern, sizeof(pattern), format, args);
    va_end(args);
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const bool is_match = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    if (!is_match) {
        fail_msg("\"%s\" does not match %s", text, pattern);
    }
}

#define DAY                                                                                        \
    "\\[[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} 20[0-9]{2}\\]"

static void test_a_line_looks_like_one_of_httpd(void **state)
{
    error_log_t log;

    (void)state;
    open_log(&log, WSGI_LOG_INFO);
    wsgi_log(WSGI_LOG_NOTICE, "[%s] a line", "group");
    close_log(&log);
    assert_matches(log.text, "^" DAY " \\[wsgi:notice\\] \\[pid %d:tid %d\\] \\[group\\] a line\n$",
                   (int)getpid(), (int)gettid());
}

static void test_the_time_is_now(void **state)
{
    error_log_t log;
    struct tm tm = {0};

    (void)state;
    const time_t before = time(NULL);
    open_log(&log, WSGI_LOG_INFO);
    wsgi_log(WSGI_LOG_ERR, "x");
    close_log(&log);
    assert_non_null(strptime(log.text, "[%a %b %d %H:%M:%S", &tm));
    assert_int_equal(sscanf(log.text, "[%*s %*s %*d %*s %d]", &tm.tm_year), 1);
    tm.tm_year -= 1900;
    tm.tm_isdst = -1;
    assert_in_range(mktime(&tm), before - 1, before + 30);
}

static void test_names_of_levels(void **state)
{
    static const char *const names[] = {
        [WSGI_LOG_CRIT] = "crit",     [WSGI_LOG_ERR] = "error",     [WSGI_LOG_WARNING] = "warn",
        [WSGI_LOG_NOTICE] = "notice", [WSGI_LOG_INFO] = "info",     [WSGI_LOG_DEBUG] = "debug",
        [WSGI_LOG_TRACE1] = "trace1", [WSGI_LOG_TRACE5] = "trace5",
    };
    error_log_t log;

    (void)state;
    for (int level = WSGI_LOG_CRIT; level <= WSGI_LOG_TRACE5; level++) {
        if (names[level] != NULL) {
            open_log(&log, WSGI_LOG_TRACE5);
            wsgi_log(level, "x");
            close_log(&log);
            assert_matches(log.text, "^" DAY " \\[wsgi:%s\\] ", names[level]);
        }
    }
    open_log(&log, 99);
    wsgi_log(-5, "x");
    wsgi_log(99, "x");
    close_log(&log);
    assert_matches(log.text, "\\[wsgi:emerg\\] .*\n.*\\[wsgi:trace6\\] ");
}

/* httpd names the source from debug on. */
static void test_the_place_is_told_from_debug_on(void **state)
{
    error_log_t log;

    (void)state;
    open_log(&log, WSGI_LOG_DEBUG);
    wsgi_log_at(WSGI_LOG_INFO, "a/dir/file.c", 12, "info");
    wsgi_log_at(WSGI_LOG_DEBUG, "a/dir/file.c", 34, "debug");
    wsgi_log_at(WSGI_LOG_DEBUG, "bare.c", 56, "debug");
    close_log(&log);
    assert_matches(log.text,
                   "\\] info\n.*\\] file\\.c\\(34\\): debug\n.*\\] bare\\.c\\(56\\): debug\n$");
}

static void test_lines_above_the_level_are_not_written(void **state)
{
    error_log_t log;

    (void)state;
    open_log(&log, WSGI_LOG_NOTICE);
    wsgi_log(WSGI_LOG_INFO, "x");
    close_log(&log);
    assert_string_equal(log.text, "");
}

static void test_long_texts_and_names(void **state)
{
    static char text[4001], name[301];
    error_log_t log;

    (void)state;
    memset(text, 't', sizeof(text) - 1);
    memset(name, 'n', sizeof(name) - 1);
    open_log(&log, WSGI_LOG_DEBUG);
    wsgi_log_at(WSGI_LOG_DEBUG, name, 2147483647, "%s", text);
    close_log(&log);
    assert_matches(log.text, "\\] n{80}\\(2147483647\\): t");
    assert_int_equal(strlen(strstr(log.text, ": t") + 2), 4001);
}

/* One write each: lines of several processes must not mix. */
static void test_a_line_is_one_write(void **state)
{
    char record[256];
    int fds[2], own = dup(WSGI_FD_LOG);

    (void)state;
    assert_int_equal(pipe2(fds, O_DIRECT | O_NONBLOCK), 0); /* a read gets what a write has put */
    dup2(fds[1], WSGI_FD_LOG);
    wsgi_sink_install(WSGI_LOG_INFO);
    wsgi_log(WSGI_LOG_INFO, "first");
    wsgi_log(WSGI_LOG_INFO, "second");
    dup2(own, WSGI_FD_LOG);
    const ssize_t got = read(fds[0], record, sizeof(record) - 1);
    wsgi_fd_close(&own);
    wsgi_fd_close(&fds[0]);
    wsgi_fd_close(&fds[1]);
    assert_true(got > 0);
    record[got] = '\0';
    assert_matches(record, "^" DAY " \\[wsgi:info\\] .* first\n$");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_looks_like_one_of_httpd),
        cmocka_unit_test(test_the_time_is_now),
        cmocka_unit_test(test_names_of_levels),
        cmocka_unit_test(test_the_place_is_told_from_debug_on),
        cmocka_unit_test(test_lines_above_the_level_are_not_written),
        cmocka_unit_test(test_long_texts_and_names),
        cmocka_unit_test(test_a_line_is_one_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
