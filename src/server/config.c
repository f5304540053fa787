/* server/config.c — settings of directories and servers: made empty, and laid over each other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "wsgi_runtime.h"
#include "wsgi_server.h"

static const wsgi_dir_config_t unset = {
    .script_reloading = WSGI_FLAG_UNSET,
    .pass_authorization = WSGI_FLAG_UNSET,
    .pass_apache_request = WSGI_FLAG_UNSET,
    .chunked_request = WSGI_FLAG_UNSET,
    .map_head_to_get = WSGI_FLAG_UNSET,
    .error_override = WSGI_FLAG_UNSET,
    .enable_sendfile = WSGI_FLAG_UNSET,
    .ignore_activity = WSGI_FLAG_UNSET,
};

#define THREADS_DEFAULT    15
#define CONNECT_TIMEOUT_S  15
#define LISTEN_BACKLOG     100
#define SHUTDOWN_TIMEOUT_S 5
#define GRACEFUL_TIMEOUT_S 15
#define DEADLOCK_TIMEOUT_S 300

const wsgi_group_settings_t wsgi_group_unset = {
#define TEXT(member) .member = "",
#define NUMBER(member)
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    .threads = THREADS_DEFAULT,
    .shutdown_timeout_s = SHUTDOWN_TIMEOUT_S,
    .graceful_timeout_s = GRACEFUL_TIMEOUT_S,
    .deadlock_timeout_s = DEADLOCK_TIMEOUT_S,
    .connect_timeout_s = CONNECT_TIMEOUT_S,
    .listen_backlog = LISTEN_BACKLOG,
    .umask = -1,
    .hash_seed = WSGI_HASH_SEED_RANDOM,
};

void *wsgi_config_create_dir(apr_pool_t *pool, char *path)
{
    (void)path;
    return apr_pmemdup(pool, &unset, sizeof unset);
}

void wsgi_dir_config_lay(wsgi_dir_config_t *merged, const wsgi_dir_config_t *outer,
                         const wsgi_dir_config_t *inner)
{
#define LAY(member, is_set) merged->member = inner->member is_set ? inner->member : outer->member
    LAY(process_group, != NULL);
    LAY(application_group, != NULL);
    LAY(callable_object, != NULL);
    LAY(restrict_process, != NULL);
    LAY(trusted_headers, != NULL);
    LAY(trusted_proxies, != NULL);
    LAY(hooks, != NULL);
    LAY(script_reloading, != WSGI_FLAG_UNSET);
    LAY(pass_authorization, != WSGI_FLAG_UNSET);
    LAY(pass_apache_request, != WSGI_FLAG_UNSET);
    LAY(chunked_request, != WSGI_FLAG_UNSET);
    LAY(map_head_to_get, != WSGI_FLAG_UNSET);
    LAY(error_override, != WSGI_FLAG_UNSET);
    LAY(enable_sendfile, != WSGI_FLAG_UNSET);
    LAY(ignore_activity, != WSGI_FLAG_UNSET);
    LAY(handler_scripts, != NULL);
#undef LAY
}

const wsgi_hook_scripts_t wsgi_no_hooks;

static const wsgi_hook_scripts_t *merge_hooks(apr_pool_t *pool, const wsgi_hook_scripts_t *outer,
                                              const wsgi_hook_scripts_t *inner)
{
    wsgi_hook_scripts_t *merged = apr_palloc(pool, sizeof *merged);
#define LAY(member) merged->member = inner->member != NULL ? inner->member : outer->member
    LAY(dispatch);
    LAY(access);
    LAY(auth_user);
    LAY(auth_group);
#undef LAY
    return merged;
}

void *wsgi_config_merge_dir(apr_pool_t *pool, void *outer, void *inner)
{
    const wsgi_dir_config_t *above = outer, *below = inner;
    wsgi_dir_config_t *merged = apr_palloc(pool, sizeof *merged);
    wsgi_dir_config_lay(merged, above, below);
    if (above->handler_scripts != NULL && below->handler_scripts != NULL) {
        merged->handler_scripts =
            apr_hash_overlay(pool, below->handler_scripts, above->handler_scripts);
    }
    if (above->hooks != NULL && below->hooks != NULL) {
        merged->hooks = merge_hooks(pool, above->hooks, below->hooks);
    }
    return merged;
}

void *wsgi_config_create_server(apr_pool_t *pool, server_rec *server)
{
    (void)server;
    wsgi_server_config_t *config = apr_pcalloc(pool, sizeof *config);
    config->aliases = apr_array_make(pool, 4, sizeof(wsgi_alias_t *));
    config->group_drafts = apr_array_make(pool, 4, sizeof(wsgi_group_draft_t *));
    config->group_refs = apr_array_make(pool, 4, sizeof(wsgi_group_ref_t *));
    config->imports = apr_array_make(pool, 2, sizeof(wsgi_import_t *));
    config->interpreter_blocks = apr_array_make(pool, 2, sizeof(struct wsgi_interpreter_block *));
    config->trusts = apr_array_make(pool, 2, sizeof(wsgi_trust_t));
    config->python = wsgi_group_unset;
    return config;
}

/* A virtual host keeps its own words and knows where the main server's are: they need not be
 * copied into each, and all that is resolved is resolved once. */
void *wsgi_config_merge_server(apr_pool_t *pool, void *outer, void *inner)
{
    wsgi_server_config_t *merged = apr_pmemdup(pool, inner, sizeof *merged);
    merged->main = outer;
    return merged;
}
