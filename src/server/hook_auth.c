/* server/hook_auth.c — providers for httpd's own modules of authentication and authorisation: users
 * by WSGIAuthUserScript, their groups by WSGIAuthGroupScript.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include "wsgi_server.h"

/* ---- users ---- */

static const wsgi_hook_script_t *find_user_script(request_rec *r)
{
    const wsgi_hook_script_t *script = wsgi_dir_hooks(r)->auth_user;
    if (script == NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1701) "the provider of authentication here is wsgi, and no "
                                    "WSGIAuthUserScript holds: name one");
    }
    return script;
}

/* What is no answer is an error of the provider's: httpd answers 500, and asks no other. */
static authn_status check_password(request_rec *r, const char *user, const char *password)
{
    const wsgi_hook_script_t *script = find_user_script(r);
    wsgi_hook_call_t call = {
        .function = "check_password",
        .wants = WSGI_HOOK_WANTS_VERDICT | WSGI_HOOK_WANTS_USER,
        .arguments = {wsgi_text(user), wsgi_text(password)},
        .argument_count = 2,
    };
    switch (script == NULL ? WSGI_HOOK_FAILED : wsgi_hook_ask_guard(r, script, &call)) {
    case WSGI_HOOK_TEXT:
        r->user = (char *)call.text;
        return AUTH_GRANTED;
    case WSGI_HOOK_TRUE:
        return AUTH_GRANTED;
    case WSGI_HOOK_FALSE:
        return AUTH_DENIED;
    case WSGI_HOOK_NONE:
        return AUTH_USER_NOT_FOUND;
    default:
        return AUTH_GENERAL_ERROR;
    }
}

#define HASH_DIGITS 32u

static bool is_hash(const char *text)
{
    size_t len = strspn(text, "0123456789abcdefABCDEF");
    return len == HASH_DIGITS && text[len] == '\0';
}

/* Clients hash the digits in lower case. */
static authn_status take_hash(request_rec *r, const char *script, const char *text, char **hash)
{
    if (!is_hash(text)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1703) "get_realm_hash() of '%s' returned no MD5 of "
                                    "user:realm:password: that has 32 hexadecimal digits",
                      script);
        return AUTH_GENERAL_ERROR;
    }
    *hash = apr_pstrdup(r->pool, text);
    ap_str_tolower(*hash);
    return AUTH_USER_FOUND;
}

static authn_status get_realm_hash(request_rec *r, const char *user, const char *realm, char **hash)
{
    const wsgi_hook_script_t *script = find_user_script(r);
    wsgi_hook_call_t call = {
        .function = "get_realm_hash",
        .wants = WSGI_HOOK_WANTS_TEXT,
        .arguments = {wsgi_text(user), wsgi_text(realm)},
        .argument_count = 2,
    };
    switch (script == NULL ? WSGI_HOOK_FAILED : wsgi_hook_ask_guard(r, script, &call)) {
    case WSGI_HOOK_TEXT:
        return take_hash(r, script->script, call.text, hash);
    case WSGI_HOOK_NONE:
        return AUTH_USER_NOT_FOUND;
    default:
        return AUTH_GENERAL_ERROR;
    }
}

const authn_provider wsgi_hook_users = {
    .check_password = check_password,
    .get_realm_hash = get_realm_hash,
};

/* ---- groups ---- */

/* The words behind Require wsgi-group, an array of const char *. */
static const apr_array_header_t *split(apr_pool_t *pool, const char *line)
{
    apr_array_header_t *names = apr_array_make(pool, 2, sizeof(const char *));
    while (*line != '\0') {
        const char *word = ap_getword_conf(pool, &line);
        if (*word != '\0') {
            APR_ARRAY_PUSH(names, const char *) = word;
        }
    }
    return names;
}

static const char *parse_require_line(cmd_parms *cmd, const char *line, const void **parsed)
{
    const apr_array_header_t *names = split(cmd->pool, line);
    *parsed = names;
    return names->nelts > 0 ? NULL
                            : "Require wsgi-group names no group, so it would let nobody in: "
                              "list one or more";
}

static authz_status ask_for_groups(request_rec *r, const wsgi_hook_script_t *script,
                                   const apr_array_header_t *names)
{
    wsgi_hook_call_t call = {
        .function = "groups_for_user",
        .wants = WSGI_HOOK_WANTS_NAMES,
        .arguments = {wsgi_text(r->user)},
        .argument_count = 1,
        .names = (const char *const *)names->elts,
        .name_count = (size_t)names->nelts,
    };
    switch (wsgi_hook_ask_guard(r, script, &call)) {
    case WSGI_HOOK_TRUE:
        return AUTHZ_GRANTED;
    case WSGI_HOOK_FALSE:
        return AUTHZ_DENIED;
    default: /* a denial would be none under Require not, nor in <RequireNone> */
        return AUTHZ_GENERAL_ERROR;
    }
}

static authz_status check_authorization(request_rec *r, const char *line, const void *parsed)
{
    const wsgi_hook_script_t *script = wsgi_dir_hooks(r)->auth_group;
    if (r->user == NULL) {
        return AUTHZ_DENIED_NO_USER;
    }
    if (script == NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      WSGI_ID(1702) "Require wsgi-group stands here, and no WSGIAuthGroupScript "
                                    "holds: name one");
        return AUTHZ_GENERAL_ERROR;
    }
    return ask_for_groups(r, script, parsed != NULL ? parsed : split(r->pool, line));
}

const authz_provider wsgi_hook_groups = {
    .check_authorization = check_authorization,
    .parse_require_line = parse_require_line,
};
