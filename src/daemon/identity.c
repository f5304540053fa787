/* daemon/identity.c — takes the user, groups and place of a process group, step by step.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 65536 /* the kernel's NGROUPS_MAX */

typedef wsgi_group_settings_t settings_t;

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

/* The groups the user database gives; for a bare #uid the group alone. NULL without memory. */
static gid_t *wanted_groups(const settings_t *settings, int *count)
{
    gid_t *list = malloc(GROUPS_MAX * sizeof(*list));

    *count = GROUPS_MAX;
    if (list == NULL) {
        return NULL;
    }
    if (settings->user_name[0] == '\0') {
        list[0] = (gid_t)settings->gid;
        *count = 1;
    }
    else if (getgrouplist(settings->user_name, (gid_t)settings->gid, list, count) < 0) {
        *count = GROUPS_MAX;
    }
    return list;
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

static int take_groups(const settings_t *settings, wsgi_result_t *result)
{
    int count;
    gid_t *list;
    bool is_done;

    if (!may_change(settings)) {
        return WSGI_OK;
    }
    list = wanted_groups(settings, &count);
    errno = list == NULL ? ENOMEM : 0;
    is_done = list != NULL && setgroups((size_t)count, list) == 0 && has_only(list, count);
    free(list);
    return is_done ? WSGI_OK
                   : refuse(result, "the supplementary groups of uid", settings->uid,
                            "httpd must be started as root and keep CAP_SETGID");
}

static int take_gid(const settings_t *settings, wsgi_result_t *result)
{
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

static int take_uid(const settings_t *settings, wsgi_result_t *result)
{
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
static int check_no_way_back(const settings_t *settings, wsgi_result_t *result)
{
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

/* True where the working directory is `path` afterwards. */
static bool enter(const char *path)
{
    struct stat wanted, here;

    errno = 0;
    return chdir(path) == 0 && stat(path, &wanted) == 0 && stat(".", &here) == 0 &&
           wanted.st_dev == here.st_dev && wanted.st_ino == here.st_ino;
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

static int enter_home(const settings_t *settings, wsgi_result_t *result)
{
    if (settings->home[0] != '\0') {
        return enter_configured_home(settings, result);
    }
    if (!settings->has_own_user) {
        return WSGI_OK;
    }
    if (settings->user_home[0] != '\0' && enter(settings->user_home)) {
        return WSGI_OK;
    }
    wsgi_log(WSGI_LOG_NOTICE,
             WSGI_ID(1401) "[%s] the home directory '%s' of uid %ld cannot be entered: the working "
                           "directory is /; set home= to choose another",
             settings->name, settings->user_home, (long)geteuid());
    return enter("/") ? WSGI_OK : wsgi_fail(result, WSGI_E_IO, "cannot enter / (%s)", reason());
}

/* The names of the user are corrected only where httpd's environment has them. */
static int correct_environ(const settings_t *settings, wsgi_result_t *result)
{
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

int wsgi_identity_take(const wsgi_group_settings_t *settings, wsgi_result_t *result)
{
    static int (*const steps[])(const settings_t *, wsgi_result_t *) = {
        take_groups, take_gid, take_uid, check_no_way_back, enter_home, correct_environ,
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int status = steps[i](settings, result);
        if (status != WSGI_OK) {
            return status;
        }
    }
    return WSGI_OK;
}
