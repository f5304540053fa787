/* gateway/start_response.c — start_response() and the write() it returns: checks what the
 * application says, and holds it until the head leaves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

static wsgi_call_t *call_of(PyObject *self)
{
    wsgi_call_t *call = ((wsgi_pystart_t *)self)->call;
    if (call == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "start_response() or write() was used after the end of its request");
    }
    return call;
}

/* The characters of a str as latin-1 bytes; they live as long as the str. */
static int latin1_of(PyObject *text, const char *what, wsgi_bytes_t *bytes)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", what, Py_TYPE(text)->tp_name);
        return -1;
    }
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        Py_XDECREF(PyUnicode_AsLatin1String(text)); /* raises UnicodeEncodeError */
        return -1;
    }
    *bytes = (wsgi_bytes_t){(const char *)PyUnicode_1BYTE_DATA(text),
                            (size_t)PyUnicode_GET_LENGTH(text)};
    return 0;
}

static int take_status(PyObject *text, wsgi_head_t *head)
{
    wsgi_bytes_t bytes;
    if (latin1_of(text, "the status", &bytes) != 0) {
        return -1;
    }
    if (wsgi_status_parse(bytes.data, bytes.len, &head->status, &head->reason) != WSGI_OK) {
        PyErr_Format(PyExc_ValueError,
                     "bad status %R: write three digits, a blank and a reason without control "
                     "characters, such as '200 OK'",
                     text);
        return -1;
    }
    return 0;
}

static int check_field(PyObject *pair, const wsgi_field_t *field)
{
    if (!wsgi_field_name_is_legal(field->name.data, field->name.len)) {
        PyErr_Format(PyExc_ValueError,
                     "bad name of response header %R: no control character, blank or colon may "
                     "stand in it, and it may not be empty",
                     PyTuple_GET_ITEM(pair, 0));
        return -1;
    }
    if (!wsgi_field_value_is_legal(field->value.data, field->value.len)) {
        PyErr_Format(PyExc_ValueError,
                     "bad value of response header %R: remove CR, LF and NUL, or encode them",
                     PyTuple_GET_ITEM(pair, 0));
        return -1;
    }
    return 0;
}

/* Nearly always written so, which is quick to see. */
static bool is_content_length(wsgi_bytes_t name)
{
    const wsgi_bytes_t usual = WSGI_LITERAL("Content-Length");
    return name.len == usual.len &&
           (memcmp(name.data, usual.data, usual.len) == 0 || wsgi_bytes_equal_nocase(name, usual));
}

static int take_length(const wsgi_field_t *field, int64_t *content_length)
{
    if (!is_content_length(field->name)) {
        return 0;
    }
    if (wsgi_length_parse(field->value.data, field->value.len, content_length) != WSGI_OK) {
        PyErr_Format(PyExc_ValueError,
                     "bad Content-Length '%.100s': it must be a number of bytes, digits only",
                     field->value.data);
        return -1;
    }
    return 0;
}

static int take_field(PyObject *pair, wsgi_field_t *field, int64_t *content_length)
{
    if (!PyTuple_Check(pair)) {
        PyErr_Format(PyExc_TypeError, "a response header must be a tuple (name, value), not %.100s",
                     Py_TYPE(pair)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_ValueError,
                     "a response header must be a tuple (name, value), not one of %zd items",
                     PyTuple_GET_SIZE(pair));
        return -1;
    }
    if (latin1_of(PyTuple_GET_ITEM(pair, 0), "the name of a response header", &field->name) ||
        latin1_of(PyTuple_GET_ITEM(pair, 1), "the value of a response header", &field->value)) {
        return -1;
    }
    return check_field(pair, field) != 0 ? -1 : take_length(field, content_length);
}

static int reserve_fields(wsgi_kit_t *kit, size_t count)
{
    if (count <= kit->field_capacity) {
        return 0;
    }
    wsgi_field_t *grown = realloc(kit->fields, (count + 8) * sizeof(wsgi_field_t));
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    kit->fields = grown;
    kit->field_capacity = count + 8;
    return 0;
}

/* A copy of the list is taken, so that its strings stay while the head needs them, whatever the
 * application does to the list. */
static int take_headers(wsgi_call_t *call, PyObject *headers, wsgi_head_t *head,
                        int64_t *content_length)
{
    size_t count = (size_t)PyList_GET_SIZE(headers);
    if (reserve_fields(call->kit, count + 1) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (take_field(PyList_GET_ITEM(headers, i), &call->kit->fields[i], content_length) != 0) {
            return -1;
        }
    }
    head->fields = call->kit->fields;
    head->field_count = count;
    return 0;
}

