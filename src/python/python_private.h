/* python/python_private.h — what the files of this folder share: the process's runtime, its
 * interpreters, and what a thread holds in them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_PRIVATE_H
#define WSGI_PYTHON_PRIVATE_H

#include "wsgi_field.h"
#include "wsgi_python.h"

#include <pthread.h>
#include <stdatomic.h>

#define WSGI_INTERP_BUCKETS 64u
#define WSGI_SCRIPT_BUCKETS 64u

enum wsgi_event_kind {
#define SUBSCRIPTION(kind, function, list, what) WSGI_EVENT_##kind,
#define EVENT(name, kind, when)
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef SUBSCRIPTION
#undef EVENT
#undef KEY
    WSGI_EVENT_KINDS
};

enum wsgi_log_stream { WSGI_STREAM_STDOUT, WSGI_STREAM_STDERR, WSGI_STREAM_COUNT };

/* What one thread holds; reached by a thread-local pointer, freed by its exit hook. */
typedef struct wsgi_thread {
    unsigned number; /* 0 = it has not served */
    pthread_t handle;
    wsgi_py_t **attachments; /* by the interpreter's index; NULL where never entered */
    unsigned attachment_count;
    const wsgi_log_target_t *log;              /* NULL = the process's log */
    wsgi_buffer_t partials[WSGI_STREAM_COUNT]; /* text of sys.stdout/err without a line end */
    wsgi_py_waits_t waits;                     /* for interpreters, once somebody counts them */
} wsgi_thread_t;

/* A thread's place in an interpreter: its cached thread state, made at the first entry. */
struct wsgi_py {
    wsgi_interp_t *interp;
    wsgi_thread_t *thread;   /* NULL for an interpreter's home */
    PyThreadState *state;    /* NULL: taken away by wsgi_runtime_stop(); guarded by lock */
    void *local;             /* the component's */
    wsgi_py_t *next, **link; /* in interp->attachments; guarded by lock */
    atomic_bool is_in_use;   /* written by its thread, read by wsgi_runtime_stop() */
    unsigned inner_uses;     /* entries inside that one; its thread's */
    bool is_interruptible, was_interrupted; /* guarded by lock */
};

enum wsgi_interp_state {
    WSGI_INTERP_EMPTY, /* not made yet, or the last try failed */
    WSGI_INTERP_CREATING,
    WSGI_INTERP_READY,
    WSGI_INTERP_ENDED
};

typedef struct wsgi_script wsgi_script_t;

/* Where interpreters of one process may differ; settled as the interpreter is made. */
typedef struct wsgi_interp_settings {
    int64_t switch_interval_us; /* 0 = Python's own */
    bool per_interpreter_gil;   /* it has one of its own */
    bool restrict_stdin, restrict_stdout, allow_signals;
} wsgi_interp_settings_t;

struct wsgi_interp {
    _Atomic(wsgi_interp_t *) next; /* in its bucket; entries stay for the process's life */
    wsgi_interp_t *older;          /* the one made before; guarded by lock */
    uint64_t hash;
    unsigned index;    /* place in wsgi_thread_t.attachments */
    _Atomic int state; /* enum wsgi_interp_state; changes under lock */
    PyInterpreterState *python;
    wsgi_py_t home;         /* its first thread state: for set-up and end */
    pthread_t creator;      /* whose state the home is */
    wsgi_py_t *attachments; /* guarded by lock */
    wsgi_interp_settings_t settings;

    PyObject *module;                            /* mod_wsgi */
    PyObject *later;                             /* what it will have when asked: name to maker */
    PyObject *request_timeout;                   /* mod_wsgi.RequestTimeout */
    PyObject *callbacks[WSGI_EVENT_KINDS];       /* lists of module mod_wsgi */
    PyObject *sink_type;                         /* mod_wsgi.LogSink */
    PyObject *text_stream;                       /* io.TextIOWrapper */
    PyObject *buffer_name;                       /* "buffer" */
    wsgi_script_t *scripts[WSGI_SCRIPT_BUCKETS]; /* written under load_lock, attached */

    const wsgi_component_t *component;
    _Atomic(void *) component_state; /* written under load_lock */
    char name[];
};

/* The one Python of this process. */
typedef struct wsgi_runtime {
    wsgi_runtime_settings_t settings; /* immutable after the start */
    atomic_bool has_warned_of_fork;
    atomic_bool is_started, is_stopping;
    int64_t started_us;                  /* wall clock */
    _Atomic(wsgi_recorder_t *) recorder; /* NULL: nobody has asked for it */
    atomic_bool counts_waits;
    atomic_bool has_application; /* a request has found its script loaded */
    atomic_bool has_published_stop;
    atomic_bool is_forked;    /* a child that the application forked: not the server's process */
    pthread_key_t thread_key; /* only for its destructor */
    _Atomic unsigned thread_count;

    pthread_mutex_t lock;   /* a leaf: held for a few instructions, never while attaching */
    pthread_cond_t changed; /* an interpreter left CREATING */
    unsigned interp_count;  /* guarded by lock */
    unsigned open_count;    /* of them, for names that clients chose; guarded by lock */
    wsgi_interp_t *newest;  /* guarded by lock */
    _Atomic(wsgi_interp_t *) interps[WSGI_INTERP_BUCKETS]; /* written under lock */

    /* One script loads at a time in a process. Taken detached and held while attached: safe,
     * because nobody waits for it attached. Never taken with `lock` in hand. */
    pthread_mutex_t load_lock;
} wsgi_runtime_t;

