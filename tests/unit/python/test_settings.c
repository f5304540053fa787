/* tests/unit/python/test_settings.c — what the settings of a process do to its Python.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <signal.h>

#if PY_VERSION_HEX >= 0x030C0000
#define HAS_OWN_GIL 1
#else
#define HAS_OWN_GIL 0
#endif

#ifdef Py_GIL_DISABLED
#define IS_FREE_THREADED 1
#else
#define IS_FREE_THREADED 0
#endif

static wsgi_runtime_settings_t settings;

static int reset(void **state)
{
    (void)state;
    settings = usual_settings;
    return 0;
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" is in:\n%s", part, text);
    }
}

/* What the source prints, in a process with `settings`: in the main interpreter, then in another. */
static const char *the_source;

static void run_source(void)
{
    start_or_exit(&settings);
    run_in("", the_source);
    run_in("sub", the_source);
    wsgi_runtime_stop();
    printf("stopped\n");
}

static const char *output_in_both(const char *source)
{
    the_source = source;
    return output_of(run_source, 0);
}

static void assert_twice(const char *output, const char *line)
{
    char expected[512];
    snprintf(expected, sizeof(expected), "%s\n%s\nstopped\n", line, line);
    assert_string_equal(output, expected);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_twice(output_in_both("import sys, os\n"
                                "print(sys.flags.optimize, sys.flags.hash_randomization,"
                                " sys.dont_write_bytecode, sys.warnoptions,"
                                " os.environ.get('PYTHON_EGG_CACHE'), sys.getswitchinterval())\n"),
                 "0 1 False [] None 0.005");
}

static void test_egg_cache(void **state)
{
    (void)state;
    settings.python_eggs = "/var/cache/eggs";
    assert_twice(output_in_both("import os\nprint(os.environ['PYTHON_EGG_CACHE'])\n"),
                 "/var/cache/eggs");
}

static void test_warnings_in_order(void **state)
{
    (void)state;
    settings.python_warnings = "error\nignore::DeprecationWarning\n\ndefault:caf\xc3\xa9\n";
    assert_twice(output_in_both("import sys, warnings\n"
                                "print(ascii(sys.warnoptions),"
                                " [f[0] for f in warnings.filters[:3]])\n"),
                 "['error', 'ignore::DeprecationWarning', 'default:caf\\xe9'] "
                 "['default', 'ignore', 'error']");
}

static void test_optimize(void **state)
{
    (void)state;
    settings.optimize = 2;
    assert_twice(output_in_both("import sys\nassert False\nprint(sys.flags.optimize)\n"), "2");
}

static void test_hash_seed(void **state)
{
    static const int64_t seeds[] = {0, 1, 4294967295};
    char first[256];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        settings.hash_seed = seeds[i];
        snprintf(first, sizeof(first), "%s", output_in_both("print(hash('text'))\n"));
        assert_string_equal(output_in_both("print(hash('text'))\n"), first);
    }
    settings.hash_seed = WSGI_HASH_SEED_RANDOM;
    snprintf(first, sizeof(first), "%s", output_in_both("print(hash('text'))\n"));
    assert_string_not_equal(output_in_both("print(hash('text'))\n"), first);
}

static void test_switch_interval(void **state)
{
    (void)state;
    settings.switch_interval_us = 250;
    assert_twice(output_in_both("import sys\nprint(sys.getswitchinterval())\n"), "0.00025");
}

static void test_no_bytecode(void **state)
{
    (void)state;
    settings.dont_write_bytecode = true;
    assert_twice(output_in_both("import sys\nprint(sys.dont_write_bytecode)\n"), "True");
}

/* What each use raises, on the log by way of sys.stderr. */
#define USES(stream)                                                                               \
    "import sys\n"                                                                                 \
    "s = sys." stream "\n"                                                                         \
    "def print(*args): sys.stderr.write(' '.join(map(str, args)) + '\\n')\n"                       \
    "for use in (lambda: s.read, lambda: s.write('x'), lambda: s.closed, lambda: iter(s),\n"       \
    "            lambda: setattr(s, 'x', 1)):\n"                                                   \
    "    try: use()\n"                                                                             \
    "    except OSError as e: said = str(e)\n"                                                     \
    "    else: raise AssertionError\n"                                                             \
    "print(said)\n"

static void test_restricted_streams(void **state)
{
    (void)state;
    settings.restrict_stdin = settings.restrict_stdout = true;
    assert_twice(output_in_both(USES("stdin")),
                 "sys.stdin is restricted in this server; set WSGIRestrictStdin Off to use it");
    assert_twice(output_in_both(USES("stdout")),
                 "sys.stdout is restricted in this server; set WSGIRestrictStdout Off to use it");
}

