/* tests/unit/python/test_script.c — a script as a module: name, attributes, encodings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

static char directory[64];

static int start(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/quetzal-unit.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    start_or_exit(&usual_settings);
    return 0;
}

static int finish(void **state)
{
    char command[128];
    (void)state;
    wsgi_runtime_stop();
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command) == 0 ? 0 : -1;
}

/* Writes a script and loads it: its state, and *value = str() of what the expression `attribute`
 * makes of the module m. */
static enum wsgi_script_state load(const char *name, const char *source, size_t len,
                                   const char *expression, char value[256])
{
    static char path[300];
    wsgi_result_t result;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(source, 1, len, file), len);
    assert_int_equal(fclose(file), 0);

    const wsgi_script_query_t query = {
        .path = {path, strlen(path)}, .must_compare = true, .reload_in_place = true};
    WSGI_PY_SCOPE(py, wsgi_interp_find("", false, &result));
    PyObject *module_out = NULL;
    enum wsgi_script_state state = wsgi_script_find(py, &query, &module_out, &result);
    WSGI_AUTO_REF PyObject *module = module_out;
    WSGI_AUTO_REF PyObject *globals =
        Py_BuildValue("{s:O}", "m", module != NULL ? module : Py_None);
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    WSGI_AUTO_REF PyObject *seen =
        module != NULL ? PyRun_String(expression, Py_eval_input, globals, globals) : NULL;
    WSGI_AUTO_REF PyObject *text = PyObject_ASCII(seen != NULL        ? seen
                                                  : exception != NULL ? exception
                                                                      : Py_None);
    snprintf(value, 256, "%s", PyUnicode_AsUTF8(text));
    PyErr_Clear();
    return state;
}

static void assert_loads(const char *name, const char *source, const char *expression,
                         const char *expected)
{
    char value[256];
    assert_int_equal(load(name, source, strlen(source), expression, value), WSGI_SCRIPT_READY);
    assert_string_equal(value, expected);
}

/* compat: LOAD-name LOAD-mtime LOAD-syspath LOAD-file */
static void test_the_module(void **state)
{
    (void)state;
    assert_loads("plain.wsgi", "x = 1\n", "m.x", "1");
    assert_loads("name.any", "name = __name__\n",
                 "m.name == '_mod_wsgi_' + __import__('hashlib').md5(m.__file__.encode())"
                 ".hexdigest()",
                 "True");
    assert_loads("modules.wsgi", "", "__import__('sys').modules[m.__name__] is m", "True");
    assert_loads("file.wsgi", "", "m.__file__.endswith('/file.wsgi')", "True");
    assert_loads("mtime.wsgi", "",
                 "m.__mtime__ == __import__('os').stat(m.__file__).st_mtime_ns // 1000", "True");
    assert_loads("path.wsgi", "import sys\n",
                 "__import__('os').path.dirname(m.__file__) in m.sys.path", "False");
    assert_loads("no-bytecode.wsgi", "",
                 "'__pycache__' in __import__('os').listdir("
                 "__import__('os').path.dirname(m.__file__))",
                 "False");
    assert_loads("caf\xc3\xa9.wsgi", "", "ascii(m.__file__[-9:])", "\"'caf\\\\xe9.wsgi'\"");
}

/* compat: LOAD-file */
static void test_encodings(void **state)
{
    (void)state;
    assert_loads("utf8.wsgi", "text = 'caf\xc3\xa9'\n", "m.text", "'caf\\xe9'");
    assert_loads("bom.wsgi", "\xef\xbb\xbftext = 'caf\xc3\xa9'\n", "m.text", "'caf\\xe9'");
    assert_loads("cookie.wsgi", "# -*- coding: latin-1 -*-\ntext = 'caf\xe9'\n", "m.text",
                 "'caf\\xe9'");
    assert_loads("crlf.wsgi", "if True:\r\n    x = 1\r\n", "m.x", "1");
    assert_loads("no-newline.wsgi", "x = 2", "m.x", "2");
    assert_loads("future.wsgi", "from __future__ import annotations\nx: nonsense = 3\n", "m.x",
                 "3");
}

static void test_sources_that_do_not_compile(void **state)
{
    static const char zero[] = "x = 1\0y = 2\n";
    char value[256];
    (void)state;
    assert_int_equal(load("zero.wsgi", zero, sizeof(zero) - 1, "0", value), WSGI_SCRIPT_FAILED);
    assert_non_null(strstr(value, "null bytes"));
    assert_int_equal(load("bad-utf8.wsgi", "x = '\xff'\n", 8, "0", value), WSGI_SCRIPT_FAILED);
    assert_non_null(strstr(value, "SyntaxError"));
}

static void test_a_large_script(void **state)
{
    size_t len = 3000000;
    char value[256], *source = malloc(len);
    (void)state;
    assert_non_null(source);
    memset(source, '\n', len);
    memcpy(source + len - 7, "x = 33\n", 7);
    assert_int_equal(load("large.wsgi", source, len, "m.x", value), WSGI_SCRIPT_READY);
    assert_string_equal(value, "33");
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_module),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_sources_that_do_not_compile),
        cmocka_unit_test(test_a_large_script),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
