/* server/hook.c — hook scripts: from a request_rec to a function's answer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include "child.h"
#include "http_ssl.h"
#include "log.h"
#include "metavars.h"

static request_rec *of(const wsgi_hook_t *hook)
{
    return hook->host;
}

static void log_line(wsgi_hook_t *hook, int level, const char *file, int line, const char *text)
{
    wsgi_server_log_request(of(hook), level, file, line, text);
}

static char *allocate(wsgi_hook_t *hook, size_t bytes)
{
    return apr_palloc(of(hook)->pool, bytes);
}

static bool is_https(wsgi_hook_t *hook)
{
    return ap_ssl_conn_is_ssl(of(hook)->connection) != 0;
}

static const char *look_up_tls(wsgi_hook_t *hook, const char *name)
{
    request_rec *r = of(hook);
    return ap_ssl_var_lookup(r->pool, r->server, r->connection, r, name);
}

static const wsgi_hook_verbs_t verbs = {
    .log = log_line,
    .allocate = allocate,
    .is_https = is_https,
    .look_up_tls = look_up_tls,
};

static bool refuse(request_rec *r, const wsgi_hook_script_t *script, const char *cause)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(1700) "the hook script '%s' cannot run in this httpd child: %s",
                  script->script, cause);
    return false;
}

/* Why Python cannot be had here; NULL where it can. */
static const char *find_obstacle(const wsgi_server_config_t *main)
{
    return main->settings->needs_python
               ? main->child->python_failure
               : "WSGIRestrictEmbedded is on, and httpd's own configuration files name no hook "
                 "script, only an .htaccess does; name one there too, and Python starts";
}

/* 0 where it cannot be looked at: whoever loads it finds out why. */
static int64_t look_at(const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    return apr_stat(&info, path, APR_FINFO_MTIME, pool) == APR_SUCCESS ? info.mtime : 0;
}

static bool run(request_rec *r, wsgi_hook_t *hook, bool is_open_name, wsgi_hook_call_t *calls,
                size_t count, wsgi_result_t *result)
{
    wsgi_interp_t *interp = wsgi_interp_find(hook->application_group.data, is_open_name, result);
    if (interp == NULL) {
        return false;
    }
    hook->script_mtime_us = look_at(hook->script.data, r->pool);
    return wsgi_hook_run(interp, hook, calls, count);
}

bool wsgi_hook_ask(request_rec *r, const wsgi_hook_script_t *script, const wsgi_request_t *vars,
                   wsgi_hook_call_t *calls, size_t count)
{
    const wsgi_server_config_t *main = wsgi_server_config_main(wsgi_server_config(r->server));
    const wsgi_dir_config_t *config = wsgi_dir_config(r);
    const char *obstacle = find_obstacle(main);
    if (obstacle != NULL) {
        return refuse(r, script, obstacle);
    }
    bool is_open_name;
    wsgi_hook_t hook = {
        .verbs = &verbs,
        .host = r,
        .log_level = ap_get_request_module_loglevel(r, APLOG_MODULE_INDEX),
        .script = wsgi_text(script->script),
        .must_compare = config->script_reloading != WSGI_FLAG_OFF,
        .has_tls = script != wsgi_dir_hooks(r)->dispatch,
        .application_group = wsgi_route_hook_group(r, &script->application_group, &is_open_name),
        .native = config->pass_apache_request == WSGI_FLAG_ON ? r : NULL,
        .vars = vars->vars,
        .var_count = vars->var_count,
    };
    wsgi_result_t result = {0};
    atomic_fetch_add(&main->child->embedded, 1);
    bool is_done = run(r, &hook, is_open_name, calls, count, &result);
    atomic_fetch_sub(&main->child->embedded, 1);
    return is_done || result.code == WSGI_OK ? is_done : refuse(r, script, result.detail);
}

enum wsgi_hook_answer wsgi_hook_ask_guard(request_rec *r, const wsgi_hook_script_t *script,
                                          wsgi_hook_call_t *call)
{
    wsgi_request_t vars = {0};
    wsgi_metavars_collect_guard(r, &vars);
    return wsgi_hook_ask(r, script, &vars, call, 1) ? call->answer : WSGI_HOOK_FAILED;
}
