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

/* A hash without collisions among the keys, so that one comparison decides. Should a new key meet
 * an old one, other factors are to be found. */
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
#include "meta_slots.def"
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

/* The byte of a key for a byte of a field's name; 0: a field with such a name is dropped. */
static const char key_bytes[UINT8_MAX + 1] = {
#define SAME(c)            [c] = c
#define BOTH(upper, lower) [upper] = upper, [lower] = upper
    ['-'] = '_',    SAME('0'),      SAME('1'),      SAME('2'),      SAME('3'),      SAME('4'),
    SAME('5'),      SAME('6'),      SAME('7'),      SAME('8'),      SAME('9'),      BOTH('A', 'a'),
    BOTH('B', 'b'), BOTH('C', 'c'), BOTH('D', 'd'), BOTH('E', 'e'), BOTH('F', 'f'), BOTH('G', 'g'),
    BOTH('H', 'h'), BOTH('I', 'i'), BOTH('J', 'j'), BOTH('K', 'k'), BOTH('L', 'l'), BOTH('M', 'm'),
    BOTH('N', 'n'), BOTH('O', 'o'), BOTH('P', 'p'), BOTH('Q', 'q'), BOTH('R', 'r'), BOTH('S', 's'),
    BOTH('T', 't'), BOTH('U', 'u'), BOTH('V', 'v'), BOTH('W', 'w'), BOTH('X', 'x'), BOTH('Y', 'y'),
    BOTH('Z', 'z'),
#undef SAME
#undef BOTH
};

size_t wsgi_meta_key_from_field(const char *field, size_t len, char *key)
{
    memcpy(key, PREFIX, PREFIX_BYTES);
    for (size_t i = 0; i < len; i++) {
        const char byte = key_bytes[(unsigned char)field[i]];

        if (byte == 0) {
            return 0;
        }
        key[PREFIX_BYTES + i] = byte;
    }
    return len > 0 ? PREFIX_BYTES + len : 0;
}

unsigned wsgi_meta_find_field(const char *field, size_t len)
{
    char key[sizeof(union longest_key)];

    if (len > sizeof(key) - PREFIX_BYTES || wsgi_meta_key_from_field(field, len, key) == 0) {
        return WSGI_META_NONE;
    }
    const unsigned number = wsgi_meta_find(key, PREFIX_BYTES + len);
    if (number != WSGI_META_NONE) {
        return number;
    }
    /* RFC 3875 gives these two, and only these, a key without the prefix. */
    const unsigned bare = wsgi_meta_find(key + PREFIX_BYTES, len);
    const bool is_content = bare == WSGI_META_CONTENT_TYPE || bare == WSGI_META_CONTENT_LENGTH;
    return is_content ? bare : WSGI_META_NONE;
}
