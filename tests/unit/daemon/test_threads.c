/* tests/unit/daemon/test_threads.c — the threads of a worker: made as needed, fed from the
 * rendezvous, ended in order, forgotten in a fork.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "daemon/threads.c"

#include "caller.h"
#include "flights.h"
#include "log_lines.h"
#include "process.h"
#include "wsgi_gateway.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LIMIT_US 20000000 /* of what must happen */
#define CALM_US  50000    /* time given to what must not */

enum { MAX_CALLERS = 8 };

static struct {
    int callers_end, event_read;
    wsgi_worker_row_t *row; /* shared with forks, as the counters are */
    wsgi_connection_settings_t connection;
    wsgi_threads_settings_t settings;
    wsgi_threads_t *threads;
    int callers[MAX_CALLERS];
    unsigned caller_count;

    /* the gateway */
    int (*_Atomic application)(wsgi_exchange_t *ex);
    _Atomic unsigned running, served, thread_ends;
    _Atomic bool is_released;

    /* system calls */
    _Atomic int threads_left; /* that can be created; -1 = no limit */
    bool is_out_of_memory;
} t;

int __real_pthread_create(pthread_t *handle, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data);
int __wrap_pthread_create(pthread_t *handle, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *data)
{
    if (t.threads_left == 0) {
        return EAGAIN;
    }
    t.threads_left -= t.threads_left > 0;
    return __real_pthread_create(handle, attributes, run, data);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return t.is_out_of_memory ? NULL : __real_calloc(count, size);
}

/* --- the gateway: runs on the pool's threads, where cmocka cannot fail a test ------------------- */

struct wsgi_interp {
    int unused;
};

wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result)
{
    static wsgi_interp_t interp;

    (void)name, (void)is_open_name, (void)result;
    return &interp;
}

void wsgi_runtime_thread_end(void)
{
    t.thread_ends++;
}

int wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex, enum wsgi_reload_mode mode)
{
    (void)interp, (void)mode;
    int (*application)(wsgi_exchange_t *) = atomic_load(&t.application);

    t.running++;
    const int status = application(ex);
    t.running--;
    t.served++;
    return status;
}

static int answer(wsgi_exchange_t *ex)
{
    static const wsgi_head_t head = {200, {"OK", 2}, NULL, 0};

    ex->verbs->send_head(ex, &head);
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}
#define ANSWER HELLO " HEAD(200 OK) END."

static int answer_when_released(wsgi_exchange_t *ex)
{
    while (!t.is_released) {
        usleep(500);
    }
    return answer(ex);
}

static int decline(wsgi_exchange_t *ex)
{
    (void)ex;
    return WSGI_E_DECLINED;
}

/* --- the bench ------------------------------------------------------------------------------- */

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
    int rendezvous[2], events[2];

    (void)state;
    memset(&t, 0, sizeof(t));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rendezvous), 0);
    assert_int_equal(pipe2(events, O_CLOEXEC | O_NONBLOCK), 0);
    t.row = mmap(NULL, sizeof(*t.row), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t.row != MAP_FAILED);
    t.row->generation = usual_hello.generation;
    t.callers_end = rendezvous[0];
    t.event_read = events[0];
    t.connection = (wsgi_connection_settings_t){
        .group = "group",
        .row = t.row,
        .hello = usual_hello,
        .socket_timeout_us = LIMIT_US,
    };
    t.settings = (wsgi_threads_settings_t){
        .max_threads = 3,
        .rendezvous_fd = rendezvous[1],
        .event_fd = events[1],
        .connection = &t.connection,
    };
    t.application = answer;
    t.threads_left = -1;
    log_lines_begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    t.is_released = true;
    if (t.threads != NULL) {
        wsgi_threads_stop(t.threads);
        wsgi_threads_free(t.threads);
    }
    for (unsigned i = 0; i < t.caller_count; i++) {
        wsgi_fd_close(&t.callers[i]);
    }
    wsgi_fd_close(&t.callers_end);
    wsgi_fd_close(&t.settings.rendezvous_fd);
    wsgi_fd_close(&t.settings.event_fd);
    wsgi_fd_close(&t.event_read);
    munmap(t.row, sizeof(*t.row));
    return 0;
}

