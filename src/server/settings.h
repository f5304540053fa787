/* server/settings.h — what the configuration says: as the directives left it, and resolved once for
 * the whole server.
 * Runs in:  httpd parent (makes), child (reads).   Threads: any; immutable after check_config.
 * Owns:     nothing; all lives in pconf, and dies with the generation.
 * Blocks:   never (resolving asks the user database).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SETTINGS_H
#define WSGI_SETTINGS_H

#include "server_private.h"

#include "apr_hash.h"

#include "alias_map.h"
#include "groups.h"
#include "names.h"

/* Where in the configuration files something was said; for messages. */
typedef struct wsgi_place {
    const char *file;
    int line;
} wsgi_place_t;

/* One mention of a process group, by WSGIProcessGroup or an alias. */
typedef struct wsgi_group_ref {
    wsgi_name_t name;
    wsgi_place_t place;
    int group; /* index into the settings' groups, resolved; or WSGI_GROUP_… */
} wsgi_group_ref_t;

#define WSGI_GROUP_EMBEDDED (-1)
#define WSGI_GROUP_DYNAMIC  (-2) /* known only when a request expands the name */

enum wsgi_flag {
    WSGI_FLAG_UNSET = -1,
    WSGI_FLAG_OFF = 0,
    WSGI_FLAG_ON = 1,
    WSGI_FLAG_THIRD = 2, /* Buffer of WSGIChunkedRequest, Auto of WSGIMapHEADToGET */
};

/* A script whose functions httpd asks while it processes a request. */
typedef struct wsgi_hook_script {
    const char *script;
    wsgi_name_t application_group;
} wsgi_hook_script_t;

/* Those of a place; NULL: not set. */
typedef struct wsgi_hook_scripts {
    const wsgi_hook_script_t *dispatch, *access, *auth_user, *auth_group;
} wsgi_hook_scripts_t;

/* What may differ from directory to directory, and what an alias lays over it. Kept small: httpd
 * merges one for each section that a request meets. */
typedef struct wsgi_dir_config {
    const wsgi_group_ref_t *process_group; /* NULL: not set; so with the others */
    const wsgi_name_t *application_group;
    const wsgi_name_t *callable_object;
    apr_hash_t *handler_scripts;                /* handler name → wsgi_handler_script_t */
    const apr_array_header_t *restrict_process; /* const char *: names that are allowed */
    const apr_array_header_t *trusted_headers;  /* const struct wsgi_trusted_field * */
    const apr_array_header_t *trusted_proxies;  /* apr_ipsubnet_t *; not set: all peers */
    const wsgi_hook_scripts_t *hooks;           /* few places have any */
    int script_reloading, pass_authorization, pass_apache_request; /* enum wsgi_flag */
    int chunked_request, map_head_to_get, error_override, enable_sendfile, ignore_activity;
} wsgi_dir_config_t;

/* The inner value where it was set, else the outer one. */
void wsgi_dir_config_lay(wsgi_dir_config_t *merged, const wsgi_dir_config_t *outer,
                         const wsgi_dir_config_t *inner);

/* A WSGIHandlerScript; its options lie over the directory's. */
typedef struct wsgi_handler_script {
    const char *script;
    wsgi_dir_config_t options;
} wsgi_handler_script_t;

typedef struct wsgi_alias {
    const char *path; /* URL path, NULL where a regular expression decides */
    ap_regex_t *regex;
    const char *target;
    wsgi_dir_config_t options;
    wsgi_place_t place;
} wsgi_alias_t;

/* A script that is loaded before any request: WSGIImportScript, or an alias whose two groups are
 * known. Both names are literals. */
typedef struct wsgi_import {
    const char *script;
    const wsgi_group_ref_t *process_group;
    const wsgi_name_t *application_group;
    wsgi_place_t place;
} wsgi_import_t;

/* A place that says WSGITrustedProxyHeaders. */
typedef struct wsgi_trust {
    const wsgi_dir_config_t *dir;
    wsgi_place_t place;
} wsgi_trust_t;

