/* server/log.h — the log sink of httpd's processes: lines outside requests go to httpd's error log.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SERVER_LOG_H
#define WSGI_SERVER_LOG_H

#include "server_private.h"

/* Again after each pass of the configuration, whose levels count. */
void wsgi_server_log_install(const server_rec *main_server);

/* A line of a request, without line end, from a line of a source; its name may come from anywhere.
 * file NULL: of no interest. */
void wsgi_server_log_request(const request_rec *r, int level, const char *file, int line,
                             const char *text);

#endif
