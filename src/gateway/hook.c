/* gateway/hook.c — functions of hook scripts: access, authentication, authorisation, dispatch. No
 * request of WSGI's: an environ without a body, and an answer that httpd asked for. Whatever goes
 * wrong is logged here, and is no answer: the caller refuses.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include "wsgi_hook.h"

#include <stdlib.h>
#include <string.h>

/* One hook in progress; lives on the stack of wsgi_hook_run(). */
typedef struct hook_run {
    wsgi_hook_t *hook;
    wsgi_py_t *py;
    const wsgi_gateway_t *gateway;
    wsgi_log_target_t log;
    pthread_mutex_t log_lock; /* guards the host's log(): it takes one line at a time */
    pthread_t thread;         /* that serves the request: no other may use it */
    PyObject *environ, *errors_sink, *tls;
} hook_run_t;

/* Log lines. */

/* Detached; from any thread of the script. */
static void write_log(void *baton, int level, const char *file, int number, const char *text)
{
    hook_run_t *run = baton;
    const char *script = run->hook->script.data;
    char *line;
    if (wsgi_runtime_is_forked() || pthread_mutex_trylock(&run->log_lock) != 0) {
        if (wsgi_log_is_enabled(level)) {
            wsgi_log_at(level, file != NULL ? file : __FILE__, file != NULL ? number : __LINE__,
                        "[%s] %s", script, text);
        }
        return;
    }
    if (asprintf(&line, "[%s] %s", script, text) >= 0) {
        run->hook->verbs->log(run->hook, level, file, number, line);
        free(line);
    }
    pthread_mutex_unlock(&run->log_lock);
}

static void log_error(const hook_run_t *run, const char *format, ...) WSGI_PRINTF(2, 3);

static void log_error(const hook_run_t *run, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len >= 0) {
        wsgi_pylog_text(run->py, WSGI_LOG_ERR, text);
        free(text);
    }
}

/* The exception in flight. A process that the script forked ends with it. */
static void log_exception(const hook_run_t *run)
{
    if (wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(run->py, run->hook->script.data);
    }
    wsgi_pylog_exception(run->py, run->hook->script.data);
}

/* What mod_ssl knows. */

static PyObject *bytes_of(PyObject *text)
{
    return PyBytes_Check(text) ? Py_NewRef(text) : PyUnicode_AsLatin1String(text);
}

/* The run that self, a capsule, stands for, while it lasts and in its own thread. */
static hook_run_t *run_of(PyObject *self)
{
    hook_run_t *run = PyCapsule_GetContext(self);
    if (run != NULL && pthread_equal(run->thread, pthread_self()) && !wsgi_runtime_is_forked()) {
        return run;
    }
    PyErr_SetString(PyExc_RuntimeError, "mod_ssl was asked after the call of the function that got "
                                        "the environ, or by another thread");
    return NULL;
}

static PyObject *is_https(PyObject *self, PyObject *unused)
{
    (void)unused;
    const hook_run_t *run = run_of(self);
    return run != NULL ? PyLong_FromLong(run->hook->verbs->is_https(run->hook)) : NULL;
}

static PyObject *var_lookup(PyObject *self, PyObject *name)
{
    const hook_run_t *run = run_of(self);
    if (run != NULL && !PyUnicode_Check(name) && !PyBytes_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "the name of a variable of mod_ssl is a str, not %s",
                            Py_TYPE(name)->tp_name);
    }
    WSGI_AUTO_REF PyObject *bytes = run != NULL ? bytes_of(name) : NULL;
    if (bytes == NULL) {
        return NULL;
    }
    const char *value = run->hook->verbs->look_up_tls(run->hook, PyBytes_AS_STRING(bytes));
    value = value != NULL ? value : "";
    return wsgi_py_text(value, strlen(value));
}

static const PyMethodDef tls_functions[] = {
    {"is_https", is_https, METH_NOARGS, "is_https() -> 1 for a request by TLS, else 0"},
    {"var_lookup", var_lookup, METH_O, "var_lookup(name) -> str: a variable of mod_ssl's"},
};
static const char *const tls_keys[] = {"mod_ssl.is_https", "mod_ssl.var_lookup"};

