/* python/attach.c — thread states: one per thread and interpreter, kept between requests.
 * Making one costs 200 times what attaching a kept one does, and keeping it keeps threading.local.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attach.h"

#include "compat.h"

#include <stdlib.h>

static _Thread_local wsgi_thread_t *the_thread;

static void end_thread(void *data);

int wsgi_attach_start(void)
{
    return pthread_key_create(&wsgi_the_runtime.thread_key, end_thread) == 0 ? WSGI_OK
                                                                             : WSGI_E_NOMEM;
}

wsgi_thread_t *wsgi_thread_self(void)
{
    if (the_thread != NULL) {
        return the_thread;
    }
    wsgi_thread_t *thread = calloc(1, sizeof(*thread));
    if (thread == NULL || pthread_setspecific(wsgi_the_runtime.thread_key, thread) != 0) {
        free(thread);
        return NULL;
    }
    thread->handle = pthread_self();
    return the_thread = thread;
}

void wsgi_thread_forget_request(void)
{
    wsgi_thread_t *thread = the_thread;
    if (thread != NULL) {
        thread->log = NULL;
        for (int i = 0; i < WSGI_STREAM_COUNT; i++) {
            thread->partials[i].len = 0;
        }
    }
}

static bool make_room(wsgi_thread_t *thread, unsigned index)
{
    if (index < thread->attachment_count) {
        return true;
    }
    unsigned count = index + 4;
    wsgi_py_t **grown = realloc(thread->attachments, count * sizeof(wsgi_py_t *));
    if (grown == NULL) {
        return false;
    }
    for (unsigned i = thread->attachment_count; i < count; i++) {
        grown[i] = NULL;
    }
    thread->attachments = grown;
    thread->attachment_count = count;
    return true;
}

/* A place without a thread state; the caller's until it is linked. */
static wsgi_py_t *new_attachment(wsgi_thread_t *thread, wsgi_interp_t *interp)
{
    if (!make_room(thread, interp->index)) {
        return NULL;
    }
    wsgi_py_t *py = calloc(1, sizeof(*py));
    if (py != NULL) {
        py->interp = interp;
        py->thread = thread;
        thread->attachments[interp->index] = py;
    }
    return py;
}

static void link_locked(wsgi_py_t *py)
{
    wsgi_py_t **head = &py->interp->attachments;
    py->next = *head;
    py->link = head;
    if (*head != NULL) {
        (*head)->link = &py->next;
    }
    *head = py;
}

static void unlink_locked(wsgi_py_t *py)
{
    if (py->link == NULL) {
        return;
    }
    *py->link = py->next;
    if (py->next != NULL) {
        py->next->link = py->link;
    }
    py->link = NULL;
}

/* Under the lock, so that wsgi_runtime_stop() sees each state or prevents it. */
static void make_state(wsgi_py_t *py)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    if (!atomic_load(&wsgi_the_runtime.is_stopping)) {
        py->state = PyThreadState_New(py->interp->python);
        if (py->state != NULL) {
            link_locked(py);
        }
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
}

static wsgi_py_t *first_entry(wsgi_interp_t *interp)
{
    wsgi_thread_t *thread = wsgi_thread_self();
    wsgi_py_t *py = thread != NULL ? new_attachment(thread, interp) : NULL;
    if (py == NULL) {
        return NULL;
    }
    make_state(py);
    if (py->state == NULL) {
        thread->attachments[interp->index] = NULL;
        free(py);
        return NULL;
    }
    return py;
}

static wsgi_py_t *known_entry(const wsgi_interp_t *interp)
{
    const wsgi_thread_t *thread = the_thread;
    return thread != NULL && interp->index < thread->attachment_count
               ? thread->attachments[interp->index]
               : NULL;
}

/* Marks first and looks then, as wsgi_attach_refuse() does the other way round: one of the two
 * sees the other (both sequentially consistent). A thread that is detached inside a use may enter
 * once more: httpd's sub-requests run hooks while an application's answer passes its filters. */
