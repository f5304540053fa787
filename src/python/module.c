/* python/module.c — the built-in modules mod_wsgi and apache, in sys.modules before user code.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "mod_wsgi.h"
#include "python_private.h"

#include <string.h>

/* Consumes value, which may be NULL with an exception set. */
static int add(PyObject *module, const char *name, PyObject *value)
{
    int code = value != NULL ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return code;
}

static int add_text(PyObject *module, const char *name, const char *text)
{
    return add(module, name, wsgi_py_text(text, strlen(text)));
}

static int add_version(PyObject *module, int major, int minor, int micro)
{
    return add(module, "version", Py_BuildValue("(iii)", major, minor, micro));
}

static int add_shape(PyObject *module)
{
    const wsgi_runtime_settings_t *settings = wsgi_runtime_settings();
    return add(module, "maximum_processes", PyLong_FromLong(settings->processes)) ||
           add(module, "threads_per_process", PyLong_FromLong(settings->threads));
}

/* An application is told the name that its configuration gives it, wherever it runs. */
static const char *reported_name(const wsgi_interp_t *interp)
{
    return *interp->name == '\0' ? wsgi_runtime_settings()->main_name : interp->name;
}

static int fill_mod_wsgi(PyObject *module, const wsgi_interp_t *interp)
{
    return add_version(module, MOD_WSGI_MAJORVERSION_NUMBER, MOD_WSGI_MINORVERSION_NUMBER,
                       MOD_WSGI_MICROVERSION_NUMBER) ||
           add_text(module, "quetzal_version", MOD_WSGI_QUETZAL_VERSION) ||
           add_text(module, "process_group", wsgi_runtime_settings()->process_group) ||
           add_text(module, "application_group", reported_name(interp)) || add_shape(module);
}

/* Of BaseException, so that no "except Exception" of an application holds it up. */
static int add_request_timeout(wsgi_interp_t *interp)
{
    interp->request_timeout = PyErr_NewExceptionWithDoc(
        "mod_wsgi.RequestTimeout",
        "Raised in a request that has run for longer than request-timeout; clean up and raise it "
        "again.",
        PyExc_BaseException, NULL);
    return interp->request_timeout != NULL
               ? PyModule_AddObjectRef(interp->module, "RequestTimeout", interp->request_timeout)
               : -1;
}

static int fill_apache(PyObject *module, const wsgi_interp_t *interp)
{
    (void)interp;
    const wsgi_runtime_settings_t *settings = wsgi_runtime_settings();
    int version = settings->server_version;
    return add_version(module, version / 10000, version / 100 % 100, version % 100) ||
           add_text(module, "description", settings->server_description);
}

static PyObject *new_module(const char *name, const wsgi_interp_t *interp,
                            int (*fill)(PyObject *, const wsgi_interp_t *))
{
    WSGI_AUTO_REF PyObject *module = PyModule_New(name);
    if (module == NULL || fill(module, interp) != 0 ||
        PyDict_SetItemString(PyImport_GetModuleDict(), name, module) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&module);
}

int wsgi_modules_add(wsgi_py_t *py)
{
    wsgi_interp_t *interp = py->interp;
    interp->module = new_module("mod_wsgi", interp, fill_mod_wsgi);
    WSGI_AUTO_REF PyObject *apache = new_module("apache", interp, fill_apache);
    if (interp->module == NULL || apache == NULL || add_request_timeout(interp) != 0) {
        return -1;
    }
    return wsgi_metrics_add(interp->module) != 0 ? -1 : wsgi_events_add(py, interp->module);
}

PyObject *wsgi_py_module_b(wsgi_py_t *py)
{
    return py->interp->module;
}
