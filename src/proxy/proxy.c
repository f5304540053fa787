/* proxy/proxy.c — the machine: states, what each does and waits for, and the ends of a request.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "proxy_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

wsgi_proxy_t *wsgi_proxy_new(void)
{
    wsgi_proxy_t *p = calloc(1, sizeof(*p));

    if (p != NULL) {
        p->fd = p->far_fd = p->passed_fd = -1;
        wsgi_place_init(&p->place);
    }
    return p;
}

void wsgi_proxy_free(wsgi_proxy_t *p)
{
    wsgi_place_destroy(&p->place);
    wsgi_buffer_clear(&p->in, 0);
    wsgi_buffer_clear(&p->out, 0);
    free(p->store.items);
    free(p);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ends of a try. */

static void leave_place(wsgi_proxy_t *p)
{
    if (p->has_asked) {
        p->has_asked = false;
        wsgi_link_leave(p->link, &p->place, p->now_us);
    }
}

static void drop_pair(wsgi_proxy_t *p)
{
    wsgi_fd_close(&p->fd);
    wsgi_fd_close(&p->far_fd);
    wsgi_download_reset(p, true);
    p->out_sent = 0;
    p->is_half_shut = p->has_send_failed = false;
    p->ready &= ~WSGI_READY_WORKER_READ;
    p->ready |= WSGI_READY_WORKER_WRITE;
}

/* For messages, as far as the counters tell. */
static void note_worker(wsgi_proxy_t *p)
{
    const wsgi_worker_row_t *row = wsgi_link_row(p->link, p->place.kept.worker_index);

    p->worker_pid = row == NULL ? 0 : atomic_load_explicit(&row->pid, memory_order_relaxed);
}

void wsgi_proxy_hello(wsgi_proxy_t *p, const wsgi_hello_t *hello)
{
    wsgi_link_begun(p->link, &p->place, hello->worker_index, hello->generation, p->now_us);
    note_worker(p);
    p->state = WSGI_PROXY_RELAY;
}

void wsgi_proxy_begun(wsgi_proxy_t *p)
{
    p->state = WSGI_PROXY_RELAY;
}

static void ask_again(wsgi_proxy_t *p)
{
    const bool keeps_place = p->state == WSGI_PROXY_SENT;

    drop_pair(p);
    p->worker_pid = 0;
    if (!keeps_place) {
        p->is_wary = true;
        leave_place(p);
    }
    p->state = keeps_place ? WSGI_PROXY_CONNECT : WSGI_PROXY_QUEUE;
}

/* A kept connection that was taken back is no worker's fault, and there is only one of them. */
void wsgi_proxy_try_again(wsgi_proxy_t *p)
{
    p->try_count += p->state != WSGI_PROXY_REUSE;
    wsgi_wire_note_tries(&p->out, p->try_count);
    if (p->try_count > 2 * p->settings->processes) {
        wsgi_proxy_fail(p, WSGI_E_REFUSED,
                        "%u workers in a row gave the request back; their lines in the error log "
                        "tell why",
                        p->try_count);
        return;
    }
    ask_again(p);
}

/* Ends of the request. */

static const struct {
    int code;
    unsigned status;
} statuses[] = {
    {WSGI_E_REFUSED, 503}, {WSGI_E_DIED, 502}, {WSGI_E_PROTOCOL, 502},
    {WSGI_E_TIMEOUT, 504}, {WSGI_E_GONE, 400}, {WSGI_E_TOO_LARGE, 431},
};

static unsigned status_of(int code)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].code == code) {
            return statuses[i].status;
        }
    }
    return 500;
}

/* The worker is let go first: finish() may wait for the client. */
static void end_failed(wsgi_proxy_t *p, unsigned status)
{
    const bool has_left = p->ex->head_sent;

    wsgi_fd_close(&p->fd);
    wsgi_fd_close(&p->far_fd);
    leave_place(p);
    p->state = WSGI_PROXY_FAILED;
    (void)p->ex->verbs->finish(p->ex, has_left ? WSGI_TRUNCATED : WSGI_FAILED,
                               has_left ? 0 : status);
}

void wsgi_proxy_fail(wsgi_proxy_t *p, int code, const char *fmt, ...)
{
    char sentence[sizeof(p->result->detail)];
    char worker[32] = "";
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    if (p->worker_pid != 0) {
        (void)snprintf(worker, sizeof(worker), ", worker %u", (unsigned)p->worker_pid);
    }
    p->code = wsgi_fail(p->result, code, "process group '%s'%s: %s", p->settings->group, worker,
                        sentence);
    end_failed(p, status_of(code));
}

