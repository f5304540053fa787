/* tests/unit/daemon/test_identity.c — taking a user, against a system that refuses, or says yes and
 * does nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include "log_lines.h"

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The system that the code under test sees. */

enum call {
    SETPRIORITY,
    CHROOT,
    UMASK,
    SETGROUPS,
    GETGROUPS,
    GETGROUPLIST,
    SETRESGID,
    GETRESGID,
    SETRESUID,
    GETRESUID,
    CHDIR,
    SETENV,
    CALLS
};
enum manner { WORKS, FAILS, LIES };

static struct {
    enum manner manners[CALLS];
    gid_t groups[8], gids[3];
    uid_t uids[3];
    int group_count;
    bool is_root_regained;     /* setuid(0) works again */
    bool is_euid_root_for_all; /* it fails, and the process is root nevertheless */
    unsigned privileged_calls;
    bool is_out_of_memory;
    int priority;
    mode_t mask;
    char root[64];   /* what "/" is, where it was changed */
    char order[256]; /* what was changed, in order */
} kernel;

static void note(const char *step)
{
    assert_true(strlen(kernel.order) + strlen(step) + 2 < sizeof(kernel.order));
    strcat(strcat(kernel.order, step), " ");
}

/* Is it done? Sets what the call returns. */
static bool is_done(enum call call, int *result)
{
    *result = kernel.manners[call] == FAILS ? -1 : 0;
    errno = kernel.manners[call] == FAILS ? EPERM : errno;
    return kernel.manners[call] == WORKS;
}

int __wrap_setpriority(__priority_which_t which, id_t who, int priority)
{
    int result;

    note("priority");
    assert_true(which == PRIO_PROCESS && who == 0);
    if (is_done(SETPRIORITY, &result)) {
        kernel.priority = priority;
    }
    return result;
}

int __wrap_getpriority(__priority_which_t which, id_t who)
{
    assert_true(which == PRIO_PROCESS && who == 0);
    return kernel.priority;
}

int __wrap_chroot(const char *path)
{
    int result;

    note("chroot");
    if (is_done(CHROOT, &result)) {
        snprintf(kernel.root, sizeof(kernel.root), "%s", path);
    }
    return result;
}

/* With another root, "/" is that. */
int __real_stat(const char *path, struct stat *info);
int __wrap_stat(const char *path, struct stat *info)
{
    return __real_stat(kernel.root[0] != '\0' && strcmp(path, "/") == 0 ? kernel.root : path, info);
}

mode_t __wrap_umask(mode_t mask)
{
    mode_t before = kernel.mask;
    int result;

    note("umask");
    if (is_done(UMASK, &result)) {
        kernel.mask = mask;
    }
    return before;
}

int __wrap_setgroups(size_t count, const gid_t *list)
{
    int result;

    note("groups");

    kernel.privileged_calls++;
    if (is_done(SETGROUPS, &result)) {
        assert_true(count <= 8);
        memcpy(kernel.groups, list, count * sizeof(*list));
        kernel.group_count = (int)count;
    }
    return result;
}

int __wrap_getgroups(int room, gid_t *list)
{
    int result;

    if (!is_done(GETGROUPS, &result)) {
        return result;
    }
    if (room > 0) {
        assert_true(room >= kernel.group_count);
        memcpy(list, kernel.groups, (size_t)kernel.group_count * sizeof(*list));
    }
    return kernel.group_count;
}

/* Of the user database: "alice" is in 100 and 200 too. */
int __wrap_getgrouplist(const char *user, gid_t group, gid_t *list, int *count)
{
    assert_string_equal(user, "alice");
    assert_true(*count >= 3);
    memcpy(list, ((gid_t[]){group, 100, 200}), 3 * sizeof(*list));
    *count = 3;
    return 3;
}

int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    int result;

    note("gid");

    kernel.privileged_calls++;
    if (is_done(SETRESGID, &result)) {
        memcpy(kernel.gids, ((gid_t[]){real, effective, saved}), sizeof(kernel.gids));
    }
    return result;
}

