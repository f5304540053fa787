/* gateway/environ.c — the environ of a request: a copy of a template in which every usual key
 * stands already, so that most of the work is to replace values. Keys are interned once, values
 * that have not changed since the thread's last request are used again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include "mod_wsgi.h"

#include <string.h>

#define MEMO_MAX_BYTES 128u /* no longer value is kept */

/* Hosts send nearly always what stands before the request's own fields, except these. What is in
 * the template but not in a request costs a deletion, what is the other way round an insertion. */
static bool is_usual(unsigned number)
{
    switch (number) {
    case WSGI_META_REMOTE_USER:
    case WSGI_META_AUTH_TYPE:
    case WSGI_META_CONTENT_TYPE:
    case WSGI_META_CONTENT_LENGTH:
    case WSGI_META_REDIRECT_URL:
    case WSGI_META_REDIRECT_QUERY_STRING:
    case WSGI_META_REDIRECT_STATUS:
    case WSGI_META_REDIRECT_REMOTE_USER:
    case WSGI_META_UNIQUE_ID:
        return false;
    default:
        return number > WSGI_META_NONE && number <= WSGI_META_HTTP_ACCEPT;
    }
}

/* Told by the host itself, from no field or variable of a request. */
static bool is_ours(unsigned number)
{
    return number >= WSGI_META_MOD_WSGI_SCRIPT_NAME && number <= WSGI_META_MOD_WSGI_CONNECTION_ID;
}

/* The template. */

static PyObject *version_tuple(int major, int minor, int micro)
{
    return Py_BuildValue("(iii)", major, minor, micro);
}

static PyObject *constant_value(const wsgi_gateway_t *gateway, enum wsgi_typed_key key)
{
    const wsgi_runtime_settings_t *settings = wsgi_runtime_settings();
    int server = settings->server_version;
    switch (key) {
    case WSGI_KEY_WSGI_VERSION:
        return Py_BuildValue("(ii)", 1, 0);
    case WSGI_KEY_INPUT_TERMINATED:
        return PyBool_FromLong(true);
    case WSGI_KEY_FILE_WRAPPER:
        return Py_NewRef((PyObject *)gateway->file_wrapper_type);
    case WSGI_KEY_MULTITHREAD:
        return PyBool_FromLong(settings->is_multithread);
    case WSGI_KEY_MULTIPROCESS:
        return PyBool_FromLong(settings->is_multiprocess);
    case WSGI_KEY_RUN_ONCE:
        return PyBool_FromLong(false);
    case WSGI_KEY_APACHE_VERSION:
        return version_tuple(server / 10000, server / 100 % 100, server % 100);
    case WSGI_KEY_MOD_WSGI_VERSION:
        return version_tuple(MOD_WSGI_MAJORVERSION_NUMBER, MOD_WSGI_MINORVERSION_NUMBER,
                             MOD_WSGI_MICROVERSION_NUMBER);
    default:
        return Py_NewRef(Py_None); /* set anew for each request */
    }
}

static int add_typed(wsgi_gateway_t *gateway, enum wsgi_typed_key key, const char *text)
{
    PyObject *name = PyUnicode_InternFromString(text);
    gateway->typed_keys[key] = name;
    WSGI_AUTO_REF PyObject *value = name != NULL ? constant_value(gateway, key) : NULL;
    if (value == NULL || PyDict_SetItem(gateway->template_environ, name, value) != 0) {
        return -1;
    }
    return PyDict_SetItem(gateway->our_keys, name, Py_None);
}

static int add_meta(wsgi_gateway_t *gateway, unsigned number)
{
    PyObject *name = PyUnicode_InternFromString(wsgi_meta_name(number).data);
    gateway->meta_keys[number] = name;
    if (name == NULL || (is_ours(number) && PyDict_SetItem(gateway->our_keys, name, Py_None) != 0)) {
        return -1;
    }
    return is_usual(number) ? PyDict_SetItem(gateway->template_environ, name, Py_None) : 0;
}

int wsgi_environ_prepare(wsgi_gateway_t *gateway)
{
    static const char *const texts[] = {
#define KEY(name, text) [WSGI_KEY_##name] = text,
        WSGI_TYPED_KEYS(KEY, KEY)
#undef KEY
    };
    gateway->template_environ = PyDict_New();
    gateway->our_keys = PyDict_New();
    int code = gateway->template_environ != NULL && gateway->our_keys != NULL ? 0 : -1;
    for (unsigned key = 0; key < WSGI_KEY_COUNT && code == 0; key++) {
        code = add_typed(gateway, key, texts[key]);
    }
    for (unsigned number = 1; number < WSGI_META_COUNT && code == 0; number++) {
        code = add_meta(gateway, number);
    }
    return code;
}

