/* gateway/gateway_private.h — what the files of this folder share: state per interpreter, objects
 * kept per thread, and one request in progress.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_GATEWAY_PRIVATE_H
#define WSGI_GATEWAY_PRIVATE_H

#include "wsgi_python.h"

#include "wsgi_exchange.h"
#include "wsgi_field.h"
#include "wsgi_gateway.h"

#include <pthread.h>

/* Keys of the environ that are not meta-variables: CONSTANT ones are the same for all requests of
 * an interpreter, the others are set anew for each. */
#define WSGI_TYPED_KEYS(CONSTANT, VARYING)                                                         \
    CONSTANT(WSGI_VERSION, "wsgi.version")                                                         \
    CONSTANT(INPUT_TERMINATED, "wsgi.input_terminated")                                            \
    CONSTANT(FILE_WRAPPER, "wsgi.file_wrapper")                                                    \
    CONSTANT(MULTITHREAD, "wsgi.multithread")                                                      \
    CONSTANT(MULTIPROCESS, "wsgi.multiprocess")                                                    \
    CONSTANT(RUN_ONCE, "wsgi.run_once")                                                            \
    CONSTANT(APACHE_VERSION, "apache.version")                                                     \
    CONSTANT(MOD_WSGI_VERSION, "mod_wsgi.version")                                                 \
    VARYING(URL_SCHEME, "wsgi.url_scheme")                                                         \
    VARYING(INPUT, "wsgi.input")                                                                   \
    VARYING(ERRORS, "wsgi.errors")                                                                 \
    VARYING(PROCESS_GROUP, "mod_wsgi.process_group")                                               \
    VARYING(APPLICATION_GROUP, "mod_wsgi.application_group")                                       \
    VARYING(CALLABLE_OBJECT, "mod_wsgi.callable_object")                                           \
    VARYING(REQUEST_HANDLER, "mod_wsgi.request_handler")                                           \
    VARYING(HANDLER_SCRIPT, "mod_wsgi.handler_script")                                             \
    VARYING(THREAD_ID, "mod_wsgi.thread_id")                                                       \
    VARYING(REQUEST_START, "mod_wsgi.request_start")                                               \
    VARYING(QUEUE_START, "mod_wsgi.queue_start")                                                   \
    VARYING(DAEMON_START, "mod_wsgi.daemon_start")                                                 \
    VARYING(APPLICATION_START, "mod_wsgi.application_start")

enum wsgi_typed_key {
#define KEY(name, text) WSGI_KEY_##name,
    WSGI_TYPED_KEYS(KEY, KEY)
#undef KEY
        WSGI_KEY_COUNT
};

/* The events of a request, and the keys of all of them, in the order of events.def. */
enum wsgi_request_event {
#define EVENT(name, kind, when) WSGI_EVENT_##name,
#define KEY(event, name, maker, type, what)
#include "events.def"
#undef EVENT
#undef KEY
    WSGI_EVENT_COUNT
};

enum wsgi_event_key {
#define EVENT(name, kind, when)
#define KEY(event, name, maker, type, what) WSGI_EVENT_KEY_##event##_##name,
#include "events.def"
#undef EVENT
#undef KEY
    WSGI_EVENT_KEY_COUNT
};

/* The component's state: one per interpreter, immutable once set up, except for active_requests. */
typedef struct wsgi_gateway {
    PyTypeObject *input_type, *start_response_type, *file_wrapper_type;
    PyObject *environ;                    /* the template of templates: constants */
    PyObject *typed_keys[WSGI_KEY_COUNT]; /* interned */
    PyObject *meta_keys[WSGI_META_COUNT]; /* interned, by WSGI_META_* */
    PyObject *our_keys;                   /* those that SetEnv and the like may not forge */
    PyObject *event_names[WSGI_EVENT_COUNT], *event_keys[WSGI_EVENT_KEY_COUNT]; /* interned */
    PyObject *subscribers_b;   /* of all events: mod_wsgi.event_callbacks */
    PyObject *active_requests; /* NULL until somebody asks for it; set once */
    PyObject *name_close, *name_tell, *name_reload_required, *name_request_rec;
} wsgi_gateway_t;

