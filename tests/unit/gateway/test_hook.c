/* tests/unit/gateway/test_hook.c — functions of hook scripts without a server: what counts as an
 * answer, and what is left of a hook once it is over.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include "wsgi_hook.h"

typedef struct host {
    char log[4096], memory[256];
} host_t;

static void keep_line(wsgi_hook_t *hook, int level, const char *file, int line, const char *text)
{
    host_t *host = hook->host;
    size_t len = strlen(host->log);
    (void)level, (void)file, (void)line;
    snprintf(host->log + len, sizeof(host->log) - len, "%s\n", text);
}

static char *allocate(wsgi_hook_t *hook, size_t bytes)
{
    host_t *host = hook->host;
    assert_true(bytes <= sizeof(host->memory));
    return host->memory;
}

static bool is_https(wsgi_hook_t *hook)
{
    (void)hook;
    return true;
}

static const char *look_up_tls(wsgi_hook_t *hook, const char *name)
{
    (void)hook;
    return strcmp(name, "KNOWN") == 0 ? "a\xe9" : NULL;
}

static const wsgi_hook_verbs_t verbs = {keep_line, allocate, is_https, look_up_tls};

static bool run(host_t *host, const char *source, wsgi_hook_call_t *calls, size_t count)
{
    static const wsgi_var_t vars[] = {{0, {"NAME", 4}, {"value", 5}}};
    static int script_count;
    char path[128], name[32];
    snprintf(name, sizeof(name), "hook%d.py", script_count++);
    site_path(path, name);
    site_write(path, source);
    *host = (host_t){{0}, {0}};
    wsgi_hook_t hook = {
        .verbs = &verbs,
        .log_level = WSGI_LOG_TRACE5,
        .host = host,
        .script = {path, strlen(path)},
        .must_compare = true,
        .has_tls = true,
        .application_group = {"", 0},
        .vars = vars,
        .var_count = 1,
    };
    return wsgi_hook_run(wsgi_interp_find("", false, NULL), &hook, calls, count);
}

static enum wsgi_hook_answer ask(host_t *host, unsigned wants, const char *expression)
{
    char source[512];
    static wsgi_hook_call_t call;
    call = (wsgi_hook_call_t){.function = "f", .wants = wants, .answer = WSGI_HOOK_TRUE};
    snprintf(source, sizeof(source), "import sys, threading\ndef f(environ):\n    return %s\n",
             expression);
    bool is_done = run(host, source, &call, 1);
    assert_int_equal(is_done, call.answer != WSGI_HOOK_FAILED);
    return call.answer;
}

static void test_answers(void **state)
{
    const unsigned verdict = WSGI_HOOK_WANTS_VERDICT, user = verdict | WSGI_HOOK_WANTS_USER;
    host_t host;
    (void)state;
    assert_int_equal(ask(&host, verdict, "True"), WSGI_HOOK_TRUE);
    assert_int_equal(ask(&host, verdict, "False"), WSGI_HOOK_FALSE);
    assert_int_equal(ask(&host, verdict, "None"), WSGI_HOOK_NONE);
    assert_int_equal(ask(&host, user, "'\xc3\xa9'"), WSGI_HOOK_TEXT);
    assert_string_equal(host.memory, "\xc3\xa9");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "'\xc3\xa9'"), WSGI_HOOK_TEXT);
    assert_string_equal(host.memory, "\xe9");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "b''"), WSGI_HOOK_TEXT);
    assert_string_equal(host.memory, "");
    assert_string_equal(host.log, "");
}

static void test_what_is_no_answer(void **state)
{
    static const struct {
        unsigned wants;
        const char *expression, *line;
    } cases[] = {
        {WSGI_HOOK_WANTS_VERDICT, "1", "WSGI1223"},
        {WSGI_HOOK_WANTS_VERDICT, "'text'", "WSGI1223"},
        {WSGI_HOOK_WANTS_TEXT, "True", "WSGI1223"},
        {WSGI_HOOK_WANTS_TEXT, "'a\\0b'", "WSGI1223"},
        {WSGI_HOOK_WANTS_TEXT, "'\\u20ac'", "WSGI1223"},
        {WSGI_HOOK_WANTS_USER, "''", "WSGI1223"},
        {WSGI_HOOK_WANTS_USER, "b'user'", "WSGI1223"},
        {WSGI_HOOK_WANTS_USER, "'\\ud800'", "WSGI1223"},
        {WSGI_HOOK_WANTS_NAMES, "None", "WSGI1223"},
        {WSGI_HOOK_WANTS_VERDICT, "1 / 0", "WSGI0174"},
        {WSGI_HOOK_WANTS_VERDICT, "sys.exit()", "WSGI0175"},
    };
    host_t host;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(ask(&host, cases[i].wants, cases[i].expression), WSGI_HOOK_FAILED);
        assert_contains(host.log, cases[i].line);
    }
}

/* Those behind a failure are not made, and stay without an answer. */
static void test_calls_in_order(void **state)
{
    const unsigned wants = WSGI_HOOK_WANTS_TEXT | WSGI_HOOK_MAY_LACK;
    wsgi_hook_call_t calls[] = {
        {.function = "missing", .wants = wants},
        {.function = "first", .wants = wants, .arguments = {{"a\xe9", 2}}, .argument_count = 1},
        {.function = "second", .wants = wants},
        {.function = "third", .wants = wants, .answer = WSGI_HOOK_TRUE},
    };
    host_t host;
    (void)state;
    assert_false(run(&host,
                     "def first(environ, text):\n"
                     "    environ['seen'] = text\n"
                     "    return environ['NAME']\n"
                     "def second(environ):\n    return len(environ['seen'])\n"
                     "def third(environ):\n    raise SystemError\n",
                     calls, 4));
    assert_int_equal(calls[0].answer, WSGI_HOOK_NONE);
    assert_int_equal(calls[1].answer, WSGI_HOOK_TEXT);
    assert_string_equal(calls[1].text, "value");
    assert_int_equal(calls[2].answer, WSGI_HOOK_FAILED);
    assert_int_equal(calls[3].answer, WSGI_HOOK_FAILED);
    assert_contains(host.log, "returned a int");
    assert_lacks(host.log, "SystemError");
}

