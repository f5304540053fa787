/* tests/unit/proxy/stage.h — the machine between a scripted client (recorder.h) and a scripted
 * worker, which is the test. Time stands still unless the test moves it; what can be done without
 * time is done by stage_settle().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGE_H
#define STAGE_H

#include "recorder.h"

#include "proxy_private.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_US INT64_C(5000000)
#define SOCKET_TIMEOUT_US  INT64_C(60000000)
#define NOTHING            WSGI_LITERAL("")
#define ALL_TYPES          UINT32_MAX

typedef struct stage {
    recorder_t client;
    wsgi_counters_t *counters;
    wsgi_link_t *link;
    int rendezvous[2]; /* the callers' end, the workers' */
    wsgi_proxy_t *p;
    wsgi_result_t result;
    int64_t start_us, now_us;
    bool is_running;
    unsigned fd_count; /* open before the test */

    int worker; /* the end that was taken from the rendezvous, or -1 */
    wsgi_buffer_t heard;
    size_t heard_used;
    wsgi_wire_store_t store; /* of what is heard */
    wsgi_buffer_t says;      /* frames under construction */
} stage_t;

static inline unsigned count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static inline void stage_link(stage_t *s, unsigned processes)
{
    wsgi_link_close(s->link);
    s->link = wsgi_link_open(&(wsgi_link_settings_t){
        .group = "blue",
        .rendezvous_fd = s->rendezvous[0],
        .counters = s->counters,
        .processes = processes,
        .rows = processes,
        .connect_timeout_us = CONNECT_TIMEOUT_US,
        .socket_timeout_us = SOCKET_TIMEOUT_US,
        .socket_timeout_name = "some-option",
    });
    assert_non_null(s->link);
}

static inline int stage_open(void **state)
{
    stage_t *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->fd_count = count_descriptors();
    recorder_init(&s->client);
    s->worker = -1;
    s->now_us = s->start_us = 1000000;
    int fd = wsgi_counters_create(2, &s->result);
    s->counters = wsgi_counters_map(fd, true, &s->result);
    wsgi_fd_close(&fd);
    assert_non_null(s->counters);
    s->counters->state = WSGI_GROUP_READY;
    s->counters->rows[1].pid = 4711;
    s->counters->rows[1].generation = 1;
    s->counters->rows[0].state = s->counters->rows[1].state = WSGI_WORKER_READY;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->rendezvous), 0);
    stage_link(s, 1);
    s->p = wsgi_proxy_new();
    assert_non_null(s->p);
    *state = s;
    return 0;
}

static inline void worker_hang_up(stage_t *s)
{
    wsgi_fd_close(&s->worker);
    wsgi_buffer_clear(&s->heard, 0);
    s->heard_used = 0;
}

static inline int stage_close(void **state)
{
    stage_t *s = *state;

    wsgi_proxy_release(s->p);
    wsgi_proxy_free(s->p);
    wsgi_link_close(s->link);
    worker_hang_up(s);
    wsgi_fd_close(&s->rendezvous[0]);
    wsgi_fd_close(&s->rendezvous[1]);
    wsgi_counters_unmap(s->counters);
    wsgi_buffer_clear(&s->says, 0);
    free(s->store.items);
    recorder_free(&s->client);
    assert_int_equal(count_descriptors(), s->fd_count);
    free(s);
    return 0;
}

/* Driving. */

static inline void step_at(stage_t *s, int64_t now_us)
{
    assert_true(s->is_running);
    s->now_us = now_us;
    s->is_running = wsgi_proxy_step(s->p, now_us);
    assert_int_equal(s->client.finish_calls, s->is_running ? 0 : 1);
}

static inline wsgi_wait_t wait_now(stage_t *s)
{
    assert_true(s->is_running);
    return wsgi_proxy_wait(s->p, s->now_us);
}

/* What a driver does with a wait, in no time. */
static inline bool look_around(stage_t *s)
{
    const wsgi_wait_t wait = wait_now(s);
    struct pollfd sides[] = {
        {.fd = wait.worker_events != 0 ? s->p->fd : -1, .events = wait.worker_events},
        {.fd = wait.client_events != 0 ? s->client.ex.body_fd : -1, .events = wait.client_events},
    };
    const unsigned before = s->p->ready;

    assert_true(poll(sides, 2, 0) >= 0);
    s->p->ready |= (sides[0].revents & ~POLLOUT) != 0 ? WSGI_READY_WORKER_READ : 0;
    s->p->ready |= (sides[0].revents & ~POLLIN) != 0 ? WSGI_READY_WORKER_WRITE : 0;
    s->p->ready |= (sides[1].revents & ~POLLOUT) != 0 ? WSGI_READY_CLIENT_READ : 0;
    s->p->ready |= (sides[1].revents & ~POLLIN) != 0 ? WSGI_READY_CLIENT_WRITE : 0;
    return sides[0].revents != 0 || s->p->ready != before || wait.until_us <= s->now_us;
}