int __wrap_getresgid(gid_t *real, gid_t *effective, gid_t *saved)
{
    int result;

    *real = kernel.gids[0], *effective = kernel.gids[1], *saved = kernel.gids[2];
    is_done(GETRESGID, &result);
    return result;
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    int result;

    note("uid");

    kernel.privileged_calls++;
    assert_int_equal(kernel.gids[1], 1002); /* later it could not be taken */
    if (is_done(SETRESUID, &result)) {
        memcpy(kernel.uids, ((uid_t[]){real, effective, saved}), sizeof(kernel.uids));
    }
    return result;
}

int __wrap_getresuid(uid_t *real, uid_t *effective, uid_t *saved)
{
    int result;

    *real = kernel.uids[0], *effective = kernel.uids[1], *saved = kernel.uids[2];
    is_done(GETRESUID, &result);
    return result;
}

int __wrap_setuid(uid_t uid)
{
    kernel.privileged_calls++;
    assert_int_equal(uid, 0);
    errno = EPERM;
    return kernel.is_root_regained ? 0 : -1;
}

uid_t __wrap_geteuid(void)
{
    return kernel.is_euid_root_for_all ? 0 : kernel.uids[1];
}

int __real_chdir(const char *path);
int __wrap_chdir(const char *path)
{
    int result;

    note("chdir");
    if (!is_done(CHDIR, &result)) {
        return result;
    }
    return __real_chdir(kernel.root[0] != '\0' && strcmp(path, "/") == 0 ? kernel.root : path);
}

int __real_setenv(const char *name, const char *value, int is_forced);
int __wrap_setenv(const char *name, const char *value, int is_forced)
{
    int result;

    return is_done(SETENV, &result) ? __real_setenv(name, value, is_forced) : result;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return kernel.is_out_of_memory ? NULL : __real_malloc(size);
}

/* What is asked for. */

static char home[] = "/tmp/quetzal-unit-XXXXXX";

static wsgi_group_settings_t alice(void)
{
    return (wsgi_group_settings_t){
        .name = "group",
        .uid = 1001,
        .gid = 1002,
        .user_name = "alice",
        .supplementary_groups = "",
        .chroot = "",
        .umask = -1,
        .home = "",
        .user_home = home,
        .has_own_user = 1,
    };
}

static int set_up(void **state)
{
    static const char *const names[] = {"HOME", "USER", "USERNAME", "LOGNAME"};

    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    kernel.groups[0] = 0;
    kernel.groups[1] = 4;
    kernel.group_count = 2;
    kernel.mask = 022;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
    log_lines_begin();
    return __real_chdir("/usr");
}

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) == NULL;
}

static int remove_home(void **state)
{
    (void)state;
    return __real_chdir("/") != 0 || rmdir(home) != 0;
}

static void assert_here(const char *path)
{
    char here[4096];

    assert_non_null(getcwd(here, sizeof(here)));
    assert_string_equal(here, path);
}

static void expect_taken(const wsgi_group_settings_t *settings)
{
    wsgi_result_t result = {0};

    if (wsgi_identity_take(settings, &result) != WSGI_OK) {
        fail_msg("%s", result.detail);
    }
}

static void expect_refused(const wsgi_group_settings_t *settings, const char *words,
                           const char *cause)
{
    wsgi_result_t result = {0};

    assert_int_equal(wsgi_identity_take(settings, &result), WSGI_E_IO);
    assert_int_equal(result.code, WSGI_E_IO);
    if (strstr(result.detail, words) == NULL || strstr(result.detail, cause) == NULL) {
        fail_msg("neither \"%s\" nor \"%s\": %s", words, cause, result.detail);
    }
}

static void test_all_is_taken(void **state)
{
    const wsgi_group_settings_t settings = alice();

    (void)state;
    expect_taken(&settings);
    assert_memory_equal(kernel.groups, ((gid_t[]){1002, 100, 200}), 3 * sizeof(gid_t));
    assert_int_equal(kernel.group_count, 3);
    assert_memory_equal(kernel.gids, ((gid_t[]){1002, 1002, 1002}), sizeof(kernel.gids));
    assert_memory_equal(kernel.uids, ((uid_t[]){1001, 1001, 1001}), sizeof(kernel.uids));
    assert_here(home);
    assert_string_equal(log_lines, "");
    assert_string_equal(kernel.order, "groups gid uid chdir ");
    assert_int_equal(kernel.mask, 022);
}

