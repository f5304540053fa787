/* gateway/serve.c — one request, from the exchange to the application and back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <stdio.h>

static PyObject *call_application(wsgi_call_t *call, PyObject *application)
{
    WSGI_AUTO_REF PyObject *dict = wsgi_environ_new(call);
    WSGI_AUTO_REF PyObject *callee = Py_NewRef(application);
    if (dict == NULL ||
        (wsgi_call_is_observed(call) && wsgi_observe_start(call, &callee, dict) != 0)) {
        return NULL;
    }
    if (call->figures != NULL) {
        call->figures->application_start_us = wsgi_wall_us();
    }
    PyObject *args[] = {NULL, dict, (PyObject *)call->kit->start};
    return PyObject_Vectorcall(callee, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

static void describe_send_error(const wsgi_call_t *call, int code, char *text, size_t room)
{
    if (code == WSGI_E_GONE) {
        snprintf(text, room, "the client went away after %lld bytes of the answer",
                 (long long)call->sent);
    }
    else if (code == WSGI_E_TOO_LARGE) {
        snprintf(text, room,
                 WSGI_ID(1208) "the head of the answer is larger than a process group may send: "
                               "4096 fields, a reason of 65535 bytes, 1 MiB in all");
    }
    else {
        snprintf(text, room,
                 WSGI_ID(1205) "the answer cannot be sent: %s; look for the reason in the lines "
                               "before",
                 wsgi_strerror(code));
    }
}

/* Detached. */
static void fail_send(wsgi_call_t *call, int code)
{
    char text[256];
    describe_send_error(call, code, text, sizeof(text));
    wsgi_call_log_detached(call, code == WSGI_E_GONE ? WSGI_LOG_INFO : WSGI_LOG_ERR, text);
    wsgi_call_fail(call, code, 500);
}

static void explain_send_error(wsgi_call_t *call)
{
    WSGI_PY_BLOCKING(call->py) {
        fail_send(call, call->send_error);
    }
}

static void cut_short(wsgi_call_t *call)
{
    wsgi_call_log(call, WSGI_LOG_INFO,
                  "the answer has %lld bytes, fewer than its Content-Length %lld; it is cut, so "
                  "that the client does not wait for the rest",
                  (long long)call->sent, (long long)call->content_length);
    wsgi_call_fail(call, WSGI_E_INVALID, 0);
}

static void explain_no_head(wsgi_call_t *call)
{
    const wsgi_request_t *request = &call->ex->request;
    wsgi_call_log(call, WSGI_LOG_ERR,
                  WSGI_ID(1204) "'%s' in script '%s' returned without calling start_response(); "
                                "call it before the answer ends",
                  request->callable.data, request->script.data);
    wsgi_call_fail(call, WSGI_E_INVALID, 500);
}

/* The iteration came to its end. */
static void conclude(wsgi_call_t *call)
{
    if (!call->has_head) {
        explain_no_head(call);
    }
    else if (wsgi_response_finish(call) != WSGI_OK) {
        explain_send_error(call);
    }
    else if (wsgi_response_is_short(call, call->tail_len)) {
        cut_short(call);
    }
}

static void send_result(wsgi_call_t *call, PyObject *result)
{
    wsgi_call_leave_to_parent(call);
    int code = wsgi_response_iterate(call, result);
    if (code < 0) {
        wsgi_call_fail_exception(call);
    }
    wsgi_response_close(call, result);
    wsgi_call_leave_to_parent(call);
    if (code == 0) {
        conclude(call);
    }
    else if (code > 0) {
        explain_send_error(call);
    }
}

static void trace_begin(wsgi_call_t *call)
{
    const wsgi_request_t *request = &call->ex->request;
    if (call->log.max_level >= WSGI_LOG_TRACE1) {
        wsgi_call_log(call, WSGI_LOG_TRACE1, "'%s' is called in interpreter \"%s\", thread %u",
                      request->callable.data, request->application_group.data,
                      wsgi_py_thread_number(call->py));
    }
}

static void trace_end(wsgi_call_t *call)
{
    if (call->log.max_level >= WSGI_LOG_TRACE1) {
        wsgi_call_log(call, WSGI_LOG_TRACE1,
                      "it %s status %u after %g s: read %lld bytes, gave %lld",
                      call->has_failed ? "failed, with" : "answered", call->head.status,
                      (double)(wsgi_wall_us() - call->application_start_us) / 1e6,
                      (long long)call->received, (long long)call->account.produced);
    }
}

