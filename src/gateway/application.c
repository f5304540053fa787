/* gateway/application.c — the callable of a script, or one sentence on why there is none.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

static const char *text_or(PyObject *text, const char *otherwise)
{
    const char *chars = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    return chars != NULL ? chars : otherwise;
}

static PyObject *join_names(PyObject *names)
{
    WSGI_AUTO_REF PyObject *comma = PyUnicode_FromString(", ");
    return comma != NULL ? PyUnicode_Join(comma, names) : NULL;
}

static PyObject *public_callables(PyObject *module)
{
    WSGI_AUTO_REF PyObject *names = PyList_New(0);
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (names != NULL && PyDict_Next(PyModule_GetDict(module), &position, &key, &value)) {
        bool is_public = PyUnicode_Check(key) && PyUnicode_GET_LENGTH(key) > 0 &&
                         PyUnicode_READ_CHAR(key, 0) != '_';
        if (is_public && PyCallable_Check(value) && PyList_Append(names, key) != 0) {
            return NULL;
        }
    }
    return names != NULL && PyList_Sort(names) == 0 ? wsgi_py_steal(&names) : NULL;
}

static void explain_missing_callable(wsgi_call_t *call, PyObject *module)
{
    const wsgi_request_t *request = &call->ex->request;
    WSGI_AUTO_REF PyObject *names = public_callables(module);
    WSGI_AUTO_REF PyObject *list = names != NULL ? join_names(names) : NULL;
    PyErr_Clear();
    const char *known = text_or(list, "");
    bool is_handler = (request->flags & WSGI_REQUEST_HANDLER_SCRIPT) != 0;
    wsgi_call_log(call, WSGI_LOG_ERR,
                  WSGI_ID(0089) "script '%s' has no callable '%s', only these: %s; define it%s",
                  request->script.data, request->callable.data, *known != '\0' ? known : "(none)",
                  is_handler ? "" : " or name another with WSGICallableObject");
    wsgi_call_fail(call, WSGI_E_INVALID, 500);
}

static void explain_not_callable(wsgi_call_t *call, PyObject *object)
{
    const wsgi_request_t *request = &call->ex->request;
    wsgi_call_log(call, WSGI_LOG_ERR,
                  WSGI_ID(1203) "'%s' in script '%s' cannot be called, it is of type %s; let it be "
                                "a function of (environ, start_response)",
                  request->callable.data, request->script.data, Py_TYPE(object)->tp_name);
    wsgi_call_fail(call, WSGI_E_INVALID, 500);
}

static PyObject *find_callable(wsgi_call_t *call, PyObject *module)
{
    PyObject *key_b = wsgi_environ_callable_b(call);
    PyObject *object_b =
        key_b != NULL ? PyDict_GetItemWithError(PyModule_GetDict(module), key_b) : NULL;
    if (object_b != NULL && PyCallable_Check(object_b)) {
        return Py_NewRef(object_b);
    }
    if (PyErr_Occurred()) {
        wsgi_call_fail_exception(call);
    }
    else if (object_b != NULL) {
        explain_not_callable(call, object_b);
    }
    else {
        explain_missing_callable(call, module);
    }
    return NULL;
}

static void explain_waiting(wsgi_call_t *call, PyObject *failure, const wsgi_result_t *result)
{
    wsgi_call_log(call, WSGI_LOG_ERR, WSGI_ID(1207) "%s", result->detail);
    wsgi_pylog_text(call->py, WSGI_LOG_ERR, PyBytes_AS_STRING(failure));
    wsgi_call_fail(call, WSGI_E_INVALID, 500);
}

static void explain_script(wsgi_call_t *call, enum wsgi_script_state state, PyObject *found,
                           const wsgi_result_t *result)
{
    switch (state) {
    case WSGI_SCRIPT_MISSING:
        wsgi_call_log(call, WSGI_LOG_ERR, WSGI_ID(1201) "%s", result->detail);
        wsgi_call_fail(call, WSGI_E_INVALID, 404);
        break;
    case WSGI_SCRIPT_UNREADABLE:
        wsgi_call_log(call, WSGI_LOG_ERR, WSGI_ID(1202) "%s", result->detail);
        wsgi_call_fail(call, WSGI_E_INVALID, 500);
        break;
    case WSGI_SCRIPT_FAILED:
        wsgi_call_fail_exception(call);
        break;
    case WSGI_SCRIPT_WAITING:
        explain_waiting(call, found, result);
        break;
    case WSGI_SCRIPT_CHANGED:
        call->code = WSGI_E_DECLINED;
        break;
    case WSGI_SCRIPT_READY:
        break;
    }
}

/* NULL where the request has been failed or declined. */
static PyObject *look_for_module(wsgi_call_t *call, enum wsgi_reload_mode mode, bool must_reload)
{
    const wsgi_request_t *request = &call->ex->request;
    const wsgi_script_query_t query = {
        .path = request->script,
        .mtime_us = request->script_mtime_us,
        .must_compare = (request->flags & WSGI_REQUEST_RELOADING) != 0,
        .reload_in_place = mode == WSGI_RELOAD_IN_PLACE,
        .must_reload = must_reload,
        .now_us = mode == WSGI_RELOAD_IN_PLACE ? wsgi_now_us : NULL,
    };
    wsgi_result_t result;
    PyObject *taken = NULL;
    enum wsgi_script_state state = wsgi_script_find(call->py, &query, &taken, &result);
    WSGI_AUTO_REF PyObject *found = taken;
    if (state != WSGI_SCRIPT_READY) {
        explain_script(call, state, found, &result);
        return NULL;
    }
    return wsgi_py_steal(&found);
}

/* Handler scripts. */

static int ask_for_reload(wsgi_call_t *call, PyObject *function)
{
    WSGI_AUTO_REF PyObject *resource = wsgi_environ_resource(call);
    WSGI_AUTO_REF PyObject *answer =
        resource != NULL ? PyObject_CallOneArg(function, resource) : NULL;
    return answer != NULL ? PyObject_IsTrue(answer) : -1;
}

/* What the function prints goes to the process's log: no verb may be called before a request is
 * handed back. */
static bool is_reload_required(wsgi_call_t *call, PyObject *module)
{
    PyObject *key_b = call->gateway->name_reload_required;
    WSGI_AUTO_REF PyObject *function =
        Py_XNewRef(PyDict_GetItemWithError(PyModule_GetDict(module), key_b));
    if (function == NULL) {
        PyErr_Clear();
        return false;
    }
    wsgi_pylog_redirect(call->py, NULL);
    int answer = ask_for_reload(call, function);
    wsgi_pylog_redirect(call->py, &call->log);
    if (answer < 0) {
        wsgi_pylog_exception(call->py, call->ex->request.script.data);
    }
    return answer > 0;
}

static bool may_require_reload(const wsgi_request_t *request)
{
    const uint32_t both = WSGI_REQUEST_HANDLER_SCRIPT | WSGI_REQUEST_RELOADING;
    return (request->flags & both) == both;
}

static PyObject *find_module(wsgi_call_t *call, enum wsgi_reload_mode mode)
{
    WSGI_AUTO_REF PyObject *module = look_for_module(call, mode, false);
    if (module != NULL && may_require_reload(&call->ex->request) &&
        is_reload_required(call, module)) {
        return look_for_module(call, mode, true);
    }
    return wsgi_py_steal(&module);
}

PyObject *wsgi_application_find(wsgi_call_t *call, enum wsgi_reload_mode mode)
{
    WSGI_AUTO_REF PyObject *module = find_module(call, mode);
    return module != NULL ? find_callable(call, module) : NULL;
}
