/* server/program.h — finds the program of process groups and runs it with a hand-over.
 * Runs in:  httpd parent.   Threads: the main thread.   Owns: nothing.
 * Blocks:   wsgi_program_start(), until the program runs (milliseconds).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PROGRAM_H
#define WSGI_PROGRAM_H

#include "wsgi_handover.h"

/* Looks for wsgi-daemon-VERSION beside the module, then in httpd's directory of modules. Its path,
 * NUL-terminated; WSGI_OK, or WSGI_E_IO with the places and the cure. */
int wsgi_program_find(const char *version, char *path, size_t room, wsgi_result_t *result)
    WSGI_MUST_CHECK;

typedef struct wsgi_program_start {
    int program_fd;   /* opened once per generation, so that an upgrade does not mix versions */
    const char *path; /* of the same, for systems that cannot execute a descriptor */
    const wsgi_group_settings_t *settings;
    int log_fd, rendezvous_fd, counters_fd; /* become the WSGI_FD_* of the program */
    int scoreboard_fd;                      /* so does this, with server_metrics */
} wsgi_program_start_t;

/* Runs it in a session of its own. The process, and in *control_fd our end of its control socket;
 * or WSGI_E_IO, WSGI_E_NOMEM with the reason. */
pid_t wsgi_program_start(const wsgi_program_start_t *start, int *control_fd, wsgi_result_t *result)
    WSGI_MUST_CHECK;

#endif
