/* wsgi_wire.h — the frames between an httpd child and a worker. No I/O: bytes in, structs out, and
 * the reverse. Both ends treat what they read as hostile: every length and count is checked.
 * Runs in:  httpd child, worker.   Threads: one at a time per buffer.
 * Owns:     nothing; decoded pointers point into the caller's bytes and live as long as those.
 * Blocks:   never.
 *
 * A frame: 32-bit length of the payload, 8-bit type, 8-bit flags, 16 bits zero, payload; integers
 * little-endian. Roles and states: docs/wire.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_WIRE_H
#define WSGI_WIRE_H

#include "wsgi_request.h"

#define WSGI_WIRE_VERSION      2u
#define WSGI_WIRE_HEADER_BYTES 8u
#define WSGI_WIRE_DATA_MAX     (64u << 10) /* payload of BODY and DATA */
#define WSGI_WIRE_HEAD_MAX     (1u << 20)  /* payload of HEAD */
#define WSGI_WIRE_VARS_MAX     4096u
#define WSGI_WIRE_FIELDS_MAX   4096u

/* Payload of REQUEST: four times what httpd lets in by default (100 fields and a request line of
 * 8190 bytes each), and the first part of the body, itself at most WSGI_WIRE_DATA_MAX. */
#define WSGI_WIRE_REQUEST_MAX (4u << 20)

enum wsgi_frame_type {
    WSGI_FRAME_HELLO = 1, /* worker: version, index, generation; the request has been taken */
    WSGI_FRAME_REQUEST,   /* caller: the request and the first part of its body */
    WSGI_FRAME_BODY,      /* caller: part of the request body */
    WSGI_FRAME_BODY_END,  /* caller: the request body is complete; status byte (WSGI_OK or error) */
    WSGI_FRAME_GONE,      /* caller: the client has gone */
    WSGI_FRAME_CONTINUE,  /* worker: the application asked for the body's rest: only then BODY */
    WSGI_FRAME_HEAD,      /* worker: status and fields */
    WSGI_FRAME_DATA,      /* worker: part of the answer */
    WSGI_FRAME_FILE,      /* worker: offset and length; one descriptor travels with it */
    WSGI_FRAME_LOG,       /* worker: level and text of one line */
    WSGI_FRAME_HINT,      /* worker: fields of a 103; reserved, not sent yet */
    WSGI_FRAME_END,       /* worker: the answer is complete */
    WSGI_FRAME_ABORT,     /* worker: the answer cannot be completed; status to answer with */
    WSGI_FRAME_GOAWAY,    /* worker: nothing sent after the last END was or will be acted on */
    WSGI_FRAME_UPGRADE,   /* reserved */
    WSGI_FRAME_COUNT
};

enum wsgi_frame_flag {
    WSGI_FRAME_FLAG_CLOSE = 1u << 0,  /* END: the worker takes the connection back */
    WSGI_FRAME_FLAG_TELLME = 1u << 1, /* REQUEST: more body will come, after HELLO and CONTINUE */
    WSGI_FRAME_FLAG_FLUSH = 1u << 2,  /* DATA, FILE: the client must see it now (PEP 3333) */
};

#define WSGI_FRAME_BIT(type) (1u << (type))

typedef struct wsgi_frame {
    enum wsgi_frame_type type;
    uint8_t flags;
    wsgi_bytes_t payload;
} wsgi_frame_t;

/* Takes one frame from the front of data. `allowed` is a set of WSGI_FRAME_BIT()s: what the state
 * permits. Result: its whole size in bytes (> 0); 0 = incomplete, then *missing (if not NULL) is
 * how many more bytes the frame needs at least; WSGI_E_PROTOCOL = illegal, the connection is dead. */
ssize_t wsgi_wire_take(wsgi_bytes_t data, uint32_t allowed, wsgi_frame_t *frame, size_t *missing);

/* Printable name of a type, for log lines; "?" for an unknown one. */
const char *wsgi_wire_type_name(unsigned type);

