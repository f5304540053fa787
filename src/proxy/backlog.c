/* proxy/backlog.c — counting those who wait, each child for itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

struct wsgi_backlog {
    uint32_t count;
    wsgi_backlog_slot_t slots[];
};

static size_t size_of(uint32_t count)
{
    return sizeof(wsgi_backlog_t) + count * sizeof(wsgi_backlog_slot_t);
}

wsgi_backlog_t *wsgi_backlog_create(unsigned children)
{
    wsgi_backlog_t *backlog =
        mmap(NULL, size_of(children), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (backlog == MAP_FAILED) {
        return NULL;
    }
    backlog->count = children;
    return backlog;
}

void wsgi_backlog_destroy(wsgi_backlog_t *backlog)
{
    if (backlog != NULL) {
        (void)munmap(backlog, size_of(backlog->count));
    }
}

/* Another user's process has got the number of a child that is gone. */
static bool is_gone(uint32_t pid)
{
    return kill((pid_t)pid, 0) != 0 && (errno == ESRCH || errno == EPERM);
}

static void void_slot(wsgi_backlog_slot_t *slot, uint32_t pid)
{
    atomic_store(&slot->waiting, 0);
    (void)atomic_compare_exchange_strong(&slot->pid, &pid, 0);
}

static bool claim_slot(wsgi_backlog_slot_t *slot, uint32_t pid)
{
    uint32_t before = slot->pid;
    const bool is_free = before == 0 || before == pid || is_gone(before);

    if (is_free && atomic_compare_exchange_strong(&slot->pid, &before, pid)) {
        atomic_store(&slot->waiting, 0);
        return true;
    }
    return false;
}

wsgi_backlog_slot_t *wsgi_backlog_claim(wsgi_backlog_t *backlog, uint32_t pid)
{
    for (uint32_t i = 0; i < backlog->count; i++) {
        if (claim_slot(&backlog->slots[i], pid)) {
            return &backlog->slots[i];
        }
    }
    return NULL;
}

void wsgi_backlog_release(wsgi_backlog_slot_t *slot)
{
    if (slot != NULL) {
        void_slot(slot, slot->pid);
    }
}

bool wsgi_backlog_enter(wsgi_backlog_t *backlog, wsgi_backlog_slot_t *slot, unsigned most)
{
    uint32_t sum = 0;

    if (slot == NULL) {
        return true;
    }
    atomic_fetch_add(&slot->waiting, 1);
    for (uint32_t i = 0; i < backlog->count; i++) {
        sum += atomic_load_explicit(&backlog->slots[i].waiting, memory_order_relaxed);
    }
    if (sum > most) {
        wsgi_backlog_leave(slot);
        return false;
    }
    return true;
}

/* Never below 0: a slot that was voided by mistake, for whatever reason, must not look full. */
void wsgi_backlog_leave(wsgi_backlog_slot_t *slot)
{
    uint32_t waiting = slot != NULL ? slot->waiting : 0;

    while (waiting > 0 && !atomic_compare_exchange_weak(&slot->waiting, &waiting, waiting - 1)) {
    }
}

void wsgi_backlog_sweep(wsgi_backlog_t *backlog)
{
    for (uint32_t i = 0; i < backlog->count; i++) {
        wsgi_backlog_slot_t *slot = &backlog->slots[i];
        const uint32_t pid = slot->pid;

        if (pid != 0 && slot->waiting > 0 && is_gone(pid)) {
            void_slot(slot, pid);
        }
    }
}
