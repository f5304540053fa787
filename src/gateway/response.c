/* gateway/response.c — sends what the application returned: head, chunks, files; within the
 * Content-Length where one was announced.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <string.h>

static int sticky(wsgi_call_t *call, int code)
{
    if (code < 0) {
        call->send_error = code;
    }
    return code;
}

/* Needs the verb lock; may be detached. */
static int give_head(wsgi_call_t *call)
{
    if (call->is_head_given) {
        return call->send_error;
    }
    call->is_frozen = true;
    call->is_head_given = true;
    return call->ex->verbs->send_head(call->ex, &call->head);
}

static int require_head(const wsgi_call_t *call)
{
    if (call->has_head) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "the application gave a body without calling start_response(); call it before "
                    "the first bytes of the body");
    return -1;
}

/* How much of `len` bytes still fits into what was announced. */
static size_t fit(const wsgi_call_t *call, size_t len)
{
    if (call->content_length == WSGI_LENGTH_UNKNOWN) {
        return len;
    }
    int64_t left = call->content_length - call->sent;
    return (int64_t)len <= left ? len : (size_t)left;
}

static void note_written(wsgi_call_t *call, int64_t took_us, int64_t len)
{
    call->account.write_us += took_us;
    if (call->figures != NULL) {
        wsgi_figures_add_write(call->figures, took_us, len);
    }
}

static int send_bytes(wsgi_call_t *call, const char *data, size_t len, enum wsgi_send_flag flag)
{
    int code = WSGI_OK;
    if (!wsgi_call_lock(call)) {
        return WSGI_E_AGAIN;
    }
    const int64_t begun_us = wsgi_call_clock(call);
    int64_t took_us = 0;
    WSGI_PY_BLOCKING(call->py) {
        code = give_head(call);
        if (code == WSGI_OK) {
            code = call->ex->verbs->send_body(call->ex, data, len, flag);
        }
        took_us = wsgi_call_took(begun_us);
    }
    note_written(call, took_us, code == WSGI_OK ? (int64_t)len : 0);
    call->sent += code == WSGI_OK ? (int64_t)len : 0;
    code = sticky(call, code);
    wsgi_call_unlock(call);
    return code;
}

static void note_produced(wsgi_call_t *call, int64_t len)
{
    call->account.produced += len;
    call->account.writes++;
}

int wsgi_response_send(wsgi_call_t *call, PyObject *chunk, enum wsgi_send_flag flag)
{
    size_t len = (size_t)PyBytes_GET_SIZE(chunk);
    if (call->send_error != 0 || len == 0) {
        return call->send_error;
    }
    note_produced(call, (int64_t)len);
    size_t fitting = fit(call, len);
    return fitting > 0 ? send_bytes(call, PyBytes_AS_STRING(chunk), fitting, flag) : WSGI_OK;
}

/* The length of an answer without a body speaks of another one. */
bool wsgi_response_is_short(const wsgi_call_t *call, size_t more)
{
    bool has_body = !call->is_head_request && call->head.status != 204 && call->head.status != 304;
    return has_body && call->content_length > call->sent + (int64_t)more;
}

int wsgi_response_finish(wsgi_call_t *call)
{
    wsgi_call_wait(call);
    int code = sticky(call, give_head(call));
    wsgi_call_unlock(call);
    return code;
}

static int add_length(wsgi_call_t *call, int64_t length)
{
    WSGI_AUTO_REF PyObject *text = PyUnicode_FromFormat("%lld", (long long)length);
    if (text == NULL || PyList_Append(call->headers, text) != 0) {
        return -1;
    }
    call->content_length = length;
    call->kit->fields[call->head.field_count++] = (wsgi_field_t){
        WSGI_LITERAL("Content-Length"),
        {PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text)},
    };
    return 0;
}

/* Chunks of an iteration. -1 with an exception set; 1 = no more can be sent, stop quietly. */

static int check_chunk(const wsgi_call_t *call, PyObject *chunk)
{
    if (!PyBytes_Check(chunk)) {
        PyErr_Format(PyExc_TypeError,
                     "the application's answer holds %.100s where only bytes may be: encode text, "
                     "for example with .encode('utf-8')",
                     Py_TYPE(chunk)->tp_name);
        return -1;
    }
    return PyBytes_GET_SIZE(chunk) > 0 ? require_head(call) : 0;
}

static int send_chunk(wsgi_call_t *call, PyObject *chunk, enum wsgi_send_flag flag)
{
    if (check_chunk(call, chunk) != 0) {
        return -1;
    }
    int code = wsgi_response_send(call, chunk, flag);
    if (code == WSGI_OK) {
        return 0;
    }
    return PyErr_Occurred() ? -1 : 1;
}

/* The last chunk, after which no code of the application runs: kept for the time when Python has
 * been left. */
