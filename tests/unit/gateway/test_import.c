/* tests/unit/gateway/test_import.c — scripts that are loaded ahead of the requests.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

static FILE *the_log;

static void write_log(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    (void)file;
    (void)line;
    fprintf(the_log, "<%d> %s\n", level, text);
}

static int start(void **state)
{
    the_log = tmpfile();
    wsgi_log_install(write_log, NULL, WSGI_LOG_NOTICE);
    return the_log != NULL ? site_start(state) : -1;
}

/* What was logged since the last time. */
static const char *take_log(void)
{
    static char text[16384];
    rewind(the_log);
    text[fread(text, 1, sizeof(text) - 1, the_log)] = '\0';
    rewind(the_log);
    assert_int_equal(ftruncate(fileno(the_log), 0), 0);
    return text;
}

#define COUNTING                                                                                   \
    "import builtins\n"                                                                            \
    "key = 'loads of ' + __file__\n"                                                               \
    "loads = getattr(builtins, key, 0) + 1\n"                                                      \
    "setattr(builtins, key, loads)\n"
#define ANSWERING APP OK "    return [str(loads).encode()]\n"

static const char *const groups[] = {"", "sub"};

static void test_requests_use_the_module(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_exchange_t fake;
        wsgi_result_t result;
        site_request(&fake, COUNTING "print('imported', end='')\n" ANSWERING);
        const char *path = fake.ex.request.script.data;
        for (int j = 0; j < 2; j++) {
            assert_int_equal(wsgi_runtime_import(groups[i], path, &result), WSGI_OK);
        }
        assert_string_equal(take_log(), "<3> imported\n");
        assert_int_equal(site_serve_in(&fake, groups[i]), WSGI_OK);
        assert_string_equal(fake_exchange_sent(&fake), "1");
        assert_string_equal(fake_exchange_log(&fake), "");
        fake_exchange_free(&fake);
    }
}

static void test_the_module_mod_wsgi_is_complete(void **state)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    (void)state;
    site_request(&fake, "from mod_wsgi import FileWrapper, application_group\n"
                        "assert application_group == 'fresh'\n");
    assert_int_equal(wsgi_runtime_import("fresh", fake.ex.request.script.data, &result), WSGI_OK);
    fake_exchange_free(&fake);
}

/* Logged here; the reason is for the caller; and a request tries again at once, in both modes. */
static void test_a_failure(void **state)
{
    static const enum wsgi_reload_mode modes[] = {WSGI_RELOAD_IN_PLACE, WSGI_RELOAD_BY_PROCESS};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fake_exchange_t fake;
        wsgi_result_t result;
        char expected[256];
        site_request(&fake, COUNTING "if loads == 1: raise RuntimeError('at first')\n" ANSWERING);
        const char *path = fake.ex.request.script.data;
        assert_int_equal(wsgi_runtime_import(groups[i / 2], path, &result), WSGI_E_INVALID);
        snprintf(expected, sizeof(expected),
                 "script '%s' could not be loaded ahead of the requests; the lines before say why, "
                 "and its first request tries again",
                 path);
        assert_string_equal(result.detail, expected);
        snprintf(expected, sizeof(expected), "WSGI0174: exception raised by script '%s':\n", path);
        const char *log = take_log();
        assert_contains(log, expected);
        assert_contains(log, "RuntimeError: at first\n");
        assert_int_equal(wsgi_gateway_serve(wsgi_interp_find(groups[i / 2], false, &result),
                                            &fake.ex, modes[i % 2]),
                         WSGI_OK);
        assert_string_equal(fake_exchange_sent(&fake), "2");
        fake_exchange_free(&fake);
    }
}

static void test_an_exit(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "raise SystemExit\n");
    assert_int_equal(wsgi_runtime_import("", fake.ex.request.script.data, NULL), WSGI_E_INVALID);
    assert_contains(take_log(), "WSGI0175");
    fake_exchange_free(&fake);
}

static void test_no_file(void **state)
{
    wsgi_result_t result;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wsgi_runtime_import(groups[i], "/nonexistent/app.wsgi", &result),
                         WSGI_E_IO);
        assert_contains(result.detail, "script '/nonexistent/app.wsgi' does not exist; put it");
        assert_string_equal(take_log(), "");
    }
}

/* Extensions that call PyGILState_Ensure() as they are imported, as ctypes does for a callback. */
static void test_an_extension_that_looks_for_its_interpreter(void **state)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    (void)state;
    site_request(&fake, "import ctypes, mod_wsgi\nseen = []\n"
                        "@ctypes.CFUNCTYPE(None)\n"
                        "def callback(): seen.append(mod_wsgi.application_group)\n"
                        "callback()\nassert seen == ['sub'], seen\n");
    assert_int_equal(wsgi_runtime_import("sub", fake.ex.request.script.data, &result), WSGI_OK);
    fake_exchange_free(&fake);
}

/* Ends Python: must be the last test. */
static void test_python_has_ended(void **state)
{
    wsgi_result_t result;
    (void)state;
    wsgi_runtime_stop();
    assert_int_equal(wsgi_runtime_import("", "/x.wsgi", &result), WSGI_E_REFUSED);
    assert_int_equal(wsgi_runtime_import("late", "/x.wsgi", &result), WSGI_E_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_use_the_module),
        cmocka_unit_test(test_the_module_mod_wsgi_is_complete),
        cmocka_unit_test(test_a_failure),
        cmocka_unit_test(test_an_exit),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_an_extension_that_looks_for_its_interpreter),
        cmocka_unit_test(test_python_has_ended),
    };
    return cmocka_run_group_tests(tests, start, site_stop);
}