void wsgi_proxy_abort(wsgi_proxy_t *p, unsigned status)
{
    end_failed(p, status);
}

static bool may_keep(const wsgi_proxy_t *p)
{
    return wsgi_download_is_clean(p) && p->upload != WSGI_UPLOAD_RUNNING &&
           p->out_sent == p->out.len && !p->is_half_shut && !p->has_send_failed;
}

void wsgi_proxy_keep(wsgi_proxy_t *p)
{
    const int fd = p->fd;

    if (wsgi_download_is_noisy(p)) {
        wsgi_link_log_noise(p->link, &p->place.kept);
    }
    if (!may_keep(p)) {
        return;
    }
    if (!p->place.kept.is_timed) {
        const struct timeval limit = {.tv_usec = WSGI_PROXY_BLOCK_US};

        p->place.kept.is_timed =
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0;
    }
    p->fd = -1;
    p->has_asked = false;
    wsgi_link_keep(p->link, &p->place, fd, p->now_us);
}

/* The connection first, for others may wait for it while the client takes its time. */
void wsgi_proxy_complete(wsgi_proxy_t *p)
{
    wsgi_fd_close(&p->fd);
    leave_place(p);
    p->state = WSGI_PROXY_END;
    const int code = p->ex->verbs->finish(p->ex, WSGI_DONE, 0);
    if (code != WSGI_OK) {
        p->code = wsgi_fail(p->result, code,
                            "process group '%s': the client did not take the end of the answer "
                            "(%s)",
                            p->settings->group, wsgi_strerror(code));
    }
}

/* States. */

static void refuse_late(wsgi_proxy_t *p)
{
    static const char *const cures[] = {
        [WSGI_LACK_NONE] = "raise processes= or threads=, or find out what keeps them busy",
        [WSGI_LACK_STARTING] = "its workers are still starting: make the import faster or raise "
                               "connect-timeout",
        [WSGI_LACK_REPLACING] = "its workers are being replaced, and requests that run long hold "
                                "their successors up: set processes=, so that these start beside "
                                "them, or lower shutdown-timeout or raise connect-timeout",
    };

    wsgi_proxy_fail(p, WSGI_E_REFUSED, "no worker took the request within %g s; %s",
                    (double)p->settings->connect_timeout_us / 1e6, cures[wsgi_link_lack(p->link)]);
}

static void refuse_failed_group(wsgi_proxy_t *p)
{
    wsgi_proxy_fail(p, WSGI_E_REFUSED, "it cannot start; its lines in the error log tell why");
}

/* Within every other limit: what is not read when they end can still be told from what is begun. */
static int64_t unread_till_us(const wsgi_proxy_t *p)
{
    const int64_t patience_us = earlier(WSGI_PROXY_UNREAD_US, p->settings->socket_timeout_us);

    return earlier(p->connect_by_us, p->now_us + patience_us);
}

static void run_queue(wsgi_proxy_t *p)
{
    const enum wsgi_turn turn = wsgi_link_enter(p->link, &p->place, p->now_us, p->is_wary, &p->fd);

    p->is_crowded = turn == WSGI_TURN_FULL;
    p->has_asked = !p->is_crowded;
    if (turn == WSGI_TURN_KEPT) {
        wsgi_download_reset(p, false);
        note_worker(p);
        p->unread_till_us = unread_till_us(p);
        p->state = WSGI_PROXY_REUSE;
    }
    else if (turn == WSGI_TURN_SCOUT) {
        p->state = WSGI_PROXY_CONNECT;
    }
    else if (p->now_us >= p->connect_by_us) {
        refuse_late(p);
    }
}

/* What counts is how late it was when it asked: it has to ask once more after its patience. */
static wsgi_wait_t wait_queue(wsgi_proxy_t *p, int64_t now_us)
{
    const int64_t patient_until_us = p->place.since_us + WSGI_LINK_PATIENCE_US;

    if (p->is_crowded) {
        return (wsgi_wait_t){.until_us = earlier(p->connect_by_us, now_us + WSGI_PROXY_CROWDED_US)};
    }
    return (wsgi_wait_t){
        .is_for_place = true,
        .until_us = p->now_us < patient_until_us ? earlier(p->connect_by_us, patient_until_us)
                                                 : p->connect_by_us,
    };
}

static bool open_pair(wsgi_proxy_t *p)
{
    int pair[2];

    if (p->fd >= 0) {
        return true; /* the rendezvous was full the last time */
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        wsgi_proxy_fail(p, WSGI_E_IO, "no socket pair (%s); raise the limit of open files of httpd",
                        strerror(errno));
        return false;
    }
    p->fd = pair[0];
    p->far_fd = pair[1];
    return true;
}

