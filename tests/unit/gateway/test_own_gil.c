/* tests/unit/gateway/test_own_gil.c — requests in interpreters with a GIL each, where Python has
 * them: nothing of ours may lean on a common one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#define THREADS  4
#define REQUESTS 200

static int start(void **state)
{
    wsgi_runtime_settings_t settings = site_settings;
    (void)state;
    settings.per_interpreter_gil = true;
    return site_start_with(&settings);
}

/* Body, logs and the look at the script in one request. */
#define SOURCE                                                                                     \
    "import mod_wsgi, sys\n" APP OK "    print('line', file=environ['wsgi.errors'])\n"             \
    "    sys.stdout.write('unfinished')\n"                                                         \
    "    body = environ['wsgi.input'].read()\n"                                                    \
    "    yield mod_wsgi.application_group.encode() + b' '\n    yield body\n"

typedef struct client {
    const char *script, *interpreter;
} client_t;

static const char *serve_one(const client_t *client)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    char expected[64];
    wsgi_interp_t *interp = wsgi_interp_find(client->interpreter, false, &result);
    if (interp == NULL) {
        return "no interpreter";
    }
    fake_exchange_init(&fake, client->script);
    fake_exchange_body(&fake, "body", 4);
    fake.ex.request.flags |= WSGI_REQUEST_RELOADING;
    snprintf(expected, sizeof(expected), "%s body", client->interpreter);
    int code = wsgi_gateway_serve(interp, &fake.ex, WSGI_RELOAD_IN_PLACE);
    bool is_right = code == WSGI_OK && strcmp(fake_exchange_sent(&fake), expected) == 0 &&
                    strstr(fake_exchange_log(&fake), "] unfinished\n") != NULL;
    if (!is_right) {
        fprintf(stderr, "%d %s\n%s\n", code, fake_exchange_sent(&fake), fake_exchange_log(&fake));
    }
    fake_exchange_free(&fake);
    return is_right ? NULL : "a wrong answer";
}

static void *serve_many(void *argument)
{
    const char *failure = NULL;
    for (int i = 0; i < REQUESTS && failure == NULL; i++) {
        failure = serve_one(argument);
    }
    return (void *)failure;
}

static void test_requests_side_by_side(void **state)
{
    static const char *const interpreters[THREADS] = {"one", "two", "one", ""};
    pthread_t threads[THREADS];
    client_t clients[THREADS];
    char path[128];
    (void)state;
    site_path(path, "app.wsgi");
    site_write(path, SOURCE);
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (client_t){path, interpreters[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, serve_many, &clients[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        assert_null(failure);
    }
}

static void test_a_failure_and_an_import(void **state)
{
    fake_exchange_t fake;
    wsgi_result_t result;
    (void)state;
    site_request(&fake, "raise KeyError('here')\n");
    (void)site_serve_in(&fake, "one");
    assert_failed(&fake, 500, "KeyError: 'here'");
    fake_exchange_free(&fake);
    site_request(&fake, APP OK "    return [b'x']\n");
    assert_int_equal(wsgi_runtime_import("three", fake.ex.request.script.data, &result), WSGI_OK);
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_side_by_side),
        cmocka_unit_test(test_a_failure_and_an_import),
    };
    return cmocka_run_group_tests(tests, start, site_stop);
}
