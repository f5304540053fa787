/* tests/unit/proxy/test_link.c — idle connections, places at the rendezvous, the row and the backlog,
 * passing a descriptor, spares.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"
#include "proxy_private.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log_lines.h"

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);

static int send_error; /* of the next sendmsg(); 0 = it is a real one */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (send_error == 0) {
        return __real_sendmsg(fd, message, flags);
    }
    errno = send_error;
    send_error = 0;
    return -1;
}

enum { PLACE_COUNT = WSGI_LINK_SCOUTS + 4, SECOND = 1000000 };

typedef struct fixture {
    int ends[2]; /* of the rendezvous: the callers', the workers' */
    wsgi_counters_t *counters;
    wsgi_link_t *link;
    wsgi_place_t places[PLACE_COUNT];
    int64_t now_us;
    int fd;     /* given by the last enter() */
    int far[8]; /* the workers' ends of the connections */
    unsigned far_count;
} fixture_t;

static void open_link_of(fixture_t *f, unsigned processes, unsigned rows, unsigned threads)
{
    wsgi_link_close(f->link);
    f->link = wsgi_link_open(&(wsgi_link_settings_t){
        .group = "blue",
        .rendezvous_fd = f->ends[0],
        .counters = f->counters,
        .processes = processes,
        .rows = rows,
        .threads = threads,
    });
    assert_non_null(f->link);
}

static void open_link(fixture_t *f, unsigned processes, unsigned threads)
{
    open_link_of(f, processes, processes, threads);
}

static int open_fixture(void **state)
{
    static fixture_t fixture;
    wsgi_result_t result;

    memset(&fixture, 0, sizeof(fixture));
    fixture.now_us = 100 * (int64_t)SECOND;
    fixture.fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fixture.ends), 0);
    int fd = wsgi_counters_create(4, &result);
    fixture.counters = wsgi_counters_map(fd, true, &result);
    assert_non_null(fixture.counters);
    wsgi_fd_close(&fd);
    for (unsigned i = 0; i < 4; i++) {
        fixture.counters->rows[i].state = WSGI_WORKER_READY;
        fixture.counters->rows[i].generation = 1;
    }
    open_link(&fixture, 4, 0);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        wsgi_place_init(&fixture.places[i]);
    }
    log_lines_begin();
    *state = &fixture;
    return 0;
}

/* Closing asserts that nobody stands or waits any more. */
static int close_fixture(void **state)
{
    fixture_t *f = *state;

    for (size_t i = 0; i < PLACE_COUNT; i++) {
        wsgi_link_leave(f->link, &f->places[i], f->now_us);
        wsgi_place_destroy(&f->places[i]);
    }
    wsgi_link_close(f->link);
    wsgi_counters_unmap(f->counters);
    wsgi_fd_close(&f->ends[0]);
    wsgi_fd_close(&f->ends[1]);
    wsgi_fd_close(&f->fd);
    for (unsigned i = 0; i < f->far_count; i++) {
        wsgi_fd_close(&f->far[i]);
    }
    return 0;
}

static enum wsgi_turn enter(fixture_t *f, wsgi_place_t *place)
{
    f->fd = -1;
    return wsgi_link_enter(f->link, place, f->now_us, false, &f->fd);
}

static void leave(fixture_t *f, wsgi_place_t *place)
{
    wsgi_link_leave(f->link, place, f->now_us);
}

/* Places */

static void enter_all(fixture_t *f)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        assert_int_equal(enter(f, &f->places[i]),
                         i < WSGI_LINK_SCOUTS ? WSGI_TURN_SCOUT : WSGI_TURN_WAIT);
    }
}

static void assert_first_waiting(const fixture_t *f, size_t first)
{
    for (size_t i = WSGI_LINK_SCOUTS; i < PLACE_COUNT; i++) {
        assert_int_equal(f->places[i].state, i < first ? WSGI_PLACE_SCOUT : WSGI_PLACE_WAITING);
    }
}

static void test_eight_stand_at_once(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    assert_first_waiting(f, WSGI_LINK_SCOUTS);
}