/* A WSGIDaemonProcess as written; `group` is completed when the settings are resolved. */
typedef struct wsgi_group_draft {
    wsgi_group_t group;
    const char *user, *user_group;                                 /* NULL: httpd's */
    const char *supplementary_groups, *script_user, *script_group; /* NULL: not given */
    const char *python;       /* NULL: the Python that the module was built for */
    const char *ignored_text; /* of options without effect */
    int64_t ignored;
    wsgi_place_t place;
} wsgi_group_draft_t;

/* The whole server's, resolved. */
typedef struct wsgi_settings {
    const wsgi_group_settings_t *python; /* of httpd's children: members for Python only */
    const apr_array_header_t *imports;   /* wsgi_import_t *: into httpd's children */
    bool restrict_embedded, is_case_blind;
    wsgi_group_t *groups; /* in the order of the configuration */
    unsigned group_count;
    apr_hash_t *groups_by_name; /* name → a pointer into `groups` */
    bool needs_python;          /* an httpd child may have to run an application */
} wsgi_settings_t;

struct wsgi_child;

/* One server's (main or virtual). Its own words only: main's count through `main`. */
typedef struct wsgi_server_config {
    struct wsgi_server_config *main;           /* NULL in the main server's */
    apr_array_header_t *aliases;               /* wsgi_alias_t * */
    apr_array_header_t *group_drafts;          /* wsgi_group_draft_t * */
    apr_array_header_t *group_refs;            /* wsgi_group_ref_t * */
    apr_array_header_t *imports;               /* wsgi_import_t * */
    apr_array_header_t *interpreter_blocks;    /* wsgi_interpreter_block_t * */
    apr_array_header_t *trusts;                /* wsgi_trust_t */
    struct wsgi_interpreter_block *open_block; /* whose directives are being read */
    wsgi_group_settings_t python; /* of httpd's children, and of groups that say nothing */
    int64_t restrict_embedded;

    const wsgi_alias_map_t *alias_map;      /* resolved: of `aliases` that have a path */
    bool has_regex_aliases;                 /* resolved */
    const wsgi_settings_t *settings;        /* resolved, in the main server's only */
    struct wsgi_scoreboard_map *scoreboard; /* for process groups; in the main server's, or NULL */
    struct wsgi_child *child;               /* in httpd's children, in the main server's only */
} wsgi_server_config_t;

static inline wsgi_server_config_t *wsgi_server_config(const server_rec *server)
{
    return ap_get_module_config(server->module_config, &wsgi_module);
}

static inline wsgi_server_config_t *wsgi_server_config_main(wsgi_server_config_t *config)
{
    return config->main == NULL ? config : config->main;
}

static inline const wsgi_dir_config_t *wsgi_dir_config(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &wsgi_module);
}

/* Of a place without any. */
extern const wsgi_hook_scripts_t wsgi_no_hooks;

static inline const wsgi_hook_scripts_t *wsgi_dir_hooks(const request_rec *r)
{
    const wsgi_hook_scripts_t *hooks = wsgi_dir_config(r)->hooks;
    return hooks != NULL ? hooks : &wsgi_no_hooks;
}

/* A group's settings where nobody has said anything. `processes` is 0 then: that is what
 * wsgi.multiprocess asks. */
extern const wsgi_group_settings_t wsgi_group_unset;

/* May requests of this server go to the group? */
bool wsgi_settings_may_use(const server_rec *server, const wsgi_group_t *group);

/* The path as the group's processes see it: without the prefix of chroot=. NULL: they cannot. */
const char *wsgi_settings_path_inside(const wsgi_group_t *group, const char *path);

/* The group of that name, or -1. */
int wsgi_settings_find_group(const wsgi_settings_t *settings, wsgi_bytes_t name);

/* Resolves the settings of all servers and stores them in the main server's, once per pass of the
 * configuration; complains about each fault through httpd's log. NULL: there was one. */
const wsgi_settings_t *wsgi_settings_resolve(apr_pool_t *pconf, server_rec *main_server);

#endif
