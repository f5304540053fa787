/* server/groups.h — process groups as httpd sees them: its parent starts their supervisors and
 * keeps them going, its children reach their workers.
 * Runs in:  httpd parent (_parent_), httpd child (_child_).   Threads: the process's main thread;
 *           wsgi_groups_child_link() any.
 * Owns:     sockets, counters and supervisors of each generation, until that has ended.
 * Memory:   sub-pools of the process pool, since a generation may outlive its pconf.
 * Blocks:   _open() until each program runs (milliseconds); the end of the process pool up to the
 *           longest shutdown-timeout and one second.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_GROUPS_H
#define WSGI_GROUPS_H

#include "httpd.h"

#include "wsgi_handover.h"
#include "wsgi_proxy.h"

/* One process group as resolved from the configuration. Everything is copied by _open(). */
typedef struct wsgi_group {
    const server_rec *server;       /* whose error log it writes to */
    wsgi_group_settings_t settings; /* restart_delay_ms and parent_pid are filled in here */
    const char *program;            /* path of its wsgi-daemon-X.Y, opened once per generation */
    bool has_socket_timeout;        /* by its own option; else it is httpd's Timeout */
    int64_t script_uid, script_gid; /* who must own its scripts; -1: nobody in particular */
} wsgi_group_t;

/* Makes the sockets and counters of a new generation and starts its supervisors. Call it in
 * post-config of the real pass only, and there for no groups too. A supervisor that ends is started
 * again with back-off; at the end of pconf the generation is retired: it ends by itself when the
 * httpd children of its time have gone. Group i of the array is wsgi_groups_child_link(i).
 * scoreboard_fd is for groups with server_metrics, and stays the caller's.
 * WSGI_OK, WSGI_E_IO, WSGI_E_NOMEM. */
int wsgi_groups_parent_open(const wsgi_group_t *groups, unsigned count, int scoreboard_fd,
                            apr_pool_t *pconf, server_rec *main_server, wsgi_result_t *result);

/* Starts again what could not be started, for lack of memory and the like. For the monitor hook,
 * which httpd runs every ten seconds. */
void wsgi_groups_parent_monitor(server_rec *main_server);

/* Closes what is the parent's or another generation's, and opens a link to each group. */
void wsgi_groups_child_init(apr_pool_t *pchild, server_rec *main_server);

/* NULL for a number that no group has, or where child_init could not open the link. */
wsgi_link_t *wsgi_groups_child_link(unsigned index);

#endif