static void test_who_has_waited_for_long_comes_next(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    f->now_us += WSGI_LINK_PATIENCE_US;
    for (size_t left = 0; left < 4; left++) {
        assert_first_waiting(f, WSGI_LINK_SCOUTS + left);
        leave(f, &f->places[left]);
    }
    assert_first_waiting(f, PLACE_COUNT);
    assert_int_equal(enter(f, &f->places[PLACE_COUNT - 1]), WSGI_TURN_SCOUT);
}

static void test_before_that_the_first_is_asked_to_look(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    f->now_us += WSGI_LINK_PATIENCE_US - 1;
    leave(f, &f->places[0]);
    assert_first_waiting(f, WSGI_LINK_SCOUTS);
    for (size_t i = WSGI_LINK_SCOUTS; i < PLACE_COUNT; i++) {
        assert_int_equal(f->places[i].is_called, i == WSGI_LINK_SCOUTS);
    }
    assert_int_equal(enter(f, &f->places[WSGI_LINK_SCOUTS + 1]), WSGI_TURN_WAIT); /* not first */
    assert_int_equal(enter(f, &f->places[WSGI_LINK_SCOUTS]), WSGI_TURN_SCOUT);
}

static void test_who_comes_now_stands_behind(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    leave(f, &f->places[0]);
    assert_int_equal(enter(f, &f->places[0]), WSGI_TURN_WAIT);
    f->now_us += WSGI_LINK_PATIENCE_US;
    for (size_t i = 1; i < 5; i++) {
        assert_int_equal(f->places[0].state, WSGI_PLACE_WAITING);
        leave(f, &f->places[i]);
    }
    assert_first_waiting(f, PLACE_COUNT); /* one place was free */
    assert_int_equal(enter(f, &f->places[0]), WSGI_TURN_SCOUT);
}

static void test_who_is_wary_does_not_stand_in_the_row(void **state)
{
    fixture_t *f = *state;
    wsgi_place_t *wary = &f->places[PLACE_COUNT - 1];

    for (size_t i = 0; i < PLACE_COUNT - 1; i++) {
        (void)enter(f, &f->places[i]);
    }
    leave(f, &f->places[0]);
    assert_int_equal(wsgi_link_enter(f->link, wary, f->now_us, true, &f->fd), WSGI_TURN_SCOUT);
}

static void test_leaving_the_row(void **state)
{
    fixture_t *f = *state;
    wsgi_place_t *row = &f->places[WSGI_LINK_SCOUTS];

    for (size_t leaver = 0; leaver < 4; leaver++) {
        enter_all(f);
        leave(f, &row[leaver]);
        assert_int_equal(row[leaver].state, WSGI_PLACE_NONE);
        assert_int_equal(enter(f, &row[leaver]), WSGI_TURN_WAIT); /* behind the others now */
        f->now_us += WSGI_LINK_PATIENCE_US;
        for (size_t i = 0; i < 3; i++) {
            leave(f, &f->places[i]);
        }
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(row[i].state, i == leaver ? WSGI_PLACE_WAITING : WSGI_PLACE_SCOUT);
        }
        for (size_t i = 0; i < PLACE_COUNT; i++) {
            leave(f, &f->places[i]);
        }
    }
}

static void test_leaving_without_a_place_is_nothing(void **state)
{
    fixture_t *f = *state;

    leave(f, &f->places[0]);
    leave(f, &f->places[0]);
    enter_all(f); /* still eight, not ten */
    assert_first_waiting(f, WSGI_LINK_SCOUTS);
}

static void test_await_ends_at_its_time(void **state)
{
    fixture_t *f = *state;
    const int64_t until_us = wsgi_now_us() + 2000;

    enter_all(f);
    wsgi_link_await(f->link, &f->places[PLACE_COUNT - 1], until_us);
    assert_true(wsgi_now_us() >= until_us);
    assert_int_equal(f->places[PLACE_COUNT - 1].state, WSGI_PLACE_WAITING);
}

