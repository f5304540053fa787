/* core/field.c — what is legal in a response field, a status line and a Content-Length.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"

#include <string.h>

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

bool wsgi_field_name_is_legal(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)name[i];

        if (is_control(c) || c == ' ' || c == ':') {
            return false;
        }
    }
    return len > 0;
}

bool wsgi_field_value_is_legal(const char *value, size_t len)
{
    return len == 0 || (memchr(value, '\n', len) == NULL && memchr(value, '\r', len) == NULL &&
                        memchr(value, '\0', len) == NULL);
}

bool wsgi_reason_is_legal(const char *reason, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_control((unsigned char)reason[i])) {
            return false;
        }
    }
    return true;
}

int wsgi_status_parse(const char *text, size_t len, unsigned *status, wsgi_bytes_t *reason)
{
    if (len < 3 || (len > 3 && text[3] != ' ')) {
        return WSGI_E_INVALID;
    }
    unsigned number = 0;
    for (size_t i = 0; i < 3; i++) {
        if (!is_digit((unsigned char)text[i])) {
            return WSGI_E_INVALID;
        }
        number = 10 * number + (unsigned)(text[i] - '0');
    }
    const size_t skipped = len > 3 ? 4 : 3;
    if (number < WSGI_STATUS_FINAL || !wsgi_reason_is_legal(text + skipped, len - skipped)) {
        return WSGI_E_INVALID;
    }
    *status = number;
    *reason = (wsgi_bytes_t){text + skipped, len - skipped};
    return WSGI_OK;
}

int wsgi_length_parse(const char *text, size_t len, int64_t *value)
{
    int64_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        if (!is_digit((unsigned char)text[i]) || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, text[i] - '0', &sum)) {
            return WSGI_E_INVALID;
        }
    }
    if (len == 0) {
        return WSGI_E_INVALID;
    }
    *value = sum;
    return WSGI_OK;
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool wsgi_bytes_equal_nocase(wsgi_bytes_t a, wsgi_bytes_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (a.data[i] != b.data[i] &&
            lower((unsigned char)a.data[i]) != lower((unsigned char)b.data[i])) {
            return false;
        }
    }
    return true;
}
