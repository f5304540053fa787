/* tests/unit/daemon/in_child.h — runs what would spoil the test's own process in a fork of it. What
 * the fork finds out it leaves in shared memory, where the test judges it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef IN_CHILD_H
#define IN_CHILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FOUND_BYTES = 64 << 10 };

/* `found` is zeroed memory of FOUND_BYTES, unmapped by forget_found(). */
static inline void *run_in_child(void (*body)(void *found))
{
    void *found =
        mmap(NULL, FOUND_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;

    assert_true(found != MAP_FAILED);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        body(found);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return found;
}

static inline void forget_found(void *found)
{
    munmap(found, FOUND_BYTES);
}

#endif
