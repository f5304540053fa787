/* tests/unit/daemon/test_connection.c — a worker's end of a connection: its states, and the exchange
 * that it makes of the frames.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include "caller.h"
#include "log_lines.h"
#include "wsgi_gateway.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TIMEOUT_US 100000

static struct {
    int near, far; /* the worker's end until it is served, and ours */
    wsgi_worker_row_t row;
    wsgi_connection_settings_t settings;
    wsgi_connection_t conn;
    transcript_t got;
    enum wsgi_served served;

    /* the gateway */
    int (*application)(wsgi_exchange_t *ex);
    unsigned call_count;
    const char *missing_interpreter; /* why, or NULL */

    /* system calls */
    size_t recv_most;     /* bytes; 0 = no limit */
    bool is_interrupting; /* every other call ends with EINTR */
    unsigned call_number;
    void (*on_peek)(void);                      /* before it is looked for a withdrawal */
    void (*on_send)(const struct msghdr *sent); /* before a send */
    unsigned send_count;
    bool is_open_refused, is_out_of_memory;
} t;

/* --- the system ------------------------------------------------------------------------------ */

static bool is_interrupted(void)
{
    errno = EINTR;
    return t.is_interrupting && t.call_number++ % 2 == 0;
}

ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
    if ((flags & MSG_PEEK) != 0 && t.on_peek != NULL) {
        t.on_peek();
    }
    if (is_interrupted()) {
        return -1;
    }
    return __real_recv(fd, data, t.recv_most > 0 && len > t.recv_most ? t.recv_most : len, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (is_interrupted()) {
        return -1;
    }
    t.send_count++;
    if (t.on_send != NULL) {
        t.on_send(message);
    }
    return __real_sendmsg(fd, message, flags);
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return is_interrupted() ? -1 : __real_poll(fds, count, timeout_ms);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    errno = EACCES;
    return t.is_open_refused ? -1 : __real_open(path, flags, 0600);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    return t.is_out_of_memory ? NULL : __real_realloc(old, size);
}

/* --- the gateway ----------------------------------------------------------------------------- */

struct wsgi_interp {
    char name[32];
    bool is_open_name;
};
static wsgi_interp_t interp;

wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result)
{
    if (t.missing_interpreter != NULL) {
        wsgi_fail(result, WSGI_E_IO, "%s", t.missing_interpreter);
        return NULL;
    }
    snprintf(interp.name, sizeof(interp.name), "%s", name);
    interp.is_open_name = is_open_name;
    return &interp;
}

int wsgi_gateway_serve(wsgi_interp_t *found, wsgi_exchange_t *ex, enum wsgi_reload_mode mode)
{
    assert_ptr_equal(found, &interp);
    assert_int_equal(mode, WSGI_RELOAD_BY_PROCESS);
    assert_int_equal(t.row.busy, t.row.generation == usual_hello.generation ? 1 : 0);
    t.call_count++;
    return t.application(ex);
}

static const wsgi_head_t ok_head = {200, {"OK", 2}, NULL, 0};

static int send_text(wsgi_exchange_t *ex, const char *text, enum wsgi_send_flag flag)
{
    return ex->verbs->send_body(ex, text, strlen(text), flag);
}

