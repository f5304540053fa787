/* wsgi_python.h — the face of python/ for gateway/: attachments, components, scripts, log streams.
 * Runs in:  httpd child (embedded), worker.   Threads: any that holds an attachment.
 * Owns:     thread states, one per thread and interpreter; script modules; log streams.
 * Memory:   Python's, and malloc for what outlives an attachment.
 * Python:   a wsgi_py_t proves that the calling thread is attached to its interpreter; a function
 *           that touches a PyObject takes one. An attachment is not a lock.
 * Blocks:   wsgi_script_find() while a script loads; the rest as stated.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_H
#define WSGI_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "wsgi_recorder.h"
#include "wsgi_runtime.h"

/* Attachments: made by entering an interpreter, ended with their scope. */

typedef struct wsgi_py wsgi_py_t;

/* Attaches until the enclosing brace closes. `py` is NULL where Python is stopping or out of
 * memory: check it first. */
#define WSGI_PY_SCOPE(py, interp)                                                                  \
    wsgi_py_t *py __attribute__((cleanup(wsgi_py_leave))) = wsgi_py_enter(interp)

/* The block that follows runs detached: whatever may block, and no PyObject. Valid in any thread
 * attached to py's interpreter, one that Python itself made included. */
#define WSGI_PY_BLOCKING(py)                                                                       \
    for (void *paused_ __attribute__((cleanup(wsgi_py_resume))) = wsgi_py_pause(py),               \
                       *once_ = paused_;                                                           \
         once_ != NULL; once_ = NULL)

wsgi_py_t *wsgi_py_enter(wsgi_interp_t *interp) WSGI_NONNULL;
void wsgi_py_leave(wsgi_py_t **py) WSGI_NONNULL;
void *wsgi_py_pause(wsgi_py_t *py) WSGI_NONNULL;
void wsgi_py_resume(void **paused) WSGI_NONNULL;

/* 1-based number of this thread among those of the process that have asked for theirs: that serve. */
unsigned wsgi_py_thread_number(const wsgi_py_t *py) WSGI_NONNULL;

/* How long the calling thread has waited for its interpreter since it entered it, and how often it
 * asked. They are counted in the whole process from the first wish on. */
typedef struct wsgi_py_waits {
    unsigned count;
    int64_t us, min_us, max_us; /* in all; single ones */
} wsgi_py_waits_t;

void wsgi_py_count_waits(void);
wsgi_py_waits_t wsgi_py_waits(void);

/* Where the requests of the process are summed up; NULL until Python code has asked for it. */
wsgi_recorder_t *wsgi_runtime_recorder(void);

/* Between the two, wsgi_runtime_interrupt() may raise RequestTimeout in the calling thread; after
 * them it will not. They cost nothing where nobody could. */
void wsgi_py_allow_interrupt(wsgi_py_t *py) WSGI_NONNULL;
void wsgi_py_refuse_interrupt(wsgi_py_t *py) WSGI_NONNULL;

/* Is the exception in flight mod_wsgi.RequestTimeout? */
bool wsgi_py_has_timed_out(wsgi_py_t *py) WSGI_NONNULL;

/* A request has found its script loaded. */
void wsgi_runtime_note_application(void);

const wsgi_runtime_settings_t *wsgi_runtime_settings(void);

/* Is this a process that the application forked, by os.fork() or else? It must not touch the
 * request in progress. */
bool wsgi_runtime_is_forked(void);

/* Ends such a process: the exception in flight makes its status, as in a program of its own. */
void wsgi_py_end_forked(wsgi_py_t *py, const char *script) WSGI_NONNULL WSGI_NORETURN;

/* References that end with their scope. */

#define WSGI_AUTO_REF __attribute__((cleanup(wsgi_py_drop), unused))

static inline void wsgi_py_drop(PyObject **ref)
{
    Py_XDECREF(*ref);
}

/* Takes the reference out of a WSGI_AUTO_REF variable, to return it. */
static inline PyObject *wsgi_py_steal(PyObject **ref)
{
    PyObject *taken = *ref;
    *ref = NULL;
    return taken;
}

/* The attribute, or NULL without an exception where there is none, or NULL with one. */
PyObject *wsgi_py_optional_attr(PyObject *object, PyObject *name) WSGI_NONNULL;

/* Is this the only reference? May say no where that cannot be told. */
bool wsgi_py_is_unshared(PyObject *object) WSGI_NONNULL;

/* Latin-1 text, as PEP 3333 wants it. */
PyObject *wsgi_py_text(const char *data, size_t len);

/* Takes the exception in flight, traceback attached; NULL where there is none. */
PyObject *wsgi_py_take_exception(void);

/* Raises it again; consumes the reference. */
void wsgi_py_raise(PyObject *exception) WSGI_NONNULL;

/* Components: what a higher layer keeps per interpreter and per attachment. */

typedef struct wsgi_component {
    void *(*set_up)(wsgi_py_t *py);                 /* state; NULL with an exception set */
    void (*tear_down)(wsgi_py_t *py, void *state);  /* before the interpreter ends */
    void (*drop_local)(wsgi_py_t *py, void *local); /* the thread or the interpreter ends */
} wsgi_component_t;

/* The state of the one component of py's interpreter, set up by the first caller while others
 * wait. NULL with an exception set. */
