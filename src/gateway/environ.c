/* gateway/environ.c — the environ of a request. Most of its values are those of the request that
 * the same thread served before, so each thread keeps a dict of them, brings that up to date, and
 * copies it: a tenth of the cost of building one. Keys are interned once per interpreter.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include "mod_wsgi.h"

#include <string.h>

#define MEMO_MAX_BYTES 256u /* no longer value is kept */

/* Told by the host itself, from no field or variable of a request. */
static bool is_ours(unsigned number)
{
    return (number >= WSGI_META_MOD_WSGI_SCRIPT_NAME &&
            number <= WSGI_META_MOD_WSGI_CONNECTION_ID) ||
           number == WSGI_META_MOD_WSGI_MOUNT_POINT;
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
        return PyBool_FromLong(settings->is_run_once);
    case WSGI_KEY_APACHE_VERSION:
        return version_tuple(server / 10000, server / 100 % 100, server % 100);
    case WSGI_KEY_MOD_WSGI_VERSION:
        return version_tuple(MOD_WSGI_MAJORVERSION_NUMBER, MOD_WSGI_MINORVERSION_NUMBER,
                             MOD_WSGI_MICROVERSION_NUMBER);
    case WSGI_KEY_QUEUE_START:
    case WSGI_KEY_DAEMON_START:
        return PyFloat_FromDouble(0.0);
    default:
        return Py_NewRef(Py_None); /* set anew for each request */
    }
}

static int add_typed(wsgi_gateway_t *gateway, enum wsgi_typed_key key, const char *text)
{
    PyObject *name = PyUnicode_InternFromString(text);
    gateway->typed_keys[key] = name;
    WSGI_AUTO_REF PyObject *value = name != NULL ? constant_value(gateway, key) : NULL;
    if (value == NULL || PyDict_SetItem(gateway->environ, name, value) != 0) {
        return -1;
    }
    return PyDict_SetItem(gateway->our_keys, name, Py_None);
}

static int add_meta(wsgi_gateway_t *gateway, unsigned number)
{
    PyObject *name = PyUnicode_InternFromString(wsgi_meta_name(number).data);
    gateway->meta_keys[number] = name;
    if (name == NULL) {
        return -1;
    }
    return is_ours(number) ? PyDict_SetItem(gateway->our_keys, name, Py_None) : 0;
}

int wsgi_environ_prepare(wsgi_gateway_t *gateway)
{
    static const char *const texts[] = {
#define KEY(name, text) [WSGI_KEY_##name] = text,
        WSGI_TYPED_KEYS(KEY, KEY)
#undef KEY
    };
    gateway->environ = PyDict_New();
    gateway->our_keys = PyDict_New();
    int code = gateway->environ != NULL && gateway->our_keys != NULL
                   ? PyDict_SetItem(gateway->our_keys, gateway->name_request_rec, Py_None)
                   : -1;
    for (unsigned key = 0; key < WSGI_KEY_COUNT && code == 0; key++) {
        code = add_typed(gateway, key, texts[key]);
    }
    for (unsigned number = 1; number < WSGI_META_COUNT && code == 0; number++) {
        code = add_meta(gateway, number);
    }
    return code;
}

/* The template of a thread. */

PyObject *wsgi_environ_template(wsgi_call_t *call)
{
    PyObject *key_b = call->gateway->typed_keys[WSGI_KEY_THREAD_ID];
    WSGI_AUTO_REF PyObject *dict = PyDict_Copy(call->gateway->environ);
    WSGI_AUTO_REF PyObject *number = PyLong_FromUnsignedLong(wsgi_py_thread_number(call->py));
    if (dict == NULL || number == NULL || PyDict_SetItem(dict, key_b, number) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&dict);
}

/* For each value of each request: always in line. */
static inline __attribute__((always_inline)) bool is_same(PyObject *memo_b, wsgi_bytes_t bytes)
{
    return memo_b != NULL && bytes.data != NULL &&
           (size_t)PyUnicode_GET_LENGTH(memo_b) == bytes.len &&
           wsgi_bytes_are_same(PyUnicode_DATA(memo_b), bytes.data, bytes.len);
}

