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
    if (gateway->input_type == NULL || gateway->start_response_type == NULL ||
        gateway->file_wrapper_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module_b, "FileWrapper", (PyObject *)gateway->file_wrapper_type);
}

static int make_names(wsgi_gateway_t *gateway)
{
    gateway->name_close = PyUnicode_InternFromString("close");
    gateway->name_read = PyUnicode_InternFromString("read");
    gateway->name_tell = PyUnicode_InternFromString("tell");
    gateway->schemes[0] = PyUnicode_InternFromString("http");
    gateway->schemes[1] = PyUnicode_InternFromString("https");
    return gateway->name_close != NULL && gateway->name_read != NULL &&
                   gateway->name_tell != NULL && gateway->schemes[0] != NULL &&
                   gateway->schemes[1] != NULL
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
    Py_CLEAR(gateway->template_environ);
    Py_CLEAR(gateway->our_keys);
    clear_all(gateway->typed_keys, WSGI_KEY_COUNT);
    clear_all(gateway->meta_keys, WSGI_META_COUNT);
    clear_all(gateway->schemes, 2);
    Py_CLEAR(gateway->name_close);
    Py_CLEAR(gateway->name_read);
    Py_CLEAR(gateway->name_tell);
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
        wsgi_environ_prepare(gateway) != 0) {
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
    Py_CLEAR(kit->input);
    Py_CLEAR(kit->start);
    Py_CLEAR(kit->errors);
    Py_CLEAR(kit->errors_sink);
    Py_CLEAR(kit->thread_id);
    clear_all(kit->meta_memo, WSGI_MEMO_COUNT);
    clear_all(kit->typed_memo, WSGI_KEY_COUNT);
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

static void *new_object(PyTypeObject *type)
{
    return type->tp_alloc(type, 0);
}

static int fill_kit(wsgi_call_t *call)
{
    wsgi_kit_t *kit = call->kit;
    if (kit->input == NULL) {
        kit->input = new_object(call->gateway->input_type);
    }
    if (kit->start == NULL) {
        kit->start = new_object(call->gateway->start_response_type);
    }
    if (kit->errors == NULL) {
        kit->errors = wsgi_pystream_new(call->py, "<wsgi.errors>", &kit->errors_sink);
    }
    if (kit->thread_id == NULL) {
        kit->thread_id = PyLong_FromUnsignedLong(wsgi_py_thread_number(call->py));
    }
    return kit->input != NULL && kit->start != NULL && kit->errors != NULL &&
                   kit->thread_id != NULL
               ? 0
               : -1;
}

int wsgi_kit_open(wsgi_call_t *call)
{
    call->kit = kit_of(call->py);
    if (call->kit == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (fill_kit(call) != 0) {
        return -1;
    }
    call->kit->input->call = call;
    call->kit->start->call = call;
    call->kit->start->vectorcall = wsgi_start_response_vectorcall();
    wsgi_pystream_aim(call->py, call->kit->errors_sink, &call->log);
    return 0;
}

static void close_errors(wsgi_call_t *call)
{
    wsgi_kit_t *kit = call->kit;
    wsgi_pystream_aim(call->py, kit->errors_sink, NULL);
    if (!wsgi_pystream_is_reusable(call->py, kit->errors, kit->errors_sink)) {
        Py_CLEAR(kit->errors);
        Py_CLEAR(kit->errors_sink);
    }
}

void wsgi_kit_close(wsgi_call_t *call)
{
    wsgi_kit_t *kit = call->kit;
    kit->input->call = NULL;
    kit->start->call = NULL;
    wsgi_buffer_clear(&kit->input->ahead, 16384);
    if (!wsgi_py_is_unshared((PyObject *)kit->input)) {
        Py_CLEAR(kit->input);
    }
    if (!wsgi_py_is_unshared((PyObject *)kit->start)) {
        Py_CLEAR(kit->start);
    }
    close_errors(call);
}
