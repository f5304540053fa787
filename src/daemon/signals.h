/* daemon/signals.h — the signals of a worker that are the application's: handed to those who
 * subscribed, by a thread of its own that the first such signal makes.
 * Runs in:  worker.   Threads: wsgi_signals_publish() on the main thread.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SIGNALS_H
#define WSGI_SIGNALS_H

#include "wsgi_core.h"

/* Zero-initialised with fds of -1. */
typedef struct wsgi_signals {
    int read_fd, write_fd; /* a pipe of signal numbers, one byte each; -1 before the first */
} wsgi_signals_t;

void wsgi_signals_publish(wsgi_signals_t *signals, int number);

/* In a process that the application forked: closes what is ours. Async-signal-safe. */
void wsgi_signals_forget(wsgi_signals_t *signals);

#endif
