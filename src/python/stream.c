/* python/stream.c — log streams: io.TextIOWrapper over a sink that turns bytes into log lines.
 * sys.stdout and sys.stderr are one object for all threads of an interpreter, so their unfinished
 * lines lie with the thread; another stream's lie with its sink.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#define LINE_MAX_BYTES 8192u /* a longer one is cut into records of this size */

enum { OWN_LINES = -1 };

typedef struct wsgi_pylogsink {
    PyObject ob_base;
    wsgi_interp_t *interp;
    pthread_mutex_t lock;
    const wsgi_log_target_t *target; /* of a stream with lines of its own; NULL = out of use;
                                        guarded by lock */
    wsgi_buffer_t partial;
    int stream; /* enum wsgi_log_stream, or OWN_LINES */
    char is_closed;
    PyObject *name;
} wsgi_pylogsink_t;

static void write_line(const wsgi_pylogsink_t *sink, const char *text)
{
    if (sink->stream != OWN_LINES) {
        wsgi_pylog_line(WSGI_LOG_ERR, NULL, 0, text);
    }
    else if (sink->target != NULL) {
        sink->target->write(sink->target->baton, WSGI_LOG_ERR, NULL, 0, text);
    }
    else {
        wsgi_log(WSGI_LOG_ERR, "%s", text); /* its request ended while we waited for the lock */
    }
}

static size_t line_length(const char *text, size_t len)
{
    size_t most = len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES;
    const char *end = memchr(text, '\n', most);
    return end != NULL ? (size_t)(end - text) : most;
}

/* Each line still has its end, save perhaps the last. */
static void write_lines(const wsgi_pylogsink_t *sink, const wsgi_buffer_t *lines)
{
    char line[LINE_MAX_BYTES + 1];
    for (size_t at = 0; at < lines->len;) {
        size_t len = line_length(lines->data + at, lines->len - at);
        memcpy(line, lines->data + at, len);
        line[len] = '\0';
        write_line(sink, line);
        at += len;
        at += at < lines->len && lines->data[at] == '\n';
    }
}

/* Consumes *lines, which nobody else sees. Under the lock, so that the target stays valid until the
 * last line is written. */
static void emit(wsgi_pylogsink_t *sink, wsgi_buffer_t *lines)
{
    bool has_lock = sink->stream == OWN_LINES;
    WSGI_PY_BLOCKING(&sink->interp->home) {
        if (has_lock) {
            pthread_mutex_lock(&sink->lock);
        }
        write_lines(sink, lines);
        if (has_lock) {
            pthread_mutex_unlock(&sink->lock);
        }
    }
    free(lines->data);
}

static wsgi_buffer_t *partial_of(wsgi_pylogsink_t *sink)
{
    if (sink->stream == OWN_LINES) {
        return &sink->partial;
    }
    wsgi_thread_t *thread = wsgi_thread_self();
    return thread != NULL ? &thread->partials[sink->stream] : NULL;
}

/* Up to the last line end; where there is none, whole records of a line too long for one. */
static size_t complete_length(const wsgi_buffer_t *partial)
{
    const char *end = memrchr(partial->data, '\n', partial->len);
    return end != NULL ? (size_t)(end - partial->data) + 1
                       : (partial->len - 1) / LINE_MAX_BYTES * LINE_MAX_BYTES;
}

/* Takes what is complete out of *partial, so that nobody else sees it while it is written. */
static wsgi_buffer_t take_complete(wsgi_buffer_t *partial)
{
    wsgi_buffer_t complete = {0};
    size_t len = partial->len > 0 ? complete_length(partial) : 0;
    if (len > 0 && wsgi_buffer_append(&complete, partial->data, len) == WSGI_OK) {
        wsgi_buffer_consume(partial, len);
    }
    return complete;
}

static bool is_usable(const wsgi_pylogsink_t *sink)
{
    if (sink->is_closed) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log stream");
    }
    else if (sink->stream == OWN_LINES && sink->target == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%U was used after the end of its request", sink->name);
    }
    else {
        return true;
    }
    return false;
}