static int finish(wsgi_exchange_t *ex)
{
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

static int say_hello(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(send_text(ex, "hello", WSGI_SEND_LAST), WSGI_OK);
    return finish(ex);
}
#define HELLO_ANSWER HELLO " HEAD(200 OK) DATA(hello) END."

static int must_not_be_called(wsgi_exchange_t *ex)
{
    (void)ex;
    fail_msg("an application was called");
    return WSGI_OK;
}

/* --- the bench ------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    int pair[2];

    (void)state;
    memset(&t, 0, sizeof(t));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    t.near = pair[0];
    t.far = pair[1];
    t.row.generation = usual_hello.generation;
    t.settings = (wsgi_connection_settings_t){
        .group = "group",
        .row = &t.row,
        .hello = usual_hello,
        .socket_timeout_us = TIMEOUT_US,
    };
    t.application = say_hello;
    log_lines_begin();
    wsgi_connection_init(&t.conn, &t.settings);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    t.is_out_of_memory = t.is_interrupting = false;
    wsgi_connection_free(&t.conn);
    wsgi_fd_close(&t.near);
    wsgi_fd_close(&t.far);
    forget(&t.got);
    return 0;
}

static void start_again(void)
{
    tear_down(NULL);
    set_up(NULL);
}

static void serve(void)
{
    const int near = t.near;

    t.near = -1;
    t.served = wsgi_connection_serve(&t.conn, near);
    assert_int_equal(t.conn.fd, -1);
    assert_int_equal(fcntl(near, F_GETFD), -1);
    assert_int_equal(t.row.busy, 0);
}

static void serve_request(const wsgi_request_t *request, uint8_t flags)
{
    put_request(t.far, flags, request);
    serve();
}

static void serve_usual(int (*application)(wsgi_exchange_t *ex))
{
    const wsgi_request_t request = usual_request();

    t.application = application;
    serve_request(&request, 0);
}

static void expect_answer(const char *text)
{
    collect(&t.got, t.far);
    assert_string_equal(describe(&t.got), text);
}

static void expect_nothing_begun(const char *answer)
{
    assert_int_equal(t.served, WSGI_SERVED_NOTHING);
    assert_int_equal(t.call_count, 0);
    assert_int_equal(t.row.requests, 0);
    assert_int_equal(t.row.errors, 0);
    if (t.far >= 0) {
        expect_answer(answer);
    }
}

/* --- TAKEN and REQUEST ----------------------------------------------------------------------- */

static int look_at_request(wsgi_exchange_t *ex)
{
    assert_string_equal(ex->request.script.data, "/srv/app.wsgi");
    assert_string_equal(ex->request.callable.data, "application");
    assert_int_equal(ex->request.var_count, 1);
    assert_memory_equal(ex->request.vars[0].name.data, "NAME", 4);
    assert_memory_equal(ex->request.vars[0].value.data, "value", 5);
    assert_int_equal(ex->body_fd, -1);
    assert_null(ex->native);
    assert_false(ex->head_sent);
    assert_false(ex->verbs->is_aborted(ex));
    return say_hello(ex);
}

static void test_a_request_is_answered(void **state)
{
    (void)state;
    serve_usual(look_at_request);
    expect_answer(HELLO_ANSWER);
    assert_string_equal(interp.name, "interpreter");
    assert_int_equal(t.served, WSGI_SERVED);
    assert_int_equal(t.row.requests, 1);
    assert_int_equal(t.row.errors, 0);
    assert_int_equal(t.conn.exchange.bytes_out, 5);
    assert_true(t.conn.exchange.head_sent);
    assert_string_equal(log_lines, "");
}

/* Whoever may choose the name of an interpreter may not choose too many. */
static void test_a_name_that_clients_choose_is_told(void **state)
{
    wsgi_request_t request = usual_request();

    (void)state;
    serve_request(&request, 0);
    assert_false(interp.is_open_name);
    start_again();
    request.flags = WSGI_REQUEST_OPEN_NAME;
    serve_request(&request, 0);
    assert_true(interp.is_open_name);
}

static void test_a_request_in_crumbs(void **state)
{
    (void)state;
    t.recv_most = 1;
    serve_usual(look_at_request);
    expect_answer(HELLO_ANSWER);
}

static void test_interrupted_calls_are_repeated(void **state)
{
    (void)state;
    t.is_interrupting = true;
    serve_usual(look_at_request);
    assert_true(t.call_number >= 6);
    expect_answer(HELLO_ANSWER);
}

static void test_a_request_that_is_withdrawn_begins_nothing(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    put_request(t.far, 0, &request);
    shutdown(t.far, SHUT_WR);
    t.application = must_not_be_called;
    serve();
    expect_nothing_begun(HELLO " GOAWAY");
    assert_string_equal(log_lines, "");
}

static void close_far(void)
{
    wsgi_fd_close(&t.far);
}

/* The kernel tells a reset instead of an end where HELLO lies unread at the other end. */
static void test_a_caller_that_closes_without_reading_hello_begins_nothing(void **state)
{
    (void)state;
    t.on_peek = close_far;
    serve_usual(must_not_be_called);
    expect_nothing_begun("");
    assert_string_equal(log_lines, "");
}

static void interrupt_look(void)
{
    t.is_interrupting = true;
    t.call_number = 0;
    t.on_peek = NULL;
}

static void test_an_interrupted_look_is_no_withdrawal(void **state)
{
    (void)state;
    t.on_peek = interrupt_look;
    serve_usual(look_at_request);
    assert_true(t.call_number > 0);
    expect_answer(HELLO_ANSWER);
}

static void test_a_caller_that_has_left_begins_nothing(void **state)
{
    (void)state;
    close_far();
    t.application = must_not_be_called;
    serve();
    expect_nothing_begun("");
    assert_string_equal(log_lines, "");
}

static void test_an_end_within_the_request_begins_nothing(void **state)
{
    const wsgi_request_t request = usual_request();
    wsgi_buffer_t frame = {0};

    (void)state;
    assert_int_equal(wsgi_wire_put_request(&frame, 0, &request), WSGI_OK);
    for (size_t len = 0; len < frame.len; len++) {
        start_again();
        t.application = must_not_be_called;
        if (len > 0) {
            put_bytes(t.far, frame.data, len);
        }
        shutdown(t.far, SHUT_WR);
        serve();
        expect_nothing_begun(HELLO);
    }
    wsgi_buffer_clear(&frame, 0);
}

static void expect_dropped(const char *reason)
{
    t.application = must_not_be_called;
    serve();
    expect_nothing_begun(HELLO);
    assert_true(is_logged("<3> WSGI1407: [group] (REQUEST) dropped a connection from httpd: "));
    assert_true(is_logged(reason));
}

static void test_silence_instead_of_a_request(void **state)
{
    const int64_t start_us = wsgi_now_us();

    (void)state;
    put_bytes(t.far, "\x60\0\0", 3);
    expect_dropped(wsgi_strerror(WSGI_E_TIMEOUT));
    assert_in_range(wsgi_now_us() - start_us, TIMEOUT_US, 100 * TIMEOUT_US);
}

static void test_garbage_instead_of_a_request(void **state)
{
    static const char garbage[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const wsgi_request_t request = usual_request();
    wsgi_buffer_t frame = {0};

    (void)state;
    put_bytes(t.far, garbage, sizeof(garbage) - 1);
    expect_dropped(wsgi_strerror(WSGI_E_PROTOCOL));

    start_again(); /* a frame of the right type and length, with a wrong number of variables */
    assert_int_equal(wsgi_wire_put_request(&frame, 0, &request), WSGI_OK);
    frame.data[WSGI_WIRE_HEADER_BYTES + 44]++;
    put_and_clear(t.far, &frame);
    expect_dropped(wsgi_strerror(WSGI_E_PROTOCOL));
}

/* By its header: nobody sends what would have to be read first. */
static void test_a_request_that_is_too_large(void **state)
{
    const uint32_t len = WSGI_WIRE_REQUEST_MAX + 1;
    const char header[] = {
        (char)len, (char)(len >> 8), (char)(len >> 16), 0, WSGI_FRAME_REQUEST, 0, 0, 0};

    (void)state;
    put_bytes(t.far, header, sizeof(header));
    expect_dropped(wsgi_strerror(WSGI_E_PROTOCOL));
}

/* A frame with the least payload of its type. */
static void put_least(unsigned type)
{
    static const unsigned char least[WSGI_FRAME_COUNT] = {
        [WSGI_FRAME_HELLO] = 12, [WSGI_FRAME_BODY_END] = 4, [WSGI_FRAME_HEAD] = 8,
        [WSGI_FRAME_FILE] = 16,  [WSGI_FRAME_LOG] = 14,     [WSGI_FRAME_HINT] = 8,
        [WSGI_FRAME_ABORT] = 4,  [WSGI_FRAME_REQUEST] = 86,
    };
    char frame[8 + 86] = {(char)least[type], 0, 0, 0, (char)type};

    put_bytes(t.far, frame, 8 + (size_t)least[type]);
}

static void test_only_a_request_may_come_first(void **state)
{
    (void)state;
    for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
        if (type != WSGI_FRAME_REQUEST) {
            start_again();
            put_least(type);
            expect_dropped(wsgi_strerror(WSGI_E_PROTOCOL));
        }
    }
}

/* Its payload is not waited for. */
static void test_another_frame_is_refused_by_its_header(void **state)
{
    (void)state;
    put_bytes(t.far, "\0\0\1\0\3\0\0\0", 8); /* BODY of 65536 bytes */
    expect_dropped(wsgi_strerror(WSGI_E_PROTOCOL));
}

static void test_no_memory_for_the_request(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    put_request(t.far, 0, &request);
    t.is_out_of_memory = true;
    t.application = must_not_be_called;
    serve();
    t.is_out_of_memory = false;
    expect_nothing_begun(""); /* none for HELLO either */
}

static void test_names_of_states(void **state)
{
    (void)state;
    assert_string_equal(wsgi_connection_state_name(WSGI_CONNECTION_TAKEN), "TAKEN");
    assert_string_equal(wsgi_connection_state_name(WSGI_CONNECTION_IDLE), "IDLE");
    assert_string_equal(wsgi_connection_state_name(WSGI_CONNECTION_REQUEST), "REQUEST");
    assert_string_equal(wsgi_connection_state_name(WSGI_CONNECTION_SERVE), "SERVE");
    assert_string_equal(wsgi_connection_state_name(WSGI_CONNECTION_CLOSE), "CLOSE");
}

/* --- IDLE: kept connections ------------------------------------------------------------------ */

static bool is_keeping;
static unsigned keep_questions;

static bool may_keep(void *baton, wsgi_connection_t *conn)
{
    assert_ptr_equal(baton, &t);
    assert_ptr_equal(conn, &t.conn);
    assert_int_equal(t.row.busy, t.row.requests > 0 ? 1 : 0); /* END has not been sent */
    keep_questions++;
    return is_keeping;
}

static void keep_connections(void)
{
    t.settings.may_keep = may_keep;
    t.settings.baton = &t;
    is_keeping = true;
    keep_questions = 0;
}

static void expect_kept(void)
{
    assert_true(wsgi_connection_is_kept(&t.conn));
    assert_true(t.conn.fd >= 0);
    assert_int_equal(t.row.busy, 0);
}

static void expect_closed(void)
{
    assert_false(wsgi_connection_is_kept(&t.conn));
    assert_int_equal(t.conn.fd, -1);
    assert_int_equal(t.row.busy, 0);
}

/* Serves one that is kept; what it said is in t.got, anew for each. */
static void serve_and_listen(const wsgi_request_t *request, uint8_t flags, const char *answer)
{
    const int near = t.near;

    put_request(t.far, flags, request);
    t.near = -1;
    t.served =
        near >= 0 ? wsgi_connection_serve(&t.conn, near) : wsgi_connection_serve_next(&t.conn);
    forget(&t.got);
    assert_true(collect_some(&t.got, t.far, 64 << 10));
    if (wsgi_connection_is_kept(&t.conn)) {
        struct pollfd pollfd = {.fd = t.far, .events = POLLIN};
        while (__real_poll(&pollfd, 1, 0) == 1) {
            assert_true(collect_some(&t.got, t.far, 64 << 10));
        }
    }
    else {
        collect(&t.got, t.far);
    }
    assert_string_equal(describe(&t.got), answer);
}

static void test_requests_follow_each_other(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(hello) END");
    for (unsigned i = 0; i < 3; i++) {
        expect_kept();
        t.application = look_at_request;
        serve_and_listen(&request, 0, "HEAD(200 OK) DATA(hello) END"); /* no HELLO again */
        assert_int_equal(t.served, WSGI_SERVED);
    }
    is_keeping = false;
    serve_and_listen(&request, 0, HELLO_ANSWER + sizeof(HELLO));
    expect_closed();
    assert_int_equal(t.row.requests, 5);
    assert_int_equal(keep_questions, 5);
    assert_string_equal(log_lines, "");
}

static void test_nothing_on_a_kept_connection(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(hello) END");
    assert_int_equal(wsgi_connection_serve_next(&t.conn), WSGI_SERVED_NOTHING);
    expect_kept();
    close_far();
    assert_int_equal(wsgi_connection_serve_next(&t.conn), WSGI_SERVED_NOTHING);
    expect_closed();
    assert_string_equal(log_lines, "");
}

static void test_a_kept_connection_is_taken_back(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(hello) END");
    put_request(t.far, 0, &request); /* in the same instant */
    wsgi_connection_revoke(&t.conn);
    expect_closed();
    forget(&t.got);
    assert_true(collect_some(&t.got, t.far, 64 << 10));
    assert_string_equal(describe(&t.got), "GOAWAY");
    char byte;
    assert_int_equal(recv(t.far, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET); /* tells that it was not read */
}

static void test_a_withdrawn_request_on_a_kept_connection(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(hello) END");
    t.application = must_not_be_called;
    put_request(t.far, 0, &request);
    shutdown(t.far, SHUT_WR);
    assert_int_equal(wsgi_connection_serve_next(&t.conn), WSGI_SERVED_NOTHING);
    expect_closed();
    forget(&t.got);
    collect(&t.got, t.far);
    assert_string_equal(describe(&t.got), "GOAWAY");
}

static void must_not_look(void)
{
    fail_msg("looked for a withdrawal");
}

static void test_a_firm_request_is_not_looked_after(void **state)
{
    wsgi_request_t request = usual_request();

    (void)state;
    request.firm_until_us = INT64_MAX;
    t.on_peek = must_not_look;
    serve_request(&request, 0);
    expect_answer(HELLO_ANSWER);
}

static void test_garbage_on_a_kept_connection(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(hello) END");
    put_bytes(t.far, "GET / HTTP/1.1\r\n\r\n", 18);
    t.application = must_not_be_called;
    assert_int_equal(wsgi_connection_serve_next(&t.conn), WSGI_SERVED_NOTHING);
    expect_closed();
    assert_true(is_logged("<3> WSGI1407: [group] (REQUEST) dropped a connection from httpd: "));
}

/* The body: the connection is kept where nothing of it can get in the way of the next request. */

static int read_four(wsgi_exchange_t *ex)
{
    char bytes[4];

    assert_int_equal(ex->verbs->read_body(ex, bytes, 4, WSGI_READ_BLOCK), 4);
    return say_hello(ex);
}

static void test_a_body_that_is_read_to_its_length(void **state)
{
    const wsgi_request_t request = request_with_body(4);

    (void)state;
    for (unsigned has_end = 0; has_end < 2; has_end++) {
        start_again();
        keep_connections();
        t.application = read_four;
        put_request(t.far, WSGI_FRAME_FLAG_TELLME, &request);
        put_frame(t.far, WSGI_FRAME_BODY, "body");
        if (has_end != 0) {
            put_body_end(t.far, WSGI_OK);
        }
        const int near = t.near;
        t.near = -1;
        wsgi_connection_serve(&t.conn, near);
        assert_int_equal(wsgi_connection_is_kept(&t.conn), has_end);
        if (has_end != 0) {
            wsgi_connection_serve_next(&t.conn);
            expect_kept();
            wsgi_connection_revoke(&t.conn);
        }
    }
}

static void test_a_body_that_nobody_asked_for(void **state)
{
    const wsgi_request_t with_body = request_with_body(100), next = usual_request();

    (void)state;
    keep_connections();
    serve_and_listen(&with_body, WSGI_FRAME_FLAG_TELLME, HELLO " HEAD(200 OK) DATA(hello) END");
    serve_and_listen(&next, 0, "HEAD(200 OK) DATA(hello) END");
    expect_kept();
}

static void test_a_body_that_is_not_read(void **state)
{
    const wsgi_request_t request = request_with_body(100);

    (void)state;
    keep_connections();
    serve_and_listen(&request, 0, HELLO_ANSWER);
    expect_closed();
    assert_int_equal(keep_questions, 0);
}

static void test_what_comes_behind_a_request(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    put_request(t.far, 0, &request);
    serve_and_listen(&request, 0, HELLO_ANSWER); /* two at once: the second is not looked at */
    expect_closed();
    assert_int_equal(t.call_count, 1);
}

static int give_up_in_the_answer(wsgi_exchange_t *ex)
{
    ex->verbs->send_head(ex, &ok_head);
    send_text(ex, "part", WSGI_SEND_MORE);
    return ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
}

static void test_an_answer_that_fails_is_not_kept(void **state)
{
    const wsgi_request_t request = usual_request();

    (void)state;
    keep_connections();
    t.application = give_up_in_the_answer;
    serve_and_listen(&request, 0, HELLO " HEAD(200 OK) DATA(part)! ABORT(0)");
    expect_closed();
}

/* --- queue-timeout --------------------------------------------------------------------------- */

static void test_a_request_that_is_too_old(void **state)
{
    wsgi_request_t request = usual_request();

    (void)state;
    request.request_start_us = wsgi_wall_us() - 3000000;
    t.settings.queue_timeout_us = 2000000;
    t.application = must_not_be_called;
    serve_request(&request, 0);
    assert_int_equal(t.served, WSGI_SERVED_NOTHING);
    assert_int_equal(t.row.requests, 0);
    collect(&t.got, t.far);
    assert_non_null(strstr(describe(&t.got), "ABORT(504)"));
    assert_non_null(strstr(t.got.text, "LOG(3["));

    start_again();
    t.settings.queue_timeout_us = 4000000;
    serve_request(&request, 0);
    expect_answer(HELLO_ANSWER);
}

/* --- SERVE: the request body ----------------------------------------------------------------- */

static char body_read[256];

/* Reads to the end in small pieces, then twice more: what ended the body is final. */
static int read_all(wsgi_exchange_t *ex)
{
    size_t used = 0;
    ssize_t got;

    memset(body_read, 0, sizeof(body_read));
    while ((got = ex->verbs->read_body(ex, body_read + used, 3, WSGI_READ_BLOCK)) > 0) {
        used += (size_t)got;
        assert_true(used < sizeof(body_read) - 3);
    }
    assert_int_equal(ex->bytes_in, used);
    assert_int_equal(ex->verbs->read_body(ex, body_read + used, 3, WSGI_READ_BLOCK), got);
    assert_int_equal(ex->verbs->read_body(ex, body_read + used, 3, WSGI_READ_NONBLOCK), got);
    ex->verbs->send_head(ex, &ok_head);
    finish(ex);
    return (int)got;
}

static int ending; /* of read_all() */

static int keep_ending(wsgi_exchange_t *ex)
{
    ending = read_all(ex);
    return WSGI_OK;
}

static int lose_client(wsgi_exchange_t *ex)
{
    keep_ending(ex);
    assert_true(ex->verbs->is_aborted(ex));
    return WSGI_E_GONE;
}

static void expect_body(const char *text, int end)
{
    assert_int_equal(t.call_count, 1);
    assert_string_equal(body_read, text);
    assert_int_equal(ending, end);
}

static void test_no_body(void **state)
{
    (void)state;
    serve_usual(keep_ending);
    expect_body("", WSGI_OK);
    expect_answer(HELLO " HEAD(200 OK) END.");
}

static void test_a_body_that_is_included(void **state)
{
    static const int64_t lengths[] = {8, WSGI_BODY_UNKNOWN};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        wsgi_request_t request = request_with_body(lengths[i]);

        start_again();
        request.flags = WSGI_REQUEST_BODY_INCLUDED;
        request.body_first = WSGI_LITERAL("included");
        t.application = keep_ending;
        serve_request(&request, 0);
        expect_body("included", WSGI_OK);
        expect_answer(HELLO " HEAD(200 OK) END.");
    }
}

static int check_body_fd(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->body_fd, t.conn.fd);
    return keep_ending(ex);
}

