/* server/settings.c — from what the directives left to the settings of the whole server.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <mpm_common.h>

#include "group_user.h"
#include "interpreter_options.h"
#include "program.h"
#include "python_choice.h"
#include "reach.h"
#include "wsgi_runtime.h"

typedef struct resolver {
    apr_pool_t *pconf;
    server_rec *main_server;
    wsgi_server_config_t *main;
    wsgi_settings_t *settings;
    apr_array_header_t *imports; /* wsgi_import_t *: into httpd's children */
    const char *program;         /* of the module's own Python; NULL: nobody has asked */
    bool has_faults;
} resolver_t;

#define HTTPD_WORDS ((size_t)4096) /* about itself, in each group's settings: added at its start */

/* A fault is told where it is found and all of them are found: one look, one correction. */
#define FAULT(it, place, id, ...)                                                                  \
    ((it)->has_faults = true, complain((it), APLOG_ERR, (place), id __VA_ARGS__))

static void complain(const resolver_t *it, int level, wsgi_place_t place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void complain(const resolver_t *it, int level, wsgi_place_t place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = apr_pvsprintf(it->pconf, format, args);
    va_end(args);
    if (place.file == NULL) {
        ap_log_error(APLOG_MARK, level, 0, it->main_server, "%s", text);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, it->main_server, "%s (%s, line %d)", text, place.file,
                     place.line);
    }
}

/* The settings that a server has of its own: a virtual host without a word of ours shares main's. */
static wsgi_server_config_t *own_config(const resolver_t *it, const server_rec *server)
{
    wsgi_server_config_t *config = wsgi_server_config(server);
    return server != it->main_server && config == it->main ? NULL : config;
}

int wsgi_settings_find_group(const wsgi_settings_t *settings, wsgi_bytes_t name)
{
    const wsgi_group_t *group =
        apr_hash_get(settings->groups_by_name, name.data, (apr_ssize_t)name.len);
    return group == NULL ? -1 : (int)(group - settings->groups);
}

/* ---- process groups ---- */

/* What a group has no option for is the whole server's. WSGIPythonPath and WSGIPythonEggs are for
 * httpd's children alone. */
static void inherit_python(wsgi_group_settings_t *group, const wsgi_group_settings_t *python)
{
    if (*group->python_home == '\0' && *group->python_executable == '\0') {
        group->python_home = python->python_home;
    }
    if (group->switch_interval_us == 0) {
        group->switch_interval_us = python->switch_interval_us;
    }
    group->python_warnings = python->python_warnings;
    group->python_optimize = python->python_optimize;
    group->hash_seed = python->hash_seed;
    group->dont_write_bytecode = python->dont_write_bytecode;
    group->restrict_stdin = python->restrict_stdin;
    group->restrict_stdout = python->restrict_stdout;
    group->allow_signals = python->allow_signals;
    group->abandon_interpreters = python->abandon_interpreters;
    group->per_interpreter_gil = python->per_interpreter_gil;
    group->free_threading = python->free_threading;
    group->is_case_blind = python->is_case_blind;
}

/* Its paths mean something else without it, so this is more than a notice. */
static void check_chroot(const resolver_t *it, wsgi_group_draft_t *draft)
{
    wsgi_group_settings_t *settings = &draft->group.settings;
    if (*settings->chroot != '\0' && settings->uid < 0) {
        complain(it, APLOG_WARNING, draft->place,
                 WSGI_ID(1513) "WSGIDaemonProcess '%s': chroot=%s has no effect, since httpd was "
                               "not started as root",
                 settings->name, settings->chroot);
        settings->chroot = "";
    }
}

static void complete_group(const resolver_t *it, wsgi_group_draft_t *draft)
{
    wsgi_group_settings_t *settings = &draft->group.settings;
    const server_rec *server = draft->group.server;
    settings->is_multiprocess = settings->processes > 0;
    settings->processes += settings->processes == 0;
    inherit_python(settings, &it->main->python);
    wsgi_interpreter_blocks_apply(it->pconf, it->main->interpreter_blocks, settings);
    settings->server_version = AP_SERVER_MAJORVERSION_NUMBER * 10000 +
                               AP_SERVER_MINORVERSION_NUMBER * 100 + AP_SERVER_PATCHLEVEL_NUMBER;
    int level = ap_get_server_module_loglevel(server, APLOG_MODULE_INDEX);
    settings->log_level = level > WSGI_LOG_TRACE5 ? WSGI_LOG_TRACE5 : level;
    settings->dumps_core = ap_coredumpdir_configured != 0;
    draft->group.has_socket_timeout = settings->socket_timeout_s > 0;
    if (settings->socket_timeout_s == 0) {
        settings->socket_timeout_s = apr_time_sec(server->timeout);
    }
    if (settings->connect_timeout_s == 0) {
        settings->connect_timeout_s = apr_time_sec(server->timeout);
    }
}

