/* tests/unit/gateway/test_validate.c — PEP 3333 as wsgiref.validate judges it: it stands between
 * gateway and application, and checks what either hands the other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#define VALIDATED(body)                                                                            \
    "from wsgiref.validate import validator\n"                                                     \
    "@validator\n"                                                                                 \
    "def application(environ, start_response):\n" body

#define HEAD(status) "    start_response('" status "', [('Content-Type', 'text/plain')])\n"

static const char *const applications[][2] = {
    {VALIDATED(HEAD("200 OK") "    return [b'list']\n"), "list"},
    {VALIDATED(HEAD("200 OK") "    return (b'tu', b'ple')\n"), "tuple"},
    {VALIDATED(HEAD("200 OK") "    return iter([b'iter', b'ator'])\n"), "iterator"},
    {VALIDATED("    def body():\n        yield b'gener'\n        yield b'ator'\n" HEAD(
         "200 OK") "    return body()\n"),
     "generator"},
    {VALIDATED("    write = start_response('200 OK', [('Content-Type', 'text/plain')])\n"
               "    write(b'writ')\n    return [b'ten']\n"),
     "written"},
    {VALIDATED(HEAD(
         "200 OK") "    i = environ['wsgi.input']\n"
                   "    return [i.readline(), i.read(2), b''.join(i.readlines(1)), i.readline(3)]\n"),
     "one\ntwo\nthr"},
    {VALIDATED(HEAD("200 OK") "    return [line for line in environ['wsgi.input']]\n"),
     "one\ntwo\nthree\n"},
    {VALIDATED(
         HEAD("200 OK") "    e = environ['wsgi.errors']\n    e.write('logged\\n')\n"
                        "    e.writelines(['more\\n'])\n    e.flush()\n    return [b'errors']\n"),
     "errors"},
    {VALIDATED("    import sys\n" HEAD(
         "200 OK") "    try: 1/0\n    except ZeroDivisionError:\n"
                   "        start_response('500 Error', [('Content-Type', 'text/plain')],"
                   " sys.exc_info())\n        return [b'exc_info']\n"),
     "exc_info"},
    {VALIDATED("    start_response('204 No Content', [])\n    return []\n"), ""},
};

static void test_validator_finds_no_fault(void **state)
{
    static const char body[] = "one\ntwo\nthree\n";
    (void)state;
    for (size_t i = 0; i < sizeof(applications) / sizeof(*applications); i++) {
        fake_exchange_t fake;
        site_request(&fake, applications[i][0]);
        fake_exchange_body(&fake, body, sizeof(body) - 1);
        fake_exchange_var(&fake, "CONTENT_LENGTH", "14");
        site_serve(&fake);
        assert_lacks(fake_exchange_log(&fake), "Error");
        assert_lacks(fake_exchange_log(&fake), "Warning");
        assert_int_equal(fake.outcome, WSGI_DONE);
        assert_string_equal(fake_exchange_sent(&fake), applications[i][1]);
        fake_exchange_free(&fake);
    }
}

/* The validator does find faults: without this the test above could pass by accident. */
static void test_validator_is_awake(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, VALIDATED("    start_response('200 OK', [])\n    return [b'x']\n"));
    site_serve(&fake);
    assert_failed(&fake, 500, "AssertionError: No Content-Type header found");
    fake_exchange_free(&fake);
}

/* wsgiref's own reading of the environ, from the side of the server. */
static void test_environ_by_check_environ(void **state)
{
    fake_exchange_t fake;
    (void)state;
    assert_string_equal(site_answer(&fake, "from wsgiref.validate import check_environ\n" APP OK
                                           "    check_environ(environ)\n    return [b'fine']\n"),
                        "fine");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validator_finds_no_fault),
        cmocka_unit_test(test_validator_is_awake),
        cmocka_unit_test(test_environ_by_check_environ),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
