/* tests/unit/metrics/test_scoreboard.c — pictures of the scoreboard in shared memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PROCESSES = 2, THREADS = 3 };

typedef struct stage {
    int fd;
    wsgi_scoreboard_map_t *ours, *theirs;
    wsgi_scoreboard_t *picture;
} stage_t;

static int set_up(void **state)
{
    stage_t *stage = calloc(1, sizeof(*stage));
    stage->ours = wsgi_scoreboard_create(PROCESSES, THREADS, &stage->fd, NULL);
    stage->theirs = wsgi_scoreboard_map(stage->fd, NULL);
    stage->picture = calloc(1, wsgi_scoreboard_bytes(PROCESSES, THREADS));
    *stage->picture = (wsgi_scoreboard_t){.version = WSGI_SCOREBOARD_VERSION,
                                          .processes = PROCESSES,
                                          .threads = THREADS,
                                          .generation = 7};
    *state = stage;
    return stage->ours == NULL || stage->theirs == NULL;
}

static int tear_down(void **state)
{
    stage_t *stage = *state;
    wsgi_scoreboard_unmap(stage->ours);
    wsgi_scoreboard_unmap(stage->theirs);
    wsgi_fd_close(&stage->fd);
    free(stage->picture);
    free(stage);
    return 0;
}

static void test_nothing_is_read_before_it_is_drawn(void **state)
{
    const stage_t *stage = *state;
    assert_null(wsgi_scoreboard_read(stage->theirs));
}

static void test_what_is_drawn_is_read(void **state)
{
    const stage_t *stage = *state;
    wsgi_score_processes(stage->picture)[1] = (wsgi_score_process_t){.pid = 42};
    wsgi_score_workers(stage->picture, 1)[2] =
        (wsgi_score_worker_t){.status = "W", .request = "GET / HTTP/1.1", .bytes = 5};
    wsgi_scoreboard_draw(stage->ours, stage->picture);
    wsgi_scoreboard_t *copy = wsgi_scoreboard_read(stage->theirs);
    assert_memory_equal(copy, stage->picture, wsgi_scoreboard_bytes(PROCESSES, THREADS));
    free(copy);
    stage->picture->generation = 8;
    wsgi_scoreboard_draw(stage->ours, stage->picture);
    copy = wsgi_scoreboard_read(stage->theirs);
    assert_int_equal(copy->generation, 8);
    free(copy);
}

static void test_another_shape_is_not_drawn(void **state)
{
    const stage_t *stage = *state;
    stage->picture->threads = THREADS - 1;
    wsgi_scoreboard_draw(stage->ours, stage->picture);
    assert_null(wsgi_scoreboard_read(stage->theirs));
}

/* One at a time, and none too often. */
static void test_when_it_is_due(void **state)
{
    const stage_t *stage = *state;
    assert_true(wsgi_scoreboard_is_due(stage->ours, 1000000));
    assert_false(wsgi_scoreboard_is_due(stage->ours, 1000000));
    assert_false(wsgi_scoreboard_is_due(stage->ours, 1249999));
    assert_true(wsgi_scoreboard_is_due(stage->ours, 1250000));
    assert_false(wsgi_scoreboard_is_due(stage->ours, 1250001));
}

static void test_readers_cannot_write_or_resize(void **state)
{
    const stage_t *stage = *state;
    const char byte = 'x';
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, stage->fd, 0),
                     MAP_FAILED);
    assert_int_equal(pwrite(stage->fd, &byte, 1, 0), -1);
    assert_int_equal(ftruncate(stage->fd, 1), -1);
    assert_int_equal(ftruncate(stage->fd, 1 << 20), -1);
}

/* A child of httpd that has been taken over writes what it likes. */
static void test_whatever_stands_there_is_well_formed(void **state)
{
    const stage_t *stage = *state;
    const size_t bytes = wsgi_scoreboard_bytes(PROCESSES, THREADS);
    wsgi_scoreboard_t *nonsense = malloc(bytes);
    memset(nonsense, 'x', bytes);
    nonsense->processes = PROCESSES;
    nonsense->threads = THREADS;
    wsgi_scoreboard_draw(stage->ours, nonsense);
    wsgi_scoreboard_t *copy = wsgi_scoreboard_read(stage->theirs);
    assert_int_equal(copy->processes, PROCESSES);
    const wsgi_score_worker_t *worker = &wsgi_score_workers(copy, 1)[2];
    assert_int_equal(strlen(worker->client), sizeof(worker->client) - 1);
    assert_int_equal(strlen(worker->request), sizeof(worker->request) - 1);
    assert_int_equal(strlen(worker->vhost), sizeof(worker->vhost) - 1);
    assert_int_equal(strlen(worker->status), 1);
    free(copy);
    free(nonsense);
}

static void test_memory_that_is_none_of_ours_is_refused(void **state)
{
    wsgi_result_t result = {0};
    (void)state;
    int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_null(wsgi_scoreboard_map(fd, &result));
    assert_int_equal(result.code, WSGI_E_PROTOCOL);
    assert_int_equal(ftruncate(fd, 65536), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    assert_null(wsgi_scoreboard_map(fd, &result));
    close(fd);
    assert_null(wsgi_scoreboard_create(1u << 16, 1u << 16, &fd, &result));
    assert_int_equal(result.code, WSGI_E_INVALID);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_read_before_it_is_drawn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_drawn_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_shape_is_not_drawn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_it_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_readers_cannot_write_or_resize, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whatever_stands_there_is_well_formed, set_up,
                                        tear_down),
        cmocka_unit_test(test_memory_that_is_none_of_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