typedef struct wsgi_call wsgi_call_t;

/* What one request takes, where somebody records it. */
typedef struct wsgi_figures {
    wsgi_recorder_t *recorder;
    unsigned thread;                                  /* its number; 0 = has not begun */
    int64_t cpu_start_us;                             /* of the thread */
    int64_t application_start_us, application_end_us; /* wall clock; 0 = not reached */
    wsgi_sample_t sample;
} wsgi_figures_t;

/* wsgi.input. */
typedef struct wsgi_pyinput {
    PyObject ob_base;
    wsgi_call_t *call;   /* NULL: the request is over */
    wsgi_buffer_t ahead; /* read, but not yet asked for: the rest after a line */
} wsgi_pyinput_t;

/* start_response. */
typedef struct wsgi_pystart {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    wsgi_call_t *call; /* NULL: the request is over */
} wsgi_pystart_t;

/* A set of WSGI_META_*. */
#define WSGI_NUMBER_WORDS ((WSGI_META_COUNT + 63) / 64)
typedef struct wsgi_numbers {
    uint64_t words[WSGI_NUMBER_WORDS];
} wsgi_numbers_t;

/* Keys of variables without a number that requests have had lately, each at its hash's place:
 * clients send the same fields again and again. Bounded in number and in length, as clients choose
 * them; values are not kept, they may be secrets. */
#define WSGI_KEPT_KEYS 64u

/* What an attachment keeps for its next request. Objects go back into the kit only where the
 * application kept no reference. */
typedef struct wsgi_kit {
    wsgi_call_t *call; /* the request in progress, or NULL */
    wsgi_pystart_t *start;
    PyObject *environ;       /* the thread's template: the last request's values */
    wsgi_pyinput_t *input_b; /* wsgi.input and wsgi.errors are the template's */
    PyObject *errors_b, *errors_sink;
    wsgi_numbers_t kept;                    /* what has a value there */
    PyObject *meta_memo_b[WSGI_META_COUNT]; /* that value, ASCII and short; else NULL */
    PyObject *typed_memo_b[WSGI_KEY_COUNT];
    PyObject *keys[WSGI_KEPT_KEYS];
    wsgi_field_t *fields; /* of the response head */
    size_t field_capacity;
} wsgi_kit_t;

/* A single last item of at most this size is copied out, so that Python need not be entered again
 * after it has been sent. */
#define WSGI_TAIL_BYTES     4096u

#define WSGI_LENGTH_UNKNOWN INT64_C(-1)

/* What events tell of a request besides what is known anyway. Times are taken only where somebody
 * listened as the application was called. */
typedef struct wsgi_account {
    bool is_timed;
    unsigned reads, writes;
    int64_t produced; /* bytes that the application gave, sent or not */
    int64_t read_us, write_us;
    int64_t user_us, system_us; /* of the thread's CPU time, at the beginning */
} wsgi_account_t;

/* One request in progress; lives on the stack of wsgi_gateway_serve(). */
struct wsgi_call {
    wsgi_exchange_t *ex;
    wsgi_py_t *py;
    const wsgi_gateway_t *gateway;
    wsgi_kit_t *kit;
    wsgi_log_target_t log;
    pthread_mutex_t verb_lock; /* guards ex: it takes one verb at a time */
    int64_t daemon_start_us;
    wsgi_figures_t *figures; /* NULL: nobody records */

    /* The head, as start_response() said last. Names and values lie in these objects. */
    PyObject *status, *headers;
    wsgi_head_t head;
    int64_t content_length; /* or WSGI_LENGTH_UNKNOWN */
    bool has_head;
    bool is_head_given;   /* to the exchange */
    bool is_frozen;       /* given, or write() was called: cannot be replaced */
    bool is_head_request; /* its Content-Length speaks of the answer to GET */

