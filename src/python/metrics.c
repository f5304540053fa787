/* python/metrics.c — figures for Python code: of the requests of this process, of the process, and
 * of httpd's scoreboard. They are the process's, whichever interpreter asks.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "wsgi_scoreboard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- dicts ---------------------------------------------------------------------------------- */

/* Takes the value over, which may be NULL with an exception set. */
static int put(PyObject *dict, const char *key, PyObject *value)
{
    int code = value != NULL ? PyDict_SetItemString(dict, key, value) : -1;
    Py_XDECREF(value);
    return code;
}

static PyObject *seconds(int64_t us)
{
    return PyFloat_FromDouble((double)us / 1e6);
}

static PyObject *ratio(double part, double whole)
{
    return PyFloat_FromDouble(whole > 0 ? part / whole : 0.0);
}

static PyObject *count(uint64_t number)
{
    return PyLong_FromUnsignedLongLong(number);
}

static bool is_embedded(void)
{
    return *wsgi_runtime_settings()->process_group == '\0';
}

/* ---- recording ------------------------------------------------------------------------------ */

wsgi_recorder_t *wsgi_runtime_recorder(void)
{
    return atomic_load_explicit(&wsgi_the_runtime.recorder, memory_order_acquire);
}

static PyObject *start_recording(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    if (wsgi_runtime_recorder() != NULL) {
        Py_RETURN_NONE;
    }
    wsgi_recorder_t *none = NULL;
    wsgi_recorder_t *recorder = wsgi_recorder_new((unsigned)wsgi_runtime_settings()->threads);
    if (recorder == NULL) {
        return PyErr_NoMemory();
    }
    if (!atomic_compare_exchange_strong(&wsgi_the_runtime.recorder, &none, recorder)) {
        wsgi_recorder_free(recorder);
    }
    Py_RETURN_NONE;
}

/* A process that the application has forked serves no requests, and may have the lock for ever. */
static wsgi_recorder_t *recorder_here(void)
{
    return wsgi_runtime_is_forked() ? NULL : wsgi_runtime_recorder();
}

/* ---- request_metrics() ---------------------------------------------------------------------- */

