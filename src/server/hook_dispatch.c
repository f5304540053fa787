/* server/hook_dispatch.c — WSGIDispatchScript: Python chooses who serves a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include "child.h"
#include "metavars.h"

enum { PROCESS_GROUP, APPLICATION_GROUP, CALLABLE_OBJECT, FUNCTION_COUNT };

static const char *chosen(const wsgi_hook_call_t *call)
{
    return call->answer == WSGI_HOOK_TEXT ? call->text : NULL;
}

static void choose_process_group(request_rec *r, wsgi_route_t *route, const char *text)
{
    wsgi_group_ref_t *ref = apr_palloc(r->pool, sizeof *ref);
    *ref = (wsgi_group_ref_t){
        .name = wsgi_name_parse(text),
        .place = {route->config.hooks->dispatch->script, 0},
        .group = WSGI_GROUP_DYNAMIC,
    };
    route->config.process_group = ref;
    route->is_dispatched = true;
}

static const wsgi_name_t *keep_name(request_rec *r, wsgi_name_t name)
{
    return apr_pmemdup(r->pool, &name, sizeof name);
}

/* The script may have made the name of the interpreter of what the client said. */
static void apply(request_rec *r, wsgi_route_t *route, const wsgi_hook_call_t *calls)
{
    const char *text = chosen(&calls[PROCESS_GROUP]);
    if (text != NULL) {
        choose_process_group(r, route, text);
    }
    text = chosen(&calls[APPLICATION_GROUP]);
    if (text != NULL) {
        route->config.application_group = keep_name(r, wsgi_name_parse(text));
        route->is_open_name = true;
    }
    text = chosen(&calls[CALLABLE_OBJECT]);
    if (text != NULL) {
        route->config.callable_object = keep_name(r, wsgi_name_parse_callable(text));
    }
}

int wsgi_hook_dispatch(request_rec *r, wsgi_route_t *route)
{
    const wsgi_server_config_t *main = wsgi_server_config_main(wsgi_server_config(r->server));
    const unsigned wants = WSGI_HOOK_WANTS_TEXT | WSGI_HOOK_MAY_LACK;
    wsgi_hook_call_t calls[FUNCTION_COUNT] = {
        [PROCESS_GROUP] = {.function = "process_group", .wants = wants},
        [APPLICATION_GROUP] = {.function = "application_group", .wants = wants},
        [CALLABLE_OBJECT] = {.function = "callable_object", .wants = wants},
    };
    wsgi_request_t vars = {0};
    wsgi_metavars_collect(r, route, main->child->pid, &vars);
    if (!wsgi_hook_ask(r, route->config.hooks->dispatch, &vars, calls, FUNCTION_COUNT)) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apply(r, route, calls);
    return OK;
}
