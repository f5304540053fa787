/* server/exchange.c — the verbs of an exchange over a request_rec: the request body from httpd's
 * input filters, the answer into its output filters.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include "apr_portable.h"
#include "log.h"
#include "util_filter.h"

#include "wsgi_field.h"

#include <errno.h>
#include <unistd.h>

#define FILE_BLOCK_BYTES (64u << 10)
#define FILES_OPEN_MOST  4u /* of one answer: their descriptors are this child's, until its end */

static wsgi_httpd_exchange_t *of(wsgi_exchange_t *ex)
{
    return (wsgi_httpd_exchange_t *)ex;
}

/* ---- request body ---- */

/* What is left of a body that could not be read on is no beginning of a next request. */
static void close_after_bad_body(wsgi_httpd_exchange_t *x)
{
    if (x->ex.body_error < 0) {
        x->r->connection->keepalive = AP_CONN_CLOSE;
    }
}

static int fail_read(wsgi_httpd_exchange_t *x, apr_status_t rv)
{
    x->read_status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    if (x->read_status == HTTP_REQUEST_ENTITY_TOO_LARGE) {
        x->ex.body_error = WSGI_E_TOO_LARGE;
    }
    else if (x->read_status == HTTP_REQUEST_TIME_OUT) {
        x->ex.body_error = WSGI_E_TIMEOUT;
    }
    else if (rv == APR_INCOMPLETE || APR_STATUS_IS_EOF(rv)) {
        x->ex.body_error = WSGI_E_SHORT;
    }
    else if (x->r->connection->aborted || APR_STATUS_IS_ECONNRESET(rv) ||
             APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv)) {
        x->ex.body_error = WSGI_E_GONE;
    }
    else {
        x->ex.body_error = WSGI_E_IO;
    }
    return x->ex.body_error;
}

/* httpd's filter sends 100 (Continue) for a blocking read only (2.4.71): here is one who wants the
 * body and does not block, or does not read yet. Not after a part of the answer, which has told the
 * client enough. */
static void send_continue(const wsgi_httpd_exchange_t *x)
{
    request_rec *r = x->r;
    if (r->expecting_100 && !x->ex.head_sent) {
        int status = r->status;
        const char *status_line = r->status_line;
        r->status = HTTP_CONTINUE;
        r->status_line = NULL;
        ap_send_interim_response(r, 0);
        r->status = status;
        r->status_line = status_line;
    }
}

/* Asks the filters for more; the brigade is empty before. */
static int fetch(wsgi_httpd_exchange_t *x, size_t len, enum wsgi_read_mode mode)
{
    request_rec *r = x->r;
    if (x->in == NULL) {
        x->in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    }
    if (x->is_collected) {
        x->is_read_to_end = true;
        return WSGI_OK;
    }
    if (mode == WSGI_READ_NONBLOCK) {
        send_continue(x);
    }
    apr_read_type_e block = mode == WSGI_READ_BLOCK ? APR_BLOCK_READ : APR_NONBLOCK_READ;
    apr_status_t rv =
        ap_get_brigade(r->input_filters, x->in, AP_MODE_READBYTES, block, (apr_off_t)len);
    bool has_nothing = rv == APR_SUCCESS && APR_BRIGADE_EMPTY(x->in);
    if (mode == WSGI_READ_NONBLOCK && (has_nothing || APR_STATUS_IS_EAGAIN(rv))) {
        return WSGI_E_AGAIN;
    }
    if (rv != APR_SUCCESS || has_nothing) {
        return fail_read(x, has_nothing ? APR_ECONNABORTED : rv);
    }
    return WSGI_OK;
}

/* Moves bytes of the first bucket to data: how many, or an error; the end of the body gives 0. */
static ssize_t take_from_bucket(wsgi_httpd_exchange_t *x, char *data, size_t len)
{
    apr_bucket *bucket = APR_BRIGADE_FIRST(x->in);
    const char *bytes;
    apr_size_t count = 0;
    if (APR_BUCKET_IS_METADATA(bucket)) {
        x->is_read_to_end |= APR_BUCKET_IS_EOS(bucket);
    }
    else {
        apr_status_t rv = apr_bucket_read(bucket, &bytes, &count, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return fail_read(x, rv);
        }
        if (count > len) {
            apr_bucket_split(bucket, len);
            count = len;
        }
        memcpy(data, bytes, count);
    }
    apr_bucket_delete(bucket);
    return (ssize_t)count;
}

