/* wsgi_core.h — what every layer stands on: error codes, results, the log sink, descriptors.
 * Runs in:  every process.   Threads: any; wsgi_log_install() before the first thread.
 * Owns:     nothing.         Memory:  none but the caller's.
 * Python:   none.            Blocks:  only where the installed sink does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_CORE_H
#define WSGI_CORE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WSGI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define WSGI_NONNULL           __attribute__((nonnull))
#define WSGI_MUST_CHECK        __attribute__((warn_unused_result))
#define WSGI_COLD              __attribute__((cold))
#define WSGI_NORETURN          __attribute__((noreturn))

/* Results of core, metrics, proxy, daemon and the exchange's verbs: 0 or more is success. From
 * WSGI_E_FATAL downwards the object that gave the code can no longer be used, only freed. */
enum wsgi_error {
    WSGI_OK = 0,
    WSGI_E_AGAIN = -1,    /* nothing to do now; try again when readable or writable */
    WSGI_E_INVALID = -2,  /* the caller's value is outside the rules */
    WSGI_E_NOMEM = -3,    /* out of memory */
    WSGI_E_REFUSED = -4,  /* nobody there to take the request; it was not begun */
    WSGI_E_DECLINED = -5, /* taken and handed back unbegun (GOAWAY): safe to try again */
    WSGI_E_FATAL = -100,
    WSGI_E_GONE = -101,      /* the client has gone */
    WSGI_E_TIMEOUT = -102,   /* a deadline passed */
    WSGI_E_PROTOCOL = -103,  /* the peer broke the rules of the wire */
    WSGI_E_TOO_LARGE = -104, /* over a limit */
    WSGI_E_DIED = -105,      /* the worker ended while it had the request */
    WSGI_E_IO = -106,        /* the system refused; the result's detail says what */
    WSGI_E_SHORT = -107      /* the request body ended before its announced length */
};

/* One phrase without a full stop, for use inside a log line; never NULL. */
const char *wsgi_strerror(int error);

/* What went wrong and where, filled on the way up and logged once at the border. */
typedef struct wsgi_result {
    int code;         /* enum wsgi_error */
    char detail[480]; /* one sentence: the cause, then the cure; empty when code is WSGI_OK */
} wsgi_result_t;

/* Stores code and text in *result (which may be NULL) and returns code. */
int wsgi_fail(wsgi_result_t *result, int code, const char *fmt, ...) WSGI_PRINTF(3, 4) WSGI_COLD;

/* Levels have the numbers of syslog and of httpd's APLOG_*. */
enum wsgi_log_level {
    WSGI_LOG_CRIT = 2,    /* nothing can be served */
    WSGI_LOG_ERR = 3,     /* an operator must act, or a request failed */
    WSGI_LOG_WARNING = 4, /* degraded or misconfigured */
    WSGI_LOG_NOTICE = 5,  /* shown by default: what an operator should know */
    WSGI_LOG_INFO = 6,    /* life of processes and interpreters */
    WSGI_LOG_DEBUG = 7,   /* decisions */
    WSGI_LOG_TRACE1 = 8,  /* life cycles */
    WSGI_LOG_TRACE2 = 9,  /* request stages */
    WSGI_LOG_TRACE3 = 10, /* frames */
    WSGI_LOG_TRACE4 = 11, /* attachments and locks */
    WSGI_LOG_TRACE5 = 12  /* bytes */
};

/* Where lines go. `text` has no line end, is NUL-terminated, and is borrowed for the call. */
typedef void wsgi_log_write_t(void *baton, int level, const char *file, int line, const char *text);

/* Installs the sink of this process. Lines above max_level are not even formatted. Before the
 * first call lines go to standard error at level notice. */
void wsgi_log_install(wsgi_log_write_t *write, void *baton, int max_level);
bool wsgi_log_is_enabled(int level);
void wsgi_log_at(int level, const char *file, int line, const char *fmt, ...) WSGI_PRINTF(4, 5);

#define wsgi_log(level, ...)                                                                       \
    do {                                                                                           \
        if (wsgi_log_is_enabled(level)) {                                                          \
            wsgi_log_at((level), __FILE__, __LINE__, __VA_ARGS__);                                 \
        }                                                                                          \
    } while (0)

/* Prefix of a message's format string, everywhere, httpd's own log calls included:
 * wsgi_log(WSGI_LOG_ERR, WSGI_ID(1001) "cannot …"). Numbers: src/core/messages.def. */
#define WSGI_ID(number) "WSGI" #number ": "

/* A broken invariant: logs the expression and aborts. Never for input, never for memory. */
#define WSGI_ASSERT(expr)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0)) {                                                        \
            wsgi_assert_failed(#expr, __FILE__, __LINE__);                                         \
        }                                                                                          \
    } while (0)
void wsgi_assert_failed(const char *expr, const char *file, int line) WSGI_COLD WSGI_NORETURN;

/* Bytes with a length; not NUL-terminated unless the place says so; borrowed unless it says so. */
typedef struct wsgi_bytes {
    const char *data;
    size_t len;
} wsgi_bytes_t;

#define WSGI_LITERAL(text) ((wsgi_bytes_t){(text), sizeof(text) - 1})

/* A growing buffer: malloc inside, contiguous. Zero-initialised is empty and valid. */
typedef struct wsgi_buffer {
    char *data;
    size_t len, capacity;
} wsgi_buffer_t;

/* Makes room for at least `more` bytes behind len. WSGI_OK or WSGI_E_NOMEM (buffer unchanged). */
int wsgi_buffer_reserve(wsgi_buffer_t *buffer, size_t more) WSGI_NONNULL WSGI_MUST_CHECK;
int wsgi_buffer_append(wsgi_buffer_t *buffer, const void *data, size_t len) WSGI_MUST_CHECK;
/* Drops the first `count` bytes (count ≤ len). */
void wsgi_buffer_consume(wsgi_buffer_t *buffer, size_t count) WSGI_NONNULL;
/* Empties; keeps at most `keep_bytes` of memory for the next use. */
void wsgi_buffer_clear(wsgi_buffer_t *buffer, size_t keep_bytes) WSGI_NONNULL;

/* Closes *fd unless it is negative, and sets it to -1. */
void wsgi_fd_close(int *fd) WSGI_NONNULL;

/* A thread with all signals blocked, as they are for the process's own threads; name: at most 15
 * characters. 0, or an errno. */
int wsgi_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *data)
    WSGI_MUST_CHECK;

/* Microseconds of the monotonic clock, for deadlines; of the wall clock, for time stamps. */
int64_t wsgi_now_us(void);
int64_t wsgi_wall_us(void);

#endif
