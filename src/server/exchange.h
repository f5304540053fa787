/* server/exchange.h — an exchange over a request_rec.
 * Runs in:  httpd child.   Threads: the request's.   Memory: r->pool.
 * Owns:     its brigades. The request_rec stays httpd's.
 * Blocks:   as wsgi_exchange.h says, each time up to httpd's Timeout.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_SERVER_EXCHANGE_H
#define WSGI_SERVER_EXCHANGE_H

#include "server_private.h"

#include "wsgi_exchange.h"

typedef struct wsgi_httpd_exchange {
    wsgi_exchange_t ex; /* first: the verbs are called with a pointer to it */
    request_rec *r;
    apr_bucket_brigade *in, *out; /* NULL until needed */
    const wsgi_head_t *head;      /* taken, not in r yet */
    int64_t announced;            /* Content-Length of the head, or WSGI_BODY_UNKNOWN */
    unsigned file_count;          /* of this answer that were opened once more */
    bool has_passed;              /* a brigade has gone to the filters, the head with it */
    bool is_ended;                /* the end has been passed */
    bool is_read_to_end;
    bool may_sendfile;    /* WSGIEnableSendfile; set by the caller */
    bool may_redirect;    /* status 200 with Location: /path is one inside httpd; by the caller */
    const char *redirect; /* where to, once finished; the caller does it */
    bool is_overridden;   /* WSGIErrorOverride: httpd answers instead of an error; by the caller */
    bool is_replaced;     /* and so it will: what the application sends is dropped */
    bool is_collected;    /* `in` holds the whole body */
    int read_status; /* what httpd makes of a failed read: HTTP status or AP_FILTER_ERROR; 0: none */
    int write_error; /* enum wsgi_error, final */
    int status;      /* what the handler returns, once finished */
} wsgi_httpd_exchange_t;

/* Ready for use; the caller fills x->ex.request. */
void wsgi_httpd_exchange_init(wsgi_httpd_exchange_t *x, request_rec *r);

/* Reads a chunked body to its end, into memory and then a file without a name, and makes it one of
 * known length, as far as the application can see. OK with its bytes, or an HTTP status, logged. */
int wsgi_httpd_exchange_collect(wsgi_httpd_exchange_t *x, int64_t *length);

#endif
