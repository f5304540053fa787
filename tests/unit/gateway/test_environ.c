/* tests/unit/gateway/test_environ.c — the environ: keys, types, encodings, nothing of the request
 * before.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include "wsgi_field.h"

/* Answers with repr() of what the expression in QUERY_STRING makes of the environ. */
#define EVALUATE                                                                                   \
    APP OK "    return [ascii(eval(environ['QUERY_STRING'], {'e': environ})).encode()]\n"

static void assert_value(fake_exchange_t *fake, const char *expression, const char *expected)
{
    fake_exchange_var(fake, "QUERY_STRING", expression);
    assert_int_equal(site_serve(fake), WSGI_OK);
    if (strcmp(fake_exchange_sent(fake), expected) != 0) {
        fail_msg("%s is %s, not %s", expression, fake_exchange_sent(fake), expected);
    }
    site_again(fake);
}

static void test_keys_and_types(void **state)
{
    static const char *const cases[][2] = {
        {"type(e) is dict", "True"},
        {"e['REQUEST_METHOD']", "'GET'"},
        {"e['PATH_INFO'], e['SCRIPT_NAME']", "('/', '')"},
        {"e['wsgi.version']", "(1, 0)"},
        {"e['wsgi.url_scheme']", "'http'"},
        {"e['wsgi.multithread'], e['wsgi.multiprocess'], e['wsgi.run_once']",
         "(True, False, False)"},
        {"e['wsgi.input_terminated']", "True"},
        {"e['wsgi.file_wrapper'] is __import__('mod_wsgi').FileWrapper", "True"},
        {"type(e['wsgi.errors']).__name__", "'TextIOWrapper'"},
        {"type(e['wsgi.input']).__name__", "'Input'"},
        {"e['apache.version']", "(2, 4, 71)"},
        {"e['mod_wsgi.version']", "(6, 0, 5)"},
        {"e['mod_wsgi.process_group']", "''"},
        {"e['mod_wsgi.application_group']", "''"},
        {"e['mod_wsgi.callable_object']", "'application'"},
        {"e['mod_wsgi.request_handler']", "'wsgi-script'"},
        {"e['mod_wsgi.handler_script']", "''"},
        {"e['mod_wsgi.server_pid']", "'4711'"},
        {"type(e['mod_wsgi.thread_id']).__name__", "'int'"},
        {"e['mod_wsgi.request_start']", "1700000000.0"},
        {"e['mod_wsgi.queue_start'], e['mod_wsgi.daemon_start']", "(0.0, 0.0)"},
        {"0 <= __import__('time').time() - e['mod_wsgi.application_start'] < 60", "True"},
        {"[k for k, v in e.items() if v is None]", "[]"},
        {"[k for k in ('CONTENT_TYPE', 'CONTENT_LENGTH', 'REMOTE_USER') if k in e]", "[]"},
    };
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_value(&fake, cases[i][0], cases[i][1]);
    }
    fake_exchange_free(&fake);
}

/* compat: ENV-https */
static void test_https(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake.ex.request.flags |= WSGI_REQUEST_HTTPS;
    assert_value(&fake, "e['wsgi.url_scheme']", "'https'");
    assert_value(&fake, "e['wsgi.url_scheme']", "'http'");
    fake_exchange_free(&fake);
}

/* compat: ENV-latin1 */
static void test_bytes_become_latin1_characters(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake_exchange_var(&fake, "PATH_INFO", "/caf\xc3\xa9");
    fake_exchange_var(&fake, "HTTP_X_CUSTOM", "\xff\x80");
    assert_value(&fake, "e['PATH_INFO'], e['HTTP_X_CUSTOM']", "('/caf\\xc3\\xa9', '\\xff\\x80')");
    fake_exchange_free(&fake);
}

/* compat: ENV-paths */
static void test_file_names_are_decoded_as_such(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake_exchange_var(&fake, "DOCUMENT_ROOT", "/caf\xc3\xa9");
    fake_exchange_var(&fake, "SCRIPT_FILENAME", "/\xff");
    assert_value(&fake, "e['DOCUMENT_ROOT'], e['SCRIPT_FILENAME']", "('/caf\\xe9', '/\\udcff')");
    fake_exchange_free(&fake);
}

