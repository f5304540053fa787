/* tests/unit/daemon/test_death.c — how a worker ended: real ends of real processes, and what can only
 * be described.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "death.h"

#include "process.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void end_by_exit(int status)
{
    _exit(status);
}

static void end_by_signal(int number)
{
    const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    signal(number, SIG_DFL);
    kill(getpid(), number);
}

static void end_by_cpu_limit(int number)
{
    const struct rlimit limit = {1, 1};

    (void)number;
    setrlimit(RLIMIT_CPU, &limit);
    for (volatile unsigned i = 0;; i++) {
        continue;
    }
}

static wsgi_death_t die(void (*end)(int), int argument)
{
    int64_t oom_kills = wsgi_death_oom_kills();
    wsgi_death_t death = {0};
    const pid_t pid = fork();

    if (pid == 0) {
        end(argument);
        _exit(99);
    }
    assert_true(pid > 0);
    while (!wsgi_death_collect(&death, &oom_kills)) {
        usleep(1000);
    }
    assert_int_equal(death.pid, pid);
    assert_false(wsgi_death_collect(&death, &oom_kills));
    return death;
}

static void expect(const wsgi_death_t *death, enum wsgi_ending ending, enum wsgi_reason reason,
                   const char *text)
{
    char got[240];

    wsgi_death_describe(death, got, sizeof(got));
    assert_string_equal(got, text);
    assert_int_equal(wsgi_death_ending(death), ending);
    assert_int_equal(wsgi_death_reason(death), reason);
}

static void test_exits(void **state)
{
    wsgi_death_t death = die(end_by_exit, WSGI_EXIT_UNABLE);

    (void)state;
    expect(&death, WSGI_ENDED_UNABLE, WSGI_REASON_START_FAILURE, "could not start");
    death = die(end_by_exit, 3);
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_EXIT, "exited with status 3");
    death = die(end_by_exit, WSGI_EXIT_OK);
    expect(&death, WSGI_ENDED_IN_ORDER, WSGI_REASON_EXIT, "ended in order");
    death.reason = WSGI_REASON_RESTART_INTERVAL;
    expect(&death, WSGI_ENDED_IN_ORDER, WSGI_REASON_RESTART_INTERVAL,
           "ended in order: restart_interval");
    death = die(end_by_exit, WSGI_EXIT_DESCRIPTORS);
    death.reason = WSGI_REASON_DESCRIPTORS;
    death.was_serving = true;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_DESCRIPTORS,
           "ended by itself: the application had closed its descriptors");
    death = die(end_by_exit, WSGI_EXIT_OK);
    death.was_starting = true; /* an import that calls os._exit(0) */
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_EXIT, "exited with status 0");
}

static void test_signals(void **state)
{
    wsgi_death_t death = die(end_by_signal, SIGSEGV);

    (void)state;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SIGNAL, "was ended by signal 11 (SIGSEGV)");
    death = die(end_by_signal, SIGXFSZ);
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SIGNAL,
           "was ended by signal 25 (SIGXFSZ), resource limit of file size");
    death = die(end_by_signal, SIGXCPU);
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_CPU_TIME_LIMIT,
           "was ended by signal 24 (SIGXCPU), resource limit of CPU time");
    death = die(end_by_signal, SIGRTMIN + 1);
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SIGNAL, "was ended by signal 35 (real-time)");
    death.status |= 0x80;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SIGNAL,
           "was ended by signal 35 (real-time), with a core file");
}

static void test_who_sent_sigkill(void **state)
{
    wsgi_death_t death = die(end_by_signal, SIGKILL);

    (void)state;
    death.is_out_of_memory = false; /* this machine may be short of it just now */
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SIGNAL,
           "was ended by signal 9 (SIGKILL), from outside");
    death.is_out_of_memory = true;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_MEMORY,
           "was ended by signal 9 (SIGKILL), by the kernel for lack of memory (oom_kill of the "
           "control group has risen)");
    death.was_killed = true;
    death.reason = WSGI_REASON_SHUTDOWN_SIGNAL;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_SHUTDOWN_SIGNAL,
           "was ended by signal 9 (SIGKILL), as it did not end within shutdown-timeout");
    death.is_by_itself = true;
    death.reason = WSGI_REASON_DEADLOCK_TIMEOUT;
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_DEADLOCK_TIMEOUT,
           "was ended by signal 9 (SIGKILL), by itself: no thread could have the Python "
           "interpreter within deadlock-timeout");
}

static void test_the_hard_limit_of_cpu_time(void **state)
{
    const wsgi_death_t death = die(end_by_cpu_limit, 0);

    (void)state;
    assert_int_equal(death.cpu_limit_us, 1000000);
    expect(&death, WSGI_ENDED_BADLY, WSGI_REASON_CPU_TIME_LIMIT,
           "was ended by signal 9 (SIGKILL), by the kernel: resource limit of CPU time "
           "(cpu-time-limit)");
}

static void test_nobody_has_ended(void **state)
{
    int64_t oom_kills = -1;
    wsgi_death_t death;

    (void)state;
    assert_false(wsgi_death_collect(&death, &oom_kills));
}

static void test_the_kernels_account_of_memory(void **state)
{
    char path[64];

    (void)state;
    assert_int_equal(wsgi_death_parse_events("low 0\nhigh 3\nmax 7\noom 2\noom_kill 5\n"), 5);
    assert_int_equal(wsgi_death_parse_events("oom_kill 12\n"), 12);
    assert_int_equal(wsgi_death_parse_events("oom_group_kill 3\n"), -1);
    assert_int_equal(wsgi_death_parse_events(""), -1);

    assert_true(wsgi_death_parse_cgroup("0::/a.slice/b\n", path, sizeof(path)));
    assert_string_equal(path, "/sys/fs/cgroup/a.slice/b/memory.events");
    assert_true(wsgi_death_parse_cgroup("4:memory:/x\n0::/\n", path, sizeof(path)));
    assert_string_equal(path, "/sys/fs/cgroup//memory.events");
    assert_false(wsgi_death_parse_cgroup("4:memory:/x\n", path, sizeof(path)));
    assert_false(wsgi_death_parse_cgroup("0::\n", path, sizeof(path)));
    assert_false(wsgi_death_parse_cgroup("0::/a.slice/b\n", path, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exits),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_who_sent_sigkill),
        cmocka_unit_test(test_the_hard_limit_of_cpu_time),
        cmocka_unit_test(test_nobody_has_ended),
        cmocka_unit_test(test_the_kernels_account_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
