/* server/handler.c — a request from httpd's hands to the application and back: the checks before
 * any Python runs, the way it takes, and the HTTP status of what went wrong.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "child.h"
#include "exchange.h"
#include "group_checks.h"
#include "metavars.h"
#include "route.h"
#include "score.h"

#include "wsgi_field.h"
#include "wsgi_gateway.h"
#include "wsgi_server.h"

/* ---- checks ---- */

static bool is_script(const request_rec *r)
{
    return strcmp(r->handler, WSGI_HANDLER_SCRIPT) == 0 ||
           strcmp(r->handler, WSGI_HANDLER_TYPE) == 0;
}

static const wsgi_handler_script_t *find_handler_script(const request_rec *r)
{
    apr_hash_t *scripts = wsgi_dir_config(r)->handler_scripts;
    return scripts == NULL ? NULL : apr_hash_get(scripts, r->handler, APR_HASH_KEY_STRING);
}

static int check_script(request_rec *r)
{
    if (wsgi_mapping_alias(r) == NULL && (ap_allow_options(r) & OPT_EXECCGI) == 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0134) "Options ExecCGI is off in this directory: switch it on, or "
                                    "map the script by WSGIScriptAlias: %s",
                      r->filename);
        return HTTP_FORBIDDEN;
    }
    if (r->finfo.filetype == APR_NOFILE && strlen(r->filename) >= APR_PATH_MAX) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1523) "the URL leads to a file name of %" APR_SIZE_T_FMT " bytes, "
                                    "longer than the system takes: the client must shorten it",
                      strlen(r->filename));
        return HTTP_NOT_FOUND;
    }
    if (r->finfo.filetype == APR_NOFILE) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0135) "the script is not there, or its directory is closed to "
                                    "httpd's user: %s",
                      r->filename);
        return HTTP_NOT_FOUND;
    }
    if (r->finfo.filetype == APR_DIR) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0136) "the script is a directory; name a file in it: %s",
                      r->filename);
        return HTTP_FORBIDDEN;
    }
    return OK;
}

static int check_path_info(request_rec *r)
{
    if (r->used_path_info == AP_REQ_REJECT_PATH_INFO && r->path_info != NULL &&
        *r->path_info != '\0') {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0137) "AcceptPathInfo is off, and the URL goes on behind the script: "
                                    "%s%s",
                      r->filename, r->path_info);
        return HTTP_NOT_FOUND;
    }
    return OK;
}

static int check_coding(request_rec *r, const char *coding, int64_t *length)
{
    *length = WSGI_BODY_UNKNOWN;
    if (ap_cstr_casecmp(coding, "chunked") != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0138) "the client sent a body with Transfer-Encoding: %s; only "
                                    "chunked is known",
                      coding);
        return HTTP_NOT_IMPLEMENTED;
    }
    if (wsgi_dir_config(r)->chunked_request >= WSGI_FLAG_ON) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0139) "the client sent a body without its length (chunked), which WSGI "
                                "applications cannot tell from none; WSGIChunkedRequest Buffer "
                                "collects it first, On passes it on");
    return HTTP_LENGTH_REQUIRED;
}

static int check_length(request_rec *r, const char *text, int64_t *length)
{
    if (wsgi_length_parse(text, strlen(text), length) < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(0141) "the client sent no number as Content-Length: %s", text);
        return HTTP_BAD_REQUEST;
    }
    apr_off_t limit = ap_get_limit_req_body(r);
    if (limit > 0 && *length > limit) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1520) "the request body of %" APR_INT64_T_FMT " bytes is over "
                                    "LimitRequestBody %" APR_OFF_T_FMT,
                      *length, limit);
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    return OK;
}

/* Does an input filter stand before httpd's own? It may make the body longer or shorter. */
static bool has_content_filter(const request_rec *r)
{
    const ap_filter_t *filter = r->input_filters;
    return filter != NULL && filter->frec->ftype < AP_FTYPE_PROTOCOL;
}

static int check_body(request_rec *r, int64_t *length)
{
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");
    if (coding != NULL) {
        return check_coding(r, coding, length);
    }
    const char *text = apr_table_get(r->headers_in, "Content-Length");
    *length = 0;
    int status = text == NULL ? OK : check_length(r, text, length);
    /* Who was here before an internal redirect may have read some of it, or all. */
    if (status == OK && *length > 0 && (r->prev != NULL || has_content_filter(r))) {
        *length = WSGI_BODY_UNKNOWN;
    }
    return status;
}

