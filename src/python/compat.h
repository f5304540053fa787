/* python/compat.h — the differences between Python 3.11 and later, and nothing else.
 * Everywhere else the code is the same for all of them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_COMPAT_H
#define WSGI_PYTHON_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* The interpreter whose installation serves where no python-home is set; from configure. Without
 * it libpython would search PATH, and might find another build's standard library. */
#ifndef WSGI_PYTHON_EXECUTABLE
#define WSGI_PYTHON_EXECUTABLE ""
#endif

#if PY_VERSION_HEX >= 0x030C0000

static inline PyObject *compat_take_exception(void)
{
    return PyErr_GetRaisedException();
}

static inline void compat_raise(PyObject *exception)
{
    PyErr_SetRaisedException(exception);
}

#else

static inline PyObject *compat_take_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(traceback);
    Py_DECREF(type);
    return value;
}

static inline void compat_raise(PyObject *exception)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}

#endif

#if PY_VERSION_HEX >= 0x030D0000

static inline PyObject *compat_optional_attr(PyObject *object, PyObject *name)
{
    PyObject *value;
    (void)PyObject_GetOptionalAttr(object, name, &value);
    return value;
}

#else

static inline PyObject *compat_optional_attr(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return value;
}

#endif

#if PY_VERSION_HEX >= 0x030E0000

static inline bool compat_is_unshared(PyObject *object)
{
    return PyUnstable_Object_IsUniquelyReferenced(object);
}

#elif defined(Py_GIL_DISABLED)

static inline bool compat_is_unshared(PyObject *object)
{
    (void)object;
    return false;
}

#else

static inline bool compat_is_unshared(PyObject *object)
{
    return Py_REFCNT(object) == 1;
}

#endif

/* A free-threaded build cannot count on an attachment to order reads against writes. */
#ifdef Py_GIL_DISABLED
#define COMPAT_HAS_GIL 0
#else
#define COMPAT_HAS_GIL 1
#endif

/* Can a sub-interpreter have a GIL of its own? */
#define COMPAT_HAS_OWN_GIL (PY_VERSION_HEX >= 0x030C0000)

/* A free-threaded build runs without its GIL unless told to use it; extensions that do not declare
 * themselves bring it back, with a warning. */
static inline void compat_choose_gil(PyConfig *config, bool is_free)
{
#ifdef Py_GIL_DISABLED
    config->enable_gil = is_free ? config->enable_gil : 1;
#else
    (void)config;
    (void)is_free;
#endif
}

/* A new interpreter, its first thread state current; NULL with a phrase in *why. With a GIL of its
 * own it is isolated as CPython asks for, else it is a legacy one. Before 3.12 there is neither a
 * GIL of its own nor a call that does not end the process when it fails. */
#if PY_VERSION_HEX >= 0x030C0000

static inline PyThreadState *compat_new_interpreter(bool has_own_gil, const char **why)
{
    const PyInterpreterConfig config = {
        .use_main_obmalloc = !has_own_gil,
        .allow_fork = !has_own_gil,
        .allow_exec = !has_own_gil,
        .allow_threads = 1,
        .allow_daemon_threads = !has_own_gil,
        .check_multi_interp_extensions = has_own_gil || !COMPAT_HAS_GIL,
        .gil = has_own_gil ? PyInterpreterConfig_OWN_GIL : PyInterpreterConfig_SHARED_GIL,
    };
    PyThreadState *state = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&state, &config);
    *why = status.err_msg;
    return PyStatus_Exception(status) ? NULL : state;
}

#else

static inline PyThreadState *compat_new_interpreter(bool has_own_gil, const char **why)
{
    (void)has_own_gil;
    *why = "Py_NewInterpreter() refused";
    return Py_NewInterpreter();
}

#endif

/* os.fork() in the main interpreter: the child deletes all others, which waits for ever. */
#define COMPAT_FORK_DELETES_INTERPRETERS (PY_VERSION_HEX < 0x030C0000)

#endif
