/* tests/unit/core/test_handover.c — the settings blob: round trip, and what is refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_handover.h"

#include "failing_alloc.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every member differs from every other: a swap would show. */
static wsgi_group_settings_t some_settings(void)
{
    wsgi_group_settings_t settings;
    int64_t number = INT64_MIN;

#define TEXT(member)   settings.member = "text of " #member;
#define NUMBER(member) settings.member = number++;
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    settings.display_name = "";
    settings.uid = -1;
    return settings;
}

static void assert_same_settings(const wsgi_group_settings_t *a, const wsgi_group_settings_t *b)
{
#define TEXT(member)   assert_string_equal(a->member, b->member);
#define NUMBER(member) assert_int_equal(a->member, b->member);
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
}

static wsgi_buffer_t packed(void)
{
    const wsgi_group_settings_t settings = some_settings();
    wsgi_buffer_t out = {0};

    assert_int_equal(wsgi_handover_pack(&out, &settings), WSGI_OK);
    return out;
}

static int unpack(const wsgi_buffer_t *blob, wsgi_result_t *result)
{
    wsgi_group_settings_t got;

    return wsgi_handover_unpack((wsgi_bytes_t){blob->data, blob->len}, &got, result);
}

static void test_round_trip(void **state)
{
    const wsgi_group_settings_t settings = some_settings();
    wsgi_group_settings_t got;
    wsgi_buffer_t out = packed();
    wsgi_result_t result;

    (void)state;
    assert_int_equal(wsgi_handover_unpack((wsgi_bytes_t){out.data, out.len}, &got, &result),
                     WSGI_OK);
    assert_same_settings(&got, &settings);
    wsgi_buffer_clear(&out, 0);
}

static void test_pack_appends(void **state)
{
    const wsgi_group_settings_t settings = some_settings();
    wsgi_buffer_t out = {0}, alone = packed();

    (void)state;
    assert_int_equal(wsgi_buffer_append(&out, "before", 6), WSGI_OK);
    assert_int_equal(wsgi_handover_pack(&out, &settings), WSGI_OK);
    assert_int_equal(out.len, 6 + alone.len);
    assert_memory_equal(out.data, "before", 6);
    assert_memory_equal(out.data + 6, alone.data, alone.len);
    wsgi_buffer_clear(&out, 0);
    wsgi_buffer_clear(&alone, 0);
}

static void test_cut_or_longer_blob_is_refused(void **state)
{
    wsgi_buffer_t whole = packed();
    wsgi_result_t result;

    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        wsgi_buffer_t part = {malloc(len + 1), len, len + 1};

        memcpy(part.data, whole.data, len);
        result.detail[0] = '\0';
        assert_int_equal(unpack(&part, &result), WSGI_E_PROTOCOL);
        assert_string_not_equal(result.detail, "");
        wsgi_buffer_clear(&part, 0);
    }
    assert_int_equal(wsgi_buffer_append(&whole, "", 1), WSGI_OK);
    assert_int_equal(unpack(&whole, &result), WSGI_E_PROTOCOL);
    assert_non_null(strstr(result.detail, "longer than their members"));
    wsgi_buffer_clear(&whole, 0);
}

/* One byte changed, and a word of what is said about it. */
static void test_damaged_blob_is_refused_with_the_reason(void **state)
{
    static const struct {
        size_t offset;
        char byte;
        const char *word;
    } cases[] = {
        {0, 'x', "started by httpd"}, /* magic */
        {4, 99, "knows layout 1"},    /* version */
        {8, 99, "with 99 members"},   /* number of members */
        {12, 1, "\"name\""},          /* the index of the first */
        {16, 200, "\"name\""},        /* its length */
        {16, 3, "\"name\""},          /* too short: no NUL behind it */
        {20, '\0', "\"name\""},       /* a NUL inside */
        {33, 2, "\"display_name\""},  /* the index of the second */
    };
    wsgi_result_t result;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi_buffer_t blob = packed();

        blob.data[cases[i].offset] = cases[i].byte;
        assert_int_equal(unpack(&blob, &result), WSGI_E_PROTOCOL);
        assert_int_equal(result.code, WSGI_E_PROTOCOL);
        if (strstr(result.detail, cases[i].word) == NULL) {
            fail_msg("offset %zu: %s", cases[i].offset, result.detail);
        }
        wsgi_buffer_clear(&blob, 0);
    }
}

static void test_without_memory(void **state)
{
    const wsgi_group_settings_t settings = some_settings();
    wsgi_buffer_t out = {0};

    (void)state;
    calls_until_failure = 1;
    assert_int_equal(wsgi_handover_pack(&out, &settings), WSGI_E_NOMEM);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_pack_appends),
        cmocka_unit_test(test_cut_or_longer_blob_is_refused),
        cmocka_unit_test(test_damaged_blob_is_refused_with_the_reason),
        cmocka_unit_test(test_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
