/* daemon/journal.c — what a worker leaves behind.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "wsgi_field.h"

#define QUOTED_MAX 3

wsgi_journal_t *wsgi_journal_open(void)
{
    void *memory = mmap(NULL, sizeof(wsgi_journal_t), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED ? memory : NULL;
}

void wsgi_journal_close(wsgi_journal_t *journal)
{
    if (journal != NULL) {
        (void)munmap(journal, sizeof(*journal));
    }
}

/* --- the worker's side ----------------------------------------------------------------------- */

bool wsgi_journal_set_reason(wsgi_journal_t *journal, enum wsgi_reason reason)
{
    uint32_t none = WSGI_REASON_NONE;

    return atomic_compare_exchange_strong(&journal->reason, &none, (uint32_t)reason);
}

static wsgi_bytes_t find(const wsgi_request_t *request, uint32_t number)
{
    for (size_t i = 0; i < request->var_count; i++) {
        if (request->vars[i].number == number) {
            return request->vars[i].value;
        }
    }
    return WSGI_LITERAL("-");
}

static void add(wsgi_journal_entry_t *entry, wsgi_bytes_t text, size_t most)
{
    size_t len = text.len < most ? text.len : most;

    if (len > WSGI_JOURNAL_TEXT - entry->len) {
        len = WSGI_JOURNAL_TEXT - entry->len;
    }
    memcpy(entry->text + entry->len, text.data, len);
    entry->len += (uint32_t)len;
}

void wsgi_journal_enter(wsgi_journal_t *journal, unsigned index, const wsgi_request_t *request)
{
    if (index >= WSGI_JOURNAL_ENTRIES) {
        return;
    }
    wsgi_journal_entry_t *entry = &journal->entries[index];
    entry->len = 0;
    add(entry, find(request, WSGI_META_REQUEST_METHOD), 16);
    add(entry, WSGI_LITERAL(" "), 1);
    add(entry, find(request, WSGI_META_REQUEST_URI), 180);
    entry->id_len = entry->len;
    if (request->log_id.len > 0) {
        add(entry, request->log_id, 40);
    }
    entry->id_len = entry->len - entry->id_len;
    atomic_store_explicit(&entry->is_used, 1, memory_order_release);
}

void wsgi_journal_leave(wsgi_journal_t *journal, unsigned index)
{
    if (index < WSGI_JOURNAL_ENTRIES) {
        atomic_store_explicit(&journal->entries[index].is_used, 0, memory_order_relaxed);
    }
}

void wsgi_journal_enter_import(wsgi_journal_t *journal, const char *script)
{
    wsgi_journal_entry_t *entry = &journal->import;
    const size_t len = strlen(script),
                 left_out = len > WSGI_JOURNAL_TEXT ? len - WSGI_JOURNAL_TEXT : 0;

    entry->len = entry->id_len = 0;
    add(entry, (wsgi_bytes_t){script + left_out, len - left_out}, WSGI_JOURNAL_TEXT);
    atomic_store_explicit(&entry->is_used, 1, memory_order_release);
}

void wsgi_journal_leave_import(wsgi_journal_t *journal)
{
    atomic_store_explicit(&journal->import.is_used, 0, memory_order_relaxed);
}

/* --- the supervisor's side: the other end may have been run over --------------------------------- */

enum wsgi_reason wsgi_journal_reason(const wsgi_journal_t *journal)
{
    const uint32_t reason = journal->reason;

    return reason < WSGI_REASON_COUNT ? (enum wsgi_reason)reason : WSGI_REASON_NONE;
}

/* Only what cannot be taken for the end of a line or of a quotation. */
static void quote_text(const char *text, size_t len, char *out, size_t room)
{
    size_t i;

    for (i = 0; i < len && i + 1 < room; i++) {
        const unsigned char byte = (unsigned char)text[i];
        out[i] = (char)(byte < ' ' || byte > '~' ? '?' : byte);
    }
    out[i] = '\0';
}

static void quote_entry(const wsgi_journal_entry_t *entry, char *out, size_t room)
{
    const uint32_t len = entry->len < WSGI_JOURNAL_TEXT ? entry->len : WSGI_JOURNAL_TEXT;
    const uint32_t id_len = entry->id_len < len ? entry->id_len : 0;
    char request[WSGI_JOURNAL_TEXT + 1], id[WSGI_JOURNAL_TEXT + 1];

    quote_text(entry->text, len - id_len, request, sizeof(request));
    quote_text(entry->text + len - id_len, id_len, id, sizeof(id));
    snprintf(out, room, "\"%s\"%s%s%s", request, id_len > 0 ? " (request " : "", id,
             id_len > 0 ? ")" : "");
}

void wsgi_journal_quote_one(const wsgi_journal_t *journal, unsigned index, char *out, size_t room)
{
    if (index < WSGI_JOURNAL_ENTRIES) {
        quote_entry(&journal->entries[index], out, room);
    }
    else {
        snprintf(out, room, "a request");
    }
}

void wsgi_journal_quote_import(const wsgi_journal_t *journal, char *out, size_t room)
{
    out[0] = '\0';
    if (journal->import.is_used != 0) {
        quote_entry(&journal->import, out, room);
    }
}

void wsgi_journal_quote(const wsgi_journal_t *journal, char *out, size_t room)
{
    unsigned count = 0;
    size_t used = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < WSGI_JOURNAL_ENTRIES; i++) {
        if (journal->entries[i].is_used == 0 || count++ >= QUOTED_MAX) {
            continue;
        }
        if (count > 1) {
            snprintf(out + used, room - used, ", ");
            used = strlen(out);
        }
        quote_entry(&journal->entries[i], out + used, room - used);
        used = strlen(out);
    }
    if (count > QUOTED_MAX) {
        snprintf(out + used, room - used, " and %u more", count - QUOTED_MAX);
    }
}
