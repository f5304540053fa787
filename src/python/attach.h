/* python/attach.h — thread states: one per thread and interpreter, kept between requests. With
 * attach.c the only place that calls the thread-state functions of CPython.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_PYTHON_ATTACH_H
#define WSGI_PYTHON_ATTACH_H

#include "python_private.h"

/* What the calling thread holds, made where needed; NULL without memory. */
wsgi_thread_t *wsgi_thread_self(void);

/* In a child that the calling thread forked: its lines no longer belong to a request. */
void wsgi_thread_forget_request(void);

/* Creates the exit hook of threads. WSGI_OK or WSGI_E_NOMEM. */
int wsgi_attach_start(void);

/* The current thread state (the one that Python's start made) becomes the home of the main
 * interpreter and the calling thread's attachment to it. WSGI_OK or WSGI_E_NOMEM. */
int wsgi_attach_adopt(wsgi_interp_t *interp);

/* Attaches by a home, and detaches again. */
void wsgi_attach_take(wsgi_py_t *home);
void wsgi_attach_release(wsgi_py_t *home);

/* Makes a sub-interpreter from an attachment to the main one: its first state is current
 * afterwards, and its home. WSGI_OK, or WSGI_E_IO with the reason. */
int wsgi_attach_spawn(wsgi_interp_t *interp, wsgi_result_t *result);

/* From an attachment to the main interpreter into a sub-interpreter's home, to end it, and back. The
 * home may be another state afterwards: one of this thread. */
void wsgi_attach_go_home(wsgi_interp_t *interp);
void wsgi_attach_switch(wsgi_py_t *to);

/* Ends the interpreter whose home is current. */
void wsgi_attach_end(wsgi_py_t *home);

/* Has the calling thread entered interp before? */
bool wsgi_attach_is_known(const wsgi_interp_t *interp);
/* Gives up the calling thread's state in interp, as if never entered. Not attached. */
void wsgi_attach_forget(wsgi_interp_t *interp);

/* Stop: refuses entries from now on. */
void wsgi_attach_refuse(void);
/* Is a thread other than the caller still inside? */
bool wsgi_attach_is_busy(wsgi_interp_t *interp);
/* Clears and deletes the cached states of all threads in home's interpreter, which is current. */
void wsgi_attach_clear(wsgi_py_t *home);
/* Thread states in home's interpreter besides home: threads that Python code started. */
unsigned wsgi_attach_count_strangers(const wsgi_py_t *home);

#endif
