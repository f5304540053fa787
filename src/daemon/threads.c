/* daemon/threads.c — the threads of a worker.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "threads.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "leases.h"
#include "wsgi_runtime.h"

/* A caller that waits at the rendezvous while all connections are kept by others gets one of them
 * after this time at the latest, on average half of it. */
#define LOOK_US 20000

/* So long a worker leaves a caller to one that is less busy, before it takes it all the same. */
#define COURTESY_US 1000

/* What epoll tells, besides the mark of a lease. */
#define AT_RENDEZVOUS UINT64_MAX
#define AT_WAKE       (UINT64_MAX - 1)

typedef struct pool_thread {
    wsgi_threads_t *threads;
    pthread_t handle;
    unsigned number;
} pool_thread_t;

struct wsgi_threads {
    const wsgi_threads_settings_t *settings;
    wsgi_connection_settings_t connection;
    wsgi_leases_t leases;
    int epoll_fd, wake_fd;
    _Atomic bool is_retiring, is_stopping, is_forgotten;
    _Atomic bool has_no_callers; /* end of file at the rendezvous; told once */
    _Atomic bool is_short;       /* a thread could not be created; said once */
    _Atomic int idle;            /* waiting in the epoll set, or about to */
    _Atomic int64_t looked_us; /* when a thread that had an answer ready last looked for callers */
    pthread_mutex_t lock;
    _Atomic unsigned count;  /* written with lock held */
    pool_thread_t **members; /* the first `count` stay for good; the rest guarded by lock */
};

/* --- the rendezvous -------------------------------------------------------------------------- */

/* Level-triggered and one-shot: of a worker one thread wakes per arrival, and a worker that dies
 * between waking and taking leaves the message to the others. EPOLLEXCLUSIVE loses it. */
static int arm(const wsgi_threads_t *threads, int operation)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLONESHOT,
        .data.u64 = AT_RENDEZVOUS,
    };

    return epoll_ctl(threads->epoll_fd, operation, threads->settings->rendezvous_fd, &event);
}

static void lose(const wsgi_threads_t *threads, const char *what)
{
    const wsgi_connection_settings_t *connection = threads->settings->connection;

    wsgi_descriptors_lost(connection->flights != NULL ? connection->flights->journal : NULL,
                          connection->group, what);
}

static void tell(const wsgi_threads_t *threads, enum wsgi_worker_event event)
{
    const unsigned char byte = (unsigned char)event;

    if (write(threads->settings->event_fd, &byte, 1) < 0) {
        return; /* full: the main thread has plenty to read already */
    }
}

static int passed_descriptor(struct msghdr *message)
{
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
        cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
    }
    return fd;
}

/* Room for one descriptor exactly: the kernel closes what more there is. The bytes received: 0 is
 * the end of file, -1 an error. */
static ssize_t receive_descriptor(int rendezvous_fd, int *fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = CMSG_LEN(sizeof(int)),
    };
    ssize_t got = recvmsg(rendezvous_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *fd = got > 0 ? passed_descriptor(&message) : -1;
    return got;
}

static bool is_leaving(const wsgi_threads_t *threads)
{
    return threads->is_retiring || threads->is_stopping || threads->is_forgotten;
}

/* A request that is handed back is tried again at once, and must not find another thread here. */
static void stop_taking(void *baton)
{
    wsgi_threads_t *threads = baton;

    threads->is_retiring = true;
    epoll_ctl(threads->epoll_fd, EPOLL_CTL_DEL, threads->settings->rendezvous_fd, NULL);
    wsgi_leases_revoke_all(&threads->leases);
}

void wsgi_threads_stop_taking(wsgi_threads_t *threads)
{
    stop_taking(threads);
}

/* The connection of the next caller, or -1: none there, or none will ever come. */
static int take(wsgi_threads_t *threads)
{
    int fd;

    if (is_leaving(threads)) {
        return -1;
    }

    ssize_t got = receive_descriptor(threads->settings->rendezvous_fd, &fd);

    if (got == 0 && !atomic_exchange(&threads->has_no_callers, true)) {
        tell(threads, WSGI_EVENT_CALLERS_GONE);
    }
    if (threads->is_retiring) {
        wsgi_fd_close(&fd); /* told so meanwhile: its caller asks again, as nobody has said HELLO */
        return -1;
    }
    if (got > 0 && fd < 0) {
        wsgi_log(
            WSGI_LOG_ERR,
            WSGI_ID(1406) "[%s] turned a caller away, as its connection could not be received: "
                          "the limit of open files is reached; raise it, or look for a leak in the "
                          "application",
            threads->settings->connection->group);
    }
    return fd;
}