    int64_t received, sent; /* body bytes */
    int64_t application_start_us;
    wsgi_account_t account;
    PyObject *data;  /* what request_data() gives; NULL until somebody wants it */
    int read_error;  /* sticky wsgi_error of wsgi.input */
    int send_error;  /* sticky wsgi_error of the response */
    size_t tail_len; /* in tail, yet to be sent */

    bool has_failed;
    unsigned failure_status; /* to answer with where no head has left; 0 = cut it in any case */
    int code;                /* what wsgi_gateway_serve() returns */
    char tail[WSGI_TAIL_BYTES];
    wsgi_figures_t figures_room;
};

/* call.c — the life of a request in progress. */
void wsgi_call_init(wsgi_call_t *call, wsgi_exchange_t *ex);
/* Waits until no thread of the application is inside a verb, and keeps it so. */
void wsgi_call_close(wsgi_call_t *call);
void wsgi_call_free(wsgi_call_t *call);
/* Takes the exchange for one verb; false with RuntimeError set where another thread of the
 * application is inside one. */
bool wsgi_call_lock(wsgi_call_t *call);
/* Takes it however long that thread stays there: only where the answer is at its end anyway. */
void wsgi_call_wait(wsgi_call_t *call);
void wsgi_call_unlock(wsgi_call_t *call);
/* Lines to the request's log: attached, and where there is no attachment. */
void wsgi_call_log(wsgi_call_t *call, int level, const char *fmt, ...) WSGI_PRINTF(3, 4);
void wsgi_call_log_detached(wsgi_call_t *call, int level, const char *text);
/* Remembers how the request ends: with `status` where nothing went out, with a visible truncation
 * where something did, or where status is 0. */
void wsgi_call_fail(wsgi_call_t *call, int code, unsigned status);
/* Ends a process that the application forked, where it comes back out of the application. */
void wsgi_call_leave_to_parent(const wsgi_call_t *call);
/* The same, with 500, for the Python exception in flight, which is logged and cleared. */
void wsgi_call_fail_exception(wsgi_call_t *call);

/* figures.c — what the request takes, where somebody records it: call->figures. Opened by whoever is
 * not attached yet, or has just loaded what began the recording; begun once attached; ended
 * detached. */
void wsgi_figures_open(wsgi_call_t *call, wsgi_recorder_t *recorder);
void wsgi_figures_begin(wsgi_call_t *call);
void wsgi_figures_end(wsgi_call_t *call);
/* One verb that has read or sent, and how long it took. */
void wsgi_figures_add_read(wsgi_figures_t *figures, int64_t took_us, ssize_t bytes);
void wsgi_figures_add_write(wsgi_figures_t *figures, int64_t took_us, int64_t bytes);

/* The same without an end: the exception in flight is logged, published, and cleared. */
void wsgi_call_log_exception(wsgi_call_t *call);

/* Does anybody listen? */
static inline bool wsgi_call_is_observed(const wsgi_call_t *call)
{
    return PyList_GET_SIZE(call->gateway->subscribers_b) > 0;
}

/* observe.c — what subscribers are told; to be called where there are some. */
int wsgi_observe_prepare(wsgi_py_t *py, wsgi_gateway_t *gateway);
void wsgi_observe_forget(wsgi_gateway_t *gateway);
/* request_started: *application may become another. -1 with RequestTimeout in flight, here and where
 * an int is returned below. */
int wsgi_observe_start(wsgi_call_t *call, PyObject **application, PyObject *environ);
int wsgi_observe_response(wsgi_call_t *call, PyObject *status, PyObject *headers,
                          PyObject *exc_info);
int wsgi_observe_finish(wsgi_call_t *call);
/* call may be NULL: outside a request. */
void wsgi_observe_exception(wsgi_py_t *py, const wsgi_gateway_t *gateway, wsgi_call_t *call,
                            PyObject *exception);