/* All groups of the module's own Python have the same program: what is wrong with it is said once. */
static void find_own_program(resolver_t *it, wsgi_group_t *group)
{
    char path[PATH_MAX];
    wsgi_result_t result = {0};
    if (it->program == NULL &&
        wsgi_program_find(wsgi_runtime_version(), path, sizeof path, &result) < 0) {
        FAULT(it, ((wsgi_place_t){NULL, 0}), WSGI_ID(1504),
              "%s: `make install-daemon` puts it there", result.detail);
    }
    it->program = it->program != NULL ? it->program : apr_pstrdup(it->pconf, path);
    group->program = it->program;
}

static void choose_python(resolver_t *it, wsgi_group_draft_t *draft)
{
    wsgi_group_t *group = &draft->group;
    wsgi_python_choice_t *choice = apr_palloc(it->pconf, sizeof *choice);
    char path[PATH_MAX];
    wsgi_result_t result = {0};
    if (wsgi_python_choose(draft->python, choice, &result) < 0) {
        FAULT(it, draft->place, WSGI_ID(1517), "WSGIDaemonProcess '%s': %s", group->settings.name,
              result.detail);
        return;
    }
    if (wsgi_program_find(choice->version, path, sizeof path, &result) < 0) {
        FAULT(it, draft->place, WSGI_ID(1518),
              "WSGIDaemonProcess '%s': %s: `./configure --with-python=%s && make install-daemon` "
              "builds and installs it",
              group->settings.name, result.detail, choice->executable);
        return;
    }
    group->program = apr_pstrdup(it->pconf, path);
    group->settings.python_home = choice->home;
    group->settings.python_executable = choice->executable;
}

static void resolve_group(resolver_t *it, wsgi_group_draft_t *draft)
{
    const char *name = draft->group.settings.name;
    wsgi_result_t result = {0};
    if (wsgi_settings_find_group(it->settings, wsgi_text(name)) >= 0) {
        FAULT(it, draft->place, WSGI_ID(1502),
              "WSGIDaemonProcess '%s': a group of this name exists already; give it another", name);
        return;
    }
    if (wsgi_group_user_resolve(draft, it->pconf, &result) < 0) {
        FAULT(it, draft->place, WSGI_ID(1503), "WSGIDaemonProcess '%s': %s", name, result.detail);
    }
    if (draft->python != NULL) {
        choose_python(it, draft);
    }
    else {
        find_own_program(it, &draft->group);
    }
    check_chroot(it, draft);
    complete_group(it, draft);
    wsgi_group_t *group = &it->settings->groups[it->settings->group_count++];
    *group = draft->group;
    apr_hash_set(it->settings->groups_by_name, name, APR_HASH_KEY_STRING, group);
}

static void resolve_groups(resolver_t *it)
{
    int count = 0;
    for (server_rec *s = it->main_server; s != NULL; s = s->next) {
        const wsgi_server_config_t *config = own_config(it, s);
        count += config == NULL ? 0 : config->group_drafts->nelts;
    }
    it->settings->groups_by_name = apr_hash_make(it->pconf);
    it->settings->groups = apr_pcalloc(it->pconf, (size_t)(count + 1) * sizeof(wsgi_group_t));
    for (server_rec *s = it->main_server; s != NULL; s = s->next) {
        const wsgi_server_config_t *config = own_config(it, s);
        for (int i = 0; config != NULL && i < config->group_drafts->nelts; i++) {
            resolve_group(it, APR_ARRAY_IDX(config->group_drafts, i, wsgi_group_draft_t *));
        }
    }
}

/* ---- references and aliases ---- */

static void resolve_ref(resolver_t *it, wsgi_group_ref_t *ref)
{
    if (ref->name.kind != WSGI_NAME_LITERAL) {
        return;
    }
    if (ref->name.text.len == 0) {
        ref->group = WSGI_GROUP_EMBEDDED;
        return;
    }
    int group = wsgi_settings_find_group(it->settings, ref->name.text);
    if (group >= 0) {
        ref->group = group;
    }
    else if (*ref->name.text.data != '%') {
        FAULT(it, ref->place, WSGI_ID(1505),
              "no WSGIDaemonProcess defines the process group '%s': correct the name, or define it",
              ref->name.text.data);
    }
}