static void open_threads(void)
{
    wsgi_result_t result = {0};

    t.threads = wsgi_threads_open(&t.settings, &result);
    if (t.threads == NULL) {
        fail_msg("%s", result.detail);
    }
}

static void stop_threads(void)
{
    wsgi_threads_stop(t.threads);
    wsgi_threads_free(t.threads);
    t.threads = NULL;
}

static void pass_descriptors(const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec piece = {(char[]){0}, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(t.callers_end, &message, MSG_NOSIGNAL), 1);
}

/* A caller with its request written; its end of the pair, and the other in *far. */
static int a_caller(int *far)
{
    const wsgi_request_t request = request_with_body(100);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    put_request(pair[0], 0, &request);
    *far = pair[1];
    assert_true(t.caller_count < MAX_CALLERS);
    t.callers[t.caller_count++] = pair[0];
    return pair[0];
}

static int call(void)
{
    int far, fd = a_caller(&far);

    pass_descriptors(&far, 1);
    wsgi_fd_close(&far);
    return fd;
}

static bool is_silent(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return poll(&pollfd, 1, CALM_US / 1000) == 0;
}

static void expect_answer(int fd, const char *text)
{
    transcript_t got = {0};

    collect(&got, fd);
    assert_string_equal(describe(&got), text);
    forget(&got);
}

static void expect_event(int event)
{
    struct pollfd pollfd = {.fd = t.event_read, .events = POLLIN};
    unsigned char byte;

    assert_int_equal(poll(&pollfd, 1, LIMIT_US / 1000), 1);
    assert_int_equal(read(t.event_read, &byte, 1), 1);
    assert_int_equal(byte, event);
}

/* Is a caller still at the rendezvous, for another worker to take? */
static bool is_caller_waiting(void)
{
    struct pollfd pollfd = {.fd = t.settings.rendezvous_fd, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLIN) != 0;
}

/* --- as many as needed ----------------------------------------------------------------------- */

static void test_threads_are_made_as_needed(void **state)
{
    int fds[4];

    (void)state;
    open_threads();
    t.application = answer_when_released;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(t.threads->count, i + 1);
        fds[i] = call();
        WAIT_UNTIL(t.running == i + 1);
        WAIT_UNTIL(t.threads->count == (i < 2 ? i + 2 : 3));
    }
    fds[3] = call(); /* no thread is left for it */
    assert_true(is_silent(fds[3]));
    assert_int_equal(t.threads->count, 3);
    assert_int_equal(t.running, 3);
    assert_int_equal(t.row->busy, 3);
    t.is_released = true;
    for (unsigned i = 0; i < 4; i++) {
        expect_answer(fds[i], ANSWER);
    }
    assert_int_equal(t.row->busy, 0);
    assert_int_equal(t.threads->count, 3);
}

static void test_an_idle_thread_is_used_again(void **state)
{
    (void)state;
    t.settings.max_threads = 10;
    open_threads();
    for (unsigned i = 0; i < MAX_CALLERS; i++) {
        expect_answer(call(), ANSWER);
        WAIT_UNTIL(t.threads->idle == 2);
    }
    assert_int_equal(t.threads->count, 2); /* one that serves, one that waits */
}

static void test_one_thread_serves_all(void **state)
{
    int fds[3];

    (void)state;
    t.settings.max_threads = 1;
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = call();
    }
    open_threads();
    for (unsigned i = 0; i < 3; i++) {
        expect_answer(fds[i], ANSWER);
    }
    assert_int_equal(t.threads->count, 1);
}

static char name_seen[16];
static int descriptor_flags;

static int look_at_thread(wsgi_exchange_t *ex)
{
    pthread_getname_np(pthread_self(), name_seen, sizeof(name_seen));
    descriptor_flags = fcntl(ex->body_fd, F_GETFD);
    return answer(ex);
}

static void test_a_thread_has_a_name_and_keeps_descriptors_from_programs(void **state)
{
    (void)state;
    t.settings.max_threads = 1;
    t.application = look_at_thread;
    open_threads();
    expect_answer(call(), ANSWER);
    stop_threads();
    assert_string_equal(name_seen, "wsgi:1");
    assert_int_equal(descriptor_flags, FD_CLOEXEC);
}

