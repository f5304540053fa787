/* tests/unit/gateway/test_threads.c — many threads in one interpreter and in several, and threads
 * of the application that use a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include <time.h>

#define THREADS  8
#define REQUESTS 100

static void run_threads(void *(*run)(void *), void *arguments[THREADS])
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, arguments[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        if (failure != NULL) {
            fail_msg("thread %d: %s", i, (const char *)failure);
        }
    }
}

/* cmocka's asserts are for the main thread only: threads return what failed, or NULL. */

typedef struct client {
    const char *script;
    const char *interpreter;
    char name[24];
} client_t;

static const char *serve_one(const client_t *client, int number)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    char query[32];
    const char *failure = NULL;
    wsgi_interp_t *interp = wsgi_interp_find(client->interpreter, false, &result);
    if (interp == NULL) {
        return "no interpreter";
    }
    fake_exchange_init(&fake, client->script);
    snprintf(query, sizeof(query), "%s-%d", client->name, number);
    fake_exchange_var(&fake, "QUERY_STRING", query);
    if (wsgi_gateway_serve(interp, &fake.ex, WSGI_RELOAD_IN_PLACE) != WSGI_OK) {
        failure = "a request failed";
    }
    else if (strcmp(fake_exchange_sent(&fake), query) != 0) {
        failure = "an answer belongs to another request";
    }
    else if (strstr(fake_exchange_log(&fake), query) == NULL) {
        failure = "a log line belongs to another request";
    }
    fake_exchange_free(&fake);
    return failure;
}

static void *serve_many(void *argument)
{
    const char *failure = NULL;
    for (int i = 0; i < REQUESTS && failure == NULL; i++) {
        failure = serve_one(argument, i);
    }
    wsgi_runtime_thread_end();
    return (void *)failure;
}

#define ECHO                                                                                       \
    "import threading, time\nlocal = threading.local()\n" APP OK                                   \
    "    assert not hasattr(local, 'busy') or not local.busy\n    local.busy = True\n"             \
    "    print(environ['QUERY_STRING'], end='')\n    time.sleep(0)\n    local.busy = False\n"      \
    "    yield environ['QUERY_STRING'].encode()\n"

static void run_clients(const char *const *interpreters, int interpreter_count)
{
    fake_exchange_t fake;
    client_t clients[THREADS];
    void *arguments[THREADS];
    site_request(&fake, ECHO);
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (client_t){.script = fake.ex.request.script.data,
                                .interpreter = interpreters[i % interpreter_count]};
        snprintf(clients[i].name, sizeof(clients[i].name), "client%d", i);
        arguments[i] = &clients[i];
    }
    run_threads(serve_many, arguments);
    fake_exchange_free(&fake);
}

static void test_one_interpreter(void **state)
{
    (void)state;
    run_clients((const char *const[]){""}, 1);
}

static void test_several_interpreters_made_at_once(void **state)
{
    (void)state;
    run_clients((const char *const[]){"one", "two", "", "three"}, 4);
}

/* The body of a script runs once per interpreter, however many ask for it at the same time. */
static void *serve_counting(void *argument)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    fake_exchange_init(&fake, argument);
    (void)wsgi_gateway_serve(wsgi_interp_find("counting", false, &result), &fake.ex,
                             WSGI_RELOAD_IN_PLACE);
    bool is_first = strcmp(fake_exchange_sent(&fake), "1") == 0;
    fake_exchange_free(&fake);
    return is_first ? NULL : "the script was loaded more than once";
}

/* compat: LOAD-once */
static void test_a_script_is_loaded_once(void **state)
{
    fake_exchange_t fake;
    void *arguments[THREADS];
    (void)state;
    site_request(&fake, "import sys, time\nsys.loads = getattr(sys, 'loads', 0) + 1\n"
                        "time.sleep(0.05)\n" APP OK "    return [str(sys.loads).encode()]\n");
    for (int i = 0; i < THREADS; i++) {
        arguments[i] = (void *)fake.ex.request.script.data;
    }
    run_threads(serve_counting, arguments);
    fake_exchange_free(&fake);
}

/* Frameworks read the body in a thread of their own while the serving thread waits. */
static void test_another_thread_may_read_and_log(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import threading\n" APP OK "    got = []\n"
                        "    def work():\n"
                        "        got.append(environ['wsgi.input'].read())\n"
                        "        environ['wsgi.errors'].write('from a thread\\n')\n"
                        "    t = threading.Thread(target=work); t.start(); t.join()\n"
                        "    return got\n");
    fake_exchange_body(&fake, "body", 4);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "body");
    assert_contains(fake_exchange_log(&fake), "] from a thread\n");
    fake_exchange_free(&fake);
}

static void sleep_in_read(fake_exchange_t *fake)
{
    (void)fake;
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

static void test_two_threads_at_once_are_told(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import threading, time\n" APP OK
                        "    t = threading.Thread(target=environ['wsgi.input'].read); t.start()\n"
                        "    time.sleep(0.03)\n"
                        "    try: environ['wsgi.input'].read()\n"
                        "    except RuntimeError as e: said = str(e)\n"
                        "    t.join()\n    return [said.encode()]\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = sleep_in_read;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_contains(fake_exchange_sent(&fake), "two threads used one request at once");
    fake_exchange_free(&fake);
}

/* The exchange is not given back while a thread is still inside it; the fake would abort. */
static void test_a_thread_that_outlives_its_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import threading, time\nkept = []\n" APP OK
                        "    if kept:\n        kept[0].join()\n        return [kept[1]]\n"
                        "    def work():\n"
                        "        while True:\n"
                        "            try: environ['wsgi.input'].read(1)\n"
                        "            except RuntimeError as e:\n"
                        "                kept.append(str(e).encode()); return\n"
                        "    t = threading.Thread(target=work); t.start(); kept.append(t)\n"
                        "    time.sleep(0.03)\n    return []\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = sleep_in_read;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_int_equal(fake.finish_count, 1);
    site_again(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_true(fake.sent.len > 0);
    fake_exchange_free(&fake);
}

/* Lines of several threads stay whole. */
static void test_lines_of_threads_do_not_mix(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake,
                      "import threading, sys\n" APP OK "    e = environ['wsgi.errors']\n"
                      "    def work(c):\n        for i in range(50): e.write(c * 40 + '\\n')\n"
                      "    ts = [threading.Thread(target=work, args=(c,)) for c in 'abcd']\n"
                      "    [t.start() for t in ts]; [t.join() for t in ts]\n"
                      "    return []\n");
    assert_lacks(fake_exchange_log(&fake), "ab");
    assert_lacks(fake_exchange_log(&fake), "ba");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_interpreter),
        cmocka_unit_test(test_several_interpreters_made_at_once),
        cmocka_unit_test(test_a_script_is_loaded_once),
        cmocka_unit_test(test_another_thread_may_read_and_log),
        cmocka_unit_test(test_two_threads_at_once_are_told),
        cmocka_unit_test(test_a_thread_that_outlives_its_request),
        cmocka_unit_test(test_lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
