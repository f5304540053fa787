/* python/stuck.c — what a watchdog wants of Python: can it be had, where is each thread, and an end
 * to a request that takes too long. Called by a thread that may wait for ever.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"
#include "compat.h"

#include <stdio.h>

bool wsgi_runtime_has_application(void)
{
    return atomic_load_explicit(&wsgi_the_runtime.has_application, memory_order_relaxed);
}

void wsgi_runtime_note_application(void)
{
    if (!wsgi_runtime_has_application()) {
        atomic_store(&wsgi_the_runtime.has_application, true);
    }
}

static void probe(wsgi_interp_t *interp)
{
    WSGI_PY_SCOPE(py, interp);
    (void)py;
}

/* One GIL is all there is, unless sub-interpreters have their own. */
void wsgi_runtime_probe(void)
{
    const bool has_own = wsgi_runtime_settings()->per_interpreter_gil && COMPAT_HAS_OWN_GIL;
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_interp_t *interp = wsgi_the_runtime.newest;
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    for (; interp != NULL; interp = interp->older) {
        const bool is_main = *interp->name == '\0';
        if (atomic_load(&interp->state) == WSGI_INTERP_READY && (has_own || is_main)) {
            probe(interp);
        }
    }
}

bool wsgi_runtime_interrupt(wsgi_interp_t *interp, uint64_t thread, bool (*is_wanted)(void *baton),
                            void *baton)
{
    WSGI_PY_SCOPE(py, interp);
    return py != NULL &&
           wsgi_attach_interrupt(py, thread, interp->request_timeout, is_wanted, baton);
}

bool wsgi_py_has_timed_out(wsgi_py_t *py)
{
    PyObject *type_b = py->interp->request_timeout;
    return type_b != NULL && PyErr_ExceptionMatches(type_b);
}

/* Stacks. */

typedef struct wsgi_describer {
    void (*describe)(void *baton, uint64_t thread, char *out, size_t room);
    void *baton;
} wsgi_describer_t;

static PyObject *format_stack(PyObject *frame)
{
    WSGI_AUTO_REF PyObject *traceback = PyImport_ImportModule("traceback");
    WSGI_AUTO_REF PyObject *lines =
        traceback != NULL ? PyObject_CallMethod(traceback, "format_stack", "O", frame) : NULL;
    WSGI_AUTO_REF PyObject *empty = PyUnicode_FromString("");
    WSGI_AUTO_REF PyObject *text =
        lines != NULL && empty != NULL ? PyUnicode_Join(empty, lines) : NULL;
    return text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
}

static void log_stack(wsgi_py_t *py, uint64_t thread, PyObject *frame,
                      const wsgi_describer_t *describer)
{
    char what[256], head[320];
    describer->describe(describer->baton, thread, what, sizeof(what));
    snprintf(head, sizeof(head), "stack of thread %llu (%s):", (unsigned long long)thread, what);
    wsgi_pylog_text(py, WSGI_LOG_INFO, head);
    WSGI_AUTO_REF PyObject *text = format_stack(frame);
    if (text != NULL) {
        wsgi_pylog_text(py, WSGI_LOG_INFO, PyBytes_AS_STRING(text));
    }
    PyErr_Clear();
}

/* Of all interpreters that share a GIL. */
static PyObject *current_frames(void)
{
    WSGI_AUTO_REF PyObject *sys = PyImport_ImportModule("sys");
    return sys != NULL ? PyObject_CallMethod(sys, "_current_frames", NULL) : NULL;
}

static void log_stacks(wsgi_py_t *py, const wsgi_describer_t *describer)
{
    WSGI_AUTO_REF PyObject *frames = current_frames();
    PyObject *ident, *frame;
    Py_ssize_t position = 0;
    while (frames != NULL && PyDict_Next(frames, &position, &ident, &frame)) {
        uint64_t thread = PyLong_AsUnsignedLongLong(ident);
        if (thread != (uint64_t)pthread_self()) {
            log_stack(py, thread, frame, describer);
        }
    }
    PyErr_Clear();
}

/* Without a GIL the frames of others change while they are read. */
void wsgi_runtime_log_stacks(void (*describe)(void *baton, uint64_t thread, char *out, size_t room),
                             void *baton)
{
    const wsgi_describer_t describer = {describe, baton};
    wsgi_interp_t *interp = wsgi_interp_find("", false, NULL);
    if (!COMPAT_HAS_GIL || interp == NULL) {
        return;
    }
    WSGI_PY_SCOPE(py, interp);
    if (py != NULL) {
        log_stacks(py, &describer);
    }
}
