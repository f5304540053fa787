/* python/script.c — script files as modules: loaded once per interpreter, again when changed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "python_private.h"

#include "compat.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wsgi_script {
    wsgi_script_t *next;
    uint64_t hash;
    int64_t mtime_us;
    PyObject *module;   /* NULL: the last try failed */
    wsgi_tries_t tries; /* meanwhile */
    size_t len;
    char path[];
};

/* A file as read. */
typedef struct source {
    wsgi_buffer_t text;
    int64_t mtime_us;
    int error; /* errno; EISDIR for whatever is not a regular file */
} source_t;

static int64_t mtime_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000 + info->st_mtim.tv_nsec / 1000;
}

static wsgi_script_t **bucket_of(wsgi_py_t *py, uint64_t hash)
{
    return &py->interp->scripts[hash % WSGI_SCRIPT_BUCKETS];
}

static wsgi_script_t *look_up(wsgi_py_t *py, wsgi_bytes_t path, uint64_t hash)
{
    wsgi_script_t *script = *bucket_of(py, hash);
    while (script != NULL && (script->hash != hash || script->len != path.len ||
                              memcmp(script->path, path.data, path.len) != 0)) {
        script = script->next;
    }
    return script;
}

static wsgi_script_t *look_up_or_add(wsgi_py_t *py, wsgi_bytes_t path, uint64_t hash)
{
    wsgi_script_t *script = look_up(py, path, hash);
    if (script != NULL) {
        return script;
    }
    script = calloc(1, sizeof(*script) + path.len + 1);
    if (script != NULL) {
        script->hash = hash;
        script->len = path.len;
        memcpy(script->path, path.data, path.len);
        script->next = *bucket_of(py, hash);
        *bucket_of(py, hash) = script;
    }
    return script;
}

void wsgi_scripts_free(wsgi_py_t *py)
{
    for (size_t i = 0; i < WSGI_SCRIPT_BUCKETS; i++) {
        while (py->interp->scripts[i] != NULL) {
            wsgi_script_t *script = py->interp->scripts[i];
            py->interp->scripts[i] = script->next;
            Py_XDECREF(script->module);
            wsgi_tries_clear(&script->tries);
            free(script);
        }
    }
}

/* Is the file another one than at load time? The host's look is enough where it agrees. Where it
 * does not, it may have looked before a change that we loaded already: look again. */
static bool differs(wsgi_py_t *py, const wsgi_script_t *script, const wsgi_script_query_t *query)
{
    if (query->mtime_us == script->mtime_us) {
        return false;
    }
    struct stat info;
    int failed = 0;
    WSGI_PY_BLOCKING(py) {
        failed = stat(query->path.data, &info);
    }
    return failed != 0 || mtime_of(&info) != script->mtime_us;
}

static bool has_changed(wsgi_py_t *py, const wsgi_script_t *script,
                        const wsgi_script_query_t *query)
{
    return query->must_reload || (query->must_compare && differs(py, script, query));
}

/* Reading. */

static int read_all(int fd, size_t size_hint, wsgi_buffer_t *text)
{
    if (wsgi_buffer_reserve(text, size_hint + 1) != WSGI_OK) {
        return ENOMEM;
    }
    for (;;) {
        if (text->len == text->capacity && wsgi_buffer_reserve(text, 4096) != WSGI_OK) {
            return ENOMEM;
        }
        ssize_t got = read(fd, text->data + text->len, text->capacity - text->len);
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            return errno;
        }
        text->len += got > 0 ? (size_t)got : 0;
    }
}

static int read_open_file(int fd, source_t *source)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return errno;
    }
    if (!S_ISREG(info.st_mode)) {
        return EISDIR;
    }
    source->mtime_us = mtime_of(&info);
    return read_all(fd, (size_t)info.st_size, &source->text);
}

/* O_NONBLOCK: the open of a fifo must not hang. */
static void read_source(const char *path, source_t *source)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    source->error = fd < 0 ? errno : read_open_file(fd, source);
    wsgi_fd_close(&fd);
}

static enum wsgi_script_state explain(const char *path, int error, wsgi_result_t *result)
{
    if (error == ENOENT || error == ENOTDIR) {
        wsgi_fail(result, WSGI_E_IO,
                  "script '%s' does not exist; put it there, or correct the "
                  "path in the configuration",
                  path);
        return WSGI_SCRIPT_MISSING;
    }
    if (error == EISDIR) {
        wsgi_fail(result, WSGI_E_IO,
                  "script '%s' is a directory or no regular file; name the "
                  "script file in the configuration",
                  path);
    }
    else {
        wsgi_fail(result, WSGI_E_IO,
                  "script '%s' cannot be read by user id %ld (%s); give that "
                  "user read permission for it and search permission for the directories above",
                  path, (long)geteuid(), strerror(error));
    }
    return WSGI_SCRIPT_UNREADABLE;
}

