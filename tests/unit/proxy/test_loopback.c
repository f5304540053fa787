/* tests/unit/proxy/test_loopback.c — both ends of the wire in one process: wsgi_proxy_serve() in
 * threads that play httpd's, and the connections of a worker in others. Where the gateway would
 * call an application stands the test's own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recorder.h"

#include "daemon/connection.h"
#include "proxy/link.h"
#include "wsgi_gateway.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { WORKER_THREADS = 3, CALLERS = 12, ROUNDS = 25 };

typedef int application_t(wsgi_exchange_t *ex);

static application_t *_Atomic the_application;

/* In place of the archives' own: these come first, so those are not linked. */

wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result)
{
    (void)is_open_name, (void)result;
    return (wsgi_interp_t *)(uintptr_t)name;
}

int wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex, enum wsgi_reload_mode mode)
{
    application_t *application = atomic_load(&the_application);

    (void)interp;
    return mode == WSGI_RELOAD_BY_PROCESS ? application(ex) : WSGI_E_INVALID;
}

/* The worker: threads that take from the rendezvous until nobody can call any more. */

typedef struct house {
    int ends[2];
    wsgi_counters_t counters;
    wsgi_connection_settings_t worker;
    pthread_t threads[WORKER_THREADS];
    wsgi_link_t *link;
    _Atomic unsigned retired;
    int file; /* that the application may send, or -1 */
} house_t;

static _Atomic int the_file;

static int take_scout(int rendezvous_fd)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec one_byte = {&byte, 1};
    struct msghdr message = {.msg_iov = &one_byte,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(rendezvous_fd, &message, MSG_CMSG_CLOEXEC) == 1) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    }
    return fd;
}

static void *work(void *baton)
{
    house_t *house = baton;
    wsgi_connection_t conn;
    int fd;

    wsgi_connection_init(&conn, &house->worker);
    while ((fd = take_scout(house->ends[1])) >= 0) {
        house->retired += wsgi_connection_serve(&conn, fd) == WSGI_SERVED_RETIRE;
    }
    wsgi_connection_free(&conn);
    return NULL;
}

static int open_house(void **state)
{
    static house_t house;
    static const int64_t patience_us = 30000000;

    memset(&house, 0, sizeof(house));
    house.file = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, house.ends), 0);
    house.counters.state = WSGI_GROUP_READY;
    house.counters.rows[3].generation = 5;
    house.worker = (wsgi_connection_settings_t){
        .group = "blue",
        .row = &house.counters.rows[3],
        .hello = {WSGI_WIRE_VERSION, 3, 5},
        .socket_timeout_us = patience_us,
    };
    house.link = wsgi_link_open(&(wsgi_link_settings_t){
        .group = "blue",
        .rendezvous_fd = house.ends[0],
        .counters = &house.counters,
        .processes = 1,
        .rows = 1,
        .connect_timeout_us = patience_us,
        .socket_timeout_us = patience_us,
    });
    assert_non_null(house.link);
    for (size_t i = 0; i < WORKER_THREADS; i++) {
        assert_int_equal(pthread_create(&house.threads[i], NULL, work, &house), 0);
    }
    *state = &house;
    return 0;
}

static int close_house(void **state)
{
    house_t *house = *state;

    wsgi_fd_close(&house->ends[0]);
    for (size_t i = 0; i < WORKER_THREADS; i++) {
        assert_int_equal(pthread_join(house->threads[i], NULL), 0);
    }
    wsgi_fd_close(&house->ends[1]);
    wsgi_fd_close(&house->file);
    wsgi_link_close(house->link);
    assert_int_equal(house->counters.rows[3].busy, 0);
    return 0;
}

static int serve(house_t *house, recorder_t *client, application_t *application)
{
    wsgi_result_t result;

    the_application = application;
    const int code = wsgi_proxy_serve(house->link, &client->ex, &result);
    assert_int_equal(result.code, code);
    assert_int_equal(client->finish_calls, 1);
    return code;
}

static int send_head(wsgi_exchange_t *ex, unsigned status)
{
    static const wsgi_field_t field = {WSGI_LITERAL("X-Served-By"), WSGI_LITERAL("loopback")};

    return ex->verbs->send_head(ex, &(wsgi_head_t){status, WSGI_LITERAL("Fine"), &field, 1});
}

/* Bodies */

