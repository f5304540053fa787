/* metrics/scoreboard.c — pictures of httpd's scoreboard in shared memory that its readers cannot
 * write.
 *
 * Several may draw, though seldom at once, and one may be killed while it does. So each drawing has
 * a number, which stands before and behind it: where the two agree nobody has drawn meanwhile.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define DRAWINGS_APART_US INT64_C(250000)
#define TRIES             100u

_Static_assert(sizeof(wsgi_score_process_t) % 8 == 0 && sizeof(wsgi_score_worker_t) % 8 == 0 &&
                   sizeof(wsgi_scoreboard_t) % 8 == 0,
               "pictures are copied by words");
_Static_assert(sizeof(wsgi_score_worker_t) == 216 && sizeof(wsgi_scoreboard_t) == 40,
               "module and program may come from two compilers");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics with a lock inside do not work here");

/* What lies in the shared memory. */
typedef struct shared {
    _Atomic int64_t drawn_us; /* monotonic: when somebody last was to draw */
    _Atomic uint64_t drawings, before, behind;
    _Alignas(64) _Atomic uint64_t words[];
} shared_t;

/* A process's own: no size is read from memory that others write. */
struct wsgi_scoreboard_map {
    shared_t *shared;
    unsigned processes, threads;
};

size_t wsgi_scoreboard_bytes(unsigned processes, unsigned threads)
{
    return sizeof(wsgi_scoreboard_t) + processes * sizeof(wsgi_score_process_t) +
           (size_t)processes * threads * sizeof(wsgi_score_worker_t);
}

static size_t picture_bytes(const wsgi_scoreboard_map_t *map)
{
    return wsgi_scoreboard_bytes(map->processes, map->threads);
}

static size_t shared_bytes(const wsgi_scoreboard_map_t *map)
{
    return sizeof(shared_t) + picture_bytes(map);
}

static bool is_possible(unsigned processes, unsigned threads)
{
    return processes >= 1 && threads >= 1 && (uint64_t)processes * threads <= WSGI_SCOREBOARD_MAX;
}

static wsgi_scoreboard_map_t *map_memory(int fd, unsigned processes, unsigned threads, int access)
{
    wsgi_scoreboard_map_t *map = calloc(1, sizeof(*map));
    if (map == NULL) {
        return NULL;
    }
    map->processes = processes;
    map->threads = threads;
    void *memory = mmap(NULL, shared_bytes(map), access, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        free(map);
        return NULL;
    }
    map->shared = memory;
    return map;
}

void wsgi_scoreboard_unmap(wsgi_scoreboard_map_t *map)
{
    if (map != NULL) {
        (void)munmap(map->shared, shared_bytes(map));
        free(map);
    }
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* The head goes in ahead: a reader takes the shape from it, once and before all else. */
static wsgi_scoreboard_map_t *make(int fd, unsigned processes, unsigned threads)
{
    const wsgi_scoreboard_t head = {
        .version = WSGI_SCOREBOARD_VERSION, .processes = processes, .threads = threads};
    const wsgi_scoreboard_map_t size = {NULL, processes, threads};
    if (ftruncate(fd, (off_t)shared_bytes(&size)) != 0 ||
        pwrite(fd, &head, sizeof(head), offsetof(shared_t, words)) != (ssize_t)sizeof(head)) {
        return NULL;
    }
    wsgi_scoreboard_map_t *map = map_memory(fd, processes, threads, PROT_READ | PROT_WRITE);
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (map != NULL && fcntl(fd, F_ADD_SEALS, seals) != 0) {
        const int error = errno;
        wsgi_scoreboard_unmap(map);
        errno = error;
        return NULL;
    }
    return map;
}

wsgi_scoreboard_map_t *wsgi_scoreboard_create(unsigned processes, unsigned threads, int *fd,
                                              wsgi_result_t *result)
{
    *fd = -1;
    if (!is_possible(processes, threads)) {
        wsgi_fail(result, WSGI_E_INVALID, "httpd has %u × %u places: lower its limits", processes,
                  threads);
        return NULL;
    }
    *fd = memfd_create("wsgi-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    wsgi_scoreboard_map_t *map = *fd >= 0 ? make(*fd, processes, threads) : NULL;
    if (map == NULL) {
        wsgi_fail(result, WSGI_E_IO,
                  "no shared memory that others can only read (%s): it needs Linux 5.1, and memory "
                  "and a descriptor to spare",
                  strerror(errno));
        wsgi_fd_close(fd);
    }
    return map;
}

bool wsgi_scoreboard_is_due(wsgi_scoreboard_map_t *map, int64_t now_us)
{
    int64_t drawn_us = atomic_load_explicit(&map->shared->drawn_us, memory_order_relaxed);
    return (drawn_us == 0 || now_us - drawn_us >= DRAWINGS_APART_US) &&
           atomic_compare_exchange_strong(&map->shared->drawn_us, &drawn_us, now_us);
}

void wsgi_scoreboard_draw(wsgi_scoreboard_map_t *map, const wsgi_scoreboard_t *picture)
{
    shared_t *shared = map->shared;
    if (picture->processes != map->processes || picture->threads != map->threads) {
        return;
    }
    const uint64_t number = atomic_fetch_add(&shared->drawings, 1) + 1;
    atomic_store(&shared->before, number);
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < picture_bytes(map) / sizeof(uint64_t); i++) {
        uint64_t word;
        memcpy(&word, (const char *)picture + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&shared->words[i], word, memory_order_relaxed);
    }
    atomic_store(&shared->behind, number);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_sealed(int fd)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & needed) == needed;
}

