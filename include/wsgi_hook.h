/* wsgi_hook.h — functions of hook scripts (access, authentication, authorisation, dispatch): what
 * they are called with, as data, and what they say.
 * Runs in:  httpd child.   Threads: any, not attached; one hook each.
 * Owns:     nothing: what a hook points to is the caller's, until wsgi_hook_run() returns.
 * Python:   attaches inside.   Blocks: as long as the functions do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_HOOK_H
#define WSGI_HOOK_H

#include "wsgi_request.h"
#include "wsgi_runtime.h"

/* What a function may return besides None. Anything else is a failure. */
enum wsgi_hook_want {
    WSGI_HOOK_WANTS_VERDICT = 1u << 0, /* True, False */
    WSGI_HOOK_WANTS_TEXT = 1u << 1,    /* a str of latin-1, or bytes */
    WSGI_HOOK_WANTS_USER = 1u << 2,    /* a str that is not empty: UTF-8 */
    WSGI_HOOK_WANTS_NAMES = 1u << 3,   /* an iterable of str and bytes; never None */
    WSGI_HOOK_MAY_LACK = 1u << 4       /* and the script may have no such function */
};

enum wsgi_hook_answer {
    WSGI_HOOK_FAILED = 0, /* no answer, for a reason that has been logged */
    WSGI_HOOK_NONE,       /* None, or no such function where it may be missing */
    WSGI_HOOK_TRUE,       /* True; one of `names` is among those returned */
    WSGI_HOOK_FALSE,
    WSGI_HOOK_TEXT
};

typedef struct wsgi_hook_call {
    const char *function;
    unsigned wants;            /* enum wsgi_hook_want */
    wsgi_bytes_t arguments[2]; /* follow the environ, as texts of latin-1 */
    unsigned argument_count;
    const char *const
        *names; /* WANTS_NAMES: those that count: in any ASCII case, latin-1 or UTF-8 */
    size_t name_count;

    enum wsgi_hook_answer answer; /* written by wsgi_hook_run() */
    const char *text; /* of WSGI_HOOK_TEXT: by the host's allocate(), without a NUL inside */
} wsgi_hook_call_t;

typedef struct wsgi_hook wsgi_hook_t;

typedef struct wsgi_hook_verbs {
    /* One log line of the request, as the exchange's verb; called detached. */
    void (*log)(wsgi_hook_t *hook, int level, const char *file, int line, const char *text);
    /* Memory that lives as long as the request; never NULL. */
    char *(*allocate)(wsgi_hook_t *hook, size_t bytes);
    /* What mod_ssl knows; the value of an unknown variable is NULL. */
    bool (*is_https)(wsgi_hook_t *hook);
    const char *(*look_up_tls)(wsgi_hook_t *hook, const char *name);
} wsgi_hook_verbs_t;

struct wsgi_hook {
    const wsgi_hook_verbs_t *verbs;
    void *host;                     /* of the verbs */
    int log_level;                  /* lines above it are not worth making */
    wsgi_bytes_t script;            /* absolute path, NUL-terminated */
    int64_t script_mtime_us;        /* as the host has seen it; 0 = it did not look */
    bool must_compare;              /* load the script again where it has changed */
    bool has_tls;                   /* mod_ssl.is_https and mod_ssl.var_lookup are in the environ */
    wsgi_bytes_t application_group; /* "" = main interpreter */
    void *native;                   /* apache.request_rec; NULL: not in the environ */
    const wsgi_var_t *vars;         /* of the environ, in order; a later name wins */
    size_t var_count;
};

/* Makes the calls in their order, all with one environ, until one fails; the answers of the others
 * stay WSGI_HOOK_FAILED. False: one did. */
bool wsgi_hook_run(wsgi_interp_t *interp, wsgi_hook_t *hook, wsgi_hook_call_t *calls, size_t count);

#endif
