/* tests/fuzz/fuzz.h — what the fuzz targets share. A claim that fails ends the run, like a
 * sanitizer's finding.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#include "wsgi_core.h"

#include <stdlib.h>
#include <string.h>

#define CLAIM(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline wsgi_bytes_t input(const uint8_t *data, size_t size)
{
    return (wsgi_bytes_t){(const char *)data, size};
}

static inline bool is_same(wsgi_bytes_t a, wsgi_bytes_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
