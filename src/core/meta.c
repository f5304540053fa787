/* core/meta.c — well-known meta-variables: number to key, and back in constant time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"

#include <string.h>

#define PREFIX       "HTTP_"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)

static const wsgi_bytes_t keys[WSGI_META_COUNT] = {
    [WSGI_META_NONE] = {"", 0},
#define WSGI_META(name)         [WSGI_META_##name] = {#name, sizeof(#name) - 1},
#define WSGI_META_AS(name, key) [WSGI_META_##name] = {key, sizeof(key) - 1},
#include "wsgi_meta.def"
#undef WSGI_META
#undef WSGI_META_AS
};

/* The longest of the keys: enough room for each, and a bound for what is worth a look. */
union longest_key {
#define WSGI_META(name)         char of_##name[sizeof(#name) - 1];
#define WSGI_META_AS(name, key) char of_##name[sizeof(key) - 1];
#include "wsgi_meta.def"
#undef WSGI_META
#undef WSGI_META_AS
};

/* A hash without collisions among the keys below, so that one comparison decides. A collision of a
 * new key with an old one is refused by the compiler (initialised twice); then other factors are
 * needed. A wrong slot is found, and the right one told, by tests/unit/core/test_meta.c. */
enum { SLOT_COUNT = 256 };

static unsigned slot_of(const char *key, size_t len)
{
    const unsigned before_last = (unsigned char)key[len - 2];
    const unsigned middle = (unsigned char)key[len / 2];

    return (2 * (unsigned)len + 44 * before_last + 95 * middle) % SLOT_COUNT;
}

_Static_assert(WSGI_META_COUNT <= UINT8_MAX, "a slot holds a number in 8 bits");
static const uint8_t slots[SLOT_COUNT] = {
#define SLOT(slot, name) [slot] = WSGI_META_##name,
    SLOT(2, HTTP_PRAGMA)
    SLOT(3, SERVER_SOFTWARE)
    SLOT(4, CONTENT_TYPE)
    SLOT(5, HTTP_X_FORWARDED_FOR)
    SLOT(9, HTTP_AUTHORIZATION)
    SLOT(13, REDIRECT_URL)
    SLOT(19, AUTH_TYPE)
    SLOT(22, HTTP_X_REAL_IP)
    SLOT(29, REDIRECT_QUERY_STRING)
    SLOT(33, HTTP_USER_AGENT)
    SLOT(37, HTTP_X_REQUESTED_WITH)
    SLOT(41, UNIQUE_ID)
    SLOT(46, HTTP_TE)
    SLOT(47, HTTP_TRANSFER_ENCODING)
    SLOT(52, SERVER_ADDR)
    SLOT(53, HTTP_EXPECT)
    SLOT(72, HTTP_IF_RANGE)
    SLOT(73, HTTP_X_REQUEST_ID)
    SLOT(77, QUERY_STRING)
    SLOT(83, HTTP_CACHE_CONTROL)
    SLOT(84, SCRIPT_FILENAME)
    SLOT(91, PATH_INFO)
    SLOT(97, REMOTE_ADDR)
    SLOT(98, SERVER_PROTOCOL)
    SLOT(100, HTTP_SEC_FETCH_DEST)
    SLOT(101, HTTP_TRACEPARENT)
    SLOT(102, HTTP_FORWARDED)
    SLOT(115, HTTP_SEC_GPC)
    SLOT(120, HTTP_UPGRADE)
    SLOT(121, HTTP_UPGRADE_INSECURE_REQUESTS)
    SLOT(126, SCRIPT_NAME)
    SLOT(127, HTTP_COOKIE)
    SLOT(129, HTTP_KEEP_ALIVE)
    SLOT(135, HTTP_SEC_CH_UA_PLATFORM)
    SLOT(136, HTTP_ACCEPT_LANGUAGE)
    SLOT(139, HTTP_X_FORWARDED_PORT)
    SLOT(141, REMOTE_USER)
    SLOT(143, HTTP_REFERER)
    SLOT(144, HTTP_SEC_FETCH_SITE)
    SLOT(149, HTTP_SEC_CH_UA)
    SLOT(151, HTTP_HOST)
    SLOT(152, HTTP_IF_MATCH)
    SLOT(153, REQUEST_SCHEME)
    SLOT(155, CONTEXT_DOCUMENT_ROOT)
    SLOT(156, SERVER_PORT)
    SLOT(159, REDIRECT_REMOTE_USER)
    SLOT(160, DOCUMENT_ROOT)
    SLOT(164, HTTP_CONNECTION)
    SLOT(173, HTTP_TRACESTATE)
    SLOT(178, HTTP_ACCEPT_CHARSET)
    SLOT(182, HTTP_RANGE)
    SLOT(183, HTTP_X_FORWARDED_HOST)
    SLOT(185, HTTP_DNT)
    SLOT(187, HTTP_X_FORWARDED_PROTO)
    SLOT(188, HTTP_ACCEPT_ENCODING)
    SLOT(192, SERVER_NAME)
    SLOT(199, HTTP_IF_MODIFIED_SINCE)
    SLOT(201, REMOTE_PORT)
    SLOT(203, HTTP_X_CSRF_TOKEN)
    SLOT(205, CONTENT_LENGTH)
    SLOT(208, HTTP_SEC_FETCH_MODE)
    SLOT(221, HTTP_VIA)
    SLOT(229, SERVER_ADMIN)
    SLOT(230, REDIRECT_STATUS)
    SLOT(231, HTTP_FROM)
    SLOT(233, CONTEXT_PREFIX)
    SLOT(240, HTTP_IF_UNMODIFIED_SINCE)
    SLOT(241, REQUEST_METHOD)
    SLOT(242, HTTP_SEC_CH_UA_MOBILE)
    SLOT(243, HTTP_ORIGIN)
    SLOT(245, HTTP_ACCEPT)
    SLOT(248, HTTP_PRIORITY)
    SLOT(249, HTTP_IF_NONE_MATCH)
    SLOT(251, REQUEST_URI)
    SLOT(252, HTTP_SEC_FETCH_USER)
#undef SLOT
};

