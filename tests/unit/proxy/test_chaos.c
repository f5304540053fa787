/* tests/unit/proxy/test_chaos.c — both ends of the wire in one process, for a while: callers that
 * hurry, dawdle and give up; workers that drain, decline and come again. Each request has a number,
 * and what was executed is counted: an answer is proof of exactly once, a refusal of never.
 *
 * WSGI_CHAOS_SECONDS makes it longer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recorder.h"

#include "daemon/threads.h"
#include "proxy/proxy_private.h"
#include "wsgi_gateway.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    WORKERS = 3,
    THREADS = 4,
    CHILDREN = 2, /* links: each has its own row, idle connections and places */
    CALLERS = 16, /* of each */
    REQUESTS_MOST = 1 << 20,
    BODY_MOST = 70000
};

typedef struct worker {
    wsgi_connection_settings_t connection;
    wsgi_threads_settings_t pool;
    wsgi_threads_t *threads;
    int event_read_fd;
} worker_t;

typedef struct caller {
    pthread_t handle;
    wsgi_link_t *link;
    unsigned seed;
    unsigned answered, refused, abandoned, wrong;
    int64_t longest_us;
} caller_t;

static struct {
    int ends[2];
    wsgi_counters_t *counters;
    wsgi_backlog_t *backlogs[CHILDREN]; /* in truth one for all, but a slot is one process's */
    worker_t workers[WORKERS];
    caller_t callers[CHILDREN * CALLERS];
    wsgi_link_t *links[CHILDREN];
    _Atomic uint32_t next_id;
    _Atomic unsigned char executed[REQUESTS_MOST];
    _Atomic bool is_over;
    _Atomic unsigned declined;
    char body[BODY_MOST];
} t;

/* --- the application ------------------------------------------------------------------------- */

wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result)
{
    (void)is_open_name, (void)result;
    return (wsgi_interp_t *)(uintptr_t)name;
}

void wsgi_runtime_thread_end(void)
{
}

static int echo(wsgi_exchange_t *ex)
{
    static const wsgi_head_t head = {200, {"OK", 2}, NULL, 0};
    char bytes[10000];
    ssize_t count;
    int code = ex->verbs->send_head(ex, &head);

    while (code == WSGI_OK &&
           (count = ex->verbs->read_body(ex, bytes, sizeof(bytes), WSGI_READ_BLOCK)) > 0) {
        code = ex->verbs->send_body(ex, bytes, (size_t)count, WSGI_SEND_MORE);
    }
    return ex->verbs->finish(ex, WSGI_DONE, 0);
}

int wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex, enum wsgi_reload_mode mode)
{
    const uint64_t id = ex->request.id;

    (void)interp, (void)mode;
    if (id % 997 == 0 && t.declined < id / 997) { /* each of these once, roughly */
        t.declined++;
        return WSGI_E_DECLINED;
    }
    t.executed[id]++;
    if (id % 20 == 0) {
        usleep(3000);
    }
    return echo(ex);
}

/* --- workers --------------------------------------------------------------------------------- */

static void start_worker(unsigned index)
{
    worker_t *worker = &t.workers[index];
    wsgi_worker_row_t *row = &t.counters->rows[index];
    wsgi_result_t result;

    row->generation++;
    worker->connection = (wsgi_connection_settings_t){
        .group = "chaos",
        .row = row,
        .hello = {WSGI_WIRE_VERSION, index, row->generation},
        .socket_timeout_us = 20000000,
    };
    worker->pool.connection = &worker->connection;
    worker->threads = wsgi_threads_open(&worker->pool, &result);
    assert_non_null(worker->threads);
    row->state = WSGI_WORKER_READY;
}

static void stop_worker(unsigned index)
{
    worker_t *worker = &t.workers[index];
    wsgi_worker_row_t *row = &t.counters->rows[index];
    char events[64];

    row->state = WSGI_WORKER_STOPPING;
    wsgi_threads_stop(worker->threads);
    wsgi_threads_free(worker->threads);
    while (read(worker->event_read_fd, events, sizeof(events)) > 0) {
    }
    assert_int_equal(row->busy, 0);
    assert_int_equal(row->leases, 0);
}

static bool has_event(const worker_t *worker)
{
    unsigned char event;

    return read(worker->event_read_fd, &event, 1) == 1;
}

/* --- callers --------------------------------------------------------------------------------- */

static void describe_request(caller_t *caller, recorder_t *client)
{
    const unsigned kind = (unsigned)rand_r(&caller->seed) % 20;
    const size_t len = kind == 0 ? BODY_MOST : kind < 5 ? kind * 100 : 0;

    recorder_init(client);
    client->ex.request.id = ++t.next_id;
    recorder_set_body(client, t.body, len, len);
}

static bool is_echo(const recorder_t *client)
{
    return client->outcome == WSGI_DONE && client->sent.len == client->body_len &&
           (client->body_len == 0 || memcmp(client->sent.data, t.body, client->body_len) == 0);
}

static void ask(caller_t *caller)
{
    const int64_t start_us = wsgi_now_us();
    wsgi_result_t result;
    recorder_t client;

    describe_request(caller, &client);
    const uint64_t id = client.ex.request.id;
    const int code = wsgi_proxy_serve(caller->link, &client.ex, &result);
    const int64_t took_us = wsgi_now_us() - start_us;
    caller->longest_us = took_us > caller->longest_us ? took_us : caller->longest_us;
    if (code == WSGI_OK) {
        caller->answered++;
        caller->wrong += !is_echo(&client) || t.executed[id] != 1;
    }
    else {
        caller->refused++;
        caller->wrong += code != WSGI_E_REFUSED || t.executed[id] != 0;
    }
    recorder_free(&client);
}

