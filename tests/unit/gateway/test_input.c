/* tests/unit/gateway/test_input.c — wsgi.input over an exchange that gives bytes in odd pieces.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

/* Answers with ascii() of what `expression` makes of i = wsgi.input. */
static void serve_expression(fake_exchange_t *fake, const char *expression, const char *body)
{
    char source[512];
    snprintf(source, sizeof(source),
             APP OK "    i = environ['wsgi.input']\n    return [ascii(%s).encode()]\n", expression);
    site_request(fake, source);
    if (body != NULL) {
        fake_exchange_body(fake, body, strlen(body));
    }
}

/* compat: INPUT-read INPUT-lines INPUT-close INPUT-end INPUT-no-seek */
static void test_methods(void **state)
{
    static const char body[] = "one\ntwo\nthree";
    static const char *const cases[][2] = {
        {"i.read()", "b'one\\ntwo\\nthree'"},
        {"i.read(-1)", "b'one\\ntwo\\nthree'"},
        {"i.read(None)", "b'one\\ntwo\\nthree'"},
        {"(i.read(5), i.read(100), i.read(5), i.read())", "(b'one\\nt', b'wo\\nthree', b'', b'')"},
        {"(i.read(0), i.read(1))", "(b'', b'o')"},
        {"(i.readline(), i.readline(), i.readline(), i.readline())",
         "(b'one\\n', b'two\\n', b'three', b'')"},
        {"(i.readline(2), i.readline(2), i.readline(2))", "(b'on', b'e\\n', b'tw')"},
        {"(i.readline(0), i.readline(-1))", "(b'', b'one\\n')"},
        {"(i.readline(), i.read(2), i.read())", "(b'one\\n', b'tw', b'o\\nthree')"},
        {"i.readlines()", "[b'one\\n', b'two\\n', b'three']"},
        {"i.readlines(5)", "[b'one\\n', b'two\\n']"},
        {"i.readlines(0)", "[b'one\\n', b'two\\n', b'three']"},
        {"list(i)", "[b'one\\n', b'two\\n', b'three']"},
        {"(next(i), iter(i) is i)", "(b'one\\n', True)"},
        {"(i.close(), i.read(3))", "(None, b'one')"},
        {"[hasattr(i, n) for n in ('seek', 'tell', 'fileno')]", "[False, False, False]"},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        fake_exchange_t fake;
        serve_expression(&fake, cases[i / 2][0], body);
        fake.read_max = i % 2 == 0 ? 0 : 1;
        assert_int_equal(site_serve(&fake), WSGI_OK);
        assert_string_equal(fake_exchange_sent(&fake), cases[i / 2][1]);
        fake_exchange_free(&fake);
    }
}

static void test_no_body_needs_no_read(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "(i.read(), i.readline(), list(i), i.read(10))", NULL);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "(b'', b'', [], b'')");
    assert_int_equal(fake.read_count, 0);
    fake_exchange_free(&fake);
}

static void test_a_body_of_unknown_length(void **state)
{
    static char body[1000001];
    fake_exchange_t fake;
    (void)state;
    memset(body, 'b', sizeof(body) - 1);
    serve_expression(&fake, "(len(i.read(10**12)), i.read())", body);
    fake.ex.request.body_length = WSGI_BODY_UNKNOWN;
    fake.read_max = 7777;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "(1000000, b'')");
    fake_exchange_free(&fake);
}

/* compat: BODY-filtered */
static void test_the_end_counts_not_the_announcement(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "i.read()", "longer than announced (inflated)");
    fake.ex.request.body_length = 3;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "b'longer than announced (inflated)'");
    fake_exchange_free(&fake);
}

static void test_one_read_of_a_known_length_is_one_verb(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "i.read(int(4))", "body");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_int_equal(fake.read_count, 1);
    fake_exchange_free(&fake);
}

#define TWICE                                                                                      \
    APP OK "    said = []\n"                                                                       \
           "    for method in ('read', 'readline'):\n"                                             \
           "        try: getattr(environ['wsgi.input'], method)()\n"                               \
           "        except OSError as e: said.append(str(e))\n"                                    \
           "    return ['|'.join(said).encode()]\n"

/* compat: INPUT-error */
static void test_errors_are_oserror_and_final(void **state)
{
    static const int errors[] = {WSGI_E_GONE, WSGI_E_TIMEOUT, WSGI_E_TOO_LARGE, WSGI_E_SHORT,
                                 WSGI_E_IO};
    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        fake_exchange_t fake;
        char expected[256];
        const char *reason = wsgi_strerror(errors[i]);
        site_request(&fake, TWICE);
        fake_exchange_body(&fake, "half", 4);
        fake.ex.request.body_length = 8;
        fake.read_end = errors[i];
        assert_int_equal(site_serve(&fake), WSGI_OK);
        snprintf(expected, sizeof(expected),
                 "mod_wsgi request data read error: %s|mod_wsgi request data read error: %s",
                 reason, reason);
        assert_string_equal(fake_exchange_sent(&fake), expected);
        assert_int_equal(fake.read_count, 2); /* the half, the error; then remembered */
        fake_exchange_free(&fake);
    }
}

/* compat: FAIL-client-body */
static void test_an_unhandled_read_error_is_a_500(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "i.read()", "half");
    fake.ex.request.body_length = 8;
    fake.read_end = WSGI_E_SHORT;
    site_serve(&fake);
    assert_failed(&fake, 500, "OSError: mod_wsgi request data read error: the request body ended");
    fake_exchange_free(&fake);
}

static void test_bad_arguments(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "i.read('4')", "body");
    site_serve(&fake);
    assert_failed(&fake, 500, "TypeError");
    fake_exchange_free(&fake);
    serve_expression(&fake, "i.read(1, 2)", "body");
    site_serve(&fake);
    assert_failed(&fake, 500, "TypeError: methods of wsgi.input take at most one argument");
    fake_exchange_free(&fake);
}

/* compat: INPUT-ended */
static void test_use_after_the_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "kept = []\n" APP OK "    said = 'nothing'\n"
                             "    if kept:\n"
                             "        try: kept[0].read()\n"
                             "        except RuntimeError as e: said = str(e)\n"
                             "    fresh = not kept or environ['wsgi.input'] is not kept[0]\n"
                             "    kept.append(environ['wsgi.input'])\n"
                             "    return [(said + str(fresh)).encode()]\n");
    site_again(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_contains(fake_exchange_sent(&fake), "wsgi.input was used after the end of its request");
    assert_contains(fake_exchange_sent(&fake), "True");
    fake_exchange_free(&fake);
}

/* What one request has read ahead is not given to the next. */
static void test_lines_read_ahead_do_not_leak(void **state)
{
    fake_exchange_t fake;
    (void)state;
    serve_expression(&fake, "i.readline()", "first\nsecret\n");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    site_again(&fake);
    fake_exchange_body(&fake, "second\n", 7);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "b'second\\n'");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_no_body_needs_no_read),
        cmocka_unit_test(test_a_body_of_unknown_length),
        cmocka_unit_test(test_the_end_counts_not_the_announcement),
        cmocka_unit_test(test_one_read_of_a_known_length_is_one_verb),
        cmocka_unit_test(test_errors_are_oserror_and_final),
        cmocka_unit_test(test_an_unhandled_read_error_is_a_500),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_use_after_the_request),
        cmocka_unit_test(test_lines_read_ahead_do_not_leak),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
