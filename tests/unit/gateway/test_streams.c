/* tests/unit/gateway/test_streams.c — wsgi.errors, sys.stdout and sys.stderr inside a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

/* Runs `statement` with e = wsgi.errors; the log must be these lines, each with its prefix. */
static void assert_logs(const char *statement, const char *const *lines)
{
    fake_exchange_t fake;
    char source[1024], expected[2048] = "", line[512];
    snprintf(source, sizeof(source),
             "import sys, traceback, threading, logging\n" APP OK
             "    e = environ['wsgi.errors']\n    %s\n    return []\n",
             statement);
    (void)site_answer(&fake, source);
    for (; *lines != NULL; lines++) {
        snprintf(line, sizeof(line), "<3> [%s] %s\n", fake.ex.request.script.data, *lines);
        strcat(expected, line);
    }
    assert_string_equal(fake_exchange_log(&fake), expected);
    fake_exchange_free(&fake);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_LINES   ((const char *const[]){NULL})

/* compat: ERRORS-lines STREAM-output */
static void test_lines(void **state)
{
    (void)state;
    assert_logs("e.write('one\\n')", LINES("one"));
    assert_logs("e.write('one\\ntwo\\n')", LINES("one", "two"));
    assert_logs("e.writelines(['one\\n', 'two\\n'])", LINES("one", "two"));
    assert_logs("e.write('o'); e.write('n'); e.write('e\\n')", LINES("one"));
    assert_logs("e.write('\\n')", LINES(""));
    assert_logs("e.write('')", NO_LINES);
    assert_logs("e.write('before\\0after\\n')", LINES("before"));
    assert_logs("print('to stderr', file=sys.stderr)", LINES("to stderr"));
    assert_logs("print('to stdout')", LINES("to stdout"));
    assert_logs("print('caf\\xe9')", LINES("caf\xc3\xa9"));
    assert_logs("print('a\\udcffb')", LINES("a?b"));
    assert_logs("e.buffer.write(b'raw\\n'); e.buffer.write(memoryview(b'view\\n'))",
                LINES("raw", "view"));
}

/* compat: ERRORS-lines */
static void test_a_line_without_end_waits(void **state)
{
    (void)state;
    assert_logs("e.write('at the end of the request')", LINES("at the end of the request"));
    assert_logs("sys.stderr.write('same')", LINES("same"));
    assert_logs("sys.stdout.write('stdout'); sys.stderr.write('stderr')",
                LINES("stdout", "stderr"));
    assert_logs("e.write('one'); e.flush(); e.write('two')", LINES("one", "two"));
    assert_logs("print('a', end=''); print('b', end=''); print('c')", LINES("abc"));
}

/* compat: ERRORS-long */
static void test_long_lines_are_cut_into_records(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake,
                      APP OK "    print('x' * 20000)\n    print('y' * 100)\n    return []\n");
    size_t count = 0;
    for (const char *at = fake_exchange_log(&fake); (at = strstr(at, "<3> [")) != NULL; at++) {
        count++;
    }
    assert_int_equal(count, 4); /* 8192 + 8192 + 3616, and the other */
    fake_exchange_free(&fake);
    (void)site_answer(&fake, APP OK "    print('x' * 8192)\n    return []\n");
    assert_lacks(fake_exchange_log(&fake), ".wsgi] \n");
    fake_exchange_free(&fake);
}

/* compat: ERRORS-properties ERRORS-text STREAM-names */
static void test_properties(void **state)
{
    static const char *const cases[][2] = {
        {"e.name", "'<wsgi.errors>'"},
        {"sys.stderr.name, sys.stdout.name", "('<stderr>', '<stdout>')"},
        {"e.encoding, e.errors, e.line_buffering", "('utf-8', 'replace', True)"},
        {"e.isatty(), e.writable(), e.readable(), e.seekable()", "(False, True, False, False)"},
        {"e.buffer.isatty(), e.closed", "(False, False)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fake_exchange_t fake;
        char source[512];
        snprintf(source, sizeof(source),
                 "import sys\n" APP OK "    e = environ['wsgi.errors']\n"
                 "    return [repr((%s)).encode()]\n",
                 cases[i][0]);
        assert_string_equal(site_answer(&fake, source), cases[i][1]);
        fake_exchange_free(&fake);
    }
}

/* compat: ERRORS-properties ERRORS-str-only */
static void test_misuse_raises(void **state)
{
    static const char *const cases[][2] = {
        {"e.fileno()", "OSError: a log stream has no file descriptor"},
        {"e.write(b'bytes')", "TypeError"},
        {"e.buffer.write(3)", "TypeError"},
        {"(e.close(), e.write('x'))", "ValueError"},
        {"(e.close(), e.buffer.write(b'x'))", "ValueError: I/O operation on closed log stream"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fake_exchange_t fake;
        char source[512];
        snprintf(source, sizeof(source),
                 APP OK "    e = environ['wsgi.errors']\n    %s\n    return []\n", cases[i][0]);
        site_request(&fake, source);
        site_serve(&fake);
        assert_failed(&fake, 500, cases[i][1]);
        fake_exchange_free(&fake);
    }
}

/* compat: ERRORS-buffer */
static void test_text_in_the_buffer_is_deprecated(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "import warnings\n" APP OK
                             "    with warnings.catch_warnings(record=True) as seen:\n"
                             "        warnings.simplefilter('always')\n"
                             "        environ['wsgi.errors'].buffer.write('text\\n')\n"
                             "    return [seen[0].category.__name__.encode()]\n");
    assert_string_equal(fake_exchange_sent(&fake), "DeprecationWarning");
    assert_contains(fake_exchange_log(&fake), "] text\n");
    fake_exchange_free(&fake);
}

/* Each spoils the stream in its way; the next request of the thread must find a good one. */
static void test_the_next_request_has_a_good_stream(void **state)
{
    static const char *const ways[] = {"e.close()",
                                       "kept.append(e)",
                                       "kept.append(e.buffer)",
                                       "kept.append(e.detach())",
                                       "e.detach()",
                                       "pass"};
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        fake_exchange_t fake;
        char source[512];
        snprintf(source, sizeof(source),
                 "kept = []\n" APP OK "    e = environ['wsgi.errors']\n    print('works', file=e)\n"
                 "    %s\n    return []\n",
                 ways[i]);
        (void)site_answer(&fake, source);
        site_again(&fake);
        assert_int_equal(site_serve(&fake), WSGI_OK);
        assert_contains(fake_exchange_log(&fake), "] works\n");
        fake_exchange_free(&fake);
    }
}