static void put_body_in_parts(void)
{
    wsgi_request_t request = request_with_body(WSGI_BODY_UNKNOWN);

    request.body_first = WSGI_LITERAL("first ");
    put_request(t.far, 0, &request);
    put_frame(t.far, WSGI_FRAME_BODY, "second ");
    put_frame(t.far, WSGI_FRAME_BODY, "");
    put_frame(t.far, WSGI_FRAME_BODY, "third");
    put_body_end(t.far, WSGI_OK);
}

static void test_a_body_in_parts(void **state)
{
    (void)state;
    put_body_in_parts();
    t.application = check_body_fd;
    serve();
    expect_body("first second third", WSGI_OK);

    start_again();
    put_body_in_parts();
    t.application = check_body_fd;
    t.recv_most = 1;
    serve();
    expect_body("first second third", WSGI_OK);
}

/* The caller's word why, or "input or output failed" for what is none. */
static void test_a_body_that_ends_with_an_error(void **state)
{
    static const struct {
        int32_t told;
        int read;
    } cases[] = {
        {WSGI_OK, WSGI_OK},
        {WSGI_E_GONE, WSGI_E_GONE},
        {WSGI_E_TIMEOUT, WSGI_E_TIMEOUT},
        {WSGI_E_TOO_LARGE, WSGI_E_TOO_LARGE},
        {WSGI_E_SHORT, WSGI_E_SHORT},
        {WSGI_E_IO, WSGI_E_IO},
        {WSGI_E_AGAIN, WSGI_E_IO}, /* would be waited for without end */
        {WSGI_E_DECLINED, WSGI_E_IO},
        {1, WSGI_E_IO},
        {INT32_MAX, WSGI_E_IO},
        {INT32_MIN, WSGI_E_IO},
    };
    const wsgi_request_t request = request_with_body(100);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start_again();
        put_request(t.far, 0, &request);
        put_frame(t.far, WSGI_FRAME_BODY, "some");
        put_body_end(t.far, cases[i].told);
        t.application = keep_ending;
        serve();
        expect_body("some", cases[i].read);
        assert_string_equal(log_lines, "");
    }
}