static int echo(wsgi_exchange_t *ex)
{
    char bytes[50000];
    ssize_t count;
    int code = send_head(ex, 200);

    while (code == WSGI_OK &&
           (count = ex->verbs->read_body(ex, bytes, sizeof(bytes), WSGI_READ_BLOCK)) > 0) {
        code = ex->verbs->send_body(ex, bytes, (size_t)count, WSGI_SEND_MORE);
    }
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

static char *some_body(size_t len)
{
    char *body = malloc(len + 1);

    assert_non_null(body);
    for (size_t i = 0; i < len; i++) {
        body[i] = (char)(i * 2654435761u >> 24);
    }
    return body;
}

static void test_bodies_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 3000000};
    house_t *house = *state;
    recorder_t client;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned is_announced = 0; is_announced < 2; is_announced++) {
            char *body = some_body(sizes[i]);

            recorder_init(&client);
            recorder_set_body(&client, body, sizes[i], sizes[i]);
            client.ex.request.flags = is_announced != 0 ? WSGI_REQUEST_EXPECT : 0;
            client.ex.request.body_length =
                is_announced != 0 ? (int64_t)sizes[i] : WSGI_BODY_UNKNOWN;
            assert_int_equal(serve(house, &client, echo), WSGI_OK);
            assert_int_equal(client.outcome, WSGI_DONE);
            assert_string_equal(client.fields, "X-Served-By: loopback\n");
            assert_int_equal(client.sent.len, sizes[i]);
            assert_true(sizes[i] == 0 || memcmp(client.sent.data, body, sizes[i]) == 0);
            recorder_free(&client);
            free(body);
        }
    }
}

static int answer_with_read_error(wsgi_exchange_t *ex)
{
    char bytes[16], text[16];
    ssize_t count;

    while ((count = ex->verbs->read_body(ex, bytes, sizeof(bytes), WSGI_READ_BLOCK)) > 0) {
    }
    const int len = snprintf(text, sizeof(text), "%d", (int)count);
    (void)send_head(ex, 400);
    (void)ex->verbs->send_body(ex, text, (size_t)len, WSGI_SEND_LAST);
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

static void test_the_end_of_a_body_is_the_same_at_both_ends(void **state)
{
    static const int codes[] = {WSGI_E_TIMEOUT, WSGI_E_TOO_LARGE, WSGI_E_SHORT, WSGI_E_IO};
    house_t *house = *state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        recorder_t client;
        char text[16];

        recorder_init(&client);
        recorder_set_body(&client, "short", 5, 5);
        client.ex.request.body_length = 100000;
        client.body_end = codes[i];
        assert_int_equal(serve(house, &client, answer_with_read_error), WSGI_OK);
        snprintf(text, sizeof(text), "%d", codes[i]);
        assert_int_equal(client.sent.len, strlen(text));
        assert_memory_equal(client.sent.data, text, strlen(text));
        assert_int_equal(client.flags[0], WSGI_SEND_LAST); /* came with END in one write */
        recorder_free(&client);
    }
}

/* Ends */

static int give_up(wsgi_exchange_t *ex)
{
    ex->verbs->log(ex, WSGI_LOG_ERR, NULL, 0, "it did not work");
    return ex->verbs->finish(ex, WSGI_FAILED, 507);
}

static int cut(wsgi_exchange_t *ex)
{
    (void)send_head(ex, 200);
    (void)ex->verbs->send_body(ex, "part", 4, WSGI_SEND_MORE);
    return ex->verbs->finish(ex, WSGI_TRUNCATED, 0);
}

static int leave(wsgi_exchange_t *ex)
{
    (void)ex;
    return WSGI_OK; /* as a worker that dies: the connection closes */
}

static int leave_in_the_answer(wsgi_exchange_t *ex)
{
    (void)send_head(ex, 200);
    return ex->verbs->send_body(ex, "part", 4, WSGI_SEND_MORE);
}

static int decline(wsgi_exchange_t *ex)
{
    (void)ex;
    return WSGI_E_DECLINED;
}

static _Atomic unsigned asked;

static int decline_once(wsgi_exchange_t *ex)
{
    return asked++ == 0 ? WSGI_E_DECLINED : echo(ex);
}

