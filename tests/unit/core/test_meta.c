/* tests/unit/core/test_meta.c — well-known meta-variables: number, key, field and back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/meta.c"

#include <ctype.h>
#include <setjmp.h>

#include <cmocka.h>

static bool is_own(unsigned number)
{
    return strncmp(keys[number].data, "mod_wsgi.", 9) == 0;
}

static void test_each_key_sits_in_its_slot(void **state)
{
    (void)state;
    for (unsigned number = 1; number < WSGI_META_COUNT; number++) {
        const wsgi_bytes_t key = wsgi_meta_name(number);

        assert_int_equal(key.len, strlen(key.data));
        if (!is_own(number) && wsgi_meta_find(key.data, key.len) != number) {
            fail_msg("src/core/meta_slots.def needs SLOT(%u, %s)", slot_of(key.data, key.len),
                     key.data);
        }
    }
}

static void test_no_name_from_outside_finds_a_key_of_ours(void **state)
{
    unsigned own_count = 0;

    (void)state;
    for (unsigned number = 1; number < WSGI_META_COUNT; number++) {
        const wsgi_bytes_t key = wsgi_meta_name(number);

        if (is_own(number)) {
            own_count++;
            assert_int_equal(wsgi_meta_find(key.data, key.len), WSGI_META_NONE);
            assert_int_equal(wsgi_meta_find_field(key.data, key.len), WSGI_META_NONE);
        }
    }
    assert_int_equal(own_count, 8);
    assert_string_equal(wsgi_meta_name(WSGI_META_MOD_WSGI_SERVER_PID).data, "mod_wsgi.server_pid");
    assert_int_equal(wsgi_meta_find("MOD_WSGI_SERVER_PID", 19), WSGI_META_NONE);
}

static void test_unknown_keys(void **state)
{
    static const char *const unknown[] = {
        "",
        "H",
        "HO",
        "HTTP_",
        "HTTP_HOSt",
        "http_host",
        "HTTP_HOS",
        "HTTP_HOST ",
        "REQUEST_METHOE",
        "HTTP_CONTENT_TYPE",
        "HTTP_X_FORWARDED_PROTOCOL_OF_GREAT_LENGTH_AND_MORE",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(wsgi_meta_find(unknown[i], strlen(unknown[i])), WSGI_META_NONE);
    }
}

/* "HTTP_USER_AGENT" → "User-agent", the request field that has this key. */
static size_t field_of(wsgi_bytes_t key, size_t prefix_bytes, char *field)
{
    for (size_t i = prefix_bytes; i < key.len; i++) {
        const char c = key.data[i] == '_' ? '-' : key.data[i];

        field[i - prefix_bytes] = i == prefix_bytes ? c : (char)tolower((unsigned char)c);
    }
    return key.len - prefix_bytes;
}

static void test_fields_in_any_case(void **state)
{
    char field[64];

    (void)state;
    for (unsigned number = 1; number < WSGI_META_COUNT; number++) {
        const wsgi_bytes_t key = wsgi_meta_name(number);

        if (strncmp(key.data, PREFIX, PREFIX_BYTES) == 0) {
            const size_t len = field_of(key, PREFIX_BYTES, field);
            assert_int_equal(wsgi_meta_find_field(field, len), number);
        }
        else {
            const size_t len = field_of(key, 0, field);
            const bool is_content =
                number == WSGI_META_CONTENT_TYPE || number == WSGI_META_CONTENT_LENGTH;
            assert_int_equal(wsgi_meta_find_field(field, len), is_content ? number : 0);
        }
    }
    assert_int_equal(wsgi_meta_find_field("hOsT", 4), WSGI_META_HTTP_HOST);
    assert_int_equal(wsgi_meta_find_field("User_Agent", 10), WSGI_META_NONE);
    assert_int_equal(wsgi_meta_find_field("", 0), WSGI_META_NONE);
    memset(field, 'a', sizeof(field));
    for (size_t len = 1; len <= sizeof(field); len++) {
        assert_int_equal(wsgi_meta_find_field(field, len), WSGI_META_NONE);
    }
}

static void test_key_from_field(void **state)
{
    char key[5 + 8];

    (void)state;
    assert_int_equal(wsgi_meta_key_from_field("x-aZ0-9b", 8, key), 13);
    assert_memory_equal(key, "HTTP_X_AZ0_9B", 13);
    assert_int_equal(wsgi_meta_key_from_field("", 0, key), 0);
    for (int c = 0; c < 256; c++) {
        const char field[] = {'a', (char)c};
        const bool is_kept = (c < 128 && isalnum(c)) || c == '-';

        assert_int_equal(wsgi_meta_key_from_field(field, 2, key), is_kept ? 7 : 0);
        if (is_kept) {
            assert_int_equal(key[6], c == '-' ? '_' : toupper(c));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_sits_in_its_slot),
        cmocka_unit_test(test_no_name_from_outside_finds_a_key_of_ours),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_fields_in_any_case),
        cmocka_unit_test(test_key_from_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
