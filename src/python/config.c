/* python/config.c — how Python is initialised: by a table of steps over its PyConfig.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Has somebody chosen a locale? Else text is UTF-8: httpd runs in C as a rule. */
static bool has_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && *value != '\0') {
            return strcmp(value, "C") != 0 && strcmp(value, "POSIX") != 0;
        }
    }
    return false;
}

static PyStatus set_bytes(PyConfig *config, wchar_t **member, const char *value)
{
    return *value != '\0' ? PyConfig_SetBytesString(config, member, value) : PyStatus_Ok();
}

/* The steps of the start, in order; the first that fails ends it. */

static PyStatus pre_initialize(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)config;
    (void)settings;
    PyPreConfig pre;
    PyPreConfig_InitPythonConfig(&pre);
    pre.parse_argv = 0;
    pre.coerce_c_locale = 0; /* would change the environment of the whole server */
    pre.configure_locale = has_locale();
    pre.utf8_mode = !has_locale();
    return Py_PreInitialize(&pre);
}

static PyStatus fill_config(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)settings;
    char *argv[] = {"mod_wsgi"};
    PyConfig_InitPythonConfig(config);
    config->parse_argv = 0;
    config->install_signal_handlers = 0;
    config->configure_c_stdio = 0;
    config->pathconfig_warnings = 0;
    return PyConfig_SetBytesArgv(config, 1, argv);
}

/* A virtual environment is found from its interpreter's name, as if that ran; any other
 * installation is a home. */
static PyStatus choose_home(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    const char *home = settings->python_home;
    if (*home == '\0') {
        const char *ours = settings->python_executable;
        return set_bytes(config, &config->executable,
                         *ours != '\0' ? ours : WSGI_PYTHON_EXECUTABLE);
    }
    if (!wsgi_home_is_virtual(home)) {
        return set_bytes(config, &config->home, home);
    }
    char *executable;
    if (asprintf(&executable, "%s/bin/python", home) < 0) {
        return PyStatus_NoMemory();
    }
    PyStatus status = set_bytes(config, &config->executable, executable);
    free(executable);
    return status;
}

static PyStatus set_options(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    config->optimization_level = settings->optimize;
    if (settings->hash_seed != WSGI_HASH_SEED_RANDOM) {
        config->use_hash_seed = 1;
        config->hash_seed = (unsigned long)settings->hash_seed;
    }
    if (settings->dont_write_bytecode) {
        config->write_bytecode = 0;
    }
    compat_choose_gil(config, settings->free_threading);
    return PyStatus_Ok();
}

static PyStatus add_warning(PyConfig *config, const char *filter, size_t len)
{
    char *copy = strndup(filter, len);
    wchar_t *wide = copy != NULL ? Py_DecodeLocale(copy, NULL) : NULL;
    PyStatus status =
        wide != NULL ? PyWideStringList_Append(&config->warnoptions, wide) : PyStatus_NoMemory();
    PyMem_RawFree(wide);
    free(copy);
    return status;
}

static PyStatus add_warnings(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    PyStatus status = PyStatus_Ok();
    for (const char *line = settings->python_warnings; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (len > 0 && !PyStatus_Exception(status)) {
            status = add_warning(config, line, len);
        }
        line += len + (line[len] == '\n');
    }
    return status;
}

static PyStatus initialize(PyConfig *config, const wsgi_runtime_settings_t *settings)
{
    (void)settings;
    return Py_InitializeFromConfig(config);
}

PyStatus wsgi_python_initialize(const wsgi_runtime_settings_t *settings)
{
    static PyStatus (*const steps[])(PyConfig *, const wsgi_runtime_settings_t *) = {
        pre_initialize, fill_config, choose_home, set_options, add_warnings, initialize};
    PyConfig config = {0};
    PyStatus status = PyStatus_Ok();
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !PyStatus_Exception(status); i++) {
        status = steps[i](&config, settings);
    }
    PyConfig_Clear(&config);
    return status;
}
