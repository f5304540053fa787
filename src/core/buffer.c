/* core/buffer.c — the growing buffer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_core.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_BYTES = 512 };

int wsgi_buffer_reserve(wsgi_buffer_t *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->len) {
        return WSGI_OK;
    }
    if (more > PTRDIFF_MAX - buffer->len) {
        return WSGI_E_NOMEM;
    }
    size_t capacity = buffer->len + more;
    if (capacity < 2 * buffer->capacity) {
        capacity = 2 * buffer->capacity;
    }
    if (capacity < LEAST_BYTES) {
        capacity = LEAST_BYTES;
    }
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        return WSGI_E_NOMEM;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return WSGI_OK;
}

int wsgi_buffer_append(wsgi_buffer_t *buffer, const void *data, size_t len)
{
    if (len == 0) {
        return WSGI_OK;
    }
    const int code = wsgi_buffer_reserve(buffer, len);
    if (code == WSGI_OK) {
        memcpy(buffer->data + buffer->len, data, len);
        buffer->len += len;
    }
    return code;
}

void wsgi_buffer_consume(wsgi_buffer_t *buffer, size_t count)
{
    WSGI_ASSERT(count <= buffer->len);
    buffer->len -= count;
    if (buffer->len > 0 && count > 0) {
        memmove(buffer->data, buffer->data + count, buffer->len);
    }
}

void wsgi_buffer_clear(wsgi_buffer_t *buffer, size_t keep_bytes)
{
    buffer->len = 0;
    if (buffer->capacity > keep_bytes) {
        free(buffer->data);
        *buffer = (wsgi_buffer_t){0};
    }
}
