/* tests/unit/gateway/test_events.c — what events cost those who do not listen, and a time-out in the
 * middle of a callback.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_python.h"

#include "site.h"

/* Objects that are made while a request is served. */

static PyMemAllocatorEx real;
static size_t made;

static void *count_malloc(void *context, size_t size)
{
    made++;
    return real.malloc(context, size);
}

static void *count_calloc(void *context, size_t count, size_t size)
{
    made++;
    return real.calloc(context, count, size);
}

static void count_objects(void)
{
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &real);
    PyMemAllocatorEx counting = real;
    counting.malloc = count_malloc;
    counting.calloc = count_calloc;
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &counting);
}

#define LISTEN                                                                                     \
    "import mod_wsgi\n"                                                                            \
    "def hear(name, **payload): pass\n"
#define ANSWER APP OK "    return [b'hello']\n"

/* Of one request, when all that is kept from one to the next is there. */
static size_t cost_of(const char *interpreter, const char *source)
{
    fake_exchange_t fake;
    size_t before = 0;
    site_request(&fake, source);
    for (int i = 0; i < 5; i++) {
        site_again(&fake);
        before = made;
        assert_int_equal(site_serve_in(&fake, interpreter), WSGI_OK);
    }
    fake_exchange_free(&fake);
    return made - before;
}

/* compat: EVENT-cost */
static void test_nothing_is_made_without_subscribers(void **state)
{
    (void)state;
    const size_t plain = cost_of("", LISTEN ANSWER);
    const size_t heard = cost_of("", LISTEN "mod_wsgi.subscribe_events(hear)\n" ANSWER);
    assert_true(heard > plain + 10);
    assert_int_equal(cost_of("other", LISTEN ANSWER), plain);
    assert_int_equal(cost_of("", LISTEN "mod_wsgi.event_callbacks.clear()\n" ANSWER), plain);
    assert_int_equal(cost_of("", LISTEN "mod_wsgi.subscribe_shutdown(hear)\n"
                                        "mod_wsgi.subscribe_signals(hear)\n" ANSWER),
                     plain);
}

static void test_a_time_out_in_a_callback_is_the_requests(void **state)
{
    static const char *const events[] = {"request_started", "response_started"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char source[512];
        fake_exchange_t fake;
        snprintf(source, sizeof(source),
                 "import mod_wsgi\n"
                 "mod_wsgi.event_callbacks.clear()\n"
                 "@mod_wsgi.subscribe_events\n"
                 "def hear(name, **payload):\n"
                 "    if name == '%s': raise mod_wsgi.RequestTimeout\n" ANSWER,
                 events[i]);
        site_request(&fake, source);
        (void)site_serve_in(&fake, "timed");
        assert_failed(&fake, 504, "mod_wsgi.RequestTimeout");
        fake_exchange_free(&fake);
    }
}

/* One that comes when all is answered is told, and no more. */
static void test_a_time_out_behind_the_answer(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake,
                 "import mod_wsgi\n"
                 "mod_wsgi.event_callbacks.clear()\n"
                 "@mod_wsgi.subscribe_events\n"
                 "def hear(name, **payload):\n"
                 "    if name == 'request_finished': raise mod_wsgi.RequestTimeout\n" ANSWER);
    assert_int_equal(site_serve_in(&fake, "timed"), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "hello");
    assert_contains(fake_exchange_log(&fake), "mod_wsgi.RequestTimeout");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_made_without_subscribers),
        cmocka_unit_test(test_a_time_out_in_a_callback_is_the_requests),
        cmocka_unit_test(test_a_time_out_behind_the_answer),
    };
    count_objects();
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