static void test_threads_that_cannot_be_made(void **state)
{
    int fds[3];

    (void)state;
    t.threads_left = 2;
    t.application = answer_when_released;
    open_threads();
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = call();
    }
    WAIT_UNTIL(is_logged("<4> WSGI1405: [group] goes on with 2 of 3 threads"));
    t.is_released = true;
    for (unsigned i = 0; i < 3; i++) {
        expect_answer(fds[i], ANSWER);
    }
    assert_null(strstr(strstr(log_lines, "WSGI1405") + 1, "WSGI1405")); /* said once */
}

static void expect_not_opened(const char *words)
{
    wsgi_result_t result = {0};

    t.threads = wsgi_threads_open(&t.settings, &result);
    t.is_out_of_memory = false;
    assert_null(t.threads);
    if (strstr(result.detail, words) == NULL) {
        fail_msg("%s", result.detail);
    }
}

static void test_a_pool_that_cannot_be_opened(void **state)
{
    (void)state;
    t.threads_left = 0;
    expect_not_opened("Resource temporarily unavailable");
    t.is_out_of_memory = true;
    expect_not_opened("out of memory");
    wsgi_fd_close(&t.settings.rendezvous_fd);
    expect_not_opened("Bad file descriptor");
}

/* --- descriptors that the application closes --------------------------------------------------- */

static int *descriptor_to_close;

static int close_and_answer(wsgi_exchange_t *ex)
{
    close(*descriptor_to_close);
    return answer(ex);
}

/* How a worker ends whose application closes that one in a request; a second caller may be needed
 * for it to find out. */
static void expect_end_without(int *(*descriptor)(void))
{
    wsgi_flights_t flights;
    wsgi_journal_t *journal = wsgi_journal_open();
    int status;

    assert_int_equal(wsgi_flights_init(&flights, 3, journal), WSGI_OK);
    t.connection.flights = &flights;
    t.application = close_and_answer;
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        open_threads();
        descriptor_to_close = descriptor();
        expect_answer(call(), ANSWER);
        call();
        pause();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WSGI_EXIT_DESCRIPTORS);
    assert_int_equal(wsgi_journal_reason(journal), WSGI_REASON_DESCRIPTORS);
    t.connection.flights = NULL;
    wsgi_flights_free(&flights);
    wsgi_journal_close(journal);
}

static int *epoll_descriptor(void)
{
    return &t.threads->epoll_fd;
}

static int *rendezvous_descriptor(void)
{
    return &t.settings.rendezvous_fd;
}

static void test_closed_descriptors_end_the_worker(void **state)
{
    (void)state;
    expect_end_without(epoll_descriptor);
    expect_end_without(rendezvous_descriptor);
}

/* --- the rendezvous -------------------------------------------------------------------------- */

static void test_the_end_of_callers_is_told_once(void **state)
{
    unsigned char byte;

    (void)state;
    open_threads();
    expect_answer(call(), ANSWER);
    wsgi_fd_close(&t.callers_end);
    expect_event(WSGI_EVENT_CALLERS_GONE);
    assert_true(is_silent(t.event_read));
    assert_int_equal(read(t.event_read, &byte, 1), -1);
}

/* A caller's request stays good when the last of its kind leaves. */
static void test_who_came_before_the_end_is_served(void **state)
{
    (void)state;
    const int fd = call();
    wsgi_fd_close(&t.callers_end);
    open_threads();
    expect_answer(fd, ANSWER);
    expect_event(WSGI_EVENT_CALLERS_GONE);
}

static void test_nobody_waits_for_the_main_thread(void **state)
{
    (void)state;
    while (write(t.settings.event_fd, "x", 1) == 1) {
    }
    open_threads();
    wsgi_fd_close(&t.callers_end);
    usleep(CALM_US);
    stop_threads();
    assert_int_equal(t.thread_ends, 1);
}

static void test_a_message_without_descriptor(void **state)
{
    (void)state;
    open_threads();
    pass_descriptors(NULL, 0);
    WAIT_UNTIL(is_logged("<3> WSGI1406: [group] turned a caller away"));
    expect_answer(call(), ANSWER);
}

