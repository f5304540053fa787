/* gateway/state.c — what the gateway keeps: per interpreter (types, keys, template), and per
 * thread in it (the objects of a request, to be used again).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <stdlib.h>

/* Per interpreter. */

static int make_types(wsgi_py_t *py, wsgi_gateway_t *gateway)
{
    PyObject *module_b = wsgi_py_module_b(py);
    gateway->input_type = wsgi_input_type(module_b);
    gateway->start_response_type = wsgi_start_response_type(module_b);
    gateway->file_wrapper_type = wsgi_file_wrapper_type(module_b);
    return gateway->input_type != NULL && gateway->start_response_type != NULL &&
                   gateway->file_wrapper_type != NULL
               ? 0
               : -1;
}

static int make_names(wsgi_gateway_t *gateway)
{
    gateway->name_close = PyUnicode_InternFromString("close");
    gateway->name_tell = PyUnicode_InternFromString("tell");
    gateway->name_reload_required = PyUnicode_InternFromString("reload_required");
    gateway->name_request_rec = PyUnicode_InternFromString("apache.request_rec");
    return gateway->name_close != NULL && gateway->name_tell != NULL &&
                   gateway->name_reload_required != NULL && gateway->name_request_rec != NULL
               ? 0
               : -1;
}

static void clear_all(PyObject **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Py_CLEAR(objects[i]);
    }
}

static void tear_down(wsgi_py_t *py, void *state)
{
    (void)py;
    wsgi_gateway_t *gateway = state;
    Py_CLEAR(gateway->environ);
    Py_CLEAR(gateway->our_keys);
    clear_all(gateway->typed_keys, WSGI_KEY_COUNT);
    clear_all(gateway->meta_keys, WSGI_META_COUNT);
    wsgi_observe_forget(gateway);
    Py_CLEAR(gateway->active_requests);
    Py_CLEAR(gateway->name_close);
    Py_CLEAR(gateway->name_tell);
    Py_CLEAR(gateway->name_reload_required);
    Py_CLEAR(gateway->name_request_rec);
    Py_CLEAR(gateway->input_type);
    Py_CLEAR(gateway->start_response_type);
    Py_CLEAR(gateway->file_wrapper_type);
    free(gateway);
}

static void *set_up(wsgi_py_t *py)
{
    wsgi_gateway_t *gateway = calloc(1, sizeof(*gateway));
    if (gateway == NULL) {
        return PyErr_NoMemory();
    }
    if (make_names(gateway) != 0 || make_types(py, gateway) != 0 ||
        wsgi_environ_prepare(gateway) != 0 || wsgi_observe_prepare(py, gateway) != 0 ||
        wsgi_data_prepare(py, gateway) != 0) {
        tear_down(py, gateway);
        return NULL;
    }
    return gateway;
}

/* Per attachment. */

static void drop_kit(wsgi_py_t *py, void *local)
{
    (void)py;
    wsgi_kit_t *kit = local;
    Py_CLEAR(kit->start);
    Py_CLEAR(kit->errors_sink);
    Py_CLEAR(kit->environ);
    for (size_t i = 0; i < WSGI_KEPT_KEYS; i++) {
        Py_CLEAR(kit->keys[i]);
    }
    free(kit->fields);
    free(kit);
}

const wsgi_component_t wsgi_gateway_component = {
    .set_up = set_up,
    .tear_down = tear_down,
    .drop_local = drop_kit,
};

static wsgi_kit_t *kit_of(wsgi_py_t *py)
{
    void **local = wsgi_py_local(py);
    if (*local == NULL) {
        *local = calloc(1, sizeof(wsgi_kit_t));
    }
    return *local;
}

static PyObject *new_object(PyTypeObject *type)
{
    return type->tp_alloc(type, 0);
}

/* Gives a new object to the template, which then holds the only reference; consumes it. */
static PyObject *give(wsgi_call_t *call, enum wsgi_typed_key key, PyObject *object)
{
    PyObject *key_b = call->gateway->typed_keys[key];
    int code = object != NULL ? PyDict_SetItem(call->kit->environ, key_b, object) : -1;
    Py_XDECREF(object);
    return code == 0 ? object : NULL;
}

/* The application kept it: the next request gets another. */
static void give_up(wsgi_call_t *call, enum wsgi_typed_key key)
{
    if (PyDict_SetItem(call->kit->environ, call->gateway->typed_keys[key], Py_None) != 0) {
        PyErr_Clear(); /* replaces a value: needs no memory */
    }
}

static int fill_kit(wsgi_call_t *call)
{
    wsgi_kit_t *kit = call->kit;
    if (kit->environ == NULL && (kit->environ = wsgi_environ_template(call)) == NULL) {
        return -1;
    }
    if (kit->start == NULL) {
        kit->start = wsgi_start_response_new(call->gateway->start_response_type);
    }
    if (kit->input_b == NULL) {
        PyObject *input = new_object(call->gateway->input_type);
        kit->input_b = (wsgi_pyinput_t *)give(call, WSGI_KEY_INPUT, input);
    }
    if (kit->errors_b == NULL) {
        Py_CLEAR(kit->errors_sink);
        PyObject *errors = wsgi_pystream_new(call->py, "<wsgi.errors>", &kit->errors_sink);
        kit->errors_b = give(call, WSGI_KEY_ERRORS, errors);
    }
    return kit->start != NULL && kit->input_b != NULL && kit->errors_b != NULL ? 0 : -1;
}

/* A sub-request of httpd's, made where the answer of the thread's request passes a filter. */
static bool is_inner_request(const wsgi_kit_t *kit)
{
    return kit->start != NULL && kit->start->call != NULL;
}

int wsgi_kit_open(wsgi_call_t *call)
{
    call->kit = kit_of(call->py);
    if (call->kit == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (is_inner_request(call->kit)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a request inside another one, of the same thread and interpreter: give "
                        "its application another WSGIApplicationGroup, or a process group");
        return -1;
    }
    if (fill_kit(call) != 0) {
        return -1;
    }
    call->kit->call = call;
    call->kit->input_b->call = call;
    call->kit->start->call = call;
    wsgi_pystream_aim(call->py, call->kit->errors_sink, &call->log);
    if (call->gateway->active_requests != NULL) {
        wsgi_data_open(call);
    }
    return 0;
}

static void close_start(wsgi_kit_t *kit)
{
    kit->start->call = NULL;
    if (!wsgi_py_is_unshared((PyObject *)kit->start)) {
        Py_CLEAR(kit->start);
    }
}

static void close_input(wsgi_call_t *call, wsgi_kit_t *kit)
{
    kit->input_b->call = NULL;
    wsgi_buffer_clear(&kit->input_b->ahead, 16384);
    if (!wsgi_py_is_unshared((PyObject *)kit->input_b)) {
        give_up(call, WSGI_KEY_INPUT);
        kit->input_b = NULL;
    }
}

static void close_errors(wsgi_call_t *call, wsgi_kit_t *kit)
{
    wsgi_pystream_aim(call->py, kit->errors_sink, NULL);
    if (!wsgi_pystream_is_reusable(call->py, kit->errors_b, kit->errors_sink)) {
        give_up(call, WSGI_KEY_ERRORS);
        kit->errors_b = NULL;
        Py_CLEAR(kit->errors_sink);
    }
}

void wsgi_kit_close(wsgi_call_t *call)
{
    call->kit->call = NULL;
    if (call->data != NULL) {
        wsgi_data_close(call);
    }
    close_start(call->kit);
    close_input(call, call->kit);
    close_errors(call, call->kit);
}
