/* python/refusal.c — extensions that work in the main interpreter only, or in the first one that
 * imports them. What they raise elsewhere seldom says so, and never what to do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 16

static bool is_known(const char *text)
{
    static const char *const texts[] = {
        "does not support loading in subinterpreters",             /* CPython, own GIL */
        "can only be loaded into one interpreter per process",     /* Cython */
        "PyO3 modules do not yet support subinterpreters",         /* Rust */
        "PyO3 modules may only be initialized once per",           /* Rust, before PyO3 0.17 */
        "CPU dispatcher tracer already initlized",                 /* NumPy, so spelled */
        "cannot import name 'encodings' from 'psycopg2._psycopg'", /* CPython 3.13 and later */
        "cannot load module more than once per process",           /* NumPy 2 */
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (strstr(text, texts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_refusal(PyObject *exception)
{
    if (!PyErr_GivenExceptionMatches(exception, PyExc_ImportError) &&
        !PyErr_GivenExceptionMatches(exception, PyExc_RuntimeError)) {
        return false;
    }
    WSGI_AUTO_REF PyObject *text = PyObject_Str(exception);
    const char *chars = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    bool is_one = chars != NULL && is_known(chars);
    PyErr_Clear();
    return is_one;
}

static PyObject *reason_of(PyObject *exception)
{
    PyObject *cause = PyException_GetCause(exception);
    return cause != NULL ? cause : PyException_GetContext(exception);
}

/* The exception, or one of those behind it. */
static PyObject *find_refusal(PyObject *exception)
{
    WSGI_AUTO_REF PyObject *at = Py_NewRef(exception);
    for (int i = 0; i < CHAIN_MAX && at != NULL; i++) {
        if (is_refusal(at)) {
            return wsgi_py_steal(&at);
        }
        Py_SETREF(at, reason_of(at));
    }
    return NULL;
}

/* The module where it was raised: mostly that of the package that has the extension. */
static PyObject *raising_module(PyObject *exception)
{
    WSGI_AUTO_REF PyObject *traceback = PyException_GetTraceback(exception);
    if (traceback == NULL) {
        return NULL;
    }
    const PyTracebackObject *last_b = (PyTracebackObject *)traceback;
    while (last_b->tb_next != NULL) {
        last_b = last_b->tb_next;
    }
    WSGI_AUTO_REF PyObject *globals =
        PyObject_GetAttrString((PyObject *)last_b->tb_frame, "f_globals");
    return globals != NULL ? PyMapping_GetItemString(globals, "__name__") : NULL;
}

/* The name that the exception gives, or that of the module; not that of a script. */
static PyObject *name_of(PyObject *exception)
{
    WSGI_AUTO_REF PyObject *name = PyObject_GetAttrString(exception, "name");
    PyErr_Clear();
    if (name != NULL && PyUnicode_Check(name)) {
        return wsgi_py_steal(&name);
    }
    WSGI_AUTO_REF PyObject *module = raising_module(exception);
    PyErr_Clear();
    return module != NULL && PyUnicode_Check(module) ? wsgi_py_steal(&module) : NULL;
}

static bool is_script(const char *name)
{
    static const char prefix[] = "_mod_wsgi_";
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static void advise(wsgi_py_t *py, const char *name)
{
    char *line;
    bool has_name = name != NULL && !is_script(name);
    bool is_main = *py->interp->name == '\0';
    if (asprintf(&line,
                 WSGI_ID(1103) "%s%s%s cannot be used in %s%s%s; let the main interpreter serve "
                               "each application that imports it: WSGIApplicationGroup %%{GLOBAL}",
                 has_name ? "module '" : "an extension that the script imports",
                 has_name ? name : "", has_name ? "'" : "",
                 is_main ? "the main interpreter, as another one of this process has it"
                         : "sub-interpreter \"",
                 py->interp->name, is_main ? "" : "\"") >= 0) {
        wsgi_pylog_text(py, WSGI_LOG_ERR, line);
        free(line);
    }
}

void wsgi_refusal_explain(wsgi_py_t *py, PyObject *exception)
{
    if (*py->interp->name == '\0' && wsgi_interp_is_alone()) {
        return;
    }
    WSGI_AUTO_REF PyObject *refusal = find_refusal(exception);
    if (refusal != NULL) {
        WSGI_AUTO_REF PyObject *name = name_of(refusal);
        advise(py, name != NULL ? PyUnicode_AsUTF8(name) : NULL);
        PyErr_Clear();
    }
}
