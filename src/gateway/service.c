/* gateway/service.c — a script that is a program of its own: run once, to its end, on the main
 * thread of the process. Declared by the runtime, as wsgi_runtime_import() is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <string.h>

static PyObject *raise_exit(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    PyErr_SetNone(PyExc_SystemExit);
    return NULL;
}

static int set_handler(void)
{
    static const PyMethodDef def = {"exit_on_signal", raise_exit, METH_VARARGS,
                                    "exit_on_signal(signalnum, frame)\n\nRaises SystemExit."};
    WSGI_AUTO_REF PyObject *signals = PyImport_ImportModule("signal");
    WSGI_AUTO_REF PyObject *handler = PyCFunction_New((PyMethodDef *)&def, NULL);
    WSGI_AUTO_REF PyObject *number =
        signals != NULL ? PyObject_GetAttrString(signals, "SIGTERM") : NULL;
    WSGI_AUTO_REF PyObject *before =
        number != NULL && handler != NULL
            ? PyObject_CallMethod(signals, "signal", "OO", number, handler)
            : NULL;
    return before != NULL ? 0 : -1;
}

int wsgi_runtime_exit_on_sigterm(wsgi_result_t *result)
{
    wsgi_interp_t *interp = wsgi_interp_find("", false, result);
    if (interp == NULL) {
        return result->code;
    }
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        return wsgi_fail(result, WSGI_E_REFUSED, "Python is stopping, or out of memory");
    }
    if (set_handler() == 0) {
        return WSGI_OK;
    }
    wsgi_pylog_exception(py, "(the handler of SIGTERM)");
    return wsgi_fail(result, WSGI_E_INVALID,
                     "Python's module signal refuses a handler of SIGTERM; the lines before say "
                     "why");
}

/* Did it end by SystemExit? Anything else that it raised is logged. */
static bool has_exited(wsgi_py_t *py, const char *script)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Clear();
        return true;
    }
    wsgi_pylog_exception(py, script);
    return false;
}

static bool run(wsgi_py_t *py, const char *script)
{
    const wsgi_script_query_t query = {.path = {script, strlen(script)}, .reload_in_place = true};
    wsgi_result_t result = {0};
    PyObject *found = NULL;
    enum wsgi_script_state state = WSGI_SCRIPT_FAILED;
    if (wsgi_py_component(py, &wsgi_gateway_component) != NULL) {
        state = wsgi_script_find(py, &query, &found, &result);
    }
    Py_XDECREF(found);
    if (wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(py, script);
    }
    if (state == WSGI_SCRIPT_FAILED) {
        return !has_exited(py, script);
    }
    if (state != WSGI_SCRIPT_READY) {
        wsgi_pylog_text(py, WSGI_LOG_ERR, result.detail);
    }
    return true;
}

bool wsgi_runtime_run(const char *script)
{
    wsgi_result_t result = {0};
    wsgi_interp_t *interp = wsgi_interp_find("", false, &result);
    if (interp == NULL) {
        return false;
    }
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        return false;
    }
    bool may_go_on = run(py, script);
    wsgi_pylog_redirect(py, NULL); /* what was printed without a line end */
    return may_go_on;
}
