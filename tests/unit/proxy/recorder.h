/* tests/unit/proxy/recorder.h — an exchange that plays a scripted client and records every verb. A
 * breach of the contract by the caller fails the test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef RECORDER_H
#define RECORDER_H

#include "wsgi_exchange.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RECORDED_MOST = 64 };

typedef struct recorder {
    wsgi_exchange_t ex; /* first: the verbs cast back */

    /* the client's script */
    const char *body;
    size_t body_len;                       /* of it, arrived so far or to come */
    size_t arrived;                        /* bytes of body that can be read now */
    int body_end;                          /* after body_len: 0 or a code */
    size_t read_most;                      /* bytes a single read gives; 0 = any number */
    int head_code, send_code, finish_code; /* what verbs answer */

    /* the record */
    unsigned read_calls, head_calls, send_calls, file_calls, log_calls, finish_calls;
    unsigned status;
    char fields[1024];  /* "Name: value\n" each */
    wsgi_buffer_t sent; /* the whole body */
    enum wsgi_send_flag flags[RECORDED_MOST];
    size_t sizes[RECORDED_MOST];
    bool has_last; /* only finish(WSGI_DONE) may follow */
    int log_level;
    char log_text[256];
    enum wsgi_outcome outcome;
    unsigned finish_status;
} recorder_t;

static ssize_t record_read(wsgi_exchange_t *ex, void *data, size_t len, enum wsgi_read_mode mode)
{
    recorder_t *r = (recorder_t *)ex;
    size_t count = r->arrived - ex->bytes_in;

    assert_int_equal(mode, WSGI_READ_NONBLOCK); /* the proxy never waits for a client alone */
    assert_int_equal(r->finish_calls, 0);
    assert_true(len > 0);
    r->read_calls++;
    if (count == 0) {
        return ex->bytes_in < r->body_len ? WSGI_E_AGAIN : r->body_end;
    }
    count = count > len ? len : count;
    count = r->read_most > 0 && count > r->read_most ? r->read_most : count;
    memcpy(data, r->body + ex->bytes_in, count);
    ex->bytes_in += count;
    return (ssize_t)count;
}

static int record_head(wsgi_exchange_t *ex, const wsgi_head_t *head)
{
    recorder_t *r = (recorder_t *)ex;

    assert_false(ex->head_sent);
    assert_int_equal(r->finish_calls, 0);
    r->head_calls++;
    r->status = head->status;
    r->fields[0] = '\0';
    for (size_t i = 0; i < head->field_count; i++) {
        const size_t at = strlen(r->fields);
        const wsgi_field_t *field = &head->fields[i];

        snprintf(r->fields + at, sizeof(r->fields) - at, "%.*s: %.*s\n", (int)field->name.len,
                 field->name.data, (int)field->value.len, field->value.data);
    }
    return r->head_code;
}

static void may_send(const recorder_t *r)
{
    assert_true(r->head_calls > 0);
    assert_int_equal(r->finish_calls, 0);
    assert_false(r->has_last);
}

static int record_body(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag)
{
    recorder_t *r = (recorder_t *)ex;

    may_send(r);
    if (r->send_calls < RECORDED_MOST) {
        r->flags[r->send_calls] = flag;
        r->sizes[r->send_calls] = len;
    }
    r->send_calls++;
    if (r->send_code != WSGI_OK) {
        return r->send_code;
    }
    r->has_last = flag == WSGI_SEND_LAST;
    ex->head_sent |= flag != WSGI_SEND_HOLD;
    ex->bytes_out += len;
    return wsgi_buffer_append(&r->sent, data, len);
}

static int record_file(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length)
{
    recorder_t *r = (recorder_t *)ex;
    char bytes[256];

    may_send(r);
    assert_in_range(length, 1, sizeof(bytes));
    r->file_calls++;
    if (r->send_code != WSGI_OK) {
        return r->send_code;
    }
    ex->head_sent = true;
    ex->bytes_out += (uint64_t)length;
    assert_int_equal(pread(fd, bytes, (size_t)length, offset), length);
    return wsgi_buffer_append(&r->sent, bytes, (size_t)length);
}

static void record_log(wsgi_exchange_t *ex, int level, const char *file, int line, const char *text)
{
    recorder_t *r = (recorder_t *)ex;

    (void)file, (void)line;
    assert_int_equal(r->finish_calls, 0);
    r->log_calls++;
    r->log_level = level;
    snprintf(r->log_text, sizeof(r->log_text), "%s", text);
}

static bool record_is_aborted(wsgi_exchange_t *ex)
{
    (void)ex;
    return false;
}

static int record_finish(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status)
{
    recorder_t *r = (recorder_t *)ex;

    assert_int_equal(r->finish_calls, 0);
    assert_true(!r->has_last || outcome == WSGI_DONE);
    assert_int_equal(outcome == WSGI_TRUNCATED, outcome != WSGI_DONE && ex->head_sent);
    assert_int_equal(status != 0, outcome == WSGI_FAILED);
    r->finish_calls++;
    r->outcome = outcome;
    r->finish_status = status;
    return r->finish_code;
}

static const wsgi_exchange_verbs_t recorder_verbs = {
    .read_body = record_read,
    .send_head = record_head,
    .send_body = record_body,
    .send_file = record_file,
    .log = record_log,
    .is_aborted = record_is_aborted,
    .finish = record_finish,
};

/* A client without a body, whose socket cannot be polled. */
static inline void recorder_init(recorder_t *r)
{
    *r = (recorder_t){.ex = {
                          .verbs = &recorder_verbs,
                          .body_fd = -1,
                          .request =
                              {
                                  .id = 7,
                                  .script = WSGI_LITERAL("/srv/app.wsgi"),
                                  .process_group = WSGI_LITERAL("blue"),
                                  .application_group = WSGI_LITERAL("server|/app"),
                                  .callable = WSGI_LITERAL("application"),
                                  .handler = WSGI_LITERAL("wsgi-script"),
                                  .log_id = WSGI_LITERAL(""),
                              },
                      }};
}

/* A body of `len` bytes, announced, of which `arrived` are there. */
static inline void recorder_set_body(recorder_t *r, const char *body, size_t len, size_t arrived)
{
    r->body = body;
    r->body_len = len;
    r->arrived = arrived;
    r->ex.request.body_length = (int64_t)len;
}

static inline void recorder_free(recorder_t *r)
{
    wsgi_buffer_clear(&r->sent, 0);
}

#endif
