/* gateway/observe.c — what subscribers are told of a request, by the table events.def. Without one in
 * the interpreter no object is made, and no clock is read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <sys/resource.h>

/* What an event is about, besides the request. */
typedef struct occasion {
    wsgi_call_t *call; /* NULL: outside a request */
    PyObject *application_b, *environ_b;
    PyObject *status_b, *headers_b, *exc_info_b;
    PyObject *exception_b;
    int64_t finish_us;
    int64_t user_us, system_us; /* of the thread's CPU time since the beginning */
    wsgi_py_waits_t waits;
} occasion_t;

/* Makers: a new reference; NULL with an exception set, or without one for a key that is left out. */

static PyObject *seconds(int64_t time_us)
{
    return PyFloat_FromDouble((double)time_us / 1e6);
}

static PyObject *make_request_id(const occasion_t *it)
{
    return it->call != NULL ? wsgi_environ_meta(it->call, WSGI_META_MOD_WSGI_REQUEST_ID) : NULL;
}

static PyObject *make_thread_id(const occasion_t *it)
{
    return PyLong_FromUnsignedLong(wsgi_py_thread_number(it->call->py));
}

static bool is_daemon(const wsgi_call_t *call)
{
    return call->ex->request.process_group.len > 0;
}

static PyObject *make_daemon_connects(const occasion_t *it)
{
    const wsgi_call_t *call = it->call;
    return PyLong_FromLong(is_daemon(call) ? call->ex->request.tries + 1 : 0);
}

static PyObject *make_daemon_restarts(const occasion_t *it)
{
    return PyLong_FromLong(it->call->ex->request.tries);
}

static PyObject *make_server_pid(const occasion_t *it)
{
    WSGI_AUTO_REF PyObject *text = wsgi_environ_meta(it->call, WSGI_META_MOD_WSGI_SERVER_PID);
    return text != NULL ? PyLong_FromUnicodeObject(text, 10) : NULL;
}

static PyObject *make_request_start(const occasion_t *it)
{
    return seconds(it->call->ex->request.request_start_us);
}

static PyObject *make_queue_start(const occasion_t *it)
{
    const wsgi_call_t *call = it->call;
    return seconds(is_daemon(call) ? call->ex->request.queue_start_us : 0);
}

static PyObject *make_daemon_start(const occasion_t *it)
{
    return seconds(it->call->daemon_start_us);
}

static PyObject *make_application_start(const occasion_t *it)
{
    return seconds(it->call->application_start_us);
}

static PyObject *make_application_object(const occasion_t *it)
{
    return Py_NewRef(it->application_b);
}

static PyObject *make_callable_object(const occasion_t *it)
{
    return Py_XNewRef(wsgi_environ_callable_b(it->call));
}

static PyObject *make_request_environ(const occasion_t *it)
{
    return Py_NewRef(it->environ_b);
}

static PyObject *make_data(const occasion_t *it)
{
    return it->call != NULL ? Py_XNewRef(wsgi_data_of_b(it->call)) : NULL;
}

static PyObject *make_response_status(const occasion_t *it)
{
    return Py_NewRef(it->status_b);
}

static PyObject *make_response_headers(const occasion_t *it)
{
    return Py_NewRef(it->headers_b);
}

static PyObject *make_response_exc_info(const occasion_t *it)
{
    return Py_NewRef(it->exc_info_b);
}

static PyObject *make_application_finish(const occasion_t *it)
{
    return seconds(it->finish_us);
}

static PyObject *make_application_time(const occasion_t *it)
{
    return seconds(it->finish_us - it->call->application_start_us);
}

static PyObject *make_status(const occasion_t *it)
{
    return PyLong_FromUnsignedLong(it->call->has_head ? it->call->head.status : 0);
}

static PyObject *make_input_reads(const occasion_t *it)
{
    return PyLong_FromUnsignedLong(it->call->account.reads);
}

static PyObject *make_input_length(const occasion_t *it)
{
    return PyLong_FromLongLong(it->call->received);
}

static PyObject *make_input_time(const occasion_t *it)
{
    return seconds(it->call->account.read_us);
}

static PyObject *make_output_writes(const occasion_t *it)
{
    return PyLong_FromUnsignedLong(it->call->account.writes);
}

static PyObject *make_output_length(const occasion_t *it)
{
    return PyLong_FromLongLong(it->call->account.produced);
}

static PyObject *make_output_time(const occasion_t *it)
{
    return seconds(it->call->account.write_us);
}

static PyObject *make_cpu_user_time(const occasion_t *it)
{
    return it->call->account.is_timed ? seconds(it->user_us) : NULL;
}

static PyObject *make_cpu_system_time(const occasion_t *it)
{
    return it->call->account.is_timed ? seconds(it->system_us) : NULL;
}

static PyObject *make_cpu_time(const occasion_t *it)
{
    return it->call->account.is_timed ? seconds(it->user_us + it->system_us) : NULL;
}

static PyObject *make_gil_wait_time(const occasion_t *it)
{
    return seconds(it->waits.us);
}

static PyObject *make_gil_wait_count(const occasion_t *it)
{
    return PyLong_FromUnsignedLong(it->waits.count);
}

static PyObject *make_exception_info(const occasion_t *it)
{
    WSGI_AUTO_REF PyObject *traceback = PyException_GetTraceback(it->exception_b);
    return PyTuple_Pack(3, (PyObject *)Py_TYPE(it->exception_b), it->exception_b,
                        traceback != NULL ? traceback : Py_None);
}

/* The tables. */

static const char *const names[WSGI_EVENT_COUNT] = {
#define EVENT(name, kind, when) [WSGI_EVENT_##name] = #name,
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef EVENT
#undef KEY
};