static bool begin_use(wsgi_py_t *py)
{
    if (atomic_load_explicit(&py->is_in_use, memory_order_relaxed)) {
        py->inner_uses++;
        return true;
    }
    atomic_store(&py->is_in_use, true);
    if (atomic_load(&wsgi_the_runtime.is_stopping)) {
        atomic_store(&py->is_in_use, false);
        return false;
    }
    return true;
}

static void end_use(wsgi_py_t *py)
{
    if (py->inner_uses > 0) {
        py->inner_uses--;
        return;
    }
    atomic_store_explicit(&py->is_in_use, false, memory_order_release);
}

static void note_wait(wsgi_py_waits_t *waits, int64_t us)
{
    waits->min_us = waits->count == 0 || us < waits->min_us ? us : waits->min_us;
    waits->max_us = us > waits->max_us ? us : waits->max_us;
    waits->us += us;
    waits->count++;
}

static void take_timed(PyThreadState *state)
{
    const int64_t begun_us = wsgi_now_us();
    PyEval_RestoreThread(state);
    if (the_thread != NULL) {
        note_wait(&the_thread->waits, wsgi_now_us() - begun_us);
    }
}

static void take_interpreter(PyThreadState *state)
{
    if (atomic_load_explicit(&wsgi_the_runtime.counts_waits, memory_order_relaxed)) {
        take_timed(state);
    }
    else {
        PyEval_RestoreThread(state);
    }
}

wsgi_py_t *wsgi_py_enter(wsgi_interp_t *interp)
{
    wsgi_py_t *py = known_entry(interp);
    if (py == NULL) {
        py = first_entry(interp);
    }
    if (py == NULL || !begin_use(py)) {
        return NULL;
    }
    py->thread->waits = (wsgi_py_waits_t){0};
    take_interpreter(py->state);
    return py;
}

void wsgi_py_leave(wsgi_py_t **py)
{
    if (*py != NULL) {
        (void)PyEval_SaveThread();
        end_use(*py);
    }
}

void *wsgi_py_pause(wsgi_py_t *py)
{
    (void)py;
    return PyEval_SaveThread();
}

void wsgi_py_resume(void **paused)
{
    take_interpreter(*paused);
}

unsigned wsgi_py_thread_number(const wsgi_py_t *py)
{
    wsgi_thread_t *thread = py->thread;
    if (thread != NULL && thread->number == 0) {
        thread->number = atomic_fetch_add(&wsgi_the_runtime.thread_count, 1) + 1;
    }
    return thread != NULL ? thread->number : 0;
}

void **wsgi_py_local(wsgi_py_t *py)
{
    return &py->local;
}

wsgi_py_t *wsgi_py_of_thread(PyObject *capsule)
{
    const wsgi_interp_t *interp = PyCapsule_GetPointer(capsule, NULL);
    return interp != NULL ? known_entry(interp) : NULL;
}

