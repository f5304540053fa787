/* python/runtime.c — start and end of Python in this process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"
#include "compat.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT(token)  TEXT_(token)
#define TEXT_(token) #token
#define VERSION      TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)

wsgi_runtime_t wsgi_the_runtime = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .load_lock = PTHREAD_MUTEX_INITIALIZER,
};

const char *wsgi_runtime_version(void)
{
    return VERSION;
}

const wsgi_runtime_settings_t *wsgi_runtime_settings(void)
{
    return &wsgi_the_runtime.settings;
}

bool wsgi_runtime_is_started(void)
{
    return atomic_load(&wsgi_the_runtime.is_started);
}

/* Has somebody chosen a locale? Else text is UTF-8: httpd runs in C as a rule. */
static bool has_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && *value != '\0') {
            return strcmp(value, "C") != 0 && strcmp(value, "POSIX") != 0;
        }
    }
    return false;
}

static PyStatus set_bytes(PyConfig *config, wchar_t **member, const char *value)
{
    return *value != '\0' ? PyConfig_SetBytesString(config, member, value) : PyStatus_Ok();
}

/* The steps of the start, in order; the first that fails ends it. */

static PyStatus pre_initialize(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)config;
    (void)settings;
    PyPreConfig pre;
    PyPreConfig_InitPythonConfig(&pre);
    pre.parse_argv = 0;
    pre.coerce_c_locale = 0; /* would change the environment of the whole server */
    pre.configure_locale = has_locale();
    pre.utf8_mode = !has_locale();
    return Py_PreInitialize(&pre);
}

static PyStatus fill_config(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)settings;
    char *argv[] = {"mod_wsgi"};
    PyConfig_InitPythonConfig(config);
    config->parse_argv = 0;
    config->install_signal_handlers = 0;
    config->configure_c_stdio = 0;
    config->pathconfig_warnings = 0;
    return PyConfig_SetBytesArgv(config, 1, argv);
}

/* A virtual environment is found from its interpreter's name, as if that ran; any other
 * installation is a home. */
static PyStatus choose_home(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    const char *home = settings->python_home;
    if (*home == '\0') {
        return set_bytes(config, &config->executable, WSGI_PYTHON_EXECUTABLE);
    }
    if (!wsgi_home_is_virtual(home)) {
        return set_bytes(config, &config->home, home);
    }
    char *executable;
    if (asprintf(&executable, "%s/bin/python", home) < 0) {
        return PyStatus_NoMemory();
    }
    PyStatus status = set_bytes(config, &config->executable, executable);
    free(executable);
    return status;
}

static PyStatus initialize(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)settings;
    return Py_InitializeFromConfig(config);
}

static PyStatus start_python(const wsgi_runtime_settings_t *settings)
{
    static PyStatus (*const steps[])(PyConfig *, const wsgi_runtime_settings_t *) = {
        pre_initialize, fill_config, choose_home, initialize};
    PyConfig config = {0};
    PyStatus status = PyStatus_Ok();
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !PyStatus_Exception(status); i++) {
        status = steps[i](&config, settings);
    }
    PyConfig_Clear(&config);
    return status;
}

static int explain(const PyStatus *status, const char *home, wsgi_result_t *result)
{
    return wsgi_fail(result, WSGI_E_IO,
                     "Python " VERSION
                     " cannot start: %s%s%s; check that %s%s is a working Python " VERSION
                     " and readable by this user",
                     status->func != NULL ? status->func : "", status->func != NULL ? ": " : "",
                     status->err_msg != NULL ? status->err_msg : "no reason given",
                     *home != '\0' ? "the Python home " : "the default installation", home);
}

static int set_up_main(wsgi_interp_t *interp, wsgi_result_t *result)
{
    int code = WSGI_OK;
    if (wsgi_attach_adopt(interp) != WSGI_OK) {
        code = wsgi_fail(result, WSGI_E_NOMEM, "Python cannot start: out of memory");
    }
    else if (wsgi_interp_set_up(&interp->home) != 0) {
        code = wsgi_pylog_to_result(result, "Python's main interpreter cannot be set up: ");
    }
    atomic_store(&interp->state, code == WSGI_OK ? WSGI_INTERP_READY : WSGI_INTERP_ENDED);
    wsgi_attach_release(&interp->home);
    return code;
}

/* The first import of signal takes SIGINT over where nobody has, whatever the configuration says; it
 * is imported here, once, and what it did is undone. */
static int start_and_set_up(const wsgi_runtime_settings_t *settings, wsgi_interp_t *interp,
                            wsgi_result_t *result)
{
    struct sigaction interrupt;
    sigaction(SIGINT, NULL, &interrupt);
    PyStatus status = start_python(settings);
    int code = PyStatus_Exception(status) ? explain(&status, settings->python_home, result)
                                          : set_up_main(interp, result);
    sigaction(SIGINT, &interrupt, NULL);
    return code;
}

int wsgi_runtime_start(const wsgi_runtime_settings_t *settings, wsgi_result_t *result)
{
    if (*settings->python_home != '\0') {
        int code = wsgi_runtime_check_home(settings->python_home, result);
        if (code != WSGI_OK) {
            return code;
        }
    }
    wsgi_the_runtime.settings = *settings;
    wsgi_the_runtime.pid = getpid();
    wsgi_interp_t *interp = wsgi_interp_add_locked("");
    if (interp == NULL || wsgi_attach_start() != WSGI_OK) {
        return wsgi_fail(result, WSGI_E_NOMEM, "Python cannot start: out of memory");
    }
    int code = start_and_set_up(settings, interp, result);
    atomic_store(&wsgi_the_runtime.is_started, code == WSGI_OK);
    return code;
}

void wsgi_runtime_stop(void)
{
    if (!wsgi_runtime_is_started() || atomic_load(&wsgi_the_runtime.is_stopping)) {
        return;
    }
    wsgi_attach_refuse();
    bool is_finalised = wsgi_interps_end();
    wsgi_log(WSGI_LOG_INFO, "Python has ended%s",
             is_finalised ? "" : ", with threads of the application left to the process's exit");
}