static void test_await_does_not_wait_for_what_is_there(void **state)
{
    fixture_t *f = *state;
    const int64_t start_us = wsgi_now_us();

    enter_all(f);
    wsgi_link_await(f->link, &f->places[0], start_us + INT64_C(3600000000));
    leave(f, &f->places[1]); /* calls the first in the row */
    wsgi_link_await(f->link, &f->places[WSGI_LINK_SCOUTS], start_us + INT64_C(3600000000));
    assert_true(wsgi_now_us() < start_us + INT64_C(1800000000));
}

/* Idle connections */

/* A connection to the worker in a row, as after HELLO. */
static int begin_at(fixture_t *f, wsgi_place_t *place, uint32_t row)
{
    int pair[2];

    assert_int_equal(wsgi_link_enter(f->link, place, f->now_us, true, &f->fd), WSGI_TURN_SCOUT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->far[f->far_count++] = pair[1];
    wsgi_link_begun(f->link, place, row, 1, f->now_us);
    return pair[0];
}

static int keep_at(fixture_t *f, uint32_t row)
{
    const int fd = begin_at(f, &f->places[0], row);

    wsgi_link_keep(f->link, &f->places[0], fd, f->now_us);
    return fd;
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0;
}

static void test_a_kept_connection_is_used_again(void **state)
{
    fixture_t *f = *state;
    const int fd = keep_at(f, 2);

    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, fd);
    assert_int_equal(f->places[1].kept.worker_index, 2);
    assert_int_equal(enter(f, &f->places[2]), WSGI_TURN_SCOUT); /* it is the only one */
    wsgi_link_keep(f->link, &f->places[1], fd, f->now_us);
    assert_int_equal(wsgi_link_enter(f->link, &f->places[3], f->now_us, true, &f->fd),
                     WSGI_TURN_SCOUT); /* not who is wary */
}

static void test_the_most_recently_used_comes_first(void **state)
{
    fixture_t *f = *state;
    const int first = begin_at(f, &f->places[0], 1), second = begin_at(f, &f->places[1], 1);

    wsgi_link_keep(f->link, &f->places[1], second, f->now_us);
    wsgi_link_keep(f->link, &f->places[0], first, f->now_us);
    assert_int_equal(enter(f, &f->places[2]), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, first);
    wsgi_fd_close(&f->fd);
}

static void test_the_worker_with_the_fewest_busy_threads_comes_first(void **state)
{
    fixture_t *f = *state;
    const int fds[] = {keep_at(f, 0), 0, 0};
    const int one = begin_at(f, &f->places[1], 1), two = begin_at(f, &f->places[2], 2);

    wsgi_link_keep(f->link, &f->places[1], one, f->now_us);
    wsgi_link_keep(f->link, &f->places[2], two, f->now_us);
    f->counters->rows[2].busy = 4;
    f->counters->rows[0].busy = 3;
    f->counters->rows[3].state = WSGI_WORKER_STARTING;
    assert_int_equal(enter(f, &f->places[3]), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, one);
    wsgi_fd_close(&f->fd);
    f->counters->rows[1].state = WSGI_WORKER_STARTING; /* or it would be looked for */
    assert_int_equal(enter(f, &f->places[4]), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, fds[0]);
    wsgi_fd_close(&f->fd);
}

/* What this child knows itself counts, where the worker has not said so yet. */
static void test_our_own_requests_count(void **state)
{
    fixture_t *f = *state;
    const int zero = keep_at(f, 0);
    const int other = begin_at(f, &f->places[1], 1), busy = begin_at(f, &f->places[2], 1);

    f->counters->rows[2].state = f->counters->rows[3].state = WSGI_WORKER_STARTING;
    wsgi_link_keep(f->link, &f->places[1], other, f->now_us);
    assert_int_equal(enter(f, &f->places[3]), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, zero); /* the other is more recent, but its worker has a request */
    wsgi_fd_close(&f->fd);
    close(busy);
}

static void test_a_better_worker_is_looked_for_by_one_at_a_time(void **state)
{
    fixture_t *f = *state;

    keep_at(f, 0);
    f->counters->rows[0].busy = 1; /* and the others have none */
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
    assert_int_equal(enter(f, &f->places[2]), WSGI_TURN_KEPT);
    wsgi_fd_close(&f->fd);
}