/* Values. */

static bool is_same(PyObject *memo, wsgi_bytes_t bytes)
{
    return memo != NULL && (size_t)PyUnicode_GET_LENGTH(memo) == bytes.len &&
           memcmp(PyUnicode_DATA(memo), bytes.data, bytes.len) == 0;
}

/* Only ASCII is kept: there, characters are bytes and all decodings agree. */
static PyObject *remember(PyObject **memo, PyObject *text)
{
    if (text != NULL && PyUnicode_IS_ASCII(text) && PyUnicode_GET_LENGTH(text) <= MEMO_MAX_BYTES) {
        Py_XSETREF(*memo, Py_NewRef(text));
    }
    return text;
}

static PyObject *memo_text(PyObject **memo, wsgi_bytes_t bytes)
{
    return is_same(*memo, bytes) ? Py_NewRef(*memo)
                                 : remember(memo, wsgi_py_text(bytes.data, bytes.len));
}

/* Names of files: as os.fsdecode() would have them, latin-1 where that fails. */
static PyObject *path_text(PyObject **memo, wsgi_bytes_t bytes)
{
    if (is_same(*memo, bytes)) {
        return Py_NewRef(*memo);
    }
    PyObject *text = PyUnicode_DecodeFSDefaultAndSize(bytes.data, (Py_ssize_t)bytes.len);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        text = wsgi_py_text(bytes.data, bytes.len);
    }
    return remember(memo, text);
}

static PyObject *meta_value(wsgi_kit_t *kit, unsigned number, wsgi_bytes_t value)
{
    if (value.data == NULL) {
        return Py_NewRef(Py_None);
    }
    if (number == WSGI_META_DOCUMENT_ROOT || number == WSGI_META_SCRIPT_FILENAME) {
        return path_text(&kit->meta_memo[number], value);
    }
    return number < WSGI_MEMO_COUNT ? memo_text(&kit->meta_memo[number], value)
                                    : wsgi_py_text(value.data, value.len);
}

/* Consumes value, which may be NULL with an exception set. */
static int put(PyObject *environ, PyObject *key, PyObject *value)
{
    int code = value != NULL ? PyDict_SetItem(environ, key, value) : -1;
    Py_XDECREF(value);
    return code;
}

/* Which usual keys this request has. */
typedef uint64_t meta_set_t;
_Static_assert(WSGI_META_HTTP_ACCEPT < 64, "usual keys have a bit each");

static void note_method(wsgi_call_t *call, unsigned number, wsgi_bytes_t value)
{
    if (number == WSGI_META_REQUEST_METHOD) {
        call->is_head_request = value.len == 4 && memcmp(value.data, "HEAD", 4) == 0;
    }
}

static int put_meta(wsgi_call_t *call, PyObject *environ, unsigned number, wsgi_bytes_t value)
{
    note_method(call, number, value);
    return put(environ, call->gateway->meta_keys[number], meta_value(call->kit, number, value));
}

/* A variable without a number, such as one of SetEnv. It must not pass for one of ours. */
static int put_named(wsgi_call_t *call, PyObject *environ, const wsgi_var_t *var)
{
    WSGI_AUTO_REF PyObject *key = wsgi_py_text(var->name.data, var->name.len);
    int is_forged = key != NULL ? PyDict_Contains(call->gateway->our_keys, key) : -1;
    if (is_forged != 0) {
        return is_forged < 0 ? -1 : 0;
    }
    return put(environ, key, meta_value(call->kit, WSGI_META_COUNT, var->value));
}

static unsigned number_of(const wsgi_var_t *var)
{
    if (var->number == WSGI_META_NONE) {
        return wsgi_meta_find(var->name.data, var->name.len);
    }
    return var->number < WSGI_META_COUNT ? var->number : WSGI_META_NONE;
}