static void test_a_second_descriptor_is_closed(void **state)
{
    int fds[2], pipe_fds[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    open_threads();
    const int fd = a_caller(&fds[0]);
    fds[1] = pipe_fds[1];
    pass_descriptors(fds, 2);
    wsgi_fd_close(&fds[0]);
    wsgi_fd_close(&fds[1]);
    expect_answer(fd, ANSWER);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* nobody has the other end */
    wsgi_fd_close(&pipe_fds[0]);
}

static void test_what_is_no_connection(void **state)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    open_threads();
    pass_descriptors(&fd, 1);
    wsgi_fd_close(&fd);
    expect_answer(call(), ANSWER);
    assert_int_equal(t.row->requests, 1);
}

/* --- the end --------------------------------------------------------------------------------- */

/* The caller tries again at once, and must come to another worker. */
static void test_a_changed_script_is_told_and_nobody_taken_after_it(void **state)
{
    (void)state;
    open_threads();
    t.application = decline;
    expect_answer(call(), HELLO " GOAWAY");
    expect_event(WSGI_EVENT_RETIRE);
    t.application = answer;
    assert_true(is_silent(call()));
    assert_int_equal(take(t.threads), -1); /* nor by a thread that was woken before */
    assert_true(is_caller_waiting());
    assert_int_equal(t.served, 1);
}

static void test_stop_ends_idle_threads(void **state)
{
    (void)state;
    open_threads();
    expect_answer(call(), ANSWER);
    WAIT_UNTIL(t.threads->count == 2);
    stop_threads();
    assert_int_equal(t.thread_ends, 2);
    call();
    assert_true(is_caller_waiting());
    assert_string_equal(log_lines, "");
}

static _Atomic bool is_stopped;

static void *stop_aside(void *data)
{
    wsgi_threads_stop(data);
    is_stopped = true;
    return NULL;
}

static void test_stop_waits_for_the_last_request(void **state)
{
    pthread_t stopper;

    (void)state;
    is_stopped = false;
    t.application = answer_when_released;
    open_threads();
    const int running = call();
    WAIT_UNTIL(t.running == 1);
    assert_int_equal(pthread_create(&stopper, NULL, stop_aside, t.threads), 0);
    WAIT_UNTIL(t.threads->is_stopping);
    const int late = call();
    usleep(CALM_US);
    assert_false(is_stopped);
    assert_true(is_silent(late));
    assert_true(is_caller_waiting());
    t.is_released = true;
    expect_answer(running, ANSWER);
    assert_int_equal(pthread_join(stopper, NULL), 0);
    assert_int_equal(t.served, 1);
    assert_int_equal(t.thread_ends, t.threads->count);
    wsgi_threads_free(t.threads);
    t.threads = NULL;
}

/* --- forks of the application ---------------------------------------------------------------- */

static int fork_pipe[2];
static _Atomic int fork_status;
static _Atomic unsigned busy_after_fork;
static _Atomic pid_t fork_pid;

/* The child returns into the pool, as from an os.fork() that nobody looked after. */
static int fork_and_return(wsgi_exchange_t *ex)
{
    const pid_t pid = fork();
    int status;

    if (pid == 0) {
        alarm(30);
        wsgi_threads_forget(t.threads);
        return answer(ex);
    }
    waitpid(pid, &status, 0);
    fork_status = status;
    busy_after_fork = t.row->busy;
    return answer(ex);
}

static void test_a_fork_that_returns_ends(void **state)
{
    (void)state;
    t.settings.max_threads = 1;
    t.application = fork_and_return;
    open_threads();
    expect_answer(call(), ANSWER); /* once */
    assert_true(WIFEXITED(fork_status));
    assert_int_equal(WEXITSTATUS(fork_status), EXIT_FAILURE);
    assert_int_equal(busy_after_fork, 1); /* ours, which was running */
    assert_int_equal(t.row->busy, 0);
    assert_int_equal(t.row->errors, 0);
    assert_int_equal(t.thread_ends, 0);
    t.application = answer;
    expect_answer(call(), ANSWER);
}

