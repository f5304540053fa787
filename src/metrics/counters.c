/* metrics/counters.c — the counters of a process group in sealed shared memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Module and program may come from two compilers: nothing is left for one of them to place. */
_Static_assert(sizeof(wsgi_worker_row_t) == 64, "one cache line for each row");
_Static_assert(offsetof(wsgi_worker_row_t, requests) == 16, "no hole in a row");
_Static_assert(offsetof(wsgi_counters_t, row_count) == 8, "no hole in the head");
_Static_assert(offsetof(wsgi_counters_t, state) == 64, "what changes lies apart from the head");
_Static_assert(offsetof(wsgi_counters_t, restarts_by) == 72, "no hole behind the state");
_Static_assert(offsetof(wsgi_counters_t, rows) == 192, "rows begin on a line of their own");
_Static_assert(sizeof(wsgi_counters_t) == 192 + 64 * WSGI_COUNTERS_ROWS_MAX, "no tail");
_Static_assert(WSGI_REASON_COUNT <=
                   sizeof(((wsgi_counters_t *)NULL)->restarts_by) / sizeof(uint32_t),
               "a counter for each reason");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "atomics with a lock inside do not work between processes");

/* A worker that could shrink the memory could kill every httpd child that looks at it (SIGBUS). */
enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

bool wsgi_counters_restore(int fd, unsigned rows)
{
    const uint32_t head[] = {WSGI_COUNTERS_VERSION, sizeof(wsgi_counters_t), rows};

    return pwrite(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head);
}

static bool prepare(int fd, unsigned rows)
{
    return ftruncate(fd, sizeof(wsgi_counters_t)) == 0 && wsgi_counters_restore(fd, rows) &&
           fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

int wsgi_counters_create(unsigned rows, wsgi_result_t *result)
{
    if (rows < 1 || rows > WSGI_COUNTERS_ROWS_MAX) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "no counters for %u places of workers: set processes= to 1 … %u", rows,
                         WSGI_GROUP_PROCESSES_MAX);
    }
    int fd = memfd_create("wsgi-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || !prepare(fd, rows)) {
        const int error = errno;

        wsgi_fd_close(&fd);
        return wsgi_fail(result, WSGI_E_IO,
                         "no shared memory for the counters of a process group (%s): raise the "
                         "limits of open files and of memory",
                         strerror(error));
    }
    return fd;
}

static bool is_sealed_and_whole(int fd)
{
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat info;

    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &info) == 0 &&
           info.st_size == (off_t)sizeof(wsgi_counters_t);
}

static bool is_known_layout(const wsgi_counters_t *counters)
{
    return counters->version == WSGI_COUNTERS_VERSION &&
           counters->size_bytes == sizeof(*counters) && counters->row_count >= 1 &&
           counters->row_count <= WSGI_COUNTERS_ROWS_MAX;
}

static wsgi_counters_t *refuse_layout(wsgi_result_t *result)
{
    wsgi_fail(result, WSGI_E_PROTOCOL,
              "the counters of the process group are not of this version's layout: install "
              "mod_wsgi.so and wsgi-daemon from one build");
    return NULL;
}

wsgi_counters_t *wsgi_counters_map(int fd, bool is_writer, wsgi_result_t *result)
{
    if (!is_sealed_and_whole(fd)) {
        return refuse_layout(result);
    }
    const int access = is_writer ? PROT_READ | PROT_WRITE : PROT_READ;
    wsgi_counters_t *counters = mmap(NULL, sizeof(*counters), access, MAP_SHARED, fd, 0);
    if (counters == MAP_FAILED) {
        wsgi_fail(result, WSGI_E_IO,
                  "the counters of the process group cannot be mapped (%s): raise the limit of "
                  "address space",
                  strerror(errno));
        return NULL;
    }
    if (!is_known_layout(counters)) {
        wsgi_counters_unmap(counters);
        return refuse_layout(result);
    }
    return counters;
}

void wsgi_counters_unmap(wsgi_counters_t *counters)
{
    if (counters != NULL) {
        (void)munmap(counters, sizeof(*counters));
    }
}

bool wsgi_counters_may_serve(const wsgi_counters_t *counters)
{
    const uint32_t state = atomic_load_explicit(&counters->state, memory_order_relaxed);

    return state == WSGI_GROUP_STARTING || state == WSGI_GROUP_READY;
}

const char *wsgi_reason_name(unsigned reason)
{
    static const char *const names[] = {
#define REASON(name, text) [WSGI_REASON_##name] = (text),
        WSGI_REASONS(REASON)
#undef REASON
    };

    return reason < WSGI_REASON_COUNT ? names[reason] : "";
}
