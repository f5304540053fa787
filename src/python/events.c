/* python/events.c — subscriptions in module mod_wsgi, and what is published to them: the process is
 * about to end, or has had a signal that is the application's.
 *
 * The lists are the subscribers' own to change; each publication goes by the list as it was when it
 * began.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"

#include <signal.h>
#include <string.h>

/* Subscribing. self is (list, home). */

static PyObject *subscribe(PyObject *self, PyObject *callback)
{
    return PyList_Append(PyTuple_GET_ITEM(self, 0), callback) == 0 ? Py_NewRef(callback) : NULL;
}

/* Nobody calls it there: httpd's children have their signals from httpd. */
static PyObject *subscribe_signals(PyObject *self, PyObject *callback)
{
    if (*wsgi_runtime_settings()->process_group == '\0') {
        wsgi_pylog_caller(
            PyCapsule_GetPointer(PyTuple_GET_ITEM(self, 1), NULL),
            "subscribe_signals() has no effect outside a process group; the call came "
            "from:");
    }
    return subscribe(self, callback);
}

static const struct {
    const char *list;
    PyMethodDef method;
} kinds[WSGI_EVENT_KINDS] = {
    [WSGI_EVENT_ANY] = {"event_callbacks",
                        {"subscribe_events", subscribe, METH_O,
                         "subscribe_events(callback) -> callback\n\n"
                         "Calls callback(name, **payload) for each event."}},
    [WSGI_EVENT_SHUTDOWN] = {"shutdown_callbacks",
                             {"subscribe_shutdown", subscribe, METH_O,
                              "subscribe_shutdown(callback) -> callback\n\n"
                              "Calls callback('process_stopping', shutdown_reason=...) before the "
                              "process ends."}},
    [WSGI_EVENT_SIGNAL] = {"signal_callbacks",
                           {"subscribe_signals", subscribe_signals, METH_O,
                            "subscribe_signals(callback) -> callback\n\n"
                            "Calls callback('process_signal', signame=..., signum=...) for SIGHUP "
                            "and SIGUSR2."}},
};

static int add_kind(wsgi_py_t *py, PyObject *module, int kind)
{
    PyObject *list = py->interp->callbacks[kind] = PyList_New(0);
    WSGI_AUTO_REF PyObject *home = PyCapsule_New(&py->interp->home, NULL, NULL);
    WSGI_AUTO_REF PyObject *self =
        list != NULL && home != NULL ? PyTuple_Pack(2, list, home) : NULL;
    WSGI_AUTO_REF PyObject *function =
        self != NULL ? PyCFunction_New((PyMethodDef *)&kinds[kind].method, self) : NULL;
    if (function == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, kinds[kind].list, list) ||
           PyModule_AddObjectRef(module, kinds[kind].method.ml_name, function);
}

int wsgi_events_add(wsgi_py_t *py, PyObject *module)
{
    for (int kind = 0; kind < WSGI_EVENT_KINDS; kind++) {
        if (add_kind(py, module, kind) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Publishing. */

typedef struct publication {
    wsgi_interp_t *interp;
    enum wsgi_event_kind kind; /* whose subscribers hear it, besides those of all events */
    const char *name, *reason;
    int number; /* of the signal */
} publication_t;

static PyObject *payload_of(const publication_t *it)
{
    if (it->kind == WSGI_EVENT_SHUTDOWN) {
        return Py_BuildValue("{s:s}", "shutdown_reason", it->reason);
    }
    return Py_BuildValue("{s:s,s:i}", "signame", it->reason, "signum", it->number);
}

static void call(wsgi_py_t *py, PyObject *callback, PyObject *name, PyObject *payload)
{
    WSGI_AUTO_REF PyObject *args = PyTuple_Pack(1, name);
    WSGI_AUTO_REF PyObject *result = args != NULL ? PyObject_Call(callback, args, payload) : NULL;
    if (result == NULL || (PyDict_Check(result) && PyDict_Update(payload, result) != 0)) {
        wsgi_pylog_exception(py, PyUnicode_AsUTF8(name));
    }
}

static void call_all(wsgi_py_t *py, PyObject *list, PyObject *name, PyObject *payload)
{
    WSGI_AUTO_REF PyObject *callbacks = PySequence_List(list);
    for (Py_ssize_t i = 0; callbacks != NULL && i < PyList_GET_SIZE(callbacks); i++) {
        call(py, PyList_GET_ITEM(callbacks, i), name, payload);
    }
}

static bool has_subscribers(const publication_t *it)
{
    return PyList_GET_SIZE(it->interp->callbacks[WSGI_EVENT_ANY]) > 0 ||
           PyList_GET_SIZE(it->interp->callbacks[it->kind]) > 0;
}

static void publish_attached(wsgi_py_t *py, const publication_t *it)
{
    if (!has_subscribers(it)) {
        return;
    }
    WSGI_AUTO_REF PyObject *name = PyUnicode_FromString(it->name);
    WSGI_AUTO_REF PyObject *payload = payload_of(it);
    if (name != NULL && payload != NULL) {
        call_all(py, it->interp->callbacks[WSGI_EVENT_ANY], name, payload);
        call_all(py, it->interp->callbacks[it->kind], name, payload);
    }
    PyErr_Clear();
    wsgi_pylog_redirect(py, NULL); /* what was printed without a line end */
}

static void publish_in(const publication_t *it)
{
    WSGI_PY_SCOPE(py, it->interp);
    if (py != NULL) {
        publish_attached(py, it);
    }
}

static void *run_publication(void *data)
{
    publish_in(data);
    wsgi_runtime_thread_end();
    return NULL;
}

/* By a thread that knows no other interpreter: up to 3.11, PyGILState_Ensure() in an extension would
 * take the state of the first one, and deadlock. */
static void publish_by_thread(publication_t *it)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, run_publication, it);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        wsgi_log(WSGI_LOG_INFO, "no thread to tell interpreter \"%s\" of %s: %s", it->interp->name,
                 it->name, strerror(failed));
        return;
    }
    pthread_setname_np(thread, "wsgi:events");
    pthread_join(thread, NULL);
}

static wsgi_interp_t *newest_interp(void)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_interp_t *interp = wsgi_the_runtime.newest;
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return interp;
}

static void publish(publication_t it)
{
    if (!wsgi_runtime_is_started() || wsgi_runtime_is_forked()) {
        return;
    }
    for (it.interp = newest_interp(); it.interp != NULL; it.interp = it.interp->older) {
        if (atomic_load(&it.interp->state) != WSGI_INTERP_READY) {
            continue;
        }
        if (*it.interp->name == '\0') {
            publish_in(&it);
        }
        else {
            publish_by_thread(&it);
        }
    }
}

void wsgi_runtime_publish_stop(const char *reason)
{
    if (!atomic_exchange(&wsgi_the_runtime.has_published_stop, true) && reason != NULL) {
        publish((publication_t){
            .kind = WSGI_EVENT_SHUTDOWN, .name = "process_stopping", .reason = reason});
    }
}

void wsgi_runtime_publish_signal(int number)
{
    publish((publication_t){
        .kind = WSGI_EVENT_SIGNAL,
        .name = "process_signal",
        .reason = number == SIGHUP ? "SIGHUP" : "SIGUSR2",
        .number = number,
    });
}