typedef struct wsgi_hello {
    uint32_t version;
    uint32_t worker_index; /* row in the counters; check against its size before use */
    uint32_t generation;   /* of that row */
} wsgi_hello_t;

typedef struct wsgi_wire_file {
    int64_t offset, length; /* bytes; both ≥ 0 and their sum fits */
} wsgi_wire_file_t;

typedef struct wsgi_wire_log {
    uint32_t level;    /* enum wsgi_log_level, clamped to WSGI_LOG_CRIT…WSGI_LOG_TRACE5 */
    uint32_t line;     /* of the source that has logged it; 0 = not told */
    wsgi_bytes_t file; /* its name, "" = not told; decoded: NUL-terminated, no NUL inside */
    wsgi_bytes_t text; /* so is this */
} wsgi_wire_log_t;

/* Encoders append one whole frame to out. WSGI_OK, WSGI_E_NOMEM, WSGI_E_TOO_LARGE, and for what no
 * decoder would accept WSGI_E_INVALID (out is as before). A flag that the type does not have is a
 * broken invariant. wsgi_wire_put_header() writes a header alone, for payloads sent from where they
 * lie. */
void wsgi_wire_put_header(char out[WSGI_WIRE_HEADER_BYTES], enum wsgi_frame_type type,
                          uint8_t flags, uint32_t payload_len);
int wsgi_wire_put(wsgi_buffer_t *out, enum wsgi_frame_type type, uint8_t flags,
                  wsgi_bytes_t payload) WSGI_MUST_CHECK;
int wsgi_wire_put_hello(wsgi_buffer_t *out, const wsgi_hello_t *hello) WSGI_MUST_CHECK;
int wsgi_wire_put_request(wsgi_buffer_t *out, uint8_t flags, const wsgi_request_t *request)
    WSGI_MUST_CHECK;
/* Corrects the number of tries in an encoded REQUEST, the first frame of the buffer. */
void wsgi_wire_note_tries(wsgi_buffer_t *request, unsigned tries);
int wsgi_wire_put_head(wsgi_buffer_t *out, const wsgi_head_t *head) WSGI_MUST_CHECK;
int wsgi_wire_put_file(wsgi_buffer_t *out, uint8_t flags, const wsgi_wire_file_t *file)
    WSGI_MUST_CHECK;
int wsgi_wire_put_log(wsgi_buffer_t *out, const wsgi_wire_log_t *line) WSGI_MUST_CHECK;
/* BODY_END carries a wsgi_error, ABORT an HTTP status (0: none, only truncate). */
int wsgi_wire_put_number(wsgi_buffer_t *out, enum wsgi_frame_type type, uint8_t flags,
                         int32_t number) WSGI_MUST_CHECK;

/* Decoders read a payload. WSGI_OK, WSGI_E_PROTOCOL, WSGI_E_NOMEM. The request's vars and the
 * head's fields are written to *store, an array the caller keeps between calls and frees with
 * free(); strings point into payload (those that wsgi_request_t calls NUL-terminated are). */
typedef struct wsgi_wire_store {
    void *items;
    size_t capacity_bytes;
} wsgi_wire_store_t;

int wsgi_wire_get_hello(wsgi_bytes_t payload, wsgi_hello_t *hello) WSGI_MUST_CHECK;
int wsgi_wire_get_request(wsgi_bytes_t payload, wsgi_wire_store_t *store, wsgi_request_t *request)
    WSGI_MUST_CHECK;
int wsgi_wire_get_head(wsgi_bytes_t payload, wsgi_wire_store_t *store, wsgi_head_t *head)
    WSGI_MUST_CHECK;
int wsgi_wire_get_file(wsgi_bytes_t payload, wsgi_wire_file_t *file) WSGI_MUST_CHECK;
int wsgi_wire_get_log(wsgi_bytes_t payload, wsgi_wire_log_t *line) WSGI_MUST_CHECK;
int wsgi_wire_get_number(wsgi_bytes_t payload, int32_t *number) WSGI_MUST_CHECK;

#endif
