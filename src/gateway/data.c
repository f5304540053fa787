/* gateway/data.c — what an application keeps for the time of a request: mod_wsgi.request_data() and
 * active_requests. A dict is made for the first who asks; until somebody has asked for
 * active_requests there is no register of them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

PyObject *wsgi_data_of_b(wsgi_call_t *call)
{
    if (call->data == NULL) {
        call->data = PyDict_New();
    }
    return call->data;
}

/* The register. */

static int enter(wsgi_call_t *call, PyObject *active_requests)
{
    WSGI_AUTO_REF PyObject *id = wsgi_environ_meta(call, WSGI_META_MOD_WSGI_REQUEST_ID);
    PyObject *data_b = wsgi_data_of_b(call);
    if (id == NULL || data_b == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return PyDict_SetItem(active_requests, id, data_b);
}

/* The application may have removed it itself. */
static void leave(wsgi_call_t *call, PyObject *active_requests)
{
    WSGI_AUTO_REF PyObject *id = wsgi_environ_meta(call, WSGI_META_MOD_WSGI_REQUEST_ID);
    if (id == NULL || PyDict_DelItem(active_requests, id) != 0) {
        PyErr_Clear();
    }
}

/* A request that cannot be registered is served all the same. */
void wsgi_data_open(wsgi_call_t *call)
{
    if (enter(call, call->gateway->active_requests) != 0) {
        PyErr_WriteUnraisable(call->gateway->active_requests);
    }
}

void wsgi_data_close(wsgi_call_t *call)
{
    if (call->gateway->active_requests != NULL) {
        leave(call, call->gateway->active_requests);
    }
    Py_CLEAR(call->data);
}

/* Under a lock: what it makes needs no other, and runs no Python code. */
static void enter_other(void *baton, void *local)
{
    wsgi_call_t *call = ((wsgi_kit_t *)local)->call;
    if (call != NULL && enter(call, baton) != 0) {
        PyErr_Clear();
    }
}

/* With those that run already. A collection in the middle could run Python code. */
static PyObject *new_register(PyObject *interp)
{
    WSGI_AUTO_REF PyObject *all = PyDict_New();
    const int was_enabled = PyGC_Disable();
    if (all != NULL) {
        wsgi_py_each_local(interp, enter_other, all);
    }
    if (was_enabled) {
        (void)PyGC_Enable();
    }
    return wsgi_py_steal(&all);
}

/* In module mod_wsgi. */

/* self is the interpreter. */
static PyObject *request_data(PyObject *self, PyObject *unused)
{
    (void)unused;
    wsgi_py_t *py = wsgi_py_of_thread(self);
    const wsgi_kit_t *kit = py != NULL ? *wsgi_py_local(py) : NULL;
    if (kit != NULL && kit->call != NULL) {
        return Py_XNewRef(wsgi_data_of_b(kit->call));
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "request_data() was called by a thread that serves no request; call it in the "
                    "application's own thread, between its call and the end of the answer");
    return NULL;
}

/* Called once; self is (interpreter, gateway). */
static PyObject *make_active_requests(PyObject *self, PyObject *unused)
{
    (void)unused;
    wsgi_gateway_t *gateway = PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 1), NULL);
    if (gateway->active_requests == NULL) {
        gateway->active_requests = new_register(PyTuple_GET_ITEM(self, 0));
    }
    return Py_XNewRef(gateway->active_requests);
}

static const PyMethodDef laters[] = {
#define VALUE(module, name, maker, type, help)
#define LATER(module, name, maker, type, help) {#name, maker, METH_NOARGS, help},
#include "module.def"
#undef LATER
#undef VALUE
};

static PyObject *make_file_wrapper(const wsgi_gateway_t *gateway, PyObject *interp)
{
    (void)interp;
    return Py_NewRef((PyObject *)gateway->file_wrapper_type);
}

static PyObject *make_request_data(const wsgi_gateway_t *gateway, PyObject *interp)
{
    static const PyMethodDef def = {"request_data", request_data, METH_NOARGS,
                                    "request_data() -> the dict of this thread's request"};
    (void)gateway;
    return PyCFunction_New((PyMethodDef *)(uintptr_t)&def, interp);
}

static const struct {
    const char *name;
    PyObject *(*make)(const wsgi_gateway_t *gateway, PyObject *interp);
} values[] = {
#define VALUE(module, name, maker, type, help) {#name, maker},
#define LATER(module, name, maker, type, help)
#include "module.def"
#undef VALUE
#undef LATER
};

static int add_values(wsgi_py_t *py, const wsgi_gateway_t *gateway, PyObject *interp)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        WSGI_AUTO_REF PyObject *value = values[i].make(gateway, interp);
        if (value == NULL ||
            PyModule_AddObjectRef(wsgi_py_module_b(py), values[i].name, value) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_laters(wsgi_py_t *py, PyObject *self)
{
    for (size_t i = 0; i < sizeof(laters) / sizeof(*laters); i++) {
        WSGI_AUTO_REF PyObject *maker = PyCFunction_New((PyMethodDef *)(uintptr_t)&laters[i], self);
        if (maker == NULL || wsgi_py_module_later(py, laters[i].ml_name, maker) != 0) {
            return -1;
        }
    }
    return 0;
}

int wsgi_data_prepare(wsgi_py_t *py, wsgi_gateway_t *gateway)
{
    WSGI_AUTO_REF PyObject *interp = wsgi_py_interp_capsule(py);
    WSGI_AUTO_REF PyObject *place = PyCapsule_New(gateway, NULL, NULL);
    WSGI_AUTO_REF PyObject *self =
        interp != NULL && place != NULL ? PyTuple_Pack(2, interp, place) : NULL;
    return self != NULL && add_values(py, gateway, interp) == 0 ? add_laters(py, self) : -1;
}
