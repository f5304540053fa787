/* tests/unit/python/process.h — Python starts and ends once per process, so each case is a process
 * of its own: its output and exit status are what is tested.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PROCESS_H
#define PROCESS_H

#include "wsgi_python.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const wsgi_runtime_settings_t usual_settings = {
    .python_home = "",
    .python_path = "",
    .home = "",
    .process_group = "",
    .main_name = "",
    .python_executable = "",
    .server_description = "Apache/2.4.71 (unit test)",
    .server_build_date = "2026-11-24",
    .mpm_name = "none",
    .server_version = 20471,
    .processes = 2,
    .threads = 15,
    .python_eggs = "",
    .python_warnings = "",
    .interpreter_options = "",
    .hash_seed = WSGI_HASH_SEED_RANDOM,
};

/* For use in the child. */

static inline void start_or_exit(const wsgi_runtime_settings_t *settings)
{
    wsgi_result_t result;
    if (wsgi_runtime_start(settings, &result) != WSGI_OK) {
        printf("not started: %s\n", result.detail);
        fflush(stdout);
        _exit(3);
    }
}

/* Runs source in an interpreter; what it prints goes to the log, which is the output. */
static inline void run_in(const char *interpreter, const char *source)
{
    wsgi_result_t result;
    wsgi_interp_t *interp = wsgi_interp_find(interpreter, false, &result);
    if (interp == NULL) {
        printf("no interpreter: %s\n", result.detail);
        return;
    }
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        printf("refused\n");
        return;
    }
    WSGI_AUTO_REF PyObject *globals = PyDict_New();
    WSGI_AUTO_REF PyObject *done = PyRun_String(source, Py_file_input, globals, globals);
    if (done == NULL) {
        wsgi_pylog_exception(py, "<test>");
    }
}

static inline void print_line(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton;
    (void)file;
    (void)line;
    if (level <= WSGI_LOG_NOTICE) {
        printf("%s\n", text);
        fflush(stdout);
    }
}

/* Runs body in a child and gives its output; it must exit with `status`. */
static inline const char *output_of(void (*body)(void), int status)
{
    static char output[65536];
    int fds[2], wait_status;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        wsgi_log_install(print_line, NULL, WSGI_LOG_NOTICE);
        body();
        fflush(NULL);
        _exit(0);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t got;
    while ((got = read(fds[0], output + len, sizeof(output) - 1 - len)) > 0) {
        len += (size_t)got;
    }
    output[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != status) {
        fail_msg("status %x, output: %s", (unsigned)wait_status, output);
    }
    return output;
}

static inline void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

#endif
