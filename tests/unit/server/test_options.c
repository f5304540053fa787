/* tests/unit/server/test_options.c — name=value words, numbers, On and Off.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/options.c"

#include <setjmp.h>

#include <cmocka.h>

#include "pool.h"

static void expect_option(apr_pool_t *pool, const char **args, const char *name, const char *value)
{
    wsgi_option_t option;
    assert_int_equal(wsgi_option_take(pool, args, &option), WSGI_OPTION_TAKEN);
    assert_string_equal(option.name, name);
    assert_string_equal(option.value, value);
}

static void expect_bad(apr_pool_t *pool, const char *args, const char *word)
{
    wsgi_option_t option;
    assert_int_equal(wsgi_option_take(pool, &args, &option), WSGI_OPTION_BAD);
    assert_string_equal(option.name, word);
}

/* compat: CONF-options CONF-option-repeated */
static void test_words(void **state)
{
    const char *args = "  processes=2\tthreads=  user=#33 ";
    wsgi_option_t option;
    expect_option(*state, &args, "processes", "2");
    expect_option(*state, &args, "threads", "");
    expect_option(*state, &args, "user", "#33");
    assert_int_equal(wsgi_option_take(*state, &args, &option), WSGI_OPTION_END);
}

/* compat: CONF-option-quotes */
static void test_quotes(void **state)
{
    const char *args = "a='b c' d=\"e = f\" 'g=h i' \"j=\" k=\"l\\\"m\\\\n\" o='p\\q'";
    expect_option(*state, &args, "a", "b c");
    expect_option(*state, &args, "d", "e = f");
    expect_option(*state, &args, "g", "h i");
    expect_option(*state, &args, "j", "");
    expect_option(*state, &args, "k", "l\"m\\n");
    expect_option(*state, &args, "o", "p\\q");
}

static void test_value_may_hold_an_equals_sign(void **state)
{
    const char *args = "env=A=1";
    expect_option(*state, &args, "env", "A=1");
}

/* compat: CONF-options */
static void test_bad_words(void **state)
{
    expect_bad(*state, "threads", "threads");
    expect_bad(*state, "threads =5", "threads");
    expect_bad(*state, "'threads'", "threads");
    expect_bad(*state, "home='/x", "home");
    expect_bad(*state, "\"home=/x", "\"home=/x");
}

/* compat: CONF-number-range */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        int64_t number;
    } cases[] = {
        {"1", 0, 1},
        {"+7", 0, 7},
        {"010", 0, 10},
        {"100", 0, 100},
        {"10s", 1, 10},
        {"5 m", 2, 5},
        {"0", WSGI_E_INVALID, -1},
        {"101", WSGI_E_INVALID, -1},
        {"-3", WSGI_E_INVALID, -1},
        {"", WSGI_E_INVALID, -1},
        {"many", WSGI_E_INVALID, -1},
        {"99999999999999999999", WSGI_E_INVALID, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t number = -1;
        assert_int_equal(wsgi_option_number(cases[i].text, 1, 100, &number), cases[i].result);
        assert_int_equal(number, cases[i].number);
    }
}

static void test_octal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        int64_t number;
    } cases[] = {
        {"022", 0, 022},
        {"7", 0, 7},
        {"0", 0, 0},
        {"777", 0, 0777},
        {"0228", 1, 022},
        {"27x", 1, 027},
        {"1000", WSGI_E_INVALID, -1},
        {"-1", WSGI_E_INVALID, -1},
        {"+1", WSGI_E_INVALID, -1},
        {"8", WSGI_E_INVALID, -1},
        {"", WSGI_E_INVALID, -1},
        {"u=rwx", WSGI_E_INVALID, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t number = -1;
        assert_int_equal(wsgi_option_octal(cases[i].text, 0, 0777, &number), cases[i].result);
        assert_int_equal(number, cases[i].number);
    }
}

static void test_intervals(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "0", "-1", "often", "1s", "nan", "inf", "3601", "1e-7"};
    int64_t us = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(wsgi_option_interval(bad[i], &us), WSGI_E_INVALID);
        assert_int_equal(us, -1);
    }
    assert_int_equal(wsgi_option_interval("0.0005", &us), 0);
    assert_int_equal(us, 500);
    assert_int_equal(wsgi_option_interval("3600", &us), 0);
    assert_int_equal(us, INT64_C(3600000000));
}

/* compat: CONF-flag */
static void test_flags(void **state)
{
    (void)state;
    assert_int_equal(wsgi_option_flag("On"), 1);
    assert_int_equal(wsgi_option_flag("oN"), 1);
    assert_int_equal(wsgi_option_flag("OFF"), 0);
    assert_int_equal(wsgi_option_flag("yes"), WSGI_E_INVALID);
    assert_int_equal(wsgi_option_flag("1"), WSGI_E_INVALID);
    assert_int_equal(wsgi_option_flag(""), WSGI_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_words),
        POOL_TEST(test_quotes),
        POOL_TEST(test_value_may_hold_an_equals_sign),
        POOL_TEST(test_bad_words),
        POOL_TEST(test_numbers),
        POOL_TEST(test_octal),
        POOL_TEST(test_intervals),
        POOL_TEST(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
