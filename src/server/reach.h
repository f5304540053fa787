/* server/reach.h — what requests can lead to, as far as the configuration shows. Where it does not
 * show enough, the answer is the one that is always right and costs more.
 * Runs in:  httpd parent, check_config.   Threads: one.   Memory: pconf.   Blocks: in stat().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_REACH_H
#define WSGI_REACH_H

#include "settings.h"

/* Can a request lead to an application, or to a hook script, in httpd's own children? Sections are not walked, so an
 * alias that only a <Directory> delegates counts as embedded. */
bool wsgi_reach_embedded(const wsgi_settings_t *settings, const server_rec *main_server);

/* Gives each process group that serves one application only, under its default name, that name for
 * its main interpreter: there every extension works. */
void wsgi_reach_place(const wsgi_settings_t *settings, server_rec *main_server, apr_pool_t *pconf);

#endif
