/* tests/unit/python/test_runtime.c — start and end of Python: what code finds, what fails in one
 * sentence, what may still run at the end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <pthread.h>
#include <signal.h>

#define TEXT(token)  TEXT_(token)
#define TEXT_(token) #token
#define XY           TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)
#define LIBRARY      "lib/python" XY

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/quetzal-unit.XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command) == 0 ? 0 : -1;
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        abort();
    }
}

static void make_folder(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", directory, name);
    if (mkdir(path, 0755) != 0) {
        abort();
    }
}

/* What code finds. */

static void look_around(void)
{
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setenv("LANG", "C", 1);
    signal(SIGINT, SIG_DFL);
    start_or_exit(&usual_settings);
    printf("interrupt %d\n", signal(SIGINT, SIG_DFL) == SIG_DFL);
    run_in("", "import sys, threading, os, mod_wsgi, apache\n"
               "print('argv', sys.argv)\n"
               "print('main thread', threading.current_thread() is threading.main_thread())\n"
               "print('stdin', sys.stdin.name)\n"
               "print('utf8', sys.flags.utf8_mode, sys.getfilesystemencoding())\n"
               "print('locale', os.environ.get('LC_CTYPE'))\n"
               "print('version', mod_wsgi.version, mod_wsgi.quetzal_version)\n"
               "print('groups', [mod_wsgi.process_group, mod_wsgi.application_group])\n"
               "print('shape', mod_wsgi.maximum_processes, mod_wsgi.threads_per_process)\n"
               "print('apache', apache.version, apache.description)\n"
               "print('prefix', sys.prefix)\n");
    run_in("named", "import sys, mod_wsgi\nprint('named', mod_wsgi.application_group, sys.argv)\n"
                    "sys.stderr.write('error stream\\n')\n");
    wsgi_runtime_stop();
}

/* compat: PROC-argv PROC-main-thread MOD-version MOD-mod-wsgi MOD-groups MOD-shape MOD-apache
 * MOD-apache-version */
static void test_what_code_finds(void **state)
{
    static const char *const lines[] = {
        "argv ['mod_wsgi']\n",
        "main thread True\n",
        "stdin <stdin>\n",
        "utf8 1 utf-8\n",
        "locale None\n",
        "version (6, 0, 5) 0.1.0\n",
        "groups ['', '']\n",
        "shape 2 15\n",
        "apache (2, 4, 71) Apache/2.4.71 (unit test)\n",
        "prefix /usr\n",
        "interrupt 1\n",
        "named named ['mod_wsgi']\n",
        "error stream\n",
    };
    (void)state;
    const char *output = output_of(look_around, 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        assert_has(output, lines[i]);
    }
}

/* An interpreter copies the environment as it is made; later changes stay where they are made. */
static void look_at_environ(void)
{
    setenv("INHERITED", "yes", 1);
    start_or_exit(&usual_settings);
    run_in("", "import os\nos.environ['BEFORE'] = 'main'\n");
    run_in("sub", "import os\n"
                  "print([os.environ.get(k) for k in ('INHERITED', 'BEFORE')])\n"
                  "os.environ['AFTER'] = 'sub'\n");
    run_in("", "import os\nos.environ['LATER'] = 'main'\nprint(os.environ.get('AFTER'))\n");
    run_in("sub", "import os\nprint(os.environ.get('LATER'), os.environ['AFTER'])\n");
}

static void test_environments_are_apart(void **state)
{
    (void)state;
    assert_string_equal(output_of(look_at_environ, 0), "['yes', 'main']\nNone\nNone sub\n");
}

static void look_with_locale(void)
{
    setenv("LC_ALL", "C.UTF-8", 1);
    start_or_exit(&usual_settings);
    run_in("", "import sys\nprint('utf8', sys.flags.utf8_mode, sys.getfilesystemencoding())\n");
}

static void test_a_locale_that_is_chosen_stands(void **state)
{
    (void)state;
    assert_has(output_of(look_with_locale, 0), "utf8 0 utf-8\n");
}

static void look_at_path(void)
{
    char first[256], second[256], home[256], path[600];
    make_folder("first", first);
    make_folder("second", second);
    make_folder("home", home);
    make_folder("from-pth", path);
    write_file("second/extra.pth", path);
    snprintf(path, sizeof(path), "%s:%s", first, second);
    wsgi_runtime_settings_t settings = usual_settings;
    settings.python_path = path;
    settings.home = home;
    start_or_exit(&settings);
    run_in("", "import sys\nprint([p.rpartition('/')[2] for p in sys.path[:5]])\n");
    run_in("other", "import sys\nprint('other', [p.rpartition('/')[2] for p in sys.path[:4]])\n");
    wsgi_runtime_stop();
}

