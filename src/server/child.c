/* server/child.c — start and end of a child: links to the process groups, Python.
 *
 * Python starts in child_init, on the child's main thread, where the configuration shows that an
 * application may run here: threading.main_thread() is then a thread that lives as long as the
 * child, and a failure is told at the start and not by a client.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "ap_mpm.h"
#include "log.h"
#include "score.h"

#include "wsgi_runtime.h"
#include "wsgi_server.h"

#include <unistd.h>

int wsgi_child_ask_mpm(int question)
{
    int answer;
    return ap_mpm_query(question, &answer) == APR_SUCCESS && answer > 0 ? answer : 1;
}

/* The runtime keeps what it is given. */
static int start_python(const wsgi_settings_t *settings, apr_pool_t *pchild, wsgi_result_t *result)
{
    const wsgi_group_settings_t *python = settings->python;
    int processes = wsgi_child_ask_mpm(AP_MPMQ_MAX_DAEMONS);
    int threads = wsgi_child_ask_mpm(AP_MPMQ_MAX_THREADS);
    wsgi_runtime_settings_t *runtime = apr_palloc(pchild, sizeof *runtime);
    *runtime = (wsgi_runtime_settings_t){
        .python_home = python->python_home,
        .python_executable = "",
        .python_path = python->python_path,
        .home = "",
        .process_group = "",
        .main_name = "",
        .server_description = ap_get_server_banner(),
        .server_build_date = ap_get_server_built(),
        .mpm_name = ap_show_mpm(),
        .mpm_processes = processes,
        .mpm_threads = threads,
        .server_version = AP_SERVER_MAJORVERSION_NUMBER * 10000 +
                          AP_SERVER_MINORVERSION_NUMBER * 100 + AP_SERVER_PATCHLEVEL_NUMBER,
        .processes = processes,
        .threads = threads,
        .is_multiprocess = processes != 1,
        .is_multithread = threads != 1,
        .python_eggs = python->python_eggs,
        .python_warnings = python->python_warnings,
        .optimize = (int)python->python_optimize,
        .hash_seed = python->hash_seed,
        .switch_interval_us = python->switch_interval_us,
        .dont_write_bytecode = python->dont_write_bytecode != 0,
        .restrict_stdin = python->restrict_stdin != 0,
        .restrict_stdout = python->restrict_stdout != 0,
        .allow_signals = python->allow_signals != 0,
        .abandon_interpreters = python->abandon_interpreters != 0,
        .per_interpreter_gil = python->per_interpreter_gil != 0,
        .read_scoreboard = python->server_metrics ? wsgi_httpd_scoreboard_read : NULL,
        .interpreter_options = python->interpreter_options,
        .is_case_blind = settings->is_case_blind,
        .free_threading = python->free_threading != 0,
        .is_interactive = ap_exists_config_define("DEBUG") != 0,
    };
    return wsgi_runtime_start(runtime, result);
}

/* The MPM has joined its threads before pchild ends, except where it gave up on one, and except
 * prefork, which may end out of a signal handler in the middle of a request: Python is then in use,
 * perhaps by this very thread, and waiting for it would never end. */
static apr_status_t stop_python(void *data)
{
    const wsgi_child_t *child = data;
    if (atomic_load(&child->embedded) == 0) {
        wsgi_runtime_stop();
    }
    return APR_SUCCESS;
}

/* Before any request. What a script raises is in the log already; one that cannot be loaded at all
 * is told here, and tried again by the first request for it. */
static void import_scripts(const wsgi_settings_t *settings, server_rec *main_server)
{
    for (int i = 0; i < settings->imports->nelts; i++) {
        const wsgi_import_t *import = APR_ARRAY_IDX(settings->imports, i, const wsgi_import_t *);
        wsgi_result_t result = {0};
        if (wsgi_runtime_import(import->application_group->text.data, import->script, &result) <
            0) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server,
                         WSGI_ID(1512) "%s is not loaded ahead of requests (%s, line %d): %s",
                         import->script, import->place.file, import->place.line, result.detail);
        }
    }
}

static void open_python(wsgi_child_t *child, const wsgi_settings_t *settings, apr_pool_t *pchild,
                        server_rec *main_server)
{
    wsgi_result_t result = {0};
    if (!settings->needs_python) {
        child->python_failure = "nothing in the configuration leads to an application in httpd's "
                                "own children";
    }
    else if (start_python(settings, pchild, &result) < 0) {
        child->python_failure = apr_pstrdup(pchild, result.detail);
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, main_server,
                     WSGI_ID(1511) "Python cannot be started, so embedded applications answer 500 "
                                   "here: %s",
                     result.detail);
    }
    else {
        apr_pool_cleanup_register(pchild, child, stop_python, apr_pool_cleanup_null);
        import_scripts(settings, main_server);
    }
}

void wsgi_server_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    wsgi_server_config_t *config = wsgi_server_config(main_server);
    wsgi_child_t *child = apr_pcalloc(pchild, sizeof *child);
    char *pid = apr_palloc(pchild, WSGI_NAME_DECIMAL_BYTES);
    child->pid = (wsgi_bytes_t){pid, wsgi_name_put_decimal(pid, (unsigned)getpid())};
    child->main_server = main_server;
    wsgi_server_log_install(main_server);
    wsgi_groups_child_init(pchild, main_server);
    wsgi_httpd_scoreboard_publish(main_server);
    open_python(child, config->settings, pchild, main_server);
    config->child = child;
}
