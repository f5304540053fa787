/* server/log.c — the log sink of httpd's processes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "apr_lib.h"
#include "http_main.h"

/* Asks httpd for its main server each time: one that the sink kept would be stale after a restart. */
static void write_log(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    ap_log_error(file, line, APLOG_MODULE_INDEX, level, 0, ap_server_conf, "%s", text);
}

/* The most talkative virtual host's: lines outside requests have none of their own. */
static int find_log_level(const server_rec *server)
{
    int most = WSGI_LOG_CRIT;
    for (; server != NULL; server = server->next) {
        int level = ap_get_server_module_loglevel(server, APLOG_MODULE_INDEX);
        most = level > most ? level : most;
    }
    return most;
}

void wsgi_server_log_install(const server_rec *main_server)
{
    wsgi_log_install(write_log, NULL, find_log_level(main_server));
}

/* httpd escapes the text of a line, but not the name of its source. */
static bool is_printable(const char *name)
{
    while (*name != '\0' && !apr_iscntrl(*name)) {
        name++;
    }
    return *name == '\0';
}

void wsgi_server_log_request(const request_rec *r, int level, const char *file, int line,
                             const char *text)
{
    if (file != NULL && is_printable(file)) {
        ap_log_rerror(file, line, APLOG_MODULE_INDEX, level, 0, r, "%s", text);
    }
    else {
        ap_log_rerror(APLOG_MARK, level, 0, r, "%s", text);
    }
}