/* Where no worker is busier than another, none is left out for good; and the search, which may end
 * at the same worker again, is not made each time. */
static void test_a_worker_without_requests_gets_its_turn(void **state)
{
    fixture_t *f = *state;

    open_link(f, 2, 5);
    const int fd = keep_at(f, 0);
    unsigned served = 0, searches = 0;

    while (served < 60) {
        if (enter(f, &f->places[1]) == WSGI_TURN_SCOUT) {
            searches++;
            leave(f, &f->places[1]);
            continue;
        }
        assert_int_equal(f->fd, fd);
        served++;
        wsgi_link_keep(f->link, &f->places[1], fd, f->now_us);
    }
    assert_int_equal(searches, 2);
}

static void test_workers_that_are_equally_busy_take_turns(void **state)
{
    fixture_t *f = *state;
    unsigned served[2] = {0};

    open_link(f, 2, 5);
    const int one = begin_at(f, &f->places[1], 1), zero = begin_at(f, &f->places[0], 0);
    wsgi_link_keep(f->link, &f->places[1], one, f->now_us);
    wsgi_link_keep(f->link, &f->places[0], zero, f->now_us);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(enter(f, &f->places[2]), WSGI_TURN_KEPT);
        served[f->fd == one]++;
        wsgi_link_keep(f->link, &f->places[2], f->fd, f->now_us);
    }
    assert_in_range(served[0], 2000, 3000);
}

/* After a reload all workers may be in the other half of the rows. */
static void test_successors_are_seen(void **state)
{
    fixture_t *f = *state;

    open_link_of(f, 2, 4, 5);
    f->counters->rows[0].state = f->counters->rows[1].state = WSGI_WORKER_EMPTY;
    f->counters->rows[2].state = f->counters->rows[3].state = WSGI_WORKER_READY;
    const int fd = begin_at(f, &f->places[0], 2);
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT); /* there is room */
    leave(f, &f->places[1]);
    wsgi_link_keep(f->link, &f->places[0], fd, f->now_us);
    f->counters->rows[2].busy = 1;
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT); /* 3 is the better one */
}

static void test_a_full_worker_is_not_looked_for(void **state)
{
    fixture_t *f = *state;

    open_link(f, 2, 5);
    keep_at(f, 0);
    f->counters->rows[0].busy = 1;
    f->counters->rows[1].leases = 5;
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_KEPT);
    wsgi_fd_close(&f->fd);
}

/* To stand at the rendezvous where all leases are out takes one from another child: for a request
 * while the worker is half idle, else only for patience's sake. */
static void test_leases_of_others_are_taken_where_they_are_not_used(void **state)
{
    fixture_t *f = *state;

    open_link(f, 1, 5);
    const int fd = begin_at(f, &f->places[0], 0);
    f->counters->rows[0].leases = 5;
    f->counters->rows[0].busy = 3;
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_WAIT);
    f->counters->rows[0].busy = 2;
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
    leave(f, &f->places[1]);
    f->counters->rows[0].busy = 5;
    f->counters->rows[0].leases = 4;
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
    close(fd);
}

static void test_connections_of_dead_workers_are_closed(void **state)
{
    fixture_t *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        const int fd = keep_at(f, 1);

        f->counters->rows[1].generation += i == 0;
        f->counters->rows[1].state = i == 1 ? WSGI_WORKER_STOPPING : WSGI_WORKER_READY;
        f->now_us += i == 2 ? WSGI_LINK_IDLE_US : 0;
        assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
        assert_true(is_closed(fd));
        leave(f, &f->places[1]);
        f->counters->rows[1].generation = 1;
        f->counters->rows[1].state = WSGI_WORKER_READY;
    }
}

static void test_a_worker_that_is_distrusted_loses_its_connections(void **state)
{
    fixture_t *f = *state;
    const int other = keep_at(f, 0), fd = begin_at(f, &f->places[1], 1);
    const wsgi_kept_t kept = f->places[1].kept;

    wsgi_link_keep(f->link, &f->places[1], fd, f->now_us);
    wsgi_link_distrust(f->link, &kept);
    assert_true(is_closed(fd));
    assert_false(is_closed(other));
}