static void test_names(void **state)
{
    static const char *const names[] = {"staff", "g\xc3\xa4ste"};
    wsgi_hook_call_t call = {
        .function = "f", .wants = WSGI_HOOK_WANTS_NAMES, .names = names, .name_count = 2};
    host_t host;
    (void)state;
    assert_true(run(&host, "def f(environ):\n    yield 'a'\n    yield 'g\\xe4ste'\n", &call, 1));
    assert_int_equal(call.answer, WSGI_HOOK_TRUE);
    assert_true(run(&host, "def f(environ):\n    yield 'g\\xc3\\xa4ste'\n", &call, 1));
    assert_int_equal(call.answer, WSGI_HOOK_TRUE);
    assert_true(run(&host, "def f(environ):\n    return [b'staf', 'staff\\0', '']\n", &call, 1));
    assert_int_equal(call.answer, WSGI_HOOK_FALSE);
    assert_false(run(&host, "def f(environ):\n    return 'staff'\n", &call, 1));
    assert_int_equal(call.answer, WSGI_HOOK_FAILED);
}

/* compat: AUTH-environ-tls */
static void test_tls_while_the_hook_lasts(void **state)
{
    host_t host;
    (void)state;
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_VERDICT, "environ['mod_ssl.is_https']() == 1"),
                     WSGI_HOOK_TRUE);
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "environ['mod_ssl.var_lookup']('KNOWN')"),
                     WSGI_HOOK_TEXT);
    assert_string_equal(host.memory, "a\xe9");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "environ['mod_ssl.var_lookup'](b'OTHER')"),
                     WSGI_HOOK_TEXT);
    assert_string_equal(host.memory, "");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "environ['mod_ssl.var_lookup'](1)"),
                     WSGI_HOOK_FAILED);
    assert_contains(host.log, "TypeError");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "sys.__dict__.update(kept=environ)"),
                     WSGI_HOOK_NONE);
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "sys.kept['mod_ssl.is_https']()"),
                     WSGI_HOOK_FAILED);
    assert_contains(host.log, "RuntimeError: mod_ssl was asked after");
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_TEXT, "print('x', file=sys.kept['wsgi.errors'])"),
                     WSGI_HOOK_FAILED);
    assert_contains(host.log, "RuntimeError");
}

static void test_tls_in_another_thread(void **state)
{
    wsgi_hook_call_t call = {.function = "f", .wants = WSGI_HOOK_WANTS_VERDICT};
    host_t host;
    (void)state;
    assert_true(run(&host,
                    "import threading\n"
                    "def f(environ):\n"
                    "    found = []\n"
                    "    def ask():\n"
                    "        try:\n"
                    "            environ['mod_ssl.is_https']()\n"
                    "        except RuntimeError:\n"
                    "            found.append(True)\n"
                    "    thread = threading.Thread(target=ask)\n"
                    "    thread.start()\n"
                    "    thread.join()\n"
                    "    return found == [True]\n",
                    &call, 1));
    assert_int_equal(call.answer, WSGI_HOOK_TRUE);
}

/* A hook inside the answer of the same thread, as by a sub-request of a filter's. */
static void ask_inside(fake_exchange_t *fake)
{
    host_t host;
    (void)fake;
    assert_int_equal(ask(&host, WSGI_HOOK_WANTS_VERDICT, "print('inner') or True"), WSGI_HOOK_TRUE);
    assert_contains(host.log, "inner");
}

static void test_hook_inside_a_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    environ['wsgi.input'].read()\n    print('outer')\n"
                               "    return [environ['PATH_INFO'].encode()]\n");
    fake_exchange_body(&fake, "body", 4);
    fake_exchange_var(&fake, "PATH_INFO", "/of/outer");
    fake.on_read = ask_inside;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "/of/outer");
    assert_contains(fake_exchange_log(&fake), "] outer");
    assert_lacks(fake_exchange_log(&fake), "inner");
    fake_exchange_free(&fake);
}

/* Another request cannot be served there: it fails, and the outer one goes on. */
static void serve_inside(fake_exchange_t *fake)
{
    fake_exchange_t inner;
    (void)fake;
    site_request(&inner, APP OK "    return [b'inner']\n");
    assert_true(site_serve(&inner) < 0);
    assert_failed(&inner, 500, "a request inside another one");
    fake_exchange_free(&inner);
}

static void test_request_inside_a_request(void **state)
{
    fake_exchange_t fake;
    (void)state;
    site_request(&fake, APP OK "    environ['wsgi.input'].read()\n    return [b'outer']\n");
    fake_exchange_body(&fake, "body", 4);
    fake.on_read = serve_inside;
    assert_int_equal(site_serve(&fake), WSGI_OK);
    assert_string_equal(fake_exchange_sent(&fake), "outer");
    fake_exchange_free(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_no_answer),
        cmocka_unit_test(test_calls_in_order),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_tls_while_the_hook_lasts),
        cmocka_unit_test(test_tls_in_another_thread),
        cmocka_unit_test(test_hook_inside_a_request),
        cmocka_unit_test(test_request_inside_a_request),
    };
    return cmocka_run_group_tests(tests, site_start, site_stop);
}
