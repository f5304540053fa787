/* server/score.h — httpd's scoreboard as Python code may be told of it.
 * Runs in:  httpd parent (opens, publishes), child (publishes, reads).   Threads: any.
 * Memory:   malloc for pictures; the map is pconf's.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_HTTPD_SCOREBOARD_H
#define WSGI_HTTPD_SCOREBOARD_H

#include "settings.h"

#include "wsgi_scoreboard.h"

/* Memory for process groups that may read it, one for a generation; kept in the main server's
 * settings until pconf goes. Its descriptor, to be handed over and closed, or -1 with the reason. */
int wsgi_httpd_scoreboard_open(apr_pool_t *pconf, server_rec *main_server, wsgi_result_t *result);

/* Draws a picture of now into it, where there is one and the last is a quarter of a second old. */
void wsgi_httpd_scoreboard_publish(const server_rec *main_server);

/* A picture of now, for the caller to free. NULL without memory. */
wsgi_scoreboard_t *wsgi_httpd_scoreboard_read(void);

#endif
