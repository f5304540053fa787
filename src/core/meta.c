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

/* A hash without collisions among the keys, so that one comparison decides. Should a new key meet
 * an old one, other factors are to be found. */
enum { SLOT_COUNT = 256 };

static unsigned slot_by(size_t len, char before_last, char middle)
{
    return (2 * (unsigned)len + 44 * (unsigned char)before_last + 95 * (unsigned char)middle) %
           SLOT_COUNT;
}

static unsigned slot_of(const char *key, size_t len)
{
    return slot_by(len, key[len - 2], key[len / 2]);
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

/* The byte at index i of the key that a field has. */
static char byte_of_key(const char *field, size_t i)
{
    return i < PREFIX_BYTES ? PREFIX[i] : key_bytes[(unsigned char)field[i - PREFIX_BYTES]];
}

static bool is_named(const char *field, size_t len, const char *key)
{
    for (size_t i = 0; i < len; i++) {
        if (key_bytes[(unsigned char)field[i]] != key[i]) {
            return false;
        }
    }
    return true;
}

/* RFC 3875 gives these two, and only these, a key without the prefix. */
static unsigned find_bare(const char *field, size_t len)
{
    static const unsigned numbers[] = {WSGI_META_CONTENT_TYPE, WSGI_META_CONTENT_LENGTH};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const wsgi_bytes_t key = keys[numbers[i]];

        if (key.len == len && is_named(field, len, key.data)) {
            return numbers[i];
        }
    }
    return WSGI_META_NONE;
}

/* Most fields are found, or not, without their key being made. */
unsigned wsgi_meta_find_field(const char *field, size_t len)
{
    const size_t key_len = PREFIX_BYTES + len;

    if (len == 0) {
        return WSGI_META_NONE;
    }
    const unsigned number =
        slots[slot_by(key_len, byte_of_key(field, key_len - 2), byte_of_key(field, key_len / 2))];
    const wsgi_bytes_t key = keys[number];
    const bool is_it = key.len == key_len && wsgi_bytes_are_same(key.data, PREFIX, PREFIX_BYTES) &&
                       is_named(field, len, key.data + PREFIX_BYTES);
    return is_it ? number : find_bare(field, len);
}