void wsgi_py_each_local(PyObject *capsule, void (*visit)(void *baton, void *local), void *baton)
{
    const wsgi_interp_t *interp = PyCapsule_GetPointer(capsule, NULL);
    if (!COMPAT_HAS_GIL || interp == NULL) {
        return;
    }
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    for (const wsgi_py_t *other = interp->attachments; other != NULL; other = other->next) {
        if (other->local != NULL) {
            visit(baton, other->local);
        }
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
}

void wsgi_py_count_waits(void)
{
    atomic_store_explicit(&wsgi_the_runtime.counts_waits, true, memory_order_relaxed);
}

wsgi_py_waits_t wsgi_py_waits(void)
{
    const wsgi_thread_t *thread = the_thread;
    return thread != NULL ? thread->waits : (wsgi_py_waits_t){0};
}

/* Interrupts. */

void wsgi_py_allow_interrupt(wsgi_py_t *py)
{
    if (wsgi_runtime_settings()->can_interrupt) {
        pthread_mutex_lock(&wsgi_the_runtime.lock);
        py->is_interruptible = true;
        pthread_mutex_unlock(&wsgi_the_runtime.lock);
    }
}

/* What was raised and has not been seen must not hit the next request. */
void wsgi_py_refuse_interrupt(wsgi_py_t *py)
{
    if (!wsgi_runtime_settings()->can_interrupt) {
        return;
    }
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    const bool was_interrupted = py->was_interrupted;
    py->is_interruptible = py->was_interrupted = false;
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    if (was_interrupted) {
        (void)PyThreadState_SetAsyncExc((unsigned long)py->thread->handle, NULL);
    }
}

static wsgi_py_t *find_interruptible_locked(const wsgi_interp_t *interp, uint64_t thread)
{
    for (wsgi_py_t *py = interp->attachments; py != NULL; py = py->next) {
        if (py->is_interruptible && (uint64_t)py->thread->handle == thread) {
            return py;
        }
    }
    return NULL;
}

/* Under the lock: a request that could be interrupted takes it before it ends. */
bool wsgi_attach_interrupt(wsgi_py_t *py, uint64_t thread, PyObject *type,
                           bool (*is_wanted)(void *baton), void *baton)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_py_t *found = find_interruptible_locked(py->interp, thread);
    const bool is_done = found != NULL && is_wanted(baton) &&
                         PyThreadState_SetAsyncExc((unsigned long)thread, type) > 0;
    if (is_done) {
        found->was_interrupted = true;
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return is_done;
}

/* The end of a thread, or of one of its attachments. */

static void drop_local(wsgi_py_t *as, void *local)
{
    if (local != NULL) {
        as->interp->component->drop_local(as, local);
    }
}

static void delete_state(wsgi_py_t *py)
{
    WSGI_ASSERT(!atomic_load(&py->is_in_use));
    if (py->state == py->interp->home.state || !begin_use(py)) {
        return; /* wsgi_runtime_stop() needs it, or has it */
    }
    PyEval_RestoreThread(py->state);
    drop_local(py, py->local);
    PyThreadState *state = py->state;
    PyThreadState_Clear(state);
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    unlink_locked(py);
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    PyThreadState_DeleteCurrent();
}

static void free_attachment(wsgi_py_t *py)
{
    delete_state(py);
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    unlink_locked(py);
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    free(py);
}

static void write_partials(wsgi_thread_t *thread)
{
    for (int i = 0; i < WSGI_STREAM_COUNT; i++) {
        wsgi_buffer_t *partial = &thread->partials[i];
        if (partial->len > 0 && wsgi_buffer_append(partial, "", 1) == WSGI_OK) {
            wsgi_log(WSGI_LOG_ERR, "%s", partial->data);
        }
        free(partial->data);
    }
}

static void end_thread(void *data)
{
    wsgi_thread_t *thread = data;
    for (unsigned i = 0; i < thread->attachment_count; i++) {
        if (thread->attachments[i] != NULL) {
            free_attachment(thread->attachments[i]);
        }
    }
    write_partials(thread);
    free(thread->attachments);
    free(thread);
    the_thread = NULL;
}

void wsgi_runtime_thread_end(void)
{
    if (the_thread != NULL) {
        pthread_setspecific(wsgi_the_runtime.thread_key, NULL);
        end_thread(the_thread);
    }
}

bool wsgi_attach_is_known(const wsgi_interp_t *interp)
{
    return known_entry(interp) != NULL;
}

void wsgi_attach_forget(wsgi_interp_t *interp)
{
    wsgi_py_t *py = known_entry(interp);
    if (py != NULL) {
        the_thread->attachments[interp->index] = NULL;
        free_attachment(py);
    }
}

/* Interpreters. */

/* The main thread keeps its one state for serving too (prefork): up to 3.11, PyGILState_Ensure()
 * knows only the first state of a thread, and deadlocks when another one is current. */
int wsgi_attach_adopt(wsgi_interp_t *interp)
{
    wsgi_thread_t *thread = wsgi_thread_self();
    wsgi_py_t *py = thread != NULL ? new_attachment(thread, interp) : NULL;
    if (py == NULL) {
        return WSGI_E_NOMEM;
    }
    py->state = PyThreadState_Get();
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    link_locked(py);
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    interp->home = (wsgi_py_t){.interp = interp, .thread = thread, .state = py->state};
    interp->python = PyThreadState_GetInterpreter(py->state);
    return WSGI_OK;
}

void wsgi_attach_take(wsgi_py_t *home)
{
    PyEval_RestoreThread(home->state);
}

void wsgi_attach_release(wsgi_py_t *home)
{
    (void)home;
    (void)PyEval_SaveThread();
}

int wsgi_attach_spawn(wsgi_interp_t *interp, wsgi_result_t *result)
{
    const char *why = NULL;
    PyThreadState *state = compat_new_interpreter(interp->settings.per_interpreter_gil, &why);
    if (state == NULL) {
        return wsgi_fail(result, WSGI_E_IO,
                         "interpreter \"%s\" cannot be made (%s); use "
                         "application-group=%%{GLOBAL}",
                         interp->name, why);
    }
    interp->home = (wsgi_py_t){.interp = interp, .state = state};
    interp->creator = pthread_self();
    interp->python = PyThreadState_GetInterpreter(state);
    return WSGI_OK;
}

void wsgi_attach_switch(wsgi_py_t *to)
{
    (void)PyThreadState_Swap(to->state);
}

/* threading waits at its end for the deletion of the state that imported it, unless its own thread
 * is the one that waits. */
void wsgi_attach_go_home(wsgi_interp_t *interp)
{
    PyThreadState *first = interp->home.state;
    PyThreadState *own =
        pthread_equal(interp->creator, pthread_self()) ? NULL : PyThreadState_New(interp->python);
    (void)PyThreadState_Swap(own != NULL ? own : first);
    if (own != NULL) {
        interp->home.state = own;
        PyThreadState_Clear(first);
        PyThreadState_Delete(first);
    }
}

void wsgi_attach_end(wsgi_py_t *home)
{
    Py_EndInterpreter(home->state);
    home->state = NULL;
}

/* The end of Python. */

void wsgi_attach_refuse(void)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    atomic_store(&wsgi_the_runtime.is_stopping, true);
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
}

