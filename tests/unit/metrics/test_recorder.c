/* tests/unit/metrics/test_recorder.c — sums of requests between two readings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void test_buckets(void **state)
{
    static const struct {
        int64_t us;
        unsigned bucket;
    } cases[] = {
        {-1, 0},        {0, 0},         {999, 0},       {1000, 0},       {1249, 0}, {1250, 1},
        {1500, 2},      {1999, 3},      {2000, 4},      {2499, 4},       {2500, 5}, {4000, 8},
        {32768000, 60}, {65535999, 63}, {65536000, 64}, {INT64_MAX, 64},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(wsgi_phase_bucket(cases[i].us), cases[i].bucket);
    }
}

static wsgi_sample_t sample_of(int64_t application_us, unsigned status)
{
    wsgi_sample_t sample = {.status = status, .cpu_us = 5, .input_bytes = 10, .output_writes = 2};
    for (unsigned i = 0; i < WSGI_PHASE_COUNT; i++) {
        sample.phases_us[i] = -1;
    }
    sample.phases_us[WSGI_PHASE_APPLICATION] = application_us;
    return sample;
}

static void serve(wsgi_recorder_t *recorder, unsigned thread, int64_t application_us,
                  unsigned status)
{
    wsgi_sample_t sample = sample_of(application_us, status);
    wsgi_recorder_begin(recorder, thread);
    wsgi_recorder_end(recorder, thread, &sample);
}

static void test_sums(void **state)
{
    (void)state;
    wsgi_recorder_t *recorder = wsgi_recorder_new(2);
    serve(recorder, 1, 3000, 200);
    serve(recorder, 2, 1000, 404);
    serve(recorder, 2, 2000, 0); /* never had an answer */
    wsgi_interval_t *it = wsgi_recorder_take(recorder);
    const wsgi_phase_sum_t *phase = &it->phases[WSGI_PHASE_APPLICATION];
    assert_int_equal(it->requests, 3);
    assert_int_equal(phase->sum_us, 6000);
    assert_int_equal(phase->min_us, 1000);
    assert_int_equal(phase->max_us, 3000);
    assert_int_equal(phase->buckets[0] + phase->buckets[4] + phase->buckets[6], 3);
    assert_int_equal(it->phases[WSGI_PHASE_QUEUE].count, 0);
    assert_int_equal(it->phases[WSGI_PHASE_GIL_WAIT].count, 0);
    assert_int_equal(it->statuses[1], 1);
    assert_int_equal(it->statuses[3], 1);
    assert_int_equal(it->statuses[4], 1);
    assert_int_equal(it->input_bytes, 30);
    assert_int_equal(it->output_writes, 6);
    assert_int_equal(it->threads[1].requests, 2);
    assert_int_equal(it->threads[1].cpu_us, 10);
    assert_int_equal(it->threads_active, 2);
    free(it);
    wsgi_recorder_free(recorder);
}

static void test_single_waits_have_the_extremes(void **state)
{
    (void)state;
    wsgi_recorder_t *recorder = wsgi_recorder_new(1);
    wsgi_sample_t sample = sample_of(1, 200);
    sample.phases_us[WSGI_PHASE_GIL_WAIT] = 100;
    sample.gil_wait_count = 4;
    sample.gil_wait_min_us = 1;
    sample.gil_wait_max_us = 90;
    wsgi_recorder_begin(recorder, 1);
    wsgi_recorder_end(recorder, 1, &sample);
    wsgi_interval_t *it = wsgi_recorder_look(recorder);
    assert_int_equal(it->phases[WSGI_PHASE_GIL_WAIT].sum_us, 100);
    assert_int_equal(it->phases[WSGI_PHASE_GIL_WAIT].min_us, 1);
    assert_int_equal(it->phases[WSGI_PHASE_GIL_WAIT].max_us, 90);
    assert_int_equal(it->gil_wait_count, 4);
    free(it);
    wsgi_recorder_free(recorder);
}

/* Looking does not, taking does; the life's sums stay. */
static void test_taking_begins_anew(void **state)
{
    (void)state;
    wsgi_recorder_t *recorder = wsgi_recorder_new(1);
    serve(recorder, 1, 10, 200);
    free(wsgi_recorder_look(recorder));
    wsgi_interval_t *first = wsgi_recorder_take(recorder);
    wsgi_interval_t *second = wsgi_recorder_take(recorder);
    assert_int_equal(first->requests, 1);
    assert_int_equal(second->requests, 0);
    assert_int_equal(second->start_us, first->stop_us);
    assert_int_equal(second->phases[WSGI_PHASE_APPLICATION].count, 0);
    assert_int_equal(second->threads[0].requests, 0);
    assert_int_equal(second->threads[0].all_requests, 1);
    assert_int_equal(second->all_requests, 1);
    assert_int_equal(second->threads_started, 1);
    free(first);
    free(second);
    wsgi_recorder_free(recorder);
}

/* Each interval has the part of a request that lay in it. */
static void test_a_request_over_two_intervals(void **state)
{
    (void)state;
    wsgi_sample_t sample = sample_of(20000, 200);
    wsgi_recorder_t *recorder = wsgi_recorder_new(1);
    wsgi_recorder_begin(recorder, 1);
    usleep(10000);
    wsgi_interval_t *first = wsgi_recorder_take(recorder);
    usleep(10000);
    wsgi_recorder_end(recorder, 1, &sample);
    wsgi_interval_t *second = wsgi_recorder_take(recorder);
    assert_int_equal(first->under_way, 1);
    assert_int_equal(first->requests, 0);
    assert_int_equal(first->threads_active, 1);
    assert_int_equal(first->threads[0].elapsed_us, first->threads[0].busy_us);
    assert_in_range(first->threads[0].elapsed_us, 10000, 5000000);
    assert_int_equal(second->under_way, 0);
    assert_int_equal(second->threads[0].elapsed_us, 0);
    assert_in_range(second->threads[0].busy_us, 10000, second->threads[0].longest_us - 10000);
    assert_in_range(second->threads[0].longest_us, 20000, 5000000);
    assert_int_equal(second->all_busy_us, second->threads[0].longest_us);
    free(first);
    free(second);
    wsgi_recorder_free(recorder);
}

/* Threads beyond the announced number, and requests that go back, leave no trace of theirs. */
static void test_strangers(void **state)
{
    (void)state;
    wsgi_recorder_t *recorder = wsgi_recorder_new(1);
    serve(recorder, 0, 10, 200);
    serve(recorder, 7, 10, 200);
    wsgi_recorder_begin(recorder, 1);
    wsgi_recorder_end(recorder, 1, NULL);
    wsgi_interval_t *it = wsgi_recorder_take(recorder);
    assert_int_equal(it->requests, 2);
    assert_int_equal(it->under_way, 0);
    assert_int_equal(it->threads[0].requests, 0);
    assert_int_equal(it->threads[0].busy_us, 0);
    free(it);
    wsgi_recorder_free(recorder);
}

static void test_the_process(void **state)
{
    int64_t user_us, system_us;
    uint64_t bytes, most_bytes;
    (void)state;
    wsgi_process_cpu_us(&user_us, &system_us);
    wsgi_process_memory(&bytes, &most_bytes);
    assert_true(user_us + system_us >= 0);
    assert_in_range(bytes, 100000, most_bytes);
    assert_true(wsgi_thread_cpu_us() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_single_waits_have_the_extremes),
        cmocka_unit_test(test_taking_begins_anew),
        cmocka_unit_test(test_a_request_over_two_intervals),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
