/* tests/unit/metrics/test_counters.c — the counters' memory: sealed, checked, shared.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int a_group(unsigned rows)
{
    const int fd = wsgi_counters_create(rows, NULL);

    assert_true(fd >= 0);
    return fd;
}

static void test_new_counters(void **state)
{
    int fd = a_group(3);
    wsgi_counters_t *counters = wsgi_counters_map(fd, true, NULL);

    (void)state;
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    wsgi_fd_close(&fd);
    assert_non_null(counters);
    assert_int_equal(counters->row_count, 3);
    assert_int_equal(counters->state, WSGI_GROUP_STARTING);
    assert_int_equal(counters->rows[2].state, WSGI_WORKER_EMPTY);
    assert_int_equal(counters->rows[WSGI_COUNTERS_ROWS_MAX - 1].requests, 0);
    wsgi_counters_unmap(counters);
    wsgi_counters_unmap(NULL);
}

static void test_number_of_rows(void **state)
{
    static const unsigned refused[] = {0, WSGI_COUNTERS_ROWS_MAX + 1, UINT32_MAX};
    wsgi_result_t result;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(wsgi_counters_create(refused[i], &result), WSGI_E_INVALID);
        assert_non_null(strstr(result.detail, "set processes= to 1 … 4096"));
    }
    int fd = a_group(WSGI_COUNTERS_ROWS_MAX);
    wsgi_fd_close(&fd);
}

static void test_reader_sees_what_a_writer_in_another_process_writes(void **state)
{
    int fd = a_group(2), status;
    wsgi_counters_t *reader = wsgi_counters_map(fd, false, NULL);

    (void)state;
    assert_non_null(reader);
    const pid_t pid = fork();
    if (pid == 0) {
        wsgi_counters_t *writer = wsgi_counters_map(fd, true, NULL);
        if (writer == NULL) {
            _exit(1);
        }
        atomic_fetch_add(&writer->rows[1].requests, 5);
        atomic_store(&writer->state, WSGI_GROUP_READY);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(reader->rows[1].requests, 5);
    assert_int_equal(reader->state, WSGI_GROUP_READY);
    wsgi_counters_unmap(reader);
    wsgi_fd_close(&fd);
}

static void test_readers_mapping_is_read_only(void **state)
{
    int fd = a_group(1), status;
    wsgi_counters_t *reader = wsgi_counters_map(fd, false, NULL);

    (void)state;
    const pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        atomic_store(&reader->state, WSGI_GROUP_FAILED);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    wsgi_counters_unmap(reader);
    wsgi_fd_close(&fd);
}

static void test_size_cannot_change(void **state)
{
    int fd = a_group(1);

    (void)state;
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 2 * sizeof(wsgi_counters_t)), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    wsgi_fd_close(&fd);
}

static void assert_refused(int fd)
{
    wsgi_result_t result = {0};

    assert_null(wsgi_counters_map(fd, false, &result));
    assert_int_equal(result.code, WSGI_E_PROTOCOL);
    assert_non_null(strstr(result.detail, "install mod_wsgi.so and wsgi-daemon from one build"));
}

static void test_what_is_not_sealed_or_not_whole_is_refused(void **state)
{
    int plain = memfd_create("plain", MFD_CLOEXEC);
    int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int small = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)state;
    assert_int_equal(ftruncate(plain, sizeof(wsgi_counters_t)), 0);
    assert_int_equal(ftruncate(small, sizeof(wsgi_counters_t) - 1), 0);
    assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    assert_refused(plain);
    assert_refused(file);
    assert_refused(small);
    assert_refused(-1);
    wsgi_fd_close(&plain);
    wsgi_fd_close(&file);
    wsgi_fd_close(&small);
}

static void test_unknown_layout_is_refused(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } cases[] = {
        {offsetof(wsgi_counters_t, version), WSGI_COUNTERS_VERSION + 1},
        {offsetof(wsgi_counters_t, size_bytes), 4096},
        {offsetof(wsgi_counters_t, row_count), 0},
        {offsetof(wsgi_counters_t, row_count), WSGI_COUNTERS_ROWS_MAX + 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = a_group(1);

        assert_int_equal(pwrite(fd, &cases[i].value, 4, (off_t)cases[i].offset), 4);
        assert_refused(fd);
        wsgi_fd_close(&fd);
    }
}

static void test_which_groups_may_serve(void **state)
{
    static const bool may_serve[] = {
        [WSGI_GROUP_STARTING] = true,      [WSGI_GROUP_READY] = true,
        [WSGI_GROUP_FAILED] = false,       [WSGI_GROUP_STOPPING] = false,
        [WSGI_GROUP_STOPPING + 1] = false, /* nonsense */
    };
    int fd = a_group(1);
    wsgi_counters_t *counters = wsgi_counters_map(fd, true, NULL);

    (void)state;
    for (unsigned group = 0; group < sizeof(may_serve) / sizeof(may_serve[0]); group++) {
        atomic_store(&counters->state, group);
        assert_int_equal(wsgi_counters_may_serve(counters), may_serve[group]);
    }
    wsgi_counters_unmap(counters);
    wsgi_fd_close(&fd);
}

static void test_names_of_reasons(void **state)
{
    (void)state;
    assert_string_equal(wsgi_reason_name(WSGI_REASON_NONE), "");
    assert_string_equal(wsgi_reason_name(WSGI_REASON_SCRIPT_RELOAD), "script_reload");
    for (unsigned reason = 1; reason < WSGI_REASON_COUNT; reason++) {
        assert_true(strlen(wsgi_reason_name(reason)) > 3);
    }
    assert_string_equal(wsgi_reason_name(WSGI_REASON_COUNT), "");
    assert_string_equal(wsgi_reason_name(UINT32_MAX), "");
}

static void test_no_descriptors_left(void **state)
{
    struct rlimit before;
    wsgi_result_t result;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(wsgi_counters_create(1, &result), WSGI_E_IO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(strstr(result.detail, strerror(EMFILE)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_counters),
        cmocka_unit_test(test_number_of_rows),
        cmocka_unit_test(test_reader_sees_what_a_writer_in_another_process_writes),
        cmocka_unit_test(test_readers_mapping_is_read_only),
        cmocka_unit_test(test_size_cannot_change),
        cmocka_unit_test(test_what_is_not_sealed_or_not_whole_is_refused),
        cmocka_unit_test(test_unknown_layout_is_refused),
        cmocka_unit_test(test_which_groups_may_serve),
        cmocka_unit_test(test_names_of_reasons),
        cmocka_unit_test(test_no_descriptors_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