/* The request is in the pair before a worker sees it: a round trip less. */
static void run_connect(wsgi_proxy_t *p)
{
    if (!wsgi_link_may_serve(p->link)) {
        refuse_failed_group(p);
        return;
    }
    if (!open_pair(p)) {
        return;
    }
    (void)wsgi_upload_flush(p);
    switch (wsgi_link_pass(p->link, p->far_fd)) {
    case WSGI_OK:
        wsgi_fd_close(&p->far_fd);
        p->state = WSGI_PROXY_SENT;
        break;
    case WSGI_E_AGAIN:
        if (p->now_us >= p->connect_by_us) {
            refuse_late(p);
        }
        break;
    case WSGI_E_REFUSED:
        wsgi_proxy_fail(p, WSGI_E_REFUSED,
                        "all its workers and their supervisor have ended; it is about to be "
                        "started again");
        break;
    default:
        wsgi_proxy_fail(p, WSGI_E_IO, "the rendezvous does not take the request (%s)",
                        strerror(errno));
    }
}

static wsgi_wait_t wait_connect(wsgi_proxy_t *p, int64_t now_us)
{
    return (wsgi_wait_t){.until_us = earlier(p->connect_by_us, now_us + WSGI_PROXY_FULL_US)};
}

static void run_sent(wsgi_proxy_t *p)
{
    (void)wsgi_upload_flush(p);
    wsgi_download_step(p);
    if (p->state != WSGI_PROXY_SENT) {
        return;
    }
    if (p->now_us >= p->connect_by_us) {
        refuse_late(p);
    }
    else if (p->now_us >= p->firm_until_us && !wsgi_link_may_serve(p->link)) {
        refuse_failed_group(p);
    }
}

static short worker_events(const wsgi_proxy_t *p)
{
    const bool has_more = p->out_sent < p->out.len;

    return (short)((wsgi_download_has_room(p) ? POLLIN : 0) | (has_more ? POLLOUT : 0));
}

static wsgi_wait_t wait_sent(wsgi_proxy_t *p, int64_t now_us)
{
    return (wsgi_wait_t){
        .worker_events = worker_events(p),
        .until_us = earlier(p->connect_by_us, now_us + WSGI_PROXY_LOOK_US),
    };
}

/* A worker that has not read the request by now is stopped, or has lost its threads: it is taken
 * back, and the worker's other connections are not used again. Between the two looks it may have
 * been read: then it has begun, or comes back by GOAWAY. */
static void take_back(wsgi_proxy_t *p)
{
    if (!wsgi_upload_is_read(p)) {
        (void)shutdown(p->fd, SHUT_WR);
        p->is_half_shut = true;
    }
    if (wsgi_upload_is_read(p)) {
        wsgi_proxy_begun(p);
        return;
    }
    wsgi_link_distrust(p->link, &p->place.kept);
    if (p->now_us >= p->connect_by_us) {
        refuse_late(p);
    }
    else {
        wsgi_proxy_try_again(p);
    }
}

static void run_reuse(wsgi_proxy_t *p)
{
    (void)wsgi_upload_flush(p);
    wsgi_download_step(p);
    if (p->state == WSGI_PROXY_REUSE && p->now_us >= p->unread_till_us) {
        take_back(p);
    }
}

static void end_silence(wsgi_proxy_t *p)
{
    if (p->awaited == WSGI_PARTY_CLIENT) {
        wsgi_upload_cut(p, WSGI_E_TIMEOUT);
        return;
    }
    wsgi_proxy_fail(p, WSGI_E_TIMEOUT,
                    "the worker was silent for %g s; find out what the application waits for, or "
                    "raise %s",
                    (double)p->settings->socket_timeout_us / 1e6, p->settings->socket_timeout_name);
}

static void run_relay(wsgi_proxy_t *p)
{
    wsgi_download_step(p);
    if (p->state == WSGI_PROXY_RELAY) {
        wsgi_upload_step(p);
    }
    if (p->state == WSGI_PROXY_RELAY && !p->has_moved && p->now_us >= p->limit_us) {
        end_silence(p);
    }
}

static int64_t patience_with(const wsgi_proxy_t *p, enum wsgi_party party)
{
    const bool is_client = party == WSGI_PARTY_CLIENT && p->ex->client_timeout_us > 0;

    return is_client ? p->ex->client_timeout_us : p->settings->socket_timeout_us;
}

