/* wsgi_request.h — a request as data: what an application host is told, the same in both modes
 * and on the wire. Plain C: no httpd type, no PyObject.
 * Runs in:  every process.   Threads: one at a time per request.
 * Owns:     nothing: every pointer is borrowed from the host for the life of the exchange.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_REQUEST_H
#define WSGI_REQUEST_H

#include "wsgi_core.h"

/* One meta-variable of the environ (RFC 3875, PEP 3333). `number` is a WSGI_META_* of wsgi_field.h,
 * then `name` may be empty; or 0, then `name` is the key, and none that has a number. Values are
 * bytes as received. */
typedef struct wsgi_var {
    uint32_t number;
    wsgi_bytes_t name;
    wsgi_bytes_t value;
} wsgi_var_t;

#define WSGI_BODY_UNKNOWN INT64_C(-1) /* length not announced (chunked) */

enum wsgi_request_flag {
    WSGI_REQUEST_HTTPS = 1u << 0,           /* wsgi.url_scheme is https */
    WSGI_REQUEST_RELOADING = 1u << 1,       /* compare the script with the loaded one first */
    WSGI_REQUEST_EXPECT = 1u << 2,          /* the client waits for 100 (Continue) */
    WSGI_REQUEST_BODY_INCLUDED = 1u << 3,   /* wire only: body_first is the whole body */
    WSGI_REQUEST_HANDLER_SCRIPT = 1u << 4,  /* script is a WSGIHandlerScript, not the resource */
    WSGI_REQUEST_OPEN_NAME = 1u << 5,       /* a client can choose the application group */
    WSGI_REQUEST_PASS_NATIVE = 1u << 6,     /* apache.request_rec; httpd hosts only */
    WSGI_REQUEST_IGNORE_ACTIVITY = 1u << 7, /* does not keep an idle process alive */
};

typedef struct wsgi_request {
    uint64_t id;             /* unique within the sending child; for log lines and answers */
    uint32_t flags;          /* enum wsgi_request_flag */
    int64_t body_length;     /* bytes, or WSGI_BODY_UNKNOWN; 0 = none */
    int64_t script_mtime_us; /* modification time the host has seen; 0 = it did not look */
    int64_t request_start_us, queue_start_us; /* wall clock; queue_start_us 0 when embedded */
    uint8_t log_level; /* enum wsgi_log_level: lines of this request above it are left out */
    uint8_t tries;     /* how often it came back unbegun from a worker before; at most 255 */

    wsgi_bytes_t script;            /* absolute path, NUL-terminated */
    wsgi_bytes_t process_group;     /* "" = embedded */
    wsgi_bytes_t application_group; /* "" = main interpreter; NUL-terminated */
    wsgi_bytes_t callable;          /* NUL-terminated */
    wsgi_bytes_t handler;           /* httpd handler name, such as "wsgi-script" */
    wsgi_bytes_t log_id;            /* httpd's id of the request (%L), may be "" */

    const wsgi_var_t *vars; /* in the order of the environ; a later name wins */
    size_t var_count;

    wsgi_bytes_t body_first; /* wire only: bytes of the body that travel with the head */
    int64_t firm_until_us;   /* wire only, monotonic: the caller does not withdraw it before */
} wsgi_request_t;

/* A response head. Names and values have passed wsgi_field_*; reason may be empty. */
typedef struct wsgi_field {
    wsgi_bytes_t name, value;
} wsgi_field_t;

typedef struct wsgi_head {
    unsigned status; /* 100…999 */
    wsgi_bytes_t reason;
    const wsgi_field_t *fields; /* in order; repeated names stay apart */
    size_t field_count;
} wsgi_head_t;

#endif
