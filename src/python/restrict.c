/* python/restrict.c — signal.signal() of applications: a handler would take the server's own
 * signals away, so the call is logged and has no effect.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include <unistd.h>

static void log_caller(wsgi_py_t *py)
{
    WSGI_AUTO_REF PyObject *traceback = PyImport_ImportModule("traceback");
    WSGI_AUTO_REF PyObject *stack =
        traceback != NULL ? PyObject_CallMethod(traceback, "format_stack", NULL) : NULL;
    WSGI_AUTO_REF PyObject *empty = PyUnicode_FromString("");
    WSGI_AUTO_REF PyObject *text =
        stack != NULL && empty != NULL ? PyUnicode_Join(empty, stack) : NULL;
    const char *lines = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    wsgi_pylog_text(
        py, WSGI_LOG_INFO,
        "signal.signal() was ignored: signals belong to the server; the call came from:");
    wsgi_pylog_text(py, WSGI_LOG_INFO, lines != NULL ? lines : "(unknown)");
    PyErr_Clear();
}

/* self is (signal.signal, home). In a process forked by the application it works as ever. */
static PyObject *restricted_signal(PyObject *self, PyObject *args)
{
    PyObject *number_b, *handler_b;
    if (wsgi_the_runtime.pid != getpid()) {
        return PyObject_Call(PyTuple_GET_ITEM(self, 0), args, NULL);
    }
    if (!PyArg_ParseTuple(args, "OO:signal", &number_b, &handler_b)) {
        return NULL;
    }
    if (wsgi_log_is_enabled(WSGI_LOG_INFO)) {
        log_caller(PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 1), NULL));
    }
    return Py_NewRef(handler_b);
}

int wsgi_signals_restrict(wsgi_py_t *py)
{
    static const PyMethodDef def = {
        "signal", restricted_signal, METH_VARARGS,
        "signal(signalnum, handler) -> handler\n\n"
        "Has no effect in this process, whose signals are the server's."};
    WSGI_AUTO_REF PyObject *module = PyImport_ImportModule("signal");
    WSGI_AUTO_REF PyObject *original =
        module != NULL ? PyObject_GetAttrString(module, "signal") : NULL;
    WSGI_AUTO_REF PyObject *home = PyCapsule_New(&py->interp->home, NULL, NULL);
    WSGI_AUTO_REF PyObject *self =
        original != NULL && home != NULL ? PyTuple_Pack(2, original, home) : NULL;
    WSGI_AUTO_REF PyObject *replacement =
        self != NULL ? PyCFunction_New((PyMethodDef *)&def, self) : NULL;
    return replacement != NULL ? PyObject_SetAttrString(module, "signal", replacement) : -1;
}