/* Short ASCII only: there, characters are bytes, and all decodings agree. */
static bool is_plain(wsgi_bytes_t bytes)
{
    if (bytes.data == NULL || bytes.len > MEMO_MAX_BYTES) {
        return false;
    }
    unsigned char bits = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits |= (unsigned char)bytes.data[i];
    }
    return bits < 0x80;
}

/* Secrets are not kept longer than their request. */
static bool is_memorable(unsigned number, wsgi_bytes_t value)
{
    return number != WSGI_META_HTTP_AUTHORIZATION && number != WSGI_META_HTTP_COOKIE &&
           is_plain(value);
}

/* The memo is borrowed from the template, which holds the value until it is replaced there. */
static int replace(PyObject *dict, PyObject *key, PyObject **memo_b, wsgi_bytes_t bytes)
{
    WSGI_AUTO_REF PyObject *text = wsgi_py_text(bytes.data, bytes.len);
    if (text == NULL || PyDict_SetItem(dict, key, text) != 0) {
        return -1;
    }
    *memo_b = text;
    return 0;
}

/* Values. */

/* Names of files: as os.fsdecode() would have them, latin-1 where that fails. */
static PyObject *path_text(wsgi_bytes_t bytes)
{
    PyObject *text = PyUnicode_DecodeFSDefaultAndSize(bytes.data, (Py_ssize_t)bytes.len);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        text = wsgi_py_text(bytes.data, bytes.len);
    }
    return text;
}

static PyObject *meta_value(unsigned number, wsgi_bytes_t value)
{
    if (value.data == NULL) {
        return Py_NewRef(Py_None);
    }
    return number == WSGI_META_DOCUMENT_ROOT || number == WSGI_META_SCRIPT_FILENAME
               ? path_text(value)
               : wsgi_py_text(value.data, value.len);
}

/* Consumes value, which may be NULL with an exception set. */
static int put(PyObject *dict, PyObject *key, PyObject *value)
{
    int code = value != NULL ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);
    return code;
}

/* Meta-variables. */

static bool contains(const wsgi_numbers_t *set, unsigned number)
{
    return (set->words[number / 64] >> number % 64 & 1) != 0;
}

static void include(wsgi_numbers_t *set, unsigned number)
{
    set->words[number / 64] |= UINT64_C(1) << number % 64;
}

static void exclude(wsgi_numbers_t *set, unsigned number)
{
    set->words[number / 64] &= ~(UINT64_C(1) << number % 64);
}

static unsigned number_of(const wsgi_var_t *var)
{
    return var->number < WSGI_META_COUNT ? var->number : WSGI_META_NONE;
}

static void note_method(wsgi_call_t *call, wsgi_bytes_t value)
{
    call->is_head_request = value.len == 4 && memcmp(value.data, "HEAD", 4) == 0;
}

/* Makes the template right for one variable; 1 = its value is not one to be kept. */
static int settle(wsgi_call_t *call, unsigned number, wsgi_bytes_t value)
{
    wsgi_kit_t *kit = call->kit;
    if (is_same(kit->meta_memo_b[number], value)) {
        return 0;
    }
    if (!is_memorable(number, value)) {
        return 1;
    }
    if (replace(kit->environ, call->gateway->meta_keys[number], &kit->meta_memo_b[number], value) !=
        0) {
        return -1;
    }
    include(&kit->kept, number);
    return 0;
}

/* Of several variables with one name, the last counts. */
static int settle_var(wsgi_call_t *call, const wsgi_var_t *var, wsgi_numbers_t *settled)
{
    unsigned number = number_of(var);
    if (number == WSGI_META_REQUEST_METHOD) {
        note_method(call, var->value);
    }
    int code = number != WSGI_META_NONE ? settle(call, number, var->value) : 1;
    if (code == 0) {
        include(settled, number);
    }
    else {
        exclude(settled, number);
    }
    return code;
}

/* *first becomes the index of the first variable that the template does not have. */
static int settle_all(wsgi_call_t *call, wsgi_numbers_t *settled, size_t *first)
{
    const wsgi_request_t *request = &call->ex->request;
    *first = request->var_count;
    for (size_t i = 0; i < request->var_count; i++) {
        int code = settle_var(call, &request->vars[i], settled);
        if (code < 0) {
            return -1;
        }
        *first = code != 0 && i < *first ? i : *first;
    }
    return 0;
}