void *wsgi_py_component(wsgi_py_t *py, const wsgi_component_t *component) WSGI_NONNULL;

/* A place for the component's own use, per thread and interpreter; NULL at first. */
void **wsgi_py_local(wsgi_py_t *py) WSGI_NONNULL;

/* The built-in module mod_wsgi of py's interpreter; borrowed. */
PyObject *wsgi_py_module_b(wsgi_py_t *py) WSGI_NONNULL;

/* An attribute of it that is made when it is first asked for, by calling `maker`: borrowed, as `name`
 * is for ever. -1 with an exception set. */
int wsgi_py_module_later(wsgi_py_t *py, const char *name, PyObject *maker) WSGI_NONNULL;

/* A capsule with py's interpreter, for functions that need it as their self. */
PyObject *wsgi_py_interp_capsule(wsgi_py_t *py) WSGI_NONNULL;

/* The calling thread's attachment to the interpreter of such a capsule; NULL for a thread that is not
 * one of ours, and with an exception set where it is no such capsule. */
wsgi_py_t *wsgi_py_of_thread(PyObject *capsule) WSGI_NONNULL;

/* Calls visit() with what each attachment to that interpreter has as its local, NULL left out; no
 * Python code may run in it. Without a GIL it visits nobody: others would change it meanwhile. */
void wsgi_py_each_local(PyObject *capsule, void (*visit)(void *baton, void *local), void *baton);

/* Events. */

/* Who in py's interpreter has subscribed to all events: a list, borrowed, the same one for ever. */
PyObject *wsgi_py_subscribers_b(const wsgi_py_t *py) WSGI_NONNULL;

/* Calls them with name and payload, a dict, into which what they return is merged. What they raise is
 * logged; only RequestTimeout stays in flight, and ends the publication: -1. */
int wsgi_py_publish(wsgi_py_t *py, PyObject *name, PyObject *payload) WSGI_NONNULL;

/* Scripts. */

enum wsgi_script_state {
    WSGI_SCRIPT_READY,
    WSGI_SCRIPT_CHANGED, /* not as loaded, and reload_in_place is false; nothing was done */
    WSGI_SCRIPT_MISSING, /* result says what and how to mend it, here and below */
    WSGI_SCRIPT_UNREADABLE,
    WSGI_SCRIPT_FAILED, /* a Python exception is set */
    WSGI_SCRIPT_WAITING /* the last try failed, and the next one is yet to come: result says when */
};

typedef struct wsgi_script_query {
    wsgi_bytes_t path;    /* absolute, NUL-terminated */
    int64_t mtime_us;     /* as the host has seen it; 0 = it did not look */
    bool must_compare;    /* look whether the file is still the one that was loaded */
    bool reload_in_place; /* where it is not: load it again */
    bool must_reload;     /* take it for changed */
    /* The monotonic clock by which a script that fails has to wait, longer each time, unless its
     * file changes; without reload_in_place it is not tried again at all. NULL = its failure is
     * forgotten, and it is tried each time. */
    int64_t (*now_us)(void);
} wsgi_script_query_t;

/* The module of a script, loaded where needed. A new reference in *found, else NULL: the module
 * (READY), or the traceback of its first failure as bytes (WAITING). */
enum wsgi_script_state wsgi_script_find(wsgi_py_t *py, const wsgi_script_query_t *query,
                                        PyObject **found, wsgi_result_t *result) WSGI_NONNULL;

/* Log lines from Python code. */

/* `write` is called detached, one line at a time, without line end; its file is NULL where no place
 * in a source is told. */
typedef struct wsgi_log_target {
    wsgi_log_write_t *write;
    void *baton;
    int max_level; /* lines above it are not worth making */
} wsgi_log_target_t;

/* Where sys.stdout, sys.stderr and wsgi_pylog_*() of the calling thread go from now on; NULL = the
 * process's own log. What stands without a line end goes to the earlier target first, which is
 * returned. */
const wsgi_log_target_t *wsgi_pylog_redirect(wsgi_py_t *py, const wsgi_log_target_t *target)
    __attribute__((nonnull(1)));

/* Logs text at a level, each line a record of its own. */
void wsgi_pylog_text(wsgi_py_t *py, int level, const char *text) WSGI_NONNULL;

/* Logs the exception in flight, header and traceback, and clears it. */
void wsgi_pylog_exception(wsgi_py_t *py, const char *script) WSGI_NONNULL;

/* A text stream (io.TextIOWrapper) and, in *sink, what it writes to: new references. The sink needs
 * a target: without one, use raises RuntimeError. */
PyObject *wsgi_pystream_new(wsgi_py_t *py, const char *name, PyObject **sink) WSGI_NONNULL;

/* Sets the target, which must stay valid until it is replaced; NULL writes out what stands without
 * a line end. */
void wsgi_pystream_aim(wsgi_py_t *py, PyObject *sink, const wsgi_log_target_t *target)
    __attribute__((nonnull(1, 2)));

/* Is the pair as new: no one but the caller holds either, and it was neither closed nor detached?
 * Only then may another request have it. */
bool wsgi_pystream_is_reusable(wsgi_py_t *py, PyObject *stream, PyObject *sink) WSGI_NONNULL;

#endif
