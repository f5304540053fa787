/* daemon/identity.c — takes the priority, root, user, groups, mask and place of a process
 * group, step by step.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 65536 /* the kernel's NGROUPS_MAX */

typedef wsgi_group_settings_t settings_t;

/* Looked up first: in a chroot there may be no user database, or another one. */
typedef struct identity {
    const settings_t *settings;
    gid_t *groups;
    int group_count;
} identity_t;

static bool may_change(const settings_t *settings)
{
    return settings->uid >= 0;
}

static const char *reason(void)
{
    return errno != 0 ? strerror(errno) : "the system said yes and did not do it";
}

static int refuse(wsgi_result_t *result, const char *what, int64_t id, const char *cure)
{
    return wsgi_fail(result, WSGI_E_IO, "cannot take %s %lld (%s): %s", what, (long long)id,
                     reason(), cure);
}

/* "12,7" behind the group itself. */
static void add_listed(identity_t *it, const char *list)
{
    while (*list != '\0' && it->group_count < GROUPS_MAX) {
        char *end;
        it->groups[it->group_count++] = (gid_t)strtoll(list, &end, 10);
        list = end + (*end == ',');
    }
}

/* What the configuration lists, else what the user database gives; for a bare #uid the group alone. */
static int find_groups(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;

    if (!may_change(settings)) {
        return WSGI_OK;
    }
    it->groups = malloc(GROUPS_MAX * sizeof(*it->groups));
    if (it->groups == NULL) {
        errno = ENOMEM;
        return refuse(result, "the supplementary groups of uid", settings->uid,
                      "give it more memory");
    }
    it->groups[0] = (gid_t)settings->gid;
    it->group_count = 1;
    if (settings->supplementary_groups[0] != '\0') {
        add_listed(it, settings->supplementary_groups);
    }
    else if (settings->user_name[0] != '\0') {
        it->group_count = GROUPS_MAX;
        if (getgrouplist(settings->user_name, (gid_t)settings->gid, it->groups, &it->group_count) <
            0) {
            it->group_count = GROUPS_MAX;
        }
    }
    return WSGI_OK;
}

/* -1 is a priority too, hence errno. */
static int take_priority(identity_t *it, wsgi_result_t *result)
{
    const int wanted = (int)it->settings->cpu_priority;

    if (wanted == 0) {
        return WSGI_OK;
    }
    errno = 0;
    if (setpriority(PRIO_PROCESS, 0, wanted) != 0 || getpriority(PRIO_PROCESS, 0) != wanted ||
        errno != 0) {
        return refuse(result, "cpu-priority", wanted,
                      "without root's rights it can only be raised, up to 19");
    }
    return WSGI_OK;
}

