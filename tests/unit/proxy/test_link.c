/* tests/unit/proxy/test_link.c — places at the rendezvous, passing a descriptor, spares.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "proxy_private.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

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

typedef struct fixture {
    int ends[2]; /* of the rendezvous: the callers', the workers' */
    wsgi_link_t *link;
    wsgi_place_t places[WSGI_LINK_PLACES + 4];
} fixture_t;

enum { PLACE_COUNT = WSGI_LINK_PLACES + 4 };

static int open_fixture(void **state)
{
    static fixture_t fixture;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fixture.ends), 0);
    fixture.link = wsgi_link_open(&(wsgi_link_settings_t){.rendezvous_fd = fixture.ends[0]});
    assert_non_null(fixture.link);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        wsgi_place_init(&fixture.places[i]);
    }
    *state = &fixture;
    return 0;
}

/* Closing asserts that nobody stands or waits any more. */
static int close_fixture(void **state)
{
    fixture_t *f = *state;

    for (size_t i = 0; i < PLACE_COUNT; i++) {
        wsgi_link_leave(f->link, &f->places[i]);
        wsgi_place_destroy(&f->places[i]);
    }
    wsgi_link_close(f->link);
    wsgi_fd_close(&f->ends[0]);
    wsgi_fd_close(&f->ends[1]);
    return 0;
}

/* Places */

static void enter_all(fixture_t *f)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        assert_int_equal(wsgi_link_enter(f->link, &f->places[i]), i < WSGI_LINK_PLACES);
    }
}

static void assert_first_waiting(const fixture_t *f, size_t first)
{
    for (size_t i = WSGI_LINK_PLACES; i < PLACE_COUNT; i++) {
        assert_int_equal(f->places[i].state, i < first ? WSGI_PLACE_HELD : WSGI_PLACE_WAITING);
    }
}

static void test_eight_stand_at_once(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    assert_first_waiting(f, WSGI_LINK_PLACES);
}

static void test_first_come_first_served(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    for (size_t left = 0; left < 4; left++) {
        assert_first_waiting(f, WSGI_LINK_PLACES + left);
        wsgi_link_leave(f->link, &f->places[left]);
    }
    assert_first_waiting(f, PLACE_COUNT);
    assert_true(wsgi_link_enter(f->link, &f->places[PLACE_COUNT - 1]));
}

static void test_who_comes_now_stands_behind(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    wsgi_link_leave(f->link, &f->places[0]);
    assert_false(wsgi_link_enter(f->link, &f->places[0]));
    wsgi_link_leave(f->link, &f->places[1]);
    wsgi_link_leave(f->link, &f->places[2]);
    wsgi_link_leave(f->link, &f->places[3]);
    assert_first_waiting(f, PLACE_COUNT);
    assert_int_equal(f->places[0].state, WSGI_PLACE_WAITING);
    wsgi_link_leave(f->link, &f->places[4]);
    assert_int_equal(f->places[0].state, WSGI_PLACE_HELD);
}

static void test_asking_again_keeps_the_turn(void **state)
{
    fixture_t *f = *state;

    enter_all(f);
    assert_false(wsgi_link_enter(f->link, &f->places[WSGI_LINK_PLACES]));
    assert_true(wsgi_link_enter(f->link, &f->places[0])); /* and is counted once */
    wsgi_link_leave(f->link, &f->places[0]);
    assert_first_waiting(f, WSGI_LINK_PLACES + 1);
}

static void test_leaving_the_row(void **state)
{
    fixture_t *f = *state;
    wsgi_place_t *row = &f->places[WSGI_LINK_PLACES];

    for (size_t leaver = 0; leaver < 4; leaver++) {
        enter_all(f);
        wsgi_link_leave(f->link, &row[leaver]);
        assert_int_equal(row[leaver].state, WSGI_PLACE_NONE);
        assert_false(wsgi_link_enter(f->link, &row[leaver])); /* behind the others now */
        for (size_t i = 0; i < 3; i++) {
            wsgi_link_leave(f->link, &f->places[i]);
        }
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(row[i].state, i == leaver ? WSGI_PLACE_WAITING : WSGI_PLACE_HELD);
        }
        for (size_t i = 0; i < PLACE_COUNT; i++) {
            wsgi_link_leave(f->link, &f->places[i]);
        }
    }
}

static void test_leaving_without_a_place_is_nothing(void **state)
{
    fixture_t *f = *state;

    wsgi_link_leave(f->link, &f->places[0]);
    wsgi_link_leave(f->link, &f->places[0]);
    enter_all(f); /* still eight, not ten */
    assert_first_waiting(f, WSGI_LINK_PLACES);
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

static void test_await_does_not_wait_for_what_is_held(void **state)
{
    fixture_t *f = *state;
    const int64_t start_us = wsgi_now_us();

    enter_all(f);
    wsgi_link_await(f->link, &f->places[0], start_us + INT64_C(3600000000));
    assert_true(wsgi_now_us() < start_us + INT64_C(1800000000));
}

typedef struct crowd {
    wsgi_link_t *link;
    _Atomic unsigned inside, most, held;
} crowd_t;

static void stand_once(crowd_t *crowd, wsgi_place_t *place)
{
    if (!wsgi_link_enter(crowd->link, place)) {
        wsgi_link_await(crowd->link, place, wsgi_now_us() + 50000000);
    }
    if (wsgi_link_enter(crowd->link, place)) {
        const unsigned inside = ++crowd->inside;
        unsigned most = crowd->most;

        crowd->held++;
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside)) {
        }
        crowd->inside--;
    }
    wsgi_link_leave(crowd->link, place);
}

enum { CROWD = 16, TURNS = 200 };

static void *stand_often(void *baton)
{
    wsgi_place_t place;

    wsgi_place_init(&place);
    for (unsigned i = 0; i < TURNS; i++) {
        stand_once(baton, &place);
    }
    wsgi_place_destroy(&place);
    return NULL;
}

static void test_threads_take_turns(void **state)
{
    fixture_t *f = *state;
    crowd_t crowd = {.link = f->link};
    pthread_t threads[CROWD];

    for (size_t i = 0; i < WSGI_LINK_PLACES - 1; i++) {
        assert_true(wsgi_link_enter(f->link, &f->places[i])); /* one place for all of them */
    }
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, stand_often, &crowd), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crowd.held, CROWD * TURNS);
    assert_int_equal(crowd.most, 1);
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
        fixture_test(test_first_come_first_served),
        fixture_test(test_who_comes_now_stands_behind),
        fixture_test(test_asking_again_keeps_the_turn),
        fixture_test(test_leaving_the_row),
        fixture_test(test_leaving_without_a_place_is_nothing),
        fixture_test(test_await_ends_at_its_time),
        fixture_test(test_await_does_not_wait_for_what_is_held),
        fixture_test(test_threads_take_turns),
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