static void test_the_client_goes_during_its_body(void **state)
{
    const wsgi_request_t request = request_with_body(100);

    (void)state;
    put_request(t.far, 0, &request);
    put_frame(t.far, WSGI_FRAME_BODY, "some");
    put_frame(t.far, WSGI_FRAME_GONE, "");
    t.application = lose_client;
    serve();
    expect_body("some", WSGI_E_GONE);
    expect_answer(HELLO); /* nobody waits for more */
    assert_int_equal(t.served, WSGI_SERVED);
}

static int shut_and_read(wsgi_exchange_t *ex)
{
    shutdown(t.far, SHUT_WR);
    return lose_client(ex);
}

static void test_the_caller_goes_during_the_body(void **state)
{
    const wsgi_request_t request = request_with_body(100);

    (void)state;
    put_request(t.far, 0, &request);
    put_frame(t.far, WSGI_FRAME_BODY, "some");
    put_bytes(t.far, "\x05\0", 2);
    t.application = shut_and_read;
    serve();
    expect_body("some", WSGI_E_GONE);
    assert_string_equal(log_lines, "");
}

static void test_a_body_that_does_not_come(void **state)
{
    const wsgi_request_t request = request_with_body(100);
    const int64_t start_us = wsgi_now_us();

    (void)state;
    t.application = keep_ending;
    t.is_interrupting = true; /* the waiting is not begun anew */
    serve_request(&request, 0);
    expect_body("", WSGI_E_TIMEOUT);
    assert_in_range(wsgi_now_us() - start_us, TIMEOUT_US, 100 * TIMEOUT_US);
    expect_answer(HELLO " HEAD(200 OK) END."); /* the application may still answer */
}

static void expect_lost_body(void)
{
    t.application = keep_ending;
    serve();
    expect_body("", WSGI_E_IO);
    assert_true(is_logged("<3> WSGI1408: [group] (SERVE) lost the request body: "));
}

static void test_only_a_body_may_follow(void **state)
{
    const wsgi_request_t request = request_with_body(100);
    const uint32_t legal = WSGI_FRAME_BIT(WSGI_FRAME_BODY) | WSGI_FRAME_BIT(WSGI_FRAME_BODY_END) |
                           WSGI_FRAME_BIT(WSGI_FRAME_GONE);

    (void)state;
    for (unsigned type = 1; type < WSGI_FRAME_COUNT; type++) {
        if ((legal & WSGI_FRAME_BIT(type)) == 0) {
            start_again();
            put_request(t.far, 0, &request);
            put_least(type);
            expect_lost_body();
        }
    }
}