/* The child stays, as a subprocess server would. */
static int fork_and_stay(wsgi_exchange_t *ex)
{
    const int fd = ex->body_fd;

    fork_pid = fork();
    if (fork_pid == 0) {
        alarm(30);
        wsgi_threads_forget(t.threads);
        const char is_closed =
            fcntl(fd, F_GETFD) == -1 && t.threads->epoll_fd == -1 && t.threads->wake_fd == -1;
        if (write(fork_pipe[1], &is_closed, 1) == 1) {
            pause();
        }
        _exit(0);
    }
    return answer(ex);
}

/* Else the end of a worker would not be seen as long as what it forked lives. */
static void test_a_fork_that_stays_does_not_hold_connections(void **state)
{
    char is_closed = 0;
    int status;

    (void)state;
    assert_int_equal(pipe2(fork_pipe, O_CLOEXEC), 0);
    t.application = fork_and_stay;
    open_threads();
    const int64_t start_us = wsgi_now_us();
    const int fd = call();
    expect_answer(fd, ANSWER); /* to the end of file */
    assert_true(wsgi_now_us() - start_us < LIMIT_US);
    assert_int_equal(read(fork_pipe[0], &is_closed, 1), 1);
    assert_int_equal(is_closed, 1);
    assert_int_equal(waitpid(fork_pid, &status, WNOHANG), 0); /* it lives */
    kill(fork_pid, SIGKILL);
    assert_int_equal(waitpid(fork_pid, &status, 0), fork_pid);
    wsgi_fd_close(&fork_pipe[0]);
    wsgi_fd_close(&fork_pipe[1]);
}

/* --- kept connections ------------------------------------------------------------------------ */

static void put_next(int fd)
{
    const wsgi_request_t request = usual_request();

    put_request(fd, 0, &request);
}

/* A caller whose connection is kept: without a body there is nothing in the way. */
static int call_and_keep(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(t.caller_count < MAX_CALLERS);
    t.callers[t.caller_count++] = pair[0];
    put_next(pair[0]);
    pass_descriptors(&pair[1], 1);
    wsgi_fd_close(&pair[1]);
    return pair[0];
}

/* Reads to END or to another end. */
static void expect_frames(int fd, const char *text)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    transcript_t got = {0};

    do {
        assert_int_equal(poll(&pollfd, 1, LIMIT_US / 1000), 1);
        assert_true(collect_some(&got, fd, 64 << 10));
    } while (strlen(describe(&got)) < strlen(text));
    assert_string_equal(got.text, text);
    forget(&got);
}

#define KEPT "HEAD(200 OK) END"

static bool is_at_end(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&pollfd, 1, LIMIT_US / 1000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void test_a_connection_is_kept(void **state)
{
    (void)state;
    open_threads();
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    for (unsigned i = 0; i < 50; i++) {
        put_next(fd);
        expect_frames(fd, KEPT);
    }
    assert_int_equal(t.row->leases, 1);
    assert_int_equal(t.row->busy, 0);
    assert_int_equal(t.threads->count, 2);
    shutdown(fd, SHUT_RDWR);
    WAIT_UNTIL(t.row->leases == 0);
}

/* The promise: who has a connection finds a thread, although all but it are busy. */
static void test_a_connection_is_the_promise_of_a_thread(void **state)
{
    int fds[3];

    (void)state;
    open_threads();
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = call_and_keep();
        expect_frames(fds[i], HELLO " " KEPT);
    }
    assert_int_equal(t.row->leases, 3);
    WAIT_UNTIL(t.served == 3);
    t.application = answer_when_released;
    for (unsigned i = 0; i < 3; i++) {
        put_next(fds[i]);
        WAIT_UNTIL(t.running == i + 1);
    }
    const int fd = call_and_keep();
    assert_true(is_silent(fd));
    assert_true(is_caller_waiting());
    t.is_released = true;
    for (unsigned i = 0; i < 3; i++) {
        struct pollfd pollfd = {.fd = fds[i], .events = POLLIN};
        assert_int_equal(poll(&pollfd, 1, LIMIT_US / 1000), 1);
    }
    expect_frames(fd, HELLO " " KEPT);
    assert_int_equal(t.row->leases, 3);
}

