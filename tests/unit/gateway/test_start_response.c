/* tests/unit/gateway/test_start_response.c — what start_response() takes and refuses.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

/* What happens to `start_response(<args>); return [b'x']`. */
static void serve_args(fake_exchange_t *fake, const char *args)
{
    char source[512];
    snprintf(source, sizeof(source), APP "    start_response(%s)\n    return [b'x']\n", args);
    site_request(fake, source);
    site_serve(fake);
}

/* compat: START-status START-headers */
static void test_heads_that_are_fine(void **state)
{
    static const char *const cases[][2] = {
        {"'200 OK', []", "200 OK\n"},
        {"'204', []", "204 \n"},
        {"'404 Not Found', [('A', '1')]", "404 Not Found\nA: 1\n"},
        {"'200 OK', [('Set-Cookie', 'a'), ('Set-Cookie', 'b')]",
         "200 OK\nSet-Cookie: a\nSet-Cookie: b\n"},
        {"'200 OK', [('X', '')]", "200 OK\nX: \n"},
        {"'200 OK', [('X', 'caf\\xe9')]", "200 OK\nX: caf\xe9\n"},
        {"'200 caf\\xe9', []", "200 caf\xe9\n"},
        {"'200 OK', [], None", "200 OK\n"},
        {"'200 OK', type('L', (list,), {})([('A', 'b')])", "200 OK\nA: b\n"},
        {"'200 OK', [type('T', (tuple,), {})(('A', 'b'))]", "200 OK\nA: b\n"},
        {"'599 Odd', [('Content-Length', '1')]", "599 Odd\nContent-Length: 1\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fake_exchange_t fake;
        serve_args(&fake, cases[i][0]);
        assert_string_equal(fake_exchange_log(&fake), "");
        assert_string_equal(fake_exchange_head(&fake), cases[i][1]);
        assert_int_equal(fake.outcome, WSGI_DONE);
        fake_exchange_free(&fake);
    }
}

/* compat: START-status START-headers START-name START-value START-exc-info */
static void test_heads_that_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"b'200 OK', []", "TypeError: the status must be a str, not bytes"},
        {"200, []", "TypeError: the status must be a str, not int"},
        {"'OK', []", "ValueError: bad status 'OK'"},
        {"'20 OK', []", "ValueError: bad status"},
        {"'2000 OK', []", "ValueError: bad status"},
        {"'200-OK', []", "ValueError: bad status"},
        {"'200 OK\\r\\nX: y', []", "ValueError: bad status"},
        {"'200 \\u20ac', []", "UnicodeEncodeError"},
        {"'200 OK', (('A', 'b'),)", "TypeError: the response headers must be a list"},
        {"'200 OK', {'A': 'b'}", "TypeError: the response headers must be a list"},
        {"'200 OK', None", "TypeError: the response headers must be a list"},
        {"'200 OK', [['A', 'b']]", "TypeError: a response header must be a tuple"},
        {"'200 OK', [('A',)]", "ValueError: a response header must be a tuple (name, value)"},
        {"'200 OK', [('A', 'b', 'c')]", "not one of 3 items"},
        {"'200 OK', [(b'A', 'b')]", "TypeError: the name of a response header must be a str"},
        {"'200 OK', [('A', b'b')]", "TypeError: the value of a response header must be a str"},
        {"'200 OK', [('A', 1)]", "must be a str, not int"},
        {"'200 OK', [('', 'b')]", "ValueError: bad name of response header ''"},
        {"'200 OK', [('A B', 'b')]", "ValueError: bad name of response header 'A B'"},
        {"'200 OK', [('A:', 'b')]", "ValueError: bad name"},
        {"'200 OK', [('A\\n', 'b')]", "ValueError: bad name"},
        {"'200 OK', [('A', 'b\\r\\nC: d')]", "ValueError: bad value of response header 'A'"},
        {"'200 OK', [('A', 'b\\nc')]", "ValueError: bad value"},
        {"'200 OK', [('A', 'b\\0c')]", "ValueError: bad value"},
        {"'200 OK', [('A', '\\u20ac')]", "UnicodeEncodeError"},
        {"'200 OK', [('\\u20ac', 'b')]", "UnicodeEncodeError"},
        {"'200 OK', [('Content-Length', '-1')]", "ValueError: bad Content-Length '-1'"},
        {"'200 OK', [('content-length', 'many')]", "ValueError: bad Content-Length 'many'"},
        {"'200 OK', [('Content-Length', '')]", "ValueError: bad Content-Length"},
        {"'200 OK', [], 'exc'", "RuntimeError: exc_info of start_response()"},
        {"'200 OK'", "TypeError: start_response() takes (status, headers, exc_info=None)"},
        {"'200 OK', [], None, None", "TypeError: start_response() takes"},
        {"'200 OK', headers=[]", "TypeError: start_response() takes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fake_exchange_t fake;
        serve_args(&fake, cases[i][0]);
        assert_failed(&fake, 500, cases[i][1]);
        assert_contains(fake_exchange_log(&fake), "WSGI0174");
        assert_int_equal(fake.head_count, 0);
        fake_exchange_free(&fake);
    }
}

