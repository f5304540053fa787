/* wsgi_runtime.h — the face of python/ without a PyObject: start and end of Python in a process,
 * interpreters by name.
 * Runs in:  httpd child (embedded), worker.   Threads: start and stop on the process's main thread
 *           while no other serves; the rest any thread, not attached.
 * Owns:     the runtime of the process and its interpreters.
 * Python:   inside.   Blocks: start, stop, wsgi_interp_find (creating one), thread ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_RUNTIME_H
#define WSGI_RUNTIME_H

#include "wsgi_core.h"

/* Facts of the process. Texts NUL-terminated, never NULL, borrowed for its whole life. */
typedef struct wsgi_runtime_settings {
    const char *python_home;        /* "" = where this libpython was installed for */
    const char *python_path;        /* colon-separated, site-directory semantics; "" = none */
    const char *home;               /* goes to sys.path[0]; "" = none */
    const char *process_group;      /* "" = embedded */
    const char *server_description; /* httpd's banner */
    int server_version;             /* major × 10000 + minor × 100 + patch */
    int processes, threads;         /* maximum_processes, threads_per_process */
    bool is_multiprocess;           /* wsgi.multiprocess */
    bool is_multithread;            /* wsgi.multithread */
} wsgi_runtime_settings_t;

/* "3.11": the version compiled against, the X.Y of wsgi-daemon-X.Y. */
const char *wsgi_runtime_version(void);

/* Looks whether `home` can be a Python home for this version, as the calling user: exists, can be
 * entered down from /, pyvenv.cfg's version. No Python is started. WSGI_OK, or WSGI_E_INVALID with
 * one sentence that names the cause and the cure. */
int wsgi_runtime_check_home(const char *home, wsgi_result_t *result);

/* Starts Python and sets up the main interpreter. A failure leaves Python unusable in this process
 * and gives one sentence; nothing is printed or exited. */
int wsgi_runtime_start(const wsgi_runtime_settings_t *settings, wsgi_result_t *result);
bool wsgi_runtime_is_started(void);

/* Ends Python: refuses new attachments, runs threading shutdown and atexit in each interpreter,
 * sub-interpreters first. Idempotent; a no-op where Python never started. */
void wsgi_runtime_stop(void);

typedef struct wsgi_interp wsgi_interp_t;

/* The interpreter of an application group, created on first use (others who want the same name
 * wait). name "" = the main one. NULL with the reason where it cannot be had. Lives until
 * wsgi_runtime_stop(). */
wsgi_interp_t *wsgi_interp_find(const char *name, wsgi_result_t *result);
const char *wsgi_interp_name(const wsgi_interp_t *interp);

/* Frees what the calling thread holds in every interpreter. A thread that served and ends calls it
 * first; threads that cannot (httpd's) are covered by a thread-exit hook. */
void wsgi_runtime_thread_end(void);

#endif