static ssize_t take(wsgi_httpd_exchange_t *x, char *data, size_t len)
{
    size_t total = 0;
    while (total < len && !x->is_read_to_end && !APR_BRIGADE_EMPTY(x->in)) {
        ssize_t count = take_from_bucket(x, data + total, len - total);
        if (count < 0) {
            return total > 0 ? (ssize_t)total : count;
        }
        total += (size_t)count;
    }
    return (ssize_t)total;
}

static ssize_t read_body(wsgi_exchange_t *ex, void *data, size_t len, enum wsgi_read_mode mode)
{
    wsgi_httpd_exchange_t *x = of(ex);
    ssize_t count = 0;
    if (len == 0 && x->ex.body_error == WSGI_OK) {
        send_continue(x);
    }
    while (count == 0 && len > 0 && x->ex.body_error == WSGI_OK && !x->is_read_to_end) {
        if (x->in == NULL || APR_BRIGADE_EMPTY(x->in)) {
            int error = fetch(x, len, mode);
            if (error < 0) {
                return error;
            }
        }
        count = take(x, data, len);
    }
    if (count == 0) {
        return x->ex.body_error;
    }
    ex->bytes_in += count > 0 ? (uint64_t)count : 0;
    return count;
}

/* ---- response head ---- */

static size_t count_bytes(const wsgi_head_t *head)
{
    size_t total = head->reason.len + 1;
    for (size_t i = 0; i < head->field_count; i++) {
        total += head->fields[i].name.len + head->fields[i].value.len + 2;
    }
    return total;
}

/* Copies bytes and a NUL to *to and moves it on. */
static wsgi_bytes_t keep(char **to, wsgi_bytes_t bytes)
{
    wsgi_bytes_t copy = {*to, bytes.len};
    memcpy(*to, bytes.data == NULL ? "" : bytes.data, bytes.len);
    (*to)[bytes.len] = '\0';
    *to += bytes.len + 1;
    return copy;
}

/* The path of this server that shall answer instead, or NULL. */
static const char *find_local_redirect(const wsgi_httpd_exchange_t *x, const wsgi_head_t *head)
{
    const wsgi_field_t *found = NULL;
    for (size_t i = 0; i < head->field_count && head->status == HTTP_OK; i++) {
        if (wsgi_bytes_equal_nocase(head->fields[i].name, WSGI_LITERAL("Location"))) {
            found = &head->fields[i];
        }
    }
    bool is_local = found != NULL && found->value.len > 0 && *found->value.data == '/';
    return is_local ? apr_pstrmemdup(x->r->pool, found->value.data, found->value.len) : NULL;
}

/* httpd gives it to a target that has no type of its own. */
static void keep_content_type(const wsgi_httpd_exchange_t *x, const wsgi_head_t *head)
{
    for (size_t i = 0; i < head->field_count; i++) {
        wsgi_bytes_t value = head->fields[i].value;
        if (wsgi_bytes_equal_nocase(head->fields[i].name, WSGI_LITERAL("Content-Type"))) {
            ap_set_content_type(x->r, apr_pstrmemdup(x->r->pool, value.data, value.len));
        }
    }
}

/* Kept aside until the first byte leaves, since a later head may replace it. Texts of the copy end
 * in NUL, as httpd's tables want them. */
static int send_head(wsgi_exchange_t *ex, const wsgi_head_t *head)
{
    wsgi_httpd_exchange_t *x = of(ex);
    if (x->ex.head_sent) {
        return WSGI_E_INVALID;
    }
    x->redirect = x->may_redirect ? find_local_redirect(x, head) : NULL;
    x->is_replaced = x->redirect != NULL || (x->is_overridden && head->status >= HTTP_BAD_REQUEST);
    if (x->redirect != NULL) {
        keep_content_type(x, head);
    }
    size_t fields_bytes = head->field_count * sizeof *head->fields;
    wsgi_head_t *copy = apr_palloc(x->r->pool, sizeof *copy + fields_bytes + count_bytes(head));
    wsgi_field_t *fields = (wsgi_field_t *)(copy + 1);
    char *to = (char *)fields + fields_bytes;
    for (size_t i = 0; i < head->field_count; i++) {
        fields[i].name = keep(&to, head->fields[i].name);
        fields[i].value = keep(&to, head->fields[i].value);
    }
    *copy = (wsgi_head_t){head->status, keep(&to, head->reason), fields, head->field_count};
    x->head = copy;
    return WSGI_OK;
}

