/* tests/unit/python/test_home.c — homes that cannot work are told apart before Python starts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_python.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT(token)  TEXT_(token)
#define TEXT_(token) #token
#define XY           TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/quetzal-unit.XXXXXX");
    return mkdtemp(directory) != NULL && chmod(directory, 0755) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command) == 0 ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const char *home, const char *part)
{
    wsgi_result_t result = {0};
    assert_int_equal(wsgi_runtime_check_home(home, &result), WSGI_E_INVALID);
    assert_int_equal(result.code, WSGI_E_INVALID);
    if (strstr(result.detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, result.detail);
    }
}

static void test_an_installation(void **state)
{
    wsgi_result_t result;
    (void)state;
    assert_int_equal(wsgi_runtime_check_home("/usr", &result), WSGI_OK);
    assert_string_equal(wsgi_runtime_version(), XY);
}

static void test_paths_that_are_no_directory(void **state)
{
    (void)state;
    assert_refused("relative/path", "is not an absolute path");
    assert_refused("/nonexistent/venv", "No such file or directory");
    assert_refused("/usr/bin/python3", "is not a directory; set python-home");
    assert_refused("/etc/passwd", "is not a directory; set python-home"); /* no x bit: no barrier */
    assert_refused("/tmp", "has neither a pyvenv.cfg nor lib/python" XY);
}

/* A virtual environment with this pyvenv.cfg; bin/python may lead nowhere. */
static const char *environment(const char *name, const char *config, const char *target)
{
    char link[300];
    assert_int_equal(mkdir(path_of(name), 0755), 0);
    snprintf(link, sizeof(link), "%s/pyvenv.cfg", name);
    write_file(link, config);
    snprintf(link, sizeof(link), "%s/bin", name);
    assert_int_equal(mkdir(path_of(link), 0755), 0);
    snprintf(link, sizeof(link), "%s/bin/python", name);
    assert_int_equal(symlink(target, path_of(link)), 0);
    return path_of(name);
}

static void test_environments(void **state)
{
    static const char *const fitting[] = {
        "home = /usr/bin\nversion = " XY ".2\n",
        "home = /usr/bin\ninclude-system-site-packages = false\nversion=" XY ".0\n",
        "version_info = " XY ".2.final.0\n", "version  =  " XY "\n"};
    wsgi_result_t result;
    (void)state;
    for (size_t i = 0; i < sizeof(fitting) / sizeof(*fitting); i++) {
        char name[16];
        snprintf(name, sizeof(name), "fits%zu", i);
        const char *home = environment(name, fitting[i], "/usr/bin/python3");
        assert_int_equal(wsgi_runtime_check_home(home, &result), WSGI_OK);
    }
}

static void test_environments_that_do_not_fit(void **state)
{
    (void)state;
    assert_refused(environment("old", "version = 3.9.2\n", "/usr/bin/python3"),
                   "is a virtual environment of Python 3.9.2, but this program is built for " XY
                   "; "
                   "make it again with python" XY " -m venv");
    assert_refused(environment("long", "version = " XY "0.1\n", "/usr/bin/python3"),
                   "of Python " XY "0.1, but");
    assert_refused(environment("silent", "home = /usr/bin\n", "/usr/bin/python3"),
                   "names no version");
    assert_refused(environment("orphan", "version = " XY ".2\n", "/nonexistent/python"),
                   "its bin/python leads nowhere");
}

/* Whoever owns an environment must not make httpd's parent wait. */
static void test_a_configuration_without_an_end(void **state)
{
    const char *config;
    (void)state;
    const char *home = environment("endless", "", "/usr/bin/python3");
    char kept[512];
    snprintf(kept, sizeof(kept), "%s", home);
    config = path_of("endless/pyvenv.cfg");
    assert_int_equal(truncate(config, (off_t)1 << 40), 0);
    assert_refused(kept, "pyvenv.cfg cannot be read or names no version");
    config = path_of("endless/pyvenv.cfg");
    assert_int_equal(unlink(config), 0);
    assert_int_equal(mkfifo(config, 0644), 0);
    assert_refused(kept, "pyvenv.cfg cannot be read or names no version");
    assert_int_equal(unlink(config), 0);
    assert_int_equal(symlink("/dev/zero", config), 0);
    assert_refused(kept, "pyvenv.cfg cannot be read or names no version");
}

/* The commonest fault: an environment below a home directory of mode 0700. */
static void test_a_directory_that_cannot_be_entered(void **state)
{
    char home[256];
    uid_t uid = geteuid();
    (void)state;
    assert_int_equal(mkdir(path_of("private"), 0700), 0);
    snprintf(home, sizeof(home), "%s",
             environment("private/venv", "version = " XY ".2\n", "/usr/bin/python3"));
    assert_int_equal(chmod(path_of("private"), uid == 0 ? 0700 : 0), 0);
    assert_int_equal(seteuid(uid == 0 ? 65534 : uid), 0); /* root may enter anything */
    wsgi_result_t result = {0};
    int code = wsgi_runtime_check_home(home, &result);
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(chmod(path_of("private"), 0700), 0);
    assert_int_equal(code, WSGI_E_INVALID);
    assert_non_null(strstr(result.detail, "cannot be entered by user id"));
    assert_non_null(strstr(result.detail, "/private stops it; give that directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_installation),
        cmocka_unit_test(test_paths_that_are_no_directory),
        cmocka_unit_test(test_environments),
        cmocka_unit_test(test_environments_that_do_not_fit),
        cmocka_unit_test(test_a_configuration_without_an_end),
        cmocka_unit_test(test_a_directory_that_cannot_be_entered),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