static int send_empty(wsgi_exchange_t *ex)
{
    (void)send_head(ex, 204);
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

static void test_ends(void **state)
{
    static const struct {
        application_t *application;
        int code;
        enum wsgi_outcome outcome;
        unsigned status;
        size_t sent;
    } cases[] = {
        {give_up, WSGI_OK, WSGI_FAILED, 507, 0},
        {cut, WSGI_OK, WSGI_TRUNCATED, 0, 4},
        {leave, WSGI_E_DIED, WSGI_FAILED, 502, 0},
        {leave_in_the_answer, WSGI_E_DIED, WSGI_TRUNCATED, 0, 4},
        {decline, WSGI_E_REFUSED, WSGI_FAILED, 503, 0},
        {decline_once, WSGI_OK, WSGI_DONE, 0, 4},
        {send_empty, WSGI_OK, WSGI_DONE, 0, 0},
    };
    house_t *house = *state;

    asked = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        recorder_t client;

        recorder_init(&client);
        recorder_set_body(&client, "body", 4, 4);
        assert_int_equal(serve(house, &client, cases[i].application), cases[i].code);
        assert_int_equal(client.outcome, cases[i].outcome);
        assert_int_equal(client.finish_status, cases[i].status);
        assert_int_equal(client.sent.len, cases[i].sent);
        assert_int_equal(client.log_calls, cases[i].application == give_up ? 1 : 0);
        recorder_free(&client);
    }
    assert_int_equal(asked, 2);
}

static void test_a_line_for_the_log(void **state)
{
    recorder_t client;

    recorder_init(&client);
    assert_int_equal(serve(*state, &client, give_up), WSGI_OK);
    assert_int_equal(client.log_level, WSGI_LOG_ERR);
    assert_string_equal(client.log_text, "it did not work");
}

/* Files */

static int send_files(wsgi_exchange_t *ex)
{
    (void)send_head(ex, 200);
    (void)ex->verbs->send_file(ex, the_file, 6, 5);
    (void)ex->verbs->send_body(ex, " ", 1, WSGI_SEND_MORE);
    (void)ex->verbs->send_file(ex, the_file, 0, 5);
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

static void test_files(void **state)
{
    house_t *house = *state;
    recorder_t client;

    the_file = house->file = memfd_create("answer", MFD_CLOEXEC);
    assert_int_equal(write(house->file, "hello world", 11), 11);
    recorder_init(&client);
    assert_int_equal(serve(house, &client, send_files), WSGI_OK);
    assert_int_equal(client.file_calls, 2);
    assert_int_equal(client.sent.len, 11);
    assert_memory_equal(client.sent.data, "world hello", 11);
    recorder_free(&client);
}

/* Many at once: more callers than places, more places than threads. */

static void *call(void *baton)
{
    house_t *house = baton;
    char *body = some_body(100000);
    uintptr_t good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const size_t len = i % 5 == 0 ? 100000 : i;
        wsgi_result_t result;
        recorder_t client;

        recorder_init(&client);
        recorder_set_body(&client, body, len, len);
        good += wsgi_proxy_serve(house->link, &client.ex, &result) == WSGI_OK &&
                client.outcome == WSGI_DONE && client.sent.len == len &&
                (len == 0 || memcmp(client.sent.data, body, len) == 0);
        recorder_free(&client);
    }
    free(body);
    return (void *)good;
}

static void test_many_at_once(void **state)
{
    house_t *house = *state;
    pthread_t callers[CALLERS];

    the_application = echo;
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call, house), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        void *good;

        assert_int_equal(pthread_join(callers[i], &good), 0);
        assert_int_equal((uintptr_t)good, ROUNDS);
    }
    assert_int_equal(house->counters.rows[3].requests, CALLERS * ROUNDS);
    assert_int_equal(house->counters.rows[3].errors, 0);
}

static void test_a_worker_that_declines_retires(void **state)
{
    house_t *house = *state;
    recorder_t client;

    recorder_init(&client);
    assert_int_equal(serve(house, &client, decline), WSGI_E_REFUSED);
    close_house(state); /* what its threads have noted is complete then */
    assert_int_equal(house->retired, 3);
    assert_int_equal(house->counters.rows[3].errors, 0);
    open_house(state);
}

static void test_nobody_is_left(void **state)
{
    house_t *house = *state;
    recorder_t client;

    assert_int_equal(shutdown(house->ends[0], SHUT_WR), 0);
    recorder_init(&client);
    assert_int_equal(serve(house, &client, echo), WSGI_E_REFUSED);
    assert_int_equal(client.finish_status, 503);
}

#define house_test(f) cmocka_unit_test_setup_teardown(f, open_house, close_house)

int main(void)
{
    const struct CMUnitTest tests[] = {
        house_test(test_bodies_come_back),
        house_test(test_the_end_of_a_body_is_the_same_at_both_ends),
        house_test(test_ends),
        house_test(test_a_line_for_the_log),
        house_test(test_files),
        house_test(test_many_at_once),
        house_test(test_a_worker_that_declines_retires),
        house_test(test_nobody_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