static void test_handler_script(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake.ex.request.flags |= WSGI_REQUEST_HANDLER_SCRIPT;
    assert_value(&fake, "e['mod_wsgi.handler_script'].endswith('.wsgi')", "True");
    assert_value(&fake, "e['mod_wsgi.handler_script']", "''");
    fake_exchange_free(&fake);
}

static void test_daemon_times(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake.ex.request.process_group = WSGI_LITERAL("group");
    fake.ex.request.queue_start_us = INT64_C(1700000001500000);
    assert_value(&fake,
                 "(e['mod_wsgi.process_group'], e['mod_wsgi.queue_start'], "
                 "0 <= __import__('time').time() - e['mod_wsgi.daemon_start'] < 60)",
                 "('group', 1700000001.5, True)");
    assert_value(&fake, "e['mod_wsgi.queue_start'], e['mod_wsgi.daemon_start']", "(0.0, 0.0)");
    fake_exchange_free(&fake);
}

/* What one request had must not show in the next one of the thread, whatever was remembered. */
/* compat: ENV-fresh */
static void test_nothing_is_left_of_the_request_before(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake_exchange_var(&fake, "REMOTE_USER", "alice");
    fake_exchange_var(&fake, "CONTENT_TYPE", "text/x-first");
    fake_exchange_var(&fake, "HTTP_COOKIE", "secret");
    fake_exchange_var(&fake, "HTTP_X_CUSTOM", "custom");
    assert_value(&fake, "e['REMOTE_USER'], e['HTTP_COOKIE']", "('alice', 'secret')");
    assert_value(&fake,
                 "[k for k in ('REMOTE_USER', 'CONTENT_TYPE', 'HTTP_COOKIE', 'HTTP_X_CUSTOM')"
                 " if k in e]",
                 "[]");
    fake_exchange_var(&fake, "REMOTE_USER", "bob");
    assert_value(&fake, "e['REMOTE_USER']", "'bob'");
    fake_exchange_free(&fake);
}

static void test_an_application_may_change_its_environ(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, APP OK
                                    "    seen = environ['PATH_INFO'] + str('mine' in environ)\n"
                                    "    environ.update(PATH_INFO='/changed', mine=1)\n"
                                    "    del environ['SERVER_NAME']\n"
                                    "    return [seen.encode()]\n"),
                        "/False");
    site_again(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "/False");
    fake_exchange_free(&fake);
}

/* Values of every length around the limits of what is remembered. */
static void test_long_values_and_odd_ones(void **state)
{
    fake_exchange_t fake;
    char value[301];
    (void)state;
    site_request(&fake, EVALUATE);
    for (size_t len = 0; len <= 300; len += 25) {
        memset(value, 'v', len);
        value[len] = '\0';
        fake_exchange_var(&fake, "PATH_INFO", value);
        char expected[16];
        snprintf(expected, sizeof(expected), "%zu", len);
        assert_value(&fake, "len(e['PATH_INFO'])", expected);
    }
    fake_exchange_free(&fake);
}

/* compat: ENV-last */
static void test_the_last_of_several_values_counts(void **state)
{
    static const char *const values[][2] = {{"short", "caf\xe9"}, {"caf\xe9", "short"}, {"a", "b"}};
    static const char *const expected[] = {"'caf\\xe9'", "'short'", "'b'"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        fake_exchange_t fake;
        site_request(&fake, EVALUATE);
        fake_exchange_var(&fake, "REMOTE_USER", values[i][0]);
        wsgi_var_t *again = &fake.vars[fake.ex.request.var_count++];
        *again = fake.vars[fake.ex.request.var_count - 2];
        again->value = (wsgi_bytes_t){values[i][1], strlen(values[i][1])};
        assert_value(&fake, "e['REMOTE_USER']", expected[i]);
        fake_exchange_free(&fake);
    }
}

/* compat: ENV-forged */
static void test_keys_of_ours_cannot_be_forged(void **state)
{
    static const char *const names[] = {
        "apache.request_rec", "wsgi.url_scheme",     "wsgi.input",    "mod_wsgi.process_group",
        "mod_wsgi.version",   "mod_wsgi.server_pid", "apache.version"};
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        fake.vars[fake.ex.request.var_count++] =
            (wsgi_var_t){.name = {names[i], strlen(names[i])}, .value = WSGI_LITERAL("forged")};
    }
    fake_exchange_var(&fake, "mod_wsgi.mine", "allowed");
    assert_value(&fake, "[k for k, v in e.items() if v == 'forged'], e['mod_wsgi.mine']",
                 "([], 'allowed')");
    fake_exchange_free(&fake);
}

