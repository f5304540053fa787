/* tests/unit/daemon/test_limits.c — limits and the locale of a worker, on a system that may refuse.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

#include "log_lines.h"

#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

enum manner { WORKS, FAILS, LIES };

static struct {
    enum manner manner;
    rlim_t data, space;
} kernel;

static rlim_t *limit_of(int resource)
{
    assert_true(resource == RLIMIT_DATA || resource == RLIMIT_AS);
    return resource == RLIMIT_DATA ? &kernel.data : &kernel.space;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    if (kernel.manner == FAILS) {
        errno = EPERM;
        return -1;
    }
    assert_true(limit->rlim_cur == limit->rlim_max);
    if (kernel.manner == WORKS) {
        *limit_of(resource) = limit->rlim_cur;
    }
    return 0;
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    limit->rlim_cur = limit->rlim_max = *limit_of(resource);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    kernel.manner = WORKS;
    kernel.data = kernel.space = RLIM_INFINITY;
    unsetenv("LANG");
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setlocale(LC_ALL, "C");
    log_lines_begin();
    return 0;
}

static void test_no_limits(void **state)
{
    const wsgi_group_settings_t settings = {.name = "group"};

    (void)state;
    wsgi_limits_set(&settings);
    assert_true(kernel.data == RLIM_INFINITY && kernel.space == RLIM_INFINITY);
}

static void test_limits(void **state)
{
    const wsgi_group_settings_t settings = {
        .name = "group", .memory_limit = 1000, .virtual_memory_limit = INT64_C(1) << 40};

    (void)state;
    wsgi_limits_set(&settings);
    assert_int_equal(kernel.data, 1000);
    assert_true(kernel.space == (rlim_t)1 << 40);
    assert_string_equal(log_lines, "");
}

static void test_limits_that_cannot_be_set_are_warnings(void **state)
{
    const wsgi_group_settings_t settings = {.name = "group", .memory_limit = 1000};

    kernel.manner = FAILS;
    wsgi_limits_set(&settings);
    assert_true(
        is_logged("<4> WSGI1450: [group] goes on without memory-limit=1000 (Operation not"));
    set_up(state);
    kernel.manner = LIES;
    wsgi_limits_set(&settings);
    assert_true(is_logged("memory-limit=1000 (the system said yes and did not do it)"));
}

static void test_lang_and_locale(void **state)
{
    const wsgi_group_settings_t settings = {.name = "group", .lang = "POSIX", .locale = "C.UTF-8"};

    (void)state;
    wsgi_locale_set(&settings);
    assert_string_equal(getenv("LANG"), "POSIX");
    assert_string_equal(getenv("LC_ALL"), "C.UTF-8");
    assert_string_equal(setlocale(LC_ALL, NULL), "C.UTF-8");
    assert_string_equal(log_lines, "");
}

static void test_neither(void **state)
{
    const wsgi_group_settings_t settings = {.name = "group", .lang = "", .locale = ""};

    (void)state;
    wsgi_locale_set(&settings);
    assert_null(getenv("LANG"));
    assert_null(getenv("LC_ALL"));
    assert_string_equal(setlocale(LC_ALL, NULL), "C");
}

/* Each warning says what counts instead. */
static void test_unknown_locales(void **state)
{
    const wsgi_group_settings_t both = {.name = "group", .lang = "xx_XX", .locale = "yy_YY"};
    const wsgi_group_settings_t one = {.name = "group", .lang = "C.UTF-8", .locale = "yy_YY"};

    wsgi_locale_set(&both);
    assert_null(getenv("LANG"));
    assert_null(getenv("LC_ALL"));
    assert_true(is_logged("<4> WSGI1451: [group] lang=xx_XX is no locale of this machine, C, with "
                          "text in UTF-8, is used instead"));
    assert_true(is_logged("locale=yy_YY is no locale"));
    set_up(state);
    wsgi_locale_set(&one);
    assert_true(is_logged("locale=yy_YY is no locale of this machine, C.UTF-8 is used instead"));
    assert_string_equal(setlocale(LC_ALL, NULL), "C");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_limits),
        TEST(test_limits),
        TEST(test_limits_that_cannot_be_set_are_warnings),
        TEST(test_lang_and_locale),
        TEST(test_neither),
        TEST(test_unknown_locales),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
