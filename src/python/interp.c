/* python/interp.c — the interpreters of this process by name: made once on first use, set up, and
 * ended in the reverse order.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"

#include <stdlib.h>
#include <string.h>

static _Atomic(wsgi_interp_t *) *bucket_of(uint64_t hash)
{
    return &wsgi_the_runtime.interps[hash % WSGI_INTERP_BUCKETS];
}

/* Needs no lock: entries are only ever put in front, and stay. */
static wsgi_interp_t *look_up(const char *name, uint64_t hash)
{
    wsgi_interp_t *interp = atomic_load_explicit(bucket_of(hash), memory_order_acquire);
    while (interp != NULL && (interp->hash != hash || strcmp(interp->name, name) != 0)) {
        interp = atomic_load_explicit(&interp->next, memory_order_relaxed);
    }
    return interp;
}

wsgi_interp_t *wsgi_interp_add_locked(const char *name)
{
    size_t len = strlen(name);
    wsgi_interp_t *interp = calloc(1, sizeof(*interp) + len + 1);
    if (interp == NULL) {
        return NULL;
    }
    memcpy(interp->name, name, len + 1);
    interp->hash = wsgi_name_hash(name, len);
    interp->index = wsgi_the_runtime.interp_count++;
    interp->older = wsgi_the_runtime.newest;
    wsgi_the_runtime.newest = interp;
    atomic_store_explicit(&interp->next, atomic_load(bucket_of(interp->hash)),
                          memory_order_relaxed);
    atomic_store_explicit(bucket_of(interp->hash), interp, memory_order_release);
    return interp;
}

const char *wsgi_interp_name(const wsgi_interp_t *interp)
{
    return interp->name;
}

static wsgi_interp_t *main_interp(void)
{
    return look_up("", wsgi_name_hash("", 0));
}

/* threading must see the thread that starts an interpreter as its main thread. */
static int import_threading(wsgi_py_t *py)
{
    (void)py;
    WSGI_AUTO_REF PyObject *threading = PyImport_ImportModule("threading");
    return threading != NULL ? 0 : -1;
}

/* Python itself does so in the main interpreter only. */
static int load_codecs(wsgi_py_t *py)
{
    (void)py;
    WSGI_AUTO_REF PyObject *encoder = PyCodec_Encoder("ascii");
    return encoder != NULL ? 0 : -1;
}

static int set_switch_interval(wsgi_py_t *py)
{
    int64_t interval_us = py->interp->settings.switch_interval_us;
    if (interval_us <= 0) {
        return 0;
    }
    WSGI_AUTO_REF PyObject *sys = PyImport_ImportModule("sys");
    WSGI_AUTO_REF PyObject *done =
        sys != NULL ? PyObject_CallMethod(sys, "setswitchinterval", "d", (double)interval_us / 1e6)
                    : NULL;
    return done != NULL ? 0 : -1;
}