static void test_the_longest_idle_gives_way(void **state)
{
    int fds[4];

    (void)state;
    open_threads();
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = call_and_keep();
        expect_frames(fds[i], HELLO " " KEPT);
        usleep(2000);
    }
    expect_frames(fds[0], "GOAWAY");
    assert_true(is_at_end(fds[0]));
    assert_int_equal(t.row->leases, 3);
    for (unsigned i = 1; i < 4; i++) {
        put_next(fds[i]);
        expect_frames(fds[i], KEPT);
    }
}

/* With its only thread always busy nobody looks at the rendezvous, if not who has an answer ready. */
static void test_one_thread_that_is_never_idle(void **state)
{
    (void)state;
    t.settings.max_threads = 1;
    open_threads();
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    WAIT_UNTIL(t.served == 1);
    t.threads->looked_us = 0;
    t.application = answer_when_released;
    put_next(fd);
    WAIT_UNTIL(t.running == 1);
    const int other = call_and_keep();
    t.is_released = true;
    expect_frames(fd, KEPT ".");
    assert_true(is_at_end(fd));
    expect_frames(other, HELLO " " KEPT);
    assert_int_equal(t.row->leases, 1);
}

static void test_a_request_in_two_parts(void **state)
{
    const wsgi_request_t request = usual_request();
    wsgi_buffer_t frame = {0};

    (void)state;
    open_threads();
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    assert_int_equal(wsgi_wire_put_request(&frame, 0, &request), WSGI_OK);
    put_bytes(fd, frame.data, 10);
    usleep(5000);
    put_bytes(fd, frame.data + 10, frame.len - 10);
    expect_frames(fd, KEPT);
    put_next(fd); /* whatever the second part has set going */
    expect_frames(fd, KEPT);
    wsgi_buffer_clear(&frame, 0);
}

static void test_stopping_takes_idle_connections_back(void **state)
{
    (void)state;
    open_threads();
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    stop_threads();
    expect_frames(fd, "GOAWAY");
    assert_true(is_at_end(fd));
    assert_int_equal(t.row->leases, 0);
}

static void test_a_request_that_runs_while_stopping_is_answered(void **state)
{
    pthread_t stopper;

    (void)state;
    is_stopped = false;
    open_threads();
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    WAIT_UNTIL(t.served == 1);
    t.application = answer_when_released;
    put_next(fd);
    WAIT_UNTIL(t.running == 1);
    assert_int_equal(pthread_create(&stopper, NULL, stop_aside, t.threads), 0);
    WAIT_UNTIL(t.threads->is_stopping);
    t.is_released = true;
    expect_frames(fd, KEPT ".");
    assert_int_equal(pthread_join(stopper, NULL), 0);
    assert_int_equal(t.row->leases, 0);
    wsgi_threads_free(t.threads);
    t.threads = NULL;
}

static void test_a_changed_script_takes_idle_connections_back(void **state)
{
    (void)state;
    open_threads();
    const int idle = call_and_keep();
    expect_frames(idle, HELLO " " KEPT);
    const int fd = call_and_keep();
    expect_frames(fd, HELLO " " KEPT);
    t.application = decline;
    put_next(fd);
    expect_frames(fd, "GOAWAY");
    expect_frames(idle, "GOAWAY");
    expect_event(WSGI_EVENT_RETIRE);
    WAIT_UNTIL(t.row->leases == 0);
    assert_int_equal(t.served, 3);
}

static int fork_and_stay_idle(wsgi_exchange_t *ex)
{
    fork_pid = fork();
    if (fork_pid == 0) {
        alarm(30);
        wsgi_threads_forget(t.threads);
        pause();
    }
    return answer(ex);
}

/* Not even those that are idle at the time. */
static void test_a_fork_does_not_hold_idle_connections(void **state)
{
    int status;

    (void)state;
    open_threads();
    const int idle = call_and_keep(), fd = call_and_keep();
    expect_frames(idle, HELLO " " KEPT);
    expect_frames(fd, HELLO " " KEPT);
    t.application = fork_and_stay_idle;
    put_next(fd);
    expect_frames(fd, KEPT);
    stop_threads();
    expect_frames(idle, "GOAWAY");
    assert_true(is_at_end(idle));
    kill(fork_pid, SIGKILL);
    assert_int_equal(waitpid(fork_pid, &status, 0), fork_pid);
}