static int write_bytes(wsgi_pylogsink_t *sink, const char *data, size_t len)
{
    wsgi_buffer_t *partial = partial_of(sink);
    if (partial == NULL || wsgi_buffer_append(partial, data, len) != WSGI_OK) {
        PyErr_NoMemory();
        return -1;
    }
    wsgi_buffer_t complete = take_complete(partial);
    if (complete.len > 0) {
        emit(sink, &complete);
    }
    return 0;
}

static void write_partial(wsgi_pylogsink_t *sink)
{
    wsgi_buffer_t *partial = partial_of(sink);
    if (partial != NULL && partial->len > 0) {
        wsgi_buffer_t rest = *partial;
        *partial = (wsgi_buffer_t){0};
        emit(sink, &rest);
    }
}

/* The Python side. */

static PyObject *encode_text(PyObject *text)
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning,
                     "str written to the buffer of a log stream; write bytes, or to the stream",
                     1) != 0) {
        return NULL;
    }
    return PyUnicode_AsEncodedString(text, "utf-8", "replace");
}

static PyObject *sink_write(PyObject *self, PyObject *data)
{
    wsgi_pylogsink_t *sink = (wsgi_pylogsink_t *)self;
    Py_buffer view;
    WSGI_AUTO_REF PyObject *bytes = PyUnicode_Check(data) ? encode_text(data) : Py_NewRef(data);
    if (bytes == NULL || !is_usable(sink) || PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    Py_ssize_t len = view.len;
    int code = write_bytes(sink, view.buf, (size_t)len);
    PyBuffer_Release(&view);
    return code == 0 ? PyLong_FromSsize_t(len) : NULL;
}

/* Without a target there is nothing to flush, nor a reason to complain: a stream that was kept
 * flushes once more as it is deleted, and from 3.13 on an exception there would be logged. */
static PyObject *sink_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    wsgi_pylogsink_t *sink = (wsgi_pylogsink_t *)self;
    bool is_out_of_use = sink->stream == OWN_LINES && sink->target == NULL;
    if (is_out_of_use && !sink->is_closed) {
        Py_RETURN_NONE;
    }
    if (!is_usable(sink)) {
        return NULL;
    }
    write_partial(sink);
    Py_RETURN_NONE;
}

static PyObject *sink_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    wsgi_pylogsink_t *sink = (wsgi_pylogsink_t *)self;
    if (sink->stream != OWN_LINES || sink->target != NULL) {
        write_partial(sink);
    }
    sink->is_closed = 1;
    Py_RETURN_NONE;
}

