/* tests/fuzz/fuzz_field.c — status lines, lengths, names and keys from a client or an application.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_field.h"

#include <stdio.h>

static void check_status(const char *text, size_t len)
{
    unsigned status;
    wsgi_bytes_t reason;
    char digits[4];

    if (wsgi_status_parse(text, len, &status, &reason) == WSGI_OK) {
        snprintf(digits, sizeof(digits), "%u", status);
        CLAIM(len >= 3 && memcmp(digits, text, 3) == 0);
        CLAIM(reason.data + reason.len == text + len);
        CLAIM(wsgi_field_value_is_legal(reason.data, reason.len));
    }
}

static void check_length(const char *text, size_t len)
{
    int64_t value;
    char digits[24];

    if (wsgi_length_parse(text, len, &value) == WSGI_OK) {
        const int wanted = snprintf(digits, sizeof(digits), "%lld", (long long)value);

        CLAIM(value >= 0 && (size_t)wanted <= len);
        CLAIM(memcmp(text + len - wanted, digits, (size_t)wanted) == 0);
    }
}

static void check_name(const char *text, size_t len)
{
    const bool is_legal = wsgi_field_name_is_legal(text, len);

    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        CLAIM(!is_legal || (c > 0x20 && c != 0x7f && c != ':'));
    }
}

/* A field's number is the number of its key, and nobody reaches a key of the module's own. */
static void check_keys(const char *text, size_t len)
{
    char *key = malloc(len + 5);
    const size_t key_len = wsgi_meta_key_from_field(text, len, key);
    const unsigned of_field = wsgi_meta_find_field(text, len);
    const unsigned of_key = wsgi_meta_find(text, len);

    CLAIM(key_len == 0 || key_len == len + 5);
    if (of_field == WSGI_META_CONTENT_TYPE || of_field == WSGI_META_CONTENT_LENGTH) {
        CLAIM(wsgi_meta_find(key + 5, key_len - 5) == of_field);
    }
    else {
        CLAIM(of_field == (key_len > 0 ? wsgi_meta_find(key, key_len) : WSGI_META_NONE));
    }
    if (of_key != WSGI_META_NONE) {
        CLAIM(is_same(wsgi_meta_name(of_key), (wsgi_bytes_t){text, len}));
        CLAIM(memchr(text, '.', len) == NULL);
    }
    free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    check_status(text, size);
    check_length(text, size);
    check_name(text, size);
    check_keys(text, size);
    const size_t half = size / 2;
    const wsgi_bytes_t front = {text, half}, back = {text + size - half, half};
    CLAIM(wsgi_bytes_equal_nocase(front, front));
    CLAIM(wsgi_bytes_equal_nocase(front, back) == wsgi_bytes_equal_nocase(back, front));
    CLAIM(!is_same(front, back) || wsgi_bytes_equal_nocase(front, back));
    return 0;
}
