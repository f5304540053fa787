/* tests/unit/gateway/test_fork.c — processes that an application forks: they end by themselves, and
 * the request is its parent's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include "wsgi_python.h"

#include <signal.h>
#include <sys/wait.h>

/* The child does `child`, then the parent answers with its exit status. */
#define FORKING(child)                                                                             \
    "import os, sys, signal, atexit, threading\n" APP                                              \
    "    atexit.register(print, 'atexit of the parent')\n"                                         \
    "    pid = os.fork()\n"                                                                        \
    "    if pid == 0:\n"                                                                           \
    "        " child "\n" OK "    status = os.waitpid(pid, 0)[1]\n"                                \
    "    return [str(os.waitstatus_to_exitcode(status)).encode()]\n"

static FILE *the_log; /* of the process, and of its children */

static void write_log(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    (void)file;
    (void)line;
    fprintf(the_log, "<%d> %s\n", level, text);
    fflush(the_log);
}

static int start(void **state)
{
    the_log = tmpfile();
    wsgi_log_install(write_log, NULL, WSGI_LOG_NOTICE);
    return the_log != NULL ? site_start(state) : -1;
}

static const char *read_log(void)
{
    static char text[16384];
    rewind(the_log);
    text[fread(text, 1, sizeof(text) - 1, the_log)] = '\0';
    return text;
}

static int clear_log(void **state)
{
    (void)state;
    rewind(the_log);
    return ftruncate(fileno(the_log), 0);
}

/* Children by what they do, the status they end with, and what the process's log says. */
static const char *const children[][3] = {
    {"os._exit(7)", "7", ""},
    {"sys.exit(3)", "3", ""},
    {"sys.exit()", "0", ""},
    {"sys.exit('last words')", "1", "last words"},
    {"raise KeyError('in the child')", "1", "KeyError: 'in the child'"},
    {"return [b'x']", "0", ""},
    {"start_response('200 OK', []); return iter([b'x'])", "0", ""},
    {"print('from the child', end=''); sys.exit(0)", "0", "from the child"},
    {"print('errors', file=environ['wsgi.errors']); os._exit(0)", "0", "errors"},
    {"environ['wsgi.input'].read()", "1", "RuntimeError: a forked process used the request"},
    {"start_response('200 OK', [])(b'x')", "1", "RuntimeError: a forked process used the request"},
    {"os.kill(os.getpid(), signal.SIGTERM)", "-15", ""},
    {"sys.exit(int(signal.getsignal(signal.SIGTERM)) + len(signal.pthread_sigmask(0, [])))", "0",
     ""},
    {"signal.signal(signal.SIGTERM, lambda *a: os._exit(9)); "
     "signal.raise_signal(signal.SIGTERM)",
     "9", ""},
    {"sys.exit(threading.current_thread() is not threading.main_thread())", "0", ""},
    {"import multiprocessing.util; sys.exit(5)", "5", ""},
};

/* compat: PROC-fork PROC-fork-embedded SIGNAL-forked */
static void test_children(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++) {
        fake_exchange_t fake;
        char source[1024], format[] = FORKING("%s");
        snprintf(source, sizeof(source), format, children[i][0]);
        site_request(&fake, source);
        fake_exchange_body(&fake, "body", 4);
        assert_int_equal(site_serve(&fake), WSGI_OK);
        assert_int_equal(fake.finish_count, 1);
        assert_string_equal(fake_exchange_sent(&fake), children[i][1]);
        assert_contains(read_log(), children[i][2]);
        assert_lacks(read_log(), "atexit of the parent");
        assert_lacks(fake_exchange_log(&fake), "child");
        fake_exchange_free(&fake);
        clear_log(NULL);
    }
}

/* In the middle of an answer, at import, in close(). */
static void test_other_places(void **state)
{
    static const char *const sources[] = {
        "import os\n" APP OK "    yield b'begun '\n    pid = os.fork()\n"
        "    yield b'by the parent' if pid else b'by the child'\n"
        "    os.waitpid(pid, 0)\n",
        "import os\npid = os.fork()\nif pid == 0: raise RuntimeError('child')\n"
        "os.waitpid(pid, 0)\n" APP OK "    return [b'begun by the parent']\n",
        "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n" APP OK
        "    return [b'begun by the parent']\n",
        "import os\nclass Body:\n    def __iter__(self): return iter([b'begun by the parent'])\n"
        "    def close(self):\n        pid = os.fork()\n        if pid: os.waitpid(pid, 0)\n" APP OK
        "    return Body()\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        fake_exchange_t fake;
        assert_string_equal(site_answer(&fake, sources[i]), "begun by the parent");
        fake_exchange_free(&fake);
    }
}

