/* tests/unit/gateway/test_filewrapper.c — wsgi.file_wrapper: which files pass by without Python.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

/* A module-level `path` of a file with 26 letters, and the body of the application. */
static void request_with_file(fake_exchange_t *fake, const char *body)
{
    char path[128], source[1024];
    site_path(path, "letters");
    site_write(path, "abcdefghijklmnopqrstuvwxyz");
    snprintf(source, sizeof(source),
             "import io, os, mod_wsgi\npath = '%s'\n"
             "def application(environ, start_response):\n    wrap = environ['wsgi.file_wrapper']\n"
             "    head = []\n    write = start_response('200 OK', head)\n%s",
             path, body);
    site_request(fake, source);
}

static void assert_sent(const char *body, const char *sent, const char *sizes)
{
    fake_exchange_t fake;
    request_with_file(&fake, body);
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_log(&fake), "");
    assert_string_equal(fake_exchange_sent(&fake), sent);
    assert_string_equal(fake_exchange_sizes(&fake), sizes);
    fake_exchange_free(&fake);
}

/* compat: FILE-fast */
static void test_a_regular_file_passes_by(void **state)
{
    (void)state;
    assert_sent("    return wrap(open(path, 'rb'))\n", "abcdefghijklmnopqrstuvwxyz", "26f ");
    assert_sent("    f = open(path, 'rb'); f.seek(20)\n    return wrap(f, 4)\n", "uvwxyz", "6f ");
    assert_sent("    f = open(path, 'rb'); f.read(3)\n    return wrap(f)\n",
                "defghijklmnopqrstuvwxyz", "23f ");
    assert_sent("    class Own(wrap): pass\n    return Own(open(path, 'rb'))\n",
                "abcdefghijklmnopqrstuvwxyz", "26f ");
    assert_sent("    f = open(path, 'rb'); f.seek(30)\n    return wrap(f)\n", "", "");
    assert_sent("    write(b'')\n    return wrap(open(path, 'rb'))\n", "abcdefghijklmnopqrstuvwxyz",
                "26f ");
}

/* compat: FILE-iterated */
static void test_anything_else_is_read(void **state)
{
    (void)state;
    assert_sent("    return wrap(io.BytesIO(b'12345'), 2)\n", "12345", "2+ 2+ 1+ ");
    assert_sent("    write(b'first'); return wrap(open(path, 'rb'), 13)\n",
                "firstabcdefghijklmnopqrstuvwxyz", "5+ 13+ 13+ ");
    assert_sent("    r, w = os.pipe(); os.write(w, b'piped'); os.close(w)\n"
                "    return wrap(open(r, 'rb'), 4)\n",
                "piped", "4+ 1+ ");
    assert_sent("    class Plain:\n        chunks = [b'a', b'b', b'']\n"
                "        def read(self, size): return self.chunks.pop(0)\n"
                "    return wrap(Plain())\n",
                "ab", "1+ 1+ ");
    assert_sent("    with open(path, 'rb') as f: return list(wrap(f, 20))\n",
                "abcdefghijklmnopqrstuvwxyz", "20+ 6. ");
}

/* compat: FILE-length */
static void test_content_length_is_added(void **state)
{
    fake_exchange_t fake;
    (void)state;
    request_with_file(&fake, "    f = open(path, 'rb'); f.seek(16)\n    return wrap(f)\n");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_head(&fake), "200 OK\nContent-Length: 10\n");
    fake_exchange_free(&fake);
}

/* compat: FILE-length */
static void test_content_length_rules_the_file(void **state)
{
    fake_exchange_t fake;
    (void)state;
    request_with_file(&fake, "    start_response('200 OK', [('Content-Length', '5')])\n"
                             "    return wrap(open(path, 'rb'))\n");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "abcde");
    assert_string_equal(fake_exchange_sizes(&fake), "5f ");
    fake_exchange_free(&fake);
}

static void test_a_file_shorter_than_announced_is_a_visible_cut(void **state)
{
    fake_exchange_t fake;
    (void)state;
    request_with_file(&fake, "    start_response('200 OK', [('Content-Length', '50')])\n"
                             "    return wrap(open(path, 'rb'))\n");
    site_serve(&fake);
    assert_truncated(&fake, "26 bytes, fewer than its Content-Length 50");
    assert_int_equal(fake.sent.len, 26);
    fake_exchange_free(&fake);
}

/* compat: FILE-offset */
static void test_the_offset_of_the_descriptor_stays(void **state)
{
    (void)state;
    assert_sent("    global f\n    f = open(path, 'rb')\n    os.lseek(f.fileno(), 3, 0)\n"
                "    return wrap(f)\n",
                "defghijklmnopqrstuvwxyz", "23f ");
}

/* compat: FILE-class */
static void test_close(void **state)
{
    fake_exchange_t fake;
    (void)state;
    request_with_file(&fake, "    global f\n"
                             "    if environ['QUERY_STRING']: return [repr(f.closed).encode()]\n"
                             "    f = open(path, 'rb')\n    return wrap(f)\n");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    site_again(&fake);
    fake_exchange_var(&fake, "QUERY_STRING", "closed");
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "True");
    fake_exchange_free(&fake);
    assert_sent("    class Odd:\n        chunks = [b'x', b'']\n"
                "        def read(self, size): return self.chunks.pop(0)\n"
                "        def close(self): raise ValueError\n"
                "    return wrap(Odd())\n",
                "x", "1+ ");
}

/* compat: FILE-class */
static void test_attributes(void **state)
{
    (void)state;
    assert_sent("    w = wrap(filelike=io.BytesIO(), blksize=7)\n"
                "    return [repr((w.blksize, wrap(w.filelike).blksize, iter(w) is w,"
                " wrap is mod_wsgi.FileWrapper, wrap.__module__)).encode()]\n",
                "(7, 8192, True, True, 'mod_wsgi')", "33. ");
}

static void test_a_file_without_a_head_is_an_error(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP "    return environ['wsgi.file_wrapper'](open('/etc/passwd', 'rb'))\n");
    site_serve(&fake);
    assert_failed(&fake, 500, "RuntimeError: the application gave a body without calling");
    fake_exchange_free(&fake);
}

static void test_the_client_goes_while_a_file_is_sent(void **state)
{
    fake_exchange_t fake;
    (void)state;
    request_with_file(&fake, "    return wrap(open(path, 'rb'))\n");
    fake.send_error = WSGI_E_GONE;
    assert_int_equal(site_serve(&fake), WSGI_E_GONE);
    assert_contains(fake_exchange_log(&fake), "<6> ");
    assert_int_equal(fake.finish_count, 1);
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_regular_file_passes_by),
        cmocka_unit_test(test_anything_else_is_read),
        cmocka_unit_test(test_content_length_is_added),
        cmocka_unit_test(test_content_length_rules_the_file),
        cmocka_unit_test(test_a_file_shorter_than_announced_is_a_visible_cut),
        cmocka_unit_test(test_the_offset_of_the_descriptor_stays),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_a_file_without_a_head_is_an_error),
        cmocka_unit_test(test_the_client_goes_while_a_file_is_sent),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
