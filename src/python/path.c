/* python/path.c — sys.path: the group's home, then the entries of interpreter options and of
 * python-path, then the rest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include <string.h>

/* Site-directory semantics: .pth files inside the directory count. */
static int add_entry(PyObject *addsitedir, const char *entry, size_t len)
{
    WSGI_AUTO_REF PyObject *path = PyUnicode_DecodeFSDefaultAndSize(entry, (Py_ssize_t)len);
    WSGI_AUTO_REF PyObject *done = path != NULL ? PyObject_CallOneArg(addsitedir, path) : NULL;
    return done != NULL ? 0 : -1;
}

/* What is in the list already holds; the rest of it would be read into another path. */
static void explain_failed_entry(wsgi_py_t *py, const char *entry, size_t len)
{
    wsgi_result_t result;
    (void)py;
    (void)wsgi_pylog_to_result(&result, "");
    wsgi_log(WSGI_LOG_WARNING,
             WSGI_ID(1104) "the entry %.*s of the Python path cannot be added (%s); it and those "
                           "behind it are left out",
             (int)len, entry, result.detail);
}

static int add_entries(wsgi_py_t *py, wsgi_bytes_t entries)
{
    WSGI_AUTO_REF PyObject *site = PyImport_ImportModule("site");
    WSGI_AUTO_REF PyObject *addsitedir =
        site != NULL ? PyObject_GetAttrString(site, "addsitedir") : NULL;
    if (addsitedir == NULL) {
        return -1;
    }
    for (const char *entry = entries.data, *end = entry + entries.len; entry < end;) {
        const char *colon = memchr(entry, ':', (size_t)(end - entry));
        size_t len = (size_t)((colon != NULL ? colon : end) - entry);
        if (len > 0 && add_entry(addsitedir, entry, len) != 0) {
            explain_failed_entry(py, entry, len);
            return 0;
        }
        entry += len + 1;
    }
    return 0;
}

/* addsitedir() appends; what is new goes to the front, in order. */
static int move_new_to_front(PyObject *path, PyObject *before)
{
    Py_ssize_t front = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(path); i++) {
        WSGI_AUTO_REF PyObject *entry = Py_NewRef(PyList_GET_ITEM(path, i));
        int was_there = PySequence_Contains(before, entry);
        if (was_there < 0) {
            return -1;
        }
        if (!was_there && (PyList_SetSlice(path, i, i + 1, NULL) != 0 ||
                           PyList_Insert(path, front++, entry) != 0)) {
            return -1;
        }
    }
    return 0;
}

/* One list of entries, in front of what the path has. */
static int add_layer(wsgi_py_t *py, PyObject *path, wsgi_bytes_t entries)
{
    WSGI_AUTO_REF PyObject *before = PySequence_List(path);
    return before == NULL || add_entries(py, entries) != 0 ? -1 : move_new_to_front(path, before);
}

static int add_layers(wsgi_py_t *py, PyObject *path)
{
    const char *base = wsgi_runtime_settings()->python_path;
    int code = add_layer(py, path, (wsgi_bytes_t){base, strlen(base)});
    wsgi_interp_option_t option = {0};
    while (code == 0 && wsgi_interp_option_next(py->interp, &option)) {
        if (wsgi_interp_option_is(&option, "python_path")) {
            code = add_layer(py, path, option.value);
        }
    }
    return code;
}

static int insert_home(PyObject *path, const char *home)
{
    if (*home == '\0') {
        return 0;
    }
    WSGI_AUTO_REF PyObject *entry = PyUnicode_DecodeFSDefault(home);
    return entry != NULL ? PyList_Insert(path, 0, entry) : -1;
}

int wsgi_path_arrange(wsgi_py_t *py)
{
    PyObject *path_b = PySys_GetObject("path");
    if (path_b == NULL || !PyList_Check(path_b)) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is not a list");
        return -1;
    }
    WSGI_AUTO_REF PyObject *path = Py_NewRef(path_b);
    return add_layers(py, path) != 0 ? -1 : insert_home(path, wsgi_runtime_settings()->home);
}
