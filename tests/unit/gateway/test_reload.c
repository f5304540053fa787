/* tests/unit/gateway/test_reload.c — a script that changes: loaded again in place, or declined.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include <fcntl.h>

#define ANSWER(text) APP OK "    return [b'" text "']\n"

static int64_t mtime_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
}

/* Another source with a time stamp `seconds` from now, future or past. */
static void change(const fake_exchange_t *fake, const char *source, int seconds)
{
    const char *path = fake->ex.request.script.data;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    site_write(path, source);
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec += seconds;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Serves again; `mtime` as the host saw it. */
static int serve(fake_exchange_t *fake, int64_t mtime, enum wsgi_reload_mode mode)
{
    wsgi_result_t result;
    site_again(fake);
    fake->ex.request.flags |= WSGI_REQUEST_RELOADING;
    fake->ex.request.script_mtime_us = mtime;
    return wsgi_gateway_serve(wsgi_interp_find("", false, &result), &fake->ex, mode);
}

static void assert_answer(fake_exchange_t *fake, const char *answer)
{
    assert_int_equal(fake->outcome, WSGI_DONE);
    assert_string_equal(fake_exchange_sent(fake), answer);
}

static void test_in_place(void **state)
{
    static const int seconds[] = {10, -10};
    static const bool has_looked[] = {true, false};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fake_exchange_t fake;
        (void)site_answer(&fake, ANSWER("old"));
        change(&fake, ANSWER("new"), seconds[i / 2]);
        const char *path = fake.ex.request.script.data;
        serve(&fake, has_looked[i % 2] ? mtime_of(path) : 0, WSGI_RELOAD_IN_PLACE);
        assert_answer(&fake, "new");
        fake_exchange_free(&fake);
    }
}

static void test_not_asked_for(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, ANSWER("old"));
    change(&fake, ANSWER("new"), 10);
    site_again(&fake);
    fake.ex.request.script_mtime_us = mtime_of(fake.ex.request.script.data);
    site_serve(&fake);
    assert_answer(&fake, "old");
    fake_exchange_free(&fake);
}

static void test_by_process(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, ANSWER("old"));
    const char *path = fake.ex.request.script.data;
    assert_int_equal(serve(&fake, mtime_of(path), WSGI_RELOAD_BY_PROCESS), WSGI_OK);
    change(&fake, ANSWER("new"), 10);
    assert_int_equal(serve(&fake, mtime_of(path), WSGI_RELOAD_BY_PROCESS), WSGI_E_DECLINED);
    assert_int_equal(fake.verb_count, 0);
    assert_string_equal(fake_exchange_log(&fake), "");
    fake_exchange_free(&fake);
}

/* The host looked before the change, we loaded after it: no reason to load again. */
static void test_a_host_that_looked_too_early(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "import builtins\n"
                             "builtins.loads = getattr(builtins, 'loads', 0) + 1\n" APP OK
                             "    import builtins\n"
                             "    return [str(builtins.loads).encode()]\n");
    assert_int_equal(serve(&fake, 1, WSGI_RELOAD_BY_PROCESS), WSGI_OK);
    assert_answer(&fake, "1");
    assert_int_equal(serve(&fake, 1, WSGI_RELOAD_IN_PLACE), WSGI_OK);
    assert_answer(&fake, "1");
    fake_exchange_free(&fake);
}

static void test_a_script_that_goes_away(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, ANSWER("old"));
    assert_int_equal(unlink(fake.ex.request.script.data), 0);
    assert_int_equal(serve(&fake, 0, WSGI_RELOAD_BY_PROCESS), WSGI_E_DECLINED);
    serve(&fake, 0, WSGI_RELOAD_IN_PLACE);
    assert_failed(&fake, 404, "WSGI1201");
    fake_exchange_free(&fake);
}

static void test_a_change_that_breaks_and_mends(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, ANSWER("old"));
    const char *path = fake.ex.request.script.data;
    change(&fake, "def broken(:\n", 10);
    serve(&fake, mtime_of(path), WSGI_RELOAD_IN_PLACE);
    assert_failed(&fake, 500, "SyntaxError");
    change(&fake, ANSWER("mended"), 20);
    serve(&fake, mtime_of(path), WSGI_RELOAD_IN_PLACE);
    assert_answer(&fake, "mended");
    fake_exchange_free(&fake);
}

static void test_the_old_module_is_gone(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "leftover = 1\n" ANSWER("old"));
    change(&fake, APP OK "    return [repr('leftover' in globals()).encode()]\n", 10);
    serve(&fake, mtime_of(fake.ex.request.script.data), WSGI_RELOAD_IN_PLACE);
    assert_answer(&fake, "False");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_not_asked_for),
        cmocka_unit_test(test_by_process),
        cmocka_unit_test(test_a_host_that_looked_too_early),
        cmocka_unit_test(test_a_script_that_goes_away),
        cmocka_unit_test(test_a_change_that_breaks_and_mends),
        cmocka_unit_test(test_the_old_module_is_gone),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
