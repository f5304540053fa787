/* tests/unit/daemon/test_leases.c — who owns which connection of a worker.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "leases.h"

#include "caller.h"

#include <fcntl.h>
#include <pthread.h>

enum { COUNT = 3 };

static struct {
    wsgi_worker_row_t row;
    wsgi_connection_settings_t settings;
    wsgi_leases_t leases;
    int callers[COUNT];
} t;

static int set_up(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.row.generation = usual_hello.generation;
    t.settings = (wsgi_connection_settings_t){.row = &t.row, .hello = usual_hello};
    assert_int_equal(wsgi_leases_init(&t.leases, COUNT, &t.settings), WSGI_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        t.callers[i] = -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wsgi_leases_revoke_all(&t.leases);
    wsgi_leases_free(&t.leases);
    for (unsigned i = 0; i < COUNT; i++) {
        wsgi_fd_close(&t.callers[i]);
    }
    return 0;
}

/* A connection that is idle from now on. */
static wsgi_lease_t *park(unsigned index)
{
    wsgi_lease_t *lease = wsgi_leases_claim(&t.leases, COUNT);
    int pair[2];

    assert_non_null(lease);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    lease->connection.fd = pair[0];
    lease->connection.state = WSGI_CONNECTION_IDLE;
    t.callers[index] = pair[1];
    assert_true(wsgi_lease_park(lease));
    return lease;
}

static void expect_goaway(unsigned index)
{
    transcript_t got = {0};

    collect(&got, t.callers[index]);
    assert_string_equal(describe(&got), "GOAWAY");
    forget(&got);
}