static int take_head(wsgi_call_t *call, PyObject *status, PyObject *headers)
{
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "the response headers must be a list of tuples, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    WSGI_AUTO_REF PyObject *copy = PyList_GetSlice(headers, 0, PyList_GET_SIZE(headers));
    wsgi_head_t head = {0};
    int64_t content_length = WSGI_LENGTH_UNKNOWN;
    call->has_head = false; /* its fields are overwritten: what fails here leaves none */
    if (copy == NULL || take_status(status, &head) != 0 ||
        take_headers(call, copy, &head, &content_length) != 0) {
        return -1;
    }
    call->head = head;
    call->content_length = content_length;
    call->has_head = true;
    Py_XSETREF(call->status, Py_NewRef(status));
    Py_XSETREF(call->headers, wsgi_py_steal(&copy));
    return 0;
}

static int reraise(PyObject *exc_info)
{
    PyObject *exception = PyTuple_GET_SIZE(exc_info) == 3 ? PyTuple_GET_ITEM(exc_info, 1) : NULL;
    if (exception == NULL || !PyExceptionInstance_Check(exception)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "exc_info of start_response() must be what sys.exc_info() returns while "
                        "an exception is handled");
        return -1;
    }
    wsgi_py_raise(Py_NewRef(exception));
    return -1;
}

/* May the head be set (again)? */
static int check_order(const wsgi_call_t *call, PyObject *exc_info)
{
    if (exc_info != Py_None && !PyTuple_Check(exc_info)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "exc_info of start_response() must be None or the tuple that "
                        "sys.exc_info() returns");
        return -1;
    }
    if (!call->is_frozen) {
        return 0;
    }
    if (exc_info != Py_None) {
        return reraise(exc_info);
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "start_response() was called again after the head of the answer had gone out; "
                    "call it before the first bytes of the body");
    return -1;
}

/* write(). */

static PyObject *write_chunk(PyObject *self, PyObject *chunk)
{
    wsgi_call_t *call = call_of(self);
    if (call == NULL) {
        return NULL;
    }
    if (!PyBytes_Check(chunk)) {
        PyErr_Format(PyExc_TypeError,
                     "write() takes bytes, not %.100s: encode text, for example with "
                     ".encode('utf-8')",
                     Py_TYPE(chunk)->tp_name);
        return NULL;
    }
    call->is_frozen = true;
    int code = wsgi_response_send(call, chunk, WSGI_SEND_MORE);
    if (code != WSGI_OK && !PyErr_Occurred()) {
        PyErr_Format(PyExc_OSError, "mod_wsgi response data write error: %s", wsgi_strerror(code));
    }
    return code == WSGI_OK ? Py_NewRef(Py_None) : NULL;
}

static PyObject *new_write(PyObject *self)
{
    static const PyMethodDef def = {"write", write_chunk, METH_O,
                                    "write(data)\n\nSends bytes of the body at once."};
    return PyCFunction_New((PyMethodDef *)&def, self);
}

/* start_response(). */

static PyObject *start_response(PyObject *self, PyObject *const *args, size_t nargsf,
                                PyObject *keywords)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    wsgi_call_t *call = call_of(self);
    if (call == NULL) {
        return NULL;
    }
    if (count < 2 || count > 3 || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "start_response() takes (status, headers, exc_info=None), by position");
        return NULL;
    }
    PyObject *exc_info_b = count == 3 ? args[2] : Py_None;
    if ((wsgi_call_is_observed(call) &&
         wsgi_observe_response(call, args[0], args[1], exc_info_b) != 0) ||
        check_order(call, exc_info_b) != 0 || take_head(call, args[0], args[1]) != 0) {
        return NULL;
    }
    return new_write(self);
}

wsgi_pystart_t *wsgi_start_response_new(PyTypeObject *type)
{
    wsgi_pystart_t *start = (wsgi_pystart_t *)type->tp_alloc(type, 0);
    if (start != NULL) {
        start->vectorcall = start_response;
    }
    return start;
}

static void start_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static const PyMemberDef start_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(wsgi_pystart_t, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const PyType_Slot start_slots[] = {
    {Py_tp_dealloc, start_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, (void *)start_members},
    {Py_tp_doc, "start_response(status, headers, exc_info=None) -> write"},
    {0, NULL},
};

static const PyType_Spec start_spec = {
    .name = "mod_wsgi.StartResponse",
    .basicsize = sizeof(wsgi_pystart_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = (PyType_Slot *)start_slots,
};

PyTypeObject *wsgi_start_response_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, (PyType_Spec *)&start_spec, NULL);
}
