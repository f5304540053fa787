/* tests/unit/daemon/test_watchdog.c — the watchdog's threads: what they tell, and that a silent
 * interpreter does not hold them up. The rules themselves are in test_watch.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

#include "log_lines.h"
#include "process.h"
#include "threads.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_US 20000000 /* of what must happen */

static struct {
    int event_read, event_write;
    wsgi_journal_t *journal;
    wsgi_flights_t flights;
    wsgi_group_settings_t group;
    wsgi_watchdog_t *watchdog;

    /* the runtime */
    _Atomic unsigned probes, interrupts, stacks, thread_ends;
    _Atomic bool is_silent, was_wanted;
    char described[128];
} t;

bool wsgi_runtime_has_application(void)
{
    return false;
}

void wsgi_runtime_thread_end(void)
{
    t.thread_ends++;
}

void wsgi_runtime_probe(void)
{
    t.probes++;
    while (t.is_silent) {
        usleep(1000);
    }
}

bool wsgi_runtime_interrupt(wsgi_interp_t *interp, uint64_t thread, bool (*is_wanted)(void *baton),
                            void *baton)
{
    (void)interp, (void)thread;
    t.was_wanted = is_wanted(baton);
    t.interrupts++;
    return true;
}

void wsgi_runtime_log_stacks(void (*describe)(void *baton, uint64_t thread, char *out, size_t room),
                             void *baton)
{
    describe(baton, (uint64_t)pthread_self(), t.described, sizeof(t.described));
    t.stacks++;
}

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        const int64_t deadline_us = wsgi_now_us() + LIMIT_US;                                      \
        while (!(condition)) {                                                                     \
            assert_true(wsgi_now_us() < deadline_us);                                              \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

static int set_up(void **state)
{
    int events[2];

    (void)state;
    memset(&t, 0, sizeof(t));
    if (pipe2(events, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    t.event_read = events[0];
    t.event_write = events[1];
    t.journal = wsgi_journal_open();
    t.group = (wsgi_group_settings_t){.name = "group", .threads = 1, .graceful_timeout_s = 3600};
    log_lines_begin();
    return wsgi_flights_init(&t.flights, 2, t.journal);
}

static void start(void)
{
    const wsgi_watchdog_settings_t settings = {
        .group = &t.group,
        .flights = &t.flights,
        .journal = t.journal,
        .event_fd = t.event_write,
    };
    wsgi_result_t result = {0};

    t.watchdog = wsgi_watchdog_start(&settings, &result);
    assert_non_null(t.watchdog);
}

static int tear_down(void **state)
{
    (void)state;
    t.is_silent = false;
    wsgi_watchdog_stop(t.watchdog);
    wsgi_watchdog_free(t.watchdog);
    wsgi_flights_free(&t.flights);
    wsgi_journal_close(t.journal);
    wsgi_fd_close(&t.event_read);
    wsgi_fd_close(&t.event_write);
    return 0;
}

static void expect_event(enum wsgi_worker_event event)
{
    struct pollfd pollfd = {.fd = t.event_read, .events = POLLIN};
    unsigned char byte;

    assert_int_equal(poll(&pollfd, 1, LIMIT_US / 1000), 1);
    assert_int_equal(read(t.event_read, &byte, 1), 1);
    assert_int_equal(byte, event);
}

static bool has_event(void)
{
    struct pollfd pollfd = {.fd = t.event_read, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

static wsgi_interp_t *const an_interpreter = (wsgi_interp_t *)&t;

static int begin_request(void)
{
    const wsgi_request_t request = {.log_id = WSGI_LITERAL("ID")};

    return wsgi_flights_begin(&t.flights, &request);
}

static void test_maximum_requests_then_idle(void **state)
{
    (void)state;
    t.group.maximum_requests = 2;
    start();
    wsgi_flights_end(&t.flights, begin_request(), true);
    assert_false(has_event());
    const int running = begin_request();
    wsgi_flights_end(&t.flights, begin_request(), true);
    expect_event(WSGI_EVENT_LEAVE);
    assert_int_equal(wsgi_journal_reason(t.journal), WSGI_REASON_MAXIMUM_REQUESTS);
    wsgi_watchdog_release(t.watchdog);
    wsgi_flights_end(&t.flights, running, true);
    expect_event(WSGI_EVENT_END);
    assert_false(has_event());
}

static void test_the_first_reason_is_told_once(void **state)
{
    (void)state;
    start();
    wsgi_watchdog_mark(t.watchdog, WSGI_REASON_GRACEFUL_SIGNAL);
    wsgi_watchdog_mark(t.watchdog, WSGI_REASON_CPU_TIME_LIMIT);
    expect_event(WSGI_EVENT_LEAVE);
    assert_false(has_event());
    assert_string_equal(log_lines, "<6> [group] is to be replaced: graceful_signal\n");
}

static void test_no_patience(void **state)
{
    (void)state;
    t.group.graceful_timeout_s = 0;
    start();
    begin_request();
    wsgi_watchdog_release(t.watchdog);
    expect_event(WSGI_EVENT_END);
}

static void test_a_failed_load(void **state)
{
    (void)state;
    start();
    wsgi_flights_spoil(&t.flights);
    expect_event(WSGI_EVENT_LEAVE);
    assert_int_equal(wsgi_journal_reason(t.journal), WSGI_REASON_LOAD_FAILURE);
}

static void test_a_stuck_request(void **state)
{
    (void)state;
    t.group.request_timeout_s = 1;
    start();
    begin_request();
    expect_event(WSGI_EVENT_LEAVE);
    assert_int_equal(wsgi_journal_reason(t.journal), WSGI_REASON_REQUEST_TIMEOUT);
    WAIT_UNTIL(t.stacks == 1);
    assert_string_equal(t.described, "idle, or not ours");
    assert_true(is_logged("<4> WSGI1413: [group]"));
    assert_true(is_logged("running: \"- -\" (request ID)"));
    wsgi_watchdog_release(t.watchdog); /* nobody waits for it */
    expect_event(WSGI_EVENT_END);
}

static void test_an_interrupted_request(void **state)
{
    (void)state;
    t.group.request_timeout_s = 1;
    t.group.interrupt_timeout_s = 3600;
    start();
    const int index = begin_request();
    wsgi_flights_enter(&t.flights, index, an_interpreter);
    WAIT_UNTIL(t.interrupts == 1);
    assert_true(t.was_wanted);
    assert_true(is_logged("<4> WSGI1414: [group] \"- -\" (request ID)"));
    wsgi_flights_end(&t.flights, index, true);
    assert_false(has_event());
}

/* There is nothing to raise it in; the rule that comes behind it holds all the same. */
static void test_a_request_whose_interpreter_is_being_made(void **state)
{
    (void)state;
    t.group.request_timeout_s = 1;
    t.group.interrupt_timeout_s = 1;
    start();
    begin_request();
    expect_event(WSGI_EVENT_LEAVE);
    assert_int_equal(wsgi_journal_reason(t.journal), WSGI_REASON_REQUEST_TIMEOUT);
    assert_true(is_logged("<6> [group] \"- -\" (request ID) cannot be interrupted"));
    assert_false(is_logged("WSGI1414"));
    assert_int_equal(t.interrupts, 0);
}

static void test_probes(void **state)
{
    (void)state;
    t.group.deadlock_timeout_s = 300;
    start();
    WAIT_UNTIL(t.probes == 1);
    WAIT_UNTIL(t.probes == 2); /* again, since the first came back */
    assert_false(has_event());
}

/* The watchdog itself goes on. */
static void test_a_silent_interpreter_does_not_hold_it_up(void **state)
{
    (void)state;
    t.is_silent = true;
    t.group.deadlock_timeout_s = 300;
    t.group.maximum_requests = 1;
    start();
    WAIT_UNTIL(t.probes == 1);
    wsgi_flights_end(&t.flights, begin_request(), true);
    expect_event(WSGI_EVENT_LEAVE);
}

static void test_deadlock_kills(void **state)
{
    const pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        t.is_silent = true;
        t.group.deadlock_timeout_s = 1;
        start();
        pause();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(wsgi_journal_reason(t.journal), WSGI_REASON_DEADLOCK_TIMEOUT);
    assert_true(t.journal->is_killing_itself);
    start(); /* for the tear-down */
}

/* Whether it is gone, or the number is that of another file now. */
static void expect_end_with_wake_fd(int replacement)
{
    int status;

    t.journal->reason = WSGI_REASON_NONE; /* the rule makes it look again */
    const pid_t pid = fork();

    if (pid == 0) {
        alarm(20);
        t.group.restart_interval_s = 1;
        start();
        if (replacement >= 0) {
            dup2(replacement, t.flights.wake_fd);
        }
        else {
            close(t.flights.wake_fd);
        }
        pause();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WSGI_EXIT_DESCRIPTORS);
}

static void test_a_closed_descriptor_ends_the_worker(void **state)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    expect_end_with_wake_fd(-1);
    expect_end_with_wake_fd(null_fd);
    wsgi_fd_close(&null_fd);
    start(); /* for the tear-down */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_maximum_requests_then_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_first_reason_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_patience, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_load, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stuck_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_interrupted_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_whose_interpreter_is_being_made, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_probes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_silent_interpreter_does_not_hold_it_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_deadlock_kills, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_closed_descriptor_ends_the_worker, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