/* compat: DIR-pythonpath OPT-home OPT-python-path */
static void test_order_of_the_path(void **state)
{
    (void)state;
    const char *output = output_of(look_at_path, 0);
    assert_has(output, "['home', 'first', 'second', 'from-pth', 'python" TEXT(PY_MAJOR_VERSION)
                           TEXT(PY_MINOR_VERSION) ".zip']\n");
    assert_has(output, "other ['home', 'first', 'second', 'from-pth']\n");
}

/* A virtual environment is made by hand: venv would need ensurepip. */
static void look_at_environment(void)
{
    char venv[256], path[300];
    make_folder("venv", venv);
    make_folder("venv/bin", path);
    make_folder("venv/lib", path);
    make_folder("venv/" LIBRARY, path);
    make_folder("venv/" LIBRARY "/site-packages", path);
    write_file("venv/pyvenv.cfg", "home = /usr/bin\nversion = " XY ".2\n");
    write_file("venv/" LIBRARY "/site-packages/only_here.py", "where = 'in the environment'\n");
    snprintf(path, sizeof(path), "%s/bin/python", venv);
    if (symlink("/usr/bin/python" XY, path) != 0) {
        abort();
    }
    wsgi_runtime_settings_t settings = usual_settings;
    settings.python_home = venv;
    start_or_exit(&settings);
    run_in("", "import sys, only_here\nprint('module', only_here.where)\n"
               "print('prefix', sys.prefix.rpartition('/')[2], sys.base_prefix)\n");
    wsgi_runtime_stop();
}

/* compat: DIR-pythonhome-venv */
static void test_a_virtual_environment(void **state)
{
    (void)state;
    const char *output = output_of(look_at_environment, 0);
    assert_has(output, "module in the environment\n");
    assert_has(output, "prefix venv /usr\n");
}

static void start_in_installation(void)
{
    wsgi_runtime_settings_t settings = usual_settings;
    settings.python_home = "/usr";
    start_or_exit(&settings);
    run_in("", "import sys, json\nprint('prefix', sys.prefix)\n");
}

/* compat: DIR-pythonhome */
static void test_an_installation_as_home(void **state)
{
    (void)state;
    assert_has(output_of(start_in_installation, 0), "prefix /usr\n");
}

/* Starts that fail. */

static void start_in_nowhere(void)
{
    wsgi_runtime_settings_t settings = usual_settings;
    settings.python_home = "/nonexistent";
    start_or_exit(&settings);
}

static void start_in_half_a_home(void)
{
    char path[256];
    make_folder("half", path);
    make_folder("half/lib", path);
    make_folder("half/" LIBRARY, path);
    write_file("half/" LIBRARY "/os.py", "");
    wsgi_runtime_settings_t settings = usual_settings;
    snprintf(path, sizeof(path), "%s/half", directory);
    settings.python_home = path;
    start_or_exit(&settings);
}

static void find_before_start(void)
{
    wsgi_result_t result;
    printf("started %d, %s\n", wsgi_runtime_is_started(),
           wsgi_interp_find("", false, &result) == NULL ? result.detail : "found");
    wsgi_runtime_stop();
}

static void test_starts_that_fail(void **state)
{
    (void)state;
    assert_has(output_of(start_in_nowhere, 3),
               "not started: Python home /nonexistent: No such file or directory; set python-home");
    assert_has(output_of(start_in_half_a_home, 3), "not started: Python " XY " cannot start: ");
    assert_has(output_of(find_before_start, 0), "started 0, Python has not started");
}

/* Ends. */

static void end_with_leftovers(void)
{
    start_or_exit(&usual_settings);
    for (int i = 0; i < 2; i++) {
        run_in(i == 0 ? "" : "sub",
               "import atexit, threading, time, mod_wsgi\n"
               "name = mod_wsgi.application_group or 'main'\n"
               "def late():\n    time.sleep(0.1); print(name, 'thread joined')\n"
               "threading.Thread(target=late).start()\n"
               "atexit.register(lambda: print(name, 'atexit'))\n"
               "class Last:\n"
               "    def __del__(self, print=print, name=name): print(name, 'finalised')\n"
               "import sys; sys.modules['last'] = Last()\n");
    }
    wsgi_runtime_stop();
    wsgi_runtime_stop();
    printf("stopped\n");
    run_in("sub", "print('never')\n");
}