static void test_a_busier_worker_gives_way(void **state)
{
    static wsgi_counters_t counters = {.row_count = 2};
    static const struct {
        uint32_t ours, state, theirs, leases;
        bool is_busier;
    } cases[] = {
        {0, WSGI_WORKER_READY, 0, 0, false},    {1, WSGI_WORKER_READY, 0, 0, true},
        {1, WSGI_WORKER_READY, 1, 1, false},    {3, WSGI_WORKER_READY, 2, 2, true},
        {1, WSGI_WORKER_READY, 0, 3, false},    {1, WSGI_WORKER_STARTING, 0, 0, false},
        {1, WSGI_WORKER_STOPPING, 0, 0, false},
    };

    (void)state;
    t.settings.counters = &counters;
    t.settings.max_threads = 3;
    open_threads();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        t.row->busy = cases[i].ours;
        counters.rows[1].state = cases[i].state;
        counters.rows[1].busy = cases[i].theirs;
        counters.rows[1].leases = cases[i].leases;
        assert_int_equal(is_busier_than_another(t.threads), cases[i].is_busier);
    }
    counters.row_count = UINT32_MAX; /* overwritten by a fault of the application */
    assert_false(is_busier_than_another(t.threads));
    t.settings.counters = NULL;
    assert_false(is_busier_than_another(t.threads));
    t.row->busy = 0;
}

/* It takes the caller in the end: the other may be stopped. */
static void test_who_gives_way_serves_who_is_left(void **state)
{
    static wsgi_counters_t counters = {.row_count = 2};

    (void)state;
    counters.rows[1].state = WSGI_WORKER_READY;
    t.settings.counters = &counters;
    open_threads();
    t.application = answer;
    t.row->busy = 1;
    const int64_t start_us = wsgi_now_us();
    expect_answer(call(), ANSWER);
    assert_true(wsgi_now_us() - start_us >= COURTESY_US);
    t.row->busy = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Told to stop by others than a request that was handed back. */
static void test_who_stops_taking_leaves_callers_to_others(void **state)
{
    int far, fd;

    (void)state;
    open_threads();
    t.application = answer_when_released;
    const int busy = call();
    WAIT_UNTIL(t.running == 1);
    wsgi_threads_stop_taking(t.threads);
    fd = call();
    assert_true(is_silent(fd));
    assert_true(is_caller_waiting());
    t.is_released = true;
    expect_answer(busy, ANSWER);
    assert_true(receive_descriptor(t.settings.rendezvous_fd, &far) > 0);
    wsgi_fd_close(&far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_threads_are_made_as_needed),
        TEST(test_an_idle_thread_is_used_again),
        TEST(test_one_thread_serves_all),
        TEST(test_a_thread_has_a_name_and_keeps_descriptors_from_programs),
        TEST(test_threads_that_cannot_be_made),
        TEST(test_a_pool_that_cannot_be_opened),
        TEST(test_closed_descriptors_end_the_worker),
        TEST(test_the_end_of_callers_is_told_once),
        TEST(test_who_came_before_the_end_is_served),
        TEST(test_nobody_waits_for_the_main_thread),
        TEST(test_a_message_without_descriptor),
        TEST(test_a_second_descriptor_is_closed),
        TEST(test_what_is_no_connection),
        TEST(test_a_changed_script_is_told_and_nobody_taken_after_it),
        TEST(test_stop_ends_idle_threads),
        TEST(test_stop_waits_for_the_last_request),
        TEST(test_a_fork_that_returns_ends),
        TEST(test_a_fork_that_stays_does_not_hold_connections),
        TEST(test_who_stops_taking_leaves_callers_to_others),
        TEST(test_a_connection_is_kept),
        TEST(test_a_connection_is_the_promise_of_a_thread),
        TEST(test_the_longest_idle_gives_way),
        TEST(test_one_thread_that_is_never_idle),
        TEST(test_a_request_in_two_parts),
        TEST(test_stopping_takes_idle_connections_back),
        TEST(test_a_request_that_runs_while_stopping_is_answered),
        TEST(test_a_changed_script_takes_idle_connections_back),
        TEST(test_a_fork_does_not_hold_idle_connections),
        TEST(test_a_busier_worker_gives_way),
        TEST(test_who_gives_way_serves_who_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
