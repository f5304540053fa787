/* server/python_choice.h — which Python an option python= means, found without running it. Pure but
 * for looking at files; no httpd types.
 * Runs in:  httpd parent.   Threads: one.   Owns: nothing.   Blocks: in the file system.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_CHOICE_H
#define WSGI_PYTHON_CHOICE_H

#include "wsgi_core.h"

#include <limits.h>

typedef struct wsgi_python_choice {
    char version[16];          /* "3.12" */
    char home[PATH_MAX];       /* of a virtual environment; "" = it is none */
    char executable[PATH_MAX]; /* the interpreter, its links not followed */
} wsgi_python_choice_t;

/* word: an interpreter, or a virtual environment: its directory or an interpreter in its bin.
 * WSGI_OK, or WSGI_E_INVALID with one sentence that names the cause and the cure. */
int wsgi_python_choose(const char *word, wsgi_python_choice_t *choice, wsgi_result_t *result)
    WSGI_NONNULL WSGI_MUST_CHECK;

#endif