static void resolve_server(resolver_t *it, wsgi_server_config_t *config)
{
    for (int i = 0; i < config->group_refs->nelts; i++) {
        resolve_ref(it, APR_ARRAY_IDX(config->group_refs, i, wsgi_group_ref_t *));
    }
    const apr_array_header_t *aliases = config->aliases;
    const char **paths = apr_palloc(it->pconf, (size_t)(aliases->nelts + 1) * sizeof *paths);
    for (int i = 0; i < aliases->nelts; i++) {
        paths[i] = APR_ARRAY_IDX(aliases, i, const wsgi_alias_t *)->path;
        config->has_regex_aliases |= paths[i] == NULL;
    }
    config->alias_map = wsgi_alias_map_make(it->pconf, paths, (size_t)aliases->nelts);
}

/* ---- imports ahead of requests ---- */

/* A group belongs to the virtual host that defines it and to those of the same name, so that the
 * HTTP and the HTTPS side of a site can share it; the main server's belong to all. */
bool wsgi_settings_may_use(const server_rec *server, const wsgi_group_t *group)
{
    const server_rec *owner = group->server;
    return owner == server || !owner->is_virtual ||
           (owner->server_hostname != NULL && server->server_hostname != NULL &&
            strcmp(owner->server_hostname, server->server_hostname) == 0);
}

const char *wsgi_settings_path_inside(const wsgi_group_t *group, const char *path)
{
    const char *root = group->settings.chroot;
    size_t len = strlen(root);
    while (len > 0 && root[len - 1] == '/') {
        len--;
    }
    return strncmp(path, root, len) == 0 && (len == 0 || path[len] == '/') ? path + len : NULL;
}

/* Two lines for each: application group, script. A script that two places name is loaded once. */
static void import_into_group(resolver_t *it, wsgi_group_t *group, const wsgi_import_t *import)
{
    const char *script = wsgi_settings_path_inside(group, import->script);
    if (script == NULL) {
        FAULT(it, import->place, WSGI_ID(1514),
              "'%s' cannot be loaded into the process group '%s': it lies outside chroot=%s",
              import->script, group->settings.name, group->settings.chroot);
        return;
    }
    const char **scripts = &group->settings.import_scripts;
    const char *entry =
        apr_pstrcat(it->pconf, import->application_group->text.data, "\n", script, "\n", NULL);
    const char *found = strstr(*scripts, entry);
    if (found == NULL || (found != *scripts && found[-1] != '\n')) {
        *scripts = apr_pstrcat(it->pconf, *scripts, entry, NULL);
    }
}

static bool is_service(const wsgi_group_t *group)
{
    return group->settings.threads == 0;
}

static void resolve_import(resolver_t *it, const server_rec *server, wsgi_import_t *import)
{
    int index = import->process_group->group;
    if (index == WSGI_GROUP_EMBEDDED) {
        APR_ARRAY_PUSH(it->imports, wsgi_import_t *) = import;
    }
    else if (index >= 0 && !wsgi_settings_may_use(server, &it->settings->groups[index])) {
        FAULT(it, import->place, WSGI_ID(1509),
              "the process group '%s' belongs to a virtual host of another ServerName, so '%s' "
              "cannot be loaded into it: define it here, or outside all virtual hosts",
              import->process_group->name.text.data, import->script);
    }
    else if (index >= 0 && is_service(&it->settings->groups[index]) &&
             import->application_group->text.len > 0) {
        complain(it, APLOG_WARNING, import->place,
                 WSGI_ID(1516) "'%s' is not run: threads=0 of the process group '%s' runs scripts "
                               "of application-group=%%{GLOBAL} only",
                 import->script, import->process_group->name.text.data);
    }
    else if (index >= 0) {
        import_into_group(it, &it->settings->groups[index], import);
    }
}

/* An alias whose groups are known, and whose target is one file, is loaded ahead of requests. What
 * a service group runs is said by WSGIImportScript alone. */
static bool is_preloaded(const resolver_t *it, const wsgi_alias_t *alias)
{
    const wsgi_dir_config_t *options = &alias->options;
    size_t len = strlen(alias->target);
    int group = options->process_group == NULL ? -1 : options->process_group->group;
    return (group < 0 || !is_service(&it->settings->groups[group])) &&
           options->process_group != NULL && options->application_group != NULL &&
           options->process_group->name.kind == WSGI_NAME_LITERAL &&
           options->application_group->kind == WSGI_NAME_LITERAL && alias->target[len - 1] != '/' &&
           (alias->regex == NULL || strchr(alias->target, '$') == NULL);
}

