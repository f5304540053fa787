/* python/module.c — the built-in modules mod_wsgi and apache, in sys.modules before user code, by the
 * table module.def; and the installed packages of these names, which are found through them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "mod_wsgi.h"
#include "python_private.h"

#include <string.h>

/* Makers: a new reference, or NULL with an exception set. */

typedef PyObject *make_t(wsgi_interp_t *interp);

static PyObject *text_of(const char *text)
{
    return wsgi_py_text(text, strlen(text));
}

static PyObject *make_version(wsgi_interp_t *interp)
{
    (void)interp;
    return Py_BuildValue("(iii)", MOD_WSGI_MAJORVERSION_NUMBER, MOD_WSGI_MINORVERSION_NUMBER,
                         MOD_WSGI_MICROVERSION_NUMBER);
}

static PyObject *make_quetzal_version(wsgi_interp_t *interp)
{
    (void)interp;
    return text_of(MOD_WSGI_QUETZAL_VERSION);
}

static PyObject *make_process_group(wsgi_interp_t *interp)
{
    (void)interp;
    return text_of(wsgi_runtime_settings()->process_group);
}

/* An application is told the name that its configuration gives it, wherever it runs. */
static PyObject *make_application_group(wsgi_interp_t *interp)
{
    return text_of(*interp->name == '\0' ? wsgi_runtime_settings()->main_name : interp->name);
}

static PyObject *make_processes(wsgi_interp_t *interp)
{
    (void)interp;
    return PyLong_FromLong(wsgi_runtime_settings()->processes);
}

static PyObject *make_threads(wsgi_interp_t *interp)
{
    (void)interp;
    return PyLong_FromLong(wsgi_runtime_settings()->threads);
}

/* Of BaseException, so that no "except Exception" of an application holds it up. */
static PyObject *make_request_timeout(wsgi_interp_t *interp)
{
    interp->request_timeout = PyErr_NewExceptionWithDoc(
        "mod_wsgi.RequestTimeout",
        "Raised in a request that has run for longer than request-timeout; clean up and raise it "
        "again.",
        PyExc_BaseException, NULL);
    return Py_XNewRef(interp->request_timeout);
}

static PyObject *make_server_version(wsgi_interp_t *interp)
{
    int version = wsgi_runtime_settings()->server_version;
    (void)interp;
    return Py_BuildValue("(iii)", version / 10000, version / 100 % 100, version % 100);
}

static PyObject *make_description(wsgi_interp_t *interp)
{
    (void)interp;
    return text_of(wsgi_runtime_settings()->server_description);
}

static PyObject *make_build_date(wsgi_interp_t *interp)
{
    (void)interp;
    return text_of(wsgi_runtime_settings()->server_build_date);
}

static PyObject *make_mpm_name(wsgi_interp_t *interp)
{
    (void)interp;
    return text_of(wsgi_runtime_settings()->mpm_name);
}

static PyObject *make_mpm_processes(wsgi_interp_t *interp)
{
    (void)interp;
    return PyLong_FromLong(wsgi_runtime_settings()->mpm_processes);
}

static PyObject *make_mpm_threads(wsgi_interp_t *interp)
{
    (void)interp;
    return PyLong_FromLong(wsgi_runtime_settings()->mpm_threads);
}

/* The tables. */

enum module { mod_wsgi, apache };

static const struct value {
    enum module module;
    const char *name;
    make_t *make;
} values[] = {
#define VALUE(module, name, maker, type, help) {module, #name, maker},
#define LATER(module, name, maker, type, help)
#include "module.def"
#undef VALUE
#undef LATER
};

struct later {
    PyMethodDef maker;
    make_t *make;
};

/* self is (capsule of the interpreter, capsule of the row). */
static PyObject *make_later(PyObject *self, PyObject *unused)
{
    (void)unused;
    wsgi_interp_t *interp = PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 0), NULL);
    const struct later *row = PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 1), NULL);
    return row->make(interp);
}

static const struct later laters[] = {
#define VALUE(module, name, maker, type, help)
#define LATER(module, name, make, type, help) {{#name, make_later, METH_NOARGS, help}, make},
#include "module.def"
#undef VALUE
#undef LATER
};

static int add_later(wsgi_py_t *py, const struct later *row)
{
    WSGI_AUTO_REF PyObject *interp = wsgi_py_interp_capsule(py);
    WSGI_AUTO_REF PyObject *place = PyCapsule_New((void *)(uintptr_t)row, NULL, NULL);
    WSGI_AUTO_REF PyObject *self =
        interp != NULL && place != NULL ? PyTuple_Pack(2, interp, place) : NULL;
    WSGI_AUTO_REF PyObject *maker =
        self != NULL ? PyCFunction_New((PyMethodDef *)(uintptr_t)&row->maker, self) : NULL;
    return maker != NULL ? wsgi_py_module_later(py, row->maker.ml_name, maker) : -1;
}

/* What a module has when it is asked for: PEP 562. */

PyObject *wsgi_py_interp_capsule(wsgi_py_t *py)
{
    return PyCapsule_New(py->interp, NULL, NULL);
}