static void answer(wsgi_call_t *call, PyObject *application)
{
    trace_begin(call);
    WSGI_AUTO_REF PyObject *result = call_application(call, application);
    if (result == NULL) {
        wsgi_call_fail_exception(call);
    }
    else {
        send_result(call, result);
    }
    if (call->figures != NULL) {
        call->figures->application_end_us = wsgi_wall_us();
    }
    if (wsgi_call_is_observed(call) && wsgi_observe_finish(call) != 0) {
        wsgi_call_log_exception(call);
    }
    trace_end(call);
    Py_CLEAR(call->status);
    Py_CLEAR(call->headers);
}

/* The script that was loaded just now may have begun it. */
static void record_from_now_on(wsgi_call_t *call)
{
    wsgi_recorder_t *recorder = call->figures == NULL ? wsgi_runtime_recorder() : NULL;
    if (recorder != NULL) {
        wsgi_figures_open(call, recorder);
        wsgi_figures_begin(call);
    }
}

static void run_application(wsgi_call_t *call, enum wsgi_reload_mode mode)
{
    WSGI_AUTO_REF PyObject *application = wsgi_application_find(call, mode);
    if (application != NULL) {
        record_from_now_on(call);
        answer(call, application);
    }
}

static void run_attached(wsgi_call_t *call, enum wsgi_reload_mode mode)
{
    const wsgi_log_target_t *outer = wsgi_pylog_redirect(call->py, &call->log);
    if (call->figures != NULL) {
        wsgi_figures_begin(call);
    }
    call->gateway = wsgi_py_component(call->py, &wsgi_gateway_component);
    if (call->gateway != NULL && wsgi_kit_open(call) == 0) {
        wsgi_py_allow_interrupt(call->py);
        run_application(call, mode);
        wsgi_call_leave_to_parent(call);
        wsgi_py_refuse_interrupt(call->py);
        wsgi_kit_close(call);
    }
    else {
        wsgi_call_fail_exception(call);
        Py_CLEAR(call->data);
    }
    wsgi_pylog_redirect(call->py, outer);
    wsgi_call_close(call);
}

static void run(wsgi_call_t *call, wsgi_interp_t *interp, enum wsgi_reload_mode mode)
{
    wsgi_recorder_t *recorder = wsgi_runtime_recorder();
    if (recorder != NULL) {
        wsgi_figures_open(call, recorder);
    }
    WSGI_PY_SCOPE(py, interp);
    if (py != NULL) {
        call->py = py;
        run_attached(call, mode);
        return;
    }
    wsgi_call_log_detached(call, WSGI_LOG_ERR,
                           WSGI_ID(1206) "Python is stopping in this process, or out of memory; "
                                         "the request cannot be served here, try it again");
    wsgi_call_fail(call, WSGI_E_REFUSED, 503);
}

/* Python has been left: what is still to send. */
static void send_tail(wsgi_call_t *call)
{
    wsgi_exchange_t *ex = call->ex;
    if (call->tail_len > 0) {
        int64_t begun_us = wsgi_call_clock(call);
        int code = ex->verbs->send_body(ex, call->tail, call->tail_len, WSGI_SEND_LAST);
        if (call->figures != NULL) {
            wsgi_figures_add_write(call->figures, wsgi_call_took(begun_us),
                                   code == WSGI_OK ? (int64_t)call->tail_len : 0);
        }
        if (code < 0) {
            fail_send(call, code);
        }
    }
}

static void finish(wsgi_call_t *call)
{
    wsgi_exchange_t *ex = call->ex;
    enum wsgi_outcome outcome = WSGI_DONE;
    if (call->has_failed) {
        outcome = ex->head_sent || call->failure_status == 0 ? WSGI_TRUNCATED : WSGI_FAILED;
    }
    (void)ex->verbs->finish(ex, outcome, outcome == WSGI_FAILED ? call->failure_status : 0);
}

int wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex, enum wsgi_reload_mode mode)
{
    wsgi_call_t call;
    wsgi_call_init(&call, ex);
    run(&call, interp, mode);
    if (call.code != WSGI_E_DECLINED) {
        send_tail(&call);
    }
    if (call.figures != NULL) {
        wsgi_figures_end(&call);
    }
    if (call.code != WSGI_E_DECLINED) {
        finish(&call);
    }
    wsgi_call_free(&call);
    return call.code;
}
