/* python/object.c — small helpers for objects, the same on every version of Python.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "compat.h"

#include <string.h>

PyObject *wsgi_py_optional_attr(PyObject *object, PyObject *name)
{
    return compat_optional_attr(object, name);
}

bool wsgi_py_is_unshared(PyObject *object)
{
    return compat_is_unshared(object);
}

PyObject *wsgi_py_take_exception(void)
{
    return compat_take_exception();
}

void wsgi_py_raise(PyObject *exception)
{
    compat_raise(exception);
}

static bool is_ascii(const char *data, size_t len)
{
    uint64_t bits = 0;
    for (; len >= sizeof(bits); data += sizeof(bits), len -= sizeof(bits)) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        bits |= word;
    }
    for (; len > 0; data++, len--) {
        bits |= (unsigned char)*data;
    }
    return (bits & UINT64_C(0x8080808080808080)) == 0;
}

/* PyUnicode_DecodeLatin1() without its checks: environ is made of these. */
PyObject *wsgi_py_text(const char *data, size_t len)
{
    PyObject *text = PyUnicode_New((Py_ssize_t)len, is_ascii(data, len) ? 0x7f : 0xff);
    if (text != NULL && len > 0) {
        memcpy(PyUnicode_DATA(text), data, len);
    }
    return text;
}
