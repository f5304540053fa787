/* server/collect.c — a chunked request body, read to its end before the application is called.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#define MEMORY_MOST ((apr_off_t)256 << 10) /* the rest of a body goes to a file */
#define BLOCK_BYTES 16384u

typedef struct collector {
    request_rec *r;
    apr_bucket_brigade *body;
    apr_file_t *file; /* NULL until needed */
    apr_off_t in_memory, in_file;
} collector_t;

/* Without a name from the start, so that nothing is left, however the process ends. */
static apr_status_t open_file(collector_t *it)
{
    const char *directory;
    apr_status_t rv = apr_temp_dir_get(&directory, it->r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    char *name = apr_pstrcat(it->r->pool, directory, "/wsgi-body-XXXXXX", NULL);
    rv = apr_file_mktemp(&it->file, name,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL |
                             APR_FOPEN_BINARY,
                         it->r->pool);
    return rv == APR_SUCCESS ? apr_file_remove(name, it->r->pool) : rv;
}

static apr_status_t keep(collector_t *it, const char *data, size_t len)
{
    if (it->file == NULL && it->in_memory + (apr_off_t)len <= MEMORY_MOST) {
        it->in_memory += (apr_off_t)len;
        return apr_brigade_write(it->body, NULL, NULL, data, len);
    }
    apr_status_t rv = it->file == NULL ? open_file(it) : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        it->in_file += (apr_off_t)len;
        rv = apr_file_write_full(it->file, data, len, NULL);
    }
    return rv;
}

static int fail_read(wsgi_httpd_exchange_t *x, int error)
{
    int level = error == WSGI_E_GONE ? APLOG_INFO : APLOG_ERR;
    x->r->connection->keepalive = AP_CONN_CLOSE;
    ap_log_rerror(APLOG_MARK, level, 0, x->r,
                  WSGI_ID(1521) "the chunked request body cannot be collected: %s",
                  wsgi_strerror(error));
    return x->read_status != 0 ? x->read_status : HTTP_BAD_REQUEST;
}

static int fail_keep(wsgi_httpd_exchange_t *x, apr_status_t rv)
{
    x->r->connection->keepalive = AP_CONN_CLOSE;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, x->r,
                  WSGI_ID(1522) "the chunked request body cannot be kept in a temporary file: give "
                                "httpd's user a TMPDIR with room, or lower LimitRequestBody");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int read_all(wsgi_httpd_exchange_t *x, collector_t *it)
{
    char *block = apr_palloc(x->r->pool, BLOCK_BYTES);
    ssize_t count;
    while ((count = x->ex.verbs->read_body(&x->ex, block, BLOCK_BYTES, WSGI_READ_BLOCK)) > 0) {
        apr_status_t rv = keep(it, block, (size_t)count);
        if (rv != APR_SUCCESS) {
            return fail_keep(x, rv);
        }
    }
    return count < 0 ? fail_read(x, (int)count) : OK;
}

int wsgi_httpd_exchange_collect(wsgi_httpd_exchange_t *x, int64_t *length)
{
    request_rec *r = x->r;
    collector_t it = {
        .r = r,
        .body = apr_brigade_create(r->pool, r->connection->bucket_alloc),
    };
    int status = read_all(x, &it);
    if (status != OK) {
        return status;
    }
    if (it.file != NULL) {
        apr_brigade_insert_file(it.body, it.file, 0, it.in_file, r->pool);
    }
    *length = it.in_memory + it.in_file;
    x->in = it.body;
    x->is_collected = true;
    x->is_read_to_end = false;
    x->ex.bytes_in = 0;
    apr_table_setn(r->headers_in, "Content-Length", apr_off_t_toa(r->pool, *length));
    apr_table_unset(r->headers_in, "Transfer-Encoding");
    return OK;
}
