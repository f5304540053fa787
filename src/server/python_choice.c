/* server/python_choice.c — the version of an interpreter or a virtual environment, from what lies
 * around it: whoever owns it must not get code run by httpd's parent.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_choice.h"

#include "wsgi_runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDEST_MINOR   11u
#define NO_INTERPRETER " is no Python interpreter"

/* The directory of a path, without a slash at its end. */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    *(slash != NULL ? slash : path) = '\0';
}

/* What is said of it must leave room for the cause and the cure. */
typedef struct shown {
    char text[200];
} shown_t;

static shown_t show(const char *word)
{
    shown_t shown;
    size_t len = strlen(word), half = sizeof(shown.text) / 2 - 4;
    if (len < sizeof(shown.text)) {
        memcpy(shown.text, word, len + 1);
    }
    else {
        snprintf(shown.text, sizeof(shown.text), "%.*s ... %s", (int)half, word, word + len - half);
    }
    return shown;
}

/* `cause` begins with what stands between it and the word. */
static int refuse(wsgi_result_t *result, const char *word, const char *cause)
{
    return wsgi_fail(result, WSGI_E_INVALID,
                     "python=%s%s: name an interpreter such as /usr/bin/python3, or a virtual "
                     "environment",
                     show(word).text, cause);
}

static int refuse_for_system(wsgi_result_t *result, const char *word, int error)
{
    char cause[128];
    snprintf(cause, sizeof(cause), " cannot be used (%s)", strerror(error));
    return refuse(result, word, cause);
}

/* "3.12.1" → "3.12" */
static int take_version(const char *text, const char *word, wsgi_python_choice_t *choice,
                        wsgi_result_t *result)
{
    char *end;
    unsigned long major = strtoul(text, &end, 10), minor = 0;
    if (*end == '.') {
        minor = strtoul(end + 1, &end, 10);
    }
    if (major != 3 || minor < OLDEST_MINOR || minor > 999) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "python=%s is of version %.*s: name one of 3.%u or later", show(word).text,
                         (int)strcspn(text, " \t\r\n"), text, OLDEST_MINOR);
    }
    snprintf(choice->version, sizeof(choice->version), "%lu.%lu", major, minor);
    return WSGI_OK;
}

/* ---- virtual environments ---- */

static bool is_environment(const char *directory)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/pyvenv.cfg", directory);
    return len > 0 && (size_t)len < sizeof(path) && access(path, F_OK) == 0;
}

static int choose_environment(const char *directory, const char *word, wsgi_python_choice_t *choice,
                              wsgi_result_t *result)
{
    char version[64];
    int len = snprintf(choice->home, sizeof(choice->home), "%s", directory);
    while (len > 1 && choice->home[len - 1] == '/') {
        choice->home[--len] = '\0';
    }
    if (!wsgi_runtime_home_version(choice->home, version, sizeof(version))) {
        return wsgi_fail(result, WSGI_E_INVALID,
                         "python=%s: its pyvenv.cfg cannot be read or names no version: make the "
                         "environment again with -m venv",
                         show(word).text);
    }
    snprintf(choice->executable, sizeof(choice->executable), "%.*s/bin/python", PATH_MAX - 16,
             choice->home);
    return take_version(version, word, choice, result);
}

/* ---- interpreters ---- */

/* A script that starts an interpreter, as version managers put into the way, is none. */
static bool is_program(const char *path)
{
    char magic[4] = "";
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is_elf = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                  read(fd, magic, sizeof(magic)) == sizeof(magic) &&
                  memcmp(magic, "\177ELF", sizeof(magic)) == 0;
    wsgi_fd_close(&fd);
    return is_elf;
}

static bool is_interpreter(const char *path)
{
    const char *name = strrchr(path, '/');
    return name != NULL && strncmp(name + 1, "python", 6) == 0 && is_program(path);
}

/* The library beside a program whose name has no version: bin/python and lib/python3.12. False:
 * there is none, or more than one. */
static bool find_library(const char *program, char *version, size_t room)
{
    char folder[PATH_MAX], path[PATH_MAX + sizeof("/lib")];
    snprintf(folder, sizeof(folder), "%s", program);
    cut_name(folder);
    cut_name(folder);
    snprintf(path, sizeof(path), "%s/lib", folder);
    DIR *library = opendir(path);
    const struct dirent *entry;
    int count = 0;
    while (library != NULL && (entry = readdir(library)) != NULL) {
        if (strncmp(entry->d_name, "python3.", 8) == 0) {
            snprintf(version, room, "%.*s", (int)room - 1, entry->d_name + 6);
            count++;
        }
    }
    if (library != NULL) {
        closedir(library);
    }
    return count == 1;
}

static int choose_interpreter(const char *word, wsgi_python_choice_t *choice, wsgi_result_t *result)
{
    char real[PATH_MAX], version[64];
    if (realpath(word, real) == NULL) {
        return refuse_for_system(result, word, errno);
    }
    if (!is_interpreter(real)) {
        return refuse(result, word, NO_INTERPRETER);
    }
    snprintf(version, sizeof(version), "%.*s", (int)sizeof(version) - 1, strrchr(real, '/') + 7);
    if (strchr(version, '.') == NULL && !find_library(real, version, sizeof(version))) {
        return refuse(result, word,
                      " shows its version neither by its name nor by one lib/python3.*");
    }
    snprintf(choice->executable, sizeof(choice->executable), "%s", word);
    return take_version(version, word, choice, result);
}

int wsgi_python_choose(const char *word, wsgi_python_choice_t *choice, wsgi_result_t *result)
{
    char around[PATH_MAX];
    struct stat info;
    *choice = (wsgi_python_choice_t){.home = ""};
    if (strlen(word) >= sizeof(around) - 16) {
        return refuse(result, word, " is too long a path");
    }
    if (stat(word, &info) != 0) {
        return refuse_for_system(result, word, errno);
    }
    if (S_ISDIR(info.st_mode)) {
        return is_environment(word) ? choose_environment(word, word, choice, result)
                                    : refuse(result, word, " is a directory without a pyvenv.cfg");
    }
    snprintf(around, sizeof(around), "%s", word);
    cut_name(around);
    cut_name(around);
    if (!is_environment(around)) {
        return choose_interpreter(word, choice, result);
    }
    return is_interpreter(word) ? choose_environment(around, word, choice, result)
                                : refuse(result, word, NO_INTERPRETER);
}
