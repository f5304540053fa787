/* python/tries.c — a script that cannot be loaded is not run for each request: half of it may have
 * taken effect already, and what it raises the second time is often not the cause. The traceback of
 * its first failure is kept meanwhile, for each who asks.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#define FIRST_DELAY_S UINT64_C(1)
#define DELAY_MAX_S   UINT64_C(30)

static int64_t delay_us(unsigned failures)
{
    uint64_t delay_s = failures <= 5 ? FIRST_DELAY_S << (failures - 1) : DELAY_MAX_S;
    return (int64_t)delay_s * 1000000;
}

void wsgi_tries_clear(wsgi_tries_t *tries)
{
    Py_CLEAR(tries->failure);
    tries->count = 0;
}

void wsgi_tries_note(wsgi_tries_t *tries, int64_t now_us)
{
    WSGI_AUTO_REF PyObject *exception = wsgi_py_take_exception();
    if (tries->failure == NULL) {
        tries->failure = wsgi_pylog_format(exception);
        PyErr_Clear();
    }
    tries->count++;
    tries->next_us = now_us + delay_us(tries->count);
    wsgi_py_raise(wsgi_py_steal(&exception));
}

int64_t wsgi_tries_wait_us(const wsgi_tries_t *tries, int64_t now_us)
{
    return tries->failure != NULL && tries->next_us > now_us ? tries->next_us - now_us : 0;
}