static void test_an_index_beyond_the_rows_does_no_harm(void **state)
{
    fixture_t *f = *state;

    open_link(f, 1, 0);
    f->counters->rows[WSGI_COUNTERS_ROWS_MAX - 1].generation = 1;
    keep_at(f, WSGI_COUNTERS_ROWS_MAX - 1);
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_KEPT);
    wsgi_fd_close(&f->fd);
}

static void test_what_speaks_while_idle_is_closed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool is_told;
    } cases[] = {
        {"\0\0\0\0\x0e\0\0\0", 8, false}, /* GOAWAY */
        {"\0\0\0\0\x0c\0\0\0", 8, true},  /* END */
        {"x", 1, true},
        {"", 0, false}, /* its end */
    };
    fixture_t *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int fd = keep_at(f, 1);
        int *far = &f->far[f->far_count - 1];

        log_lines_begin();
        assert_int_equal(send(*far, cases[i].bytes, cases[i].len, 0), cases[i].len);
        if (cases[i].len == 0) {
            wsgi_fd_close(far);
        }
        f->now_us += WSGI_LINK_LOOK_US;
        assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
        assert_true(is_closed(fd));
        assert_int_equal(
            is_logged("<3> WSGI1301: [blue] closed a connection to the worker in row 1"),
            cases[i].is_told);
        leave(f, &f->places[1]);
    }
}

static void test_closing_closes_what_is_idle(void **state)
{
    fixture_t *f = *state;
    const int fd = keep_at(f, 1);

    open_link(f, 4, 0);
    assert_true(is_closed(fd));
}

/* Handing over */

static void test_who_comes_takes_a_connection_before_who_waits(void **state)
{
    fixture_t *f = *state;
    const int fd = begin_at(f, &f->places[0], 1);

    for (size_t i = 1; i < PLACE_COUNT; i++) {
        (void)enter(f, &f->places[i]);
    }
    wsgi_link_keep(f->link, &f->places[0], fd, f->now_us);
    assert_true(f->places[WSGI_LINK_SCOUTS + 1].is_called);
    assert_int_equal(enter(f, &f->places[0]), WSGI_TURN_KEPT);
    wsgi_fd_close(&f->fd);
    assert_int_equal(enter(f, &f->places[WSGI_LINK_SCOUTS + 1]), WSGI_TURN_WAIT);
}

static void test_who_has_waited_for_long_is_given_a_connection(void **state)
{
    fixture_t *f = *state;
    const int fd = begin_at(f, &f->places[0], 1);
    wsgi_place_t *first = &f->places[WSGI_LINK_SCOUTS + 1];

    for (size_t i = 1; i < PLACE_COUNT; i++) {
        (void)enter(f, &f->places[i]);
    }
    f->now_us += WSGI_LINK_PATIENCE_US;
    wsgi_link_keep(f->link, &f->places[0], fd, f->now_us);
    assert_int_equal(first->state, WSGI_PLACE_USER);
    assert_int_equal(enter(f, first), WSGI_TURN_KEPT);
    assert_int_equal(f->fd, fd);
    wsgi_fd_close(&f->fd);
}

/* It gives up in the instant in which it is given the connection. */
static void test_a_connection_that_nobody_takes_is_closed(void **state)
{
    fixture_t *f = *state;
    const int fd = begin_at(f, &f->places[0], 1);

    for (size_t i = 1; i < PLACE_COUNT; i++) {
        (void)enter(f, &f->places[i]);
    }
    f->now_us += WSGI_LINK_PATIENCE_US;
    wsgi_link_keep(f->link, &f->places[0], fd, f->now_us);
    leave(f, &f->places[WSGI_LINK_SCOUTS + 1]);
    assert_true(is_closed(fd));
}

/* listen-backlog */

