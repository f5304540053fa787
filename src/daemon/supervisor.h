/* daemon/supervisor.h — keeps the workers of a group in the wanted number. Single-threaded for its
 * whole life, and never a Python in it: workers are forked from a clean image.
 * Runs in:  supervisor.   Threads: one.   Owns: the workers.   Blocks: for its whole life.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SUPERVISOR_H
#define WSGI_SUPERVISOR_H

#include "process.h"

/* Serves until told to end, or until the httpd parent or all callers have gone, and the last worker
 * has ended. In a fork it becomes the worker and does not return. The status to exit with. */
enum wsgi_exit wsgi_supervisor_run(const wsgi_process_t *process);

#endif