static bool is_same_place(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* The root alone is not enough: a working directory outside leads out again. */
static int take_root(identity_t *it, wsgi_result_t *result)
{
    const char *path = it->settings->chroot;
    struct stat wanted, root, here;

    if (path[0] == '\0' || !may_change(it->settings)) {
        return WSGI_OK;
    }
    errno = 0;
    if (stat(path, &wanted) != 0 || chroot(path) != 0 || chdir("/") != 0 || stat("/", &root) != 0 ||
        stat(".", &here) != 0 || !is_same_place(&root, &wanted) || !is_same_place(&here, &wanted)) {
        return wsgi_fail(result, WSGI_E_IO,
                         "cannot make chroot=%s the root directory (%s): create it, and start "
                         "httpd as root with CAP_SYS_CHROOT",
                         path, reason());
    }
    return WSGI_OK;
}

static bool contains(const gid_t *list, int count, gid_t gid)
{
    for (int i = 0; i < count; i++) {
        if (list[i] == gid) {
            return true;
        }
    }
    return false;
}

/* No group may be left that is not wanted. */
static bool has_only(const gid_t *wanted, int wanted_count)
{
    int count = getgroups(0, NULL);
    gid_t *list = count > 0 ? malloc((size_t)count * sizeof(*list)) : NULL;
    bool is_right = count == 0 || list != NULL;

    if (list != NULL) {
        count = getgroups(count, list);
        is_right = count >= 0;
    }
    for (int i = 0; is_right && i < count; i++) {
        is_right = contains(wanted, wanted_count, list[i]);
    }
    free(list);
    return is_right;
}

static int take_groups(identity_t *it, wsgi_result_t *result)
{
    if (!may_change(it->settings)) {
        return WSGI_OK;
    }
    errno = 0;
    if (setgroups((size_t)it->group_count, it->groups) != 0 ||
        !has_only(it->groups, it->group_count)) {
        return refuse(result, "the supplementary groups of uid", it->settings->uid,
                      "httpd must be started as root and keep CAP_SETGID");
    }
    return WSGI_OK;
}

static int take_gid(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;
    gid_t wanted = (gid_t)settings->gid, real, effective, saved;

    if (!may_change(settings)) {
        return WSGI_OK;
    }
    errno = 0;
    if (setresgid(wanted, wanted, wanted) != 0 || getresgid(&real, &effective, &saved) != 0 ||
        real != wanted || effective != wanted || saved != wanted) {
        return refuse(result, "gid", settings->gid,
                      "httpd must be started as root and keep CAP_SETGID");
    }
    return WSGI_OK;
}

static int take_uid(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;
    uid_t wanted = (uid_t)settings->uid, real, effective, saved;

    if (!may_change(settings)) {
        return WSGI_OK;
    }
    errno = 0;
    if (setresuid(wanted, wanted, wanted) != 0 || getresuid(&real, &effective, &saved) != 0 ||
        real != wanted || effective != wanted || saved != wanted) {
        return refuse(result, "uid", settings->uid,
                      "httpd must be started as root and keep CAP_SETUID, and the user must be "
                      "below its limit of processes");
    }
    return WSGI_OK;
}

/* Root that can be taken again was not given up. */
static int check_no_way_back(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;
    if (!may_change(settings) || settings->uid == 0) {
        return WSGI_OK;
    }
    if (setuid(0) == 0 || geteuid() == 0) {
        return wsgi_fail(result, WSGI_E_IO,
                         "uid %lld could become root again: something withheld its privileges' "
                         "end; look for securebits or capabilities given to httpd",
                         (long long)settings->uid);
    }
    return WSGI_OK;
}

/* The only way to read a mask is to set one. */
static int take_umask(identity_t *it, wsgi_result_t *result)
{
    const mode_t wanted = (mode_t)it->settings->umask;

    if (it->settings->umask < 0) {
        return WSGI_OK;
    }
    umask(wanted);
    if (umask(wanted) != wanted) {
        return wsgi_fail(result, WSGI_E_IO,
                         "cannot take umask %03o (%s): look at what confines "
                         "this process (seccomp)",
                         (unsigned)wanted, "the system said yes and did not do it");
    }
    return WSGI_OK;
}

/* True where the working directory is `path` afterwards. */
static bool enter(const char *path)
{
    struct stat wanted, here;

    errno = 0;
    return chdir(path) == 0 && stat(path, &wanted) == 0 && stat(".", &here) == 0 &&
           is_same_place(&wanted, &here);
}

static int enter_configured_home(const settings_t *settings, wsgi_result_t *result)
{
    return enter(settings->home)
               ? WSGI_OK
               : wsgi_fail(result, WSGI_E_IO,
                           "cannot enter home=%s as uid %ld (%s): create it, or give that user "
                           "the right to enter it and every directory above",
                           settings->home, (long)geteuid(), reason());
}

static void log_no_home(const settings_t *settings)
{
    const char *home = settings->user_home;
    char which[320] = "has no home directory";

    if (home[0] != '\0') {
        snprintf(which, sizeof(which), "cannot enter its home directory '%.256s'", home);
    }
    wsgi_log(WSGI_LOG_NOTICE,
             WSGI_ID(1401) "[%s] uid %ld %s: the working directory is /; set home= to choose "
                           "another",
             settings->name, (long)geteuid(), which);
}

static int enter_home(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;
    if (settings->home[0] != '\0') {
        return enter_configured_home(settings, result);
    }
    if (!settings->has_own_user) {
        return WSGI_OK;
    }
    if (settings->user_home[0] != '\0' && enter(settings->user_home)) {
        return WSGI_OK;
    }
    log_no_home(settings);
    return enter("/") ? WSGI_OK : wsgi_fail(result, WSGI_E_IO, "cannot enter / (%s)", reason());
}

/* The names of the user are corrected only where httpd's environment has them. */
static int correct_environ(identity_t *it, wsgi_result_t *result)
{
    const settings_t *settings = it->settings;
    static const char *const names[] = {"USER", "USERNAME", "LOGNAME"};
    int failures = 0;

    if (settings->user_home[0] != '\0') {
        failures += setenv("HOME", settings->user_home, 1) != 0;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (settings->user_name[0] != '\0' && getenv(names[i]) != NULL) {
            failures += setenv(names[i], settings->user_name, 1) != 0;
        }
    }
    return failures == 0 ? WSGI_OK : wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
}

/* The kernel forbids core files to who has changed its ids. Where the configuration says where they
 * are to be put they are wanted, as httpd itself does for its children. */
static int allow_core(identity_t *it, wsgi_result_t *result)
{
    (void)result;
    if (it->settings->dumps_core) {
        prctl(PR_SET_DUMPABLE, 1);
    }
    return WSGI_OK;
}

int wsgi_identity_take(const wsgi_group_settings_t *settings, wsgi_result_t *result)
{
    static int (*const steps[])(identity_t *, wsgi_result_t *) = {
        find_groups,       take_priority, take_root,  take_groups,     take_gid,   take_uid,
        check_no_way_back, take_umask,    enter_home, correct_environ, allow_core,
    };
    identity_t it = {.settings = settings};
    int status = WSGI_OK;

    for (size_t i = 0; status == WSGI_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        status = steps[i](&it, result);
    }
    free(it.groups);
    return status;
}
