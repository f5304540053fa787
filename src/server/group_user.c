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

static int find_user(const char *option, const char *name, int64_t *uid, wsgi_result_t *result)
{
    *uid = parse_number(name);
    const struct passwd *entry = *uid < 0 ? getpwnam(name) : NULL;
    if (*uid < 0 && entry == NULL) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "there is no user '%s' on this machine: correct %s=, or create it", name,
                         option);
    }
    *uid = entry != NULL ? entry->pw_uid : *uid;
    return WSGI_OK;
}

static int find_group(const char *option, const char *name, int64_t *gid, wsgi_result_t *result)
{
    *gid = parse_number(name);
    const struct group *entry = *gid < 0 ? getgrnam(name) : NULL;
    if (*gid < 0 && entry == NULL) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "there is no group '%s' on this machine: correct %s=, or create it", name,
                         option);
    }
    *gid = entry != NULL ? entry->gr_gid : *gid;
    return WSGI_OK;
}

/* httpd's User and Group are asked when the whole configuration has been read: they may stand
 * behind the process group. */
static int choose_user(const wsgi_group_draft_t *draft, int64_t *uid, wsgi_result_t *result)
{
    if (draft->user != NULL) {
        return find_user("user", draft->user, uid, result);
    }
    *uid = ap_unixd_config.user_id;
    return *uid != ID_UNSET ? WSGI_OK
                            : wsgi_fail(result, WSGI_E_INVALID,
                                        "no user to run as: give it user=, or httpd a User");
}

static int choose_group(const wsgi_group_draft_t *draft, int64_t *gid, wsgi_result_t *result)
{
    if (draft->user_group != NULL) {
        return find_group("group", draft->user_group, gid, result);
    }
    *gid = ap_unixd_config.group_id;
    return *gid != ID_UNSET ? WSGI_OK
                            : wsgi_fail(result, WSGI_E_INVALID,
                                        "no group to run as: give it group=, or httpd a Group");
}

/* "a,#7" → "12,7" */
static int find_supplementary(const char *words, apr_pool_t *pconf, const char **numbers,
                              wsgi_result_t *result)
{
    char *rest = apr_pstrdup(pconf, words), *state;
    const char *list = "";
    for (const char *name = apr_strtok(rest, ", ", &state); name != NULL;
         name = apr_strtok(NULL, ", ", &state)) {
        int64_t gid;
        if (find_group("supplementary-groups", name, &gid, result) < 0) {
            return result->code;
        }
        list = apr_psprintf(pconf, "%s%s%" APR_INT64_T_FMT, list, *list == '\0' ? "" : ",", gid);
    }
    *numbers = list;
    return *list != '\0' ? WSGI_OK
                         : wsgi_fail(result, WSGI_E_INVALID,
                                     "supplementary-groups takes a comma-separated list of "
                                     "groups, not '%s'",
                                     words);
}

/* httpd that was not started as root cannot change who it is: names are checked all the same, so
 * that a configuration means the same to both. */
static int find_identity(const wsgi_group_draft_t *draft, wsgi_group_settings_t *settings,
                         wsgi_result_t *result)
{
    bool is_root = geteuid() == 0;
    settings->uid = settings->gid = -1;
    if ((is_root || draft->user != NULL) && choose_user(draft, &settings->uid, result) < 0) {
        return result->code;
    }
    if ((is_root || draft->user_group != NULL) && choose_group(draft, &settings->gid, result) < 0) {
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

static int find_script_owner(wsgi_group_draft_t *draft, wsgi_result_t *result)
{
    wsgi_group_t *group = &draft->group;
    group->script_uid = group->script_gid = -1;
    if (draft->script_user != NULL &&
        find_user("script-user", draft->script_user, &group->script_uid, result) < 0) {
        return result->code;
    }
    return draft->script_group == NULL
               ? WSGI_OK
               : find_group("script-group", draft->script_group, &group->script_gid, result);
}

int wsgi_group_user_resolve(wsgi_group_draft_t *draft, apr_pool_t *pconf, wsgi_result_t *result)
{
    wsgi_group_settings_t *settings = &draft->group.settings;
    if (find_identity(draft, settings, result) < 0 || find_script_owner(draft, result) < 0) {
        return result->code;
    }
    if (draft->supplementary_groups != NULL &&
        find_supplementary(draft->supplementary_groups, pconf, &settings->supplementary_groups,
                           result) < 0) {
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
