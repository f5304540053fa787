/* tests/fuzz/fuzz_head.c — a HEAD's payload, as an httpd child reads it from a hostile daemon.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_wire.h"

static bool has_byte(wsgi_bytes_t text, int byte)
{
    return text.len > 0 && memchr(text.data, byte, text.len) != NULL;
}

/* Nothing that would end a line, or a field's name, when it is written to the client. */
static void check_head(const wsgi_head_t *head)
{
    CLAIM(head->status >= 100 && head->status <= 999);
    CLAIM(!has_byte(head->reason, '\n') && !has_byte(head->reason, '\r'));
    CLAIM(!has_byte(head->reason, '\0'));
    for (size_t i = 0; i < head->field_count; i++) {
        const wsgi_field_t *field = &head->fields[i];

        CLAIM(field->name.len > 0 && !has_byte(field->name, ':') && !has_byte(field->name, ' '));
        CLAIM(!has_byte(field->name, '\n') && !has_byte(field->name, '\r'));
        CLAIM(!has_byte(field->name, '\0') && !has_byte(field->value, '\0'));
        CLAIM(!has_byte(field->value, '\n') && !has_byte(field->value, '\r'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wsgi_bytes_t payload = input(data, size);
    wsgi_wire_store_t store = {0};
    wsgi_buffer_t out = {0};
    wsgi_head_t head;

    if (wsgi_wire_get_head(payload, &store, &head) == WSGI_OK) {
        check_head(&head);
        CLAIM(wsgi_wire_put_head(&out, &head) == WSGI_OK);
        CLAIM(is_same(
            (wsgi_bytes_t){out.data + WSGI_WIRE_HEADER_BYTES, out.len - WSGI_WIRE_HEADER_BYTES},
            payload));
    }
    free(store.items);
    wsgi_buffer_clear(&out, 0);
    return 0;
}
