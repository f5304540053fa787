/* tests/unit/server/test_names.c — names of groups and interpreters, and collapsed slashes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/names.c"

#include <setjmp.h>

#include <cmocka.h>

#include "pool.h"

static const wsgi_name_place_t place = {"example.org", "asked.example", 8080, {"/blog", 5}, NULL,
                                        NULL};

static void expect_name(apr_pool_t *pool, const char *text, const wsgi_name_place_t *at,
                        const char *expected)
{
    wsgi_name_t name = wsgi_name_parse(text);
    wsgi_bytes_t expanded = wsgi_name_expand(&name, at, pool);
    assert_string_equal(expanded.data, expected);
    assert_int_equal(expanded.len, strlen(expected));
}

/* compat: NAME-global */
static void test_tokens(void **state)
{
    expect_name(*state, "%{GLOBAL}", &place, "");
    expect_name(*state, "%{SERVER}", &place, "example.org:8080");
    expect_name(*state, "%{RESOURCE}", &place, "example.org:8080|/blog");
}

/* compat: NAME-whole */
static void test_literals(void **state)
{
    expect_name(*state, "site", &place, "site");
    expect_name(*state, "", &place, "");
    expect_name(*state, "a %{GLOBAL}", &place, "a %{GLOBAL}");
    expect_name(*state, "%{UNKNOWN}", &place, "%{UNKNOWN}");
    expect_name(*state, "%{global}", &place, "%{global}");
}

/* compat: NAME-scripts */
static void test_interpreters_of_hook_scripts(void **state)
{
    static const char *const names[][2] = {
        {"%{GLOBAL}", ""},
        {"%{SERVER}", "example.org:8080"},
        {"%{HOST}", "asked.example:8080"},
        {"%{RESOURCE}", "%{RESOURCE}"},
        {"%{ENV:x}", "%{ENV:x}"},
        {"site", "site"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        wsgi_name_t name = wsgi_name_parse_hook(names[i][0]);
        assert_string_equal(wsgi_name_expand(&name, &place, *state).data, names[i][1]);
    }
}

/* compat: NAME-port */
static void test_default_ports_are_left_out(void **state)
{
    static const unsigned defaults[] = {80, 443};
    for (size_t i = 0; i < 2; i++) {
        const wsgi_name_place_t at = {"example.org", "", defaults[i], {"", 0}, NULL, NULL};
        expect_name(*state, "%{SERVER}", &at, "example.org");
        expect_name(*state, "%{RESOURCE}", &at, "example.org|");
    }
}

static void test_largest_port_fits(void **state)
{
    const wsgi_name_place_t at = {"h", "", UINT32_MAX, {"/s", 2}, NULL, NULL};
    expect_name(*state, "%{RESOURCE}", &at, "h:4294967295|/s");
}

static void test_decimals(void **state)
{
    (void)state;
    char text[WSGI_NAME_DECIMAL_BYTES];
    static const struct {
        unsigned number;
        const char *text;
    } cases[] = {{0, "0"}, {7, "7"}, {10, "10"}, {65535, "65535"}, {UINT32_MAX, "4294967295"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(wsgi_name_put_decimal(text, cases[i].number), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

static void expect_collapsed(apr_pool_t *pool, const char *path, const char *expected)
{
    wsgi_bytes_t result = wsgi_name_collapse_slashes((wsgi_bytes_t){path, strlen(path)}, pool);
    assert_int_equal(result.len, strlen(expected));
    assert_memory_equal(result.data, expected, result.len);
}

static void test_slashes(void **state)
{
    expect_collapsed(*state, "", "");
    expect_collapsed(*state, "/", "/");
    expect_collapsed(*state, "/a/b/", "/a/b/");
    expect_collapsed(*state, "//", "/");
    expect_collapsed(*state, "///a//b////c//", "/a/b/c/");
    expect_collapsed(*state, "a//b", "a/b");
}

/* A slice is collapsed by its length: what stands behind it does not count. */
static void test_slashes_behind_a_slice(void **state)
{
    const char *path = "/a//b";
    wsgi_bytes_t slice = {path, 3};
    wsgi_bytes_t result = wsgi_name_collapse_slashes(slice, *state);
    assert_ptr_equal(result.data, path);
    assert_int_equal(result.len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_tokens),
        POOL_TEST(test_literals),
        POOL_TEST(test_interpreters_of_hook_scripts),
        POOL_TEST(test_default_ports_are_left_out),
        POOL_TEST(test_largest_port_fits),
        POOL_TEST(test_decimals),
        POOL_TEST(test_slashes),
        POOL_TEST(test_slashes_behind_a_slice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
