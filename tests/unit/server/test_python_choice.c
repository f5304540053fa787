/* tests/unit/server/test_python_choice.c — finding out a Python's version without running it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/python_choice.c"

#include <setjmp.h>

#include <cmocka.h>

static char top[] = "/tmp/quetzal-unit-XXXXXX";

/* Texts of paths below `top`; the buffers of the last four stay. */
static const char *at(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static void make_directory(const char *name)
{
    assert_int_equal(mkdir(at(name), 0755), 0);
}

static void make_file(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_link(const char *target, const char *name)
{
    assert_int_equal(symlink(target, at(name)), 0);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL;
}

static int tear_down(void **state)
{
    char command[PATH_MAX];
    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", top);
    return system(command);
}

static void expect(const char *word, const char *version, const char *home, const char *executable)
{
    wsgi_python_choice_t choice;
    wsgi_result_t result = {0};
    if (wsgi_python_choose(word, &choice, &result) != WSGI_OK) {
        fail_msg("%s", result.detail);
    }
    assert_string_equal(choice.version, version);
    assert_string_equal(choice.home, home);
    assert_string_equal(choice.executable, executable);
}

static void expect_refused(const char *word, const char *cause)
{
    wsgi_python_choice_t choice;
    wsgi_result_t result = {0};
    assert_int_equal(wsgi_python_choose(word, &choice, &result), WSGI_E_INVALID);
    if (strstr(result.detail, cause) == NULL || strstr(result.detail, word) == NULL) {
        fail_msg("neither \"%s\" nor \"%s\": %s", cause, word, result.detail);
    }
}

static void test_interpreters(void **state)
{
    (void)state;
    make_directory("usr");
    make_directory("usr/bin");
    make_file("usr/bin/python3.12", "\177ELF");
    make_link("python3.12", "usr/bin/python3");
    make_link("python3", "usr/bin/python");
    make_link("usr/bin/python", "snake");
    make_file("usr/bin/python3.13t", "\177ELF");
    expect(at("usr/bin/python3.12"), "3.12", "", at("usr/bin/python3.12"));
    expect(at("usr/bin/python"), "3.12", "", at("usr/bin/python"));
    expect(at("snake"), "3.12", "", at("snake"));
    expect(at("usr/bin/python3.13t"), "3.13", "", at("usr/bin/python3.13t"));
}

static void test_a_name_without_a_version(void **state)
{
    (void)state;
    make_directory("opt");
    make_directory("opt/bin");
    make_directory("opt/lib");
    make_file("opt/bin/python3", "\177ELF");
    expect_refused(at("opt/bin/python3"), "shows its version neither");
    make_directory("opt/lib/python3.14");
    expect(at("opt/bin/python3"), "3.14", "", at("opt/bin/python3"));
    make_directory("opt/lib/python3.15");
    expect_refused(at("opt/bin/python3"), "shows its version neither");
}

static void test_environments(void **state)
{
    (void)state;
    make_directory("env");
    make_directory("env/bin");
    make_file("env/pyvenv.cfg", "home = /nowhere\nversion = 3.12.7\n");
    make_link("../../usr/bin/python3.12", "env/bin/python");
    expect(at("env"), "3.12", at("env"), at("env/bin/python"));
    expect(at("env/"), "3.12", at("env"), at("env/bin/python"));
    expect(at("env/bin/python"), "3.12", at("env"), at("env/bin/python"));
    make_file("env/pyvenv.cfg", "version_info = 3.13.0.final.0\n"); /* virtualenv's */
    expect(at("env"), "3.13", at("env"), at("env/bin/python"));
    make_file("env/pyvenv.cfg", "home = /nowhere\n");
    expect_refused(at("env"), "names no version");
}

static void test_other_programs_of_an_environment(void **state)
{
    (void)state;
    make_file("env/pyvenv.cfg", "version = 3.12.7\n");
    make_file("env/bin/pip", "#!/bin/sh\n");
    make_file("env/bin/python-config", "#!/bin/sh\n");
    make_file("env/bin/uwsgi", "\177ELF");
    expect_refused(at("env/bin/pip"), "/bin/pip is no Python interpreter: name");
    expect_refused(at("env/bin/python-config"), "is no Python interpreter");
    expect_refused(at("env/bin/uwsgi"), "is no Python interpreter");
}

/* httpd's parent would wait for ever. */
static void test_what_has_no_end(void **state)
{
    (void)state;
    make_directory("trap");
    make_directory("trap/bin");
    assert_int_equal(mkfifo(at("trap/pyvenv.cfg"), 0644), 0);
    expect_refused(at("trap"), "its pyvenv.cfg cannot be read");
    assert_int_equal(unlink(at("trap/pyvenv.cfg")), 0);
    make_link("/dev/zero", "trap/pyvenv.cfg");
    expect_refused(at("trap"), "its pyvenv.cfg cannot be read");
    assert_int_equal(mkfifo(at("trap/python3.12"), 0644), 0);
    expect_refused(at("trap/python3.12"), "is no Python interpreter");
}

static void test_what_is_refused(void **state)
{
    (void)state;
    make_directory("old");
    make_directory("old/bin");
    make_file("old/bin/python3.9", "\177ELF");
    make_file("old/bin/python2.7", "\177ELF");
    make_file("old/bin/python3.12", "#!/bin/sh\n");
    make_file("old/bin/perl", "\177ELF");
    make_link("nowhere", "old/bin/python3.13");
    expect_refused(at("old/bin/python3.9"), "of version 3.9: name one of 3.11 or later");
    expect_refused(at("old/bin/python2.7"), "of version 2.7");
    expect_refused(at("old/bin/python3.12"), "is no Python interpreter");
    expect_refused(at("old/bin/perl"), "is no Python interpreter");
    expect_refused(at("old/bin/python3.13"),
                   "python3.13 cannot be used (No such file or directory)");
    expect_refused(at("old/bin"), "is a directory without a pyvenv.cfg");
    expect_refused("/", "is a directory without a pyvenv.cfg");
    expect_refused("/dev/null", "is no Python interpreter");
}

static void test_long_paths(void **state)
{
    char path[2 * PATH_MAX];
    wsgi_python_choice_t choice;
    wsgi_result_t result = {0};
    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(wsgi_python_choose(path, &choice, &result), WSGI_E_INVALID);
    assert_non_null(strstr(result.detail, "xxx is too long a path: name an interpreter such as "
                                          "/usr/bin/python3, or a virtual environment"));
    memcpy(path, "/first/", 7);
    path[3000] = '\0';
    assert_int_equal(wsgi_python_choose(path, &choice, &result), WSGI_E_INVALID);
    assert_non_null(strstr(result.detail, "python=/first/xxx"));
    assert_non_null(strstr(result.detail, "xxx ... xxx"));
    assert_non_null(
        strstr(result.detail, "xxx cannot be used (No such file or directory): name an "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interpreters),
        cmocka_unit_test(test_a_name_without_a_version),
        cmocka_unit_test(test_environments),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_other_programs_of_an_environment),
        cmocka_unit_test(test_what_has_no_end),
        cmocka_unit_test(test_long_paths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