static void test_a_frame_of_the_body_that_is_too_large(void **state)
{
    const wsgi_request_t request = request_with_body(WSGI_BODY_UNKNOWN);

    (void)state;
    put_request(t.far, 0, &request);
    put_bytes(t.far, "\1\0\1\0\3\0\0\0", 8); /* 65537 bytes */
    expect_lost_body();
}

static int read_without_memory(wsgi_exchange_t *ex)
{
    t.is_out_of_memory = true;
    const ssize_t got = ex->verbs->read_body(ex, body_read, 1, WSGI_READ_BLOCK);
    t.is_out_of_memory = false;
    assert_int_equal(got, WSGI_E_IO);
    return say_hello(ex);
}

static void test_no_memory_for_the_body(void **state)
{
    const wsgi_request_t request = request_with_body(100);

    (void)state;
    t.application = read_without_memory;
    serve_request(&request, 0);
    assert_true(is_logged(wsgi_strerror(WSGI_E_NOMEM)));
}

static ssize_t read_now(wsgi_exchange_t *ex)
{
    return ex->verbs->read_body(ex, body_read, sizeof(body_read), WSGI_READ_NONBLOCK);
}

static int read_what_is_there(wsgi_exchange_t *ex)
{
    assert_int_equal(read_now(ex), WSGI_E_AGAIN);
    put_bytes(t.far, "\5\0\0\0\3\0\0\0he", 10);
    assert_int_equal(read_now(ex), WSGI_E_AGAIN);
    put_bytes(t.far, "llo", 3);
    assert_int_equal(read_now(ex), 5);
    assert_int_equal(read_now(ex), WSGI_E_AGAIN);
    put_body_end(t.far, WSGI_OK);
    assert_int_equal(read_now(ex), 0);
    return say_hello(ex);
}

static void test_reading_without_waiting(void **state)
{
    const wsgi_request_t request = request_with_body(5);

    (void)state;
    t.application = read_what_is_there;
    serve_request(&request, 0);
    expect_answer(HELLO_ANSWER);
}

/* --- CONTINUE -------------------------------------------------------------------------------- */

static int read_five(wsgi_exchange_t *ex)
{
    assert_int_equal(read_now(ex), WSGI_E_AGAIN);
    put_frame(t.far, WSGI_FRAME_BODY, "hello");
    assert_int_equal(read_now(ex), 5);
    assert_int_equal(read_now(ex), WSGI_E_AGAIN);
    return say_hello(ex);
}

static void test_continue_is_sent_once_and_only_when_asked(void **state)
{
    static const struct {
        uint32_t request_flags;
        uint8_t frame_flags;
        int (*application)(wsgi_exchange_t *ex);
        const char *answer;
    } cases[] = {
        {0, 0, read_five, HELLO_ANSWER},
        {0, WSGI_FRAME_FLAG_TELLME, read_five, HELLO " CONTINUE HEAD(200 OK) DATA(hello) END."},
        {WSGI_REQUEST_EXPECT, 0, read_five, HELLO " CONTINUE HEAD(200 OK) DATA(hello) END."},
        {WSGI_REQUEST_EXPECT, WSGI_FRAME_FLAG_TELLME, say_hello, HELLO_ANSWER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi_request_t request = request_with_body(10);

        start_again();
        request.flags = cases[i].request_flags;
        t.application = cases[i].application;
        serve_request(&request, cases[i].frame_flags);
        expect_answer(cases[i].answer);
    }
}

static void test_no_continue_for_a_body_that_is_here(void **state)
{
    wsgi_request_t request = request_with_body(4);

    (void)state;
    request.flags = WSGI_REQUEST_EXPECT | WSGI_REQUEST_BODY_INCLUDED;
    request.body_first = WSGI_LITERAL("here");
    t.application = keep_ending;
    serve_request(&request, WSGI_FRAME_FLAG_TELLME);
    expect_body("here", WSGI_OK);
    expect_answer(HELLO " HEAD(200 OK) END.");
}

/* --- SERVE: the answer ----------------------------------------------------------------------- */

static int answer_in_one(wsgi_exchange_t *ex)
{
    const unsigned count = t.send_count;

    assert_int_equal(say_hello(ex), WSGI_OK);
    assert_int_equal(t.send_count, count + 1);
    return WSGI_OK;
}

static void test_head_data_and_end_leave_together(void **state)
{
    (void)state;
    serve_usual(answer_in_one);
    assert_int_equal(t.send_count, 2); /* with HELLO */
    expect_answer(HELLO_ANSWER);
}

static int answer_in_parts(wsgi_exchange_t *ex)
{
    const wsgi_field_t field = {WSGI_LITERAL("X-A"), WSGI_LITERAL("b")};
    const wsgi_head_t later = {201, WSGI_LITERAL("Created"), &field, 1};
    const unsigned count = t.send_count;

    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(ex->verbs->send_head(ex, &later), WSGI_OK); /* replaces it */
    assert_int_equal(t.send_count, count);
    assert_int_equal(send_text(ex, "", WSGI_SEND_MORE), WSGI_OK);
    assert_false(ex->head_sent);
    assert_int_equal(send_text(ex, "now", WSGI_SEND_MORE), WSGI_OK);
    assert_true(ex->head_sent);
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_E_INVALID);
    assert_int_equal(send_text(ex, "soon", WSGI_SEND_HOLD), WSGI_OK);
    assert_int_equal(send_text(ex, "", WSGI_SEND_LAST), WSGI_OK);
    assert_int_equal(ex->bytes_out, 7);
    return finish(ex);
}

static void test_an_answer_in_parts(void **state)
{
    (void)state;
    serve_usual(answer_in_parts);
    expect_answer(HELLO " HEAD(201 Created; X-A: b) DATA(now)! DATA(soon) END.");
}

enum { LARGE = 3 << 20 };

static int answer_large(wsgi_exchange_t *ex)
{
    char *data = malloc(LARGE);

    for (size_t i = 0; i < LARGE; i++) {
        data[i] = (char)(i * 7 + i / 251);
    }
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(ex->verbs->send_body(ex, data, LARGE - 1, WSGI_SEND_MORE), WSGI_OK);
    assert_int_equal(ex->verbs->send_body(ex, data + LARGE - 1, 1, WSGI_SEND_LAST), WSGI_OK);
    assert_int_equal(ex->bytes_out, LARGE);
    free(data);
    return finish(ex);
}

static void *collect_aside(void *data)
{
    (void)data;
    collect(&t.got, t.far);
    return NULL;
}

static void serve_with_reader(int (*application)(wsgi_exchange_t *ex))
{
    pthread_t reader;

    assert_int_equal(pthread_create(&reader, NULL, collect_aside, NULL), 0);
    serve_usual(application);
    assert_int_equal(pthread_join(reader, NULL), 0);
}

