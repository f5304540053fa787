/* tests/unit/fake_exchange.h — an exchange without a host: a request that the test describes, and a
 * record of all that was done to it. Every misuse of the contract fails the test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_EXCHANGE_H
#define FAKE_EXCHANGE_H

#include "wsgi_exchange.h"

#include <pthread.h>

typedef struct fake_exchange {
    wsgi_exchange_t ex; /* first: the verbs are given its address */
    wsgi_var_t vars[64];

    /* What the host will do. */
    const char *body; /* of the request */
    size_t body_len;
    size_t read_max;  /* most bytes per read_body(); 0 = no limit */
    ssize_t read_end; /* after the body: 0, or a WSGI_E_* */
    size_t send_max;  /* body bytes that the client takes before send_error */
    int send_error;   /* WSGI_OK or a WSGI_E_* */
    int head_error;   /* what send_head() says: WSGI_OK or a WSGI_E_* */
    void (*on_read)(struct fake_exchange *fake); /* called inside read_body(), or NULL */

    /* What has been done. */
    pthread_mutex_t verb; /* held inside each verb: two at once fail the test */
    unsigned verb_count;  /* log() not counted */
    unsigned head_count, send_count, file_count, read_count, finish_count;
    unsigned status;
    wsgi_buffer_t head;  /* "200 OK\nName: value\n…", as sent last */
    wsgi_buffer_t sent;  /* body bytes, files included */
    wsgi_buffer_t sizes; /* "5+ 3. " = sizes of the sends; '+' MORE, '.' LAST, 'f' file */
    wsgi_buffer_t log;   /* "<level> text\n" … */
    enum wsgi_outcome outcome;
    unsigned finish_status;
    size_t body_at;
    bool has_last;
} fake_exchange_t;

/* A GET of / by curl, answered by `application` of the script. */
void fake_exchange_init(fake_exchange_t *fake, const char *script);
void fake_exchange_free(fake_exchange_t *fake);

/* Adds or replaces a meta-variable; the texts are borrowed. */
void fake_exchange_var(fake_exchange_t *fake, const char *name, const char *value);
/* Makes it a POST with this body and its length announced. */
void fake_exchange_body(fake_exchange_t *fake, const char *body, size_t len);

/* The records as text. */
const char *fake_exchange_head(fake_exchange_t *fake);
const char *fake_exchange_sent(fake_exchange_t *fake);
const char *fake_exchange_sizes(fake_exchange_t *fake);
const char *fake_exchange_log(fake_exchange_t *fake);

#endif
