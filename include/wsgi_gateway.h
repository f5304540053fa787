/* wsgi_gateway.h — PEP 3333: from an exchange to the application's answer. Cannot tell which mode
 * it runs in.
 * Runs in:  httpd child (embedded), worker.   Threads: any, not attached; one exchange each.
 * Owns:     nothing that outlives the call.
 * Python:   attaches inside.   Blocks: as long as the application does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_GATEWAY_H
#define WSGI_GATEWAY_H

#include "wsgi_exchange.h"
#include "wsgi_runtime.h"

/* Whether a changed script is loaded again in place, or left to the caller. */
enum wsgi_reload_mode {
    WSGI_RELOAD_IN_PLACE,  /* embedded: the module is dropped and loaded again */
    WSGI_RELOAD_BY_PROCESS /* daemon: WSGI_E_DECLINED, nothing begun; the process is replaced */
};

/* Serves one request in interp: loads the script where needed, calls the application, sends its
 * answer, calls finish() exactly once — except for WSGI_E_DECLINED, where no verb was called.
 * WSGI_OK: the application answered (whatever its status). Other codes: what ended the answer;
 * already logged through the exchange. */
int wsgi_gateway_serve(wsgi_interp_t *interp, wsgi_exchange_t *ex, enum wsgi_reload_mode mode);

#endif