static void open_with_backlog(fixture_t *f, wsgi_backlog_t *backlog, unsigned most)
{
    wsgi_link_close(f->link);
    f->link = wsgi_link_open(&(wsgi_link_settings_t){
        .rendezvous_fd = f->ends[0],
        .counters = f->counters,
        .processes = 4,
        .rows = 4,
        .backlog = backlog,
        .listen_backlog = most,
    });
    assert_non_null(f->link);
}

static void test_the_backlog_bounds_who_waits(void **state)
{
    fixture_t *f = *state;
    wsgi_backlog_t *backlog = wsgi_backlog_create(4);

    open_with_backlog(f, backlog, 3);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(enter(f, &f->places[i]), i < 3 ? WSGI_TURN_SCOUT : WSGI_TURN_FULL);
    }
    assert_int_equal(f->places[3].state, WSGI_PLACE_NONE);
    wsgi_link_begun(f->link, &f->places[0], 1, 1, f->now_us); /* waits no more */
    assert_int_equal(enter(f, &f->places[3]), WSGI_TURN_SCOUT);
    assert_int_equal(enter(f, &f->places[4]), WSGI_TURN_FULL);
    leave(f, &f->places[1]);
    assert_int_equal(enter(f, &f->places[4]), WSGI_TURN_SCOUT);
    for (size_t i = 0; i < 5; i++) {
        leave(f, &f->places[i]);
    }
    open_link(f, 4, 0);
    wsgi_backlog_destroy(backlog);
}

static void test_an_idle_connection_needs_no_place_in_the_backlog(void **state)
{
    fixture_t *f = *state;
    wsgi_backlog_t *backlog = wsgi_backlog_create(4);

    open_with_backlog(f, backlog, 1);
    keep_at(f, 1);
    assert_int_equal(wsgi_link_enter(f->link, &f->places[1], f->now_us, true, &f->fd),
                     WSGI_TURN_SCOUT);
    assert_int_equal(enter(f, &f->places[2]), WSGI_TURN_KEPT);
    wsgi_fd_close(&f->fd);
    leave(f, &f->places[1]);
    leave(f, &f->places[2]);
    open_link(f, 4, 0);
    wsgi_backlog_destroy(backlog);
}

static void wait_and_die(fixture_t *f, wsgi_backlog_t *backlog)
{
    wsgi_backlog_slot_t *slot = wsgi_backlog_claim(backlog, (uint32_t)getpid());

    (void)f;
    _exit(slot != NULL && wsgi_backlog_enter(backlog, slot, 2) &&
                  wsgi_backlog_enter(backlog, slot, 2)
              ? 0
              : 1);
}