/* Loading. */

/* hashlib may refuse MD5 (FIPS), and costs OpenSSL; _md5 may be left out of a build. */
static PyObject *md5_of(wsgi_bytes_t path)
{
    WSGI_AUTO_REF PyObject *module = PyImport_ImportModule("_md5");
    if (module == NULL) {
        PyErr_Clear();
        module = PyImport_ImportModule("hashlib");
    }
    WSGI_AUTO_REF PyObject *hash =
        module != NULL ? PyObject_CallMethod(module, "md5", "y#", path.data, (Py_ssize_t)path.len)
                       : NULL;
    return hash != NULL ? PyObject_CallMethod(hash, "hexdigest", NULL) : NULL;
}

/* Two spellings of a path are one module where letter case makes no difference. */
static PyObject *digest_of(wsgi_bytes_t path)
{
    if (!wsgi_the_runtime.settings.is_case_blind) {
        return md5_of(path);
    }
    char *copy = malloc(path.len + 1);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < path.len; i++) {
        copy[i] = (char)tolower((unsigned char)path.data[i]);
    }
    PyObject *digest = md5_of((wsgi_bytes_t){copy, path.len});
    free(copy);
    return digest;
}

static PyObject *module_name(wsgi_bytes_t path)
{
    WSGI_AUTO_REF PyObject *digest = digest_of(path);
    return digest != NULL ? PyUnicode_FromFormat("_mod_wsgi_%U", digest) : NULL;
}

/* By builtins.compile(), which honours the encoding cookie and refuses NUL bytes. */
static PyObject *compile(const wsgi_buffer_t *text, PyObject *filename)
{
    WSGI_AUTO_REF PyObject *builtins = PyImport_ImportModule("builtins");
    return builtins != NULL ? PyObject_CallMethod(builtins, "compile", "y#Osii", text->data,
                                                  (Py_ssize_t)text->len, filename, "exec", 0, 1)
                            : NULL;
}

static int set_mtime(PyObject *module, int64_t mtime_us)
{
    WSGI_AUTO_REF PyObject *mtime = PyLong_FromLongLong(mtime_us);
    return mtime != NULL ? PyObject_SetAttrString(module, "__mtime__", mtime) : -1;
}

static void forget_module(PyObject *name)
{
    if (PyDict_DelItem(PyImport_GetModuleDict(), name) != 0) {
        PyErr_Clear();
    }
}

static PyObject *execute(wsgi_bytes_t path, const source_t *source)
{
    WSGI_AUTO_REF PyObject *name = module_name(path);
    WSGI_AUTO_REF PyObject *filename =
        PyUnicode_DecodeFSDefaultAndSize(path.data, (Py_ssize_t)path.len);
    if (name == NULL || filename == NULL) {
        return NULL;
    }
    WSGI_AUTO_REF PyObject *code = compile(&source->text, filename);
    if (code == NULL) {
        return NULL;
    }
    forget_module(name);
    WSGI_AUTO_REF PyObject *module = PyImport_ExecCodeModuleObject(name, code, filename, NULL);
    if (module == NULL || set_mtime(module, source->mtime_us) != 0) {
        return NULL;
    }
    return wsgi_py_steal(&module);
}

/* What failed before says nothing of another file. */
static void run(wsgi_script_t *script, const source_t *source, const wsgi_script_query_t *query)
{
    if (source->mtime_us != script->mtime_us) {
        wsgi_tries_clear(&script->tries);
    }
    script->mtime_us = source->mtime_us;
    script->module = execute((wsgi_bytes_t){script->path, script->len}, source);
    if (script->module != NULL) {
        wsgi_tries_clear(&script->tries);
    }
    else if (query->now_us != NULL) {
        wsgi_tries_note(&script->tries, query->now_us());
    }
}

static enum wsgi_script_state load(wsgi_py_t *py, wsgi_script_t *script,
                                   const wsgi_script_query_t *query, wsgi_result_t *result)
{
    source_t source = {0};
    WSGI_PY_BLOCKING(py) {
        read_source(script->path, &source);
    }
    enum wsgi_script_state state = WSGI_SCRIPT_READY;
    if (source.error != 0) {
        wsgi_tries_clear(&script->tries);
        state = explain(script->path, source.error, result);
    }
    else {
        run(script, &source, query);
        state = script->module != NULL ? WSGI_SCRIPT_READY : WSGI_SCRIPT_FAILED;
    }
    free(source.text.data);
    return state;
}

