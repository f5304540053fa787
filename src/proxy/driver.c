/* proxy/driver.c — the blocking driver: what an httpd thread does while the machine has to wait.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "proxy_private.h"

#include <limits.h>
#include <poll.h>

enum { TROUBLE = POLLERR | POLLHUP | POLLNVAL }; /* the next call finds out */

/* Rounded up: to wake before the time is to wake twice. */
static int milliseconds(int64_t us)
{
    const int64_t ms = (us + 999) / 1000;

    return ms <= 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

static unsigned bits(short events, unsigned readable, unsigned writable)
{
    return ((events & (POLLIN | TROUBLE)) != 0 ? readable : 0) |
           ((events & (POLLOUT | TROUBLE)) != 0 ? writable : 0);
}

static void poll_for(wsgi_proxy_t *p, const wsgi_wait_t *wait, int64_t now_us)
{
    struct pollfd sides[] = {
        {.fd = wait->worker_events != 0 ? p->fd : -1, .events = wait->worker_events},
        {.fd = wait->client_events != 0 ? p->ex->body_fd : -1, .events = wait->client_events},
    };

    if (poll(sides, 2, milliseconds(wait->until_us - now_us)) > 0) {
        p->ready |= bits(sides[0].revents, WSGI_READY_WORKER_READ, WSGI_READY_WORKER_WRITE);
        p->ready |= bits(sides[1].revents, WSGI_READY_CLIENT_READ, WSGI_READY_CLIENT_WRITE);
    }
}

/* On a kept connection nothing else can happen: a system call less than with poll(). The socket's
 * own time-out ends the read early enough for every deadline. */
static bool is_for_worker_alone(const wsgi_proxy_t *p, const wsgi_wait_t *wait, int64_t now_us)
{
    return p->state == WSGI_PROXY_REUSE && p->place.kept.is_timed &&
           wait->worker_events == POLLIN && wait->client_events == 0 &&
           wait->until_us - now_us >= WSGI_PROXY_BLOCK_US;
}

static void wait_for(wsgi_proxy_t *p)
{
    const int64_t now_us = wsgi_now_us();
    const wsgi_wait_t wait = wsgi_proxy_wait(p, now_us);

    if (wait.is_for_place) {
        wsgi_link_await(p->link, &p->place, wait.until_us);
    }
    else if (is_for_worker_alone(p, &wait, now_us)) {
        wsgi_download_await(p);
    }
    else {
        poll_for(p, &wait, now_us);
    }
}

int wsgi_proxy_serve(wsgi_link_t *link, wsgi_exchange_t *ex, wsgi_result_t *result)
{
    wsgi_proxy_t *spare = wsgi_link_take_spare(link);
    wsgi_proxy_t *p = spare != NULL ? spare : wsgi_proxy_new();

    if (p == NULL) {
        (void)ex->verbs->finish(ex, WSGI_FAILED, 500);
        return wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
    }
    wsgi_proxy_start(p, link, ex, result, wsgi_now_us());
    while (wsgi_proxy_step(p, wsgi_now_us())) {
        wait_for(p);
    }
    const int code = p->code;
    wsgi_proxy_release(p);
    if (!wsgi_link_give_spare(link, p)) {
        wsgi_proxy_free(p);
    }
    return code;
}
