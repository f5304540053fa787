/* python/home.c — can a directory be a Python home for this version? Asked before Python starts,
 * which would fail with "No module named 'encodings'".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_LINES 256 /* of a pyvenv.cfg that are looked at; a real one has ten */

#define CURE         "set python-home (or WSGIPythonHome) to "

static bool is_below(const char *home, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    int len = snprintf(path, sizeof(path), "%s/%s", home, name);
    return len > 0 && (size_t)len < sizeof(path) && stat(path, &info) == 0;
}

bool wsgi_home_is_virtual(const char *home)
{
    return is_below(home, "pyvenv.cfg");
}

/* The first directory on the way down to path that this user may not enter. */
static bool find_barrier(const char *path, char barrier[PATH_MAX])
{
    size_t len = strlen(path);
    for (size_t i = 1; i <= len && i < PATH_MAX; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(barrier, path, i);
        barrier[i] = '\0';
        if (faccessat(AT_FDCWD, barrier, X_OK, AT_EACCESS) != 0 && errno == EACCES) {
            struct stat info;
            return stat(barrier, &info) != 0 || S_ISDIR(info.st_mode); /* a file says so itself */
        }
    }
    return false;
}

static int check_directory(const char *home, wsgi_result_t *result)
{
    char barrier[PATH_MAX];
    struct stat info;
    if (*home != '/') {
        return wsgi_fail(
            result, WSGI_E_INVALID,
            "Python home \"%s\" is not an absolute path; " CURE "one that begins with /", home);
    }
    if (find_barrier(home, barrier)) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s cannot be entered by user id %ld, "
                         "%s stops it; give that directory search permission (chmod a+x)",
                         home, (long)geteuid(), barrier);
    }
    if (stat(home, &info) != 0) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s: %s; " CURE "the directory that "
                         "'python -c \"import sys; print(sys.prefix)\"' prints",
                         home, strerror(errno));
    }
    if (!S_ISDIR(info.st_mode)) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s is not a directory; " CURE
                         "sys.prefix, not to the interpreter itself",
                         home);
    }
    return WSGI_OK;
}

/* "version = 3.11.2" (venv) or "version_info = 3.11.2.final.0" (virtualenv) → "3.11.2…". */
static const char *version_in_line(const char *line)
{
    if (strncmp(line, "version", 7) != 0) {
        return NULL;
    }
    const char *rest = line + 7;
    rest += strncmp(rest, "_info", 5) == 0 ? 5 : 0;
    rest += strspn(rest, " \t");
    if (*rest != '=') {
        return NULL;
    }
    rest++;
    return rest + strspn(rest, " \t");
}

/* Whoever owns the environment may have put anything there, and httpd's parent must not wait for it:
 * a FIFO has no end, nor has a device. */
static FILE *open_regular(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FILE *file = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? fdopen(fd, "r") : NULL;
    if (file == NULL) {
        wsgi_fd_close(&fd);
    }
    return file;
}

bool wsgi_runtime_home_version(const char *home, char *version, size_t room)
{
    char path[PATH_MAX], line[512];
    snprintf(path, sizeof(path), "%s/pyvenv.cfg", home);
    FILE *file = open_regular(path);
    bool is_found = false;
    for (unsigned i = 0;
         file != NULL && !is_found && i < CONFIG_LINES && fgets(line, sizeof(line), file) != NULL;
         i++) {
        const char *value = version_in_line(line);
        if (value != NULL) {
            snprintf(version, room, "%.*s", (int)strcspn(value, " \t\r\n"), value);
            is_found = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

static bool is_our_version(const char *version)
{
    const char *ours = wsgi_runtime_version();
    size_t len = strlen(ours);
    return strncmp(version, ours, len) == 0 && (version[len] == '.' || version[len] == '\0');
}

static int check_environment(const char *home, wsgi_result_t *result)
{
    char version[64];
    if (!wsgi_runtime_home_version(home, version, sizeof(version))) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s: its pyvenv.cfg cannot be read or "
                         "names no version; make the environment again with python%s -m venv",
                         home, wsgi_runtime_version());
    }
    if (!is_our_version(version)) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s is a virtual environment of "
                         "Python %s, but this program is built for %s; make it again with "
                         "python%s -m venv",
                         home, version, wsgi_runtime_version(), wsgi_runtime_version());
    }
    if (!is_below(home, "bin/python")) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "Python home %s: its bin/python leads nowhere, "
                         "the Python it was made from is gone; make it again with python%s -m venv",
                         home, wsgi_runtime_version());
    }
    return WSGI_OK;
}

static int check_installation(const char *home, wsgi_result_t *result)
{
    static const char *const libraries[] = {"lib", "lib64"};
    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s/python%s/os.py", libraries[i], wsgi_runtime_version());
        if (is_below(home, name)) {
            return WSGI_OK;
        }
    }
    return wsgi_fail(result, WSGI_E_INVALID,
                     "Python home %s has neither a pyvenv.cfg nor "
                     "lib/python%s, so it is no home of Python %s; " CURE "a virtual environment "
                     "or to sys.prefix of that version",
                     home, wsgi_runtime_version(), wsgi_runtime_version());
}

static int check_one(const char *home, wsgi_result_t *result)
{
    int code = check_directory(home, result);
    if (code != WSGI_OK) {
        return code;
    }
    return wsgi_home_is_virtual(home) ? check_environment(home, result)
                                      : check_installation(home, result);
}

/* "prefix:exec_prefix", as PYTHONHOME has it: the library is in the first. */
int wsgi_runtime_check_home(const char *home, wsgi_result_t *result)
{
    const char *colon = strchr(home, ':');
    if (colon == NULL) {
        return check_one(home, result);
    }
    char *prefix = strndup(home, (size_t)(colon - home));
    int code = prefix != NULL ? check_one(prefix, result)
                              : wsgi_fail(result, WSGI_E_NOMEM, "out of memory");
    free(prefix);
    return code;
}