static bool is_silent(unsigned index)
{
    char byte;

    return recv(t.callers[index], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void test_free_ones_are_claimed_first(void **state)
{
    wsgi_lease_t *parked = park(0);

    (void)state;
    wsgi_lease_t *one = wsgi_leases_claim(&t.leases, COUNT);
    wsgi_lease_t *two = wsgi_leases_claim(&t.leases, COUNT);
    assert_true(one != two && one != parked && two != parked);
    assert_int_equal(t.row.leases, 3);
    assert_true(is_silent(0));
    wsgi_lease_release(&t.leases, one);
    wsgi_lease_release(&t.leases, two);
    assert_int_equal(t.row.leases, 1);
}

static void test_then_the_longest_parked(void **state)
{
    wsgi_lease_t *leases[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        leases[i] = park(i);
    }
    leases[1]->parked_us -= 1000;
    assert_ptr_equal(wsgi_leases_claim(&t.leases, COUNT), leases[1]);
    expect_goaway(1);
    assert_true(is_silent(0) && is_silent(2));
    assert_int_equal(leases[1]->connection.fd, -1);
    assert_int_equal(t.row.leases, 3);
    wsgi_lease_release(&t.leases, leases[1]);
}

static void test_nothing_where_threads_own_all(void **state)
{
    wsgi_lease_t *leases[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        leases[i] = wsgi_leases_claim(&t.leases, COUNT);
    }
    assert_null(wsgi_leases_claim(&t.leases, COUNT));
    for (unsigned i = 0; i < COUNT; i++) {
        wsgi_lease_release(&t.leases, leases[i]);
    }
}

static void test_a_limit(void **state)
{
    wsgi_lease_t *lease = wsgi_leases_claim(&t.leases, 1);

    (void)state;
    assert_non_null(lease);
    assert_null(wsgi_leases_claim(&t.leases, 1));
    wsgi_lease_release(&t.leases, lease);
}

static void test_an_event_gives_the_parked_one(void **state)
{
    wsgi_lease_t *lease = park(0);
    const uint64_t mark = wsgi_lease_mark(&t.leases, lease);

    (void)state;
    assert_ptr_equal(wsgi_leases_find(&t.leases, mark), lease);
    assert_null(wsgi_leases_find(&t.leases, mark)); /* owned: told to look again */
    assert_null(wsgi_leases_find(&t.leases, mark));
    assert_false(wsgi_lease_park(lease));
    assert_true(wsgi_lease_park(lease));
}

static void test_a_late_event_is_another_connections(void **state)
{
    wsgi_lease_t *lease = park(0);
    const uint64_t mark = wsgi_lease_mark(&t.leases, lease);

    (void)state;
    wsgi_lease_revoke(&t.leases, lease);
    assert_null(wsgi_leases_find(&t.leases, mark));
    assert_ptr_equal(park(1), lease);
    assert_null(wsgi_leases_find(&t.leases, mark)); /* nor is its owner told anything */
    const uint64_t next = wsgi_lease_mark(&t.leases, lease);
    assert_true(next != mark);
    assert_ptr_equal(wsgi_leases_find(&t.leases, next), lease);
    assert_true(wsgi_lease_park(lease));
}

static void test_revoking_takes_only_what_is_parked(void **state)
{
    (void)state;
    park(0);
    wsgi_lease_t *owned = wsgi_leases_claim(&t.leases, COUNT);
    park(1);
    wsgi_leases_revoke_all(&t.leases);
    expect_goaway(0);
    expect_goaway(1);
    assert_int_equal(t.row.leases, 1);
    wsgi_lease_release(&t.leases, owned);
}

/* It cannot be told, but its connection ends all the same. */
static void test_revoking_does_not_wait(void **state)
{
    char bytes[4096] = {0};

    (void)state;
    wsgi_lease_t *lease = park(0);
    while (send(lease->connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    wsgi_leases_revoke_all(&t.leases);
    assert_int_equal(t.row.leases, 0);
}

static void test_the_row_of_a_successor_is_left_alone(void **state)
{
    (void)state;
    t.row.generation++;
    park(0);
    assert_int_equal(t.row.leases, 0);
    assert_int_equal(t.leases.open, 1);
}

static void test_forgetting_closes_all(void **state)
{
    wsgi_lease_t *parked = park(0);
    wsgi_lease_t *taken = wsgi_leases_claim(&t.leases, COUNT);
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    taken->next_fd = fd;
    wsgi_leases_forget(&t.leases);
    assert_int_equal(parked->connection.fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(fcntl(0, F_GETFD) >= 0, 1); /* the third was never used */
    wsgi_lease_release(&t.leases, taken);
}

/* Each of many threads claims, parks and finds; nobody may ever share one. */

enum { THREADS = COUNT, ROUNDS = 20000 };
static _Atomic unsigned owners[COUNT], shared;

static void own(wsgi_lease_t *lease, int change)
{
    shared += (owners[lease - t.leases.leases] += (unsigned)change) > 1;
}

static void *quarrel(void *data)
{
    uint64_t mark = (uint64_t)(uintptr_t)data;

    for (unsigned i = 0; i < ROUNDS; i++) {
        wsgi_lease_t *lease =
            i % 3 == 0 ? wsgi_leases_find(&t.leases, mark) : wsgi_leases_claim(&t.leases, COUNT);
        if (lease == NULL) {
            continue;
        }
        own(lease, 1);
        mark = wsgi_lease_mark(&t.leases, lease);
        own(lease, -1);
        if (i % 5 == 0) {
            wsgi_lease_release(&t.leases, lease);
        }
        else {
            while (!wsgi_lease_park(lease)) {
            }
        }
    }
    return NULL;
}

static void test_nobody_shares_one(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, quarrel, (void *)(uintptr_t)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared, 0);
    assert_true(t.leases.open <= COUNT);
    assert_int_equal(t.leases.open, t.row.leases);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_free_ones_are_claimed_first),
        TEST(test_then_the_longest_parked),
        TEST(test_nothing_where_threads_own_all),
        TEST(test_a_limit),
        TEST(test_an_event_gives_the_parked_one),
        TEST(test_a_late_event_is_another_connections),
        TEST(test_revoking_takes_only_what_is_parked),
        TEST(test_revoking_does_not_wait),
        TEST(test_the_row_of_a_successor_is_left_alone),
        TEST(test_forgetting_closes_all),
        TEST(test_nobody_shares_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