/* Every byte in its place, 64 KiB a frame, the flush asked for once. */
static void test_a_large_answer(void **state)
{
    wsgi_frame_t frame;
    ssize_t size;
    size_t body = 0, at = 0;
    unsigned flushes = 0;

    (void)state;
    serve_with_reader(answer_large);
    for (; at < t.got.bytes.len; at += (size_t)size) {
        const wsgi_bytes_t left = {t.got.bytes.data + at, t.got.bytes.len - at};
        size = wsgi_wire_take(left, UINT32_MAX, &frame, NULL);
        assert_true(size > 0);
        for (size_t i = 0; frame.type == WSGI_FRAME_DATA && i < frame.payload.len; i++, body++) {
            if (frame.payload.data[i] != (char)(body * 7 + body / 251) && body != LARGE - 1) {
                fail_msg("byte %zu", body);
            }
        }
        flushes += (frame.flags & WSGI_FRAME_FLAG_FLUSH) != 0;
    }
    assert_int_equal(body, LARGE);
    assert_int_equal(flushes, 1);
    assert_int_equal(frame.type, WSGI_FRAME_END);
}

static int answer_without_body(wsgi_exchange_t *ex)
{
    const unsigned count = t.send_count;

    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(finish(ex), WSGI_OK);
    assert_int_equal(t.send_count, count + 1);
    return WSGI_OK;
}

static void test_an_answer_without_body(void **state)
{
    (void)state;
    serve_usual(answer_without_body);
    expect_answer(HELLO " HEAD(200 OK) END.");
}

static int refuse_head(wsgi_exchange_t *ex)
{
    const wsgi_head_t illegal = {99, WSGI_LITERAL(""), NULL, 0};

    assert_int_equal(ex->verbs->send_head(ex, &illegal), WSGI_E_INVALID);
    t.is_out_of_memory = true;
    const int code = ex->verbs->send_head(ex, &ok_head);
    t.is_out_of_memory = false;
    assert_int_equal(code, WSGI_E_NOMEM);
    return ex->verbs->finish(ex, WSGI_FAILED, 500);
}

static void test_a_head_that_cannot_be_taken(void **state)
{
    (void)state;
    serve_usual(refuse_head);
    expect_answer(HELLO " ABORT(500)");
}

/* --- ABORT ----------------------------------------------------------------------------------- */

static int fail_before_head(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    return ex->verbs->finish(ex, WSGI_FAILED, 503);
}

static int truncate_at_head(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    return ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
}

static int truncate_in_body(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(send_text(ex, "half", WSGI_SEND_MORE), WSGI_OK);
    return ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
}

static void test_answers_given_up(void **state)
{
    static const struct {
        int (*application)(wsgi_exchange_t *ex);
        const char *answer;
    } cases[] = {
        {fail_before_head, HELLO " ABORT(503)"},
        {truncate_at_head, HELLO " HEAD(200 OK) ABORT(0)"},
        {truncate_in_body, HELLO " HEAD(200 OK) DATA(half)! ABORT(0)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start_again();
        serve_usual(cases[i].application);
        expect_answer(cases[i].answer);
        assert_int_equal(t.row.requests, 1);
        assert_int_equal(t.row.errors, 1);
        assert_int_equal(t.served, WSGI_SERVED);
    }
}

static void test_no_interpreter(void **state)
{
    (void)state;
    t.missing_interpreter = "Python is stopping";
    serve_usual(must_not_be_called);
    expect_answer(HELLO " LOG(3(Python is stopping)) ABORT(500)");
    assert_int_equal(t.row.errors, 1);
}

/* --- GOAWAY ---------------------------------------------------------------------------------- */

static int decline(wsgi_exchange_t *ex)
{
    (void)ex;
    return WSGI_E_DECLINED;
}

static void check_before_goaway(void *baton)
{
    *(unsigned *)baton += 1;
    assert_int_equal(t.send_count, 1); /* HELLO */
    assert_int_equal(t.row.busy, 0);
}

static void test_a_changed_script_is_handed_back(void **state)
{
    unsigned retired = 0;

    (void)state;
    t.settings.on_retire = check_before_goaway;
    t.settings.baton = &retired;
    serve_usual(decline);
    expect_answer(HELLO " GOAWAY");
    assert_int_equal(t.served, WSGI_SERVED_RETIRE);
    assert_int_equal(retired, 1);
    assert_int_equal(t.row.errors, 0);
}

/* --- flights --------------------------------------------------------------------------------- */

static wsgi_flights_t flights;

static int fail_to_load(wsgi_exchange_t *ex)
{
    assert_int_equal(flights.running, 1);
    assert_int_equal(flights.journal->entries[0].is_used, 1);
    ex->is_spoilt = true;
    ex->verbs->finish(ex, WSGI_FAILED, 500);
    return WSGI_E_INVALID;
}

static void serve_noted(int (*application)(wsgi_exchange_t *ex))
{
    assert_int_equal(wsgi_flights_init(&flights, 1, wsgi_journal_open()), WSGI_OK);
    t.settings.flights = &flights;
    serve_usual(application);
    assert_int_equal(flights.running, 0);
    assert_int_equal(flights.journal->entries[0].is_used, 0);
    wsgi_journal_close(flights.journal);
    wsgi_flights_free(&flights);
}

static void test_a_request_is_noted_while_it_is_served(void **state)
{
    (void)state;
    serve_noted(fail_to_load);
    expect_answer(HELLO " ABORT(500)");
    assert_int_equal(flights.completed, 1);
    assert_true(flights.is_spoilt);
}

static void test_one_that_is_handed_back_is_not_counted(void **state)
{
    unsigned retired = 0;

    (void)state;
    t.settings.on_retire = check_before_goaway;
    t.settings.baton = &retired;
    serve_noted(decline);
    expect_answer(HELLO " GOAWAY");
    assert_int_equal(flights.completed, 0);
    assert_false(flights.is_spoilt);
}

/* --- LOG ------------------------------------------------------------------------------------- */

static int log_and_answer(wsgi_exchange_t *ex)
{
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, "before");
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    ex->verbs->log(ex, WSGI_LOG_INFO, NULL, 0, "between");
    assert_int_equal(send_text(ex, "hello", WSGI_SEND_LAST), WSGI_OK);
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, "after");
    return finish(ex);
}

/* Behind END the caller reads no more. */
static void test_lines_go_to_the_caller_up_to_the_end(void **state)
{
    (void)state;
    serve_usual(log_and_answer);
    expect_answer(HELLO " LOG(3(before)) LOG(6(between)) HEAD(200 OK) DATA(hello) END.");
    assert_string_equal(log_lines, "<3> [request ID] after\n");
}

/* Fills the pair until a line does not go whole, or not at all. */
static void fill(wsgi_exchange_t *ex, const char *line, unsigned *count)
{
    log_lines[0] = '\0';
    for (*count = 0; log_lines[0] == '\0' && t.conn.debt.len == 0; ++*count) {
        assert_true(*count < 100000);
        ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, line);
    }
}

static unsigned lines_sent;

static int log_more_than_fits(wsgi_exchange_t *ex)
{
    const int64_t start_us = wsgi_now_us();

    fill(ex, "a line", &lines_sent);
    assert_int_equal(t.conn.debt.len, 0);
    assert_string_equal(log_lines, "<3> [request ID] a line\n");
    assert_true(wsgi_now_us() - start_us < 50 * TIMEOUT_US);
    lines_sent--;
    return WSGI_OK;
}

