/* python/runtime.c — start and end of Python in this process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"
#include "compat.h"

#include <signal.h>
#include <stdlib.h>

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

static int explain(const PyStatus *status, const wsgi_runtime_settings_t *settings,
                   wsgi_result_t *result)
{
    const char *home = settings->python_home;
    const char *what = "the Python home ";
    if (*home == '\0') {
        home = settings->python_executable;
        what = *home != '\0' ? "the installation of " : "the default installation";
    }
    return wsgi_fail(result, WSGI_E_IO,
                     "Python " VERSION
                     " cannot start: %s%s%s; check that %s%s is a working Python " VERSION
                     " and readable by this user",
                     status->func != NULL ? status->func : "", status->func != NULL ? ": " : "",
                     status->err_msg != NULL ? status->err_msg : "no reason given", what, home);
}

static int set_up_main(wsgi_interp_t *interp, wsgi_result_t *result)
{
    int code = WSGI_OK;
    wsgi_interp_settle(interp);
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
    PyStatus status = wsgi_python_initialize(settings);
    int code = PyStatus_Exception(status) ? explain(&status, settings, result)
                                          : set_up_main(interp, result);
    sigaction(SIGINT, &interrupt, NULL);
    return code;
}

static void warn_of_what_has_no_effect(const wsgi_runtime_settings_t *settings)
{
    if (wsgi_interp_options_want_own_gil() && !COMPAT_HAS_OWN_GIL) {
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1101) "WSGIPerInterpreterGIL has no effect: in Python " VERSION
                               " all interpreters share one GIL; use Python 3.12 or later, or more "
                               "processes");
    }
    if (settings->free_threading && COMPAT_HAS_GIL) {
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1102) "WSGIFreeThreading has no effect: this Python " VERSION
                               " cannot run without a GIL; use a free-threaded build, or more "
                               "processes");
    }
}

/* Interpreters copy the process's environment into os.environ as they are made. */
static void set_egg_cache(const char *directory)
{
    if (*directory != '\0') {
        setenv("PYTHON_EGG_CACHE", directory, 1);
    }
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
    wsgi_the_runtime.started_us = wsgi_wall_us();
    wsgi_interp_t *interp = wsgi_interp_add_locked("");
    if (interp == NULL || wsgi_attach_start() != WSGI_OK || wsgi_fork_watch() != WSGI_OK) {
        return wsgi_fail(result, WSGI_E_NOMEM, "Python cannot start: out of memory");
    }
    warn_of_what_has_no_effect(settings);
    set_egg_cache(settings->python_eggs);
    int code = start_and_set_up(settings, interp, result);
    atomic_store(&wsgi_the_runtime.is_started, code == WSGI_OK);
    wsgi_log(WSGI_LOG_DEBUG,
             "Python " VERSION
             ": maximum_processes=%d, threads_per_process=%d, switch interval %g s",
             settings->processes, settings->threads, (double)settings->switch_interval_us / 1e6);
    if (code == WSGI_OK && *settings->main_name != '\0') {
        wsgi_log(WSGI_LOG_INFO, "the main interpreter serves \"%s\", the only application here",
                 settings->main_name);
    }
    return code;
}

void wsgi_runtime_stop(void)
{
    if (!wsgi_runtime_is_started() || wsgi_runtime_is_forked() ||
        atomic_load(&wsgi_the_runtime.is_stopping)) {
        return;
    }
    wsgi_runtime_publish_stop("");
    wsgi_attach_refuse();
    if (wsgi_runtime_settings()->abandon_interpreters) {
        wsgi_log(WSGI_LOG_INFO, "Python is left to the process's exit");
        return;
    }
    bool is_finalised = wsgi_interps_end();
    wsgi_log(WSGI_LOG_INFO, "Python has ended%s",
             is_finalised ? "" : ", with threads of the application left to the process's exit");
}