/* While all leases are out, nobody is sure to wait at the rendezvous: who has an answer ready looks
 * there from time to time, and gives its place to whom it finds. */
static bool is_wanted_by_others(wsgi_threads_t *threads, wsgi_lease_t *lease)
{
    const int64_t now_us = wsgi_now_us();
    int64_t looked_us = threads->looked_us;

    if (threads->leases.open < threads->settings->max_threads || now_us - looked_us < LOOK_US ||
        !atomic_compare_exchange_strong(&threads->looked_us, &looked_us, now_us)) {
        return false;
    }
    lease->next_fd = take(threads);
    return lease->next_fd >= 0;
}

static bool may_keep(void *baton, wsgi_connection_t *conn)
{
    wsgi_threads_t *threads = baton;

    return !is_leaving(threads) && !is_wanted_by_others(threads, (wsgi_lease_t *)conn);
}

/* --- the life of a thread -------------------------------------------------------------------- */

static void *run_pool_thread(void *data);

/* Python needs more than the least that the system allows. */
#define STACK_LEAST_BYTES ((size_t)131072)

static int create(pool_thread_t *member, size_t stack_bytes)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);

    if (error != 0) {
        return error;
    }
    if (stack_bytes > 0) {
        pthread_attr_setstacksize(&attributes, stack_bytes > STACK_LEAST_BYTES ? stack_bytes
                                                                               : STACK_LEAST_BYTES);
    }
    error = pthread_create(&member->handle, &attributes, run_pool_thread, member);
    pthread_attr_destroy(&attributes);
    return error;
}

static int add_thread_locked(wsgi_threads_t *threads)
{
    pool_thread_t *member = calloc(1, sizeof(*member));
    int error;

    if (member == NULL) {
        return ENOMEM;
    }
    member->threads = threads;
    member->number = threads->count;
    threads->members[threads->count] = member;
    threads->idle++;
    error = create(member, threads->settings->stack_bytes);
    if (error != 0) {
        threads->idle--;
        free(member);
        return error;
    }
    threads->count++;
    return 0;
}

/* Keeps one thread waiting while there may be more: the one that took a request sees to it. */
static void add_thread_if_none_waits(wsgi_threads_t *threads)
{
    const unsigned max = threads->settings->max_threads;
    int error = 0;

    if (threads->idle > 0 || threads->count >= max) {
        return;
    }
    pthread_mutex_lock(&threads->lock);
    if (threads->idle == 0 && threads->count < max && !threads->is_stopping) {
        error = add_thread_locked(threads);
    }
    pthread_mutex_unlock(&threads->lock);
    if (error != 0 && !atomic_exchange(&threads->is_short, true)) {
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1405) "[%s] goes on with %u of %u threads: one more cannot be created "
                               "(%s); lower threads= or raise the limits of memory and processes",
                 threads->settings->connection->group, (unsigned)threads->count, max,
                 strerror(error));
    }
}

static void serve_one(wsgi_threads_t *threads, wsgi_lease_t *lease, int fd)
{
    const enum wsgi_served served = fd >= 0 ? wsgi_connection_serve(&lease->connection, fd)
                                            : wsgi_connection_serve_next(&lease->connection);

    if (fd >= 0) {
        lease->is_watched = false; /* what was here before is closed */
    }
    if (served == WSGI_SERVED_RETIRE) {
        tell(threads, WSGI_EVENT_RETIRE);
    }
}

/* It has to be in the epoll set before it is parked: once it is, its descriptor may be closed by
 * whoever takes it back, and the number be another's. */
static bool watch(const wsgi_threads_t *threads, wsgi_lease_t *lease)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
        .data.u64 = wsgi_lease_mark(&threads->leases, lease),
    };

    if (!lease->is_watched) {
        lease->is_watched =
            epoll_ctl(threads->epoll_fd, EPOLL_CTL_ADD, lease->connection.fd, &event) == 0;
    }
    return lease->is_watched;
}

