/* core/cursor.h — reading and writing little-endian bytes with one bounds check per item.
 * Runs in:  every process.   Threads: one at a time per cursor.
 *
 * A reader that meets the end goes bad and stays so: callers read on and look once. A writer has
 * no check: its room was reserved for the whole frame.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_CORE_CURSOR_H
#define WSGI_CORE_CURSOR_H

#include "wsgi_core.h"

#include <endian.h>
#include <string.h>

typedef struct wsgi_reader {
    const char *at, *end;
    bool is_bad;
} wsgi_reader_t;

static inline wsgi_reader_t wsgi_reader(wsgi_bytes_t bytes)
{
    const char *start = bytes.len > 0 ? bytes.data : "";

    return (wsgi_reader_t){.at = start, .end = start + bytes.len};
}

static inline size_t wsgi_reader_left(const wsgi_reader_t *in)
{
    return (size_t)(in->end - in->at);
}

/* All was there, and nothing is left over. */
static inline bool wsgi_reader_is_done(const wsgi_reader_t *in)
{
    return !in->is_bad && in->at == in->end;
}

static inline void wsgi_reader_spoil(wsgi_reader_t *in)
{
    in->is_bad = true;
    in->at = in->end;
}

/* The next len bytes, in place; empty where there are fewer. */
static inline wsgi_bytes_t wsgi_read_bytes(wsgi_reader_t *in, uint64_t len)
{
    if (__builtin_expect(len > wsgi_reader_left(in), 0)) {
        wsgi_reader_spoil(in);
        len = 0;
    }
    const wsgi_bytes_t bytes = {in->at, (size_t)len};
    in->at += bytes.len;
    return bytes;
}

/* Copies the next len bytes; zeros where there are fewer. */
static inline void wsgi_read_copy(wsgi_reader_t *in, void *out, size_t len)
{
    const wsgi_bytes_t bytes = wsgi_read_bytes(in, len);

    if (__builtin_expect(bytes.len == len, 1)) {
        memcpy(out, bytes.data, len);
    }
    else {
        memset(out, 0, len);
    }
}

static inline uint32_t wsgi_read_u32(wsgi_reader_t *in)
{
    uint32_t number;

    wsgi_read_copy(in, &number, sizeof(number));
    return le32toh(number);
}

static inline int64_t wsgi_read_i64(wsgi_reader_t *in)
{
    uint64_t number;

    wsgi_read_copy(in, &number, sizeof(number));
    return (int64_t)le64toh(number);
}

/* The next len bytes as a C string: a NUL behind them, none inside. */
static inline wsgi_bytes_t wsgi_read_text(wsgi_reader_t *in, size_t len)
{
    const wsgi_bytes_t text = wsgi_read_bytes(in, len);
    const wsgi_bytes_t end = wsgi_read_bytes(in, 1);

    if (in->is_bad || end.data[0] != '\0' || memchr(text.data, '\0', text.len) != NULL) {
        wsgi_reader_spoil(in);
        return (wsgi_bytes_t){"", 0};
    }
    return text;
}

/* Writers give the place behind what they wrote. */
static inline char *wsgi_write_copy(char *at, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(at, data, len);
    }
    return at + len;
}

static inline char *wsgi_write_bytes(char *at, wsgi_bytes_t bytes)
{
    return wsgi_write_copy(at, bytes.data, bytes.len);
}

static inline char *wsgi_write_text(char *at, wsgi_bytes_t text)
{
    at = wsgi_write_bytes(at, text);
    *at = '\0';
    return at + 1;
}

static inline char *wsgi_write_u32(char *at, uint32_t number)
{
    const uint32_t wire = htole32(number);

    return wsgi_write_copy(at, &wire, sizeof(wire));
}

static inline char *wsgi_write_i64(char *at, int64_t number)
{
    const uint64_t wire = htole64((uint64_t)number);

    return wsgi_write_copy(at, &wire, sizeof(wire));
}

#endif
