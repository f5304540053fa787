/* tests/unit/gateway/test_response.c — the answer: what is sent when, Content-Length, close().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

static void test_one_chunk_is_sent_as_the_last(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, APP OK "    return [b'hello']\n"), "hello");
    assert_string_equal(fake_exchange_head(&fake), "200 OK\nContent-Type: text/plain\n");
    assert_string_equal(fake_exchange_sizes(&fake), "5. ");
    assert_int_equal(fake.verb_count, 3); /* head, body, finish */
    assert_string_equal(fake_exchange_log(&fake), "");
    fake_exchange_free(&fake);
}

static void test_a_large_last_chunk_is_whole(void **state)
{
    fake_exchange_t fake;
    (void)state;
    const char *sent = site_answer(&fake, APP OK "    return (b'x' * 100000,)\n");
    assert_int_equal(strspn(sent, "x"), 100000);
    assert_string_equal(fake_exchange_sizes(&fake), "100000. ");
    fake_exchange_free(&fake);
}

static void test_each_chunk_of_a_generator_leaves_at_once(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, APP OK "    yield b'one'\n    yield b''\n    yield b'three'\n");
    assert_string_equal(fake_exchange_sent(&fake), "onethree");
    assert_string_equal(fake_exchange_sizes(&fake), "3+ 5+ ");
    fake_exchange_free(&fake);
}

static void test_a_list_ends_with_its_last_item(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, APP OK "    return [b'ab', b'', b'cde']\n");
    assert_string_equal(fake_exchange_sizes(&fake), "2+ 3. ");
    fake_exchange_free(&fake);
}

static void test_an_empty_answer_is_a_head(void **state)
{
    static const char *const bodies[] = {"[]", "()", "[b'']", "iter([])", "iter([b'', b''])"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source), APP OK "    return %s\n", bodies[i]);
        (void)site_answer(&fake, source);
        assert_int_equal(fake.head_count, 1);
        assert_int_equal(fake.send_count, 0);
        fake_exchange_free(&fake);
    }
}

static void test_bytes_are_an_iterable_of_integers(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    return b'hello'\n");
    site_serve(&fake);
    assert_failed(&fake, 500, "holds int where only bytes may be");
    fake_exchange_free(&fake);
}

/* compat: RESP-iterables */
static void test_start_response_inside_a_generator(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, APP "    yield b''\n" OK "    yield b'late'\n"), "late");
    fake_exchange_free(&fake);
}

/* compat: RESP-length-surplus */
static void test_bytes_beyond_content_length_are_dropped(void **state)
{
    static const char *const bodies[] = {"[b'123456']", "[b'12', b'3456']",
                                         "iter([b'12', b'34', b'56'])", "[b'1234', b'', b'56']"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source),
                 APP "    start_response('200 OK', [('content-length', '4')])\n    return %s\n",
                 bodies[i]);
        assert_string_equal(site_answer(&fake, source), "1234");
        fake_exchange_free(&fake);
    }
}

static void test_fewer_bytes_than_announced_are_a_visible_cut(void **state)
{
    static const char *const bodies[] = {"[b'123']", "[]", "iter([b'1', b'2'])"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source),
                 APP "    start_response('200 OK', [('Content-Length', '4')])\n    return %s\n",
                 bodies[i]);
        site_request(&fake, source);
        site_serve(&fake);
        assert_truncated(&fake, "fewer than its Content-Length 4");
        fake_exchange_free(&fake);
    }
}

static void test_answers_without_a_body_may_announce_one(void **state)
{
    static const char *const statuses[] = {"204 No Content", "304 Not Modified", "200 OK"};
    (void)state;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source),
                 APP "    start_response('%s', [('Content-Length', '4')])\n    return []\n",
                 statuses[i]);
        site_request(&fake, source);
        fake_exchange_var(&fake, "REQUEST_METHOD", i == 2 ? "HEAD" : "GET");
        assert_int_equal(site_serve(&fake), WSGI_OK);
        assert_int_equal(fake.outcome, WSGI_DONE);
        fake_exchange_free(&fake);
    }
}

/* The application returns Body(), which counts its closings in environ's list. */
#define CLOSING                                                                                    \
    "closed = []\n"                                                                                \
    "class Body:\n"                                                                                \
    "    def __init__(self, items): self.items = iter(items)\n"                                    \
    "    def __iter__(self): return self\n"                                                        \
    "    def __next__(self):\n"                                                                    \
    "        item = next(self.items)\n"                                                            \
    "        if item is None: raise KeyError('midway')\n"                                          \
    "        return item\n"                                                                        \
    "    def close(self): closed.append(1)\n"                                                      \
    "def application(environ, start_response):\n"                                                  \
    "    start_response('200 OK', [])\n"                                                           \
    "    if environ['QUERY_STRING'] == 'count': return [str(len(closed)).encode()]\n"

static void assert_closed_once(fake_exchange_t *fake)
{
    site_again(fake);
    fake_exchange_var(fake, "QUERY_STRING", "count");
    assert_int_equal(site_serve(fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(fake), "1");
    fake_exchange_free(fake);
}

static void test_close_is_called_at_the_end(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, CLOSING "    return Body([b'a', b'b'])\n");
    assert_closed_once(&fake);
}