static void resolve_imports(resolver_t *it, const server_rec *server,
                            const wsgi_server_config_t *config)
{
    for (int i = 0; i < config->imports->nelts; i++) {
        resolve_import(it, server, APR_ARRAY_IDX(config->imports, i, wsgi_import_t *));
    }
    for (int i = 0; i < config->aliases->nelts; i++) {
        const wsgi_alias_t *alias = APR_ARRAY_IDX(config->aliases, i, wsgi_alias_t *);
        if (is_preloaded(it, alias)) {
            wsgi_import_t *import = apr_palloc(it->pconf, sizeof *import);
            *import = (wsgi_import_t){alias->target, alias->options.process_group,
                                      alias->options.application_group, alias->place};
            resolve_import(it, server, import);
        }
    }
}

static void check_services(const resolver_t *it)
{
    for (unsigned i = 0; i < it->settings->group_count; i++) {
        const wsgi_group_t *group = &it->settings->groups[i];
        if (is_service(group) && *group->settings.import_scripts == '\0') {
            complain(it, APLOG_WARNING, (wsgi_place_t){NULL, 0},
                     WSGI_ID(1515) "process group '%s' has nothing to do: threads=0 serves no "
                                   "requests, and no WSGIImportScript names it with "
                                   "application-group=%%{GLOBAL}",
                     group->settings.name);
        }
    }
}

/* ---- blocks of interpreter options ---- */

static void check_interpreter_blocks(const resolver_t *it)
{
    const apr_array_header_t *blocks = it->main->interpreter_blocks;
    for (int i = 0; i < blocks->nelts; i++) {
        const wsgi_interpreter_block_t *block =
            APR_ARRAY_IDX(blocks, i, const wsgi_interpreter_block_t *);
        const char *group = block->process_group;
        if (wsgi_interpreter_block_frees_one(block)) {
            complain(it, APLOG_WARNING, block->place,
                     WSGI_ID(1730) "WSGIFreeThreading has no effect in a block with "
                                   "application-group=: a process has a GIL or has none; use "
                                   "process-group= alone");
        }
        if (group != NULL && *group != '\0' &&
            wsgi_settings_find_group(it->settings, wsgi_text(group)) < 0) {
            complain(it, APLOG_WARNING, block->place,
                     WSGI_ID(1731) "<WSGIInterpreterOptions process-group=%s> has no effect: no "
                                   "WSGIDaemonProcess defines that group",
                     group);
        }
    }
}

/* ---- trusted proxies ---- */

static bool has_proxies(const wsgi_dir_config_t *dir)
{
    return dir->trusted_proxies != NULL;
}

/* Sections are not walked: the proxies must stand beside the fields, or in the server itself. */
static void check_trusts(const resolver_t *it, const server_rec *server,
                         const wsgi_server_config_t *config)
{
    bool is_listed = has_proxies(ap_get_module_config(server->lookup_defaults, &wsgi_module));
    for (int i = 0; !is_listed && i < config->trusts->nelts; i++) {
        const wsgi_trust_t *trust = &APR_ARRAY_IDX(config->trusts, i, wsgi_trust_t);
        if (!has_proxies(trust->dir)) {
            complain(it, APLOG_WARNING, trust->place,
                     WSGI_ID(1720) "WSGITrustedProxyHeaders without WSGITrustedProxies: whoever "
                                   "connects can say by these fields who he is and whom he asks; "
                                   "list the addresses of the proxies in the same place");
        }
    }
}

/* ---- homes of Python ---- */

/* A warning, not a fault: the group's user may see what we do not, and other sites can be served. */
static void check_home(const resolver_t *it, const char *home, const char *what)
{
    wsgi_result_t result = {0};
    if (*home != '\0' && wsgi_runtime_check_home(home, &result) < 0) {
        complain(it, APLOG_WARNING, (wsgi_place_t){NULL, 0}, WSGI_ID(1506) "%s: %s", what,
                 result.detail);
    }
}