/* The run is the capsule's context, which may be empty; its pointer may not. */
static int put_tls(hook_run_t *run)
{
    run->tls = PyCapsule_New((void *)tls_functions, NULL, NULL);
    int code = run->tls != NULL ? PyCapsule_SetContext(run->tls, run) : -1;
    for (size_t i = 0; i < sizeof tls_keys / sizeof *tls_keys && code == 0; i++) {
        WSGI_AUTO_REF PyObject *function =
            PyCFunction_New((PyMethodDef *)&tls_functions[i], run->tls);
        code = function != NULL ? PyDict_SetItemString(run->environ, tls_keys[i], function) : -1;
    }
    return code;
}

/* The environ. */

static int put(const hook_run_t *run, enum wsgi_typed_key key, PyObject *value_b)
{
    return value_b != NULL ? PyDict_SetItem(run->environ, run->gateway->typed_keys[key], value_b)
                           : -1;
}

static int put_constant(const hook_run_t *run, enum wsgi_typed_key key)
{
    PyObject *name_b = run->gateway->typed_keys[key];
    return put(run, key, PyDict_GetItemWithError(run->gateway->environ, name_b));
}

static int put_text(const hook_run_t *run, enum wsgi_typed_key key, wsgi_bytes_t bytes)
{
    WSGI_AUTO_REF PyObject *text = wsgi_py_text(bytes.data, bytes.len);
    return put(run, key, text);
}

static int put_errors(hook_run_t *run)
{
    WSGI_AUTO_REF PyObject *errors = wsgi_pystream_new(run->py, "<wsgi.errors>", &run->errors_sink);
    if (errors == NULL) {
        return -1;
    }
    wsgi_pystream_aim(run->py, run->errors_sink, &run->log);
    return put(run, WSGI_KEY_ERRORS, errors);
}

static int put_native(const hook_run_t *run)
{
    if (run->hook->native == NULL) {
        return 0;
    }
    WSGI_AUTO_REF PyObject *capsule = PyCapsule_New(run->hook->native, NULL, NULL);
    return capsule != NULL ? PyDict_SetItem(run->environ, run->gateway->name_request_rec, capsule)
                           : -1;
}

static int make_environ(hook_run_t *run)
{
    const wsgi_hook_t *hook = run->hook;
    run->environ = wsgi_environ_from_vars(run->gateway, hook->vars, hook->var_count);
    return run->environ == NULL || put_constant(run, WSGI_KEY_APACHE_VERSION) != 0 ||
                   put_constant(run, WSGI_KEY_MOD_WSGI_VERSION) != 0 ||
                   put_text(run, WSGI_KEY_PROCESS_GROUP, WSGI_LITERAL("")) != 0 ||
                   put_text(run, WSGI_KEY_APPLICATION_GROUP, hook->application_group) != 0 ||
                   put_errors(run) != 0 || put_native(run) != 0 ||
                   (hook->has_tls && put_tls(run) != 0)
               ? -1
               : 0;
}

/* The script may have kept any of it. */
static void close_environ(hook_run_t *run)
{
    if (run->errors_sink != NULL) {
        wsgi_pystream_aim(run->py, run->errors_sink, NULL);
    }
    if (run->tls != NULL) {
        (void)PyCapsule_SetContext(run->tls, NULL);
    }
    Py_CLEAR(run->environ);
    Py_CLEAR(run->errors_sink);
    Py_CLEAR(run->tls);
}

/* The script. */

static PyObject *find_module(const hook_run_t *run)
{
    const wsgi_script_query_t query = {
        .path = run->hook->script,
        .mtime_us = run->hook->script_mtime_us,
        .must_compare = run->hook->must_compare,
        .reload_in_place = true,
        .now_us = wsgi_now_us,
    };
    wsgi_result_t result = {0};
    PyObject *taken = NULL;
    enum wsgi_script_state state = wsgi_script_find(run->py, &query, &taken, &result);
    WSGI_AUTO_REF PyObject *found = taken;
    switch (state) {
    case WSGI_SCRIPT_READY:
        return wsgi_py_steal(&found);
    case WSGI_SCRIPT_FAILED:
        log_exception(run);
        return NULL;
    case WSGI_SCRIPT_WAITING:
        log_error(run, WSGI_ID(1221) "%s", result.detail);
        wsgi_pylog_text(run->py, WSGI_LOG_ERR, PyBytes_AS_STRING(found));
        return NULL;
    default:
        log_error(run, WSGI_ID(1220) "%s", result.detail);
        return NULL;
    }
}

