/* tests/unit/daemon/test_process.c — signals, descriptors and the parent of a fresh process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "in_child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

static bool is_without_close_range, is_without_proc;

int __real_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags)
{
    if (is_without_close_range) {
        errno = ENOSYS;
        return -1;
    }
    return __real_close_range(first, last, flags);
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path)
{
    if (is_without_proc) {
        errno = ENOENT;
        return NULL;
    }
    return __real_opendir(path);
}

static int set_up(void **state)
{
    (void)state;
    is_without_close_range = is_without_proc = false;
    return 0;
}

/* Signals. */

typedef struct signals {
    int others, errors; /* not at their default; not known at all */
    bool is_pipe_ignored, is_write_refused;
    int blocked;
} signals_t;

static void on_signal(int number)
{
    (void)number;
}

static void spoil_signals(void)
{
    sigset_t all;

    for (int number = 1; number <= SIGRTMAX; number++) {
        signal(number, number % 2 ? SIG_IGN : on_signal);
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static void find_signals(void *found)
{
    signals_t *signals = found;
    struct sigaction action;
    sigset_t mask;
    int fds[2];

    spoil_signals();
    wsgi_signals_reset();
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number <= SIGRTMAX; number++) {
        const bool is_known = sigaction(number, NULL, &action) == 0;
        signals->errors += !is_known;
        signals->others += is_known && number != SIGPIPE && action.sa_handler != SIG_DFL;
        signals->blocked += sigismember(&mask, number) == 1;
    }
    sigaction(SIGPIPE, NULL, &action);
    signals->is_pipe_ignored = action.sa_handler == SIG_IGN;
    if (pipe(fds) == 0) {
        close(fds[0]);
        signals->is_write_refused = write(fds[1], "x", 1) == -1 && errno == EPIPE;
    }
}

/* A worker sets its handlers in between: a signal that comes early must wait for them. */
static void find_steps(void *found)
{
    signals_t *signals = found;
    sigset_t mask;

    spoil_signals();
    wsgi_signals_forget_handlers();
    raise(SIGUSR1);
    sigpending(&mask);
    signals->blocked = sigismember(&mask, SIGUSR1) == 1;
    signal(SIGUSR1, SIG_IGN);
    wsgi_signals_unblock();
    sigprocmask(SIG_SETMASK, NULL, &mask);
    signals->others = sigismember(&mask, SIGUSR1) == 1;
}

static void test_signals_wait_for_handlers(void **state)
{
    signals_t *found = run_in_child(find_steps);

    (void)state;
    assert_int_equal(found->blocked, 1);
    assert_int_equal(found->others, 0);
    forget_found(found);
}

static void test_signals_are_reset(void **state)
{
    signals_t *found = run_in_child(find_signals);

    (void)state;
    assert_int_equal(found->others, 0);
    assert_int_equal(found->errors, 2); /* the C library keeps 32 and 33 to itself */
    assert_int_equal(found->blocked, 0);
    assert_true(found->is_pipe_ignored);
    assert_true(found->is_write_refused);
    forget_found(found);
}

/* Descriptors. */

enum { FIRST = 20 };

typedef struct closing {
    int code, below_open, from_open;
    wsgi_result_t result;
} closing_t;

static const int from_first[] = {FIRST, FIRST + 1, FIRST + 7, 500};

static void open_some(void)
{
    const int fd = open("/dev/null", O_RDONLY);

    dup2(fd, FIRST - 2);
    dup2(fd, FIRST - 1);
    for (size_t i = 0; i < sizeof(from_first) / sizeof(from_first[0]); i++) {
        dup2(fd, from_first[i]);
    }
}

static void find_closing(void *found)
{
    closing_t *closing = found;

    open_some();
    closing->code = wsgi_process_close_from(FIRST, &closing->result);
    closing->below_open = (fcntl(FIRST - 2, F_GETFD) >= 0) + (fcntl(FIRST - 1, F_GETFD) >= 0);
    for (size_t i = 0; i < sizeof(from_first) / sizeof(from_first[0]); i++) {
        closing->from_open += fcntl(from_first[i], F_GETFD) >= 0;
    }
}

static void expect_all_closed(void)
{
    closing_t *found = run_in_child(find_closing);

    assert_int_equal(found->code, WSGI_OK);
    assert_int_equal(found->below_open, 2);
    assert_int_equal(found->from_open, 0);
    forget_found(found);
}

static void test_close_from(void **state)
{
    (void)state;
    is_without_proc = true; /* not needed */
    expect_all_closed();
}

static void test_close_from_on_an_older_kernel(void **state)
{
    (void)state;
    is_without_close_range = true;
    expect_all_closed();
}

static void test_close_from_without_any_means(void **state)
{
    (void)state;
    is_without_close_range = is_without_proc = true;
    closing_t *found = run_in_child(find_closing);
    assert_int_equal(found->code, WSGI_E_IO);
    assert_non_null(strstr(found->result.detail, "No such file or directory"));
    assert_non_null(strstr(found->result.detail, "mount /proc"));
    assert_int_equal(found->from_open, 4);
    forget_found(found);
}

/* The parent. */

typedef struct following {
    bool is_parent, is_other;
    int number;
} following_t;

static void find_following(void *found)
{
    following_t *following = found;

    following->is_parent = wsgi_process_follow_parent(getppid());
    prctl(PR_GET_PDEATHSIG, &following->number);
    following->is_other = wsgi_process_follow_parent((int64_t)getppid() + 1);
}

static void test_the_parent_is_known(void **state)
{
    following_t *found = run_in_child(find_following);

    (void)state;
    assert_true(found->is_parent);
    assert_false(found->is_other); /* it has died before */
    assert_int_equal(found->number, SIGTERM);
    forget_found(found);
}

static int pair[2];

/* Leaves a child that waits for ever, unless it hears of our end. */
static void leave_a_follower(void *found)
{
    const pid_t self = getpid();
    char byte;

    (void)found;
    if (fork() == 0) {
        const char is_followed = (char)wsgi_process_follow_parent(self);

        close(pair[0]);
        if (write(pair[1], &is_followed, 1) == 1) {
            alarm(30);
            pause();
        }
        _exit(1);
    }
    close(pair[1]);
    if (read(pair[0], &byte, 1) != 1 || byte != 1) {
        _exit(1);
    }
}

static void test_the_parents_end_is_heard(void **state)
{
    struct pollfd end = {.events = POLLIN};

    (void)state;
    assert_int_equal(pipe(pair), 0);
    forget_found(run_in_child(leave_a_follower));
    close(pair[1]);
    end.fd = pair[0];
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_true(end.revents & POLLHUP);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_signals_are_reset, set_up),
        cmocka_unit_test_setup(test_signals_wait_for_handlers, set_up),
        cmocka_unit_test_setup(test_close_from, set_up),
        cmocka_unit_test_setup(test_close_from_on_an_older_kernel, set_up),
        cmocka_unit_test_setup(test_close_from_without_any_means, set_up),
        cmocka_unit_test_setup(test_the_parent_is_known, set_up),
        cmocka_unit_test_setup(test_the_parents_end_is_heard, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