static int check_request(request_rec *r, const wsgi_handler_script_t *handler, int64_t *body_length)
{
    int status = handler == NULL ? check_script(r) : OK;
    if (status == OK) {
        status = check_path_info(r);
    }
    return status == OK ? check_body(r, body_length) : status;
}

/* ---- the exchange's data ---- */

/* The resource of a handler script is none that httpd has looked at for us. */
static void fill_script(const request_rec *r, const wsgi_route_t *route, wsgi_request_t *request)
{
    if (route->handler_script != NULL) {
        request->flags |= WSGI_REQUEST_HANDLER_SCRIPT;
    }
    else {
        request->script_mtime_us = r->finfo.mtime;
    }
    request->script = wsgi_text(wsgi_route_path_inside(route, wsgi_route_script(r, route)));
}

static void fill_request(wsgi_httpd_exchange_t *x, const wsgi_route_t *route, wsgi_child_t *child,
                         int64_t body_length)
{
    request_rec *r = x->r;
    wsgi_request_t *request = &x->ex.request;
    request->id = atomic_fetch_add_explicit(&child->request_id, 1, memory_order_relaxed) + 1;
    request->body_length = body_length;
    request->request_start_us = r->request_time;
    request->process_group = route->process_group;
    request->application_group = route->application_group;
    request->callable = route->callable;
    request->handler = wsgi_text(r->handler);
    request->log_level = (uint8_t)ap_get_request_module_loglevel(r, APLOG_MODULE_INDEX);
    if (route->config.script_reloading != WSGI_FLAG_OFF) {
        request->flags |= WSGI_REQUEST_RELOADING;
    }
    if (r->expecting_100) {
        request->flags |= WSGI_REQUEST_EXPECT;
    }
    if (route->config.ignore_activity == WSGI_FLAG_ON) {
        request->flags |= WSGI_REQUEST_IGNORE_ACTIVITY;
    }
    if (route->is_open_name) {
        request->flags |= WSGI_REQUEST_OPEN_NAME;
    }
    if (route->config.pass_apache_request == WSGI_FLAG_ON && route->group < 0) {
        request->flags |= WSGI_REQUEST_PASS_NATIVE;
    }
    fill_script(r, route, request);
    wsgi_metavars_collect(r, route, child->pid, request);
}

/* ---- embedded ---- */

static int refuse_embedded(request_rec *r, const char *cause)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(0210) "no application can run in this httpd child: %s", cause);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int serve_embedded(wsgi_httpd_exchange_t *x, wsgi_child_t *child)
{
    if (child->python_failure != NULL) {
        return refuse_embedded(x->r, child->python_failure);
    }
    wsgi_result_t result = {0};
    atomic_fetch_add(&child->embedded, 1);
    wsgi_interp_t *interp =
        wsgi_interp_find(x->ex.request.application_group.data,
                         (x->ex.request.flags & WSGI_REQUEST_OPEN_NAME) != 0, &result);
    if (interp != NULL) {
        (void)wsgi_gateway_serve(interp, &x->ex,
                                 WSGI_RELOAD_IN_PLACE); /* logs through the exchange */
    }
    atomic_fetch_sub(&child->embedded, 1);
    return interp != NULL ? x->status : refuse_embedded(x->r, result.detail);
}

/* ---- process groups ---- */

/* What may become of a request that goes to a worker; the status has been given to the exchange. */
static const struct failure {
    int code, level;
    const char *id;
    const char *before_head, *after_head;
} failures[] = {
    {WSGI_E_REFUSED, APLOG_ERR, WSGI_ID(0116), "no worker took the request", NULL},
    {WSGI_E_DIED, APLOG_ERR, WSGI_ID(0146), "the worker ended before it had answered",
     "the worker ended in the middle of its answer"},
    {WSGI_E_PROTOCOL, APLOG_ERR, WSGI_ID(0148), "the worker's answer breaks the rules",
     "the rest of the worker's answer breaks the rules"},
    {WSGI_E_TIMEOUT, APLOG_ERR, WSGI_ID(0145), "the worker has not answered in time",
     "the worker fell silent in the middle of its answer"},
    {WSGI_E_IO, APLOG_ERR, WSGI_ID(1530), "the request cannot be carried to a worker",
     "the answer cannot be carried to the client"},
    {WSGI_E_GONE, APLOG_INFO, WSGI_ID(1531), "the client has gone", "the client has gone"},
};