/* What the machine lacks now it may have when httpd starts, so this is no fault. */
static void check_path(const resolver_t *it, const char *path, apr_filetype_e type,
                       const char *what)
{
    apr_finfo_t info;
    apr_status_t rv =
        *path == '\0' ? APR_SUCCESS : apr_stat(&info, path, APR_FINFO_TYPE, it->pconf);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EACCES(rv)) {
        complain(it, APLOG_WARNING, (wsgi_place_t){NULL, 0},
                 WSGI_ID(1524) "%s %s does not exist: create it, or correct the path", what, path);
    }
    else if (rv == APR_SUCCESS && *path != '\0' && info.filetype != type) {
        complain(it, APLOG_WARNING, (wsgi_place_t){NULL, 0}, WSGI_ID(1525) "%s %s is no %s", what,
                 path, type == APR_DIR ? "directory" : "regular file");
    }
}

/* Nearly all of it are scripts to import: a path and an application group each. */
static void check_size(resolver_t *it, const wsgi_group_settings_t *group)
{
    const size_t most = WSGI_HANDOVER_MAX - HTTPD_WORDS, size = wsgi_handover_size(group);

    if (size > most) {
        FAULT(it, ((wsgi_place_t){NULL, 0}), WSGI_ID(1607),
              "the settings of process group '%s' are %" APR_SIZE_T_FMT " bytes, more than the "
              "%" APR_SIZE_T_FMT " that it can be given: let it import fewer scripts ahead of "
              "requests (WSGIImportScript, and aliases with both process-group= and "
              "application-group=), or divide them among several groups",
              group->name, size, most);
    }
}

static void check_sizes(resolver_t *it)
{
    for (unsigned i = 0; i < it->settings->group_count; i++) {
        check_size(it, &it->settings->groups[i].settings);
    }
}

static void check_group_paths(const resolver_t *it, const wsgi_group_settings_t *group)
{
    if (*group->chroot == '\0') {
        check_path(it, group->home, APR_DIR,
                   apr_psprintf(it->pconf, "process group '%s': home", group->name));
    }
    check_path(it, group->chroot, APR_DIR,
               apr_psprintf(it->pconf, "process group '%s': chroot", group->name));
}

static void check_imports(const resolver_t *it)
{
    for (int i = 0; i < it->imports->nelts; i++) {
        check_path(it, APR_ARRAY_IDX(it->imports, i, const wsgi_import_t *)->script, APR_REG,
                   "the script to load ahead of requests");
    }
}

static void check_homes(const resolver_t *it)
{
    if (it->settings->needs_python) {
        check_home(it, it->settings->python->python_home, "WSGIPythonHome");
    }
    for (unsigned i = 0; i < it->settings->group_count; i++) {
        const wsgi_group_settings_t *group = &it->settings->groups[i].settings;
        check_group_paths(it, group);
        /* Links in a chroot lead elsewhere from here, and python= has been looked at. */
        if (*group->chroot == '\0' && *group->python_executable == '\0') {
            check_home(it, group->python_home,
                       apr_psprintf(it->pconf, "process group '%s'", group->name));
        }
    }
}

/* ---- */

static const wsgi_group_settings_t *embedded_python(const resolver_t *it)
{
    wsgi_group_settings_t *python = apr_pmemdup(it->pconf, &it->main->python, sizeof *python);
    wsgi_interpreter_blocks_apply(it->pconf, it->main->interpreter_blocks, python);
    return python;
}

const wsgi_settings_t *wsgi_settings_resolve(apr_pool_t *pconf, server_rec *main_server)
{
    wsgi_server_config_t *main = wsgi_server_config(main_server);
    if (main->settings != NULL) {
        return main->settings;
    }
    resolver_t it = {
        .pconf = pconf,
        .main_server = main_server,
        .main = main,
        .settings = apr_pcalloc(pconf, sizeof(wsgi_settings_t)),
        .imports = apr_array_make(pconf, 2, sizeof(wsgi_import_t *)),
    };
    it.settings->python = embedded_python(&it);
    it.settings->imports = it.imports;
    it.settings->restrict_embedded = main->restrict_embedded != 0;
    it.settings->is_case_blind = main->python.is_case_blind != 0;
    resolve_groups(&it);
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        wsgi_server_config_t *config = own_config(&it, s);
        if (config != NULL) {
            resolve_server(&it, config);
            resolve_imports(&it, s, config);
            check_trusts(&it, s, config);
        }
    }
    check_services(&it);
    check_interpreter_blocks(&it);
    it.settings->needs_python =
        it.imports->nelts > 0 || wsgi_reach_embedded(it.settings, main_server);
    wsgi_reach_place(it.settings, main_server, pconf);
    check_homes(&it);
    check_imports(&it);
    check_sizes(&it);
    main->settings = it.has_faults ? NULL : it.settings;
    return main->settings;
}