static void test_one_stream_may_be_restricted_alone(void **state)
{
    (void)state;
    settings.restrict_stdin = true;
    assert_twice(output_in_both("import sys\n"
                                "try: input()\nexcept OSError: print('refused')\n"),
                 "refused");
}

/* A terminal's streams, as far as a test has one. */
static void run_interactive(void)
{
    int fds[2];
    settings.is_interactive = settings.restrict_stdin = settings.restrict_stdout = true;
    if (pipe(fds) != 0 || write(fds[1], "typed\n", 6) != 6 || dup2(fds[0], STDIN_FILENO) < 0) {
        abort();
    }
    start_or_exit(&settings);
    run_in("", "import sys\nprint(sys.stdin.name, sys.stdout.name, sys.stderr.name)\n"
               "print('asked:', input())\nsys.stdout.flush()\n");
    wsgi_runtime_stop();
}

static void test_interactive(void **state)
{
    (void)state;
    assert_string_equal(output_of(run_interactive, 0), "<stdin> <stdout> <stderr>\n"
                                                       "asked: typed\n");
    static const char *const source = "import sys\nprint(type(sys.stdout.buffer).__name__)\n"
                                      "sys.stderr.write(type(sys.stderr.buffer).__name__ + '\\n')\n"
                                      "sys.stdout.flush()\n";
    settings.is_interactive = true;
    const char *output = output_in_both(source);
    assert_has(output, "BufferedWriter\n");
    assert_has(output, "LogSink\n");
}

/* signal.signal() works on the main thread of the main interpreter. */
static void allow_signals(void)
{
    settings.allow_signals = true;
    start_or_exit(&settings);
    run_in("",
           "import signal\n"
           "print('before', int(signal.signal(signal.SIGUSR1, lambda n, f: print('caught', n))))\n"
           "signal.raise_signal(signal.SIGUSR1)\n");
    wsgi_runtime_stop();
}

static void test_signals_may_be_allowed(void **state)
{
    (void)state;
    const char *output = output_of(allow_signals, 0);
    assert_has(output, "before 0\n");
    assert_has(output, "caught 10\n");
}

static void abandon(void)
{
    settings.abandon_interpreters = true;
    start_or_exit(&settings);
    run_in("sub", "import atexit\natexit.register(print, 'atexit')\n");
    run_in("", "import atexit, threading, time\natexit.register(print, 'atexit')\n"
               "threading.Thread(target=time.sleep, args=(60,)).start()\n");
    wsgi_runtime_stop();
    wsgi_runtime_stop();
    run_in("", "print('never')\n");
    printf("left\n");
}

static void test_interpreters_may_be_abandoned(void **state)
{
    (void)state;
    assert_string_equal(output_of(abandon, 0), "refused\nleft\n");
}

/* Isolation shows in what CPython refuses then. */
static void test_a_gil_for_each_interpreter(void **state)
{
    (void)state;
    settings.per_interpreter_gil = true;
    const char *output = output_in_both("import os, mod_wsgi, threading\n"
                                        "t = threading.Thread(target=len, args=('',))\n"
                                        "try: t.daemon = True; t.start(); print('shared')\n"
                                        "except RuntimeError: print('own')\n");
    if (HAS_OWN_GIL) {
        assert_string_equal(output, "shared\nown\nstopped\n");
    }
    else {
        assert_has(output, "WSGI1101: WSGIPerInterpreterGIL has no effect: in Python ");
        assert_has(output, "\nshared\nshared\nstopped\n");
        assert_null(strstr(strstr(output, "WSGI1101") + 1, "WSGI1101"));
    }
}

static void test_settings_of_one_interpreter(void **state)
{
    (void)state;
    settings.interpreter_options = "*\nswitch_interval_us 8000\nrestrict_stdin 1\n"
                                   "=sub\nper_interpreter_gil 1\nswitch_interval_us 250000\n"
                                   "restrict_stdin 0\n"
                                   "=su\nrestrict_stdin 1\n=subs\nrestrict_stdin 1\n";
    const char *output =
        output_in_both("import sys\n"
                       "print(sys.getswitchinterval(), type(sys.stdin).__name__)\n");
    assert_has(output, "0.008 RestrictedStream\n");
    if (HAS_OWN_GIL) {
        assert_has(output, "\n0.25 TextIOWrapper\nstopped\n");
    }
    else {
        assert_has(output, "WSGI1101: WSGIPerInterpreterGIL has no effect: in Python ");
        assert_has(output, "WSGI1130: WSGISwitchInterval ");
        assert_has(output, "\n0.008 TextIOWrapper\nstopped\n");
    }
}

