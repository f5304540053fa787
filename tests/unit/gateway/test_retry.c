/* tests/unit/gateway/test_retry.c — embedded, a script that fails to load waits for its next try;
 * the clock is the test's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include "wsgi_python.h"

#include <fcntl.h>

#define SECOND INT64_C(1000000)

static int64_t the_now_us = 1000 * SECOND;

/* --wrap: see test_retry.ldflags. */
int64_t __wrap_wsgi_now_us(void);
int64_t __wrap_wsgi_now_us(void)
{
    return the_now_us;
}

/* Counts its executions in builtins. */
#define COUNTING                                                                                   \
    "import builtins\n"                                                                            \
    "builtins.tries = getattr(builtins, 'tries', 0) + 1\n"

static int reset_count(void **state)
{
    wsgi_result_t result;
    (void)state;
    WSGI_PY_SCOPE(py, wsgi_interp_find("", false, &result));
    WSGI_AUTO_REF PyObject *globals = PyDict_New();
    WSGI_AUTO_REF PyObject *done =
        PyRun_String("import builtins\nbuiltins.tries = 0\n", Py_file_input, globals, globals);
    return done != NULL ? 0 : -1;
}

static long count_tries(void)
{
    wsgi_result_t result;
    WSGI_PY_SCOPE(py, wsgi_interp_find("", false, &result));
    WSGI_AUTO_REF PyObject *globals = PyDict_New();
    WSGI_AUTO_REF PyObject *tries = PyRun_String("tries", Py_eval_input, globals, globals);
    return PyLong_AsLong(tries);
}

static void serve_again(fake_exchange_t *fake)
{
    site_again(fake);
    (void)site_serve(fake);
}

/* Each try comes at its time and not a second before. */
static void test_delays(void **state)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 30, 30, 30};
    fake_exchange_t fake;
    char said[64];
    (void)state;
    site_request(&fake, COUNTING "raise RuntimeError('try %d' % tries)\n");
    (void)site_serve(&fake);
    assert_failed(&fake, 500, "RuntimeError: try 1");
    for (int i = 0; i < 8; i++) {
        the_now_us += seconds[i] * SECOND - 1;
        serve_again(&fake);
        assert_failed(&fake, 500, "WSGI1207: next try in 1 s, or once the file has changed");
        assert_int_equal(count_tries(), i + 1);
        the_now_us += 1;
        serve_again(&fake);
        snprintf(said, sizeof(said), "RuntimeError: try %d", i + 2);
        assert_failed(&fake, 500, said);
        assert_lacks(fake_exchange_log(&fake), "WSGI1207");
        assert_int_equal(count_tries(), i + 2);
    }
    fake_exchange_free(&fake);
}

/* One header, and the first traceback as it was. */
/* compat: LOAD-again */
static void test_what_is_repeated(void **state)
{
    fake_exchange_t fake;
    char first[2048], expected[4096];
    (void)state;
    site_request(&fake, COUNTING "raise RuntimeError('the cause' if tries == 1 else 'again')\n");
    const char *path = fake.ex.request.script.data;
    (void)site_serve(&fake);
    const char *traceback = strchr(fake_exchange_log(&fake), '\n') + 1;
    snprintf(first, sizeof(first), "%s", traceback);
    assert_contains(first, "RuntimeError: the cause");
    the_now_us += SECOND;
    serve_again(&fake);
    assert_failed(&fake, 500, "RuntimeError: again");
    the_now_us += SECOND / 2;
    for (int i = 0; i < 2; i++) {
        serve_again(&fake);
        snprintf(expected, sizeof(expected),
                 "<3> [%s] WSGI1207: next try in 2 s, or once the file has changed: script '%s' "
                 "could not be loaded, and is not run for each request; its first failure was:\n%s",
                 path, path, first);
        assert_string_equal(fake_exchange_log(&fake), expected);
    }
    assert_int_equal(count_tries(), 2);
    fake_exchange_free(&fake);
}

static void test_exits_are_kept_too(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import sys\nsys.exit('no reason')\n");
    (void)site_serve(&fake);
    assert_failed(&fake, 500, "WSGI0175");
    serve_again(&fake);
    assert_failed(&fake, 500, "SystemExit: no reason");
    assert_lacks(fake_exchange_log(&fake), "WSGI0175");
    fake_exchange_free(&fake);
}

