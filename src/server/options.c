/* server/options.c — name=value words, numbers, On and Off.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "apr_strings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char byte)
{
    return isspace((unsigned char)byte) != 0;
}

/* Copies text up to its end quote (backslash takes the next quote or backslash as it is), or up to
 * a blank where it begins with no quote. NULL: the quote stays open. */
static char *take_value(apr_pool_t *pool, const char **text)
{
    const char *from = *text;
    char quote = *from == '"' || *from == '\'' ? *from++ : '\0';
    char *value = apr_palloc(pool, strlen(from) + 1), *to = value;
    while (*from != '\0' && (quote != '\0' ? *from != quote : !is_blank(*from))) {
        if (quote != '\0' && *from == '\\' && (from[1] == quote || from[1] == '\\')) {
            from++;
        }
        *to++ = *from++;
    }
    *to = '\0';
    if (quote != '\0' && *from++ != quote) {
        return NULL;
    }
    *text = from;
    return value;
}

/* The whole word is in quotes: 'name=a b'. */
static enum wsgi_option_result take_quoted(apr_pool_t *pool, const char **args,
                                           wsgi_option_t *option)
{
    option->name = *args;
    char *word = take_value(pool, args);
    if (word == NULL) {
        return WSGI_OPTION_BAD;
    }
    option->name = word;
    char *equals = strchr(word, '=');
    if (equals == NULL) {
        return WSGI_OPTION_BAD;
    }
    *equals = '\0';
    option->value = equals + 1;
    return WSGI_OPTION_TAKEN;
}

enum wsgi_option_result wsgi_option_take(apr_pool_t *pool, const char **args, wsgi_option_t *option)
{
    *option = (wsgi_option_t){NULL, NULL};
    while (is_blank(**args)) {
        ++*args;
    }
    if (**args == '\0') {
        return WSGI_OPTION_END;
    }
    if (**args == '"' || **args == '\'') {
        return take_quoted(pool, args, option);
    }
    const char *end = *args;
    while (*end != '\0' && *end != '=' && !is_blank(*end)) {
        end++;
    }
    option->name = apr_pstrmemdup(pool, *args, (apr_size_t)(end - *args));
    if (*end != '=') {
        return WSGI_OPTION_BAD;
    }
    *args = end + 1;
    option->value = take_value(pool, args);
    return option->value == NULL ? WSGI_OPTION_BAD : WSGI_OPTION_TAKEN;
}

static int parse_number(const char *text, int base, int64_t least, int64_t most, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, base);
    if (end == text || errno != 0 || value < least || value > most) {
        return WSGI_E_INVALID;
    }
    *number = value;
    return (int)strlen(end);
}

int wsgi_option_number(const char *text, int64_t least, int64_t most, int64_t *number)
{
    return parse_number(text, 10, least, most, number);
}

int wsgi_option_octal(const char *text, int64_t least, int64_t most, int64_t *number)
{
    return isdigit((unsigned char)*text) ? parse_number(text, 8, least, most, number)
                                         : WSGI_E_INVALID;
}

#define INTERVAL_LEAST_S 1e-6
#define INTERVAL_MOST_S  3600.0

int wsgi_option_interval(const char *text, int64_t *us)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < INTERVAL_LEAST_S ||
        seconds > INTERVAL_MOST_S) {
        return WSGI_E_INVALID;
    }
    *us = (int64_t)(seconds * 1e6 + 0.5);
    return 0;
}

int wsgi_option_flag(const char *text)
{
    if (strcasecmp(text, "on") == 0) {
        return 1;
    }
    return strcasecmp(text, "off") == 0 ? 0 : WSGI_E_INVALID;
}