static void test_the_only_application_is_chosen_by_its_name_too(void **state)
{
    (void)state;
    settings.main_name = "host:81|/app";
    settings.interpreter_options = "=host|/app\nrestrict_stdin 1\n=host|/other\nrestrict_stdin 0\n"
                                   "=\nrestrict_stdout 1\n";
    assert_has(output_in_both("import sys\n"
                              "sys.stderr.write(type(sys.stdin).__name__ + ' ' +"
                              " type(sys.stdout).__name__ + '\\n')\n"),
               "RestrictedStream RestrictedStream\n");
}

static void test_free_threading(void **state)
{
    static const char source[] = "import sys\n"
                                 "print(getattr(sys, '_is_gil_enabled', lambda: True)())\n";
    (void)state;
    assert_twice(output_in_both(source), "True");
    settings.free_threading = true;
    const char *output = output_in_both(source);
    if (IS_FREE_THREADED) {
        assert_twice(output, "False");
    }
    else {
        assert_has(output, "WSGI1102: WSGIFreeThreading has no effect: this Python ");
        assert_has(output, "\nTrue\nTrue\nstopped\n");
    }
}

/* Nothing of the kind is said where nobody asked. */
static void test_no_warning_without_need(void **state)
{
    (void)state;
    assert_lacks(output_in_both("pass\n"), "WSGI11");
}

static void find_names(void)
{
    static const char *const names[] = {
        "host|/app",  "host:80|/app",  "host:65535|/app", "host:|/app",   "host:8x|/app",
        "host1|/app", "other:81|/app", "host:81|/other",  "host:81/app",  "host:81",
        "|/app",      "host|/app|b",   "8080|/app",       "host:1:2|/app"};
    start_or_exit(&settings);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        wsgi_interp_t *interp = wsgi_interp_find(names[i], false, NULL);
        printf("%d", interp == wsgi_interp_find("", false, NULL));
    }
    printf("\n");
    run_in("", "import mod_wsgi\nprint(mod_wsgi.application_group)\n");
    run_in("sub", "import mod_wsgi\nprint(mod_wsgi.application_group)\n");
    wsgi_runtime_stop();
}

static void test_the_main_interpreter_has_a_name(void **state)
{
    (void)state;
    settings.main_name = "host:81|/app";
    const char *output = output_of(find_names, 0);
    assert_has(output, "11100000000000\n");
    assert_has(output, "\nhost:81|/app\nsub\n");
}

static void test_a_name_without_a_port(void **state)
{
    (void)state;
    settings.main_name = "host|/app";
    assert_has(output_of(find_names, 0), "11100000000000\n");
}

static void test_no_name(void **state)
{
    (void)state;
    const char *output = output_of(find_names, 0);
    assert_has(output, "00000000000000\n");
    assert_has(output, "\n\nsub\n");
}

int main(void)
{
    static const char *const variables[] = {
        "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONHASHSEED",
        "PYTHONOPTIMIZE",          "PYTHON_EGG_CACHE", "PYTHON_GIL"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
        unsetenv(variables[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, reset),
        cmocka_unit_test_setup(test_egg_cache, reset),
        cmocka_unit_test_setup(test_warnings_in_order, reset),
        cmocka_unit_test_setup(test_optimize, reset),
        cmocka_unit_test_setup(test_hash_seed, reset),
        cmocka_unit_test_setup(test_switch_interval, reset),
        cmocka_unit_test_setup(test_no_bytecode, reset),
        cmocka_unit_test_setup(test_restricted_streams, reset),
        cmocka_unit_test_setup(test_one_stream_may_be_restricted_alone, reset),
        cmocka_unit_test_setup(test_interactive, reset),
        cmocka_unit_test_setup(test_signals_may_be_allowed, reset),
        cmocka_unit_test_setup(test_interpreters_may_be_abandoned, reset),
        cmocka_unit_test_setup(test_a_gil_for_each_interpreter, reset),
        cmocka_unit_test_setup(test_settings_of_one_interpreter, reset),
        cmocka_unit_test_setup(test_the_only_application_is_chosen_by_its_name_too, reset),
        cmocka_unit_test_setup(test_free_threading, reset),
        cmocka_unit_test_setup(test_no_warning_without_need, reset),
        cmocka_unit_test_setup(test_the_main_interpreter_has_a_name, reset),
        cmocka_unit_test_setup(test_a_name_without_a_port, reset),
        cmocka_unit_test_setup(test_no_name, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