/* More names than are kept, each seen twice with another value: at some place of the table two meet. */
static void test_many_names(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    for (int i = 0; i < 200; i++) {
        char name[32], value[32], expression[96], expected[64];
        snprintf(name, sizeof(name), "HTTP_X_MANY_%d", i % 100);
        snprintf(value, sizeof(value), "value %d", i);
        snprintf(expression, sizeof(expression),
                 "e['%s'], len([k for k in e if 'HTTP_X_MANY' in k])", name);
        snprintf(expected, sizeof(expected), "('%s', 1)", value);
        fake_exchange_var(&fake, name, value);
        assert_value(&fake, expression, expected);
    }
    fake_exchange_free(&fake);
}

static void test_no_value_is_none(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake_exchange_var(&fake, "MY_FLAG", "");
    fake.vars[fake.ex.request.var_count - 1].value = (wsgi_bytes_t){NULL, 0};
    fake_exchange_var(&fake, "REMOTE_USER", "");
    fake.vars[fake.ex.request.var_count - 1].value = (wsgi_bytes_t){NULL, 0};
    assert_value(&fake, "e['MY_FLAG'], e['REMOTE_USER']", "(None, None)");
    fake_exchange_var(&fake, "REMOTE_USER", "");
    assert_value(&fake, "e['REMOTE_USER']", "''");
    fake_exchange_var(&fake, "REMOTE_USER", "");
    fake.vars[fake.ex.request.var_count - 1].value = (wsgi_bytes_t){NULL, 0};
    assert_value(&fake, "e['REMOTE_USER']", "None");
    fake_exchange_free(&fake);
}

static void test_group_names_belong_to_the_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, EVALUATE);
    fake.ex.request.application_group = WSGI_LITERAL("localhost|/app");
    assert_value(&fake, "e['mod_wsgi.application_group']", "'localhost|/app'");
    assert_value(&fake, "e['mod_wsgi.application_group']", "''");
    fake_exchange_free(&fake);
}

/* The pointer of the capsule, as ctypes reads it. */
static void test_the_native_request(void **state)
{
    static const char inside[] = "'apache.request_rec' in e";
    fake_exchange_t fake;
    int native;
    char expected[64];
    (void)state;
    site_request(&fake,
                 "import ctypes\n"
                 "get = ctypes.pythonapi.PyCapsule_GetPointer\n"
                 "get.restype = ctypes.c_void_p\n"
                 "get.argtypes = [ctypes.py_object, ctypes.c_char_p]\n" APP OK "    e = environ\n"
                 "    return [ascii(eval(e['QUERY_STRING'],"
                 " {'e': e, 'get': get})).encode()]\n");
    fake.ex.native = &native;
    assert_value(&fake, inside, "False");
    fake.ex.native = &native;
    fake.ex.request.flags |= WSGI_REQUEST_PASS_NATIVE;
    snprintf(expected, sizeof(expected), "%llu", (unsigned long long)(uintptr_t)&native);
    assert_value(&fake, "get(e['apache.request_rec'], None)", expected);
    assert_value(&fake, inside, "False"); /* nothing is left of it */
    fake.ex.request.flags |= WSGI_REQUEST_PASS_NATIVE;
    assert_value(&fake, inside, "False"); /* a daemon has none */
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_and_types),
        cmocka_unit_test(test_https),
        cmocka_unit_test(test_bytes_become_latin1_characters),
        cmocka_unit_test(test_file_names_are_decoded_as_such),
        cmocka_unit_test(test_handler_script),
        cmocka_unit_test(test_daemon_times),
        cmocka_unit_test(test_nothing_is_left_of_the_request_before),
        cmocka_unit_test(test_an_application_may_change_its_environ),
        cmocka_unit_test(test_long_values_and_odd_ones),
        cmocka_unit_test(test_the_last_of_several_values_counts),
        cmocka_unit_test(test_keys_of_ours_cannot_be_forged),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_no_value_is_none),
        cmocka_unit_test(test_group_names_belong_to_the_request),
        cmocka_unit_test(test_the_native_request),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
