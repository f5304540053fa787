/* tests/unit/core/test_log.c — the sink: what reaches it, and in what form.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    int count, level, line;
    const char *file;
    char text[16384];
};

static void remember(void *baton, int level, const char *file, int line, const char *text)
{
    struct seen *seen = baton;

    seen->count++;
    seen->level = level;
    seen->file = file;
    seen->line = line;
    errno = ENOSPC;
    snprintf(seen->text, sizeof(seen->text), "%s", text);
}

/* Runs work in a child whose standard error is a pipe: what it wrote, and how it ended. */
static int run_apart(void (*work)(void), char *out, size_t size)
{
    int ends[2], status;
    size_t used = 0;
    ssize_t got;

    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        work();
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    out[used] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void log_three_levels(void)
{
    wsgi_log(WSGI_LOG_ERR, "first %d", 1);
    wsgi_log(WSGI_LOG_NOTICE, "second");
    wsgi_log(WSGI_LOG_INFO, "third");
}

static void test_default_sink_is_stderr_at_notice(void **state)
{
    char out[1024];

    (void)state;
    assert_int_equal(run_apart(log_three_levels, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "[wsgi:error] " __FILE__));
    assert_non_null(strstr(out, ": first 1\n[wsgi:notice] "));
    assert_non_null(strstr(out, ": second\n"));
    assert_null(strstr(out, "third"));
}

static void break_an_invariant(void)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    const int two = 2;
    WSGI_ASSERT(two == 2);
    WSGI_ASSERT(two == 3);
}

static void test_broken_invariant_is_logged_and_aborts(void **state)
{
    char out[1024];
    const int status = run_apart(break_an_invariant, out, sizeof(out));

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(out, "[wsgi:crit] "));
    assert_non_null(strstr(out, "WSGI1001: broken invariant: two == 3\n"));
    assert_null(strstr(out, "two == 2"));
}

static void test_only_enabled_levels_reach_the_sink(void **state)
{
    struct seen seen = {0};

    (void)state;
    wsgi_log_install(remember, &seen, WSGI_LOG_INFO);
    assert_true(wsgi_log_is_enabled(WSGI_LOG_CRIT));
    assert_true(wsgi_log_is_enabled(WSGI_LOG_INFO));
    assert_false(wsgi_log_is_enabled(WSGI_LOG_DEBUG));
    wsgi_log(WSGI_LOG_DEBUG, "unseen");
    assert_int_equal(seen.count, 0);
    wsgi_log(WSGI_LOG_INFO, WSGI_ID(1234) "%s %d", "seen", 7);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.level, WSGI_LOG_INFO);
    assert_int_equal(seen.line, __LINE__ - 3);
    assert_string_equal(seen.file, __FILE__);
    assert_string_equal(seen.text, "WSGI1234: seen 7");
}

static void test_control_characters_cannot_forge_a_line(void **state)
{
    struct seen seen = {0};

    (void)state;
    wsgi_log_install(remember, &seen, WSGI_LOG_INFO);
    wsgi_log(WSGI_LOG_ERR, "%s", "a\n[crit]\r\tb\x01\x1b[0m\x7f caf\xc3\xa9 \\");
    assert_string_equal(seen.text, "a\\n[crit]\\r\\tb\\x01\\x1b[0m\\x7f caf\xc3\xa9 \\");
}

static void test_long_line_is_cut_visibly(void **state)
{
    static char text[20001];
    static const int fills[] = {'x', '\1'};
    struct seen seen = {0};

    (void)state;
    wsgi_log_install(remember, &seen, WSGI_LOG_INFO);
    for (size_t i = 0; i < 2; i++) {
        memset(text, fills[i], sizeof(text) - 1);
        wsgi_log(WSGI_LOG_ERR, "%s", text);
        const size_t len = strlen(seen.text);
        assert_in_range(len, 8170, 8191);
        assert_string_equal(seen.text + len - 6, " [cut]");
    }
    text[8000] = '\0';
    memset(text, 'x', 8000);
    wsgi_log(WSGI_LOG_ERR, "%s", text);
    assert_string_equal(seen.text, text);
}

static void test_errno_survives(void **state)
{
    struct seen seen = {0};

    (void)state;
    wsgi_log_install(remember, &seen, WSGI_LOG_INFO);
    errno = EPIPE;
    wsgi_log(WSGI_LOG_ERR, "%s", "text");
    assert_int_equal(errno, EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_sink_is_stderr_at_notice),
        cmocka_unit_test(test_broken_invariant_is_logged_and_aborts),
        cmocka_unit_test(test_only_enabled_levels_reach_the_sink),
        cmocka_unit_test(test_control_characters_cannot_forge_a_line),
        cmocka_unit_test(test_long_line_is_cut_visibly),
        cmocka_unit_test(test_errno_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
