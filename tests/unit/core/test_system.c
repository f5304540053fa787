/* tests/unit/core/test_system.c — descriptors and clocks.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void test_close_forgets_the_number(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int number = fd;

    (void)state;
    assert_true(fd >= 0);
    wsgi_fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    errno = EPIPE;
    wsgi_fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, EPIPE);
    fd = number; /* closed already: close() fails, and errno stays what it was */
    wsgi_fd_close(&fd);
    assert_int_equal(errno, EPIPE);
}

static void test_clocks_run_in_microseconds(void **state)
{
    const int64_t now = wsgi_now_us();
    const int64_t wall = wsgi_wall_us();

    (void)state;
    usleep(2000);
    assert_in_range(wsgi_now_us() - now, 2000, 30 * INT64_C(1000000));
    assert_true(wsgi_wall_us() > wall);
    assert_in_range(wall / 1000000, time(NULL) - 30, time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_forgets_the_number),
        cmocka_unit_test(test_clocks_run_in_microseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
