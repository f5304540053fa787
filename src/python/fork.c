/* python/fork.c — processes that the application forks: they have no part in serving, neither in
 * the request in progress nor in the end of the server's process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"
#include "compat.h"

#include <signal.h>
#include <unistd.h>

bool wsgi_runtime_is_forked(void)
{
    return atomic_load_explicit(&wsgi_the_runtime.is_forked, memory_order_relaxed);
}

/* httpd's handlers would end the child as if it were one of httpd's, and its threads block all
 * signals. A worker resets its own. */
static void reset_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        sigaction(numbers[i], &action, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &action.sa_mask, NULL);
}

/* Async-signal-safe calls only. */
static void on_fork_in_child(void)
{
    const wsgi_runtime_settings_t *settings = wsgi_runtime_settings();
    atomic_store(&wsgi_the_runtime.is_forked, true);
    wsgi_thread_forget_request();
    if (*settings->process_group == '\0' && !settings->allow_signals) {
        reset_signals();
    }
}

int wsgi_fork_watch(void)
{
    return pthread_atfork(NULL, NULL, on_fork_in_child) == 0 ? WSGI_OK : WSGI_E_NOMEM;
}

/* What CPython is going to do to the child, or NULL. */
static const char *find_fork_fault(const wsgi_interp_t *interp)
{
    if (*interp->name != '\0') {
        return "Python ends the child of a sub-interpreter by a fatal error";
    }
    bool has_others = wsgi_the_runtime.newest->older != NULL;
    return COMPAT_FORK_DELETES_INTERPRETERS && has_others
               ? "the child hangs in Python " PY_VERSION " where the process has sub-interpreters"
               : NULL;
}

/* Before each os.fork(), attached. Said once in a process: forks come in numbers. */
static PyObject *warn_of_fork(PyObject *self, PyObject *none)
{
    const wsgi_interp_t *interp = PyCapsule_GetPointer(self, NULL);
    const char *fault = interp != NULL ? find_fork_fault(interp) : NULL;
    (void)none;
    if (fault != NULL && !atomic_exchange(&wsgi_the_runtime.has_warned_of_fork, true)) {
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1105) "an application in \"%s\" calls os.fork(), and %s; use subprocess, "
                               "or give all applications of the process WSGIApplicationGroup "
                               "%%{GLOBAL}",
                 interp->name, fault);
    }
    Py_RETURN_NONE;
}

int wsgi_fork_announce(wsgi_py_t *py)
{
    static const PyMethodDef def = {"warn_of_fork", warn_of_fork, METH_NOARGS, NULL};
    WSGI_AUTO_REF PyObject *os = PyImport_ImportModule("os");
    WSGI_AUTO_REF PyObject *interp = PyCapsule_New(py->interp, NULL, NULL);
    WSGI_AUTO_REF PyObject *hook =
        interp != NULL ? PyCFunction_New((PyMethodDef *)&def, interp) : NULL;
    WSGI_AUTO_REF PyObject *add =
        os != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    WSGI_AUTO_REF PyObject *args = PyTuple_New(0);
    WSGI_AUTO_REF PyObject *names = hook != NULL ? Py_BuildValue("{s:O}", "before", hook) : NULL;
    WSGI_AUTO_REF PyObject *done =
        add != NULL && args != NULL && names != NULL ? PyObject_Call(add, args, names) : NULL;
    return done != NULL ? 0 : -1;
}

/* As Python's own main program does it: a number is the status, a text is printed. */
static int exit_status(wsgi_py_t *py, PyObject *exit)
{
    WSGI_AUTO_REF PyObject *code = PyObject_GetAttrString(exit, "code");
    if (code == NULL || code == Py_None) {
        return code == NULL;
    }
    if (PyLong_Check(code)) {
        int status = (int)PyLong_AsLong(code);
        PyErr_Clear(); /* too large a number */
        return status;
    }
    WSGI_AUTO_REF PyObject *text = PyObject_Str(code);
    const char *chars = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    if (chars != NULL) {
        wsgi_pylog_text(py, WSGI_LOG_ERR, chars);
    }
    return 1;
}

static int status_of_exception(wsgi_py_t *py, const char *script)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    if (exception == NULL) {
        return 0;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)) {
        return exit_status(py, exception);
    }
    wsgi_py_raise(wsgi_py_steal(&exception));
    wsgi_pylog_exception(py, script);
    return 1;
}

static void flush(const char *stream)
{
    WSGI_AUTO_REF PyObject *object = Py_XNewRef(PySys_GetObject(stream));
    WSGI_AUTO_REF PyObject *done =
        object != NULL && object != Py_None ? PyObject_CallMethod(object, "flush", NULL) : NULL;
    PyErr_Clear();
}

/* No atexit functions: they are the parent's, as is the rest of its end. */
void wsgi_py_end_forked(wsgi_py_t *py, const char *script)
{
    int status = status_of_exception(py, script);
    flush("stdout");
    flush("stderr");
    _exit(status);
}
