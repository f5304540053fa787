/* tests/unit/fake_exchange.c — an exchange without a host.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fake_exchange.h"

#include "wsgi_field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void require(bool is_so, const char *what)
{
    if (!is_so) {
        fprintf(stderr, "fake_exchange: broken contract: %s\n", what);
        abort();
    }
}

static fake_exchange_t *begin_verb(wsgi_exchange_t *ex)
{
    fake_exchange_t *fake = (fake_exchange_t *)ex;
    require(pthread_mutex_trylock(&fake->verb) == 0, "two verbs at once");
    require(fake->finish_count == 0, "a verb after finish()");
    return fake;
}

static int end_verb(fake_exchange_t *fake, int code)
{
    pthread_mutex_unlock(&fake->verb);
    return code;
}

static void append(wsgi_buffer_t *buffer, const void *data, size_t len)
{
    require(wsgi_buffer_append(buffer, data, len) == WSGI_OK, "memory");
}

static void append_text(wsgi_buffer_t *buffer, const char *text)
{
    append(buffer, text, strlen(text));
}

static ssize_t read_body(wsgi_exchange_t *ex, void *data, size_t len, enum wsgi_read_mode mode)
{
    fake_exchange_t *fake = begin_verb(ex);
    size_t left = fake->body_len - fake->body_at;
    require(mode == WSGI_READ_BLOCK, "a read that does not wait");
    bool is_wish = len == 0;
    fake->verb_count++;
    fake->read_count++;
    if (fake->on_read != NULL) {
        fake->on_read(fake);
    }
    len = fake->read_max > 0 && len > fake->read_max ? fake->read_max : len;
    len = len > left ? left : len;
    if (len > 0) {
        memcpy(data, fake->body + fake->body_at, len);
    }
    fake->body_at += len;
    ex->bytes_in += len;
    ssize_t got = len > 0 || is_wish ? (ssize_t)len : fake->read_end;
    end_verb(fake, 0);
    return got;
}

static int send_head(wsgi_exchange_t *ex, const wsgi_head_t *head)
{
    fake_exchange_t *fake = begin_verb(ex);
    char status[16];
    fake->verb_count++;
    if (ex->head_sent || fake->head_error != WSGI_OK) {
        return end_verb(fake, ex->head_sent ? WSGI_E_INVALID : fake->head_error);
    }
    fake->head_count++;
    fake->status = head->status;
    fake->head.len = 0;
    snprintf(status, sizeof(status), "%u ", head->status);
    append_text(&fake->head, status);
    append(&fake->head, head->reason.data, head->reason.len);
    append_text(&fake->head, "\n");
    for (size_t i = 0; i < head->field_count; i++) {
        append(&fake->head, head->fields[i].name.data, head->fields[i].name.len);
        append_text(&fake->head, ": ");
        append(&fake->head, head->fields[i].value.data, head->fields[i].value.len);
        append_text(&fake->head, "\n");
    }
    return end_verb(fake, WSGI_OK);
}

static int refuse(fake_exchange_t *fake, size_t len)
{
    require(fake->head_count > 0, "body bytes before a head");
    return fake->send_error != WSGI_OK && fake->sent.len + len > fake->send_max ? fake->send_error
                                                                                : WSGI_OK;
}

static void note_size(fake_exchange_t *fake, int64_t len, char kind)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld%c ", (long long)len, kind);
    append_text(&fake->sizes, text);
}

static int send_body(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag)
{
    fake_exchange_t *fake = begin_verb(ex);
    fake->verb_count++;
    fake->send_count++;
    require(len > 0, "an empty send");
    if (refuse(fake, len) != WSGI_OK) {
        return end_verb(fake, fake->send_error);
    }
    require(!fake->has_last, "bytes after the last ones");
    fake->has_last = flag == WSGI_SEND_LAST;
    append(&fake->sent, data, len);
    note_size(fake, (int64_t)len, flag == WSGI_SEND_LAST ? '.' : '+');
    ex->bytes_out += len;
    ex->head_sent = flag == WSGI_SEND_MORE || ex->head_sent;
    return end_verb(fake, WSGI_OK);
}

static int send_file(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length)
{
    fake_exchange_t *fake = begin_verb(ex);
    fake->verb_count++;
    fake->file_count++;
    if (refuse(fake, (size_t)length) != WSGI_OK) {
        return end_verb(fake, fake->send_error);
    }
    require(wsgi_buffer_reserve(&fake->sent, (size_t)length) == WSGI_OK, "memory");
    require(pread(fd, fake->sent.data + fake->sent.len, (size_t)length, offset) == length,
            "a file shorter than said");
    fake->sent.len += (size_t)length;
    note_size(fake, length, 'f');
    ex->bytes_out += (uint64_t)length;
    ex->head_sent = true;
    return end_verb(fake, WSGI_OK);
}

static void log_line(wsgi_exchange_t *ex, int level, const char *file, int line, const char *text)
{
    fake_exchange_t *fake = begin_verb(ex);
    char number[16];
    (void)file, (void)line;
    require(strchr(text, '\n') == NULL, "a log line with a line end");
    snprintf(number, sizeof(number), "<%d> ", level);
    append_text(&fake->log, number);
    append_text(&fake->log, text);
    append_text(&fake->log, "\n");
    end_verb(fake, 0);
}

static bool is_aborted(wsgi_exchange_t *ex)
{
    return ((fake_exchange_t *)ex)->send_error == WSGI_E_GONE;
}

static int finish(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status)
{
    fake_exchange_t *fake = begin_verb(ex);
    fake->verb_count++;
    require(outcome == WSGI_DONE || !fake->has_last, "the last bytes of an answer that is not");
    require(outcome != WSGI_FAILED || !ex->head_sent, "FAILED after the head went out");
    require((outcome == WSGI_FAILED) == (status != 0),
            "a status without FAILED, or FAILED without");
    require(outcome != WSGI_DONE || fake->head_count > 0, "DONE without a head");
    fake->finish_count++;
    fake->outcome = outcome;
    fake->finish_status = status;
    return end_verb(fake, WSGI_OK);
}

static const wsgi_exchange_verbs_t verbs = {
    .read_body = read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_file = send_file,
    .log = log_line,
    .is_aborted = is_aborted,
    .finish = finish,
};

static wsgi_bytes_t bytes_of(const char *text)
{
    return (wsgi_bytes_t){text, strlen(text)};
}

void fake_exchange_var(fake_exchange_t *fake, const char *name, const char *value)
{
    wsgi_request_t *request = &fake->ex.request;
    size_t i = 0;
    while (i < request->var_count && strcmp(fake->vars[i].name.data, name) != 0) {
        i++;
    }
    require(i < sizeof(fake->vars) / sizeof(*fake->vars), "too many variables");
    fake->vars[i] = (wsgi_var_t){
        .number = wsgi_meta_find(name, strlen(name)),
        .name = bytes_of(name),
        .value = bytes_of(value),
    };
    request->var_count += i == request->var_count;
}

void fake_exchange_body(fake_exchange_t *fake, const char *body, size_t len)
{
    fake->body = body;
    fake->body_len = len;
    fake->ex.request.body_length = (int64_t)len;
    fake_exchange_var(fake, "REQUEST_METHOD", "POST");
}

static void add_hosts_own(fake_exchange_t *fake)
{
    wsgi_request_t *request = &fake->ex.request;
    for (unsigned number = WSGI_META_MOD_WSGI_SCRIPT_NAME;
         number <= WSGI_META_MOD_WSGI_CONNECTION_ID; number++) {
        fake->vars[request->var_count++] = (wsgi_var_t){
            .number = number,
            .name = wsgi_meta_name(number),
            .value = bytes_of(number == WSGI_META_MOD_WSGI_SERVER_PID ? "4711" : ""),
        };
    }
}

void fake_exchange_init(fake_exchange_t *fake, const char *script)
{
    static const char *const vars[][2] = {
        {"REQUEST_METHOD", "GET"},
        {"SERVER_PROTOCOL", "HTTP/1.1"},
        {"QUERY_STRING", ""},
        {"REQUEST_URI", "/"},
        {"SCRIPT_NAME", ""},
        {"PATH_INFO", "/"},
        {"REQUEST_SCHEME", "http"},
        {"CONTEXT_PREFIX", ""},
        {"CONTEXT_DOCUMENT_ROOT", "/srv/www"},
        {"SERVER_NAME", "127.0.0.1"},
        {"SERVER_PORT", "8000"},
        {"SERVER_ADDR", "127.0.0.1"},
        {"SERVER_SOFTWARE", "Apache/2.4"},
        {"SERVER_ADMIN", "root@localhost"},
        {"REMOTE_ADDR", "127.0.0.1"},
        {"REMOTE_PORT", "50000"},
        {"DOCUMENT_ROOT", "/srv/www"},
        {"SCRIPT_FILENAME", "/srv/app.wsgi"},
        {"HTTP_HOST", "127.0.0.1:8000"},
        {"HTTP_USER_AGENT", "curl/7.88.1"},
        {"HTTP_ACCEPT", "*/*"},
    };
    memset(fake, 0, sizeof(*fake));
    pthread_mutex_init(&fake->verb, NULL);
    fake->ex.verbs = &verbs;
    fake->ex.body_fd = -1;
    fake->ex.request = (wsgi_request_t){
        .id = 1,
        .request_start_us = INT64_C(1700000000000000),
        .script = bytes_of(script),
        .process_group = WSGI_LITERAL(""),
        .application_group = WSGI_LITERAL(""),
        .callable = WSGI_LITERAL("application"),
        .handler = WSGI_LITERAL("wsgi-script"),
        .log_id = WSGI_LITERAL("aBcD"),
        .log_level = WSGI_LOG_INFO,
        .vars = fake->vars,
    };
    for (size_t i = 0; i < sizeof(vars) / sizeof(*vars); i++) {
        fake_exchange_var(fake, vars[i][0], vars[i][1]);
    }
    add_hosts_own(fake);
}

void fake_exchange_free(fake_exchange_t *fake)
{
    free(fake->head.data);
    free(fake->sent.data);
    free(fake->sizes.data);
    free(fake->log.data);
    pthread_mutex_destroy(&fake->verb);
}

static const char *text_of(wsgi_buffer_t *buffer)
{
    append(buffer, "", 1);
    buffer->len--;
    return buffer->data;
}

const char *fake_exchange_head(fake_exchange_t *fake)
{
    return text_of(&fake->head);
}

const char *fake_exchange_sent(fake_exchange_t *fake)
{
    return text_of(&fake->sent);
}

const char *fake_exchange_sizes(fake_exchange_t *fake)
{
    return text_of(&fake->sizes);
}

const char *fake_exchange_log(fake_exchange_t *fake)
{
    return text_of(&fake->log);
}