/* Is it too early to try a script that failed? */
static bool must_wait(wsgi_py_t *py, const wsgi_script_t *script, const wsgi_script_query_t *query,
                      wsgi_result_t *result)
{
    int64_t wait_us =
        query->now_us != NULL ? wsgi_tries_wait_us(&script->tries, query->now_us()) : 0;
    if (wait_us == 0 || differs(py, script, query)) {
        return false;
    }
    wsgi_fail(result, WSGI_E_AGAIN,
              "next try in %lld s, or once the file has changed: script '%s' could not be loaded, "
              "and is not run for each request; its first failure was:",
              (long long)((wait_us + 999999) / 1000000), script->path);
    return true;
}

/* Where a changed script is left to the process's end, so is one that failed: half of it may have
 * taken effect, and no second half is put on top. */
static enum wsgi_script_state repeat_failure(wsgi_py_t *py, const wsgi_script_t *script,
                                             const wsgi_script_query_t *query, PyObject **found,
                                             wsgi_result_t *result)
{
    if (has_changed(py, script, query)) {
        return WSGI_SCRIPT_CHANGED;
    }
    wsgi_fail(result, WSGI_E_AGAIN,
              "next try by the successor of this process, or once the file has changed: script "
              "'%s' could not be loaded, and is not run again here; its first failure was:",
              script->path);
    *found = Py_NewRef(script->tries.failure);
    return WSGI_SCRIPT_WAITING;
}

static enum wsgi_script_state load_or_wait(wsgi_py_t *py, wsgi_script_t *script,
                                           const wsgi_script_query_t *query, PyObject **found,
                                           wsgi_result_t *result)
{
    if (!query->reload_in_place && script->tries.failure != NULL) {
        return repeat_failure(py, script, query, found, result);
    }
    if (must_wait(py, script, query, result)) {
        *found = Py_NewRef(script->tries.failure);
        return WSGI_SCRIPT_WAITING;
    }
    enum wsgi_script_state state = load(py, script, query, result);
    *found = Py_XNewRef(script->module);
    return state;
}

/* The lock is held: another thread may have loaded meanwhile, so look again. */
static enum wsgi_script_state find_locked(wsgi_py_t *py, const wsgi_script_query_t *query,
                                          PyObject **found, wsgi_result_t *result)
{
    wsgi_script_t *script =
        look_up_or_add(py, query->path, wsgi_name_hash(query->path.data, query->path.len));
    if (script == NULL) {
        PyErr_NoMemory();
        return WSGI_SCRIPT_FAILED;
    }
    if (script->module != NULL && has_changed(py, script, query)) {
        if (!query->reload_in_place) {
            return WSGI_SCRIPT_CHANGED;
        }
        wsgi_log(WSGI_LOG_INFO, "script '%s' has changed and is loaded again", script->path);
        Py_CLEAR(script->module);
    }
    if (script->module == NULL) {
        return load_or_wait(py, script, query, found, result);
    }
    *found = Py_NewRef(script->module);
    return WSGI_SCRIPT_READY;
}

/* The way of nearly every request: loaded, unchanged, no lock. */
static PyObject *find_loaded(wsgi_py_t *py, const wsgi_script_query_t *query)
{
    if (!COMPAT_HAS_GIL) {
        return NULL;
    }
    const wsgi_script_t *script =
        look_up(py, query->path, wsgi_name_hash(query->path.data, query->path.len));
    if (script == NULL || script->module == NULL || query->must_reload ||
        (query->must_compare && query->mtime_us != script->mtime_us)) {
        return NULL;
    }
    return Py_NewRef(script->module);
}

enum wsgi_script_state wsgi_script_find(wsgi_py_t *py, const wsgi_script_query_t *query,
                                        PyObject **found, wsgi_result_t *result)
{
    *found = find_loaded(py, query);
    if (*found != NULL) {
        return WSGI_SCRIPT_READY;
    }
    WSGI_PY_BLOCKING(py) {
        pthread_mutex_lock(&wsgi_the_runtime.load_lock);
    }
    enum wsgi_script_state state = find_locked(py, query, found, result);
    pthread_mutex_unlock(&wsgi_the_runtime.load_lock);
    return state;
}
