/* server/options.h — the words behind a directive: name=value, numbers, On and Off. Pure but for
 * its pool; no httpd types.
 * Runs in:  httpd parent.   Threads: one.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_OPTIONS_H
#define WSGI_OPTIONS_H

#include "apr_pools.h"

#include "wsgi_core.h"

typedef struct wsgi_option {
    const char *name, *value;
} wsgi_option_t;

enum wsgi_option_result { WSGI_OPTION_END, WSGI_OPTION_TAKEN, WSGI_OPTION_BAD };

/* Takes the next name=value from *args and moves it on. The value, or the whole word, may stand in
 * single or double quotes. BAD: no '=' where one belongs, or an open quote; then option->name is
 * the word at fault, and its value NULL. */
enum wsgi_option_result wsgi_option_take(apr_pool_t *pool, const char **args,
                                         wsgi_option_t *option);

/* A whole number in least…most. 0, or how many bytes of junk follow the digits (the number counts);
 * WSGI_E_INVALID where there are no digits, or the number is out of range. */
int wsgi_option_number(const char *text, int64_t least, int64_t most, int64_t *number);

/* The same in base 8, without a sign. */
int wsgi_option_octal(const char *text, int64_t least, int64_t most, int64_t *number);

/* Seconds with a fraction, 0.000001 to 3600 and nothing behind them, as microseconds. 0, or
 * WSGI_E_INVALID. */
int wsgi_option_interval(const char *text, int64_t *us);

/* On or Off in any case: 1 or 0; WSGI_E_INVALID for anything else. */
int wsgi_option_flag(const char *text);

#endif
