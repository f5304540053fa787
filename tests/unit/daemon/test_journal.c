/* tests/unit/daemon/test_journal.c — what a worker leaves behind, and what a supervisor makes of it,
 * whatever stands there.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "wsgi_field.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static wsgi_journal_t *journal;

static int set_up(void **state)
{
    (void)state;
    journal = wsgi_journal_open();
    return journal != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wsgi_journal_close(journal);
    wsgi_journal_close(NULL);
    return 0;
}

static wsgi_bytes_t bytes(const char *text)
{
    return (wsgi_bytes_t){text, strlen(text)};
}

static void enter(unsigned index, const char *method, const char *uri, const char *id)
{
    const wsgi_var_t vars[] = {
        {WSGI_META_REQUEST_METHOD, {"", 0}, bytes(method)},
        {WSGI_META_REQUEST_URI, {"", 0}, bytes(uri)},
    };
    const wsgi_request_t request = {.vars = vars, .var_count = 2, .log_id = bytes(id)};

    wsgi_journal_enter(journal, index, &request);
}

static void expect_quote(const char *expected)
{
    char text[1024];

    wsgi_journal_quote(journal, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_requests_come_and_go(void **state)
{
    (void)state;
    expect_quote("");
    enter(0, "GET", "/a?b=c", "ID1");
    expect_quote("\"GET /a?b=c\" (request ID1)");
    enter(5, "POST", "/d", "");
    expect_quote("\"GET /a?b=c\" (request ID1), \"POST /d\"");
    wsgi_journal_leave(journal, 0);
    expect_quote("\"POST /d\"");
    enter(0, "PUT", "/", "I");
    expect_quote("\"PUT /\" (request I), \"POST /d\"");
}

static void test_three_are_quoted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WSGI_JOURNAL_ENTRIES; i++) {
        enter(i, "GET", "/", "");
    }
    expect_quote("\"GET /\", \"GET /\", \"GET /\" and 61 more");
}

/* More threads than entries: only counted. */
static void test_indices_out_of_bounds(void **state)
{
    char text[64];

    (void)state;
    enter(WSGI_JOURNAL_ENTRIES, "GET", "/", "");
    enter(UINT32_MAX, "GET", "/", "");
    wsgi_journal_leave(journal, WSGI_JOURNAL_ENTRIES);
    expect_quote("");
    wsgi_journal_quote_one(journal, UINT32_MAX, text, sizeof(text));
    assert_string_equal(text, "a request");
}

static void test_long_texts_are_cut(void **state)
{
    char uri[4096], text[1024];

    (void)state;
    memset(uri, 'x', sizeof(uri));
    uri[sizeof(uri) - 1] = '\0';
    enter(0, uri, uri, uri);
    wsgi_journal_quote(journal, text, sizeof(text));
    assert_int_equal(strspn(text + 1, "x"), 16);
    assert_non_null(strstr(text, "\" (request xxxx"));
    assert_true(strlen(text) < WSGI_JOURNAL_QUOTE);
    wsgi_journal_quote(journal, text, 10); /* and whatever room there is */
    assert_int_equal(strlen(text), 9);
    wsgi_journal_quote(journal, text, 1);
    assert_string_equal(text, "");
}

static void test_the_script_that_is_imported(void **state)
{
    char path[4096], text[1024];

    (void)state;
    wsgi_journal_quote_import(journal, text, sizeof(text));
    assert_string_equal(text, "");
    wsgi_journal_enter_import(journal, "/a/\nb.py");
    wsgi_journal_quote_import(journal, text, sizeof(text));
    assert_string_equal(text, "\"/a/?b.py\"");
    expect_quote("");
    memset(path, 'x', sizeof(path));
    memcpy(path + sizeof(path) - 6, "/c.py", 6);
    wsgi_journal_enter_import(journal, path);
    wsgi_journal_quote_import(journal, text, sizeof(text));
    assert_int_equal(strlen(text), WSGI_JOURNAL_TEXT + 2);
    assert_non_null(strstr(text, "xx/c.py\""));
    wsgi_journal_leave_import(journal);
    wsgi_journal_quote_import(journal, text, sizeof(text));
    assert_string_equal(text, "");
}

static void test_a_request_without_its_variables(void **state)
{
    const wsgi_request_t request = {.log_id = WSGI_LITERAL("ID")};

    (void)state;
    wsgi_journal_enter(journal, 0, &request);
    expect_quote("\"- -\" (request ID)");
}

static void test_control_characters_are_not_quoted(void **state)
{
    (void)state;
    enter(0, "GET", "/\n[error]\r\x1b[31m\x7f\xc2\x85", "I\nD");
    expect_quote("\"GET /?[error]??[31m???\" (request I?D)");
}

static void test_nonsense_is_survived(void **state)
{
    char text[1024];

    (void)state;
    memset(journal, 0xff, sizeof(*journal));
    wsgi_journal_quote(journal, text, sizeof(text));
    assert_int_equal(text[strlen(text) - 1], 'e');
    assert_int_equal(wsgi_journal_reason(journal), WSGI_REASON_NONE);
    journal->reason = WSGI_REASON_COUNT;
    assert_int_equal(wsgi_journal_reason(journal), WSGI_REASON_NONE);
}

static void test_the_first_reason_stays(void **state)
{
    (void)state;
    assert_int_equal(wsgi_journal_reason(journal), WSGI_REASON_NONE);
    assert_true(wsgi_journal_set_reason(journal, WSGI_REASON_MAXIMUM_REQUESTS));
    assert_false(wsgi_journal_set_reason(journal, WSGI_REASON_SHUTDOWN_SIGNAL));
    assert_int_equal(wsgi_journal_reason(journal), WSGI_REASON_MAXIMUM_REQUESTS);
}

/* What it is for. */
static void test_a_dead_process_is_read(void **state)
{
    const pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        enter(0, "GET", "/last", "ID");
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    expect_quote("\"GET /last\" (request ID)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_three_are_quoted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_indices_out_of_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_texts_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_script_that_is_imported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_without_its_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_characters_are_not_quoted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense_is_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_first_reason_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_dead_process_is_read, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
