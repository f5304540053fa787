/* python/loghandler.c — mod_wsgi.LogHandler: records of module logging as lines of httpd's log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "compat.h"

#include <string.h>

static int level_of(long number)
{
    static const struct {
        long least;
        int level;
    } levels[] = {
        {50, WSGI_LOG_CRIT}, {40, WSGI_LOG_ERR}, {30, WSGI_LOG_WARNING}, {20, WSGI_LOG_INFO}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        if (number >= levels[i].least) {
            return levels[i].level;
        }
    }
    return WSGI_LOG_DEBUG;
}

static long number_of(PyObject *record, const char *name)
{
    WSGI_AUTO_REF PyObject *number = PyObject_GetAttrString(record, name);
    return number != NULL ? PyLong_AsLong(number) : -1;
}

static PyObject *encode(PyObject *text)
{
    return text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
}

static PyObject *encoded_path(PyObject *record)
{
    WSGI_AUTO_REF PyObject *path = PyObject_GetAttrString(record, "pathname");
    return encode(path);
}

static int write_record(wsgi_interp_t *interp, PyObject *handler, PyObject *record)
{
    const long number = number_of(record, "levelno");
    if (PyErr_Occurred()) {
        return -1;
    }
    const int level = level_of(number);
    if (!wsgi_pylog_is_enabled(level)) {
        return 0;
    }
    WSGI_AUTO_REF PyObject *formatted = PyObject_CallMethod(handler, "format", "O", record);
    WSGI_AUTO_REF PyObject *text = encode(formatted);
    WSGI_AUTO_REF PyObject *path = text != NULL ? encoded_path(record) : NULL;
    const long line = path != NULL ? number_of(record, "lineno") : -1;
    if (PyErr_Occurred()) {
        return -1;
    }
    wsgi_pylog_text_from(&interp->home, level, PyBytes_AS_STRING(path), (int)line,
                         PyBytes_AS_STRING(text));
    return 0;
}

/* As module logging has it: a record that cannot be written ends no request. handleError() looks at
 * the exception that is being handled. */
static int handle_error(PyObject *handler, PyObject *record)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return -1;
    }
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    WSGI_AUTO_REF PyObject *before = PyErr_GetHandledException();
    PyErr_SetHandledException(exception);
    WSGI_AUTO_REF PyObject *done = PyObject_CallMethod(handler, "handleError", "O", record);
    PyErr_SetHandledException(before);
    return done != NULL ? 0 : -1;
}

/* emit(self, record); our self is the interpreter. */
static PyObject *emit(PyObject *self, PyObject *args)
{
    wsgi_interp_t *interp = PyCapsule_GetPointer(self, NULL);
    PyObject *handler, *record;
    if (!PyArg_ParseTuple(args, "OO:emit", &handler, &record)) {
        return NULL;
    }
    if (write_record(interp, handler, record) != 0 && handle_error(handler, record) != 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static const PyMethodDef emit_def = {"emit", emit, METH_VARARGS,
                                     "emit(record)\n\nWrites it into httpd's error log."};

PyObject *wsgi_loghandler_make(wsgi_interp_t *interp)
{
    WSGI_AUTO_REF PyObject *logging = PyImport_ImportModule("logging");
    WSGI_AUTO_REF PyObject *base =
        logging != NULL ? PyObject_GetAttrString(logging, "Handler") : NULL;
    WSGI_AUTO_REF PyObject *self = PyCapsule_New(interp, NULL, NULL);
    WSGI_AUTO_REF PyObject *function =
        self != NULL ? PyCFunction_New((PyMethodDef *)(uintptr_t)&emit_def, self) : NULL;
    WSGI_AUTO_REF PyObject *method = function != NULL ? PyInstanceMethod_New(function) : NULL;
    if (base == NULL || method == NULL) {
        return NULL;
    }
    return PyObject_CallFunction(
        (PyObject *)&PyType_Type, "s(O){s:s,s:s,s:O}", "LogHandler", base, "__module__", "mod_wsgi",
        "__doc__", "LogHandler(level=0)\n\nWrites records into httpd's error log.", "emit", method);
}
