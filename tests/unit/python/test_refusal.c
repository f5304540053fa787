/* tests/unit/python/test_refusal.c — extensions that refuse a sub-interpreter: one line with the
 * cure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#define CURE                                                                                       \
    "cannot be used in sub-interpreter \"sub\"; let the main interpreter serve each application "  \
    "that imports it: WSGIApplicationGroup %{GLOBAL}\n"

static const char *the_source, *the_interpreter;

static void run_source(void)
{
    start_or_exit(&usual_settings);
    run_in(the_interpreter, the_source);
    wsgi_runtime_stop();
}

static const char *output_in(const char *interpreter, const char *source)
{
    the_interpreter = interpreter;
    the_source = source;
    return output_of(run_source, 0);
}

/* As the packages' own code raises them: in a module `name`. */
#define IN_MODULE(name, code)                                                                      \
    "import types\n"                                                                               \
    "exec(compile(" #code ", 'package', 'exec'), types.ModuleType('" name "').__dict__)\n"

static const char *const refusals[][2] = {
    {"raise ImportError('module _own does not support loading in subinterpreters', name='_own')\n",
     "WSGI1103: module '_own' " CURE},
    {IN_MODULE("lxml.html",
               "raise ImportError('Interpreter change detected - this module can only be "
               "loaded into one interpreter per process.')"),
     "WSGI1103: module 'lxml.html' " CURE},
    {IN_MODULE("bcrypt", "raise ImportError('PyO3 modules do not yet support subinterpreters, see "
                         "https://github.com/PyO3/pyo3/issues/576')"),
     "WSGI1103: module 'bcrypt' " CURE},
    {IN_MODULE("cryptography.hazmat.primitives.padding",
               "raise ImportError('PyO3 modules may only be initialized once per interpreter "
               "process')"),
     "WSGI1103: module 'cryptography.hazmat.primitives.padding' " CURE},
    {IN_MODULE("numpy.core.overrides",
               "raise RuntimeError('CPU dispatcher tracer already initlized')"),
     "WSGI1103: module 'numpy.core.overrides' " CURE},
    {"raise ImportError(\"cannot import name 'encodings' from 'psycopg2._psycopg' (/x.so)\","
     " name='psycopg2._psycopg')\n",
     "WSGI1103: module 'psycopg2._psycopg' " CURE},
    {"try: raise RuntimeError('CPU dispatcher tracer already initlized')\n"
     "except RuntimeError as e: raise KeyError('other') from e\n",
     "WSGI1103: "},
    {"try: raise ImportError('x does not support loading in subinterpreters', name='x')\n"
     "except ImportError: raise KeyError('other')\n",
     "WSGI1103: module 'x' " CURE},
    {"__name__ = '_mod_wsgi_0123'\n"
     "raise ImportError('this module can only be loaded into one interpreter per process')\n",
     "WSGI1103: an extension that the script imports " CURE},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const char *output = output_in("sub", refusals[i][0]);
        assert_has(output, "WSGI0174");
        assert_has(output, refusals[i][1]);
        assert_null(strstr(strstr(output, "WSGI1103") + 1, "WSGI1103"));
    }
}

static void run_source_after_a_sub(void)
{
    start_or_exit(&usual_settings);
    run_in("sub", "pass\n");
    run_in("", the_source);
    wsgi_runtime_stop();
}

/* A sub-interpreter may have been faster. */
static void test_main_interpreter_beside_others(void **state)
{
    (void)state;
    the_source = refusals[1][0];
    assert_has(
        output_of(run_source_after_a_sub, 0),
        "WSGI1103: module 'lxml.html' cannot be used in the main interpreter, as another one "
        "of this process has it; let the main interpreter serve each application that "
        "imports it: WSGIApplicationGroup %{GLOBAL}\n");
}

static void test_none_in_the_main_interpreter_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        assert_null(strstr(output_in("", refusals[i][0]), "WSGI1103"));
    }
}

static void test_other_exceptions(void **state)
{
    static const char *const sources[] = {
        "import no_such_module\n",
        "raise ValueError('does not support loading in subinterpreters')\n",
        "class Odd(ImportError):\n    def __str__(self): raise KeyError\n"
        "raise Odd\n",
        "e = RuntimeError('a'); f = RuntimeError('b')\n"
        "e.__cause__ = f; f.__cause__ = e\nraise e\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        const char *output = output_in("sub", sources[i]);
        assert_has(output, "WSGI0174");
        assert_null(strstr(output, "WSGI1103"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_main_interpreter_beside_others),
        cmocka_unit_test(test_none_in_the_main_interpreter_alone),
        cmocka_unit_test(test_other_exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
