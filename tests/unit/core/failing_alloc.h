/* tests/unit/core/failing_alloc.h — malloc and realloc that fail at the nth call from now on; for
 * programs linked with the flags of their .ldflags file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);

static int calls_until_failure; /* 1 = the next call fails; 0 = none does */

static int fails_now(void)
{
    return calls_until_failure > 0 && --calls_until_failure == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

#endif
