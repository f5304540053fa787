/* daemon/journal.h — what a worker leaves behind: why it ends, and what it loads or serves, for the
 * supervisor to quote when it has died.
 *
 * Each worker has its own piece of shared memory, made by the supervisor just before the fork. It is
 * anonymous: there is no descriptor by which it could be resized, and nobody else can map it. The
 * supervisor believes nothing in it: texts are cut at their room and cleaned, numbers are checked.
 * Runs in:  supervisor (makes, reads), worker (writes).   Threads: each entry has one owner.
 * Owns:     a mapping.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_JOURNAL_H
#define WSGI_JOURNAL_H

#include "wsgi_metrics.h"
#include "wsgi_request.h"

enum {
    WSGI_JOURNAL_ENTRIES = 64, /* requests at a time; more are served, and only counted */
    WSGI_JOURNAL_TEXT = 244,   /* "GET /path" and an id, not ended by a NUL */
    WSGI_JOURNAL_QUOTE = WSGI_JOURNAL_TEXT + 24 /* of one, as it is quoted */
};

typedef struct wsgi_journal_entry {
    _Atomic uint32_t is_used;
    uint32_t len;
    uint32_t id_len; /* of the text's end: the id */
    char text[WSGI_JOURNAL_TEXT];
} wsgi_journal_entry_t;

typedef struct wsgi_journal {
    _Atomic uint32_t reason;            /* enum wsgi_reason; the first one stays */
    _Atomic uint32_t is_killing_itself; /* for that reason, since nothing else can end it */
    wsgi_journal_entry_t import; /* the script that it loads ahead of requests: its path's end */
    wsgi_journal_entry_t entries[WSGI_JOURNAL_ENTRIES];
} wsgi_journal_t;

/* NULL without memory. */
wsgi_journal_t *wsgi_journal_open(void);
void wsgi_journal_close(wsgi_journal_t *journal);

/* The worker's side. False: another reason was first. */
bool wsgi_journal_set_reason(wsgi_journal_t *journal, enum wsgi_reason reason);
/* `index` from WSGI_JOURNAL_ENTRIES on is ignored. */
void wsgi_journal_enter(wsgi_journal_t *journal, unsigned index, const wsgi_request_t *request);
void wsgi_journal_leave(wsgi_journal_t *journal, unsigned index);
void wsgi_journal_enter_import(wsgi_journal_t *journal, const char *script);
void wsgi_journal_leave_import(wsgi_journal_t *journal);

/* The supervisor's side. */
enum wsgi_reason wsgi_journal_reason(const wsgi_journal_t *journal);
/* The script that it was loading, in quotes, for the inside of a log line; "" where there is none. */
void wsgi_journal_quote_import(const wsgi_journal_t *journal, char *out, size_t room);
/* Up to three requests, as above. */
void wsgi_journal_quote_one(const wsgi_journal_t *journal, unsigned index, char *out, size_t room);
void wsgi_journal_quote(const wsgi_journal_t *journal, char *out, size_t room);

#endif
