/* server/config.c — settings of directories and servers: made empty, and laid over each other.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "wsgi_server.h"

static const wsgi_dir_config_t unset = {
    .script_reloading = WSGI_FLAG_UNSET,
    .pass_authorization = WSGI_FLAG_UNSET,
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
    LAY(script_reloading, != WSGI_FLAG_UNSET);
    LAY(pass_authorization, != WSGI_FLAG_UNSET);
#undef LAY
}

void *wsgi_config_merge_dir(apr_pool_t *pool, void *outer, void *inner)
{
    wsgi_dir_config_t *merged = apr_palloc(pool, sizeof *merged);
    wsgi_dir_config_lay(merged, outer, inner);
    return merged;
}

void *wsgi_config_create_server(apr_pool_t *pool, server_rec *server)
{
    (void)server;
    wsgi_server_config_t *config = apr_pcalloc(pool, sizeof *config);
    config->aliases = apr_array_make(pool, 4, sizeof(wsgi_alias_t *));
    config->group_drafts = apr_array_make(pool, 4, sizeof(wsgi_group_draft_t *));
    config->group_refs = apr_array_make(pool, 4, sizeof(wsgi_group_ref_t *));
    config->python_home = config->python_path = "";
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
