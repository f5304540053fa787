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

#include "wsgi_runtime.h"
#include "wsgi_server.h"

#include <unistd.h>

/* 1 where the MPM has no figure: prefork has no threads, and a debugging server one process. */
static int ask_mpm(int question)
{
    int answer;
    return ap_mpm_query(question, &answer) == APR_SUCCESS && answer > 0 ? answer : 1;
}

/* The runtime keeps what it is given. */
static int start_python(const wsgi_settings_t *settings, apr_pool_t *pchild, wsgi_result_t *result)
{
    int processes = ask_mpm(AP_MPMQ_MAX_DAEMONS), threads = ask_mpm(AP_MPMQ_MAX_THREADS);
    wsgi_runtime_settings_t *runtime = apr_palloc(pchild, sizeof *runtime);
    *runtime = (wsgi_runtime_settings_t){
        .python_home = settings->python_home,
        .python_path = settings->python_path,
        .home = "",
        .process_group = "",
        .server_description = ap_get_server_banner(),
        .server_version = AP_SERVER_MAJORVERSION_NUMBER * 10000 +
                          AP_SERVER_MINORVERSION_NUMBER * 100 + AP_SERVER_PATCHLEVEL_NUMBER,
        .processes = processes,
        .threads = threads,
        .is_multiprocess = processes != 1,
        .is_multithread = threads != 1,
        .python_eggs = "",
        .python_warnings = "",
        .hash_seed = WSGI_HASH_SEED_RANDOM,
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
    }
}

void wsgi_server_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    wsgi_server_config_t *config = wsgi_server_config(main_server);
    wsgi_child_t *child = apr_pcalloc(pchild, sizeof *child);
    char *pid = apr_palloc(pchild, WSGI_NAME_DECIMAL_BYTES);
    child->pid = (wsgi_bytes_t){pid, wsgi_name_put_decimal(pid, (unsigned)getpid())};
    wsgi_server_log_install(main_server);
    wsgi_groups_child_init(pchild, main_server);
    open_python(child, config->settings, pchild, main_server);
    config->child = child;
}