/* True: others may take it from here on. False: it is still ours, and something has come. */
static bool park(wsgi_threads_t *threads, wsgi_lease_t *lease)
{
    if (!wsgi_connection_is_kept(&lease->connection)) {
        wsgi_lease_release(&threads->leases, lease);
        return true;
    }
    if (!watch(threads, lease)) {
        wsgi_connection_revoke(&lease->connection);
        wsgi_lease_release(&threads->leases, lease);
        return true;
    }
    if (!wsgi_lease_park(lease)) {
        return false;
    }
    if (is_leaving(threads)) {
        wsgi_lease_revoke(&threads->leases, lease); /* in case that it was parked too late */
    }
    return true;
}

/* Requests on one lease, until it is given up. */
static void serve(wsgi_threads_t *threads, wsgi_lease_t *lease, int fd)
{
    do {
        if (fd < 0 && is_leaving(threads)) {
            wsgi_connection_revoke(&lease->connection);
        }
        else {
            serve_one(threads, lease, fd);
        }
        fd = lease->next_fd;
        lease->next_fd = -1;
    } while (!threads->is_forgotten && (fd >= 0 || !park(threads, lease)));
}

static void work(wsgi_threads_t *threads, wsgi_lease_t *lease, int fd)
{
    threads->idle--;
    add_thread_if_none_waits(threads);
    serve(threads, lease, fd);
    threads->idle++;
}

/* Only as many as there can be threads. */
static unsigned lease_limit(const wsgi_threads_t *threads)
{
    return threads->is_short ? threads->count : threads->settings->max_threads;
}

static uint32_t look(const _Atomic uint32_t *hint)
{
    return atomic_load_explicit(hint, memory_order_relaxed);
}

/* Has another worker fewer requests, and a thread for one more? */
static bool is_busier_than_another(const wsgi_threads_t *threads)
{
    const wsgi_counters_t *counters = threads->settings->counters;
    const uint32_t busy = look(&threads->settings->connection->row->busy);

    const uint32_t rows = counters == NULL ? 0 : counters->row_count;

    for (uint32_t i = 0; busy > 0 && i < rows && i < WSGI_COUNTERS_ROWS_MAX; i++) {
        const wsgi_worker_row_t *row = &counters->rows[i];

        if (look(&row->state) == WSGI_WORKER_READY && look(&row->busy) < busy &&
            look(&row->leases) < threads->settings->max_threads) {
            return true;
        }
    }
    return false;
}

/* All workers hear of a caller at the same time, and the busiest has the best chances to run first:
 * it would take most of them. Not for longer: the other may be stopped, or its hints be stale. */
static void give_way(const wsgi_threads_t *threads)
{
    const struct timespec courtesy = {.tv_nsec = COURTESY_US * 1000L};

    if (is_busier_than_another(threads)) {
        nanosleep(&courtesy, NULL);
    }
}

static void meet_caller(wsgi_threads_t *threads)
{
    give_way(threads);
    int fd = take(threads);

    if (!is_leaving(threads) && !threads->has_no_callers && arm(threads, EPOLL_CTL_MOD) != 0 &&
        !is_leaving(threads)) {
        lose(threads, "the rendezvous");
    }
    if (fd < 0) {
        return;
    }
    wsgi_lease_t *lease = wsgi_leases_claim(&threads->leases, lease_limit(threads));
    if (lease == NULL) {
        wsgi_fd_close(&fd); /* the caller asks again, as nobody has said HELLO */
        return;
    }
    work(threads, lease, fd);
}

/* Waits for something to do. False: there is nothing more to wait for. */
static bool wait_for_event(const wsgi_threads_t *threads, uint64_t *mark)
{
    struct epoll_event event;
    int ready;

    do {
        ready = epoll_wait(threads->epoll_fd, &event, 1, -1);
    } while (ready < 0 && errno == EINTR && !threads->is_forgotten);
    if (ready < 0 && !threads->is_forgotten) {
        lose(threads, "the set that idle threads wait in");
    }
    *mark = ready > 0 ? event.data.u64 : AT_WAKE;
    return ready > 0 && !threads->is_stopping;
}

