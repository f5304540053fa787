/* server/parent.c — what httpd's parent does with the configuration: judge it, then start.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "ap_mpm.h"
#include "child.h"
#include "log.h"
#include "score.h"

#include "mod_wsgi.h"
#include "wsgi_runtime.h"
#include "wsgi_server.h"

int wsgi_server_check_config(apr_pool_t *pconf, server_rec *main_server)
{
    wsgi_server_log_install(main_server);
    return wsgi_settings_resolve(pconf, main_server) == NULL ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

static const char *describe_server(apr_pool_t *pconf)
{
    ap_add_version_component(pconf, "mod_wsgi/" MOD_WSGI_VERSION_STRING);
    ap_add_version_component(pconf, "Quetzal/" MOD_WSGI_QUETZAL_VERSION);
    ap_add_version_component(pconf, apr_pstrcat(pconf, "Python/", wsgi_runtime_version(), NULL));
    return ap_get_server_banner();
}

/* For the groups that may read it, if there are any: a descriptor, else -1. Without it they do as if
 * they might not. */
static int open_scoreboard(const wsgi_settings_t *settings, apr_pool_t *pconf,
                           server_rec *main_server)
{
    int fd = -1;
    bool is_wanted = false;
    wsgi_result_t result = {0};
    for (unsigned i = 0; i < settings->group_count; i++) {
        is_wanted = is_wanted || settings->groups[i].settings.server_metrics;
    }
    if (is_wanted && (fd = wsgi_httpd_scoreboard_open(pconf, main_server, &result)) < 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     WSGI_ID(1732) "server-metrics=On has no effect: %s", result.detail);
        for (unsigned i = 0; i < settings->group_count; i++) {
            settings->groups[i].settings.server_metrics = false;
        }
    }
    return fd;
}

static void describe_httpd(wsgi_group_settings_t *group, const char *description)
{
    group->server_description = description;
    group->server_build_date = ap_get_server_built();
    group->mpm_name = ap_show_mpm();
    group->mpm_processes = wsgi_child_ask_mpm(AP_MPMQ_MAX_DAEMONS);
    group->mpm_threads = wsgi_child_ask_mpm(AP_MPMQ_MAX_THREADS);
}

int wsgi_server_parent_start(apr_pool_t *pconf, server_rec *main_server)
{
    const wsgi_settings_t *settings = wsgi_settings_resolve(pconf, main_server);
    if (settings == NULL) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    const char *description = describe_server(pconf);
    for (unsigned i = 0; i < settings->group_count; i++) {
        describe_httpd(&settings->groups[i].settings, description);
    }
    wsgi_result_t result = {0};
    int scoreboard_fd = open_scoreboard(settings, pconf, main_server);
    int status = wsgi_groups_parent_open(settings->groups, settings->group_count, scoreboard_fd,
                                         pconf, main_server, &result);
    wsgi_fd_close(&scoreboard_fd);
    if (status < 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, main_server,
                     WSGI_ID(1510) "the process groups cannot be started: %s", result.detail);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

void wsgi_server_parent_monitor(server_rec *main_server)
{
    wsgi_groups_parent_monitor(main_server);
    wsgi_httpd_scoreboard_publish(main_server);
}
