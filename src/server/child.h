/* server/child.h — what one httpd child has of its own.
 * Runs in:  httpd child.   Threads: made and ended on the main one, read by any.
 * Memory:   pchild.   Python: started and stopped here.   Blocks: its start and end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_CHILD_H
#define WSGI_CHILD_H

#include "settings.h"

#include <stdatomic.h>

typedef struct wsgi_child {
    wsgi_bytes_t pid; /* in decimal */
    const server_rec *main_server;
    const char *python_failure;  /* why no application can run here; NULL where it can */
    _Atomic uint64_t request_id; /* of the request that was numbered last */
    _Atomic unsigned embedded;   /* requests that are inside Python now */
} wsgi_child_t;

/* A figure of the MPM, AP_MPMQ_…; 1 where it has none: prefork has no threads, and a debugging server
 * one process. In the parent too. */
int wsgi_child_ask_mpm(int question);

#endif
