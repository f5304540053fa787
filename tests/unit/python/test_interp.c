/* tests/unit/python/test_interp.c — the registry, attachments, what a thread keeps and gives back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <pthread.h>

static int start(void **state)
{
    (void)state;
    start_or_exit(&usual_settings);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    wsgi_runtime_stop();
    return 0;
}

static wsgi_interp_t *find(const char *name)
{
    wsgi_result_t result;
    wsgi_interp_t *interp = wsgi_interp_find(name, false, &result);
    assert_non_null(interp);
    return interp;
}

/* The value of an expression in an interpreter, as an int; -1 where it fails. */
static long evaluate(wsgi_interp_t *interp, const char *expression)
{
    WSGI_PY_SCOPE(py, interp);
    if (py == NULL) {
        return -1;
    }
    WSGI_AUTO_REF PyObject *main_b = Py_XNewRef(PyImport_AddModule("__main__"));
    PyObject *globals_b = PyModule_GetDict(main_b);
    WSGI_AUTO_REF PyObject *value = PyRun_String(expression, Py_eval_input, globals_b, globals_b);
    if (value == NULL) {
        PyErr_Print();
    }
    return value != NULL ? PyLong_AsLong(value) : -1;
}

static void test_names(void **state)
{
    (void)state;
    wsgi_interp_t *one = find("one");
    assert_ptr_equal(find("one"), one);
    assert_ptr_not_equal(find("two"), one);
    assert_ptr_not_equal(find(""), one);
    assert_string_equal(wsgi_interp_name(one), "one");
    assert_string_equal(wsgi_interp_name(find("")), "");
}

static void test_interpreters_are_apart(void **state)
{
    static const char set[] = "__import__('sys').modules.setdefault('mark', 7)";
    static const char get[] = "__import__('sys').modules.get('mark', 0)";
    (void)state;
    assert_int_equal(evaluate(find("one"), set), 7);
    assert_int_equal(evaluate(find("one"), get), 7);
    assert_int_equal(evaluate(find("two"), get), 0);
    assert_int_equal(evaluate(find(""), get), 0);
}

static void test_many_names(void **state)
{
    char name[24];
    (void)state;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "many-%d", i);
        assert_int_equal(evaluate(find(name), "6 * 7"), 42);
    }
}

/* In a process of its own: so many interpreters cost time and memory. */
static void find_open_names(void)
{
    char name[24];
    wsgi_result_t result;
    unsigned made = 0;
    start_or_exit(&usual_settings);
    (void)find("open-3"); /* by the configuration: not counted */
    for (unsigned i = 0; i < WSGI_INTERP_OPEN_MAX + 3; i++) {
        snprintf(name, sizeof(name), "open-%u", i);
        made += wsgi_interp_find(name, true, &result) != NULL;
    }
    printf("made %u more\n", made - WSGI_INTERP_OPEN_MAX);
    printf("refused: %s\n", result.detail);
    printf("known: %ld\n", evaluate(wsgi_interp_find("open-5", true, &result), "6 * 7"));
    printf("not open: %ld\n", evaluate(find("by-configuration"), "6 * 7"));
    printf("main: %ld\n", evaluate(wsgi_interp_find("", true, &result), "6 * 7"));
}

static void test_open_names_are_limited(void **state)
{
    (void)state;
    assert_string_equal(
        output_of(find_open_names, 0),
        "made 1 more\n"
        "refused: clients have chosen 64 names of interpreters, and no more are made for them; let "
        "WSGIApplicationGroup name a fixed group, or let httpd refuse unknown hosts\n"
        "known: 42\nnot open: 42\nmain: 42\n");
}

static void *find_in_thread(void *name)
{
    wsgi_result_t result;
    return wsgi_interp_find(name, false, &result);
}

static void test_one_interpreter_for_all_who_ask_at_once(void **state)
{
    pthread_t threads[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, find_in_thread, "wanted"), 0);
    }
    for (int i = 0; i < 8; i++) {
        void *interp;
        assert_int_equal(pthread_join(threads[i], &interp), 0);
        assert_ptr_equal(interp, find("wanted"));
    }
}