bool wsgi_attach_is_busy(wsgi_interp_t *interp)
{
    bool is_busy = false;
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    for (wsgi_py_t *py = interp->attachments; py != NULL; py = py->next) {
        is_busy = is_busy || atomic_load(&py->is_in_use);
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return is_busy;
}

/* Takes one attachment's contents; its memory stays the thread's, which may free it at any time. */
static bool take_attachment(wsgi_interp_t *interp, PyThreadState **state, void **local)
{
    pthread_mutex_lock(&wsgi_the_runtime.lock);
    wsgi_py_t *py = interp->attachments;
    if (py != NULL) {
        *state = py->state;
        *local = py->local;
        py->state = NULL;
        py->local = NULL;
        unlink_locked(py);
    }
    pthread_mutex_unlock(&wsgi_the_runtime.lock);
    return py != NULL;
}

void wsgi_attach_clear(wsgi_py_t *home)
{
    PyThreadState *state;
    void *local;
    while (take_attachment(home->interp, &state, &local)) {
        drop_local(home, local);
        if (state != home->state) {
            PyThreadState_Clear(state);
            PyThreadState_Delete(state);
        }
    }
}

unsigned wsgi_attach_count_strangers(const wsgi_py_t *home)
{
    unsigned count = 0;
    PyThreadState *state = PyInterpreterState_ThreadHead(home->interp->python);
    for (; state != NULL; state = PyThreadState_Next(state)) {
        count += state != home->state;
    }
    return count;
}