wsgi_bytes_t wsgi_meta_name(unsigned number)
{
    WSGI_ASSERT(number < WSGI_META_COUNT);
    return keys[number];
}

unsigned wsgi_meta_find(const char *name, size_t len)
{
    if (len < 2) {
        return WSGI_META_NONE;
    }
    const unsigned number = slots[slot_of(name, len)];
    const bool is_it = keys[number].len == len && memcmp(keys[number].data, name, len) == 0;
    return is_it ? number : WSGI_META_NONE;
}

static bool is_letter(unsigned char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* The byte of a key for a byte of a field's name; 0 where such a field is dropped. */
static char key_byte(unsigned char c)
{
    if (is_letter(c)) {
        return (char)(c & ~0x20);
    }
    if (c == '-') {
        return '_';
    }
    return c >= '0' && c <= '9' ? (char)c : 0;
}

size_t wsgi_meta_key_from_field(const char *field, size_t len, char *key)
{
    memcpy(key, PREFIX, PREFIX_BYTES);
    for (size_t i = 0; i < len; i++) {
        key[PREFIX_BYTES + i] = key_byte((unsigned char)field[i]);
        if (key[PREFIX_BYTES + i] == 0) {
            return 0;
        }
    }
    return len > 0 ? PREFIX_BYTES + len : 0;
}

unsigned wsgi_meta_find_field(const char *field, size_t len)
{
    char key[sizeof(union longest_key)];

    if (len > sizeof(key) - PREFIX_BYTES || wsgi_meta_key_from_field(field, len, key) == 0) {
        return WSGI_META_NONE;
    }
    /* RFC 3875 gives these two, and only these, a key without the prefix. */
    const unsigned bare = wsgi_meta_find(key + PREFIX_BYTES, len);
    if (bare == WSGI_META_CONTENT_TYPE || bare == WSGI_META_CONTENT_LENGTH) {
        return bare;
    }
    return wsgi_meta_find(key, PREFIX_BYTES + len);
}