/* compat: INTERP-end */
static void test_an_orderly_end(void **state)
{
    (void)state;
    const char *output = output_of(end_with_leftovers, 0);
    const char *at = output;
    static const char *const order[] = {
        "sub thread joined\n", "sub atexit\n", "sub finalised\n", "main atexit\n",
        "main finalised\n",    "stopped\n",    "refused\n"};
    for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
        assert_has(at, order[i]);
        at = strstr(at, order[i]);
    }
    assert_has(output, "main thread joined\n");
    assert_null(strstr(output, "never"));
}

/* Fatal up to 3.13 where the interpreter is ended all the same: "not the last thread". */
static void end_with_daemon_thread(void)
{
    start_or_exit(&usual_settings);
    run_in("sub", "import threading, time, atexit\n"
                  "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
                  "import _thread; _thread.start_new_thread(time.sleep, (60,))\n"
                  "atexit.register(lambda: print('sub atexit'))\n");
    run_in("", "import atexit\natexit.register(lambda: print('main atexit'))\n");
    wsgi_runtime_stop();
    printf("survived\n");
}

/* compat: PROC-daemon-threads */
static void test_an_end_with_daemon_threads(void **state)
{
    (void)state;
    const char *output = output_of(end_with_daemon_thread, 0);
    assert_has(output, "sub atexit\n");
    assert_has(output, "main atexit\n");
    assert_has(output, "survived\n");
}

static void *stay_inside(void *interpreter)
{
    run_in(interpreter, "import time\nprint('inside')\ntime.sleep(60)\n");
    return NULL;
}

static void end_with_thread_inside(const char *interpreter)
{
    pthread_t thread;
    start_or_exit(&usual_settings);
    run_in(interpreter, "import atexit\natexit.register(lambda: print('atexit'))\n");
    pthread_create(&thread, NULL, stay_inside, (void *)interpreter);
    usleep(300000);
    wsgi_runtime_stop();
    printf("survived\n");
}

static void end_with_thread_inside_main(void)
{
    end_with_thread_inside("");
}

static void end_with_thread_inside_sub(void)
{
    end_with_thread_inside("sub");
}

static void test_an_end_while_a_request_runs(void **state)
{
    static void (*const bodies[])(void) = {end_with_thread_inside_main, end_with_thread_inside_sub};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *output = output_of(bodies[i], 0);
        assert_has(output, "inside\n");
        assert_has(output, "atexit\n");
        assert_has(output, "survived\n");
    }
}

/* Idle threads of the server keep their states; the end must clear them first. */
static pthread_barrier_t barrier;

static void *visit_and_wait(void *interpreter)
{
    run_in(interpreter, "import threading\n"
                        "class Local(threading.local):\n    pass\n"
                        "local = Local(); local.x = 1\n");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void end_with_idle_threads(void)
{
    pthread_t threads[4];
    pthread_barrier_init(&barrier, NULL, 5);
    start_or_exit(&usual_settings);
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, visit_and_wait, i % 2 == 0 ? "" : "sub");
    }
    pthread_barrier_wait(&barrier);
    wsgi_runtime_stop();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("survived\n");
}

static void test_an_end_with_idle_threads(void **state)
{
    (void)state;
    assert_string_equal(output_of(end_with_idle_threads, 0), "survived\n");
}

static void exit_in_atexit(void)
{
    start_or_exit(&usual_settings);
    run_in("", "import atexit, sys\natexit.register(sys.exit, 7)\n");
    wsgi_runtime_stop();
    printf("survived\n");
}

/* compat: INTERP-end-exceptions */
static void test_exits_in_atexit_do_not_exit(void **state)
{
    (void)state;
    assert_has(output_of(exit_in_atexit, 0), "survived\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_code_finds),
        cmocka_unit_test(test_environments_are_apart),
        cmocka_unit_test(test_a_locale_that_is_chosen_stands),
        cmocka_unit_test(test_order_of_the_path),
        cmocka_unit_test(test_a_virtual_environment),
        cmocka_unit_test(test_an_installation_as_home),
        cmocka_unit_test(test_starts_that_fail),
        cmocka_unit_test(test_an_orderly_end),
        cmocka_unit_test(test_an_end_with_daemon_threads),
        cmocka_unit_test(test_an_end_while_a_request_runs),
        cmocka_unit_test(test_an_end_with_idle_threads),
        cmocka_unit_test(test_exits_in_atexit_do_not_exit),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