static wsgi_group_settings_t alice_with_everything(void)
{
    wsgi_group_settings_t settings = alice();

    settings.cpu_priority = 7;
    settings.chroot = home;
    settings.supplementary_groups = "7,300";
    settings.umask = 027;
    settings.home = "/";
    return settings;
}

static void test_the_order_of_the_steps(void **state)
{
    const wsgi_group_settings_t settings = alice_with_everything();

    (void)state;
    expect_taken(&settings);
    assert_string_equal(kernel.order, "priority chroot chdir groups gid uid umask umask chdir ");
    assert_memory_equal(kernel.groups, ((gid_t[]){1002, 7, 300}), 3 * sizeof(gid_t));
    assert_int_equal(kernel.group_count, 3);
    assert_int_equal(kernel.priority, 7);
    assert_int_equal(kernel.mask, 027);
    assert_here(home); /* that is / now */
}

/* The user database is outside: the groups must be known before. */
static void test_groups_of_the_user_database_in_a_chroot(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    settings.chroot = home;
    expect_taken(&settings);
    assert_int_equal(kernel.group_count, 3);
    assert_memory_equal(kernel.groups, ((gid_t[]){1002, 100, 200}), 3 * sizeof(gid_t));
}

static void test_priority_root_and_mask_are_checked_and_read_back(void **state)
{
    static const char lie[] = "the system said yes and did not do it";
    static const char no[] = "Operation not permitted";
    static const struct {
        enum call call;
        enum manner manner;
        const char *words, *cause, *order;
    } cases[] = {
        {SETPRIORITY, FAILS, "cannot take cpu-priority 7", no, "priority "},
        {SETPRIORITY, LIES, "cannot take cpu-priority 7", lie, "priority "},
        {CHROOT, FAILS, "cannot make chroot=", no, "priority chroot "},
        {CHROOT, LIES, "cannot make chroot=", lie, "priority chroot chdir "},
        {CHDIR, FAILS, "cannot make chroot=", no, "priority chroot chdir "},
        {CHDIR, LIES, "cannot make chroot=", lie, "priority chroot chdir "},
        {UMASK, LIES, "cannot take umask 027", lie,
         "priority chroot chdir groups gid uid umask umask "},
    };
    const wsgi_group_settings_t settings = alice_with_everything();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(state);
        kernel.manners[cases[i].call] = cases[i].manner;
        expect_refused(&settings, cases[i].words, cases[i].cause);
        assert_string_equal(kernel.order, cases[i].order);
    }
}

static void test_a_priority_of_minus_one(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    settings.cpu_priority = -1;
    expect_taken(&settings);
    assert_int_equal(kernel.priority, -1);
}

/* CVE-2014-0240: setuid() refused at the user's limit of processes, and the daemon went on as root. */
static void test_cve_2014_0240_a_refused_setuid_ends_it(void **state)
{
    static const enum manner manners[] = {FAILS, LIES};
    const wsgi_group_settings_t settings = alice();

    for (size_t i = 0; i < 2; i++) {
        set_up(state);
        kernel.manners[SETRESUID] = manners[i];
        expect_refused(&settings, "cannot take uid 1001", "limit of processes");
        assert_here("/usr");
        assert_int_equal(kernel.uids[1], 0);
    }
}

/* CVE-2014-8583: setgroups() refused, and the daemon went on in root's groups. */
static void test_cve_2014_8583_refused_groups_end_it(void **state)
{
    static const enum manner manners[] = {FAILS, LIES};
    wsgi_group_settings_t settings = alice();

    for (size_t i = 0; i < 4; i++) {
        set_up(state);
        settings.supplementary_groups = i < 2 ? "" : "7,300";
        kernel.manners[SETGROUPS] = manners[i % 2];
        expect_refused(&settings, "groups of uid 1001", "CAP_SETGID");
        assert_string_equal(kernel.order, "groups ");
        assert_int_equal(kernel.group_count, 2); /* root's */
    }
}

static void test_a_bare_number_has_its_group_only(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    settings.user_name = "";
    expect_taken(&settings);
    assert_int_equal(kernel.group_count, 1);
    assert_int_equal(kernel.groups[0], 1002);
}

