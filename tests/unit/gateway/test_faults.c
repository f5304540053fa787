/* tests/unit/gateway/test_faults.c — scripts and applications that are wrong: one sentence in the
 * log, a status where none was sent, a visible cut where one was, and the next request is served.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

static void serve_path(fake_exchange_t *fake, const char *path)
{
    fake_exchange_init(fake, path);
    assert_int_equal(site_serve(fake), WSGI_E_INVALID);
}

static void test_script_missing(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_path(&fake, "/nonexistent/app.wsgi");
    assert_failed(&fake, 404, "WSGI1201: script '/nonexistent/app.wsgi' does not exist; put it");
    fake_exchange_free(&fake);
}

static void test_script_is_a_directory(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_path(&fake, "/tmp");
    assert_failed(&fake, 500, "WSGI1202: script '/tmp' is a directory");
    fake_exchange_free(&fake);
}

static void test_script_unreadable(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    return []\n");
    assert_int_equal(chmod(fake.ex.request.script.data, 0), 0);
    assert_int_equal(chmod(site_directory, 0755), 0);
    uid_t uid = geteuid();
    assert_int_equal(seteuid(uid == 0 ? 65534 : uid), 0); /* root reads anything */
    int code = site_serve(&fake);
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(code, WSGI_E_INVALID);
    assert_failed(&fake, 500, "WSGI1202: script '");
    assert_contains(fake_exchange_log(&fake), "cannot be read by user id");
    fake_exchange_free(&fake);
}

static void test_script_is_a_fifo(void **state)
{
    fake_exchange_t fake;
    char path[128];
    (void)state;
    site_path(path, "fifo.wsgi");
    assert_int_equal(mkfifo(path, 0600), 0);
    serve_path(&fake, path);
    assert_failed(&fake, 500, "no regular file");
    fake_exchange_free(&fake);
}

/* The source, and what the log must say. */
static const char *const broken[][2] = {
    {"def application(:\n", "SyntaxError"},
    {"x = '\\0'\nraise LookupError('at import')\n", "LookupError: at import"},
    {"# coding: nonsense\n", "SyntaxError: unknown encoding: nonsense"},
    {"import sys\nsys.exit(3)\n", "WSGI0175: SystemExit raised by script"},
    {"import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"},
    {"def Application(e, s): pass\ndef app(e, s): pass\n_hidden = print\n",
     "has no callable 'application', only these: Application, app; define it"},
    {"x = 1\n", "has no callable 'application', only these: (none)"},
    {"application = 'text'\n", "WSGI1203: 'application' in script"},
    {"application = None\n", "it is of type NoneType; let it be a function"},
    {APP "    return [b'x']\n", "RuntimeError: the application gave a body without calling"},
    {APP "    return []\n", "WSGI1204: 'application' in script"},
    {APP "    yield b''\n", "WSGI1204"},
    {APP OK "    return ['text']\n", "TypeError: the application's answer holds str where only"},
    {APP OK "    return 'text'\n", "TypeError: the application's answer holds str"},
    {APP OK "    return [None]\n", "holds NoneType where only bytes may be"},
    {APP OK "    return [bytearray(b'x')]\n", "holds bytearray where"},
    {APP OK "    return None\n", "TypeError: 'NoneType' object is not iterable"},
    {APP OK "    return 42\n", "TypeError: 'int' object is not iterable"},
    {APP OK "    1/0\n", "ZeroDivisionError: division by zero"},
    {APP "    raise SystemExit(1)\n", "WSGI0175"},
    {APP "    raise KeyboardInterrupt\n", "KeyboardInterrupt"},
    {"def application(environ): pass\n", "TypeError: application() takes 1 positional argument"},
    {"class Odd(Exception):\n    def __str__(self): raise ValueError\n" APP "    raise Odd\n",
     "Odd: <exception str() failed>"},
    {APP "    raise Exception('\\udcff')\n", "Exception: \\udcff"},
};

static void test_broken_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        fake_exchange_t fake;
        site_request(&fake, broken[i][0]);
        assert_int_equal(site_serve(&fake), WSGI_E_INVALID);
        assert_failed(&fake, 500, broken[i][1]);
        fake_exchange_free(&fake);
    }
}

/* compat: LOG-traceback */
static void test_a_traceback_is_one_header_and_a_record_per_line(void **state)
{
    fake_exchange_t fake;
    char expected[1024];
    (void)state;
    site_request(&fake, "def application(environ, start_response):\n    raise ValueError('why')\n");
    site_serve(&fake);
    const char *path = fake.ex.request.script.data;
    snprintf(expected, sizeof(expected),
             "<3> [%s] WSGI0174: exception raised by script '%s':\n"
             "<3> [%s] Traceback (most recent call last):\n"
             "<3> [%s]   File \"%s\", line 2, in application\n"
             "<3> [%s]     raise ValueError('why')\n"
             "<3> [%s] ValueError: why\n",
             path, path, path, path, path, path, path);
    assert_string_equal(fake_exchange_log(&fake), expected);
    fake_exchange_free(&fake);
}

static void test_a_failed_script_leaves_no_module(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "half_made = True\nraise ValueError\n");
    site_serve(&fake);
    fake_exchange_free(&fake);
    assert_string_equal(site_answer(&fake, "import sys\n" APP OK
                                           "    left = [n for n, m in sys.modules.items()"
                                           " if hasattr(m, 'half_made')]\n"
                                           "    return [repr(left).encode()]\n"),
                        "[]");
    fake_exchange_free(&fake);
}

static void test_exceptions_after_the_head_cut_the_answer(void **state)
{
    static const char *const endings[] = {"raise LookupError('late')", "yield 'text'",
                                          "raise SystemExit"};
    static const char *const said[] = {"LookupError: late", "holds str where only bytes",
                                       "WSGI0175"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source), APP OK "    yield b'begun'\n    %s\n", endings[i]);
        site_request(&fake, source);
        assert_int_equal(site_serve(&fake), WSGI_E_INVALID);
        assert_truncated(&fake, said[i]);
        assert_string_equal(fake_exchange_sent(&fake), "begun");
        fake_exchange_free(&fake);
    }
}

static void test_another_callable(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "def other(environ, start_response):\n" OK "    return [b'other']\n");
    fake.ex.request.callable = WSGI_LITERAL("other");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "other");
    fake_exchange_free(&fake);
}

/* Ends Python: must be the last test. */
static void test_python_has_ended(void **state)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    (void)state;
    wsgi_interp_t *interp = wsgi_interp_find("", false, &result);
    wsgi_runtime_stop();
    site_request(&fake, APP OK "    return [b'x']\n");
    assert_int_equal(wsgi_gateway_serve(interp, &fake.ex, WSGI_RELOAD_IN_PLACE), WSGI_E_REFUSED);
    assert_failed(&fake, 503, "WSGI1206: Python is stopping in this process");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script_missing),
        cmocka_unit_test(test_script_is_a_directory),
        cmocka_unit_test(test_script_unreadable),
        cmocka_unit_test(test_script_is_a_fifo),
        cmocka_unit_test(test_broken_scripts),
        cmocka_unit_test(test_a_traceback_is_one_header_and_a_record_per_line),
        cmocka_unit_test(test_a_failed_script_leaves_no_module),
        cmocka_unit_test(test_exceptions_after_the_head_cut_the_answer),
        cmocka_unit_test(test_another_callable),
        cmocka_unit_test(test_python_has_ended),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
