/* python/restrict.c — what applications may not use: signal.signal(), whose handler would take the
 * server's own signals away, so the call is logged and has no effect; and sys.stdin and sys.stdout
 * where the configuration forbids them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

/* self is (signal.signal, home). In a process forked by the application it works as ever. */
static PyObject *restricted_signal(PyObject *self, PyObject *args)
{
    PyObject *number_b, *handler_b;
    if (wsgi_runtime_is_forked()) {
        return PyObject_Call(PyTuple_GET_ITEM(self, 0), args, NULL);
    }
    if (!PyArg_ParseTuple(args, "OO:signal", &number_b, &handler_b)) {
        return NULL;
    }
    wsgi_pylog_caller(PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 1), NULL),
                      "signal.signal() was ignored: signals belong to the server; the call came "
                      "from:");
    return Py_NewRef(handler_b);
}

int wsgi_signals_restrict(wsgi_py_t *py)
{
    if (py->interp->settings.allow_signals) {
        return 0;
    }
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

/* Standard streams. */

typedef struct wsgi_pyrestricted {
    PyObject ob_base;
    const char *stream, *directive;
} wsgi_pyrestricted_t;

static void refuse(PyObject *self)
{
    const wsgi_pyrestricted_t *restricted = (wsgi_pyrestricted_t *)self;
    PyErr_Format(PyExc_OSError, "sys.%s is restricted in this server; set %s Off to use it",
                 restricted->stream, restricted->directive);
}

/* At its end Python asks whether there is something to flush, and complains about the answer. */
static PyObject *restricted_get(PyObject *self, PyObject *name)
{
    if (atomic_load(&wsgi_the_runtime.is_stopping) &&
        PyUnicode_CompareWithASCIIString(name, "closed") == 0) {
        Py_RETURN_TRUE;
    }
    refuse(self);
    return NULL;
}

static int restricted_set(PyObject *self, PyObject *name, PyObject *value)
{
    (void)name;
    (void)value;
    refuse(self);
    return -1;
}

static PyObject *restricted_iterate(PyObject *self)
{
    refuse(self);
    return NULL;
}

static void restricted_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static const PyType_Slot restricted_slots[] = {
    {Py_tp_dealloc, restricted_dealloc},
    {Py_tp_getattro, restricted_get},
    {Py_tp_setattro, restricted_set},
    {Py_tp_iter, restricted_iterate},
    {Py_tp_doc, "A standard stream that the server's configuration keeps from applications."},
    {0, NULL},
};

static const PyType_Spec restricted_spec = {
    .name = "mod_wsgi.RestrictedStream",
    .basicsize = sizeof(wsgi_pyrestricted_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = (PyType_Slot *)restricted_slots,
};

static int restrict_stream(wsgi_py_t *py, const char *stream, const char *directive)
{
    WSGI_AUTO_REF PyObject *type =
        PyType_FromModuleAndSpec(py->interp->module, (PyType_Spec *)&restricted_spec, NULL);
    WSGI_AUTO_REF PyObject *self =
        type != NULL ? ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0) : NULL;
    if (self == NULL) {
        return -1;
    }
    ((wsgi_pyrestricted_t *)self)->stream = stream;
    ((wsgi_pyrestricted_t *)self)->directive = directive;
    return PySys_SetObject(stream, self);
}

int wsgi_streams_restrict(wsgi_py_t *py)
{
    const wsgi_interp_settings_t *settings = &py->interp->settings;
    if (wsgi_runtime_settings()->is_interactive) {
        return 0; /* a debugger wants them */
    }
    return (settings->restrict_stdin && restrict_stream(py, "stdin", "WSGIRestrictStdin") != 0) ||
                   (settings->restrict_stdout &&
                    restrict_stream(py, "stdout", "WSGIRestrictStdout") != 0)
               ? -1
               : 0;
}
