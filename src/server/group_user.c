/* server/group_user.c — the identity of a process group.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "group_user.h"

#include "options.h"
#include "unixd.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define ID_UNSET ((int64_t)(uid_t)-1)

/* "#123" → 123; -1 for a name. */
static int64_t parse_number(const char *text)
{
    int64_t id;
    return *text == '#' && wsgi_option_number(text + 1, 0, ID_UNSET - 1, &id) == 0 ? id : -1;
}

static int find_user(const wsgi_group_draft_t *draft, int64_t *uid, wsgi_result_t *result)
{
    if (draft->user == NULL) {
        *uid = ap_unixd_config.user_id;
        return *uid != ID_UNSET ? WSGI_OK
                                : wsgi_fail(result, WSGI_E_INVALID,
                                            "no user to run as: give it user=, or httpd a User");
    }
    *uid = parse_number(draft->user);
    const struct passwd *entry = *uid < 0 ? getpwnam(draft->user) : NULL;
    if (*uid < 0 && entry == NULL) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "there is no user '%s' on this machine: correct user=, or create it",
                         draft->user);
    }
    *uid = entry != NULL ? entry->pw_uid : *uid;
    return WSGI_OK;
}

static int find_group(const wsgi_group_draft_t *draft, int64_t *gid, wsgi_result_t *result)
{
    if (draft->user_group == NULL) {
        *gid = ap_unixd_config.group_id;
        return *gid != ID_UNSET ? WSGI_OK
                                : wsgi_fail(result, WSGI_E_INVALID,
                                            "no group to run as: give it group=, or httpd a Group");
    }
    *gid = parse_number(draft->user_group);
    const struct group *entry = *gid < 0 ? getgrnam(draft->user_group) : NULL;
    if (*gid < 0 && entry == NULL) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "there is no group '%s' on this machine: correct group=, or create it",
                         draft->user_group);
    }
    *gid = entry != NULL ? entry->gr_gid : *gid;
    return WSGI_OK;
}

/* httpd that was not started as root cannot change who it is: names are checked all the same, so
 * that a configuration means the same to both. */
static int find_identity(const wsgi_group_draft_t *draft, wsgi_group_settings_t *settings,
                         wsgi_result_t *result)
{
    bool is_root = geteuid() == 0;
    settings->uid = settings->gid = -1;
    if ((is_root || draft->user != NULL) && find_user(draft, &settings->uid, result) < 0) {
        return result->code;
    }
    if ((is_root || draft->user_group != NULL) && find_group(draft, &settings->gid, result) < 0) {
        return result->code;
    }
    if (settings->uid == 0) {
        return wsgi_fail(result, WSGI_E_INVALID, "it would run as root: give it another user=");
    }
    if (!is_root) {
        settings->uid = settings->gid = -1;
    }
    return WSGI_OK;
}

int wsgi_group_user_resolve(wsgi_group_draft_t *draft, apr_pool_t *pconf, wsgi_result_t *result)
{
    wsgi_group_settings_t *settings = &draft->group.settings;
    if (find_identity(draft, settings, result) < 0) {
        return result->code;
    }
    uid_t uid = settings->uid < 0 ? geteuid() : (uid_t)settings->uid;
    const struct passwd *entry = getpwuid(uid);
    if (entry != NULL) {
        settings->user_name = apr_pstrdup(pconf, entry->pw_name);
        settings->user_home = apr_pstrdup(pconf, entry->pw_dir);
    }
    settings->has_own_user = uid != ap_unixd_config.user_id;
    return WSGI_OK;
}
