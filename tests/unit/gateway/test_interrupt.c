/* tests/unit/gateway/test_interrupt.c — RequestTimeout is raised in the request that it is meant for,
 * and in no other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include <pthread.h>

static struct {
    wsgi_interp_t *interp;
    pthread_t server;
    bool is_wanted;
    _Atomic bool was_raised;
    wsgi_exchange_verbs_t verbs;
    const wsgi_exchange_verbs_t *real;
} t;

static int start(void **state)
{
    wsgi_runtime_settings_t settings = site_settings;
    wsgi_result_t result;
    (void)state;
    settings.can_interrupt = true;
    int code = site_start_with(&settings);
    t.interp = code == 0 ? wsgi_interp_find("", false, &result) : NULL;
    t.server = pthread_self();
    return code;
}

static int reset(void **state)
{
    (void)state;
    t.is_wanted = true;
    t.was_raised = false;
    return 0;
}

static bool is_wanted(void *baton)
{
    (void)baton;
    return t.is_wanted;
}

static void *interrupt(void *data)
{
    (void)data;
    t.was_raised = wsgi_runtime_interrupt(t.interp, (uint64_t)t.server, is_wanted, NULL);
    wsgi_runtime_thread_end();
    return NULL;
}

/* Called detached, in the middle of the request. */
static void interrupt_by_another_thread(void)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, NULL), 0);
    pthread_join(thread, NULL);
}

static void on_read(fake_exchange_t *fake)
{
    (void)fake;
    interrupt_by_another_thread();
}

static int send_and_interrupt(wsgi_exchange_t *ex, const void *data, size_t len,
                              enum wsgi_send_flag flag)
{
    interrupt_by_another_thread();
    return t.real->send_body(ex, data, len, flag);
}

static void interrupt_while_sending(fake_exchange_t *fake)
{
    t.real = fake->ex.verbs;
    t.verbs = *t.real;
    t.verbs.send_body = send_and_interrupt;
    fake->ex.verbs = &t.verbs;
}

#define READING APP "    environ['wsgi.input'].read(1)\n"

static void test_a_request_is_interrupted(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, READING "    while True: pass\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = on_read;
    (void)site_serve(&fake);
    assert_true(t.was_raised);
    assert_failed(&fake, 504, "mod_wsgi.RequestTimeout");
    fake_exchange_free(&fake);
}

static void test_no_exception_of_an_application_catches_it(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP "    try:\n"
                            "        environ['wsgi.input'].read(1)\n"
                            "        while True: pass\n"
                            "    except Exception:\n"
                            "        pass\n"
                            "    finally:\n"
                            "        print('cleaned up', file=environ['wsgi.errors'])\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = on_read;
    (void)site_serve(&fake);
    assert_failed(&fake, 504, "cleaned up");
    fake_exchange_free(&fake);
}

static void test_an_application_may_answer_all_the_same(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import mod_wsgi\n" APP "    try:\n"
                        "        environ['wsgi.input'].read(1)\n"
                        "        while True: pass\n"
                        "    except mod_wsgi.RequestTimeout:\n"
                        "        pass\n" OK "    return [b'late']\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = on_read;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "late");
    fake_exchange_free(&fake);
}

/* Raised when no Python code runs any more: it must not wait there for the next request. */
static void test_the_next_request_is_not_hit(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    return [b'x' * 5000, b'y' * 5000]\n");
    interrupt_while_sending(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_true(t.was_raised);
    assert_int_equal(fake.sent.len, 10000);
    fake_exchange_free(&fake);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(
            site_answer(&fake, APP OK "    return [str(sum(range(100000))).encode()]\n"),
            "4999950000");
        fake_exchange_free(&fake);
    }
}

static void test_one_that_is_over_is_not_interrupted(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, APP OK "    return [b'ok']\n"), "ok");
    interrupt_by_another_thread();
    assert_false(t.was_raised);
    fake_exchange_free(&fake);
}

static void test_one_that_is_not_meant_is_not_interrupted(void **state)
{
    fake_exchange_t fake;
    (void)state;
    t.is_wanted = false;
    site_request(&fake, READING OK "    return [b'ok']\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = on_read;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_false(t.was_raised);
    assert_string_equal(fake_exchange_sent(&fake), "ok");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_request_is_interrupted, reset),
        cmocka_unit_test_setup(test_no_exception_of_an_application_catches_it, reset),
        cmocka_unit_test_setup(test_an_application_may_answer_all_the_same, reset),
        cmocka_unit_test_setup(test_the_next_request_is_not_hit, reset),
        cmocka_unit_test_setup(test_one_that_is_over_is_not_interrupted, reset),
        cmocka_unit_test_setup(test_one_that_is_not_meant_is_not_interrupted, reset),
    };
    return cmocka_run_group_tests(tests, start, site_stop);
}