static const struct {
    enum wsgi_request_event event;
    const char *name;
    PyObject *(*make)(const occasion_t *it);
} keys[WSGI_EVENT_KEY_COUNT] = {
#define EVENT(name, kind, when)
#define KEY(event, name, maker, type, what) {WSGI_EVENT_##event, #name, maker},
#include "events.def"
#undef EVENT
#undef KEY
};

int wsgi_observe_prepare(wsgi_py_t *py, wsgi_gateway_t *gateway)
{
    bool are_made = true;
    gateway->subscribers_b = wsgi_py_subscribers_b(py);
    for (unsigned i = 0; i < WSGI_EVENT_COUNT && are_made; i++) {
        gateway->event_names[i] = PyUnicode_InternFromString(names[i]);
        are_made = gateway->event_names[i] != NULL;
    }
    for (unsigned i = 0; i < WSGI_EVENT_KEY_COUNT && are_made; i++) {
        gateway->event_keys[i] = PyUnicode_InternFromString(keys[i].name);
        are_made = gateway->event_keys[i] != NULL;
    }
    return are_made ? 0 : -1;
}

void wsgi_observe_forget(wsgi_gateway_t *gateway)
{
    for (unsigned i = 0; i < WSGI_EVENT_COUNT; i++) {
        Py_CLEAR(gateway->event_names[i]);
    }
    for (unsigned i = 0; i < WSGI_EVENT_KEY_COUNT; i++) {
        Py_CLEAR(gateway->event_keys[i]);
    }
}

/* Publishing. */

static int put(PyObject *payload, PyObject *key, unsigned number, const occasion_t *it)
{
    WSGI_AUTO_REF PyObject *value = keys[number].make(it);
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return PyDict_SetItem(payload, key, value);
}

static PyObject *payload_of(const wsgi_gateway_t *gateway, enum wsgi_request_event event,
                            const occasion_t *it)
{
    WSGI_AUTO_REF PyObject *payload = PyDict_New();
    for (unsigned i = 0; payload != NULL && i < WSGI_EVENT_KEY_COUNT; i++) {
        if (keys[i].event == event && put(payload, gateway->event_keys[i], i, it) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&payload);
}

/* The payload as callbacks have left it; NULL where none could be made, which is logged, or with
 * RequestTimeout in flight. */
static PyObject *publish(wsgi_py_t *py, const wsgi_gateway_t *gateway,
                         enum wsgi_request_event event, const occasion_t *it)
{
    WSGI_AUTO_REF PyObject *payload = payload_of(gateway, event, it);
    if (payload == NULL) {
        wsgi_pylog_exception(py, names[event]);
        return NULL;
    }
    return wsgi_py_publish(py, gateway->event_names[event], payload) == 0 ? wsgi_py_steal(&payload)
                                                                          : NULL;
}

static int result_of(const PyObject *payload)
{
    return payload == NULL && PyErr_Occurred() ? -1 : 0;
}

/* The events. */

static int64_t time_us(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void read_cpu_time(int64_t *user_us, int64_t *system_us)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_THREAD, &usage);
    *user_us = time_us(usage.ru_utime);
    *system_us = time_us(usage.ru_stime);
}

static void begin_account(wsgi_account_t *account)
{
    account->is_timed = true;
    read_cpu_time(&account->user_us, &account->system_us);
    wsgi_py_count_waits();
}

static void take_application(const wsgi_gateway_t *gateway, PyObject *payload,
                             PyObject **application)
{
    PyObject *key_b = gateway->event_keys[WSGI_EVENT_KEY_request_started_application_object];
    PyObject *other_b = PyDict_GetItemWithError(payload, key_b);
    if (other_b != NULL && other_b != *application) {
        Py_SETREF(*application, Py_NewRef(other_b));
    }
}

int wsgi_observe_start(wsgi_call_t *call, PyObject **application, PyObject *environ)
{
    begin_account(&call->account);
    const occasion_t it = {.call = call, .application_b = *application, .environ_b = environ};
    WSGI_AUTO_REF PyObject *payload =
        publish(call->py, call->gateway, WSGI_EVENT_request_started, &it);
    if (payload != NULL) {
        take_application(call->gateway, payload, application);
    }
    return result_of(payload);
}

int wsgi_observe_response(wsgi_call_t *call, PyObject *status, PyObject *headers,
                          PyObject *exc_info)
{
    const occasion_t it = {
        .call = call, .status_b = status, .headers_b = headers, .exc_info_b = exc_info};
    WSGI_AUTO_REF PyObject *payload =
        publish(call->py, call->gateway, WSGI_EVENT_response_started, &it);
    return result_of(payload);
}

int wsgi_observe_finish(wsgi_call_t *call)
{
    occasion_t it = {.call = call, .finish_us = wsgi_wall_us()};
    if (call->account.is_timed) {
        read_cpu_time(&it.user_us, &it.system_us);
        it.user_us -= call->account.user_us;
        it.system_us -= call->account.system_us;
        it.waits = wsgi_py_waits();
    }
    WSGI_AUTO_REF PyObject *payload =
        publish(call->py, call->gateway, WSGI_EVENT_request_finished, &it);
    return result_of(payload);
}

void wsgi_observe_exception(wsgi_py_t *py, const wsgi_gateway_t *gateway, wsgi_call_t *call,
                            PyObject *exception)
{
    if (gateway == NULL || PyList_GET_SIZE(gateway->subscribers_b) == 0) {
        return;
    }
    const occasion_t it = {.call = call, .exception_b = exception};
    WSGI_AUTO_REF PyObject *payload = publish(py, gateway, WSGI_EVENT_request_exception, &it);
    if (result_of(payload) != 0) {
        wsgi_pylog_exception(py, names[WSGI_EVENT_request_exception]);
    }
}