/* A thread keeps its state: locals stay from one attachment to the next. */
static void *keep_locals(void *unused)
{
    (void)unused;
    wsgi_result_t result;
    wsgi_interp_t *interp = wsgi_interp_find("locals", false, &result);
    const char *failure = NULL;
    (void)evaluate(interp, "globals().setdefault('t', __import__('threading').local()) and 0");
    if (evaluate(interp, "hasattr(t, 'x') * 1") != 0) {
        failure = "a new thread has locals already";
    }
    (void)evaluate(interp, "setattr(t, 'x', 5) or 0");
    if (evaluate(interp, "t.x") != 5) {
        failure = "locals did not stay";
    }
    wsgi_runtime_thread_end();
    if (evaluate(interp, "hasattr(t, 'x') * 1") != 0) {
        failure = "locals outlived the end of the thread";
    }
    return (void *)failure;
}

static void test_locals(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *failure;
        assert_int_equal(pthread_create(&thread, NULL, keep_locals, NULL), 0);
        assert_int_equal(pthread_join(thread, &failure), 0);
        assert_null(failure);
    }
}

/* Threads that end give everything back, with and without saying so. */
static void *visit(void *says_so)
{
    wsgi_result_t result;
    (void)evaluate(wsgi_interp_find("visited", false, &result), "1");
    (void)evaluate(wsgi_interp_find("", false, &result), "1");
    if (says_so != NULL) {
        wsgi_runtime_thread_end();
    }
    return NULL;
}

static void test_threads_leave_nothing_behind(void **state)
{
    static const char count[] = "len(__import__('sys')._current_frames())";
    (void)state;
    wsgi_interp_t *interp = find("visited");
    long before = evaluate(interp, count);
    for (int i = 0; i < 40; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, visit, i % 2 == 0 ? &thread : NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(evaluate(interp, count), before);
}

/* PyGILState_Ensure() of extensions must find the interpreter in use where a thread knows only
 * one, the thread that made it included. */
static void *ensure_in_sub(void *name)
{
    wsgi_result_t result;
    WSGI_PY_SCOPE(py, wsgi_interp_find(name, false, &result));
    if (py == NULL) {
        return name;
    }
    PyInterpreterState *current = PyInterpreterState_Get();
    PyGILState_STATE gil = PyGILState_Ensure();
    bool is_same = PyInterpreterState_Get() == current;
    PyGILState_Release(gil);
    return is_same ? NULL : (void *)name;
}

static void test_extensions_find_the_interpreter(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* made by the first thread, known to the second */
        pthread_t thread;
        void *failure;
        assert_int_equal(pthread_create(&thread, NULL, ensure_in_sub, "ensured"), 0);
        assert_int_equal(pthread_join(thread, &failure), 0);
        assert_null(failure);
    }
}

static void test_leaving_a_scope_by_return_detaches(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evaluate(find(""), "1"), 1); /* would deadlock or abort otherwise */
    }
}

static int count_blocking(wsgi_interp_t *interp)
{
    int runs = 0;
    WSGI_PY_SCOPE(py, interp);
    WSGI_PY_BLOCKING(py) {
        runs++;
        if (runs == 1) {
            break;
        }
    }
    WSGI_PY_BLOCKING(py) {
        runs++;
    }
    PyObject *number = PyLong_FromLong(1000000); /* attached again */
    Py_DECREF(number);
    WSGI_PY_BLOCKING(py) {
        return runs;
    }
    return -1;
}

static void test_blocking_runs_once_however_it_is_left(void **state)
{
    (void)state;
    assert_int_equal(count_blocking(find("")), 2);
    assert_int_equal(count_blocking(find("one")), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_interpreters_are_apart),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_one_interpreter_for_all_who_ask_at_once),
        cmocka_unit_test(test_locals),
        cmocka_unit_test(test_threads_leave_nothing_behind),
        cmocka_unit_test(test_extensions_find_the_interpreter),
        cmocka_unit_test(test_leaving_a_scope_by_return_detaches),
        cmocka_unit_test(test_blocking_runs_once_however_it_is_left),
    };
    const struct CMUnitTest forking[] = {cmocka_unit_test(test_open_names_are_limited)};
    return cmocka_run_group_tests(forking, NULL, NULL) +
           cmocka_run_group_tests(tests, start, finish);
}
