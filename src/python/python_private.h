/* python/python_private.h — what the files of this folder share: the process's runtime, its
 * interpreters, and what a thread holds in them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_PRIVATE_H
#define WSGI_PYTHON_PRIVATE_H

#include "wsgi_python.h"

#include <pthread.h>
#include <stdatomic.h>

#define WSGI_INTERP_BUCKETS 64u
#define WSGI_SCRIPT_BUCKETS 64u

enum wsgi_event_kind { WSGI_EVENT_ANY, WSGI_EVENT_SHUTDOWN, WSGI_EVENT_SIGNAL, WSGI_EVENT_KINDS };

enum wsgi_log_stream { WSGI_STREAM_STDOUT, WSGI_STREAM_STDERR, WSGI_STREAM_COUNT };

/* What one thread holds; reached by a thread-local pointer, freed by its exit hook. */
typedef struct wsgi_thread {
    unsigned number;
    pthread_t handle;
    wsgi_py_t **attachments; /* by the interpreter's index; NULL where never entered */
    unsigned attachment_count;
    const wsgi_log_target_t *log;              /* NULL = the process's log */
    wsgi_buffer_t partials[WSGI_STREAM_COUNT]; /* text of sys.stdout/err without a line end */
} wsgi_thread_t;

/* A thread's place in an interpreter: its cached thread state, made at the first entry. */
struct wsgi_py {
    wsgi_interp_t *interp;
    wsgi_thread_t *thread;   /* NULL for an interpreter's home */
    PyThreadState *state;    /* NULL: taken away by wsgi_runtime_stop(); guarded by lock */
    void *local;             /* the component's */
    wsgi_py_t *next, **link; /* in interp->attachments; guarded by lock */
    atomic_bool is_in_use;   /* written by its thread, read by wsgi_runtime_stop() */
    bool is_interruptible, was_interrupted; /* guarded by lock */
};

enum wsgi_interp_state {
    WSGI_INTERP_EMPTY, /* not made yet, or the last try failed */
    WSGI_INTERP_CREATING,
    WSGI_INTERP_READY,
    WSGI_INTERP_ENDED
};

typedef struct wsgi_script wsgi_script_t;

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

    PyObject *module;                            /* mod_wsgi */
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

/* FNV-1a. */
static inline uint64_t wsgi_name_hash(const char *name, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

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

/* module.c, path.c, stream.c, restrict.c — steps of the set-up; -1 with an exception set. */
int wsgi_modules_add(wsgi_py_t *py);
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

/* pylog.c — one line to the calling thread's target, detached. */
void wsgi_pylog_line(int level, const char *text);
/* A line and the stack of the Python code that is running, at level info. */
void wsgi_pylog_caller(wsgi_py_t *py, const char *head);
/* Its traceback as bytes; NULL with an exception set. */
PyObject *wsgi_pylog_format(PyObject *exception);
/* Puts the exception in flight into *result, after a prefix, and clears it. Returns the code. */
int wsgi_pylog_to_result(wsgi_result_t *result, const char *prefix);

/* home.c — is it a virtual environment? */
bool wsgi_home_is_virtual(const char *home);

#endif
