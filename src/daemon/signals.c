/* daemon/signals.c — the signals of a worker that are the application's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "wsgi_runtime.h"

static void *run(void *data)
{
    const wsgi_signals_t *signals = data;
    unsigned char number;

    while (read(signals->read_fd, &number, 1) == 1) {
        wsgi_runtime_publish_signal(number);
    }
    wsgi_runtime_thread_end();
    return NULL;
}

static int start_thread(wsgi_signals_t *signals)
{
    pthread_t thread;
    const int error = wsgi_thread_start(&thread, "wsgi:signals", run, signals);

    if (error == 0) {
        pthread_detach(thread);
    }
    return error;
}

static bool open_once(wsgi_signals_t *signals)
{
    int fds[2];

    if (signals->write_fd >= 0) {
        return true;
    }
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return false;
    }
    signals->read_fd = fds[0];
    signals->write_fd = fds[1];
    if (fcntl(fds[1], F_SETFL, O_NONBLOCK) != 0 || start_thread(signals) != 0) {
        wsgi_signals_forget(signals);
        return false;
    }
    return true;
}

void wsgi_signals_publish(wsgi_signals_t *signals, int number)
{
    const unsigned char byte = (unsigned char)number;

    if (!open_once(signals) || write(signals->write_fd, &byte, 1) != 1) {
        wsgi_log(WSGI_LOG_INFO, "signal %d (SIG%s) could not be handed to the application", number,
                 sigabbrev_np(number));
    }
}

void wsgi_signals_forget(wsgi_signals_t *signals)
{
    wsgi_fd_close(&signals->read_fd);
    wsgi_fd_close(&signals->write_fd);
}
