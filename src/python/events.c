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

/* Subscribing. self is (list, home, whether nobody will ever call it). */

/* So it is with signals outside a process group: httpd's children have them from httpd. */
static void tell_in_vain(PyObject *home)
{
    wsgi_pylog_caller(PyCapsule_GetPointer(home, NULL),
                      "subscribe_signals() has no effect outside a process group; the call came "
                      "from:");
}

static PyObject *subscribe(PyObject *self, PyObject *callback)
{
    if (PyTuple_GET_ITEM(self, 2) == Py_True) {
        tell_in_vain(PyTuple_GET_ITEM(self, 1));
    }
    return PyList_Append(PyTuple_GET_ITEM(self, 0), callback) == 0 ? Py_NewRef(callback) : NULL;
}

#define DOC(function, what)                                                                        \
#function "(callback) -> callback\n\nHas callback(name, **payload) called for " what "."

static const struct {
    const char *list;
    PyMethodDef method;
} kinds[WSGI_EVENT_KINDS] = {
#define SUBSCRIPTION(kind, function, list, what)                                                   \
    [WSGI_EVENT_##kind] = {#list, {#function, subscribe, METH_O, DOC(function, what)}},
#define EVENT(name, kind, when)
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef SUBSCRIPTION
#undef EVENT
#undef KEY
};

static int add_kind(wsgi_py_t *py, PyObject *module, int kind)
{
    PyObject *list = py->interp->callbacks[kind] = PyList_New(0);
    WSGI_AUTO_REF PyObject *home = PyCapsule_New(&py->interp->home, NULL, NULL);
    const bool is_vain =
        kind == WSGI_EVENT_SIGNAL && *wsgi_runtime_settings()->process_group == '\0';
    WSGI_AUTO_REF PyObject *self = list != NULL && home != NULL
                                       ? PyTuple_Pack(3, list, home, is_vain ? Py_True : Py_False)
                                       : NULL;
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

enum process_event {
#define SUBSCRIPTION(kind, function, list, what)
#define EVENT(name, kind, when) EVENT_##name,
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef EVENT
#undef KEY
};

typedef struct publication {
    wsgi_interp_t *interp;
    enum process_event event;
    const char *reason;
    int number; /* of the signal */
} publication_t;

static PyObject *make_signal_name(const publication_t *it)
{
    return PyUnicode_FromString(it->number == SIGHUP ? "SIGHUP" : "SIGUSR2");
}

static PyObject *make_signal_number(const publication_t *it)
{
    return PyLong_FromLong(it->number);
}

static PyObject *make_reason(const publication_t *it)
{
    return PyUnicode_FromString(it->reason);
}

static const struct {
    const char *name;
    enum wsgi_event_kind kind; /* whose subscribers hear it, besides those of all events */
} events[] = {
#define EVENT(name, kind, when) [EVENT_##name] = {#name, WSGI_EVENT_##kind},
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef EVENT
#undef KEY
};

static const struct {
    enum process_event event;
    const char *name;
    PyObject *(*make)(const publication_t *it);
} keys[] = {
#define EVENT(name, kind, when)
#define KEY(event, name, maker, type, what) {EVENT_##event, #name, maker},
#include "events.def"
#undef EVENT
#undef KEY
#undef SUBSCRIPTION
};

static PyObject *payload_of(const publication_t *it)
{
    WSGI_AUTO_REF PyObject *payload = PyDict_New();
    for (size_t i = 0; payload != NULL && i < sizeof(keys) / sizeof(*keys); i++) {
        if (keys[i].event != it->event) {
            continue;
        }
        WSGI_AUTO_REF PyObject *value = keys[i].make(it);
        if (value == NULL || PyDict_SetItemString(payload, keys[i].name, value) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&payload);
}

/* A process that the callback forked and that comes back from it must not go on as a second server;
 * one that an application forked before may have events of its own. */
static PyObject *call_and_come_back(wsgi_py_t *py, PyObject *callback, PyObject *name,
                                    PyObject *payload)
{
    const bool was_forked = wsgi_runtime_is_forked();
    WSGI_AUTO_REF PyObject *args = PyTuple_Pack(1, name);
    PyObject *result = args != NULL ? PyObject_Call(callback, args, payload) : NULL;
    if (!was_forked && wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(py, PyUnicode_AsUTF8(name));
    }
    return result;
}

/* 0, or -1 with RequestTimeout in flight: it is the request's, and none of the callback's. */
static int call(wsgi_py_t *py, PyObject *callback, PyObject *name, PyObject *payload)
{
    WSGI_AUTO_REF PyObject *result = call_and_come_back(py, callback, name, payload);
    if (result != NULL && (!PyDict_Check(result) || PyDict_Update(payload, result) == 0)) {
        return 0;
    }
    if (wsgi_py_has_timed_out(py)) {
        return -1;
    }
    wsgi_pylog_exception(py, PyUnicode_AsUTF8(name));
    return 0;
}

static int call_all(wsgi_py_t *py, PyObject *list, PyObject *name, PyObject *payload)
{
    WSGI_AUTO_REF PyObject *callbacks = PySequence_List(list);
    int code = 0;
    for (Py_ssize_t i = 0; callbacks != NULL && i < PyList_GET_SIZE(callbacks) && code == 0; i++) {
        code = call(py, PyList_GET_ITEM(callbacks, i), name, payload);
    }
    return code;
}

static bool has_subscribers(const wsgi_interp_t *interp, enum wsgi_event_kind kind)
{
    return PyList_GET_SIZE(interp->callbacks[kind]) > 0;
}

PyObject *wsgi_py_subscribers_b(const wsgi_py_t *py)
{
    return py->interp->callbacks[WSGI_EVENT_ANY];
}

int wsgi_py_publish(wsgi_py_t *py, PyObject *name, PyObject *payload)
{
    return call_all(py, py->interp->callbacks[WSGI_EVENT_ANY], name, payload);
}

static void publish_attached(wsgi_py_t *py, const publication_t *it)
{
    const enum wsgi_event_kind kind = events[it->event].kind;
    if (!has_subscribers(it->interp, WSGI_EVENT_ANY) && !has_subscribers(it->interp, kind)) {
        return;
    }
    WSGI_AUTO_REF PyObject *name = PyUnicode_FromString(events[it->event].name);
    WSGI_AUTO_REF PyObject *payload = payload_of(it);
    if (name != NULL && payload != NULL) {
        (void)call_all(py, it->interp->callbacks[WSGI_EVENT_ANY], name, payload);
        (void)call_all(py, it->interp->callbacks[kind], name, payload);
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
    const int error = wsgi_thread_start(&thread, "wsgi:events", run_publication, it);
    if (error != 0) {
        wsgi_log(WSGI_LOG_INFO, "no thread to tell interpreter \"%s\" of %s: %s", it->interp->name,
                 events[it->event].name, strerror(error));
        return;
    }
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
        publish((publication_t){.event = EVENT_process_stopping, .reason = reason});
    }
}

void wsgi_runtime_publish_signal(int number)
{
    publish((publication_t){.event = EVENT_process_signal, .number = number});
}
