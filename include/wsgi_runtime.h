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

#define WSGI_HASH_SEED_RANDOM INT64_C(-1)

/* Facts of the process. Texts NUL-terminated, never NULL, borrowed for its whole life. */
typedef struct wsgi_runtime_settings {
    const char *python_home;        /* "" = where this libpython was installed for */
    const char *python_executable;  /* without a home: the interpreter whose installation is used,
                                       "" = the one that this was built for */
    const char *python_path;        /* colon-separated, site-directory semantics; "" = none */
    const char *home;               /* goes to sys.path[0]; "" = none */
    const char *process_group;      /* "" = embedded */
    const char *main_name;          /* of the main interpreter, besides ""; "" = it has none */
    const char *server_description; /* httpd's banner */
    const char *server_build_date;  /* when it was compiled */
    const char *mpm_name;           /* its multi-processing module */
    int server_version;             /* major × 10000 + minor × 100 + patch */
    int processes, threads;         /* maximum_processes, threads_per_process */
    int mpm_processes, mpm_threads; /* the same of httpd, which is another matter in a group */
    bool is_multiprocess;           /* wsgi.multiprocess */
    bool is_multithread;            /* wsgi.multithread */
    bool is_run_once;               /* wsgi.run_once: the process serves one request */

    const char *python_eggs;     /* PYTHON_EGG_CACHE of os.environ; "" = as inherited */
    const char *python_warnings; /* -W filters, one a line, in order; "" = none */
    int optimize;                /* -O level, 0 … */
    int64_t hash_seed;           /* WSGI_HASH_SEED_RANDOM, or 0 … 4294967295 */
    int64_t switch_interval_us;  /* of the GIL; 0 = Python's own */
    bool dont_write_bytecode;
    bool restrict_stdin, restrict_stdout; /* any use raises OSError */
    bool allow_signals;                   /* signal.signal() works: WSGIRestrictSignal Off */
    bool abandon_interpreters; /* WSGIDestroyInterpreter Off: no atexit, nothing is ended */
    bool per_interpreter_gil;  /* of sub-interpreters; needs Python 3.12 */
    bool free_threading;       /* run without a GIL; needs a free-threaded build */
    bool can_interrupt;        /* wsgi_runtime_interrupt() will be used */
    bool is_case_blind;        /* of the names of script modules: WSGICaseSensitivity Off */
    struct wsgi_scoreboard *(*read_scoreboard)(void); /* httpd's (wsgi_scoreboard.h), for the caller
                                                         to free; NULL: nobody is told of it */
    const char *interpreter_options; /* what differs in some interpreters: wsgi_interpreter.def */
    bool is_interactive;             /* httpd -X: sys.stdin and sys.stdout stay the terminal's */
} wsgi_runtime_settings_t;

/* "3.11": the version compiled against, the X.Y of wsgi-daemon-X.Y. */
const char *wsgi_runtime_version(void);

/* Looks whether `home` can be a Python home for this version, as the calling user: exists, can be
 * entered down from /, pyvenv.cfg's version. No Python is started. WSGI_OK, or WSGI_E_INVALID with
 * one sentence that names the cause and the cure. */
int wsgi_runtime_check_home(const char *home, wsgi_result_t *result);

/* The version that the pyvenv.cfg of a virtual environment names, such as "3.12.1". False: it has
 * none that can be read. */
bool wsgi_runtime_home_version(const char *home, char *version, size_t room);

/* Starts Python and sets up the main interpreter. A failure leaves Python unusable in this process
 * and gives one sentence; nothing is printed or exited. */
int wsgi_runtime_start(const wsgi_runtime_settings_t *settings, wsgi_result_t *result);
bool wsgi_runtime_is_started(void);

/* Ends Python: refuses new attachments, runs threading shutdown and atexit in each interpreter,
 * sub-interpreters first. Idempotent; a no-op where Python never started. */
void wsgi_runtime_stop(void);

/* Tells those who subscribed in each interpreter that the process is about to end (process_stopping,
 * with `reason` as shutdown_reason; NULL = nobody is). Once; wsgi_runtime_stop() does it with "" otherwise. Blocks as
 * long as they do. */
void wsgi_runtime_publish_stop(const char *reason);

/* The same for a signal that is the application's (process_signal). */
void wsgi_runtime_publish_signal(int number);

typedef struct wsgi_interp wsgi_interp_t;

/* At most so many interpreters exist whose names clients chose (%{HOST} and the like): an
 * interpreter is several megabytes, and lives as long as the process. */
#define WSGI_INTERP_OPEN_MAX 64u

/* The interpreter of an application group, created on first use (others who want the same name
 * wait). name "" = the main one. NULL with the reason where it cannot be had. Lives until
 * wsgi_runtime_stop(). is_open_name: a client can have chosen the name, see above.
 * The settings' main_name is the main one too, and so is a name that differs from it in the port of
 * "server[:port]|path" only: that is the client's word, and the application the same. */
wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result);
const char *wsgi_interp_name(const wsgi_interp_t *interp);

/* Loads a script before any request wants it (WSGIImportScript, preloading), in its application
 * group. What it raises is logged here; WSGI_OK, or the code with the reason: the process goes on,
 * and a request tries again. Not attached. */
int wsgi_runtime_import(const char *application_group, const char *script, wsgi_result_t *result);

/* For a watchdog. Has a request found its script loaded? */
bool wsgi_runtime_has_application(void);

/* Returns once each interpreter could be had: may block for ever. */
void wsgi_runtime_probe(void);

/* Raises mod_wsgi.RequestTimeout in a thread (its pthread_t) that serves a request in interp. May
 * block for ever. False: it serves none any more; `is_wanted` is asked while that cannot change. */
bool wsgi_runtime_interrupt(wsgi_interp_t *interp, uint64_t thread, bool (*is_wanted)(void *baton),
                            void *baton);

/* Logs the Python stacks of all threads at level info, each behind what `describe` says of the thread
 * (its pthread_t). Not without a GIL. May block for ever. */
void wsgi_runtime_log_stacks(void (*describe)(void *baton, uint64_t thread, char *out, size_t room),
                             void *baton);

/* For a process that serves no requests, on its main thread, which runs scripts as programs.
 * SIGTERM raises SystemExit from now on; needs allow_signals. WSGI_OK, or the code with the reason. */
int wsgi_runtime_exit_on_sigterm(wsgi_result_t *result);

/* Runs a script in the main interpreter to its end. False: it ended by SystemExit, which is no
 * error, so no other may follow. What else it raises is logged. Not attached. */
bool wsgi_runtime_run(const char *script);

/* Frees what the calling thread holds in every interpreter. A thread that served and ends calls it
 * first; threads that cannot (httpd's) are covered by a thread-exit hook. */
void wsgi_runtime_thread_end(void);

#endif