static void test_who_waited_in_a_dead_child_counts_no_more(void **state)
{
    fixture_t *f = *state;
    wsgi_backlog_t *backlog = wsgi_backlog_create(4);
    int status;

    open_with_backlog(f, backlog, 2);
    const pid_t pid = fork();
    if (pid == 0) {
        wait_and_die(f, backlog);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(enter(f, &f->places[0]), WSGI_TURN_FULL); /* and finds out */
    assert_int_equal(enter(f, &f->places[0]), WSGI_TURN_SCOUT);
    assert_int_equal(enter(f, &f->places[1]), WSGI_TURN_SCOUT);
    leave(f, &f->places[0]);
    leave(f, &f->places[1]);
    open_link(f, 4, 0);
    wsgi_backlog_destroy(backlog);
}

static void test_slots_of_the_backlog(void **state)
{
    wsgi_backlog_t *backlog = wsgi_backlog_create(1);
    const uint32_t pid = (uint32_t)getpid();

    (void)state;
    wsgi_backlog_slot_t *slot = wsgi_backlog_claim(backlog, pid);
    assert_non_null(slot);
    assert_null(wsgi_backlog_claim(backlog, (uint32_t)getppid()));
    wsgi_backlog_leave(slot); /* never below 0 */
    assert_true(wsgi_backlog_enter(backlog, slot, 1));
    assert_true(wsgi_backlog_enter(backlog, NULL, 0)); /* nobody counts it */
    wsgi_backlog_leave(NULL);
    wsgi_backlog_release(slot);
    assert_ptr_equal(wsgi_backlog_claim(backlog, (uint32_t)getppid()), slot);
    wsgi_backlog_destroy(backlog);
    wsgi_backlog_destroy(NULL);
}

/* The rendezvous */

static int take(const fixture_t *f)
{
    char byte = 'x', control[CMSG_SPACE(sizeof(int))];
    struct iovec one_byte = {&byte, 1};
    struct msghdr message = {.msg_iov = &one_byte,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd;

    assert_int_equal(recvmsg(f->ends[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 1);
    assert_int_equal(byte, 0);
    assert_non_null(CMSG_FIRSTHDR(&message));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static void test_pass_gives_the_descriptor(void **state)
{
    fixture_t *f = *state;
    int pair[2];
    char text[4];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(wsgi_link_pass(f->link, pair[1]), WSGI_OK);
    wsgi_fd_close(&pair[1]);
    int taken = take(f);
    assert_int_equal(write(taken, "yes", 4), 4);
    assert_int_equal(read(pair[0], text, 4), 4);
    assert_string_equal(text, "yes");
    wsgi_fd_close(&taken);
    wsgi_fd_close(&pair[0]);
}

static unsigned fill(const fixture_t *f)
{
    const int least = 1;
    unsigned count = 0;
    int code;

    assert_int_equal(setsockopt(f->ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    while ((code = wsgi_link_pass(f->link, f->ends[1])) == WSGI_OK) {
        assert_true(++count < 10000);
    }
    assert_int_equal(code, WSGI_E_AGAIN);
    return count;
}

static void test_pass_to_a_full_rendezvous(void **state)
{
    fixture_t *f = *state;
    const unsigned count = fill(f);

    assert_true(count > 0);
    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_E_AGAIN);
    for (unsigned i = 0; i < count; i++) {
        close(take(f));
    }
    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_OK);
    close(take(f));
}

static void test_pass_to_nobody(void **state)
{
    fixture_t *f = *state;

    wsgi_fd_close(&f->ends[1]);
    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_E_REFUSED);
    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_E_REFUSED);
}

static void test_pass_where_all_have_ended_with_requests_in_the_queue(void **state)
{
    fixture_t *f = *state;

    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_OK);
    wsgi_fd_close(&f->ends[1]);
    assert_int_equal(wsgi_link_pass(f->link, 0), WSGI_E_REFUSED);
}

static void test_pass_of_no_descriptor(void **state)
{
    fixture_t *f = *state;

    assert_int_equal(wsgi_link_pass(f->link, -1), WSGI_E_IO);
    assert_int_equal(errno, EBADF);
}

static void test_pass_needs_no_new_descriptor(void **state)
{
    fixture_t *f = *state;
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}), 0);
    const int code = wsgi_link_pass(f->link, f->ends[0]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(code == WSGI_OK || code == WSGI_E_AGAIN); /* the latter for all but root */
}

static void test_codes_of_pass(void **state)
{
    static const struct {
        int error, code;
    } cases[] = {
        {EAGAIN, WSGI_E_AGAIN},         {EINTR, WSGI_E_AGAIN},      {ENOBUFS, WSGI_E_AGAIN},
        {ETOOMANYREFS, WSGI_E_AGAIN},   {EPIPE, WSGI_E_REFUSED},    {ECONNRESET, WSGI_E_REFUSED},
        {ECONNREFUSED, WSGI_E_REFUSED}, {ENOTCONN, WSGI_E_REFUSED}, {ENOMEM, WSGI_E_IO},
        {EOPNOTSUPP, WSGI_E_IO},
    };
    fixture_t *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        send_error = cases[i].error;
        assert_int_equal(wsgi_link_pass(f->link, 0), cases[i].code);
        assert_int_equal(errno, cases[i].error);
    }
}

/* Counters */

static void test_counters_tell_who_may_serve(void **state)
{
    static wsgi_counters_t counters;
    wsgi_link_t *link = wsgi_link_open(&(wsgi_link_settings_t){.counters = &counters});
    fixture_t *f = *state;

    assert_non_null(link);
    for (uint32_t i = 0; i < 6; i++) { /* two of them unknown: the counters are hostile */
        counters.state = i;
        assert_int_equal(wsgi_link_may_serve(link),
                         i == WSGI_GROUP_STARTING || i == WSGI_GROUP_READY);
    }
    wsgi_link_close(link);
    assert_true(wsgi_link_may_serve(f->link)); /* has none */
}

