/* tests/unit/core/test_field.c — what is legal in fields, status lines and lengths.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    (void)state;
    assert_true(wsgi_field_name_is_legal("X-Frame_Options!", 16));
    assert_false(wsgi_field_name_is_legal("", 0));
    assert_false(wsgi_field_name_is_legal(NULL, 0));
    for (int c = 0; c < 256; c++) {
        const char name[] = {'X', (char)c, 'y'};
        const bool is_legal = c > 0x20 && c != 0x7f && c != ':';

        assert_int_equal(wsgi_field_name_is_legal(name, sizeof(name)), is_legal);
    }
}

static void test_values(void **state)
{
    (void)state;
    assert_true(wsgi_field_value_is_legal("", 0));
    assert_true(wsgi_field_value_is_legal(NULL, 0));
    for (int c = 0; c < 256; c++) {
        const char value[] = {'a', (char)c};
        const bool is_legal = c != '\0' && c != '\r' && c != '\n';

        assert_int_equal(wsgi_field_value_is_legal(value, sizeof(value)), is_legal);
        assert_int_equal(wsgi_field_value_is_legal(value + 1, 1), is_legal);
    }
}

static void test_status_lines(void **state)
{
    static const struct {
        const char *text;
        unsigned status; /* 0 = illegal */
        const char *reason;
    } cases[] = {
        {"200 OK", 200, "OK"},
        {"404 Not Found", 404, "Not Found"},
        {"200", 200, ""},
        {"999 ", 999, ""},
        {"200  two blanks", 200, " two blanks"},
        {"200 caf\xe9", 200, "caf\xe9"},
        {"099 Low", 0, ""},
        {"100 Continue", 0, ""},
        {"101", 0, ""},
        {"199 Nearly", 0, ""},
        {"000", 0, ""},
        {"", 0, ""},
        {"20", 0, ""},
        {"2000 OK", 0, ""},
        {"20 OK", 0, ""},
        {"+20 OK", 0, ""},
        {"2x0 OK", 0, ""},
        {" 200 OK", 0, ""},
        {"200\tOK", 0, ""},
        {"200OK", 0, ""},
        {"200 O\tK", 0, ""},
        {"200 OK\r\nX: y", 0, ""},
        {"200 OK\n", 0, ""},
        {"200 \x7f", 0, ""},
        {"\xb2\xb0\xb0 OK", 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned status = 0;
        wsgi_bytes_t reason = {"", 0};
        const int code = wsgi_status_parse(cases[i].text, strlen(cases[i].text), &status, &reason);

        assert_int_equal(code, cases[i].status == 0 ? WSGI_E_INVALID : WSGI_OK);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(reason.len, strlen(cases[i].reason));
        assert_memory_equal(reason.data, cases[i].reason, reason.len);
    }
    unsigned status;
    wsgi_bytes_t reason;
    assert_int_equal(wsgi_status_parse("200 a\0b", 7, &status, &reason), WSGI_E_INVALID);
}

static void test_lengths(void **state)
{
    static const struct {
        const char *text;
        int64_t value; /* -1 = illegal */
    } cases[] = {
        {"0", 0},
        {"12", 12},
        {"007", 7},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"92233720368547758070", -1},
        {"99999999999999999999999999", -1},
        {"", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 ", -1},
        {"0x10", -1},
        {"1,2", -1},
        {"1\n", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = -1;
        const int code = wsgi_length_parse(cases[i].text, strlen(cases[i].text), &value);

        assert_int_equal(code, cases[i].value < 0 ? WSGI_E_INVALID : WSGI_OK);
        assert_int_equal(value, cases[i].value);
    }
}

static void test_equal_without_case(void **state)
{
    (void)state;
    assert_true(wsgi_bytes_equal_nocase(WSGI_LITERAL("Set-Cookie"), WSGI_LITERAL("sEt-cOOKIE")));
    assert_false(wsgi_bytes_equal_nocase(WSGI_LITERAL("Set-Cookie"), WSGI_LITERAL("Set-Cookie2")));
    assert_false(wsgi_bytes_equal_nocase(WSGI_LITERAL("Set_Cookie"), WSGI_LITERAL("Set-Cookie")));
    assert_false(wsgi_bytes_equal_nocase(WSGI_LITERAL("@"), WSGI_LITERAL("`")));
    assert_false(wsgi_bytes_equal_nocase(WSGI_LITERAL("["), WSGI_LITERAL("{")));
    assert_true(wsgi_bytes_equal_nocase((wsgi_bytes_t){NULL, 0}, WSGI_LITERAL("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_equal_without_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