static int keep_tail(wsgi_call_t *call, PyObject *chunk)
{
    note_produced(call, PyBytes_GET_SIZE(chunk));
    size_t len = fit(call, (size_t)PyBytes_GET_SIZE(chunk));
    memcpy(call->tail, PyBytes_AS_STRING(chunk), len);
    call->tail_len = len;
    return 0;
}

static int send_last(wsgi_call_t *call, PyObject *chunk)
{
    if (check_chunk(call, chunk) != 0) {
        return -1;
    }
    size_t len = (size_t)PyBytes_GET_SIZE(chunk);
    if (call->send_error != 0 || wsgi_response_is_short(call, len) ||
        wsgi_call_is_observed(call)) { /* who hear of the end when all is sent, and may log */
        return send_chunk(call, chunk, WSGI_SEND_MORE);
    }
    return len <= WSGI_TAIL_BYTES ? keep_tail(call, chunk)
                                  : send_chunk(call, chunk, WSGI_SEND_LAST);
}

static PyObject *item_of(PyObject *sequence, Py_ssize_t index)
{
    return PyList_CheckExact(sequence) ? PyList_GET_ITEM(sequence, index)
                                       : PyTuple_GET_ITEM(sequence, index);
}

/* The size is asked for each time: another thread may change a list while a chunk is sent. */
static int send_sequence(wsgi_call_t *call, PyObject *sequence)
{
    int code = 0;
    for (Py_ssize_t i = 0; code == 0 && i < Py_SIZE(sequence); i++) {
        WSGI_AUTO_REF PyObject *chunk = Py_NewRef(item_of(sequence, i));
        code = i + 1 == Py_SIZE(sequence) ? send_last(call, chunk)
                                          : send_chunk(call, chunk, WSGI_SEND_MORE);
    }
    return code;
}

static int send_iterable(wsgi_call_t *call, PyObject *iterable)
{
    WSGI_AUTO_REF PyObject *iterator = PyObject_GetIter(iterable);
    if (iterator == NULL) {
        return -1;
    }
    int code = 0;
    while (code == 0) {
        WSGI_AUTO_REF PyObject *chunk = PyIter_Next(iterator);
        if (chunk == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        code = send_chunk(call, chunk, WSGI_SEND_MORE);
    }
    return code;
}

/* Files. */

static int send_range(wsgi_call_t *call, const wsgi_file_range_t *range)
{
    int code = WSGI_OK;
    int64_t length = range->length;
    if (call->content_length != WSGI_LENGTH_UNKNOWN && call->content_length < length) {
        length = call->content_length;
    }
    if (length == 0) {
        return 0;
    }
    if (!wsgi_call_lock(call)) {
        return -1;
    }
    note_produced(call, range->length);
    const int64_t begun_us = wsgi_call_clock(call);
    int64_t took_us = 0;
    WSGI_PY_BLOCKING(call->py) {
        code = give_head(call);
        if (code == WSGI_OK) {
            code = call->ex->verbs->send_file(call->ex, range->fd, range->offset, length);
        }
        took_us = wsgi_call_took(begun_us);
    }
    note_written(call, took_us, code == WSGI_OK ? length : 0);
    call->sent += code == WSGI_OK ? length : 0;
    code = sticky(call, code);
    wsgi_call_unlock(call);
    return code == WSGI_OK ? 0 : 1;
}

static int send_wrapper(wsgi_call_t *call, PyObject *wrapper)
{
    wsgi_file_range_t range;
    if (call->sent > 0 || call->is_head_given || !wsgi_file_wrapper_range(call, wrapper, &range)) {
        return send_iterable(call, wrapper);
    }
    if (require_head(call) != 0 ||
        (call->content_length == WSGI_LENGTH_UNKNOWN && add_length(call, range.length) != 0)) {
        return -1;
    }
    return send_range(call, &range);
}

static bool is_plain_sequence(PyObject *result)
{
    return PyList_CheckExact(result) || PyTuple_CheckExact(result);
}

int wsgi_response_iterate(wsgi_call_t *call, PyObject *result)
{
    if (is_plain_sequence(result)) {
        return send_sequence(call, result);
    }
    if (PyObject_TypeCheck(result, call->gateway->file_wrapper_type)) {
        return send_wrapper(call, result);
    }
    return send_iterable(call, result);
}

void wsgi_response_close(wsgi_call_t *call, PyObject *result)
{
    if (is_plain_sequence(result)) {
        return;
    }
    WSGI_AUTO_REF PyObject *close = wsgi_py_optional_attr(result, call->gateway->name_close);
    WSGI_AUTO_REF PyObject *done = close != NULL ? PyObject_CallNoArgs(close) : NULL;
    if (PyErr_Occurred()) {
        wsgi_call_log_exception(call);
    }
}