static void act_on(wsgi_threads_t *threads, uint64_t mark)
{
    if (mark == AT_RENDEZVOUS) {
        meet_caller(threads);
        return;
    }
    wsgi_lease_t *lease = wsgi_leases_find(&threads->leases, mark);
    if (lease != NULL) {
        work(threads, lease, -1);
    }
}

static void *run_pool_thread(void *data)
{
    pool_thread_t *self = data;
    wsgi_threads_t *threads = self->threads;
    uint64_t mark;
    char name[16];

    snprintf(name, sizeof(name), "wsgi:%u", self->number + 1);
    pthread_setname_np(pthread_self(), name);
    while (!threads->is_forgotten && wait_for_event(threads, &mark)) {
        act_on(threads, mark);
    }
    if (threads->is_forgotten) {
        _exit(EXIT_FAILURE); /* a fork of the application that returned into its caller */
    }
    wsgi_runtime_thread_end();
    return NULL;
}

/* --- the pool -------------------------------------------------------------------------------- */

static int open_descriptors(wsgi_threads_t *threads)
{
    struct epoll_event wake = {.events = EPOLLIN};

    threads->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    threads->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wake.data.u64 = AT_WAKE;
    if (threads->epoll_fd < 0 || threads->wake_fd < 0 ||
        epoll_ctl(threads->epoll_fd, EPOLL_CTL_ADD, threads->wake_fd, &wake) != 0 ||
        arm(threads, EPOLL_CTL_ADD) != 0) {
        return errno;
    }
    return 0;
}

static int start(wsgi_threads_t *threads)
{
    int error = threads->members == NULL ||
                        wsgi_leases_init(&threads->leases, threads->settings->max_threads,
                                         &threads->connection) != WSGI_OK
                    ? ENOMEM
                    : open_descriptors(threads);

    if (error == 0) {
        pthread_mutex_lock(&threads->lock);
        error = add_thread_locked(threads);
        pthread_mutex_unlock(&threads->lock);
    }
    return error;
}

wsgi_threads_t *wsgi_threads_open(const wsgi_threads_settings_t *settings, wsgi_result_t *result)
{
    wsgi_threads_t *threads = calloc(1, sizeof(*threads));
    int error;

    if (threads == NULL) {
        wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
        return NULL;
    }
    threads->settings = settings;
    threads->connection = *settings->connection;
    threads->connection.on_retire = stop_taking;
    threads->connection.may_keep = may_keep;
    threads->connection.baton = threads;
    threads->epoll_fd = threads->wake_fd = -1;
    pthread_mutex_init(&threads->lock, NULL);
    threads->members = calloc(settings->max_threads, sizeof(*threads->members));
    error = start(threads);
    if (error != 0) {
        wsgi_fail(result, WSGI_E_IO,
                  "cannot start the worker's threads (%s): raise its limits of "
                  "open files, memory and processes",
                  strerror(error));
        wsgi_threads_free(threads);
        return NULL;
    }
    return threads;
}

void wsgi_threads_stop(wsgi_threads_t *threads)
{
    const uint64_t one = 1;
    unsigned count;

    pthread_mutex_lock(&threads->lock);
    threads->is_stopping = true;
    count = threads->count;
    pthread_mutex_unlock(&threads->lock);
    epoll_ctl(threads->epoll_fd, EPOLL_CTL_DEL, threads->settings->rendezvous_fd, NULL);
    wsgi_leases_revoke_all(&threads->leases);
    if (write(threads->wake_fd, &one, sizeof(one)) < 0) {
        lose(threads, "what wakes idle threads");
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads->members[i]->handle, NULL);
    }
}

void wsgi_threads_free(wsgi_threads_t *threads)
{
    for (unsigned i = 0; i < threads->count; i++) {
        free(threads->members[i]);
    }
    free(threads->members);
    wsgi_leases_free(&threads->leases);
    wsgi_fd_close(&threads->epoll_fd);
    wsgi_fd_close(&threads->wake_fd);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

void wsgi_threads_forget(wsgi_threads_t *threads)
{
    threads->is_forgotten = true;
    wsgi_leases_forget(&threads->leases);
    wsgi_fd_close(&threads->epoll_fd);
    wsgi_fd_close(&threads->wake_fd);
}