/* compat: RESP-close */
static void test_close_is_called_after_an_exception(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, CLOSING "    return Body([b'a', None])\n");
    site_serve(&fake);
    assert_truncated(&fake, "KeyError: 'midway'");
    assert_closed_once(&fake);
}

/* compat: RESP-close */
static void test_close_is_called_when_the_client_has_gone(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, CLOSING "    return Body([b'abc', b'def', None])\n");
    fake.send_error = WSGI_E_GONE;
    fake.send_max = 3;
    assert_int_equal(site_serve(&fake), WSGI_E_GONE);
    assert_truncated(&fake, "<6> ");
    assert_contains(fake_exchange_log(&fake), "the client went away after 3 bytes");
    assert_lacks(fake_exchange_log(&fake), "<3>"); /* no error, and iteration stopped before None */
    assert_closed_once(&fake);
}

static void test_an_exception_of_close_is_only_logged(void **state)
{
    fake_exchange_t fake;
    (void)state;
    const char *sent = site_answer(
        &fake, "class Body(list):\n    def close(self): raise ValueError('closing')\n" APP OK
               "    return Body([b'fine'])\n");
    assert_string_equal(sent, "fine");
    assert_contains(fake_exchange_log(&fake), "ValueError: closing");
    fake_exchange_free(&fake);
}

static void test_write_goes_out_before_what_is_returned(void **state)
{
    fake_exchange_t fake;
    (void)state;
    (void)site_answer(&fake, APP "    write = start_response('200 OK', [])\n"
                                 "    write(b'one')\n    write(b'')\n    write(b'two')\n"
                                 "    return [b'three']\n");
    assert_string_equal(fake_exchange_sent(&fake), "onetwothree");
    assert_string_equal(fake_exchange_sizes(&fake), "3+ 3+ 5. ");
    fake_exchange_free(&fake);
}

static void test_write_raises_oserror_when_the_client_has_gone(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP "    write = start_response('200 OK', [])\n    write(b'abc')\n"
                            "    try: write(b'def')\n"
                            "    except OSError as e: print('caught', e)\n    return []\n");
    fake.send_error = WSGI_E_GONE;
    fake.send_max = 3;
    assert_int_equal(site_serve(&fake), WSGI_E_GONE);
    assert_truncated(&fake, "caught mod_wsgi response data write error");
    fake_exchange_free(&fake);
}

static void test_the_last_send_may_fail_too(void **state)
{
    static const char *const bodies[] = {"[b'x' * 10]", "[b'x' * 10000]"};
    static const int errors[] = {WSGI_E_GONE, WSGI_E_IO};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source), APP OK "    return %s\n", bodies[i / 2]);
        site_request(&fake, source);
        fake.send_error = errors[i % 2];
        assert_int_equal(site_serve(&fake), errors[i % 2]);
        assert_int_equal(fake.finish_count, 1);
        assert_int_equal(fake.outcome, WSGI_FAILED); /* the fake's head had not left */
        assert_contains(fake_exchange_log(&fake), i % 2 == 0 ? "<6> " : "WSGI1205");
        fake_exchange_free(&fake);
    }
}

/* The host has no memory for the head: nothing may follow, the chunk that waits neither. */
static void test_a_head_that_is_refused(void **state)
{
    static const char *const bodies[] = {"[b'x']", "[b'x' * 10000]", "iter([b'x'])", "[]"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        fake_exchange_t fake;
        char source[256];
        snprintf(source, sizeof(source), APP OK "    return %s\n", bodies[i]);
        site_request(&fake, source);
        fake.head_error = WSGI_E_NOMEM;
        assert_int_equal(site_serve(&fake), WSGI_E_NOMEM);
        assert_failed(&fake, 500, "WSGI1205: the answer cannot be sent: out of memory");
        assert_int_equal(fake.send_count, 0);
        fake_exchange_free(&fake);
    }
}

static void test_subclasses_of_bytes_are_bytes(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    class Bad(bytes): pass\n    return [Bad(b'sub'), b'class']\n");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "subclass");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_chunk_is_sent_as_the_last),
        cmocka_unit_test(test_a_large_last_chunk_is_whole),
        cmocka_unit_test(test_each_chunk_of_a_generator_leaves_at_once),
        cmocka_unit_test(test_a_list_ends_with_its_last_item),
        cmocka_unit_test(test_an_empty_answer_is_a_head),
        cmocka_unit_test(test_bytes_are_an_iterable_of_integers),
        cmocka_unit_test(test_start_response_inside_a_generator),
        cmocka_unit_test(test_bytes_beyond_content_length_are_dropped),
        cmocka_unit_test(test_fewer_bytes_than_announced_are_a_visible_cut),
        cmocka_unit_test(test_answers_without_a_body_may_announce_one),
        cmocka_unit_test(test_close_is_called_at_the_end),
        cmocka_unit_test(test_close_is_called_after_an_exception),
        cmocka_unit_test(test_close_is_called_when_the_client_has_gone),
        cmocka_unit_test(test_an_exception_of_close_is_only_logged),
        cmocka_unit_test(test_write_goes_out_before_what_is_returned),
        cmocka_unit_test(test_write_raises_oserror_when_the_client_has_gone),
        cmocka_unit_test(test_the_last_send_may_fail_too),
        cmocka_unit_test(test_a_head_that_is_refused),
        cmocka_unit_test(test_subclasses_of_bytes_are_bytes),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
