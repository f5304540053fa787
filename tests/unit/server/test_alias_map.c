/* tests/unit/server/test_alias_map.c — which alias a URI begins with.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/alias_map.c"

#include "apr_strings.h"

#include <setjmp.h>

#include <cmocka.h>

#include "pool.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void expect(const wsgi_alias_map_t *map, const char *uri, int index, size_t covered)
{
    size_t found_covered = 0;
    int found = wsgi_alias_map_find(map, uri, &found_covered);
    if (found != index || found_covered != covered) {
        fail_msg("%s: alias %d covers %zu bytes, not %d and %zu", uri, found, found_covered, index,
                 covered);
    }
}

/* compat: MAP-prefix */
static void test_segments(void **state)
{
    static const char *const paths[] = {"/app", "/a/b/c"};
    const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, COUNT(paths));
    expect(map, "/app", 0, 4);
    expect(map, "/app/", 0, 4);
    expect(map, "/app/x/y", 0, 4);
    expect(map, "/a/b/c/d", 1, 6);
    expect(map, "/apple", -1, 0);
    expect(map, "/App", -1, 0);
    expect(map, "/a/b", -1, 0);
    expect(map, "/x/app", -1, 0);
    expect(map, "/", -1, 0);
}

/* compat: MAP-prefix */
static void test_trailing_slash_is_wanted(void **state)
{
    static const char *const paths[] = {"/dir/"};
    const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, COUNT(paths));
    expect(map, "/dir", -1, 0);
    expect(map, "/dir/", 0, 5);
    expect(map, "/dir/x", 0, 5);
    expect(map, "/dir///x", 0, 7);
}

static void test_root_takes_all(void **state)
{
    static const char *const paths[] = {"/"};
    const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, COUNT(paths));
    expect(map, "/", 0, 1);
    expect(map, "/any/thing", 0, 1);
    expect(map, "///x", 0, 3);
}

/* compat: MAP-slashes */
static void test_runs_of_slashes(void **state)
{
    static const char *const paths[] = {"/a//b"};
    const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, COUNT(paths));
    expect(map, "/a/b", 0, 4);
    expect(map, "//a///b/c", 0, 7);
    expect(map, "/ab", -1, 0);
}

/* compat: MERGE-alias-order */
static void test_first_in_the_file_wins(void **state)
{
    static const char *const paths[] = {"/a/b", "/a", "/a/b/c", "/a", "/a/b/"};
    const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, COUNT(paths));
    expect(map, "/a/b/c", 0, 4);
    expect(map, "/a/c", 1, 2);
    static const char *const slash_first[] = {"/d/", "/d"};
    map = wsgi_alias_map_make(*state, slash_first, COUNT(slash_first));
    expect(map, "/d", 1, 2);
    expect(map, "/d/x", 0, 3);
}

static void test_empty_places_and_maps(void **state)
{
    static const char *const paths[] = {NULL, "/x", NULL};
    expect(wsgi_alias_map_make(*state, paths, COUNT(paths)), "/x/y", 1, 2);
    expect(wsgi_alias_map_make(*state, paths, 0), "/x/y", -1, 0);
}

/* The plain scan that the map replaces, for comparison. */
static bool covers(const char *path, const char *uri, size_t *covered)
{
    const char *start = uri;
    while (*path != '\0') {
        if (*path == '/' && *uri == '/') {
            path = skip_slashes(path);
            uri = skip_slashes(uri);
        }
        else if (*path++ != *uri++) {
            return false;
        }
    }
    *covered = (size_t)(uri - start);
    return path[-1] == '/' || *uri == '\0' || *uri == '/';
}

static int scan(const char *const *paths, size_t count, const char *uri, size_t *covered)
{
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        if (covers(paths[i], uri, &bytes)) {
            *covered = bytes;
            return (int)i;
        }
    }
    return -1;
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static const char *random_path(apr_pool_t *pool, unsigned *seed)
{
    static const char *const pieces[] = {"/", "//", "a", "b", "ab", "/a", "/b", "/a/"};
    const char *path = "/";
    for (unsigned i = next_random(seed) % 6; i > 0; i--) {
        path = apr_pstrcat(pool, path, pieces[next_random(seed) % COUNT(pieces)], NULL);
    }
    return path;
}

static void test_agrees_with_a_scan(void **state)
{
    unsigned seed = 7;
    for (int round = 0; round < 100; round++) {
        const char *paths[12];
        size_t count = next_random(&seed) % COUNT(paths);
        for (size_t i = 0; i < count; i++) {
            paths[i] = random_path(*state, &seed);
        }
        const wsgi_alias_map_t *map = wsgi_alias_map_make(*state, paths, count);
        for (int i = 0; i < 50; i++) {
            const char *uri = random_path(*state, &seed);
            size_t covered = 0;
            int index = scan(paths, count, uri, &covered);
            expect(map, uri, index, covered);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_segments),
        POOL_TEST(test_trailing_slash_is_wanted),
        POOL_TEST(test_root_takes_all),
        POOL_TEST(test_runs_of_slashes),
        POOL_TEST(test_first_in_the_file_wins),
        POOL_TEST(test_empty_places_and_maps),
        POOL_TEST(test_agrees_with_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