static void log_failure(const wsgi_httpd_exchange_t *x, int code, const wsgi_result_t *result)
{
    wsgi_bytes_t group = x->ex.request.process_group;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        const struct failure *failure = &failures[i];
        if (failure->code == code) {
            bool is_late = x->ex.head_sent && failure->after_head != NULL;
            ap_log_rerror(APLOG_MARK, failure->level, 0, x->r, "%s[%s] %s: %s", failure->id,
                          group.data, is_late ? failure->after_head : failure->before_head,
                          result->detail);
            return;
        }
    }
}

#define RETRY_AFTER_S "1"

/* What is left of a body must not pass for the next request. A client that waits for 100 (Continue)
 * has not sent it, and may or may not do so. */
static void drop_body(request_rec *r)
{
    if (r->expecting_100 || ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
}

/* As a GET without a body, whatever the request was. */
static int redirect_inside(request_rec *r, const char *path)
{
    drop_body(r);
    r->method = "GET";
    r->method_number = M_GET;
    apr_table_unset(r->headers_in, "Content-Length");
    ap_internal_redirect_handler(path, r);
    return OK;
}

static int serve_by_group(wsgi_httpd_exchange_t *x, int group)
{
    wsgi_link_t *link = wsgi_groups_child_link((unsigned)group);
    if (link == NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                      WSGI_ID(1532) "[%s] this httpd child has no link to the process group; the "
                                    "log of its start says why",
                      x->ex.request.process_group.data);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    wsgi_result_t result = {0};
    x->ex.request.queue_start_us = apr_time_now();
    int code = wsgi_proxy_serve(link, &x->ex, &result);
    if (code < 0) {
        log_failure(x, code, &result);
    }
    if (x->status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(x->r->err_headers_out, "Retry-After", RETRY_AFTER_S);
    }
    return code == WSGI_OK && x->redirect != NULL ? redirect_inside(x->r, x->redirect) : x->status;
}

/* ---- the way of a request ---- */

static int serve(wsgi_httpd_exchange_t *x, const wsgi_route_t *route, wsgi_child_t *child,
                 int64_t body_length)
{
    if (body_length == WSGI_BODY_UNKNOWN && route->config.chunked_request == WSGI_FLAG_THIRD &&
        apr_table_get(x->r->headers_in, "Transfer-Encoding") != NULL) {
        int status = wsgi_httpd_exchange_collect(x, &body_length);
        if (status != OK) {
            return status;
        }
    }
    fill_request(x, route, child, body_length);
    if (route->target != NULL && route->target->settings.server_metrics) {
        wsgi_httpd_scoreboard_publish(child->main_server);
    }
    return route->group < 0 ? serve_embedded(x, child) : serve_by_group(x, route->group);
}

int wsgi_handler_serve(request_rec *r)
{
    if (r->handler == NULL) {
        return DECLINED;
    }
    const wsgi_handler_script_t *handler = is_script(r) ? NULL : find_handler_script(r);
    if (handler == NULL && !is_script(r)) {
        return DECLINED;
    }
    int64_t body_length;
    int status = check_request(r, handler, &body_length);
    if (status != OK) {
        return status;
    }
    wsgi_route_t route;
    status = wsgi_route_find(r, handler, &route);
    if (status == OK && route.target != NULL) {
        status = wsgi_group_check(r, route.target, wsgi_route_script(r, &route));
    }
    if (status != OK) {
        return status;
    }
    wsgi_httpd_exchange_t x;
    wsgi_httpd_exchange_init(&x, r);
    x.may_sendfile = route.config.enable_sendfile == WSGI_FLAG_ON;
    x.may_redirect = route.group >= 0;
    x.is_overridden = route.config.error_override == WSGI_FLAG_ON && route.group >= 0;
    return serve(&x, &route, wsgi_server_config_main(wsgi_server_config(r->server))->child,
                 body_length);
}