static void apply_content_type(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    ap_set_content_type(x->r, field->value.data);
}

static void apply_last(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    apr_table_setn(x->r->headers_out, field->name.data, field->value.data);
}

/* How the body travels is httpd's to say: it chunks by itself, and would not for the field. */
static void drop(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    (void)x, (void)field;
}

static void apply_content_length(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    int64_t length;
    if (wsgi_length_parse(field->value.data, field->value.len, &length) == WSGI_OK) {
        x->announced = length;
        ap_set_content_length(x->r, length);
    }
}

/* Of fields, only those of the error table survive an ErrorDocument. */
static void apply_to_errors(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    apr_table_addn(x->r->err_headers_out, field->name.data, field->value.data);
}

static const struct {
    wsgi_bytes_t name;
    void (*apply)(wsgi_httpd_exchange_t *x, const wsgi_field_t *field);
} special_fields[] = {
#define SPECIAL(name, apply)                                                                       \
    {                                                                                              \
        {name, sizeof(name) - 1}, apply                                                            \
    }
    SPECIAL("Content-Type", apply_content_type), SPECIAL("Content-Length", apply_content_length),
    SPECIAL("Content-Range", apply_last),        SPECIAL("Location", apply_last),
    SPECIAL("Transfer-Encoding", drop),          SPECIAL("WWW-Authenticate", apply_to_errors),
#undef SPECIAL
};

static void apply_field(wsgi_httpd_exchange_t *x, const wsgi_field_t *field)
{
    for (size_t i = 0; i < sizeof special_fields / sizeof *special_fields; i++) {
        if (wsgi_bytes_equal_nocase(field->name, special_fields[i].name)) {
            special_fields[i].apply(x, field);
            return;
        }
    }
    apr_table_addn(x->r->headers_out, field->name.data, field->value.data);
}

/* httpd's own line serves where it says the same: that is most answers, and costs nothing. */
static void apply_status(request_rec *r, const wsgi_head_t *head)
{
    const char *standard = ap_get_status_line((int)head->status);
    r->status = (int)head->status;
    if (strtol(standard, NULL, 10) != r->status || strcmp(standard + 4, head->reason.data) != 0) {
        r->status_line = apr_psprintf(r->pool, "%03d %s", r->status, head->reason.data);
    }
}

static void commit_head(wsgi_httpd_exchange_t *x)
{
    if (x->ex.head_sent) {
        return;
    }
    WSGI_ASSERT(x->head != NULL);
    x->ex.head_sent = true;
    close_after_bad_body(x);
    apply_status(x->r, x->head);
    for (size_t i = 0; i < x->head->field_count; i++) {
        apply_field(x, &x->head->fields[i]);
    }
}

/* ---- response body ---- */

static apr_bucket_alloc_t *allocator(const wsgi_httpd_exchange_t *x)
{
    return x->r->connection->bucket_alloc;
}

static void append(wsgi_httpd_exchange_t *x, apr_bucket *bucket)
{
    if (x->out == NULL) {
        x->out = apr_brigade_create(x->r->pool, allocator(x));
    }
    APR_BRIGADE_INSERT_TAIL(x->out, bucket);
}

static void append_bytes(wsgi_httpd_exchange_t *x, const void *data, size_t len)
{
    append(x, apr_bucket_transient_create(data, len, allocator(x)));
    x->ex.bytes_out += len;
}

/* Hands what has been appended to the filters. */
static int pass(wsgi_httpd_exchange_t *x)
{
    conn_rec *connection = x->r->connection;
    x->has_passed = true;
    apr_status_t rv = ap_pass_brigade(x->r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    /* A filter has answered instead, and it is the client's fault: 416 to a range. */
    bool is_refused = rv == AP_FILTER_ERROR && ap_is_HTTP_CLIENT_ERROR(x->r->status);
    if (connection->aborted || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv) ||
        APR_STATUS_IS_EPIPE(rv) || APR_STATUS_IS_TIMEUP(rv) || is_refused) {
        x->write_error = WSGI_E_GONE;
    }
    else if (rv != APR_SUCCESS) {
        x->write_error = WSGI_E_IO;
    }
    return x->write_error;
}

static bool has_pending(const wsgi_httpd_exchange_t *x)
{
    return x->out != NULL && !APR_BRIGADE_EMPTY(x->out);
}

