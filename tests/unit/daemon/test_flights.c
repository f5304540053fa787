/* tests/unit/daemon/test_flights.c — the requests that a worker is serving.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "flights.h"

#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static wsgi_journal_t *journal;
static wsgi_flights_t flights;

static void begin_with(unsigned capacity)
{
    assert_int_equal(wsgi_flights_init(&flights, capacity, journal), WSGI_OK);
    flights.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int set_up(void **state)
{
    (void)state;
    journal = wsgi_journal_open();
    return journal != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wsgi_fd_close(&flights.wake_fd);
    wsgi_flights_free(&flights);
    wsgi_journal_close(journal);
    return 0;
}

static bool is_woken(void)
{
    uint64_t count;

    return read(flights.wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static int begin_request(uint32_t flags)
{
    const wsgi_request_t request = {.flags = flags, .log_id = WSGI_LITERAL("ID")};

    return wsgi_flights_begin(&flights, &request);
}

static void test_the_lowest_free_place(void **state)
{
    (void)state;
    begin_with(130);
    for (int i = 0; i < 130; i++) {
        assert_int_equal(begin_request(0), i);
    }
    wsgi_flights_end(&flights, 65, true);
    wsgi_flights_end(&flights, 3, true);
    assert_int_equal(begin_request(0), 3);
    assert_int_equal(begin_request(0), 65);
    assert_int_equal(begin_request(0), -1); /* one more than announced: counted all the same */
    assert_int_equal(flights.running, 131);
    wsgi_flights_end(&flights, -1, true);
    assert_int_equal(flights.running, 130);
    assert_int_equal(flights.completed, 3);
}

static void test_what_is_known_of_one(void **state)
{
    const int64_t before_us = wsgi_now_us();

    (void)state;
    begin_with(2);
    const int index = begin_request(0);
    const wsgi_flight_t *flight = &flights.table[index];
    assert_true(flight->serial != 0);
    assert_true(flight->begun_us >= before_us);
    assert_int_equal(flight->thread, (uint64_t)pthread_self());
    assert_int_equal(flights.first_us, flight->begun_us);
    assert_int_equal(journal->entries[index].is_used, 1);
    const uint64_t serial = flight->serial;
    wsgi_flights_end(&flights, index, true);
    assert_int_equal(flight->serial, 0);
    assert_int_equal(journal->entries[index].is_used, 0);
    assert_int_equal(begin_request(0), index);
    assert_true(flight->serial > serial);
    assert_true(flights.first_us < flight->begun_us || flights.first_us == flight->begun_us);
}

static void test_requests_that_ignore_activity(void **state)
{
    (void)state;
    begin_with(2);
    const int index = begin_request(WSGI_REQUEST_IGNORE_ACTIVITY);
    assert_int_equal(flights.running, 1);
    assert_int_equal(flights.running_active, 0);
    wsgi_flights_end(&flights, index, true);
    assert_int_equal(flights.last_active_us, 0);
    wsgi_flights_end(&flights, begin_request(0), true);
    assert_true(flights.last_active_us > 0);
    assert_int_equal(flights.running_active, 0);
}

static void test_who_is_handed_back_is_not_completed(void **state)
{
    (void)state;
    begin_with(2);
    flights.wake_at = 1;
    wsgi_flights_end(&flights, begin_request(0), false);
    assert_int_equal(flights.completed, 0);
    assert_false(is_woken());
}

static void test_wakes_at_a_number_of_requests(void **state)
{
    (void)state;
    begin_with(2);
    flights.wake_at = 3;
    for (int i = 1; i <= 5; i++) {
        wsgi_flights_end(&flights, begin_request(0), true);
        assert_int_equal(is_woken(), i == 3);
    }
}

static void test_wakes_when_idle(void **state)
{
    (void)state;
    begin_with(2);
    flights.wakes_when_idle = true;
    const int first = begin_request(0), second = begin_request(0);
    wsgi_flights_end(&flights, first, true);
    assert_false(is_woken());
    wsgi_flights_end(&flights, second, true);
    assert_true(is_woken());
}

static void test_a_failed_load_wakes_once(void **state)
{
    (void)state;
    begin_with(1);
    wsgi_flights_spoil(&flights);
    assert_true(flights.is_spoilt);
    assert_true(is_woken());
    wsgi_flights_spoil(&flights);
    assert_false(is_woken());
}

static void test_without_a_table(void **state)
{
    const wsgi_request_t request = {0};

    (void)state;
    begin_with(1);
    assert_int_equal(wsgi_flights_begin(NULL, &request), -1);
    wsgi_flights_end(NULL, -1, true);
    wsgi_flights_spoil(NULL);
}

static void *serve_many(void *data)
{
    (void)data;
    for (int i = 0; i < 20000; i++) {
        const int index = begin_request(0);
        wsgi_flights_end(&flights, index, index >= 0);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    pthread_t threads[4];

    (void)state;
    begin_with(4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, serve_many, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(flights.completed, 80000);
    assert_int_equal(flights.running, 0);
    assert_int_equal(flights.running_active, 0);
    assert_int_equal(flights.used[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_lowest_free_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_known_of_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_that_ignore_activity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_handed_back_is_not_completed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_wakes_at_a_number_of_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wakes_when_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_load_wakes_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