/* What the template has of the request before, and this one lacks. */
static int drop(wsgi_call_t *call, unsigned number)
{
    wsgi_kit_t *kit = call->kit;
    if (PyDict_DelItem(kit->environ, call->gateway->meta_keys[number]) != 0) {
        return -1;
    }
    kit->meta_memo_b[number] = NULL;
    exclude(&kit->kept, number);
    return 0;
}

static int drop_stale(wsgi_call_t *call, const wsgi_numbers_t *settled)
{
    for (unsigned word = 0; word < WSGI_NUMBER_WORDS; word++) {
        uint64_t stale = call->kit->kept.words[word] & ~settled->words[word];
        for (; stale != 0; stale &= stale - 1) {
            if (drop(call, word * 64 + (unsigned)__builtin_ctzll(stale)) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* 1 = it would pass for one of ours, -1 = an exception. No field of a request can: ours do not begin
 * as theirs do. */
static int is_forged(const wsgi_gateway_t *gateway, PyObject *key, wsgi_bytes_t name)
{
    const wsgi_bytes_t prefix = WSGI_LITERAL("HTTP_");
    return name.len > prefix.len && memcmp(name.data, prefix.data, prefix.len) == 0
               ? 0
               : PyDict_Contains(gateway->our_keys, key);
}

static int put_new_name(const wsgi_gateway_t *gateway, PyObject *dict, const wsgi_var_t *var,
                        PyObject **kept)
{
    WSGI_AUTO_REF PyObject *key = wsgi_py_text(var->name.data, var->name.len);
    int code = key != NULL ? is_forged(gateway, key, var->name) : -1;
    if (code != 0) {
        return code < 0 ? -1 : 0;
    }
    if (kept != NULL && is_plain(var->name)) {
        Py_XSETREF(*kept, Py_NewRef(key));
    }
    return put(dict, key, meta_value(WSGI_META_NONE, var->value));
}

/* A variable without a number, such as one of SetEnv. It must not pass for one of ours. */
static int put_named(wsgi_call_t *call, PyObject *dict, const wsgi_var_t *var)
{
    uint64_t hash = wsgi_name_hash(var->name.data, var->name.len);
    PyObject **kept = &call->kit->keys[hash % WSGI_KEPT_KEYS];
    return is_same(*kept, var->name) ? put(dict, *kept, meta_value(WSGI_META_NONE, var->value))
                                     : put_new_name(call->gateway, dict, var, kept);
}

static int put_numbered(const wsgi_gateway_t *gateway, PyObject *dict, const wsgi_var_t *var,
                        unsigned number)
{
    return put(dict, gateway->meta_keys[number], meta_value(number, var->value));
}

static int put_var(wsgi_call_t *call, PyObject *dict, const wsgi_var_t *var, unsigned number)
{
    return number != WSGI_META_NONE ? put_numbered(call->gateway, dict, var, number)
                                    : put_named(call, dict, var);
}

static int put_unsettled(wsgi_call_t *call, PyObject *dict, const wsgi_numbers_t *settled,
                         size_t first)
{
    const wsgi_request_t *request = &call->ex->request;
    for (size_t i = first; i < request->var_count; i++) {
        unsigned number = number_of(&request->vars[i]);
        if (!contains(settled, number) && put_var(call, dict, &request->vars[i], number) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Typed keys. */

static int settle_typed(wsgi_call_t *call, enum wsgi_typed_key key, wsgi_bytes_t bytes)
{
    PyObject **memo_b = &call->kit->typed_memo_b[key];
    return is_same(*memo_b, bytes)
               ? 0
               : replace(call->kit->environ, call->gateway->typed_keys[key], memo_b, bytes);
}

PyObject *wsgi_environ_callable_b(wsgi_call_t *call)
{
    return settle_typed(call, WSGI_KEY_CALLABLE_OBJECT, call->ex->request.callable) == 0
               ? call->kit->typed_memo_b[WSGI_KEY_CALLABLE_OBJECT]
               : NULL;
}

static int settle_routing(wsgi_call_t *call)
{
    const wsgi_request_t *request = &call->ex->request;
    bool is_https = (request->flags & WSGI_REQUEST_HTTPS) != 0;
    bool is_handler = (request->flags & WSGI_REQUEST_HANDLER_SCRIPT) != 0;
    wsgi_bytes_t scheme = is_https ? WSGI_LITERAL("https") : WSGI_LITERAL("http");
    wsgi_bytes_t handler_script = is_handler ? request->script : WSGI_LITERAL("");
    return settle_typed(call, WSGI_KEY_URL_SCHEME, scheme) ||
           settle_typed(call, WSGI_KEY_PROCESS_GROUP, request->process_group) ||
           settle_typed(call, WSGI_KEY_APPLICATION_GROUP, request->application_group) ||
           settle_typed(call, WSGI_KEY_REQUEST_HANDLER, request->handler) ||
           settle_typed(call, WSGI_KEY_HANDLER_SCRIPT, handler_script);
}

static int put_typed(wsgi_call_t *call, PyObject *dict, enum wsgi_typed_key key, PyObject *value)
{
    return put(dict, call->gateway->typed_keys[key], value);
}

static int put_time(wsgi_call_t *call, PyObject *dict, enum wsgi_typed_key key, int64_t time_us)
{
    return put_typed(call, dict, key, PyFloat_FromDouble((double)time_us / 1e6));
}

static int put_times(wsgi_call_t *call, PyObject *dict)
{
    const wsgi_request_t *request = &call->ex->request;
    call->application_start_us = wsgi_wall_us();
    return put_time(call, dict, WSGI_KEY_REQUEST_START, request->request_start_us) ||
           put_time(call, dict, WSGI_KEY_APPLICATION_START, call->application_start_us);
}

/* The template says 0.0 for both. */
static int put_daemon_times(wsgi_call_t *call, PyObject *dict)
{
    const wsgi_request_t *request = &call->ex->request;
    if (request->process_group.len == 0) {
        return 0;
    }
    return put_time(call, dict, WSGI_KEY_QUEUE_START, request->queue_start_us) ||
           put_time(call, dict, WSGI_KEY_DAEMON_START, call->daemon_start_us);
}

static int put_native(wsgi_call_t *call, PyObject *dict)
{
    const wsgi_exchange_t *ex = call->ex;
    if ((ex->request.flags & WSGI_REQUEST_PASS_NATIVE) == 0 || ex->native == NULL) {
        return 0;
    }
    return put(dict, call->gateway->name_request_rec, PyCapsule_New(ex->native, NULL, NULL));
}

PyObject *wsgi_environ_meta(wsgi_call_t *call, unsigned number)
{
    const wsgi_request_t *request = &call->ex->request;
    for (size_t i = request->var_count; i > 0; i--) {
        const wsgi_var_t *var = &request->vars[i - 1];
        if (number_of(var) == number) {
            return meta_value(number, var->value);
        }
    }
    return NULL;
}

PyObject *wsgi_environ_resource(wsgi_call_t *call)
{
    PyObject *resource = wsgi_environ_meta(call, WSGI_META_SCRIPT_FILENAME);
    return resource != NULL || PyErr_Occurred() ? resource : wsgi_py_text("", 0);
}

/* For who keeps no kit. */
static int put_plainly(const wsgi_gateway_t *gateway, PyObject *dict, const wsgi_var_t *var)
{
    unsigned number = number_of(var);
    return number != WSGI_META_NONE ? put_numbered(gateway, dict, var, number)
                                    : put_new_name(gateway, dict, var, NULL);
}

PyObject *wsgi_environ_from_vars(const wsgi_gateway_t *gateway, const wsgi_var_t *vars,
                                 size_t count)
{
    WSGI_AUTO_REF PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < count; i++) {
        if (put_plainly(gateway, dict, &vars[i]) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&dict);
}

PyObject *wsgi_environ_new(wsgi_call_t *call)
{
    wsgi_numbers_t settled = {0};
    size_t first;
    if (settle_all(call, &settled, &first) != 0 || drop_stale(call, &settled) != 0 ||
        settle_routing(call) != 0) {
        return NULL;
    }
    WSGI_AUTO_REF PyObject *dict = PyDict_Copy(call->kit->environ);
    if (dict == NULL || put_unsettled(call, dict, &settled, first) != 0 ||
        put_times(call, dict) != 0 || put_daemon_times(call, dict) != 0 ||
        put_native(call, dict) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&dict);
}
