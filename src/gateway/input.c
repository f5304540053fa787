/* gateway/input.c — wsgi.input: the request body as a file to read from. Bytes go from the exchange
 * straight into the object that is returned; only readline() reads ahead.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 8192   /* one read ahead for a line */
#define FIRST_MAX   262144 /* most that is allocated before anything has been read */
#define ALL         PY_SSIZE_T_MAX

static wsgi_call_t *call_of(PyObject *self)
{
    wsgi_call_t *call = ((wsgi_pyinput_t *)self)->call;
    if (call == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "wsgi.input was used after the end of its request; read the body before "
                        "the application's answer is complete");
    }
    return call;
}

static void note_read(wsgi_call_t *call, int64_t took_us, ssize_t got)
{
    call->account.reads++;
    call->account.read_us += took_us;
    if (call->figures != NULL) {
        wsgi_figures_add_read(call->figures, took_us, got);
    }
}

/* Asks the exchange; what it says is remembered while the exchange is still ours. */
static int read_exchange(wsgi_call_t *call, char *data, size_t len, ssize_t *got)
{
    if (!wsgi_call_lock(call)) {
        return -1;
    }
    const int64_t begun_us = wsgi_call_clock(call);
    int64_t took_us = 0;
    WSGI_PY_BLOCKING(call->py) {
        *got = call->ex->verbs->read_body(call->ex, data, len, WSGI_READ_BLOCK);
        took_us = wsgi_call_took(begun_us);
    }
    note_read(call, took_us, *got);
    call->read_error = *got < 0 ? (int)*got : 0;
    call->received += *got > 0 ? *got : 0;
    wsgi_call_unlock(call);
    return 0;
}

/* Bytes read; 0 = end of the body; -1 with an exception set. */
static ssize_t read_some(wsgi_call_t *call, char *data, size_t len)
{
    ssize_t got = call->read_error;
    if (call->ex->request.body_length == 0) {
        return 0;
    }
    if (got == 0 && read_exchange(call, data, len, &got) != 0) {
        return -1;
    }
    if (got < 0) {
        PyErr_Format(PyExc_OSError, "mod_wsgi request data read error: %s",
                     wsgi_strerror((int)got));
        return -1;
    }
    return got;
}

static size_t take_ahead(wsgi_pyinput_t *input, char *data, size_t len)
{
    size_t taken = input->ahead.len < len ? input->ahead.len : len;
    if (taken > 0) {
        memcpy(data, input->ahead.data, taken);
        wsgi_buffer_consume(&input->ahead, taken);
    }
    return taken;
}

/* A first size for up to `wanted` bytes: what was announced, within reason. */
static Py_ssize_t first_size(const wsgi_pyinput_t *input, const wsgi_call_t *call,
                             Py_ssize_t wanted)
{
    int64_t announced = call->ex->request.body_length;
    int64_t left = announced >= 0 ? announced - call->received : CHUNK_BYTES;
    int64_t size = left + (int64_t)input->ahead.len;
    size = size < 1 ? 1 : size;
    size = size > FIRST_MAX ? FIRST_MAX : size;
    return size < wanted ? (Py_ssize_t)size : wanted;
}

/* Doubles *bytes, which is full, but not beyond wanted. */
static int grow(PyObject **bytes, Py_ssize_t wanted)
{
    Py_ssize_t size = PyBytes_GET_SIZE(*bytes);
    Py_ssize_t larger = size < wanted / 2 ? size * 2 : wanted;
    return _PyBytes_Resize(bytes, larger);
}

/* Reads until *bytes has `wanted` bytes or the body ends; -1 with an exception set. */
static Py_ssize_t fill(wsgi_call_t *call, PyObject **bytes, Py_ssize_t used, Py_ssize_t wanted)
{
    while (used < wanted) {
        if (used == PyBytes_GET_SIZE(*bytes) && grow(bytes, wanted) != 0) {
            return -1;
        }
        ssize_t got = read_some(call, PyBytes_AS_STRING(*bytes) + used,
                                (size_t)(PyBytes_GET_SIZE(*bytes) - used));
        if (got <= 0) {
            return got < 0 ? -1 : used;
        }
        used += got;
    }
    return used;
}