static void test_a_line_that_cannot_be_sent_at_once(void **state)
{
    transcript_t *got = &t.got;
    wsgi_frame_t frame;
    unsigned count = 0;

    (void)state;
    serve_usual(log_more_than_fits);
    collect(got, t.far);
    for (size_t at = 0; at < got->bytes.len; count++) {
        const ssize_t size = wsgi_wire_take(
            (wsgi_bytes_t){got->bytes.data + at, got->bytes.len - at},
            WSGI_FRAME_BIT(count == 0 ? WSGI_FRAME_HELLO : WSGI_FRAME_LOG), &frame, NULL);
        assert_true(size > 0);
        at += (size_t)size;
    }
    assert_int_equal(count, lines_sent + 1);
}

static char long_line[10001];

static void *collect_soon(void *data)
{
    usleep(20000);
    return collect_aside(data);
}

/* A part of a line has gone out: the rest is owed, and goes before all else. */
static int log_half_a_line(wsgi_exchange_t *ex)
{
    int room = 1; /* the kernel makes the least of it */
    pthread_t *reader = (pthread_t *)t.settings.baton;

    setsockopt(t.conn.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    memset(long_line, 'x', sizeof(long_line) - 1);
    fill(ex, long_line, &lines_sent);
    assert_true(t.conn.debt.len > 0);
    assert_string_equal(log_lines, "");
    assert_true(collect_some(&t.got, t.far, 64 << 10)); /* there is room again */
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, "overtakes");
    assert_string_equal(log_lines, "<3> [request ID] overtakes\n");
    assert_int_equal(pthread_create(reader, NULL, collect_soon, NULL), 0);
    return say_hello(ex);
}

static void test_the_rest_of_a_line_goes_first(void **state)
{
    pthread_t reader;

    (void)state;
    t.settings.baton = &reader;
    t.settings.socket_timeout_us = 50 * TIMEOUT_US;
    serve_usual(log_half_a_line);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(lines_sent, 1);
    assert_string_equal(describe(&t.got), HELLO " LOG(3[10000]) HEAD(200 OK) DATA(hello) END.");
}

/* --- the other end --------------------------------------------------------------------------- */

static int answer_nobody(wsgi_exchange_t *ex)
{
    close_far();
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(send_text(ex, "more", WSGI_SEND_MORE), WSGI_E_GONE);
    assert_true(ex->verbs->is_aborted(ex));
    const unsigned count = t.send_count;
    assert_int_equal(send_text(ex, "more", WSGI_SEND_MORE), WSGI_E_GONE);
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, "a line");
    ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
    assert_int_equal(t.send_count, count); /* not tried again */
    return WSGI_E_GONE;
}

static void test_the_caller_goes_during_the_answer(void **state)
{
    (void)state;
    serve_usual(answer_nobody);
    assert_string_equal(log_lines, "<3> [request ID] a line\n");
    assert_int_equal(t.row.errors, 1);
    assert_int_equal(t.served, WSGI_SERVED);
}

static int answer_a_sleeper(wsgi_exchange_t *ex)
{
    static char data[1 << 20];
    const int64_t start_us = wsgi_now_us();

    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(ex->verbs->send_body(ex, data, sizeof(data), WSGI_SEND_MORE), WSGI_E_GONE);
    assert_in_range(wsgi_now_us() - start_us, TIMEOUT_US, 100 * TIMEOUT_US);
    assert_true(ex->verbs->is_aborted(ex));
    assert_int_equal(ex->verbs->finish(ex, WSGI_TRUNCATED, 0), WSGI_E_GONE);
    return WSGI_E_GONE;
}

static void test_a_caller_that_stops_reading(void **state)
{
    (void)state;
    serve_usual(answer_a_sleeper);
    assert_int_equal(t.row.errors, 1);
}

/* --- counters -------------------------------------------------------------------------------- */

/* A caller that has read END may send its next request at once, and must find the place free. */
static void check_not_busy_at_end(const struct msghdr *sent)
{
    if (t.send_count == 2) {
        assert_int_equal(sent->msg_iovlen, 4); /* HEAD, header and bytes of DATA, END */
        assert_int_equal(t.row.busy, 0);
    }
}

static void test_the_place_is_free_before_the_caller_knows(void **state)
{
    (void)state;
    t.on_send = check_not_busy_at_end;
    serve_usual(say_hello);
    assert_int_equal(t.send_count, 2);
    assert_int_equal(t.row.requests, 1);
}

static void test_the_row_of_another_generation_is_left_alone(void **state)
{
    (void)state;
    t.row.generation++;
    serve_usual(fail_before_head);
    assert_int_equal(t.call_count, 1);
    assert_int_equal(t.row.requests, 0);
    assert_int_equal(t.row.errors, 0);
}

static int lose_the_row(wsgi_exchange_t *ex)
{
    t.row.generation++;
    t.row.busy = 0; /* as the next supervisor makes it */
    return say_hello(ex);
}

static void test_a_row_that_is_taken_during_the_request(void **state)
{
    (void)state;
    serve_usual(lose_the_row);
    expect_answer(HELLO_ANSWER);
}

/* --- files ----------------------------------------------------------------------------------- */

static int file_fd;

static int answer_by_file(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(ex->verbs->send_file(ex, file_fd, 3, 5), WSGI_OK);
    assert_int_equal(ex->bytes_out, 5);
    assert_int_equal(lseek(file_fd, 0, SEEK_CUR), 1); /* not moved */
    return finish(ex);
}

static void open_file(int flags)
{
    char path[64];
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(write(fd, "0123456789", 10), 10);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    file_fd = __real_open(path, flags);
    assert_true(file_fd >= 0);
    wsgi_fd_close(&fd);
    lseek(file_fd, 1, SEEK_SET);
}

/* What httpd is given it could use: for reading only, whatever the application has. */
static void test_a_file_is_passed_for_reading(void **state)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY};
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        start_again();
        open_file(flags[i]);
        serve_usual(answer_by_file);
        expect_answer(HELLO " HEAD(200 OK) FILE(3,5)! END.");
        assert_int_equal(t.got.passed_count, 1);
        const int passed = t.got.passed_fds[0];
        assert_int_equal(fcntl(passed, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(pread(passed, text, sizeof(text), 3), 7);
        assert_memory_equal(text, "3456789", 7);
        wsgi_fd_close(&file_fd);
    }
}

static int answer_by_file_in_small_parts(wsgi_exchange_t *ex)
{
    static char value[9000];
    int room = 1; /* the kernel makes the least of it */
    const wsgi_field_t field = {WSGI_LITERAL("X"), {value, sizeof(value)}};
    const wsgi_head_t head = {200, WSGI_LITERAL("OK"), &field, 1};

    setsockopt(t.conn.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    memset(value, 'v', sizeof(value));
    assert_int_equal(ex->verbs->send_head(ex, &head), WSGI_OK);
    assert_int_equal(ex->verbs->send_file(ex, file_fd, 0, 10), WSGI_OK);
    return finish(ex);
}

static void test_a_descriptor_travels_once(void **state)
{
    (void)state;
    open_file(O_RDONLY);
    t.settings.socket_timeout_us = 50 * TIMEOUT_US;
    serve_with_reader(answer_by_file_in_small_parts);
    assert_true(t.send_count > 3);
    assert_int_equal(t.got.passed_count, 1);
    assert_non_null(strstr(describe(&t.got), "v) FILE(0,10)! END."));
    wsgi_fd_close(&file_fd);
}

static void test_a_file_that_cannot_be_opened_again_is_copied(void **state)
{
    (void)state;
    open_file(O_RDWR);
    t.is_open_refused = true;
    serve_usual(answer_by_file);
    expect_answer(HELLO " HEAD(200 OK) DATA(34567)! END.");
    assert_int_equal(t.got.passed_count, 0);
    wsgi_fd_close(&file_fd);
}

static int fail_by_file(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->send_head(ex, &ok_head), WSGI_OK);
    assert_int_equal(ex->verbs->send_file(ex, file_fd, 8, 5), WSGI_E_IO);
    return ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
}