/* Spares */

static void test_spares_are_bounded(void **state)
{
    fixture_t *f = *state;
    wsgi_proxy_t *spares[WSGI_LINK_SPARES + 1];

    assert_null(wsgi_link_take_spare(f->link));
    for (size_t i = 0; i <= WSGI_LINK_SPARES; i++) {
        spares[i] = wsgi_proxy_new();
        assert_non_null(spares[i]);
        assert_int_equal(wsgi_link_give_spare(f->link, spares[i]), i < WSGI_LINK_SPARES);
    }
    for (size_t i = WSGI_LINK_SPARES; i-- > 0;) { /* the warmest first */
        assert_ptr_equal(wsgi_link_take_spare(f->link), spares[i]);
    }
    assert_null(wsgi_link_take_spare(f->link));
    assert_true(wsgi_link_give_spare(f->link, spares[0])); /* room again; freed by closing */
    for (size_t i = 1; i <= WSGI_LINK_SPARES; i++) {
        wsgi_proxy_free(spares[i]);
    }
}

static void test_closing_nothing(void **state)
{
    (void)state;
    wsgi_link_close(NULL);
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_eight_stand_at_once),
        fixture_test(test_who_has_waited_for_long_comes_next),
        fixture_test(test_before_that_the_first_is_asked_to_look),
        fixture_test(test_who_comes_now_stands_behind),
        fixture_test(test_who_is_wary_does_not_stand_in_the_row),
        fixture_test(test_leaving_the_row),
        fixture_test(test_leaving_without_a_place_is_nothing),
        fixture_test(test_await_ends_at_its_time),
        fixture_test(test_await_does_not_wait_for_what_is_there),
        fixture_test(test_a_kept_connection_is_used_again),
        fixture_test(test_the_most_recently_used_comes_first),
        fixture_test(test_the_worker_with_the_fewest_busy_threads_comes_first),
        fixture_test(test_our_own_requests_count),
        fixture_test(test_a_better_worker_is_looked_for_by_one_at_a_time),
        fixture_test(test_a_worker_without_requests_gets_its_turn),
        fixture_test(test_workers_that_are_equally_busy_take_turns),
        fixture_test(test_successors_are_seen),
        fixture_test(test_a_full_worker_is_not_looked_for),
        fixture_test(test_leases_of_others_are_taken_where_they_are_not_used),
        fixture_test(test_connections_of_dead_workers_are_closed),
        fixture_test(test_a_worker_that_is_distrusted_loses_its_connections),
        fixture_test(test_an_index_beyond_the_rows_does_no_harm),
        fixture_test(test_what_speaks_while_idle_is_closed),
        fixture_test(test_closing_closes_what_is_idle),
        fixture_test(test_who_comes_takes_a_connection_before_who_waits),
        fixture_test(test_who_has_waited_for_long_is_given_a_connection),
        fixture_test(test_a_connection_that_nobody_takes_is_closed),
        fixture_test(test_the_backlog_bounds_who_waits),
        fixture_test(test_an_idle_connection_needs_no_place_in_the_backlog),
        fixture_test(test_who_waited_in_a_dead_child_counts_no_more),
        fixture_test(test_slots_of_the_backlog),
        fixture_test(test_pass_gives_the_descriptor),
        fixture_test(test_pass_to_a_full_rendezvous),
        fixture_test(test_pass_to_nobody),
        fixture_test(test_pass_where_all_have_ended_with_requests_in_the_queue),
        fixture_test(test_pass_of_no_descriptor),
        fixture_test(test_pass_needs_no_new_descriptor),
        fixture_test(test_codes_of_pass),
        fixture_test(test_counters_tell_who_may_serve),
        fixture_test(test_spares_are_bounded),
        cmocka_unit_test(test_closing_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
