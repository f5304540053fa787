/* wsgi_handover.h — all that crosses from the httpd parent into the program of a process group:
 * a short list of descriptors at fixed numbers, and one settings blob.
 * Runs in:  httpd parent (packs), supervisor (unpacks).   Threads: one.   Blocks: never.
 * Owns:     unpacked strings point into the caller's bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_HANDOVER_H
#define WSGI_HANDOVER_H

#include "wsgi_core.h"

/* Descriptors of wsgi-daemon at start. Anything else that is open is closed by it. */
enum wsgi_handover_fd {
    WSGI_FD_NULL = 0,       /* /dev/null */
    WSGI_FD_STDOUT = 1,     /* the error log, as WSGI_FD_LOG */
    WSGI_FD_LOG = 2,        /* the error log of the group's server, opened for appending */
    WSGI_FD_SETTINGS = 3,   /* sealed memory: the settings blob */
    WSGI_FD_CONTROL = 4,    /* SEQPACKET to the parent: end of file = the parent is gone */
    WSGI_FD_RENDEZVOUS = 5, /* SEQPACKET, the workers' end */
    WSGI_FD_COUNTERS = 6,   /* sealed memory: wsgi_metrics.h */
    WSGI_FD_SCOREBOARD = 7, /* sealed memory: wsgi_scoreboard.h; /dev/null without server_metrics */
    WSGI_FD_END
};

#define WSGI_HANDOVER_MAGIC   0x514c5a51u
#define WSGI_HANDOVER_VERSION 1u        /* of this layout; another version refuses to start */
#define WSGI_HANDOVER_MAX     (1 << 20) /* bytes of a blob */

/* The resolved settings of one process group: src/core/… and directives never see defaults twice.
 * Members come from wsgi_group.def: TEXT (NUL-terminated, "" = not set) and NUMBER (int64_t). */
typedef struct wsgi_group_settings {
#define TEXT(member)   const char *member;
#define NUMBER(member) int64_t member;
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
} wsgi_group_settings_t;

/* The bytes of its blob; more than WSGI_HANDOVER_MAX are not taken. */
size_t wsgi_handover_size(const wsgi_group_settings_t *settings);

/* Appends the blob. WSGI_OK, WSGI_E_NOMEM. */
int wsgi_handover_pack(wsgi_buffer_t *out, const wsgi_group_settings_t *settings) WSGI_MUST_CHECK;

/* Reads a blob; every member must be there once. WSGI_OK, WSGI_E_PROTOCOL (with the reason). */
int wsgi_handover_unpack(wsgi_bytes_t blob, wsgi_group_settings_t *settings, wsgi_result_t *result)
    WSGI_MUST_CHECK;

#endif