static void test_a_file_that_is_shorter_than_said(void **state)
{
    (void)state;
    open_file(O_RDWR);
    t.is_open_refused = true;
    serve_usual(fail_by_file);
    expect_answer(HELLO " HEAD(200 OK) DATA(89)! ABORT(0)");
    wsgi_fd_close(&file_fd);
}

static void test_what_is_no_file(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    file_fd = fds[0];
    serve_usual(fail_by_file);
    expect_answer(HELLO " HEAD(200 OK) ABORT(0)");
    assert_int_equal(t.got.passed_count, 0);
    wsgi_fd_close(&fds[0]);
    wsgi_fd_close(&fds[1]);

    start_again();
    file_fd = __real_open("/tmp", O_RDONLY | O_DIRECTORY);
    serve_usual(fail_by_file);
    expect_answer(HELLO " HEAD(200 OK) ABORT(0)");
    assert_int_equal(t.got.passed_count, 0);
    wsgi_fd_close(&file_fd);
}

/* --- one connection after the other ---------------------------------------------------------- */

static void next_pair(void)
{
    int pair[2];

    wsgi_fd_close(&t.far);
    forget(&t.got);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    t.near = pair[0];
    t.far = pair[1];
}

static int read_a_byte(wsgi_exchange_t *ex)
{
    assert_int_equal(ex->verbs->read_body(ex, body_read, 1, WSGI_READ_BLOCK), 1);
    return say_hello(ex);
}

static void test_a_body_left_half_way_is_gone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        wsgi_request_t request = request_with_body(100);

        put_request(t.far, 0, &request);
        put_frame(t.far, WSGI_FRAME_BODY, "left behind");
        t.application = read_a_byte;
        serve();
        next_pair();
    }
    t.call_count = 0;
    put_body_in_parts();
    t.application = keep_ending;
    serve();
    expect_body("first second third", WSGI_OK);
}

/* Half a body unread, half a head unsent, a client gone: nothing of it reaches the next request. */
static void test_nothing_is_left_for_the_next(void **state)
{
    wsgi_request_t request = request_with_body(100);

    (void)state;
    request.body_first = WSGI_LITERAL("unread");
    put_request(t.far, WSGI_FRAME_FLAG_TELLME, &request);
    put_frame(t.far, WSGI_FRAME_BODY, "unread too");
    t.application = answer_nobody;
    serve();

    next_pair();
    serve_usual(look_at_request);
    expect_answer(HELLO_ANSWER);
    assert_int_equal(t.conn.exchange.bytes_out, 5);

    next_pair();
    serve_usual(fail_before_head);
    next_pair();
    serve_usual(keep_ending);
    assert_int_equal(ending, WSGI_OK);
    expect_answer(HELLO " HEAD(200 OK) END.");
    assert_int_equal(t.row.requests, 4);
    assert_int_equal(t.row.errors, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_answered),
        TEST(test_a_name_that_clients_choose_is_told),
        TEST(test_a_request_in_crumbs),
        TEST(test_interrupted_calls_are_repeated),
        TEST(test_a_request_that_is_withdrawn_begins_nothing),
        TEST(test_a_caller_that_closes_without_reading_hello_begins_nothing),
        TEST(test_an_interrupted_look_is_no_withdrawal),
        TEST(test_a_caller_that_has_left_begins_nothing),
        TEST(test_an_end_within_the_request_begins_nothing),
        TEST(test_silence_instead_of_a_request),
        TEST(test_garbage_instead_of_a_request),
        TEST(test_a_request_that_is_too_large),
        TEST(test_only_a_request_may_come_first),
        TEST(test_another_frame_is_refused_by_its_header),
        TEST(test_no_memory_for_the_request),
        TEST(test_names_of_states),
        TEST(test_requests_follow_each_other),
        TEST(test_nothing_on_a_kept_connection),
        TEST(test_a_kept_connection_is_taken_back),
        TEST(test_a_withdrawn_request_on_a_kept_connection),
        TEST(test_a_firm_request_is_not_looked_after),
        TEST(test_garbage_on_a_kept_connection),
        TEST(test_a_body_that_is_read_to_its_length),
        TEST(test_a_body_that_nobody_asked_for),
        TEST(test_a_body_that_is_not_read),
        TEST(test_what_comes_behind_a_request),
        TEST(test_an_answer_that_fails_is_not_kept),
        TEST(test_a_request_that_is_too_old),
        TEST(test_no_body),
        TEST(test_a_body_that_is_included),
        TEST(test_a_body_in_parts),
        TEST(test_a_body_that_ends_with_an_error),
        TEST(test_the_client_goes_during_its_body),
        TEST(test_the_caller_goes_during_the_body),
        TEST(test_a_body_that_does_not_come),
        TEST(test_only_a_body_may_follow),
        TEST(test_a_frame_of_the_body_that_is_too_large),
        TEST(test_no_memory_for_the_body),
        TEST(test_reading_without_waiting),
        TEST(test_continue_is_sent_once_and_only_when_asked),
        TEST(test_no_continue_for_a_body_that_is_here),
        TEST(test_head_data_and_end_leave_together),
        TEST(test_an_answer_in_parts),
        TEST(test_a_large_answer),
        TEST(test_an_answer_without_body),
        TEST(test_a_head_that_cannot_be_taken),
        TEST(test_answers_given_up),
        TEST(test_no_interpreter),
        TEST(test_a_changed_script_is_handed_back),
        TEST(test_a_request_is_noted_while_it_is_served),
        TEST(test_one_that_is_handed_back_is_not_counted),
        TEST(test_lines_go_to_the_caller_up_to_the_end),
        TEST(test_a_line_that_cannot_be_sent_at_once),
        TEST(test_the_rest_of_a_line_goes_first),
        TEST(test_the_caller_goes_during_the_answer),
        TEST(test_a_caller_that_stops_reading),
        TEST(test_the_place_is_free_before_the_caller_knows),
        TEST(test_the_row_of_another_generation_is_left_alone),
        TEST(test_a_row_that_is_taken_during_the_request),
        TEST(test_a_file_is_passed_for_reading),
        TEST(test_a_descriptor_travels_once),
        TEST(test_a_file_that_cannot_be_opened_again_is_copied),
        TEST(test_a_file_that_is_shorter_than_said),
        TEST(test_what_is_no_file),
        TEST(test_a_body_left_half_way_is_gone),
        TEST(test_nothing_is_left_for_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