int wsgi_interp_set_up(wsgi_py_t *py)
{
    static int (*const steps[])(wsgi_py_t *) = {
        import_threading,     load_codecs,           set_switch_interval,   wsgi_modules_add,
        wsgi_streams_install, wsgi_streams_restrict, wsgi_signals_restrict, wsgi_path_arrange,
        wsgi_modules_graft,   wsgi_fork_announce};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        if (steps[i](py) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Lets go of all that is ours in the interpreter. */
static void tear_down(wsgi_py_t *home)
{
    wsgi_interp_t *interp = home->interp;
    wsgi_attach_clear(home);
    void *state = atomic_exchange(&interp->component_state, NULL);
    if (state != NULL) {
        interp->component->tear_down(home, state);
    }
    wsgi_scripts_free(home);
    Py_CLEAR(interp->module);
    Py_CLEAR(interp->later);
    Py_CLEAR(interp->request_timeout);
    for (int i = 0; i < WSGI_EVENT_KINDS; i++) {
        Py_CLEAR(interp->callbacks[i]);
    }
    Py_CLEAR(interp->sink_type);
    Py_CLEAR(interp->text_stream);
    Py_CLEAR(interp->buffer_name);
}

/* Current: a state of the main interpreter, before and after. */
static int spawn(wsgi_interp_t *interp, wsgi_py_t *main_py, wsgi_result_t *result)
{
    int code = wsgi_attach_spawn(interp, result);
    if (code == WSGI_OK && wsgi_interp_set_up(&interp->home) != 0) {
        code = wsgi_pylog_to_result(result, "the interpreter cannot be set up: ");
        tear_down(&interp->home);
        wsgi_attach_end(&interp->home);
    }
    wsgi_attach_switch(main_py);
    return code;
}

static int spawn_attached(wsgi_interp_t *interp, wsgi_result_t *result)
{
    WSGI_PY_SCOPE(main_py, main_interp());
    return main_py != NULL
               ? spawn(interp, main_py, result)
               : wsgi_fail(result, WSGI_E_REFUSED, "Python is stopping; try again later");
}

/* The state by which this thread was in the main interpreter must go again: up to 3.11,
 * PyGILState_Ensure() in an extension would take it for the thread's only one, and deadlock. */
static int build(wsgi_interp_t *interp, wsgi_result_t *result)
{
    bool is_known = wsgi_attach_is_known(main_interp());
    wsgi_interp_settle(interp);
    int code = spawn_attached(interp, result);
    if (!is_known) {
        wsgi_attach_forget(main_interp());
    }
    if (code == WSGI_OK) {
        wsgi_log(WSGI_LOG_INFO, "interpreter \"%s\" created", interp->name);
    }
    return code;
}

static void set_state(wsgi_interp_t *interp, enum wsgi_interp_state state)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    atomic_store_explicit(&interp->state, state, memory_order_release);
    pthread_cond_broadcast(&wsgi_the_runtime.changed);
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
}

/* Entries are counted, not interpreters: a name that could not be given one keeps its place. */
static wsgi_interp_t *add_locked(const char *name, bool is_open_name, wsgi_result_t *result)
{
    if (is_open_name && wsgi_the_runtime.open_count == WSGI_INTERP_OPEN_MAX) {
        wsgi_fail(result, WSGI_E_REFUSED,
                  "clients have chosen %u names of interpreters, and no more are made for them; "
                  "let WSGIApplicationGroup name a fixed group, or let httpd refuse unknown hosts",
                  WSGI_INTERP_OPEN_MAX);
        return NULL;
    }
    wsgi_interp_t *interp = wsgi_interp_add_locked(name);
    if (interp == NULL) {
        wsgi_fail(result, WSGI_E_NOMEM, "interpreter \"%s\" cannot be made: out of memory", name);
    }
    wsgi_the_runtime.open_count += interp != NULL && is_open_name;
    return interp;
}

/* The entry, in state CREATING for the one caller that has to build it. NULL where there is none. */
static wsgi_interp_t *claim(const char *name, bool is_open_name, bool *is_mine,
                            wsgi_result_t *result)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_interp_t *interp = look_up(name, wsgi_name_hash(name, strlen(name)));
    if (interp == NULL) {
        interp = add_locked(name, is_open_name, result);
    }
    while (interp != NULL && atomic_load(&interp->state) == WSGI_INTERP_CREATING) {
        pthread_cond_wait(&wsgi_the_runtime.changed, &wsgi_the_runtime.lock);
    }
    *is_mine = interp != NULL && atomic_load(&interp->state) == WSGI_INTERP_EMPTY;
    if (*is_mine) {
        atomic_store(&interp->state, WSGI_INTERP_CREATING);
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return interp;
}

static wsgi_interp_t *create(const char *name, bool is_open_name, wsgi_result_t *result)
{
    bool is_mine;
    wsgi_interp_t *interp = claim(name, is_open_name, &is_mine, result);
    if (interp == NULL || !is_mine) {
        return interp;
    }
    bool is_built = build(interp, result) == WSGI_OK;
    set_state(interp, is_built ? WSGI_INTERP_READY : WSGI_INTERP_EMPTY);
    return is_built ? interp : NULL;
}

/* Of "server[:port]|path": where '|' stands, or the end. */
static size_t bar_of(const char *name, size_t name_len)
{
    const char *bar = memchr(name, '|', name_len);
    return bar != NULL ? (size_t)(bar - name) : name_len;
}

/* The same: where ":port" begins, or '|', or the end. */
static size_t server_len(const char *name, size_t name_len)
{
    size_t bar = bar_of(name, name_len), len = bar;
    while (len > 0 && name[len - 1] >= '0' && name[len - 1] <= '9') {
        len--;
    }
    return len > 0 && len < bar && name[len - 1] == ':' ? len - 1 : bar;
}

bool wsgi_interp_is_main_name(const char *name, size_t len)
{
    const char *main_name = wsgi_runtime_settings()->main_name;
    size_t main_len = strlen(main_name), server = server_len(main_name, main_len);
    size_t bar = bar_of(name, len), main_bar = bar_of(main_name, main_len);
    return main_len > 0 && server_len(name, len) == server &&
           memcmp(name, main_name, server) == 0 && len - bar == main_len - main_bar &&
           memcmp(name + bar, main_name + main_bar, len - bar) == 0;
}

wsgi_interp_t *wsgi_interp_find(const char *name, bool is_open_name, wsgi_result_t *result)
{
    if (!wsgi_runtime_is_started()) {
        wsgi_fail(result, WSGI_E_REFUSED,
                  "Python has not started in this process; the log tells "
                  "why, where it should have");
        return NULL;
    }
    size_t len = strlen(name);
    if (wsgi_interp_is_main_name(name, len)) {
        name = "";
        len = 0;
    }
    wsgi_interp_t *interp = look_up(name, wsgi_name_hash(name, len));
    if (interp != NULL &&
        atomic_load_explicit(&interp->state, memory_order_acquire) == WSGI_INTERP_READY) {
        return interp;
    }
    return create(name, is_open_name, result);
}

/* Components. */

static void *set_up_component(wsgi_py_t *py, const wsgi_component_t *component)
{
    void *state = atomic_load(&py->interp->component_state);
    if (state == NULL) {
        state = component->set_up(py);
        py->interp->component = component;
        atomic_store_explicit(&py->interp->component_state, state, memory_order_release);
    }
    return state;
}

void *wsgi_py_component(wsgi_py_t *py, const wsgi_component_t *component)
{
    void *state = atomic_load_explicit(&py->interp->component_state, memory_order_acquire);
    if (state == NULL) {
        WSGI_PY_BLOCKING(py) {
            pthread_mutex_lock(&wsgi_the_runtime.load_lock);
        }
        state = set_up_component(py, component);
        pthread_mutex_unlock(&wsgi_the_runtime.load_lock);
    }
    return state;
}

/* The end. */

static void call_ignoring_errors(const char *module_name, const char *function)
{
    WSGI_AUTO_REF PyObject *module = PyImport_ImportModule(module_name);
    WSGI_AUTO_REF PyObject *done =
        module != NULL ? PyObject_CallMethod(module, function, NULL) : NULL;
    if (done == NULL) {
        PyErr_WriteUnraisable(module);
    }
}

/* What the end of an interpreter does for the application, where it cannot be ended: threads of
 * ours are still inside, or the application left daemon threads running (fatal up to 3.13). */
static void run_exit_functions(void)
{
    call_ignoring_errors("threading", "_shutdown");
    call_ignoring_errors("atexit", "_run_exitfuncs");
}

static Py_ssize_t count_joinable(void)
{
    static const char source[] = "sum(not t.daemon and t is not threading.main_thread()"
                                 " for t in threading.enumerate())";
    WSGI_AUTO_REF PyObject *globals = PyDict_New();
    WSGI_AUTO_REF PyObject *threading = PyImport_ImportModule("threading");
    if (globals == NULL || threading == NULL ||
        PyDict_SetItemString(globals, "threading", threading) != 0) {
        return -1;
    }
    WSGI_AUTO_REF PyObject *count = PyRun_String(source, Py_eval_input, globals, globals);
    return count != NULL ? PyLong_AsSsize_t(count) : -1;
}

/* Will every thread that the application started have ended once its non-daemon ones are joined? */
static bool will_be_alone(const wsgi_py_t *home)
{
    Py_ssize_t joinable = count_joinable();
    PyErr_Clear();
    return joinable >= (Py_ssize_t)wsgi_attach_count_strangers(home);
}

/* Current: home. True where nothing of ours is left in the interpreter, so that it can end. */
static bool can_end(wsgi_py_t *home)
{
    if (wsgi_attach_is_busy(home->interp)) {
        return false;
    }
    tear_down(home);
    return will_be_alone(home);
}

static bool end_sub(wsgi_interp_t *interp, wsgi_py_t *main_home)
{
    wsgi_attach_go_home(interp);
    bool is_ended = can_end(&interp->home);
    if (is_ended) {
        wsgi_attach_end(&interp->home);
    }
    else {
        run_exit_functions();
    }
    wsgi_attach_switch(main_home);
    atomic_store(&interp->state, WSGI_INTERP_ENDED);
    return is_ended;
}

static wsgi_interp_t *newest_interp(void)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_interp_t *interp = wsgi_the_runtime.newest;
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return interp;
}

bool wsgi_interp_is_alone(void)
{
    return newest_interp() == main_interp();
}

bool wsgi_interps_end(void)
{
    wsgi_interp_t *main = main_interp();
    bool are_ended = true;
    wsgi_attach_take(&main->home);
    for (wsgi_interp_t *interp = newest_interp(); interp != main; interp = interp->older) {
        if (atomic_load(&interp->state) == WSGI_INTERP_READY) {
            are_ended = end_sub(interp, &main->home) && are_ended;
        }
    }
    bool is_busy = wsgi_attach_is_busy(main);
    if (!is_busy) {
        tear_down(&main->home);
    }
    if (are_ended && !is_busy) {
        (void)Py_FinalizeEx();
        return true;
    }
    run_exit_functions();
    wsgi_attach_release(&main->home);
    return false;
}