/* NULL where there is none: has been logged unless it may be missing. */
static PyObject *find_function(const hook_run_t *run, PyObject *module, wsgi_hook_call_t *call)
{
    PyObject *object_b = PyDict_GetItemString(PyModule_GetDict(module), call->function);
    if (object_b != NULL && PyCallable_Check(object_b)) {
        return Py_NewRef(object_b);
    }
    if (object_b == NULL && (call->wants & WSGI_HOOK_MAY_LACK) != 0) {
        call->answer = WSGI_HOOK_NONE;
        return NULL;
    }
    log_error(run, WSGI_ID(1222) "script '%s' has no function '%s': define it",
              run->hook->script.data, call->function);
    return NULL;
}

/* What it returned. */

static const char *describe(unsigned wants)
{
    switch (wants & ~(unsigned)WSGI_HOOK_MAY_LACK) {
    case WSGI_HOOK_WANTS_VERDICT:
        return "True, False or None";
    case WSGI_HOOK_WANTS_VERDICT | WSGI_HOOK_WANTS_USER:
        return "True, False, None or the name of the user: a str that is not empty";
    case WSGI_HOOK_WANTS_NAMES:
        return "an iterable of str and bytes, such as a list";
    default:
        return "None, bytes or a str of latin-1 characters; none of them NUL";
    }
}

static enum wsgi_hook_answer refuse(const hook_run_t *run, const wsgi_hook_call_t *call,
                                    PyObject *result)
{
    PyErr_Clear();
    log_error(run, WSGI_ID(1223) "'%s' in script '%s' returned a %s that cannot be used: return %s",
              call->function, run->hook->script.data, Py_TYPE(result)->tp_name,
              describe(call->wants));
    return WSGI_HOOK_FAILED;
}

/* As bytes; NULL with or without an exception: it is none that is wanted. */
static PyObject *encode(unsigned wants, PyObject *result)
{
    if ((wants & WSGI_HOOK_WANTS_USER) != 0) {
        bool is_name = PyUnicode_Check(result) && PyUnicode_GET_LENGTH(result) > 0;
        return is_name ? PyUnicode_AsUTF8String(result) : NULL;
    }
    bool is_text = PyUnicode_Check(result) || PyBytes_Check(result);
    return is_text && (wants & WSGI_HOOK_WANTS_TEXT) != 0 ? bytes_of(result) : NULL;
}

static enum wsgi_hook_answer take_text(const hook_run_t *run, wsgi_hook_call_t *call,
                                       PyObject *result)
{
    WSGI_AUTO_REF PyObject *bytes = encode(call->wants, result);
    size_t len = bytes != NULL ? (size_t)PyBytes_GET_SIZE(bytes) : 0;
    if (bytes == NULL || memchr(PyBytes_AS_STRING(bytes), '\0', len) != NULL) {
        return refuse(run, call, result);
    }
    char *text = run->hook->verbs->allocate(run->hook, len + 1);
    memcpy(text, PyBytes_AS_STRING(bytes), len + 1);
    call->text = text;
    return WSGI_HOOK_TEXT;
}