static void test_without_root_nothing_is_changed(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    settings.uid = settings.gid = -1;
    settings.chroot = home;
    settings.supplementary_groups = "7";
    expect_taken(&settings);
    assert_int_equal(kernel.privileged_calls, 0);
    assert_string_equal(kernel.order, "chdir ");
    assert_int_equal(kernel.group_count, 2);
    assert_here(home);
}

/* Each step refused, and each that says yes without doing it (CVE-2014-0240, CVE-2014-8583). The
 * steps behind it must not be reached. */
static void test_each_step_is_checked_and_read_back(void **state)
{
    static const char lie[] = "the system said yes and did not do it";
    static const char no[] = "Operation not permitted";
    static const struct {
        enum call call;
        enum manner manner;
        const char *words, *cause;
        unsigned privileged_calls;
    } cases[] = {
        {SETGROUPS, FAILS, "groups of uid 1001", no, 1},
        {SETGROUPS, LIES, "groups of uid 1001", lie, 1},
        {GETGROUPS, FAILS, "groups of uid 1001", no, 1},
        {SETRESGID, FAILS, "cannot take gid 1002", no, 2},
        {SETRESGID, LIES, "cannot take gid 1002", lie, 2},
        {GETRESGID, FAILS, "cannot take gid 1002", no, 2},
        {SETRESUID, FAILS, "cannot take uid 1001", no, 3},
        {SETRESUID, LIES, "cannot take uid 1001", lie, 3},
        {GETRESUID, FAILS, "cannot take uid 1001", no, 3},
    };
    const wsgi_group_settings_t settings = alice();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(state);
        kernel.manners[cases[i].call] = cases[i].manner;
        expect_refused(&settings, cases[i].words, cases[i].cause);
        assert_int_equal(kernel.privileged_calls, cases[i].privileged_calls);
        assert_here("/usr");
    }
}

/* A saved id that stayed root is a way back. */
static void test_each_of_the_three_ids_is_looked_at(void **state)
{
    const wsgi_group_settings_t settings = alice();

    for (size_t i = 0; i < 3; i++) {
        set_up(state);
        kernel.manners[SETRESUID] = LIES;
        memcpy(kernel.uids, ((uid_t[]){1001, 1001, 1001}), sizeof(kernel.uids));
        kernel.uids[i] = 0;
        expect_refused(&settings, "cannot take uid 1001", "said yes");

        set_up(state);
        kernel.manners[SETRESGID] = LIES;
        memcpy(kernel.gids, ((gid_t[]){1002, 1002, 1002}), sizeof(kernel.gids));
        kernel.gids[i] = 0;
        expect_refused(&settings, "cannot take gid 1002", "said yes");
    }
}

static void test_a_group_left_over_is_found(void **state)
{
    const wsgi_group_settings_t settings = alice();

    (void)state;
    kernel.manners[SETGROUPS] = LIES;
    memcpy(kernel.groups, ((gid_t[]){1002, 100, 0}), 3 * sizeof(gid_t));
    kernel.group_count = 3;
    expect_refused(&settings, "groups of uid 1001", "said yes");
    kernel.group_count = 2; /* fewer than wanted take nothing from anybody */
    expect_taken(&settings);
}

static void test_out_of_memory_for_the_groups(void **state)
{
    const wsgi_group_settings_t settings = alice();
    wsgi_result_t result = {0};

    (void)state;
    kernel.is_out_of_memory = true;
    const int code = wsgi_identity_take(&settings, &result);
    kernel.is_out_of_memory = false;
    assert_int_equal(code, WSGI_E_IO);
    assert_non_null(strstr(result.detail, "Cannot allocate memory"));
    assert_int_equal(kernel.privileged_calls, 0);
}

static void test_root_that_can_be_taken_again(void **state)
{
    wsgi_group_settings_t settings = alice();

    kernel.is_root_regained = true;
    expect_refused(&settings, "uid 1001 could become root again", "securebits");
    assert_here("/usr");

    set_up(state);
    kernel.is_euid_root_for_all = true;
    expect_refused(&settings, "uid 1001 could become root again", "securebits");

    set_up(state);
    kernel.is_root_regained = true;
    settings.uid = 0; /* as configured: nothing to give up */
    expect_taken(&settings);
}