static PyObject *list_of_threads(const wsgi_interval_t *it,
                                 PyObject *(*value)(const wsgi_thread_sum_t *))
{
    WSGI_AUTO_REF PyObject *list = PyList_New((Py_ssize_t)it->thread_count);
    for (unsigned i = 0; list != NULL && i < it->thread_count; i++) {
        PyObject *item = value(&it->threads[i]);
        if (item == NULL) {
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return wsgi_py_steal(&list);
}

static PyObject *requests_of(const wsgi_thread_sum_t *thread)
{
    return count(thread->requests);
}

static PyObject *busy_of(const wsgi_thread_sum_t *thread)
{
    return seconds(thread->busy_us);
}

static PyObject *cpu_of(const wsgi_thread_sum_t *thread)
{
    return seconds(thread->cpu_us);
}

static PyObject *elapsed_of(const wsgi_thread_sum_t *thread)
{
    return seconds(thread->elapsed_us);
}

static PyObject *longest_of(const wsgi_thread_sum_t *thread)
{
    return seconds(thread->longest_us);
}

static int put_threads(PyObject *dict, const wsgi_interval_t *it)
{
    return put(dict, "request_threads_completed", list_of_threads(it, requests_of)) ||
           put(dict, "request_threads_buckets", list_of_threads(it, requests_of)) ||
           put(dict, "request_threads_busy_time", list_of_threads(it, busy_of)) ||
           put(dict, "request_threads_cpu_time", list_of_threads(it, cpu_of)) ||
           put(dict, "request_threads_current_elapsed", list_of_threads(it, elapsed_of)) ||
           put(dict, "request_threads_max_duration", list_of_threads(it, longest_of));
}

static int put_load(PyObject *dict, const wsgi_interval_t *it)
{
    double period_us = (double)(it->stop_us - it->start_us);
    int64_t busy_us = 0;
    for (unsigned i = 0; i < it->thread_count; i++) {
        busy_us += it->threads[i].busy_us;
    }
    return put(dict, "pid", PyLong_FromLong(getpid())) ||
           put(dict, "start_time", seconds(it->start_us)) ||
           put(dict, "stop_time", seconds(it->stop_us)) ||
           put(dict, "sample_period", seconds(it->stop_us - it->start_us)) ||
           put(dict, "request_count", count(it->requests)) ||
           put(dict, "request_throughput", ratio((double)it->requests * 1e6, period_us)) ||
           put(dict, "capacity_utilization",
               ratio((double)busy_us, period_us * (double)it->thread_count)) ||
           put(dict, "request_threads_maximum", count(it->thread_count)) ||
           put(dict, "request_threads_started", count(it->threads_started)) ||
           put(dict, "request_threads_active", count(it->threads_active));
}

static const struct {
    const char *mean, *min, *max, *buckets;
} phase_keys[] = {
#define PHASE(name, key)                                                                           \
    {#key "_time", #key "_time_min_us", #key "_time_max_us", #key "_time_buckets"},
    WSGI_PHASES(PHASE)
#undef PHASE
};

static PyObject *list_of_buckets(const uint32_t *buckets)
{
    WSGI_AUTO_REF PyObject *list = PyList_New(WSGI_PHASE_BUCKETS);
    for (unsigned i = 0; list != NULL && i < WSGI_PHASE_BUCKETS; i++) {
        PyObject *item = count(buckets[i]);
        if (item == NULL) {
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return wsgi_py_steal(&list);
}

/* Means are over all requests, those without the phase included. */
static int put_phase(PyObject *dict, const wsgi_interval_t *it, unsigned phase)
{
    const wsgi_phase_sum_t *sum = &it->phases[phase];
    const bool is_daemon_only = phase == WSGI_PHASE_QUEUE || phase == WSGI_PHASE_DAEMON;
    PyObject *mean = is_daemon_only && is_embedded()
                         ? Py_NewRef(Py_None)
                         : ratio((double)sum->sum_us / 1e6, (double)it->requests);
    bool has_any = sum->count > 0;
    return put(dict, phase_keys[phase].mean, mean) ||
           put(dict, phase_keys[phase].min,
               has_any ? PyLong_FromLongLong(sum->min_us) : Py_NewRef(Py_None)) ||
           put(dict, phase_keys[phase].max,
               has_any ? PyLong_FromLongLong(sum->max_us) : Py_NewRef(Py_None)) ||
           put(dict, phase_keys[phase].buckets, list_of_buckets(sum->buckets));
}

static int put_phases(PyObject *dict, const wsgi_interval_t *it)
{
    for (unsigned i = 0; i < WSGI_PHASE_COUNT; i++) {
        if (put_phase(dict, it, i) != 0) {
            return -1;
        }
    }
    return put(dict, "gil_wait_count", count(it->gil_wait_count));
}

static int put_volume(PyObject *dict, const wsgi_interval_t *it)
{
    return put(dict, "input_bytes", count(it->input_bytes)) ||
           put(dict, "input_reads", count(it->input_reads)) ||
           put(dict, "output_bytes", count(it->output_bytes)) ||
           put(dict, "output_writes", count(it->output_writes)) ||
           put(dict, "status_1xx", count(it->statuses[0])) ||
           put(dict, "status_2xx", count(it->statuses[1])) ||
           put(dict, "status_3xx", count(it->statuses[2])) ||
           put(dict, "status_4xx", count(it->statuses[3])) ||
           put(dict, "status_5xx", count(it->statuses[4]));
}

/* By the names of today, and by those that mean something else in process_metrics(). */
static int put_utilization(PyObject *dict, const wsgi_interval_t *it)
{
    double period_us = (double)(it->stop_us - it->start_us);
    double user = (double)it->cpu_user_us, system = (double)it->cpu_system_us;
    return put(dict, "cpu_user_utilization", ratio(user, period_us)) ||
           put(dict, "cpu_system_utilization", ratio(system, period_us)) ||
           put(dict, "cpu_utilization", ratio(user + system, period_us)) ||
           put(dict, "cpu_user_time", ratio(user, period_us)) ||
           put(dict, "cpu_system_time", ratio(system, period_us)) ||
           put(dict, "cpu_time", ratio(user + system, period_us));
}

static int put_memory(PyObject *dict)
{
    uint64_t bytes, most_bytes;
    wsgi_process_memory(&bytes, &most_bytes);
    return put(dict, "memory_rss", count(bytes)) || put(dict, "memory_max_rss", count(most_bytes));
}

static int fill_request_metrics(PyObject *dict, const wsgi_interval_t *it)
{
    return put_load(dict, it) || put_threads(dict, it) || put_phases(dict, it) ||
                   put_volume(dict, it) || put_utilization(dict, it) || put_memory(dict)
               ? -1
               : 0;
}

/* A dict of the interval, which is freed. */
static PyObject *tell(wsgi_interval_t *it, int (*fill)(PyObject *, const wsgi_interval_t *))
{
    if (it == NULL) {
        return PyErr_NoMemory();
    }
    WSGI_AUTO_REF PyObject *dict = PyDict_New();
    int code = dict != NULL ? fill(dict, it) : -1;
    free(it);
    return code == 0 ? wsgi_py_steal(&dict) : NULL;
}

static PyObject *request_metrics(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    wsgi_recorder_t *recorder = recorder_here();
    if (recorder == NULL) {
        Py_RETURN_NONE;
    }
    return tell(wsgi_recorder_take(recorder), fill_request_metrics);
}

/* ---- process_metrics() ---------------------------------------------------------------------- */

static PyObject *thread_of(const wsgi_thread_sum_t *thread, unsigned number)
{
    return Py_BuildValue("{s:I,s:K}", "thread_id", number, "request_count",
                         (unsigned long long)thread->all_requests);
}

static PyObject *list_of_thread_dicts(const wsgi_interval_t *it)
{
    WSGI_AUTO_REF PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < it->thread_count && i < it->threads_started; i++) {
        WSGI_AUTO_REF PyObject *item = thread_of(&it->threads[i], i + 1);
        if (item == NULL || PyList_Append(list, item) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&list);
}

static int put_process_cpu(PyObject *dict)
{
    int64_t user_us, system_us;
    wsgi_process_cpu_us(&user_us, &system_us);
    return put(dict, "cpu_user_time", seconds(user_us)) ||
           put(dict, "cpu_system_time", seconds(system_us)) ||
           put(dict, "cpu_time", seconds(user_us + system_us));
}

static int fill_process_metrics(PyObject *dict, const wsgi_interval_t *it)
{
    int64_t started_us = wsgi_the_runtime.started_us;
    return put(dict, "pid", PyLong_FromLong(getpid())) ||
                   put(dict, "restart_time", seconds(started_us)) ||
                   put(dict, "current_time", seconds(it->stop_us)) ||
                   put(dict, "running_time",
                       PyLong_FromLongLong((it->stop_us - started_us) / 1000000)) ||
                   put(dict, "request_count", count(it->all_requests)) ||
                   put(dict, "request_busy_time", seconds(it->all_busy_us)) ||
                   put(dict, "request_threads", count(it->threads_started)) ||
                   put(dict, "active_requests", count(it->under_way)) || put_process_cpu(dict) ||
                   put_memory(dict) || put(dict, "threads", list_of_thread_dicts(it))
               ? -1
               : 0;
}

static PyObject *process_metrics(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    wsgi_recorder_t *recorder = recorder_here();
    if (recorder == NULL) {
        Py_RETURN_NONE;
    }
    return tell(wsgi_recorder_look(recorder), fill_process_metrics);
}

/* ---- server_metrics() ----------------------------------------------------------------------- */

static PyObject *text(const char *bytes)
{
    return wsgi_py_text(bytes, strlen(bytes));
}

static int fill_worker(PyObject *dict, const wsgi_score_worker_t *worker)
{
    return put(dict, "thread_num", PyLong_FromLong(worker->thread)) ||
                   put(dict, "generation", PyLong_FromLong(worker->generation)) ||
                   put(dict, "status", text(worker->status)) ||
                   put(dict, "access_count", count(worker->accesses)) ||
                   put(dict, "bytes_served", count(worker->bytes)) ||
                   put(dict, "start_time", seconds(worker->start_us)) ||
                   put(dict, "stop_time", seconds(worker->stop_us)) ||
                   put(dict, "last_used", seconds(worker->last_used_us)) ||
                   put(dict, "client", text(worker->client)) ||
                   put(dict, "request", text(worker->request)) ||
                   put(dict, "vhost", text(worker->vhost))
               ? -1
               : 0;
}

static PyObject *list_of_workers(const wsgi_scoreboard_t *board, unsigned process)
{
    const wsgi_score_worker_t *workers = wsgi_score_workers(board, process);
    WSGI_AUTO_REF PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < board->threads; i++) {
        WSGI_AUTO_REF PyObject *dict = PyDict_New();
        if (dict == NULL || fill_worker(dict, &workers[i]) != 0 || PyList_Append(list, dict) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&list);
}

static int fill_process(PyObject *dict, const wsgi_scoreboard_t *board, unsigned number)
{
    const wsgi_score_process_t *process = &wsgi_score_processes(board)[number];
    return put(dict, "process_num", count(number)) ||
                   put(dict, "pid", PyLong_FromLongLong(process->pid)) ||
                   put(dict, "generation", PyLong_FromLong(process->generation)) ||
                   put(dict, "quiescing", PyBool_FromLong(process->is_quiescing != 0)) ||
                   put(dict, "workers", list_of_workers(board, number))
               ? -1
               : 0;
}

static PyObject *list_of_processes(const wsgi_scoreboard_t *board)
{
    WSGI_AUTO_REF PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < board->processes; i++) {
        WSGI_AUTO_REF PyObject *dict = PyDict_New();
        if (dict == NULL || fill_process(dict, board, i) != 0 || PyList_Append(list, dict) != 0) {
            return NULL;
        }
    }
    return wsgi_py_steal(&list);
}

static PyObject *dict_of_server(const wsgi_scoreboard_t *board)
{
    WSGI_AUTO_REF PyObject *dict = PyDict_New();
    if (dict == NULL || put(dict, "server_limit", count(board->processes)) ||
        put(dict, "thread_limit", count(board->threads)) ||
        put(dict, "running_generation", PyLong_FromLongLong(board->generation)) ||
        put(dict, "restart_time", seconds(board->restart_us)) ||
        put(dict, "current_time", seconds(board->current_us)) ||
        put(dict, "running_time",
            PyLong_FromDouble(((double)board->current_us - (double)board->restart_us) / 1e6)) ||
        put(dict, "processes", list_of_processes(board))) {
        return NULL;
    }
    return wsgi_py_steal(&dict);
}

static PyObject *server_metrics(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    const wsgi_runtime_settings_t *settings = wsgi_runtime_settings();
    wsgi_scoreboard_t *board =
        settings->read_scoreboard != NULL ? settings->read_scoreboard() : NULL;
    if (board == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *dict = dict_of_server(board);
    free(board);
    return dict;
}

/* ---- the module's functions ----------------------------------------------------------------- */

static PyObject *function(const PyMethodDef *method)
{
    return PyCFunction_New((PyMethodDef *)(uintptr_t)method, NULL);
}

PyObject *wsgi_metrics_make_start(wsgi_interp_t *interp)
{
    static const PyMethodDef method = {"start_recording_metrics", start_recording, METH_NOARGS,
                                       "From now on the requests of this process are summed up."};
    (void)interp;
    return function(&method);
}

PyObject *wsgi_metrics_make_request(wsgi_interp_t *interp)
{
    static const PyMethodDef method = {"request_metrics", request_metrics, METH_NOARGS,
                                       "What its requests took since the last call, or None."};
    (void)interp;
    return function(&method);
}

PyObject *wsgi_metrics_make_process(wsgi_interp_t *interp)
{
    static const PyMethodDef method = {"process_metrics", process_metrics, METH_NOARGS,
                                       "What the process has taken and done so far, or None."};
    (void)interp;
    return function(&method);
}

PyObject *wsgi_metrics_make_server(wsgi_interp_t *interp)
{
    static const PyMethodDef method = {"server_metrics", server_metrics, METH_NOARGS,
                                       "httpd's scoreboard, or None where that is not allowed."};
    (void)interp;
    return function(&method);
}