/* compat: ERRORS-ended */
static void test_use_after_the_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "kept = []\n" APP OK "    said = b''\n"
                             "    if kept:\n"
                             "        try: print('too late', file=kept[0])\n"
                             "        except RuntimeError as e: said = str(e).encode()\n"
                             "    kept[:] = [environ['wsgi.errors']]\n    return [said]\n");
    site_again(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake),
                        "<wsgi.errors> was used after the end of its request");
    assert_lacks(fake_exchange_log(&fake), "too late");
    fake_exchange_free(&fake);
}

/* A stream that was kept says nothing as it goes. */
static void test_the_end_of_a_kept_stream(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "kept = []\n" APP OK "    print('once', file=environ['wsgi.errors'])\n"
                             "    for stream in kept: stream.flush()\n    kept.clear()\n"
                             "    kept.append(environ['wsgi.errors'])\n    return []\n");
    const char *path = fake.ex.request.script.data;
    char expected[256];
    snprintf(expected, sizeof(expected), "<3> [%s] once\n", path);
    for (int i = 0; i < 2; i++) {
        site_again(&fake);
        assert_int_equal(site_serve(&fake), WSGI_OK);
        assert_string_equal(fake_exchange_log(&fake), expected);
    }
    fake_exchange_free(&fake);
}

static void test_logging_to_stderr(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "import logging\nlogger = logging.getLogger('unit')\n"
                             "logger.addHandler(logging.StreamHandler())\n" APP OK
                             "    logger.error('first\\nsecond')\n    return []\n");
    assert_contains(fake_exchange_log(&fake), "] first\n");
    assert_contains(fake_exchange_log(&fake), "] second\n");
    fake_exchange_free(&fake);
}

static void test_lines_at_import_belong_to_the_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "print('importing')\n" APP OK "    return []\n");
    assert_contains(fake_exchange_log(&fake), ".wsgi] importing\n");
    fake_exchange_free(&fake);
}

static void discard(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    (void)level;
    (void)file;
    (void)line;
    (void)text;
}

/* compat: SIGNAL-restricted */
static void test_signal_is_restricted(void **state)
{
    fake_exchange_t fake;
    (void)state;
    wsgi_log_install(discard, NULL, WSGI_LOG_INFO);
    (void)site_answer(&fake,
                      "import signal\n" APP OK "    before = signal.getsignal(signal.SIGTERM)\n"
                      "    result = signal.signal(signal.SIGTERM, print)\n"
                      "    same = signal.getsignal(signal.SIGTERM) is before\n"
                      "    return [repr((result is print, same)).encode()]\n");
    assert_string_equal(fake_exchange_sent(&fake), "(True, True)");
    assert_contains(fake_exchange_log(&fake), "<6> ");
    assert_contains(fake_exchange_log(&fake), "signal.signal() was ignored");
    assert_contains(fake_exchange_log(&fake), "result = signal.signal(signal.SIGTERM, print)");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_a_line_without_end_waits),
        cmocka_unit_test(test_long_lines_are_cut_into_records),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_misuse_raises),
        cmocka_unit_test(test_text_in_the_buffer_is_deprecated),
        cmocka_unit_test(test_the_next_request_has_a_good_stream),
        cmocka_unit_test(test_use_after_the_request),
        cmocka_unit_test(test_the_end_of_a_kept_stream),
        cmocka_unit_test(test_logging_to_stderr),
        cmocka_unit_test(test_lines_at_import_belong_to_the_request),
        cmocka_unit_test(test_signal_is_restricted),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
