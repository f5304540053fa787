/* python/pylog.c — what Python code has to say to the log: exceptions, and where a thread's lines
 * go.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wsgi_pylog_line(int level, const char *file, int number, const char *text)
{
    const wsgi_thread_t *thread = wsgi_thread_self();
    if (thread != NULL && thread->log != NULL) {
        thread->log->write(thread->log->baton, level, file, number, text);
    }
    else if (wsgi_log_is_enabled(level)) {
        wsgi_log_at(level, file != NULL ? file : __FILE__, file != NULL ? number : __LINE__, "%s",
                    text);
    }
}

bool wsgi_pylog_is_enabled(int level)
{
    const wsgi_thread_t *thread = wsgi_thread_self();
    return thread != NULL && thread->log != NULL ? level <= thread->log->max_level
                                                 : wsgi_log_is_enabled(level);
}

static void write_lines(int level, const char *file, int number, char *text)
{
    for (char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        bool is_last = line[len] == '\0';
        line[len] = '\0';
        wsgi_pylog_line(level, file, number, line);
        line += len + !is_last;
    }
}

void wsgi_pylog_text_from(wsgi_py_t *py, int level, const char *file, int number, const char *text)
{
    WSGI_PY_BLOCKING(py) {
        char *copy = strdup(text);
        if (copy != NULL) {
            write_lines(level, file, number, copy);
        }
        free(copy);
    }
}

void wsgi_pylog_text(wsgi_py_t *py, int level, const char *text)
{
    wsgi_pylog_text_from(py, level, NULL, 0, text);
}

static void write_partials(wsgi_thread_t *thread)
{
    for (int i = 0; i < WSGI_STREAM_COUNT; i++) {
        wsgi_buffer_t *partial = &thread->partials[i];
        if (partial->len > 0 && wsgi_buffer_append(partial, "", 1) == WSGI_OK) {
            wsgi_pylog_line(WSGI_LOG_ERR, NULL, 0, partial->data);
        }
        wsgi_buffer_clear(partial, 1024);
    }
}

static bool has_partials(const wsgi_thread_t *thread)
{
    return thread->partials[WSGI_STREAM_STDOUT].len + thread->partials[WSGI_STREAM_STDERR].len > 0;
}

const wsgi_log_target_t *wsgi_pylog_redirect(wsgi_py_t *py, const wsgi_log_target_t *target)
{
    wsgi_thread_t *thread = wsgi_thread_self();
    if (thread == NULL) {
        return NULL;
    }
    if (has_partials(thread)) {
        WSGI_PY_BLOCKING(py) {
            write_partials(thread);
        }
    }
    const wsgi_log_target_t *before = thread->log;
    thread->log = target;
    return before;
}

void wsgi_pylog_caller(wsgi_py_t *py, const char *head)
{
    if (!wsgi_log_is_enabled(WSGI_LOG_INFO)) {
        return;
    }
    WSGI_AUTO_REF PyObject *traceback = PyImport_ImportModule("traceback");
    WSGI_AUTO_REF PyObject *stack =
        traceback != NULL ? PyObject_CallMethod(traceback, "format_stack", NULL) : NULL;
    WSGI_AUTO_REF PyObject *empty = PyUnicode_FromString("");
    WSGI_AUTO_REF PyObject *text =
        stack != NULL && empty != NULL ? PyUnicode_Join(empty, stack) : NULL;
    const char *lines = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    wsgi_pylog_text(py, WSGI_LOG_INFO, head);
    wsgi_pylog_text(py, WSGI_LOG_INFO, lines != NULL ? lines : "(unknown)");
    PyErr_Clear();
}

/* Exceptions. */

static PyObject *join(PyObject *lines)
{
    WSGI_AUTO_REF PyObject *empty = PyUnicode_FromString("");
    return empty != NULL ? PyUnicode_Join(empty, lines) : NULL;
}

/* As bytes, so that lone surrogates (file names) do no harm. */
static PyObject *to_bytes(PyObject *text)
{
    return PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
}

static PyObject *format_with(const char *function, PyObject *exception)
{
    WSGI_AUTO_REF PyObject *traceback = PyImport_ImportModule("traceback");
    WSGI_AUTO_REF PyObject *lines =
        traceback != NULL ? PyObject_CallMethod(traceback, function, "O", exception) : NULL;
    WSGI_AUTO_REF PyObject *text = lines != NULL ? join(lines) : NULL;
    return text != NULL ? to_bytes(text) : NULL;
}

/* Where even the traceback module fails, the exception's type must do. */
static PyObject *format_exception(const char *function, PyObject *exception)
{
    PyObject *bytes = format_with(function, exception);
    if (bytes == NULL) {
        PyErr_Clear();
        bytes = PyBytes_FromString(Py_TYPE(exception)->tp_name);
    }
    return bytes;
}

PyObject *wsgi_pylog_format(PyObject *exception)
{
    return format_exception("format_exception", exception);
}

static void log_header(wsgi_py_t *py, const char *format, const char *script)
{
    char *header;
    if (asprintf(&header, format, script) >= 0) {
        wsgi_pylog_text(py, WSGI_LOG_ERR, header);
        free(header);
    }
}

void wsgi_pylog_exception(wsgi_py_t *py, const char *script)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    if (exception == NULL) {
        return;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)) {
        log_header(py,
                   WSGI_ID(0175) "SystemExit raised by script '%s' was ignored; the process "
                                 "goes on: let the application return or raise another exception",
                   script);
        return;
    }
    log_header(py, WSGI_ID(0174) "exception raised by script '%s':", script);
    WSGI_AUTO_REF PyObject *text = wsgi_pylog_format(exception);
    if (text != NULL) {
        wsgi_pylog_text(py, WSGI_LOG_ERR, PyBytes_AS_STRING(text));
    }
    PyErr_Clear();
    wsgi_refusal_explain(py, exception);
}

int wsgi_pylog_to_result(wsgi_result_t *result, const char *prefix)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    WSGI_AUTO_REF PyObject *text =
        exception != NULL ? format_exception("format_exception_only", exception) : NULL;
    const char *reason = text != NULL ? PyBytes_AS_STRING(text) : "no reason given";
    PyErr_Clear();
    return wsgi_fail(result, WSGI_E_IO, "%s%.*s", prefix, (int)strcspn(reason, "\n"), reason);
}