/* httpd's threads block signals, and its handlers would end the child as one of httpd's. */
static void end_as_httpd(int number)
{
    (void)number;
    _exit(99);
}

/* compat: PROC-fork-embedded */
static void test_signals_of_the_server_stay_behind(void **state)
{
    fake_exchange_t fake;
    sigset_t all, before;
    (void)state;
    sigfillset(&all);
    signal(SIGTERM, end_as_httpd);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const char *status = site_answer(&fake, FORKING("signal.raise_signal(signal.SIGTERM)"));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    signal(SIGTERM, SIG_DFL);
    assert_string_equal(status, "-15");
    fake_exchange_free(&fake);
}

static void test_multiprocessing(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(
        site_answer(&fake, "import multiprocessing, os\n"
                           "def work(queue): queue.put(os.getpid()); raise SystemExit(4)\n" APP OK
                           "    context = multiprocessing.get_context('fork')\n"
                           "    queue = context.SimpleQueue()\n"
                           "    process = context.Process(target=work, args=(queue,))\n"
                           "    process.start(); process.join()\n"
                           "    return [repr((queue.get() == process.pid,"
                           " process.exitcode)).encode()]\n"),
        "(True, 4)");
    fake_exchange_free(&fake);
}

static void test_terminating_a_process_of_multiprocessing(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake,
                                    "import multiprocessing, time\n" APP OK
                                    "    process = multiprocessing.get_context('fork').Process("
                                    "target=time.sleep, args=(60,))\n"
                                    "    process.start(); process.terminate(); process.join()\n"
                                    "    return [str(process.exitcode).encode()]\n"),
                        "-15");
    fake_exchange_free(&fake);
}

static void test_subprocess_in_every_interpreter(void **state)
{
    static const char *const names[] = {"", "sub"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_exchange_t fake;
        site_request(&fake, "import subprocess\n" APP OK
                            "    return [subprocess.check_output(['echo', 'out'])]\n");
        assert_int_equal(site_serve_in(&fake, names[i]), WSGI_OK);
        assert_string_equal(fake_exchange_sent(&fake), "out\n");
        fake_exchange_free(&fake);
    }
}

/* CPython ends the child of a sub-interpreter; the parent goes on. From here on forks in the main
 * interpreter may hang in the child: CPython deletes the other interpreters there. */
static void test_a_fork_in_a_sub_interpreter(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake,
                 "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n" FORKING(
                     "os._exit(0)"));
    assert_int_equal(site_serve_in(&fake, "sub"), WSGI_OK);
    assert_int_equal(fake.outcome, WSGI_DONE);
    fake_exchange_free(&fake);
}

static void test_threads_may_fork(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(
        site_answer(&fake, "import os, threading\nstatuses = []\n"
                           "def fork():\n    pid = os.fork()\n    if pid == 0: os._exit(6)\n"
                           "    statuses.append(os.waitpid(pid, 0)[1] >> 8)\n" APP OK
                           "    thread = threading.Thread(target=fork)\n"
                           "    thread.start(); thread.join()\n"
                           "    return [repr(statuses).encode()]\n"),
        "[6]");
    fake_exchange_free(&fake);
}

/* A child that leaves by exit() in C runs what httpd registered, hence wsgi_runtime_stop(). */
static void test_the_end_of_the_runtime_is_the_parents(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, "import atexit\natexit.register(print, 'ended')\n" APP OK
                                           "    return [b'x']\n"),
                        "x");
    fake_exchange_free(&fake);
    clear_log(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        wsgi_runtime_stop();
        _exit(wsgi_runtime_is_started() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(read_log(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_children, clear_log),
        cmocka_unit_test(test_other_places),
        cmocka_unit_test(test_signals_of_the_server_stay_behind),
        cmocka_unit_test(test_multiprocessing),
        cmocka_unit_test(test_terminating_a_process_of_multiprocessing),
        cmocka_unit_test(test_threads_may_fork),
        cmocka_unit_test(test_the_end_of_the_runtime_is_the_parents),
        cmocka_unit_test(test_subprocess_in_every_interpreter),
        cmocka_unit_test(test_a_fork_in_a_sub_interpreter),
    };
    return cmocka_run_group_tests(tests, start, site_stop);
}