static bool is_listed(const wsgi_hook_call_t *call, PyObject *bytes)
{
    for (size_t i = 0; bytes != NULL && i < call->name_count; i++) {
        const wsgi_bytes_t name = {call->names[i], strlen(call->names[i])};
        const wsgi_bytes_t found = {PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
        if (wsgi_bytes_equal_nocase(name, found)) {
            return true;
        }
    }
    return false;
}

/* The configuration is bytes: a name in it may be meant as either. */
static bool is_listed_text(const wsgi_hook_call_t *call, PyObject *text)
{
    WSGI_AUTO_REF PyObject *utf8 = PyUnicode_AsUTF8String(text);
    PyErr_Clear();
    WSGI_AUTO_REF PyObject *latin1 = PyUnicode_AsLatin1String(text);
    PyErr_Clear();
    return is_listed(call, utf8) || is_listed(call, latin1);
}

static enum wsgi_hook_answer look_for_names(const hook_run_t *run, const wsgi_hook_call_t *call,
                                            PyObject *result)
{
    WSGI_AUTO_REF PyObject *iterator = PyObject_GetIter(result);
    if (iterator == NULL || PyUnicode_Check(result) || PyBytes_Check(result)) {
        return refuse(run, call, result); /* letters are no names */
    }
    PyObject *next;
    while ((next = PyIter_Next(iterator)) != NULL) {
        WSGI_AUTO_REF PyObject *name = next;
        if (!PyUnicode_Check(name) && !PyBytes_Check(name)) {
            return refuse(run, call, name);
        }
        if (PyUnicode_Check(name) ? is_listed_text(call, name) : is_listed(call, name)) {
            return WSGI_HOOK_TRUE;
        }
    }
    if (PyErr_Occurred()) {
        log_exception(run);
        return WSGI_HOOK_FAILED;
    }
    return WSGI_HOOK_FALSE;
}

static enum wsgi_hook_answer judge(const hook_run_t *run, wsgi_hook_call_t *call, PyObject *result)
{
    if ((call->wants & WSGI_HOOK_WANTS_NAMES) != 0) {
        return look_for_names(run, call, result);
    }
    if (result == Py_None) {
        return WSGI_HOOK_NONE;
    }
    if (PyBool_Check(result) && (call->wants & WSGI_HOOK_WANTS_VERDICT) != 0) {
        return result == Py_True ? WSGI_HOOK_TRUE : WSGI_HOOK_FALSE;
    }
    return take_text(run, call, result);
}

/* The call. */

static PyObject *make_arguments(const hook_run_t *run, const wsgi_hook_call_t *call)
{
    WSGI_AUTO_REF PyObject *arguments = PyTuple_New((Py_ssize_t)call->argument_count + 1);
    if (arguments == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(arguments, 0, Py_NewRef(run->environ));
    for (unsigned i = 0; i < call->argument_count; i++) {
        PyObject *text = wsgi_py_text(call->arguments[i].data, call->arguments[i].len);
        if (text == NULL) {
            return NULL;
        }
        PyTuple_SET_ITEM(arguments, (Py_ssize_t)i + 1, text);
    }
    return wsgi_py_steal(&arguments);
}

static enum wsgi_hook_answer make_call(const hook_run_t *run, wsgi_hook_call_t *call,
                                       PyObject *function)
{
    WSGI_AUTO_REF PyObject *arguments = make_arguments(run, call);
    WSGI_AUTO_REF PyObject *result =
        arguments != NULL ? PyObject_CallObject(function, arguments) : NULL;
    if (result == NULL || wsgi_runtime_is_forked()) {
        log_exception(run);
        return WSGI_HOOK_FAILED;
    }
    return judge(run, call, result);
}

static bool run_script(const hook_run_t *run, wsgi_hook_call_t *calls, size_t count)
{
    WSGI_AUTO_REF PyObject *module = find_module(run);
    for (size_t i = 0; module != NULL && i < count; i++) {
        WSGI_AUTO_REF PyObject *function = find_function(run, module, &calls[i]);
        if (function != NULL) {
            calls[i].answer = make_call(run, &calls[i], function);
        }
        if (calls[i].answer == WSGI_HOOK_FAILED) {
            return false;
        }
    }
    return module != NULL;
}

static bool run_attached(hook_run_t *run, wsgi_hook_call_t *calls, size_t count)
{
    const wsgi_log_target_t *outer = wsgi_pylog_redirect(run->py, &run->log);
    bool is_done = false;
    run->gateway = wsgi_py_component(run->py, &wsgi_gateway_component);
    if (run->gateway != NULL && make_environ(run) == 0) {
        is_done = run_script(run, calls, count);
    }
    else {
        log_exception(run);
    }
    if (wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(run->py, run->hook->script.data);
    }
    close_environ(run);
    wsgi_pylog_redirect(run->py, outer);
    return is_done;
}

bool wsgi_hook_run(wsgi_interp_t *interp, wsgi_hook_t *hook, wsgi_hook_call_t *calls, size_t count)
{
    hook_run_t run = {.hook = hook, .thread = pthread_self()};
    run.log = (wsgi_log_target_t){write_log, &run, hook->log_level};
    for (size_t i = 0; i < count; i++) {
        calls[i].answer = WSGI_HOOK_FAILED;
    }
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        hook->verbs->log(hook, WSGI_LOG_ERR, NULL, 0,
                         WSGI_ID(1224) "Python is stopping in this process, or out of memory; the "
                                       "hook script cannot be asked here, try the request again");
        return false;
    }
    run.py = py;
    pthread_mutex_init(&run.log_lock, NULL);
    bool is_done = run_attached(&run, calls, count);
    pthread_mutex_destroy(&run.log_lock);
    return is_done;
}