static int flush(wsgi_httpd_exchange_t *x)
{
    append(x, apr_bucket_flush_create(allocator(x)));
    return pass(x);
}

/* Is the body shorter than the head says? Only where there may be one. */
static bool is_short(const wsgi_httpd_exchange_t *x)
{
    return x->announced > (int64_t)x->ex.bytes_out && !x->r->header_only &&
           !AP_STATUS_IS_HEADER_ONLY(x->r->status);
}

/* Nothing more comes. httpd would correct the length of a body that it sees whole; the head that
 * promises more leaves first, and the end of the connection shows that something is missing. */
static int pass_end(wsgi_httpd_exchange_t *x)
{
    if (is_short(x)) {
        x->r->connection->keepalive = AP_CONN_CLOSE;
        if ((has_pending(x) || !x->has_passed) && flush(x) < 0) {
            return x->write_error;
        }
    }
    x->is_ended = true;
    append(x, apr_bucket_eos_create(allocator(x)));
    return pass(x);
}

/* Last bytes and end in one pass: httpd then knows the length of an answer that had no other, and
 * sends it in one packet. Of an answer that is short, finish() tells how it ends. */
static int send_body(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag)
{
    wsgi_httpd_exchange_t *x = of(ex);
    if (x->write_error < 0 || len == 0 || x->is_ended || x->is_replaced) {
        return x->write_error;
    }
    commit_head(x);
    append_bytes(x, data, len);
    if (flag == WSGI_SEND_HOLD) {
        return pass(x);
    }
    return flag == WSGI_SEND_LAST && !is_short(x) ? pass_end(x) : flush(x);
}

/* ---- files ---- */

/* A file bucket, so that filters see the whole answer at once (ranges need that), and the kernel
 * sends it where that is allowed. The file is opened once more, since reading a bucket moves the
 * offset, and that of a duplicate is the caller's. Never mapped: who made the file may shrink it,
 * and that would kill us. False where it may not be opened anew, or not at once: whoever holds a
 * lease on it would make us wait. */
static bool append_file(wsgi_httpd_exchange_t *x, int fd, int64_t offset, int64_t length)
{
    request_rec *r = x->r;
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    bool is_sent_by_kernel = x->may_sendfile && core->enable_sendfile == ENABLE_SENDFILE_ON;
    apr_int32_t flags = APR_FOPEN_READ | APR_FOPEN_BINARY | APR_FOPEN_NONBLOCK |
                        (is_sent_by_kernel ? APR_FOPEN_SENDFILE_ENABLED : 0);
    apr_file_t *file;
    if (apr_file_open(&file, apr_psprintf(r->pool, "/proc/self/fd/%d", fd), flags, 0, r->pool) !=
        APR_SUCCESS) {
        return false;
    }
    commit_head(x);
    if (x->out == NULL) {
        x->out = apr_brigade_create(r->pool, allocator(x));
    }
    apr_bucket *bucket = apr_brigade_insert_file(x->out, file, offset, length, r->pool);
    apr_bucket_file_enable_mmap(bucket, 0); /* shared by all buckets of this file, as is the size */
    apr_bucket_file_set_buf_size(bucket, FILE_BLOCK_BYTES);
    x->ex.bytes_out += (uint64_t)length;
    return true;
}

/* Unreadable, or shorter than announced. What has been read leaves, and with it the head. */
static int fail_file(wsgi_httpd_exchange_t *x)
{
    if (has_pending(x) && flush(x) < 0) {
        return x->write_error;
    }
    return x->write_error = WSGI_E_IO;
}

/* Block by block; the last stays in the brigade, to leave together with what follows it. */
static int copy_file(wsgi_httpd_exchange_t *x, int fd, int64_t offset, int64_t length)
{
    char *block =
        apr_palloc(x->r->pool, length < FILE_BLOCK_BYTES ? (size_t)length : FILE_BLOCK_BYTES);
    while (length > 0) {
        size_t want = length < FILE_BLOCK_BYTES ? (size_t)length : FILE_BLOCK_BYTES;
        ssize_t count = pread(fd, block, want, offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return fail_file(x);
        }
        commit_head(x);
        append_bytes(x, block, (size_t)count);
        offset += count;
        length -= count;
        if (length > 0 && pass(x) < 0) {
            return x->write_error;
        }
    }
    return WSGI_OK;
}