static PyObject *read_bytes(wsgi_pyinput_t *input, wsgi_call_t *call, Py_ssize_t wanted)
{
    WSGI_AUTO_REF PyObject *bytes =
        PyBytes_FromStringAndSize(NULL, first_size(input, call, wanted));
    if (bytes == NULL) {
        return NULL;
    }
    size_t ahead = take_ahead(input, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_ssize_t used = fill(call, &bytes, (Py_ssize_t)ahead, wanted);
    if (used < 0 || (used < PyBytes_GET_SIZE(bytes) && _PyBytes_Resize(&bytes, used) != 0)) {
        return NULL;
    }
    return wsgi_py_steal(&bytes);
}

/* Lines. */

/* Reads ahead until there is a line, `limit` bytes or the end: the length to take, -1 with an
 * exception set. */
static Py_ssize_t find_line(wsgi_pyinput_t *input, wsgi_call_t *call, Py_ssize_t limit)
{
    wsgi_buffer_t *ahead = &input->ahead;
    for (size_t searched = 0;;) {
        const char *end = ahead->len > searched
                              ? memchr(ahead->data + searched, '\n', ahead->len - searched)
                              : NULL;
        size_t len = end != NULL ? (size_t)(end - ahead->data) + 1 : ahead->len;
        if (end != NULL || len >= (size_t)limit) {
            return len < (size_t)limit ? (Py_ssize_t)len : limit;
        }
        searched = ahead->len;
        char chunk[CHUNK_BYTES];
        ssize_t got = read_some(call, chunk, sizeof(chunk));
        if (got <= 0) {
            return got < 0 ? -1 : (Py_ssize_t)len;
        }
        if (wsgi_buffer_append(ahead, chunk, (size_t)got) != WSGI_OK) {
            PyErr_NoMemory();
            return -1;
        }
    }
}

static PyObject *read_line(wsgi_pyinput_t *input, wsgi_call_t *call, Py_ssize_t limit)
{
    Py_ssize_t len = find_line(input, call, limit);
    if (len < 0) {
        return NULL;
    }
    PyObject *line = PyBytes_FromStringAndSize(NULL, len);
    if (line != NULL) {
        (void)take_ahead(input, PyBytes_AS_STRING(line), (size_t)len);
    }
    return line;
}

/* The Python side. An argument that is absent, None or negative means everything. */

static int parse_size(PyObject *const *args, Py_ssize_t count, Py_ssize_t *size)
{
    *size = ALL;
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "methods of wsgi.input take at most one argument");
        return -1;
    }
    if (count == 0 || args[0] == Py_None) {
        return 0;
    }
    Py_ssize_t value = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    *size = value < 0 ? ALL : value;
    return 0;
}

/* read(0) is the application's word that it wants the body: the client may be waiting for that. */
static int want_body(wsgi_call_t *call)
{
    char none;
    return read_some(call, &none, 0) < 0 ? -1 : 0;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t size;
    wsgi_call_t *call = call_of(self);
    if (call == NULL || parse_size(args, count, &size) != 0) {
        return NULL;
    }
    if (size == 0 && want_body(call) != 0) {
        return NULL;
    }
    return read_bytes((wsgi_pyinput_t *)self, call, size);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t limit;
    wsgi_call_t *call = call_of(self);
    if (call == NULL || parse_size(args, count, &limit) != 0) {
        return NULL;
    }
    return read_line((wsgi_pyinput_t *)self, call, limit);
}

static int append_lines(wsgi_pyinput_t *input, wsgi_call_t *call, Py_ssize_t hint, PyObject *lines)
{
    for (Py_ssize_t total = 0; total < hint;) {
        WSGI_AUTO_REF PyObject *line = read_line(input, call, ALL);
        if (line == NULL) {
            return -1;
        }
        if (PyBytes_GET_SIZE(line) == 0) {
            return 0;
        }
        total += PyBytes_GET_SIZE(line);
        if (PyList_Append(lines, line) != 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t hint;
    wsgi_call_t *call = call_of(self);
    if (call == NULL || parse_size(args, count, &hint) != 0) {
        return NULL;
    }
    WSGI_AUTO_REF PyObject *lines = PyList_New(0);
    hint = hint == 0 ? ALL : hint;
    if (lines == NULL || append_lines((wsgi_pyinput_t *)self, call, hint, lines) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&lines);
}

static PyObject *input_next(PyObject *self)
{
    wsgi_call_t *call = call_of(self);
    PyObject *line = call != NULL ? read_line((wsgi_pyinput_t *)self, call, ALL) : NULL;
    if (line != NULL && PyBytes_GET_SIZE(line) == 0) {
        Py_CLEAR(line);
    }
    return line;
}

static PyObject *input_close(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE; /* the body is the server's */
}

static void input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(((wsgi_pyinput_t *)self)->ahead.data);
    type->tp_free(self);
    Py_DECREF(type);
}

static const PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1) -> up to size bytes of the body, fewer only at its end"},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(size=-1) -> the next line, at most size bytes of it"},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1) -> a list of lines of about hint bytes together"},
    {"close", input_close, METH_NOARGS, "Has no effect."},
    {NULL, NULL, 0, NULL},
};

static const PyType_Slot input_slots[] = {
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, (void *)input_methods},
    {Py_tp_doc, "The body of one request."},
    {0, NULL},
};

static const PyType_Spec input_spec = {
    .name = "mod_wsgi.Input",
    .basicsize = sizeof(wsgi_pyinput_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = (PyType_Slot *)input_slots,
};

PyTypeObject *wsgi_input_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, (PyType_Spec *)&input_spec, NULL);
}