static inline void stage_settle(stage_t *s)
{
    unsigned rounds = 0;

    (void)look_around(s);
    do {
        step_at(s, s->now_us);
        assert_true(rounds++ < 10000);
    } while (s->is_running && look_around(s));
}

static inline void stage_begin(stage_t *s)
{
    s->start_us = s->now_us;
    wsgi_proxy_start(s->p, s->link, &s->client.ex, &s->result, s->now_us);
    s->is_running = true;
    step_at(s, s->now_us);
    if (s->is_running) {
        stage_settle(s);
    }
}

/* The worker's side: taking. */

static inline int take_scout(stage_t *s)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec one_byte = {&byte, 1};
    struct msghdr message = {.msg_iov = &one_byte,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(s->rendezvous[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    }
    return fd;
}

/* For the next request of a table: the machine is used again, as a spare is. */
static inline void stage_again(stage_t *s)
{
    wsgi_proxy_release(s->p);
    worker_hang_up(s);
    while ((s->worker = take_scout(s)) >= 0) {
        wsgi_fd_close(&s->worker);
    }
    recorder_free(&s->client);
    recorder_init(&s->client);
    s->is_running = false;
}

static inline void worker_takes(stage_t *s)
{
    worker_hang_up(s);
    s->worker = take_scout(s);
    assert_true(s->worker >= 0);
}

static inline void assert_nobody_asked(stage_t *s)
{
    assert_int_equal(take_scout(s), -1);
}

static inline bool worker_listens(stage_t *s)
{
    assert_int_equal(wsgi_buffer_reserve(&s->heard, 256 << 10), WSGI_OK);
    const ssize_t count = recv(s->worker, s->heard.data + s->heard.len, 256 << 10, MSG_DONTWAIT);
    s->heard.len += count > 0 ? (size_t)count : 0;
    return count > 0;
}

static inline bool worker_hears_any(stage_t *s, wsgi_frame_t *frame)
{
    ssize_t size;

    while ((size = wsgi_wire_take(
                (wsgi_bytes_t){s->heard.data + s->heard_used, s->heard.len - s->heard_used},
                ALL_TYPES, frame, NULL)) == 0 &&
           worker_listens(s)) {
    }
    assert_true(size >= 0);
    s->heard_used += (size_t)size;
    return size > 0;
}

/* The payload is good until something else is heard. */
static inline wsgi_bytes_t worker_hears(stage_t *s, enum wsgi_frame_type type)
{
    wsgi_frame_t frame;

    assert_true(worker_hears_any(s, &frame));
    assert_string_equal(wsgi_wire_type_name(frame.type), wsgi_wire_type_name(type));
    return frame.payload;
}

static inline wsgi_request_t worker_hears_request(stage_t *s)
{
    wsgi_request_t request;

    assert_int_equal(
        wsgi_wire_get_request(worker_hears(s, WSGI_FRAME_REQUEST), &s->store, &request), WSGI_OK);
    return request;
}

static inline int32_t worker_hears_body_end(stage_t *s)
{
    int32_t code;

    assert_int_equal(wsgi_wire_get_number(worker_hears(s, WSGI_FRAME_BODY_END), &code), WSGI_OK);
    return code;
}

static inline void assert_worker_hears_nothing(stage_t *s)
{
    wsgi_frame_t frame;

    assert_false(worker_hears_any(s, &frame));
    assert_int_equal(s->heard.len, s->heard_used);
}

static inline void assert_let_go(stage_t *s)
{
    char byte;

    while (worker_listens(s)) {
    }
    assert_int_equal(recv(s->worker, &byte, 1, MSG_DONTWAIT), 0);
}

/* The worker's side: saying. Frames gather in `says` until worker_speaks(). */

static inline void say(stage_t *s, enum wsgi_frame_type type, uint8_t flags, wsgi_bytes_t payload)
{
    assert_int_equal(wsgi_wire_put(&s->says, type, flags, payload), WSGI_OK);
}

static inline void say_hello(stage_t *s)
{
    const wsgi_hello_t hello = {WSGI_WIRE_VERSION, 1, 1};

    assert_int_equal(wsgi_wire_put_hello(&s->says, &hello), WSGI_OK);
}

/* length: of Content-Length, or NULL for none */
static inline void say_head(stage_t *s, unsigned status, const char *length)
{
    const wsgi_field_t fields[] = {
        {WSGI_LITERAL("Content-Type"), WSGI_LITERAL("text/plain")},
        {WSGI_LITERAL("content-LENGTH"), {length, length != NULL ? strlen(length) : 0}},
    };
    const wsgi_head_t head = {status, WSGI_LITERAL("Fine"), fields, length != NULL ? 2 : 1};

    assert_int_equal(wsgi_wire_put_head(&s->says, &head), WSGI_OK);
}

static inline void say_data(stage_t *s, const char *text, uint8_t flags)
{
    say(s, WSGI_FRAME_DATA, flags, (wsgi_bytes_t){text, strlen(text)});
}

static inline void say_end(stage_t *s)
{
    say(s, WSGI_FRAME_END, WSGI_FRAME_FLAG_CLOSE, NOTHING);
}

static inline void say_number(stage_t *s, enum wsgi_frame_type type, int32_t number)
{
    assert_int_equal(wsgi_wire_put_number(&s->says, type, 0, number), WSGI_OK);
}

static inline void say_log(stage_t *s, uint32_t level, const char *text)
{
    const wsgi_wire_log_t line = {level, 0, {"", 0}, {text, strlen(text)}};

    assert_int_equal(wsgi_wire_put_log(&s->says, &line), WSGI_OK);
}

static inline void say_file(stage_t *s, int64_t offset, int64_t length)
{
    const wsgi_wire_file_t file = {offset, length};

    assert_int_equal(wsgi_wire_put_file(&s->says, 0, &file), WSGI_OK);
}

/* Sends what has been said, from `said` on, as far as there is room; descriptors go with its first
 * byte. The machine is not told. */
static inline size_t worker_sends(stage_t *s, size_t said, const int *fds, unsigned fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec bytes = {s->says.data + said, s->says.len - said};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

    if (fd_count > 0 && said == 0) {
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    }
    const ssize_t count = sendmsg(s->worker, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    assert_true(count > 0 || errno == EAGAIN);
    return count > 0 ? (size_t)count : 0;
}

/* Sends it all while the machine works; that may end before it has read everything. */
static inline void worker_speaks_with(stage_t *s, const int *fds, unsigned fd_count)
{
    size_t said = 0;

    while (said < s->says.len && s->is_running) {
        said += worker_sends(s, said, fds, fd_count);
        stage_settle(s);
    }
    s->says.len = 0;
}

static inline void worker_speaks(stage_t *s)
{
    worker_speaks_with(s, NULL, 0);
}

/* A request that a worker has begun. */
static inline void stage_relay(stage_t *s)
{
    stage_begin(s);
    worker_takes(s);
    say_hello(s);
    worker_speaks(s);
    assert_int_equal(s->p->state, WSGI_PROXY_RELAY);
}

/* Ends. */

static inline void assert_running(stage_t *s, enum wsgi_proxy_state state)
{
    assert_true(s->is_running);
    assert_string_equal(wsgi_proxy_state_name(s->p->state), wsgi_proxy_state_name(state));
}

static inline void assert_done(stage_t *s, const char *body)
{
    assert_false(s->is_running);
    assert_int_equal(s->p->state, WSGI_PROXY_END);
    assert_int_equal(s->p->code, WSGI_OK);
    assert_int_equal(s->result.code, WSGI_OK);
    assert_string_equal(s->result.detail, "");
    assert_int_equal(s->client.outcome, WSGI_DONE);
    assert_int_equal(s->client.sent.len, strlen(body));
    if (body[0] != '\0') {
        assert_memory_equal(s->client.sent.data, body, strlen(body));
    }
}

static inline void assert_ended(stage_t *s, int code)
{
    assert_false(s->is_running);
    assert_int_equal(s->p->state, WSGI_PROXY_FAILED);
    assert_int_equal(s->p->code, code);
    assert_int_equal(s->result.code, code);
    assert_int_equal(s->result.detail[0] != '\0', code != WSGI_OK);
    assert_int_equal(s->p->fd, -1);
    assert_int_equal(s->p->far_fd, -1);
    assert_int_equal(s->p->place.state, WSGI_PLACE_NONE);
}

static inline void assert_failed(stage_t *s, int code, unsigned status)
{
    assert_ended(s, code);
    assert_int_equal(s->client.outcome, WSGI_FAILED);
    assert_int_equal(s->client.finish_status, status);
}

static inline void assert_cut(stage_t *s, int code)
{
    assert_ended(s, code);
    assert_int_equal(s->client.outcome, WSGI_TRUNCATED);
}

static inline void assert_detail(stage_t *s, const char *part)
{
    if (strstr(s->result.detail, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, s->result.detail);
    }
}

/* Descriptors: none can be made until the limit is given back. */

static inline struct rlimit exhaust_descriptors(void)
{
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}), 0);
    return before;
}

static inline void give_descriptors_back(struct rlimit before)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

#define stage_test(f) cmocka_unit_test_setup_teardown(f, stage_open, stage_close)

#endif