/* The time at which a verb begins, and what it took; both 0 where nobody counts. */
static inline int64_t wsgi_call_clock(const wsgi_call_t *call)
{
    return call->account.is_timed || call->figures != NULL ? wsgi_now_us() : 0;
}

static inline int64_t wsgi_call_took(int64_t begun_us)
{
    return begun_us != 0 ? wsgi_now_us() - begun_us : 0;
}

/* data.c — what an application keeps for the time of a request. */
int wsgi_data_prepare(wsgi_py_t *py, wsgi_gateway_t *gateway);
/* The dict of a request, borrowed; NULL with an exception set. */
PyObject *wsgi_data_of_b(wsgi_call_t *call);
/* At its beginning, where somebody has asked for active_requests, and at its end, where it has one. */
void wsgi_data_open(wsgi_call_t *call);
void wsgi_data_close(wsgi_call_t *call);

/* application.c — the callable of the script; NULL where the request has been failed or
 * declined. */
PyObject *wsgi_application_find(wsgi_call_t *call, enum wsgi_reload_mode mode);

/* state.c — set-up and tear-down of the component. */
extern const wsgi_component_t wsgi_gateway_component;
/* The kit of call's attachment, filled; -1 with an exception set. */
int wsgi_kit_open(wsgi_call_t *call);
/* Takes the objects out of use, and drops those that the application kept. */
void wsgi_kit_close(wsgi_call_t *call);

/* environ.c — keys and constants of an interpreter, a thread's template, a request's dict; -1 or
 * NULL with an exception set. */
int wsgi_environ_prepare(wsgi_gateway_t *gateway);
PyObject *wsgi_environ_template(wsgi_call_t *call);
PyObject *wsgi_environ_new(wsgi_call_t *call);
/* A dict of these variables and nothing else. */
PyObject *wsgi_environ_from_vars(const wsgi_gateway_t *gateway, const wsgi_var_t *vars,
                                 size_t count);
/* The value of a meta-variable, WSGI_META_*, as text; NULL where the request has none, or with an
 * exception set. */
PyObject *wsgi_environ_meta(wsgi_call_t *call, unsigned number);
/* The file that a handler script is to handle: SCRIPT_FILENAME. */
PyObject *wsgi_environ_resource(wsgi_call_t *call);
/* Settles the name of the callable in the template: borrowed from it. */
PyObject *wsgi_environ_callable_b(wsgi_call_t *call);

/* input.c, start_response.c, filewrapper.c — types. */
PyTypeObject *wsgi_input_type(PyObject *module);
PyTypeObject *wsgi_start_response_type(PyObject *module);
PyTypeObject *wsgi_file_wrapper_type(PyObject *module);
wsgi_pystart_t *wsgi_start_response_new(PyTypeObject *type);

/* response.c — sends what the application returned. Exceptions stay in flight: -1. */
int wsgi_response_iterate(wsgi_call_t *call, PyObject *result);
/* Calls result.close() where there is one; its exception is logged, no more. */
void wsgi_response_close(wsgi_call_t *call, PyObject *result);
/* Sends a chunk that write() or an iteration gave; borrowed for the call. WSGI_OK or a sticky
 * negative code; an exception may be set as well. */
int wsgi_response_send(wsgi_call_t *call, PyObject *chunk, enum wsgi_send_flag flag);
/* Would the answer have fewer bytes than its Content-Length, if it ended after `more` of them? */
bool wsgi_response_is_short(const wsgi_call_t *call, size_t more);
/* Hands the head over where no chunk did. WSGI_OK or a sticky negative code. */
int wsgi_response_finish(wsgi_call_t *call);

/* filewrapper.c — what a FileWrapper would send from a regular file. */
typedef struct wsgi_file_range {
    int fd;
    int64_t offset, length;
} wsgi_file_range_t;
/* True where the wrapped object is a regular file that tells its position. No exception is left. */
bool wsgi_file_wrapper_range(wsgi_call_t *call, PyObject *wrapper, wsgi_file_range_t *range);

#endif