/* Lets a request go, wherever it is by then. */
static void abandon(caller_t *caller)
{
    wsgi_proxy_t *p = wsgi_proxy_new();
    const int64_t start_us = wsgi_now_us();
    wsgi_result_t result;
    recorder_t client;

    assert_non_null(p);
    describe_request(caller, &client);
    const uint64_t id = client.ex.request.id;
    wsgi_proxy_start(p, caller->link, &client.ex, &result, start_us);
    if (wsgi_proxy_step(p, start_us)) {
        usleep((unsigned)rand_r(&caller->seed) % 3000);
    }
    wsgi_proxy_release(p);
    wsgi_proxy_free(p);
    caller->abandoned++;
    caller->wrong += t.executed[id] > 1;
    recorder_free(&client);
}

static void *call(void *data)
{
    caller_t *caller = data;

    while (!t.is_over && t.next_id < REQUESTS_MOST - 2 * CHILDREN * CALLERS) {
        const int dice = rand_r(&caller->seed) % 200;

        if (dice < 2) {
            abandon(caller);
        }
        else {
            ask(caller);
        }
        if (dice % 50 == 0) {
            usleep(5000);
        }
    }
    return NULL;
}

/* --- the stage ------------------------------------------------------------------------------- */

static int open_stage(void **state)
{
    wsgi_result_t result;
    int events[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, t.ends), 0);
    int fd = wsgi_counters_create(WORKERS, &result);
    t.counters = wsgi_counters_map(fd, true, &result);
    wsgi_fd_close(&fd);
    t.counters->state = WSGI_GROUP_READY;
    for (size_t i = 0; i < BODY_MOST; i++) {
        t.body[i] = (char)(i * 2654435761u >> 24);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pipe2(events, O_CLOEXEC | O_NONBLOCK), 0);
        t.workers[i].event_read_fd = events[0];
        t.workers[i].pool = (wsgi_threads_settings_t){
            .max_threads = THREADS,
            .rendezvous_fd = t.ends[1],
            .event_fd = events[1],
        };
        start_worker(i);
    }
    return 0;
}

static void open_callers(void)
{
    for (unsigned i = 0; i < CHILDREN * CALLERS; i++) {
        caller_t *caller = &t.callers[i];

        if (i % CALLERS == 0) {
            t.backlogs[i / CALLERS] = wsgi_backlog_create(1);
            t.links[i / CALLERS] = wsgi_link_open(&(wsgi_link_settings_t){
                .group = "chaos",
                .rendezvous_fd = t.ends[0],
                .counters = t.counters,
                .processes = WORKERS,
                .rows = WORKERS,
                .threads = THREADS,
                .backlog = t.backlogs[i / CALLERS],
                .listen_backlog = 10, /* too few at times */
                .connect_timeout_us = 10000000,
                .socket_timeout_us = 20000000,
            });
        }
        caller->link = t.links[i / CALLERS];
        caller->seed = i + 1;
        assert_int_equal(pthread_create(&caller->handle, NULL, call, caller), 0);
    }
}

static void disturb(int64_t until_us)
{
    for (unsigned i = 0; wsgi_now_us() < until_us; i++) {
        const unsigned index = i % WORKERS;

        usleep(10000);
        if (i % 8 == 0 || has_event(&t.workers[index])) {
            stop_worker(index);
            start_worker(index);
        }
    }
}

static caller_t close_callers(void)
{
    caller_t sum = {0};

    t.is_over = true;
    for (unsigned i = 0; i < CHILDREN * CALLERS; i++) {
        const caller_t *caller = &t.callers[i];

        assert_int_equal(pthread_join(caller->handle, NULL), 0);
        sum.answered += caller->answered;
        sum.refused += caller->refused;
        sum.abandoned += caller->abandoned;
        sum.wrong += caller->wrong;
        sum.longest_us = caller->longest_us > sum.longest_us ? caller->longest_us : sum.longest_us;
    }
    for (unsigned i = 0; i < CHILDREN; i++) {
        wsgi_link_close(t.links[i]); /* asserts that nobody is left */
        wsgi_backlog_destroy(t.backlogs[i]);
    }
    return sum;
}

static void test_chaos(void **state)
{
    const char *seconds = getenv("WSGI_CHAOS_SECONDS");
    const int64_t length_us = (seconds != NULL ? strtol(seconds, NULL, 10) : 2) * INT64_C(1000000);

    (void)state;
    open_callers();
    disturb(wsgi_now_us() + length_us);
    const caller_t sum = close_callers();
    print_message("%u answered, %u refused, %u abandoned; longest %.0f ms\n", sum.answered,
                  sum.refused, sum.abandoned, (double)sum.longest_us / 1e3);
    for (unsigned i = 0; i < WORKERS; i++) {
        stop_worker(i);
        wsgi_fd_close(&t.workers[i].event_read_fd);
        wsgi_fd_close(&t.workers[i].pool.event_fd);
    }
    for (uint32_t i = 0; i < t.next_id; i++) {
        assert_true(t.executed[i] <= 1);
    }
    assert_int_equal(sum.wrong, 0);
    assert_int_equal(sum.refused, 0);
    assert_true(sum.answered > 100);
    wsgi_counters_unmap(t.counters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chaos),
    };

    return cmocka_run_group_tests(tests, (CMFixtureFunction)open_stage, NULL);
}