int wsgi_py_module_later(wsgi_py_t *py, const char *name, PyObject *maker)
{
    return PyDict_SetItemString(py->interp->later, name, maker);
}

/* Two threads that ask at once get the same object. */
static PyObject *keep_first(const wsgi_interp_t *interp, PyObject *name, PyObject *value)
{
    return Py_XNewRef(PyDict_SetDefault(PyModule_GetDict(interp->module), name, value));
}

static PyObject *get_attribute(PyObject *self, PyObject *name)
{
    const wsgi_interp_t *interp = PyCapsule_GetPointer(self, NULL);
    WSGI_AUTO_REF PyObject *maker = Py_XNewRef(PyDict_GetItemWithError(interp->later, name));
    if (maker == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_AttributeError, "module 'mod_wsgi' has no attribute %R", name);
        }
        return NULL;
    }
    WSGI_AUTO_REF PyObject *value = PyObject_CallNoArgs(maker);
    return value != NULL ? keep_first(interp, name, value) : NULL;
}

static PyObject *list_attributes(PyObject *self, PyObject *unused)
{
    const wsgi_interp_t *interp = PyCapsule_GetPointer(self, NULL);
    (void)unused;
    WSGI_AUTO_REF PyObject *all = PyDict_Copy(PyModule_GetDict(interp->module));
    return all != NULL && PyDict_Update(all, interp->later) == 0 ? PyDict_Keys(all) : NULL;
}

static const PyMethodDef module_functions[] = {
    {"__getattr__", get_attribute, METH_O, "Makes what is only made for who asks (PEP 562)."},
    {"__dir__", list_attributes, METH_NOARGS, "That included."},
};

static int add_functions(wsgi_py_t *py)
{
    WSGI_AUTO_REF PyObject *self = wsgi_py_interp_capsule(py);
    for (size_t i = 0; i < sizeof(module_functions) / sizeof(*module_functions); i++) {
        const PyMethodDef *def = &module_functions[i];
        WSGI_AUTO_REF PyObject *function =
            self != NULL ? PyCFunction_New((PyMethodDef *)(uintptr_t)def, self) : NULL;
        if (function == NULL ||
            PyModule_AddObjectRef(py->interp->module, def->ml_name, function) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_all_later(wsgi_py_t *py)
{
    py->interp->later = PyDict_New();
    int code = py->interp->later != NULL ? add_functions(py) : -1;
    for (size_t i = 0; i < sizeof(laters) / sizeof(*laters) && code == 0; i++) {
        code = add_later(py, &laters[i]);
    }
    return code;
}

/* The modules. */

static int fill(PyObject *object, enum module module, wsgi_interp_t *interp)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        if (values[i].module != module) {
            continue;
        }
        WSGI_AUTO_REF PyObject *value = values[i].make(interp);
        if (value == NULL || PyModule_AddObjectRef(object, values[i].name, value) != 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *new_module(const char *name, enum module module, wsgi_interp_t *interp)
{
    WSGI_AUTO_REF PyObject *object = PyModule_New(name);
    if (object == NULL || fill(object, module, interp) != 0 ||
        PyDict_SetItemString(PyImport_GetModuleDict(), name, object) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&object);
}

int wsgi_modules_add(wsgi_py_t *py)
{
    wsgi_interp_t *interp = py->interp;
    interp->module = new_module("mod_wsgi", mod_wsgi, interp);
    WSGI_AUTO_REF PyObject *other = new_module("apache", apache, interp);
    if (interp->module == NULL || other == NULL || add_all_later(py) != 0) {
        return -1;
    }
    return wsgi_events_add(py, interp->module);
}

PyObject *wsgi_py_module_b(wsgi_py_t *py)
{
    return py->interp->module;
}

/* Installed packages. */

static PyObject *find_package(const char *name)
{
    WSGI_AUTO_REF PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    WSGI_AUTO_REF PyObject *finder =
        machinery != NULL ? PyObject_GetAttrString(machinery, "PathFinder") : NULL;
    return finder != NULL ? PyObject_CallMethod(finder, "find_spec", "s", name) : NULL;
}

/* Its modules can be imported, but it is not run itself: the built-in module stays what it is. */
static int graft(const char *name)
{
    WSGI_AUTO_REF PyObject *spec = find_package(name);
    if (spec == NULL || spec == Py_None) {
        return spec != NULL ? 0 : -1;
    }
    WSGI_AUTO_REF PyObject *path = PyObject_GetAttrString(spec, "submodule_search_locations");
    if (path == NULL || path == Py_None) {
        return path != NULL ? 0 : -1;
    }
    PyObject *module_b = PyDict_GetItemString(PyImport_GetModuleDict(), name);
    return module_b != NULL ? PyObject_SetAttrString(module_b, "__path__", path) : 0;
}

/* Whatever stands in the path, and cannot be asked, must not keep Python from starting. */
int wsgi_modules_graft(wsgi_py_t *py)
{
    const bool is_embedded = *wsgi_runtime_settings()->process_group == '\0';
    (void)py;
    if (graft("mod_wsgi") != 0 || (is_embedded && graft("apache") != 0)) {
        PyErr_Clear();
    }
    return 0;
}