/* The limit counts from the last move, or from when the turn passed to the other side. */
static void renew_limit(wsgi_proxy_t *p, int64_t now_us)
{
    const enum wsgi_party awaited =
        wsgi_upload_awaits_client(p) ? WSGI_PARTY_CLIENT : WSGI_PARTY_WORKER;

    if (p->has_moved || p->awaited != awaited) {
        p->has_moved = false;
        p->awaited = awaited;
        p->limit_us = now_us + patience_with(p, awaited);
    }
}

static wsgi_wait_t wait_relay(wsgi_proxy_t *p, int64_t now_us)
{
    wsgi_wait_t wait = {.worker_events = worker_events(p)};

    renew_limit(p, now_us);
    wait.until_us = p->limit_us;
    if (p->is_held) {
        wait.client_events |= POLLOUT;
    }
    if (p->awaited == WSGI_PARTY_CLIENT) {
        const bool has_more = (p->ready & WSGI_READY_CLIENT_READ) != 0;

        wait.client_events |= p->ex->body_fd >= 0 ? POLLIN : 0;
        wait.until_us = has_more ? now_us : earlier(p->limit_us, p->look_at_us);
    }
    return wait;
}

/* The silence of a worker counts from the request on, whenever it turns out that it has begun. */
static wsgi_wait_t wait_reuse(wsgi_proxy_t *p, int64_t now_us)
{
    renew_limit(p, now_us);
    return (wsgi_wait_t){.worker_events = worker_events(p), .until_us = p->unread_till_us};
}

static const struct {
    const char *name;
    void (*run)(wsgi_proxy_t *p); /* NULL: at its end */
    wsgi_wait_t (*wait)(wsgi_proxy_t *p, int64_t now_us);
} states[WSGI_PROXY_STATE_COUNT] = {
    [WSGI_PROXY_QUEUE] = {"QUEUE", run_queue, wait_queue},
    [WSGI_PROXY_CONNECT] = {"CONNECT", run_connect, wait_connect},
    [WSGI_PROXY_SENT] = {"SENT", run_sent, wait_sent},
    [WSGI_PROXY_REUSE] = {"REUSE", run_reuse, wait_reuse},
    [WSGI_PROXY_RELAY] = {"RELAY", run_relay, wait_relay},
    [WSGI_PROXY_END] = {"END", NULL, NULL},
    [WSGI_PROXY_FAILED] = {"FAILED", NULL, NULL},
};

const char *wsgi_proxy_state_name(enum wsgi_proxy_state state)
{
    return states[state].name;
}

/* A driver. */

void wsgi_proxy_start(wsgi_proxy_t *p, wsgi_link_t *link, wsgi_exchange_t *ex,
                      wsgi_result_t *result, int64_t now_us)
{
    p->link = link;
    p->settings = wsgi_link_settings(link);
    p->ex = ex;
    p->result = result;
    p->code = WSGI_OK;
    if (result != NULL) {
        result->code = WSGI_OK;
        result->detail[0] = '\0';
    }
    p->state = WSGI_PROXY_QUEUE;
    p->ready = WSGI_READY_WORKER_WRITE | WSGI_READY_CLIENT_READ;
    p->now_us = now_us;
    p->connect_by_us = now_us + p->settings->connect_timeout_us;
    p->firm_until_us = earlier(p->connect_by_us, now_us + WSGI_PROXY_FIRM_US);
    p->try_count = 0;
    p->is_wary = p->is_crowded = p->is_half_shut = p->has_send_failed = false;
    p->worker_pid = 0;
    p->awaited = WSGI_PARTY_NONE;
    p->has_moved = false;
    wsgi_download_reset(p, true);
    if (!wsgi_link_may_serve(link)) {
        refuse_failed_group(p);
    }
    else {
        wsgi_upload_prepare(p);
    }
}

bool wsgi_proxy_step(wsgi_proxy_t *p, int64_t now_us)
{
    enum wsgi_proxy_state before;

    p->now_us = now_us;
    do {
        before = p->state;
        if (states[before].run == NULL) {
            return false;
        }
        states[before].run(p);
    } while (p->state != before);
    return true;
}

wsgi_wait_t wsgi_proxy_wait(wsgi_proxy_t *p, int64_t now_us)
{
    WSGI_ASSERT(states[p->state].wait != NULL);
    return states[p->state].wait(p, now_us);
}

void wsgi_proxy_release(wsgi_proxy_t *p)
{
    leave_place(p);
    drop_pair(p);
    wsgi_buffer_clear(&p->in, WSGI_PROXY_IN_MOST);
    wsgi_buffer_clear(&p->out, WSGI_PROXY_OUT_KEEP);
}
