/* server/group_checks.c — what a process group demands of a request and of its script.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "group_checks.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- a group that serves none ---- */

static int refuse_service(request_rec *r, const wsgi_group_t *group)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(1533) "[%s] threads=0 makes this process group run its WSGIImportScript "
                                "and serve no requests: lead this URL to another group",
                  group->settings.name);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* ---- chroot ---- */

static int refuse_outside(request_rec *r, const wsgi_group_t *group, const char *script)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(1537) "[%s] the script lies outside chroot=%s of its process group, "
                                "which cannot see it: %s",
                  group->settings.name, group->settings.chroot, script);
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* ---- owners ---- */

static int refuse_unseen(request_rec *r, const wsgi_group_t *group, const char *path)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(1534) "[%s] cannot tell who owns %s (%s), as script-user= or "
                                "script-group= asks: give httpd's user search permission above it",
                  group->settings.name, path, strerror(errno));
    return HTTP_FORBIDDEN;
}

static int refuse_owner(request_rec *r, const wsgi_group_t *group, const char *path, bool is_user,
                        int64_t owner)
{
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, r,
        WSGI_ID(1535) "[%s] %s belongs to %s %" APR_INT64_T_FMT ", and not to %" APR_INT64_T_FMT
                      " as %s= demands: change its owner (chown)",
        group->settings.name, path, is_user ? "uid" : "gid", owner,
        is_user ? group->script_uid : group->script_gid, is_user ? "script-user" : "script-group");
    return HTTP_FORBIDDEN;
}

static int refuse_writable(request_rec *r, const wsgi_group_t *group, const char *path, mode_t mode)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  WSGI_ID(1536) "[%s] %s has the mode %03o, which lets others than its owner write "
                                "to it; %s= forbids that: take the permission away (chmod %s)",
                  group->settings.name, path, (unsigned)mode & 0777u,
                  group->script_uid >= 0 ? "script-user" : "script-group",
                  group->script_uid >= 0 ? "go-w" : "o-w");
    return HTTP_FORBIDDEN;
}

/* Of script-user nobody else may write, of script-group its members may too. */
static int check_owner(request_rec *r, const wsgi_group_t *group, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return refuse_unseen(r, group, path);
    }
    if (group->script_uid >= 0 && (int64_t)info.st_uid != group->script_uid) {
        return refuse_owner(r, group, path, true, info.st_uid);
    }
    if (group->script_gid >= 0 && (int64_t)info.st_gid != group->script_gid) {
        return refuse_owner(r, group, path, false, info.st_gid);
    }
    mode_t forbidden = group->script_uid >= 0 ? S_IWGRP | S_IWOTH : S_IWOTH;
    return (info.st_mode & forbidden) == 0 ? OK : refuse_writable(r, group, path, info.st_mode);
}

static int check_owners(request_rec *r, const wsgi_group_t *group, const char *script)
{
    if (group->script_uid < 0 && group->script_gid < 0) {
        return OK;
    }
    int status = check_owner(r, group, script);
    return status == OK ? check_owner(r, group, ap_make_dirstr_parent(r->pool, script)) : status;
}

/* ---- */

int wsgi_group_check(request_rec *r, const wsgi_group_t *group, const char *script)
{
    if (group->settings.threads == 0) {
        return refuse_service(r, group);
    }
    if (wsgi_settings_path_inside(group, script) == NULL) {
        return refuse_outside(r, group, script);
    }
    return check_owners(r, group, script);
}