extern wsgi_runtime_t wsgi_the_runtime;

/* fork.c — tells processes that the application forks from the one that started Python. WSGI_OK or
 * WSGI_E_NOMEM. */
int wsgi_fork_watch(void);
/* A step of the set-up: a fork that cannot go well is told before it happens. */
int wsgi_fork_announce(wsgi_py_t *py);

/* events.c — what module mod_wsgi has for subscribers. -1 with an exception set. */
int wsgi_events_add(wsgi_py_t *py, PyObject *module);

/* refusal.c — one line where an exception says that an extension refuses an interpreter. */
void wsgi_refusal_explain(wsgi_py_t *py, PyObject *exception);

/* config.c — starts Python as the settings say. */
PyStatus wsgi_python_initialize(const wsgi_runtime_settings_t *settings);

/* interp.c — an interpreter without Python inside, in the registry. NULL without memory. */
wsgi_interp_t *wsgi_interp_add_locked(const char *name);
/* Prepares what code expects to find: modules, streams, path. -1 with an exception set. */
int wsgi_interp_set_up(wsgi_py_t *py);
/* Has the process the main interpreter only? */
bool wsgi_interp_is_alone(void);
/* Ends all of them, sub-interpreters first, on the main thread; true where Python could be
 * finalised. */
bool wsgi_interps_end(void);

/* interp.c — is it the name of the only application, which the main interpreter serves? */
bool wsgi_interp_is_main_name(const char *name, size_t len);

/* options.c — settings of one interpreter. */
void wsgi_interp_settle(wsgi_interp_t *interp);
/* Is some interpreter of this process to have a GIL of its own? */
bool wsgi_interp_options_want_own_gil(void);
/* What blocks say that choose the interpreter, one setting after the other, the least specific
 * first; begins with a zeroed option. */
typedef struct wsgi_interp_option {
    wsgi_bytes_t name, value; /* not NUL-terminated */
    bool is_named;            /* the block names an application group */
    const char *rest;         /* of its own: what follows, and whether it counts */
    bool is_chosen;
} wsgi_interp_option_t;
bool wsgi_interp_option_next(const wsgi_interp_t *interp, wsgi_interp_option_t *option);
bool wsgi_interp_option_is(const wsgi_interp_option_t *option, const char *name);

/* module.c, path.c, stream.c, restrict.c — steps of the set-up; -1 with an exception set. */
int wsgi_modules_add(wsgi_py_t *py);
/* metrics.c — functions of module mod_wsgi that tell figures. */
PyObject *wsgi_metrics_make_start(wsgi_interp_t *interp);
PyObject *wsgi_metrics_make_request(wsgi_interp_t *interp);
PyObject *wsgi_metrics_make_process(wsgi_interp_t *interp);
PyObject *wsgi_metrics_make_server(wsgi_interp_t *interp);
/* After the path: installed packages of the modules' names are found through them. */
int wsgi_modules_graft(wsgi_py_t *py);
int wsgi_path_arrange(wsgi_py_t *py);
int wsgi_streams_install(wsgi_py_t *py);
int wsgi_signals_restrict(wsgi_py_t *py);
int wsgi_streams_restrict(wsgi_py_t *py);

/* tries.c — the tries of a script that fails. */
typedef struct wsgi_tries {
    PyObject *failure; /* the first one's traceback, as bytes; NULL = the last try did not fail */
    unsigned count;    /* that failed in sequence */
    int64_t next_us;   /* when the next one may be */
} wsgi_tries_t;
void wsgi_tries_clear(wsgi_tries_t *tries);
/* A try failed by the exception in flight, which stays so. */
void wsgi_tries_note(wsgi_tries_t *tries, int64_t now_us);
/* How long the next try has to wait; 0 = it may be now. */
int64_t wsgi_tries_wait_us(const wsgi_tries_t *tries, int64_t now_us);

/* script.c — forgets the loaded scripts of an interpreter that ends. */
void wsgi_scripts_free(wsgi_py_t *py);

/* loghandler.c — the class mod_wsgi.LogHandler. */
PyObject *wsgi_loghandler_make(wsgi_interp_t *interp);

/* pylog.c — one line to the calling thread's target, detached; from a place in a source where file is
 * not NULL. */
void wsgi_pylog_line(int level, const char *file, int number, const char *text);
/* A text from there, each line a record of its own; attached. */
void wsgi_pylog_text_from(wsgi_py_t *py, int level, const char *file, int number, const char *text);
/* Will a line of this level be written there? */
bool wsgi_pylog_is_enabled(int level);
/* A line and the stack of the Python code that is running, at level info. */
void wsgi_pylog_caller(wsgi_py_t *py, const char *head);
/* Its traceback as bytes; NULL with an exception set. */
PyObject *wsgi_pylog_format(PyObject *exception);
/* Puts the exception in flight into *result, after a prefix, and clears it. Returns the code. */
int wsgi_pylog_to_result(wsgi_result_t *result, const char *prefix);

/* home.c — is it a virtual environment? */
bool wsgi_home_is_virtual(const char *home);

#endif
