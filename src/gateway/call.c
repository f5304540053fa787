/* gateway/call.c — one request in progress: who may use its exchange, its log, its end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The exchange takes one verb at a time, from whatever thread: applications may read or write from
 * a thread of theirs while the serving one waits for it. Two at once would have to wait for each
 * other with a client in between; better to say so. */

bool wsgi_call_lock(wsgi_call_t *call)
{
    if (wsgi_runtime_is_forked()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a forked process used the request of its parent; let the parent read the "
                        "body and write the answer");
        return false;
    }
    if (pthread_mutex_trylock(&call->verb_lock) == 0) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "two threads used one request at once; let one thread at a time read its body "
                    "or write its answer");
    return false;
}

void wsgi_call_wait(wsgi_call_t *call)
{
    if (pthread_mutex_trylock(&call->verb_lock) != 0) {
        WSGI_PY_BLOCKING(call->py) {
            pthread_mutex_lock(&call->verb_lock);
        }
    }
}

void wsgi_call_unlock(wsgi_call_t *call)
{
    pthread_mutex_unlock(&call->verb_lock);
}

/* The objects of the request are out of use by now, so no verb begins any more. Who is still inside
 * one holds the lock until it is attached again, and we attach only after that thread has detached:
 * its use of the call has ended then. */
void wsgi_call_close(wsgi_call_t *call)
{
    wsgi_call_wait(call);
    wsgi_call_unlock(call);
}

/* Log lines. */

static void write_prefixed(wsgi_call_t *call, int level, const char *file, int number,
                           const char *text)
{
    char *line;
    if (asprintf(&line, "[%s] %s", call->ex->request.script.data, text) >= 0) {
        call->ex->verbs->log(call->ex, level, file, number, line);
        free(line);
    }
}

/* Detached; from any thread of the application. While another verb runs, and in a process that the
 * application forked, the process's own log must do: a line must never wait for a client. */
static void write_log(void *baton, int level, const char *file, int number, const char *text)
{
    wsgi_call_t *call = baton;
    if (wsgi_runtime_is_forked() || pthread_mutex_trylock(&call->verb_lock) != 0) {
        if (wsgi_log_is_enabled(level)) {
            wsgi_log_at(level, file != NULL ? file : __FILE__, file != NULL ? number : __LINE__,
                        "[%s] %s", call->ex->request.script.data, text);
        }
        return;
    }
    write_prefixed(call, level, file, number, text);
    wsgi_call_unlock(call);
}

void wsgi_call_log(wsgi_call_t *call, int level, const char *fmt, ...)
{
    char *text;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len >= 0) {
        wsgi_pylog_text(call->py, level, text);
        free(text);
    }
}

void wsgi_call_log_detached(wsgi_call_t *call, int level, const char *text)
{
    write_log(call, level, NULL, 0, text);
}

/* Beginning and end. */

void wsgi_call_init(wsgi_call_t *call, wsgi_exchange_t *ex)
{
    memset(call, 0, offsetof(wsgi_call_t, tail));
    call->ex = ex;
    call->log = (wsgi_log_target_t){write_log, call, ex->request.log_level};
    call->content_length = WSGI_LENGTH_UNKNOWN;
    call->daemon_start_us = ex->request.process_group.len > 0 ? wsgi_wall_us() : 0;
    pthread_mutex_init(&call->verb_lock, NULL);
}

void wsgi_call_free(wsgi_call_t *call)
{
    pthread_mutex_destroy(&call->verb_lock);
}

void wsgi_call_fail(wsgi_call_t *call, int code, unsigned status)
{
    call->has_failed = true;
    call->code = code;
    call->failure_status = status;
    call->tail_len = status == 0 ? call->tail_len : 0;
}

void wsgi_call_leave_to_parent(const wsgi_call_t *call)
{
    if (wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(call->py, call->ex->request.script.data);
    }
}

void wsgi_call_log_exception(wsgi_call_t *call)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    if (exception == NULL) {
        return;
    }
    wsgi_py_raise(Py_NewRef(exception));
    wsgi_pylog_exception(call->py, call->ex->request.script.data);
    wsgi_observe_exception(call->py, call->gateway, call, exception);
}

void wsgi_call_fail_exception(wsgi_call_t *call)
{
    wsgi_call_leave_to_parent(call);
    const unsigned status = wsgi_py_has_timed_out(call->py) ? 504 : 500;
    wsgi_call_log_exception(call);
    wsgi_call_fail(call, WSGI_E_INVALID, status);
}
