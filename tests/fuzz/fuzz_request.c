/* tests/fuzz/fuzz_request.c — a REQUEST's payload, as a worker reads it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "wsgi_field.h"
#include "wsgi_wire.h"

static void check_text(wsgi_bytes_t text)
{
    CLAIM(strlen(text.data) == text.len);
}

static void check_request(const wsgi_request_t *request)
{
    check_text(request->script);
    check_text(request->process_group);
    check_text(request->application_group);
    check_text(request->callable);
    check_text(request->handler);
    check_text(request->log_id);
    CLAIM(request->body_length >= WSGI_BODY_UNKNOWN);
    CLAIM(request->var_count <= WSGI_WIRE_VARS_MAX);
    CLAIM(request->body_first.len <= WSGI_WIRE_DATA_MAX);
    for (size_t i = 0; i < request->var_count; i++) {
        const wsgi_var_t *var = &request->vars[i];

        CLAIM(var->number < WSGI_META_COUNT);
        CLAIM((var->number == 0) == (var->name.len > 0));
    }
}

static void check_same(const wsgi_request_t *a, const wsgi_request_t *b)
{
    CLAIM(a->id == b->id && a->flags == b->flags && a->body_length == b->body_length);
    CLAIM(a->script_mtime_us == b->script_mtime_us && a->firm_until_us == b->firm_until_us);
    CLAIM(a->request_start_us == b->request_start_us && a->queue_start_us == b->queue_start_us);
    CLAIM(is_same(a->script, b->script) && is_same(a->process_group, b->process_group));
    CLAIM(is_same(a->application_group, b->application_group));
    CLAIM(is_same(a->callable, b->callable) && is_same(a->handler, b->handler));
    CLAIM(is_same(a->log_id, b->log_id) && is_same(a->body_first, b->body_first));
    CLAIM(a->var_count == b->var_count);
    for (size_t i = 0; i < a->var_count; i++) {
        CLAIM(a->vars[i].number == b->vars[i].number);
        CLAIM(is_same(a->vars[i].name, b->vars[i].name));
        CLAIM(is_same(a->vars[i].value, b->vars[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wsgi_bytes_t payload = input(data, size);
    wsgi_wire_store_t store = {0}, store_again = {0};
    wsgi_request_t request, request_again;
    wsgi_buffer_t out = {0};

    if (wsgi_wire_get_request(payload, &store, &request) == WSGI_OK) {
        check_request(&request);
        CLAIM(wsgi_wire_put_request(&out, 0, &request) == WSGI_OK);
        const wsgi_bytes_t again = {out.data + WSGI_WIRE_HEADER_BYTES,
                                    out.len - WSGI_WIRE_HEADER_BYTES};
        CLAIM(is_same(again, payload));
        CLAIM(wsgi_wire_get_request(again, &store_again, &request_again) == WSGI_OK);
        check_same(&request, &request_again);
    }
    free(store.items);
    free(store_again.items);
    wsgi_buffer_clear(&out, 0);
    return 0;
}