static int send_file(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length)
{
    wsgi_httpd_exchange_t *x = of(ex);
    if (x->write_error < 0 || length == 0 || x->is_replaced || (has_pending(x) && pass(x) < 0)) {
        return x->write_error;
    }
    bool is_appended = x->file_count < FILES_OPEN_MOST && append_file(x, fd, offset, length);
    x->file_count += is_appended;
    return is_appended ? WSGI_OK : copy_file(x, fd, offset, length);
}

/* ---- the rest ---- */

static void log_line(wsgi_exchange_t *ex, int level, const char *file, int line, const char *text)
{
    wsgi_server_log_request(of(ex)->r, level, file, line, text);
}

static bool is_aborted(wsgi_exchange_t *ex)
{
    return of(ex)->r->connection->aborted;
}

static bool survives(const wsgi_httpd_exchange_t *x, wsgi_bytes_t name)
{
    return wsgi_bytes_equal_nocase(name, WSGI_LITERAL("WWW-Authenticate")) ||
           (x->redirect != NULL && wsgi_bytes_equal_nocase(name, WSGI_LITERAL("Set-Cookie")));
}

/* Leaves the answer to httpd: to its ErrorDocument, or to another path. Of the application's fields
 * those of the error table go with it: challenges, and cookies with a redirect. */
static int leave_to_httpd(wsgi_httpd_exchange_t *x)
{
    for (size_t i = 0; i < x->head->field_count; i++) {
        if (survives(x, x->head->fields[i].name)) {
            apply_to_errors(x, &x->head->fields[i]);
        }
    }
    x->status = x->redirect != NULL ? OK : (int)x->head->status;
    return WSGI_OK;
}

static int complete(wsgi_httpd_exchange_t *x)
{
    if (x->write_error < 0 || x->is_ended) {
        return x->write_error;
    }
    if (x->is_replaced) {
        return leave_to_httpd(x);
    }
    commit_head(x);
    return pass_end(x);
}

/* Of all error buckets, that of a bad gateway alone makes httpd's chunk filter withhold the last
 * chunk; mod_http2 resets the stream for it. */
static int truncate_answer(wsgi_httpd_exchange_t *x)
{
    x->r->connection->keepalive = AP_CONN_CLOSE;
    if (x->r->connection->aborted || x->is_ended || (has_pending(x) && flush(x) < 0)) {
        return x->write_error;
    }
    x->is_ended = true;
    append(x, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, x->r->pool, allocator(x)));
    append(x, apr_bucket_eos_create(allocator(x)));
    return pass(x);
}

/* Where the application failed since the body could not be read, the client is told the cause. */
static int failure_status(const wsgi_httpd_exchange_t *x, unsigned status)
{
    if (x->read_status == AP_FILTER_ERROR) {
        return AP_FILTER_ERROR; /* a filter has answered already */
    }
    switch (x->ex.body_error) {
    case WSGI_E_TOO_LARGE:
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    case WSGI_E_TIMEOUT:
        return HTTP_REQUEST_TIME_OUT;
    default:
        return status == 0 ? HTTP_INTERNAL_SERVER_ERROR : (int)status;
    }
}

static int finish(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status)
{
    wsgi_httpd_exchange_t *x = of(ex);
    if (outcome == WSGI_DONE) {
        return complete(x);
    }
    if (outcome == WSGI_TRUNCATED || x->ex.head_sent) {
        return truncate_answer(x);
    }
    close_after_bad_body(x);
    x->status = failure_status(x, status);
    return WSGI_OK;
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

/* A stream of HTTP/2 has its main connection's socket, which says nothing about the stream. */
static int find_socket(conn_rec *connection)
{
    apr_os_sock_t fd;
    apr_socket_t *socket = connection->master == NULL ? ap_get_conn_socket(connection) : NULL;
    return socket != NULL && apr_os_sock_get(&fd, socket) == APR_SUCCESS ? fd : -1;
}

void wsgi_httpd_exchange_init(wsgi_httpd_exchange_t *x, request_rec *r)
{
    *x = (wsgi_httpd_exchange_t){
        .ex =
            {
                .verbs = &verbs,
                .native = r,
                .body_fd = find_socket(r->connection),
                .client_timeout_us = r->server->timeout,
            },
        .r = r,
        .announced = WSGI_BODY_UNKNOWN,
        .status = OK,
    };
}