/* compat: START-again */
static void test_a_later_call_replaces_the_earlier(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, APP "    start_response('200 OK', [('A', 'b')] * 20)\n"
                                               "    start_response('201 Created', [('C', 'd')])\n"
                                               "    return [b'x']\n"),
                        "x");
    assert_string_equal(fake_exchange_head(&fake), "201 Created\nC: d\n");
    fake_exchange_free(&fake);
}

static void test_exc_info_replaces_the_head_before_it_leaves(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, "import sys\n" APP "    start_response('200 OK', [])\n"
                             "    try: 1/0\n    except ZeroDivisionError:\n"
                             "        start_response('500 Oops', [], sys.exc_info())\n"
                             "        return [b'sorry']\n");
    assert_string_equal(fake_exchange_head(&fake), "500 Oops\n");
    fake_exchange_free(&fake);
}

/* compat: START-late */
static void test_a_call_after_the_head_left(void **state)
{
    static const char *const firsts[] = {"yield b'x'", "write(b'x'); yield b'y'",
                                         "write(b''); yield b'y'"};
    (void)state;
    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        fake_exchange_t fake;
        char source[512];
        snprintf(source, sizeof(source),
                 APP "    write = start_response('200 OK', [])\n    %s\n"
                     "    start_response('201 OK', [])\n",
                 firsts[i]);
        site_request(&fake, source);
        site_serve(&fake);
        assert_truncated(&fake, "RuntimeError: start_response() was called again after the head");
        fake_exchange_free(&fake);
    }
}

/* compat: START-late */
static void test_exc_info_after_the_head_left_is_raised(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, "import sys\n" APP OK "    yield b'x'\n    try: {}['lost']\n"
                        "    except KeyError: start_response('500 Oops', [], sys.exc_info())\n");
    site_serve(&fake);
    assert_truncated(&fake, "KeyError: 'lost'");
    assert_lacks(fake_exchange_log(&fake), "RuntimeError");
    assert_string_equal(fake_exchange_sent(&fake), "x");
    fake_exchange_free(&fake);
}

static void test_a_head_survives_what_the_application_does_to_its_list(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, APP "    headers = [('A' * 40, 'b' * 40), ('C', 'd')]\n"
                                 "    start_response('200 ' + 'O' * 40, headers)\n"
                                 "    headers.clear()\n    import gc; gc.collect()\n"
                                 "    return [b'x']\n");
    assert_contains(fake_exchange_head(&fake), "AAAA: bbbb");
    assert_contains(fake_exchange_head(&fake), "C: d\n");
    assert_contains(fake_exchange_head(&fake), "200 OOOO");
    fake_exchange_free(&fake);
}

/* compat: START-ended */
static void test_use_after_the_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake,
                      "kept = []\n" APP "    said = []\n"
                      "    if kept:\n"
                      "        for use in (lambda: kept[0]('200 OK', []), lambda: kept[1](b'x')):\n"
                      "            try: use()\n"
                      "            except RuntimeError as e: said.append(str(e))\n"
                      "    kept[:] = [start_response, start_response('200 OK', [])]\n"
                      "    return [repr(len(said)).encode()]\n");
    site_again(&fake);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "2");
    fake_exchange_free(&fake);
}

/* compat: START-write */
static void test_write_takes_bytes_only(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP "    start_response('200 OK', [])('text')\n    return []\n");
    site_serve(&fake);
    assert_failed(&fake, 500, "TypeError: write() takes bytes, not str");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_that_are_fine),
        cmocka_unit_test(test_heads_that_are_refused),
        cmocka_unit_test(test_a_later_call_replaces_the_earlier),
        cmocka_unit_test(test_exc_info_replaces_the_head_before_it_leaves),
        cmocka_unit_test(test_a_call_after_the_head_left),
        cmocka_unit_test(test_exc_info_after_the_head_left_is_raised),
        cmocka_unit_test(test_a_head_survives_what_the_application_does_to_its_list),
        cmocka_unit_test(test_use_after_the_request),
        cmocka_unit_test(test_write_takes_bytes_only),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