wsgi_scoreboard_map_t *wsgi_scoreboard_map(int fd, wsgi_result_t *result)
{
    wsgi_scoreboard_t head;
    struct stat info;
    if (!is_sealed(fd) || fstat(fd, &info) != 0 ||
        pread(fd, &head, sizeof(head), offsetof(shared_t, words)) != (ssize_t)sizeof(head) ||
        head.version != WSGI_SCOREBOARD_VERSION || !is_possible(head.processes, head.threads) ||
        info.st_size !=
            (off_t)(sizeof(shared_t) + wsgi_scoreboard_bytes(head.processes, head.threads))) {
        wsgi_fail(result, WSGI_E_PROTOCOL,
                  "the memory of the scoreboard is not of this version's layout: install "
                  "mod_wsgi.so and wsgi-daemon from one build");
        return NULL;
    }
    wsgi_scoreboard_map_t *map = map_memory(fd, head.processes, head.threads, PROT_READ);
    if (map == NULL) {
        wsgi_fail(result, WSGI_E_IO, "the memory of the scoreboard cannot be mapped (%s)",
                  strerror(errno));
    }
    return map;
}

static bool copy_undisturbed(const wsgi_scoreboard_map_t *map, wsgi_scoreboard_t *copy)
{
    const shared_t *shared = map->shared;
    const uint64_t behind = atomic_load(&shared->behind);
    for (size_t i = 0; i < picture_bytes(map) / sizeof(uint64_t); i++) {
        const uint64_t word = atomic_load_explicit(&shared->words[i], memory_order_relaxed);
        memcpy((char *)copy + i * sizeof(word), &word, sizeof(word));
    }
    atomic_thread_fence(memory_order_seq_cst);
    return behind != 0 && atomic_load(&shared->before) == behind;
}

#define END(text) ((text)[sizeof(text) - 1] = '\0')

/* A child of httpd that has been taken over may have written anything. */
static void make_well_formed(const wsgi_scoreboard_map_t *map, wsgi_scoreboard_t *copy)
{
    copy->processes = map->processes;
    copy->threads = map->threads;
    for (unsigned i = 0; i < copy->processes; i++) {
        wsgi_score_worker_t *workers = wsgi_score_workers(copy, i);
        for (unsigned j = 0; j < copy->threads; j++) {
            END(workers[j].client);
            END(workers[j].request);
            END(workers[j].vhost);
            workers[j].status[1] = '\0';
        }
    }
}

wsgi_scoreboard_t *wsgi_scoreboard_read(const wsgi_scoreboard_map_t *map)
{
    wsgi_scoreboard_t *copy = malloc(picture_bytes(map));
    for (unsigned i = 0; copy != NULL && i < TRIES; i++) {
        if (copy_undisturbed(map, copy)) {
            make_well_formed(map, copy);
            return copy;
        }
        if (atomic_load(&map->shared->drawings) == 0) {
            break;
        }
    }
    free(copy);
    return NULL;
}
