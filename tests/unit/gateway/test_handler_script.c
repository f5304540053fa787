/* tests/unit/gateway/test_handler_script.c — WSGIHandlerScript: a script that handles a resource,
 * and says itself when it is out of date.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

/* Its answer tells how often it was loaded. */
#define HANDLER                                                                                    \
    "import builtins\n"                                                                            \
    "key = 'loads of ' + __file__\n"                                                               \
    "loads = getattr(builtins, key, 0) + 1\n"                                                      \
    "setattr(builtins, key, loads)\n"                                                              \
    "def handle_request(environ, start_response):\n" OK "    return [str(loads).encode()]\n"

static int serve(fake_exchange_t *fake, enum wsgi_reload_mode mode)
{
    wsgi_result_t result;
    wsgi_request_t *request = &fake->ex.request;
    request->flags |= WSGI_REQUEST_HANDLER_SCRIPT;
    request->callable = WSGI_LITERAL("handle_request");
    request->handler = WSGI_LITERAL("my-handler");
    fake_exchange_var(fake, "SCRIPT_FILENAME", "/srv/caf\xc3\xa9.page");
    return wsgi_gateway_serve(wsgi_interp_find("", false, &result), &fake->ex, mode);
}

static int serve_reloading(fake_exchange_t *fake, enum wsgi_reload_mode mode)
{
    fake->ex.request.flags |= WSGI_REQUEST_RELOADING;
    return serve(fake, mode);
}

static void assert_loads(fake_exchange_t *fake, const char *loads)
{
    assert_int_equal(fake->outcome, WSGI_DONE);
    assert_string_equal(fake_exchange_sent(fake), loads);
    site_again(fake);
}

/* compat: HSCRIPT-environ */
static void test_the_environ(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake,
                 "def handle_request(environ, start_response):\n" OK
                 "    keys = ('SCRIPT_FILENAME', 'mod_wsgi.request_handler',"
                 " 'mod_wsgi.callable_object')\n"
                 "    yield ascii([environ[k] for k in keys]).encode()\n"
                 "    yield ascii(environ['mod_wsgi.handler_script'] == __file__).encode()\n");
    assert_int_equal(serve(&fake, WSGI_RELOAD_IN_PLACE), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake),
                        "['/srv/caf\\xe9.page', 'my-handler', 'handle_request']True");
    fake_exchange_free(&fake);
}

static void test_a_script_without_reload_required(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, HANDLER);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_reloading(&fake, WSGI_RELOAD_IN_PLACE), WSGI_OK);
        assert_loads(&fake, "1");
        assert_int_equal(serve_reloading(&fake, WSGI_RELOAD_BY_PROCESS), WSGI_OK);
        assert_loads(&fake, "1");
    }
    fake_exchange_free(&fake);
}

/* From the second load on it is content. */
#define ONCE                                                                                       \
    HANDLER "def reload_required(resource):\n"                                                     \
            "    assert resource == '/srv/caf\xc3\xa9.page', ascii(resource)\n"                    \
            "    return 'yes' if loads == 1 else ''\n"

static void test_a_reload_in_place(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, ONCE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_reloading(&fake, WSGI_RELOAD_IN_PLACE), WSGI_OK);
        assert_loads(&fake, "2");
    }
    fake_exchange_free(&fake);
}

static void test_a_reload_by_process(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, ONCE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_reloading(&fake, WSGI_RELOAD_BY_PROCESS), WSGI_E_DECLINED);
        assert_int_equal(fake.verb_count, 0);
        assert_string_equal(fake_exchange_log(&fake), "");
    }
    fake_exchange_free(&fake);
}

static void test_nobody_asks_where_reloading_is_off(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, ONCE);
    assert_int_equal(serve(&fake, WSGI_RELOAD_IN_PLACE), WSGI_OK);
    assert_loads(&fake, "1");
    fake_exchange_free(&fake);
}

static void test_nobody_asks_an_application(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    return [b'x']\ndef reload_required(resource): 1/0\n");
    fake.ex.request.flags |= WSGI_REQUEST_RELOADING;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_log(&fake), "");
    fake_exchange_free(&fake);
}

/* compat: HSCRIPT-reload */
static void test_an_exception_counts_as_no(void **state)
{
    static const char *const answers[] = {"raise KeyError('inside')",
                                          "return type('Odd', (), {'__bool__': lambda s: 1/0})()",
                                          "import sys; sys.exit(1)"};
    static const char *const said[] = {"KeyError: 'inside'", "ZeroDivisionError", "WSGI0175"};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        fake_exchange_t fake;
        char source[1024];
        snprintf(source, sizeof(source), HANDLER "def reload_required(resource):\n    %s\n",
                 answers[i / 2]);
        site_request(&fake, source);
        enum wsgi_reload_mode mode = i % 2 == 0 ? WSGI_RELOAD_IN_PLACE : WSGI_RELOAD_BY_PROCESS;
        assert_int_equal(serve_reloading(&fake, mode), WSGI_OK);
        assert_contains(fake_exchange_log(&fake), said[i / 2]);
        assert_loads(&fake, "1");
        fake_exchange_free(&fake);
    }
}

static void test_no_handle_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    return [b'x']\n");
    (void)serve(&fake, WSGI_RELOAD_IN_PLACE);
    assert_failed(&fake, 500, "no callable 'handle_request', only these: application; define it\n");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_environ),
        cmocka_unit_test(test_a_script_without_reload_required),
        cmocka_unit_test(test_a_reload_in_place),
        cmocka_unit_test(test_a_reload_by_process),
        cmocka_unit_test(test_nobody_asks_where_reloading_is_off),
        cmocka_unit_test(test_nobody_asks_an_application),
        cmocka_unit_test(test_an_exception_counts_as_no),
        cmocka_unit_test(test_no_handle_request),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
