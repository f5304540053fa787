/* wsgi_field.h — names of meta-variables, and what is legal in a field and in a status line
 * (RFC 9110 section 5, RFC 3875, PEP 3333). Pure functions.
 * Runs in:  every process.   Threads: any.   Owns: nothing.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_FIELD_H
#define WSGI_FIELD_H

#include "wsgi_request.h"

#include <string.h>

/* Well-known meta-variables by number, from wsgi_meta.def: WSGI_META_REQUEST_METHOD, …
 * Numbers are the wire's too: append only, never reorder (WSGI_WIRE_VERSION changes otherwise). */
enum wsgi_meta {
    WSGI_META_NONE = 0,
#define WSGI_META(name) WSGI_META_##name,
#include "wsgi_meta.def"
#undef WSGI_META
    WSGI_META_COUNT
};

/* The key of the environ for a number in 1 … WSGI_META_COUNT-1, NUL-terminated, static. */
wsgi_bytes_t wsgi_meta_name(unsigned number);

/* The number for a key ("HTTP_HOST", case as in the environ), or WSGI_META_NONE. Constant time.
 * Never gives one of the WSGI_META_MOD_WSGI_*: those are the host's to set, so that no name that
 * came from a client or from SetEnv turns into one of them. */
unsigned wsgi_meta_find(const char *name, size_t len);

/* The same for a request field's name in any case ("Host" → WSGI_META_HTTP_HOST). Content-Type and
 * Content-Length give CONTENT_TYPE and CONTENT_LENGTH. WSGI_META_NONE: not well known. */
unsigned wsgi_meta_find_field(const char *field, size_t len);

/* Writes "HTTP_" + upper-cased name, '-' as '_', into key (len + 5 bytes, not terminated) and gives
 * its length; 0 where the name holds anything but letters, digits and '-': such a field is
 * dropped, so that X_Foo cannot pass for X-Foo. */
size_t wsgi_meta_key_from_field(const char *field, size_t len, char *key);

/* Response field name: not empty, no control characters, no blank, no colon. Value: no CR, LF,
 * NUL. Used by the gateway on what the application says and by the proxy on what a daemon says. */
bool wsgi_field_name_is_legal(const char *name, size_t len);
bool wsgi_field_value_is_legal(const char *value, size_t len);

/* Reason phrase: no control characters. */
bool wsgi_reason_is_legal(const char *reason, size_t len);

#define WSGI_STATUS_MIN   100u
#define WSGI_STATUS_FINAL 200u /* below it, an answer is only announced */
#define WSGI_STATUS_MAX   999u

/* "404 Not Found" → 404 and "Not Found" (pointing into text). Three digits 200…999, then the end,
 * or one blank and a reason without control characters. 1xx is no answer: a client takes what
 * follows for the head of the real one. WSGI_OK or WSGI_E_INVALID. */
int wsgi_status_parse(const char *text, size_t len, unsigned *status, wsgi_bytes_t *reason)
    WSGI_MUST_CHECK;

/* A Content-Length: one or more digits that fit, nothing else. WSGI_OK or WSGI_E_INVALID. */
int wsgi_length_parse(const char *text, size_t len, int64_t *value) WSGI_MUST_CHECK;

static inline uint64_t wsgi_hash_step(uint64_t hash, uint64_t word)
{
    return ((hash << 5 | hash >> 59) ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of a name: eight bytes at a time, as paths are long, the last ones again where the length is no
 * multiple. The highest byte of a product depends on all of its factor, so it becomes the lowest.
 * Not proof against names that are chosen to collide. */
static inline uint64_t wsgi_name_hash(const char *name, size_t len)
{
    uint64_t hash = len, word = 0;

    if (len < sizeof(word)) {
        memcpy(&word, name, len);
        return __builtin_bswap64(wsgi_hash_step(hash, word));
    }
    for (size_t i = 0; i + sizeof(word) < len; i += sizeof(word)) {
        memcpy(&word, name + i, sizeof(word));
        hash = wsgi_hash_step(hash, word);
    }
    memcpy(&word, name + len - sizeof(word), sizeof(word));
    return __builtin_bswap64(wsgi_hash_step(hash, word));
}

/* The first 64 (32) bits and the last, which overlap where there are fewer than twice as many. */
static inline bool wsgi_ends_are_same_64(const char *a, const char *b, size_t len)
{
    uint64_t a_first, a_last, b_first, b_last;

    memcpy(&a_first, a, sizeof(a_first));
    memcpy(&b_first, b, sizeof(b_first));
    memcpy(&a_last, a + len - sizeof(a_last), sizeof(a_last));
    memcpy(&b_last, b + len - sizeof(b_last), sizeof(b_last));
    return ((a_first ^ b_first) | (a_last ^ b_last)) == 0;
}

static inline bool wsgi_ends_are_same_32(const char *a, const char *b, size_t len)
{
    uint32_t a_first, a_last, b_first, b_last;

    memcpy(&a_first, a, sizeof(a_first));
    memcpy(&b_first, b, sizeof(b_first));
    memcpy(&a_last, a + len - sizeof(a_last), sizeof(a_last));
    memcpy(&b_last, b + len - sizeof(b_last), sizeof(b_last));
    return ((a_first ^ b_first) | (a_last ^ b_last)) == 0;
}

/* As memcmp() == 0, but in line for the lengths that most values of a request have. */
static inline bool wsgi_bytes_are_same(const char *a, const char *b, size_t len)
{
    if (len > 16) {
        return memcmp(a, b, len) == 0;
    }
    if (len >= 8) {
        return wsgi_ends_are_same_64(a, b, len);
    }
    if (len >= 4) {
        return wsgi_ends_are_same_32(a, b, len);
    }
    return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

/* Compares ignoring ASCII case. */
bool wsgi_bytes_equal_nocase(wsgi_bytes_t a, wsgi_bytes_t b);

#endif
