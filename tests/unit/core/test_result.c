/* tests/unit/core/test_result.c — error phrases and results.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static const int codes[] = {
    WSGI_E_AGAIN, WSGI_E_INVALID, WSGI_E_NOMEM,   WSGI_E_REFUSED,  WSGI_E_DECLINED,
    WSGI_E_FATAL, WSGI_E_GONE,    WSGI_E_TIMEOUT, WSGI_E_PROTOCOL, WSGI_E_TOO_LARGE,
    WSGI_E_DIED,  WSGI_E_IO,      WSGI_E_SHORT,
};
enum { CODE_COUNT = sizeof(codes) / sizeof(codes[0]) };

static void test_each_code_has_a_phrase_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < CODE_COUNT; i++) {
        const char *phrase = wsgi_strerror(codes[i]);

        assert_string_not_equal(phrase, "unknown error");
        assert_null(strchr(phrase, '.'));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(phrase, wsgi_strerror(codes[j]));
        }
    }
    assert_string_equal(wsgi_strerror(WSGI_OK), "success");
    assert_string_equal(wsgi_strerror(17), "success");
    assert_string_equal(wsgi_strerror(-99), "unknown error");
}

static void test_fail_stores_code_and_text(void **state)
{
    wsgi_result_t result;

    (void)state;
    assert_int_equal(wsgi_fail(&result, WSGI_E_IO, "no %s for %d", "room", 3), WSGI_E_IO);
    assert_int_equal(result.code, WSGI_E_IO);
    assert_string_equal(result.detail, "no room for 3");
    assert_int_equal(wsgi_fail(NULL, WSGI_E_INVALID, "nobody %s", "asked"), WSGI_E_INVALID);
}

static void test_fail_may_quote_what_it_replaces(void **state)
{
    wsgi_result_t result;

    (void)state;
    wsgi_fail(&result, WSGI_E_IO, "inner");
    wsgi_fail(&result, WSGI_E_DIED, "outer: %s", result.detail);
    assert_string_equal(result.detail, "outer: inner");
    assert_int_equal(result.code, WSGI_E_DIED);
}

static void test_long_detail_is_cut_and_terminated(void **state)
{
    char text[2000];
    wsgi_result_t result;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    wsgi_fail(&result, WSGI_E_IO, "%s", text);
    assert_int_equal(strlen(result.detail), sizeof(result.detail) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_code_has_a_phrase_of_its_own),
        cmocka_unit_test(test_fail_stores_code_and_text),
        cmocka_unit_test(test_fail_may_quote_what_it_replaces),
        cmocka_unit_test(test_long_detail_is_cut_and_terminated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