/* Sets the time stamp of the script, `seconds` after 2020. */
static void stamp(const fake_exchange_t *fake, int seconds)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1577836800 + seconds}};
    assert_int_equal(utimensat(AT_FDCWD, fake->ex.request.script.data, times, 0), 0);
}

/* compat: LOAD-again LOAD-again-changed */
static void test_a_changed_file_is_tried_at_once(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, COUNTING "raise RuntimeError('try %d' % tries)\n");
    stamp(&fake, 0);
    (void)site_serve(&fake);
    the_now_us += SECOND;
    serve_again(&fake); /* the second failure: 2 s from now */
    stamp(&fake, 1);
    serve_again(&fake);
    assert_failed(&fake, 500, "RuntimeError: try 3");
    the_now_us += SECOND; /* another file: its delays begin anew, with its own first traceback */
    stamp(&fake, 1);
    serve_again(&fake);
    assert_failed(&fake, 500, "RuntimeError: try 4");
    serve_again(&fake);
    assert_failed(&fake, 500, "RuntimeError: try 3");
    site_write(fake.ex.request.script.data, APP OK "    return [b'mended']\n");
    stamp(&fake, 2);
    serve_again(&fake);
    assert_string_equal(fake_exchange_sent(&fake), "mended");
    fake_exchange_free(&fake);
}

static void test_success_ends_the_waiting(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, COUNTING "if tries < 3: raise RuntimeError('try %d' % tries)\n" APP OK
                                 "    return [b'at last']\n");
    (void)site_serve(&fake);
    the_now_us += 1 * SECOND;
    serve_again(&fake);
    assert_failed(&fake, 500, "RuntimeError: try 2");
    the_now_us += 2 * SECOND;
    for (int i = 0; i < 2; i++) {
        serve_again(&fake);
        assert_string_equal(fake_exchange_sent(&fake), "at last");
    }
    assert_int_equal(count_tries(), 3);
    fake_exchange_free(&fake);
}

static void test_a_file_that_goes_away_meanwhile(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "raise RuntimeError\n");
    (void)site_serve(&fake);
    assert_int_equal(unlink(fake.ex.request.script.data), 0);
    serve_again(&fake);
    assert_failed(&fake, 404, "WSGI1201");
    fake_exchange_free(&fake);
}

/* Every interpreter has its own failures. */
static void test_interpreters_wait_apart(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "raise RuntimeError('here')\n");
    (void)site_serve(&fake);
    site_again(&fake);
    (void)site_serve_in(&fake, "other");
    assert_failed(&fake, 500, "WSGI0174");
    fake_exchange_free(&fake);
}

/* A daemon's worker is replaced: a half-made module is never executed twice in one process. */
static void test_by_process_it_is_not_tried_again(void **state)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    wsgi_interp_t *interp = wsgi_interp_find("", false, &result);
    (void)state;
    site_request(&fake, COUNTING "raise RuntimeError('try %d' % tries)\n");
    for (int i = 1; i <= 3; i++) {
        (void)wsgi_gateway_serve(interp, &fake.ex, WSGI_RELOAD_BY_PROCESS);
        assert_failed(&fake, 500, "RuntimeError: try 1");
        assert_true(fake.ex.is_spoilt);
        assert_int_equal(count_tries(), 1);
        the_now_us += 100 * SECOND;
        site_again(&fake);
    }
    stamp(&fake, 100);
    fake.ex.request.flags |= WSGI_REQUEST_RELOADING;
    assert_int_equal(wsgi_gateway_serve(interp, &fake.ex, WSGI_RELOAD_BY_PROCESS),
                     WSGI_E_DECLINED); /* its successor has the new file */
    assert_int_equal(count_tries(), 1);
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_delays, reset_count),
        cmocka_unit_test_setup(test_what_is_repeated, reset_count),
        cmocka_unit_test(test_exits_are_kept_too),
        cmocka_unit_test_setup(test_a_changed_file_is_tried_at_once, reset_count),
        cmocka_unit_test_setup(test_success_ends_the_waiting, reset_count),
        cmocka_unit_test(test_a_file_that_goes_away_meanwhile),
        cmocka_unit_test(test_interpreters_wait_apart),
        cmocka_unit_test_setup(test_by_process_it_is_not_tried_again, reset_count),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