static int put_vars(wsgi_call_t *call, PyObject *environ, meta_set_t *seen)
{
    const wsgi_request_t *request = &call->ex->request;
    for (size_t i = 0; i < request->var_count; i++) {
        const wsgi_var_t *var = &request->vars[i];
        unsigned number = number_of(var);
        if (number < 64) {
            *seen |= UINT64_C(1) << number;
        }
        int code = number != WSGI_META_NONE ? put_meta(call, environ, number, var->value)
                                            : put_named(call, environ, var);
        if (code != 0) {
            return -1;
        }
    }
    return 0;
}

static int drop_unseen(const wsgi_gateway_t *gateway, PyObject *environ, meta_set_t seen)
{
    for (unsigned number = 1; number <= WSGI_META_HTTP_ACCEPT; number++) {
        bool is_missing = is_usual(number) && (seen >> number & 1) == 0;
        if (is_missing && PyDict_DelItem(environ, gateway->meta_keys[number]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Typed keys. */

static int put_typed(wsgi_call_t *call, PyObject *environ, enum wsgi_typed_key key, PyObject *value)
{
    return put(environ, call->gateway->typed_keys[key], value);
}

static int put_text(wsgi_call_t *call, PyObject *environ, enum wsgi_typed_key key,
                    wsgi_bytes_t bytes)
{
    return put_typed(call, environ, key, memo_text(&call->kit->typed_memo[key], bytes));
}

PyObject *wsgi_environ_callable(wsgi_call_t *call)
{
    return memo_text(&call->kit->typed_memo[WSGI_KEY_CALLABLE_OBJECT], call->ex->request.callable);
}

static int put_time(wsgi_call_t *call, PyObject *environ, enum wsgi_typed_key key, int64_t time_us)
{
    return put_typed(call, environ, key, PyFloat_FromDouble((double)time_us / 1e6));
}

static int put_objects(wsgi_call_t *call, PyObject *environ)
{
    const wsgi_kit_t *kit = call->kit;
    bool is_https = (call->ex->request.flags & WSGI_REQUEST_HTTPS) != 0;
    PyObject *scheme_b = call->gateway->schemes[is_https];
    return put_typed(call, environ, WSGI_KEY_URL_SCHEME, Py_NewRef(scheme_b)) ||
           put_typed(call, environ, WSGI_KEY_INPUT, Py_NewRef((PyObject *)kit->input)) ||
           put_typed(call, environ, WSGI_KEY_ERRORS, Py_NewRef(kit->errors)) ||
           put_typed(call, environ, WSGI_KEY_THREAD_ID, Py_NewRef(kit->thread_id));
}

static int put_routing(wsgi_call_t *call, PyObject *environ)
{
    const wsgi_request_t *request = &call->ex->request;
    bool is_handler = (request->flags & WSGI_REQUEST_HANDLER_SCRIPT) != 0;
    wsgi_bytes_t handler_script = is_handler ? request->script : WSGI_LITERAL("");
    PyObject **memo = &call->kit->typed_memo[WSGI_KEY_HANDLER_SCRIPT];
    return put_text(call, environ, WSGI_KEY_PROCESS_GROUP, request->process_group) ||
           put_text(call, environ, WSGI_KEY_APPLICATION_GROUP, request->application_group) ||
           put_text(call, environ, WSGI_KEY_CALLABLE_OBJECT, request->callable) ||
           put_text(call, environ, WSGI_KEY_REQUEST_HANDLER, request->handler) ||
           put_typed(call, environ, WSGI_KEY_HANDLER_SCRIPT, path_text(memo, handler_script));
}

static int put_times(wsgi_call_t *call, PyObject *environ)
{
    const wsgi_request_t *request = &call->ex->request;
    return put_time(call, environ, WSGI_KEY_REQUEST_START, request->request_start_us) ||
           put_time(call, environ, WSGI_KEY_QUEUE_START, request->queue_start_us) ||
           put_time(call, environ, WSGI_KEY_DAEMON_START, call->daemon_start_us) ||
           put_time(call, environ, WSGI_KEY_APPLICATION_START, wsgi_wall_us());
}

PyObject *wsgi_environ_new(wsgi_call_t *call)
{
    meta_set_t seen = 0;
    WSGI_AUTO_REF PyObject *environ = PyDict_Copy(call->gateway->template_environ);
    if (environ == NULL || put_vars(call, environ, &seen) != 0 ||
        drop_unseen(call->gateway, environ, seen) != 0 || put_objects(call, environ) != 0 ||
        put_routing(call, environ) != 0 || put_times(call, environ) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&environ);
}