static PyObject *sink_yes(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *sink_no(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

static PyObject *sink_fileno(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyErr_SetString(PyExc_OSError, "a log stream has no file descriptor");
    return NULL;
}

static void sink_dealloc(PyObject *self)
{
    wsgi_pylogsink_t *sink = (wsgi_pylogsink_t *)self;
    PyTypeObject *type = Py_TYPE(self);
    free(sink->partial.data);
    pthread_mutex_destroy(&sink->lock);
    Py_XDECREF(sink->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static const PyMethodDef sink_methods[] = {
    {"write", sink_write, METH_O, "Logs bytes, each complete line as a record."},
    {"flush", sink_flush, METH_NOARGS, "Logs an unfinished line."},
    {"close", sink_close, METH_NOARGS, NULL},
    {"readable", sink_no, METH_NOARGS, NULL},
    {"writable", sink_yes, METH_NOARGS, NULL},
    {"seekable", sink_no, METH_NOARGS, NULL},
    {"isatty", sink_no, METH_NOARGS, NULL},
    {"fileno", sink_fileno, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static const PyMemberDef sink_members[] = {
    {"closed", T_BOOL, offsetof(wsgi_pylogsink_t, is_closed), READONLY, NULL},
    {"name", T_OBJECT, offsetof(wsgi_pylogsink_t, name), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const PyType_Slot sink_slots[] = {
    {Py_tp_dealloc, sink_dealloc},
    {Py_tp_methods, (void *)sink_methods},
    {Py_tp_members, (void *)sink_members},
    {Py_tp_doc, "Turns bytes into lines of the server's error log."},
    {0, NULL},
};

static const PyType_Spec sink_spec = {
    .name = "mod_wsgi.LogSink",
    .basicsize = sizeof(wsgi_pylogsink_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = (PyType_Slot *)sink_slots,
};

static wsgi_pylogsink_t *new_sink(wsgi_py_t *py, const char *name, int stream)
{
    PyTypeObject *type = (PyTypeObject *)py->interp->sink_type;
    wsgi_pylogsink_t *sink = (wsgi_pylogsink_t *)type->tp_alloc(type, 0);
    if (sink == NULL) {
        return NULL;
    }
    pthread_mutex_init(&sink->lock, NULL);
    sink->interp = py->interp;
    sink->stream = stream;
    sink->name = PyUnicode_FromString(name);
    if (sink->name == NULL) {
        Py_DECREF(sink);
        return NULL;
    }
    return sink;
}

static PyObject *wrap(wsgi_py_t *py, PyObject *sink)
{
    WSGI_AUTO_REF PyObject *args = PyTuple_Pack(1, sink);
    WSGI_AUTO_REF PyObject *options =
        Py_BuildValue("{s:s,s:s,s:O,s:O}", "encoding", "utf-8", "errors", "replace",
                      "line_buffering", Py_True, "write_through", Py_True);
    return args != NULL && options != NULL ? PyObject_Call(py->interp->text_stream, args, options)
                                           : NULL;
}

static PyObject *new_stream(wsgi_py_t *py, const char *name, int stream, PyObject **sink)
{
    *sink = (PyObject *)new_sink(py, name, stream);
    PyObject *text = *sink != NULL ? wrap(py, *sink) : NULL;
    if (text == NULL) {
        Py_CLEAR(*sink);
    }
    return text;
}

PyObject *wsgi_pystream_new(wsgi_py_t *py, const char *name, PyObject **sink)
{
    return new_stream(py, name, OWN_LINES, sink);
}

void wsgi_pystream_aim(wsgi_py_t *py, PyObject *sink, const wsgi_log_target_t *target)
{
    wsgi_pylogsink_t *own = (wsgi_pylogsink_t *)sink;
    write_partial(own);
    if (pthread_mutex_trylock(&own->lock) != 0) {
        WSGI_PY_BLOCKING(py) {
            pthread_mutex_lock(&own->lock);
        }
    }
    own->target = target;
    pthread_mutex_unlock(&own->lock);
}

static bool is_joined(wsgi_py_t *py, PyObject *stream, const PyObject *sink)
{
    WSGI_AUTO_REF PyObject *buffer = PyObject_GetAttr(stream, py->interp->buffer_name);
    if (buffer == NULL) {
        PyErr_Clear();
    }
    return buffer == sink;
}

bool wsgi_pystream_is_reusable(wsgi_py_t *py, PyObject *stream, PyObject *sink)
{
    return wsgi_py_is_unshared(stream) && is_joined(py, stream, sink) && Py_REFCNT(sink) == 2 &&
           !((wsgi_pylogsink_t *)sink)->is_closed;
}

static int install(wsgi_py_t *py, const char *variable, const char *name, int stream)
{
    WSGI_AUTO_REF PyObject *sink;
    WSGI_AUTO_REF PyObject *text = new_stream(py, name, stream, &sink);
    return text != NULL ? PySys_SetObject(variable, text) : -1;
}

int wsgi_streams_install(wsgi_py_t *py)
{
    wsgi_interp_t *interp = py->interp;
    WSGI_AUTO_REF PyObject *io = PyImport_ImportModule("io");
    interp->text_stream = io != NULL ? PyObject_GetAttrString(io, "TextIOWrapper") : NULL;
    interp->sink_type = PyType_FromModuleAndSpec(interp->module, (PyType_Spec *)&sink_spec, NULL);
    interp->buffer_name = PyUnicode_InternFromString("buffer");
    if (interp->buffer_name == NULL || interp->text_stream == NULL || interp->sink_type == NULL) {
        return -1;
    }
    bool has_terminal = wsgi_runtime_settings()->is_interactive;
    return (!has_terminal && install(py, "stdout", "<stdout>", WSGI_STREAM_STDOUT) != 0) ||
           install(py, "stderr", "<stderr>", WSGI_STREAM_STDERR);
}