static void test_configured_home(void **state)
{
    wsgi_group_settings_t settings = alice();

    settings.home = home;
    settings.user_home = "/nowhere";
    expect_taken(&settings);
    assert_here(home);
    assert_string_equal(log_lines, "");

    set_up(state);
    settings.home = "/nowhere/at/all";
    expect_refused(&settings, "cannot enter home=/nowhere/at/all as uid 1001",
                   "No such file or directory");

    set_up(state);
    settings.home = home;
    kernel.manners[CHDIR] = LIES;
    expect_refused(&settings, "cannot enter home=", "said yes and did not do it");
}

static void test_home_of_the_user_that_cannot_be_entered(void **state)
{
    static const enum manner manners[] = {WORKS, FAILS, LIES};
    wsgi_group_settings_t settings = alice();

    settings.user_home = "/nowhere";
    expect_taken(&settings);
    assert_here("/");
    assert_true(
        is_logged("<5> WSGI1401: [group] uid 1001 cannot enter its home directory '/nowhere':"));

    settings.user_home = "";
    set_up(state);
    expect_taken(&settings);
    assert_here("/");
    assert_true(is_logged("<5> WSGI1401: [group] uid 1001 has no home directory: the working"));

    for (size_t i = 1; i < 3; i++) {
        set_up(state);
        kernel.manners[CHDIR] = manners[i];
        expect_refused(&settings, "cannot enter /",
                       i == 1 ? "Operation not permitted" : "said yes and did not do it");
    }
}

/* compat: LIFE-core */
static void test_core_files_are_allowed_where_they_are_wanted(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
    expect_taken(&settings);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
    settings.dumps_core = 1;
    set_up(state);
    expect_taken(&settings);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
}

static void test_httpds_own_user_stays_where_it_is(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    settings.has_own_user = 0;
    expect_taken(&settings);
    assert_here("/usr");
    assert_string_equal(log_lines, "");
}

/* compat: PROC-user */
static void test_environment_names_the_user_where_it_named_one(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    __real_setenv("HOME", "/root", 1);
    __real_setenv("USER", "root", 1);
    __real_setenv("LOGNAME", "root", 1);
    expect_taken(&settings);
    assert_string_equal(getenv("HOME"), home);
    assert_string_equal(getenv("USER"), "alice");
    assert_string_equal(getenv("LOGNAME"), "alice");
    assert_null(getenv("USERNAME"));
}

static void test_environment_of_a_bare_number(void **state)
{
    wsgi_group_settings_t settings = alice();

    (void)state;
    __real_setenv("USER", "root", 1);
    __real_setenv("HOME", "/root", 1);
    settings.user_name = settings.user_home = "";
    expect_taken(&settings);
    assert_string_equal(getenv("USER"), "root");
    assert_string_equal(getenv("HOME"), "/root");
}

static void test_environment_that_cannot_be_written(void **state)
{
    const wsgi_group_settings_t settings = alice();
    wsgi_result_t result = {0};

    (void)state;
    kernel.manners[SETENV] = FAILS;
    assert_int_equal(wsgi_identity_take(&settings, &result), WSGI_E_NOMEM);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_taken),
        TEST(test_the_order_of_the_steps),
        TEST(test_groups_of_the_user_database_in_a_chroot),
        TEST(test_priority_root_and_mask_are_checked_and_read_back),
        TEST(test_a_priority_of_minus_one),
        TEST(test_cve_2014_0240_a_refused_setuid_ends_it),
        TEST(test_cve_2014_8583_refused_groups_end_it),
        TEST(test_a_bare_number_has_its_group_only),
        TEST(test_without_root_nothing_is_changed),
        TEST(test_each_step_is_checked_and_read_back),
        TEST(test_each_of_the_three_ids_is_looked_at),
        TEST(test_a_group_left_over_is_found),
        TEST(test_out_of_memory_for_the_groups),
        TEST(test_root_that_can_be_taken_again),
        TEST(test_configured_home),
        TEST(test_home_of_the_user_that_cannot_be_entered),
        TEST(test_core_files_are_allowed_where_they_are_wanted),
        TEST(test_httpds_own_user_stays_where_it_is),
        TEST(test_environment_names_the_user_where_it_named_one),
        TEST(test_environment_of_a_bare_number),
        TEST(test_environment_that_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
