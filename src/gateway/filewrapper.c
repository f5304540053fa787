/* gateway/filewrapper.c — wsgi.file_wrapper: an iterable over a file that the gateway recognises,
 * so that a regular file need not pass through Python.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <structmember.h>
#include <sys/stat.h>

typedef struct wsgi_pyfilewrapper {
    PyObject ob_base;
    PyObject *filelike;
    Py_ssize_t blksize;
} wsgi_pyfilewrapper_t;

static int wrapper_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static const char *const names[] = {"filelike", "blksize", NULL};
    wsgi_pyfilewrapper_t *wrapper = (wsgi_pyfilewrapper_t *)self;
    PyObject *filelike_b;
    wrapper->blksize = 8192;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|n:FileWrapper", (char **)names, &filelike_b,
                                     &wrapper->blksize)) {
        return -1;
    }
    Py_XSETREF(wrapper->filelike, Py_NewRef(filelike_b));
    return 0;
}

static int wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((wsgi_pyfilewrapper_t *)self)->filelike);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int wrapper_clear(PyObject *self)
{
    Py_CLEAR(((wsgi_pyfilewrapper_t *)self)->filelike);
    return 0;
}

static void wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool is_at_end(PyObject *chunk)
{
    return (PyBytes_Check(chunk) && PyBytes_GET_SIZE(chunk) == 0) ||
           (PyUnicode_Check(chunk) && PyUnicode_GET_LENGTH(chunk) == 0);
}

static PyObject *wrapper_next(PyObject *self)
{
    const wsgi_pyfilewrapper_t *wrapper = (wsgi_pyfilewrapper_t *)self;
    if (wrapper->filelike == NULL) {
        return NULL;
    }
    PyObject *chunk = PyObject_CallMethod(wrapper->filelike, "read", "n", wrapper->blksize);
    if (chunk != NULL && is_at_end(chunk)) {
        Py_CLEAR(chunk);
    }
    return chunk;
}

static PyObject *wrapper_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    const wsgi_pyfilewrapper_t *wrapper = (wsgi_pyfilewrapper_t *)self;
    WSGI_AUTO_REF PyObject *done =
        wrapper->filelike != NULL ? PyObject_CallMethod(wrapper->filelike, "close", NULL) : NULL;
    if (done == NULL) {
        PyErr_Clear(); /* part of the contract: it may well have no close() */
    }
    Py_RETURN_NONE;
}

static const PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, "Closes the file."},
    {NULL, NULL, 0, NULL},
};

static const PyMemberDef wrapper_members[] = {
    {"filelike", T_OBJECT, offsetof(wsgi_pyfilewrapper_t, filelike), READONLY, NULL},
    {"blksize", T_PYSSIZET, offsetof(wsgi_pyfilewrapper_t, blksize), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const PyType_Slot wrapper_slots[] = {
    {Py_tp_init, wrapper_init},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {Py_tp_methods, (void *)wrapper_methods},
    {Py_tp_members, (void *)wrapper_members},
    {Py_tp_doc, "FileWrapper(filelike, blksize=8192)\n\nAn answer that is a file."},
    {0, NULL},
};

static const PyType_Spec wrapper_spec = {
    .name = "mod_wsgi.FileWrapper",
    .basicsize = sizeof(wsgi_pyfilewrapper_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = (PyType_Slot *)wrapper_slots,
};

PyTypeObject *wsgi_file_wrapper_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, (PyType_Spec *)&wrapper_spec, NULL);
}

/* Where the file stands: what tell() says, for the descriptor may be ahead of a buffered reader. */
static int64_t position_of(wsgi_call_t *call, PyObject *filelike)
{
    WSGI_AUTO_REF PyObject *position =
        PyObject_CallMethodNoArgs(filelike, call->gateway->name_tell);
    return position != NULL ? (int64_t)PyLong_AsLongLong(position) : -1;
}

static bool find_range(wsgi_call_t *call, PyObject *filelike, wsgi_file_range_t *range)
{
    struct stat info;
    range->fd = PyObject_AsFileDescriptor(filelike);
    if (range->fd < 0 || fstat(range->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return false;
    }
    range->offset = position_of(call, filelike);
    range->length = range->offset < info.st_size ? info.st_size - range->offset : 0;
    return range->offset >= 0;
}

bool wsgi_file_wrapper_range(wsgi_call_t *call, PyObject *wrapper, wsgi_file_range_t *range)
{
    PyObject *filelike_b = ((wsgi_pyfilewrapper_t *)wrapper)->filelike;
    if (filelike_b == NULL) {
        return false;
    }
    WSGI_AUTO_REF PyObject *filelike = Py_NewRef(filelike_b);
    bool is_found = find_range(call, filelike, range);
    PyErr_Clear();
    return is_found;
}
