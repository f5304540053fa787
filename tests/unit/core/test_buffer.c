/* tests/unit/core/test_buffer.c — the growing buffer, also without memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include "failing_alloc.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_grows_and_keeps_content(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    for (int i = 0; i < 5000; i++) {
        const char pair[2] = {(char)i, (char)(i >> 8)};
        assert_int_equal(wsgi_buffer_append(&buffer, pair, sizeof(pair)), WSGI_OK);
    }
    assert_int_equal(buffer.len, 10000);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(buffer.data[2 * i], (char)i);
        assert_int_equal(buffer.data[2 * i + 1], (char)(i >> 8));
    }
    wsgi_buffer_clear(&buffer, 0);
}

static void test_reserve_makes_room_once(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    assert_int_equal(wsgi_buffer_reserve(&buffer, 0), WSGI_OK);
    assert_null(buffer.data);
    assert_int_equal(wsgi_buffer_reserve(&buffer, 3000), WSGI_OK);
    assert_true(buffer.capacity >= 3000);
    const char *data = buffer.data;
    calls_until_failure = 1;
    assert_int_equal(wsgi_buffer_reserve(&buffer, buffer.capacity), WSGI_OK);
    calls_until_failure = 0;
    assert_ptr_equal(buffer.data, data);
    assert_int_equal(buffer.len, 0);
    wsgi_buffer_clear(&buffer, 0);
}

static void test_append_of_nothing_takes_null(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    assert_int_equal(wsgi_buffer_append(&buffer, NULL, 0), WSGI_OK);
    assert_null(buffer.data);
}

static void test_consume_drops_the_front(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    assert_int_equal(wsgi_buffer_append(&buffer, "abcdef", 6), WSGI_OK);
    wsgi_buffer_consume(&buffer, 0);
    assert_int_equal(buffer.len, 6);
    wsgi_buffer_consume(&buffer, 4);
    assert_int_equal(buffer.len, 2);
    assert_memory_equal(buffer.data, "ef", 2);
    wsgi_buffer_consume(&buffer, 2);
    assert_int_equal(buffer.len, 0);
    wsgi_buffer_clear(&buffer, 0);
}

static void test_clear_keeps_no_more_than_told(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    assert_int_equal(wsgi_buffer_append(&buffer, "abc", 3), WSGI_OK);
    const char *data = buffer.data;
    wsgi_buffer_clear(&buffer, buffer.capacity);
    assert_ptr_equal(buffer.data, data);
    assert_int_equal(buffer.len, 0);
    wsgi_buffer_clear(&buffer, buffer.capacity - 1);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
}

static void test_without_memory_nothing_changes(void **state)
{
    wsgi_buffer_t buffer = {0};

    (void)state;
    assert_int_equal(wsgi_buffer_append(&buffer, "abc", 3), WSGI_OK);
    const wsgi_buffer_t before = buffer;
    calls_until_failure = 1;
    assert_int_equal(wsgi_buffer_reserve(&buffer, 100000), WSGI_E_NOMEM);
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    calls_until_failure = 1;
    assert_int_equal(wsgi_buffer_append(&buffer, (char[4096]){0}, 4096), WSGI_E_NOMEM);
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    assert_int_equal(wsgi_buffer_reserve(&buffer, SIZE_MAX), WSGI_E_NOMEM);
    assert_int_equal(wsgi_buffer_reserve(&buffer, PTRDIFF_MAX), WSGI_E_NOMEM);
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    assert_memory_equal(buffer.data, "abc", 3);
    wsgi_buffer_clear(&buffer, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_keeps_content),
        cmocka_unit_test(test_reserve_makes_room_once),
        cmocka_unit_test(test_append_of_nothing_takes_null),
        cmocka_unit_test(test_consume_drops_the_front),
        cmocka_unit_test(test_clear_keeps_no_more_than_told),
        cmocka_unit_test(test_without_memory_nothing_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
