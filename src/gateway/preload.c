/* gateway/preload.c — wsgi_runtime_import(): a script is loaded ahead of the requests. Declared by
 * the runtime, which knows nothing of WSGI; it stands here because a script may use at once what
 * the gateway adds to module mod_wsgi.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <string.h>

static void log_exception(wsgi_py_t *py, const char *script)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    const wsgi_gateway_t *gateway = wsgi_py_component(py, &wsgi_gateway_component);
    PyErr_Clear();
    if (exception == NULL) {
        return;
    }
    wsgi_py_raise(Py_NewRef(exception));
    wsgi_pylog_exception(py, script);
    if (gateway != NULL) {
        wsgi_observe_exception(py, gateway, NULL, exception);
    }
}

static int fail_import(wsgi_py_t *py, const char *script, wsgi_result_t *result)
{
    if (wsgi_runtime_is_forked()) {
        wsgi_py_end_forked(py, script);
    }
    log_exception(py, script);
    return wsgi_fail(result, WSGI_E_INVALID,
                     "script '%s' could not be loaded ahead of the requests; the lines before say "
                     "why",
                     script);
}

/* Nothing is compared: a module that a request has loaded meanwhile is as good. */
static int load(wsgi_py_t *py, const char *script, wsgi_result_t *result)
{
    const bool is_daemon = *wsgi_runtime_settings()->process_group != '\0';
    const wsgi_script_query_t query = {
        .path = {script, strlen(script)},
        .reload_in_place = true,
        .now_us =
            is_daemon ? wsgi_now_us : NULL, /* what half a script did is not done twice there */
    };
    PyObject *found = NULL;
    if (wsgi_py_component(py, &wsgi_gateway_component) == NULL) {
        return fail_import(py, script, result);
    }
    enum wsgi_script_state state = wsgi_script_find(py, &query, &found, result);
    Py_XDECREF(found);
    switch (state) {
    case WSGI_SCRIPT_READY:
        return WSGI_OK;
    case WSGI_SCRIPT_FAILED:
        return fail_import(py, script, result);
    default:
        return result->code;
    }
}

static int load_in(wsgi_interp_t *interp, const char *script, wsgi_result_t *result)
{
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        return wsgi_fail(result, WSGI_E_REFUSED, "Python is stopping, or out of memory");
    }
    int code = load(py, script, result);
    wsgi_pylog_redirect(py, NULL); /* what was printed without a line end */
    return code;
}

typedef struct wsgi_import {
    wsgi_interp_t *interp;
    const char *script;
    wsgi_result_t *result;
    int code;
} wsgi_import_t;

static void *run_import(void *data)
{
    wsgi_import_t *import = data;
    import->code = load_in(import->interp, import->script, import->result);
    wsgi_runtime_thread_end();
    return NULL;
}

/* The calling thread has a state in the main interpreter. Up to 3.11 an extension that calls
 * PyGILState_Ensure() while it is imported would get that one, and deadlock: so a sub-interpreter's
 * script is loaded by a thread that knows no other, as by one that serves requests. */
static int load_by_thread(wsgi_import_t *import)
{
    pthread_t thread;
    int failed = wsgi_thread_start(&thread, "wsgi:import", run_import, import);
    if (failed != 0) {
        return wsgi_fail(import->result, WSGI_E_IO, "script '%s' cannot be loaded: no thread (%s)",
                         import->script, strerror(failed));
    }
    pthread_join(thread, NULL);
    return import->code;
}

int wsgi_runtime_import(const char *application_group, const char *script, wsgi_result_t *result)
{
    wsgi_result_t own = {0};
    result = result != NULL ? result : &own;
    wsgi_interp_t *interp = wsgi_interp_find(application_group, false, result);
    if (interp == NULL) {
        return result->code;
    }
    wsgi_import_t import = {.interp = interp, .script = script, .result = result};
    return *wsgi_interp_name(interp) == '\0' ? load_in(interp, script, result)
                                             : load_by_thread(&import);
}
