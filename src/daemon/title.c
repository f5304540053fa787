/* daemon/title.c — the process title. Linux shows the memory of the arguments; they are followed by
 * that of the environment, which is moved away to make room.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The end of the strings that lie without a gap behind `end`. */
static char *adjoining_end(char **strings, char *end)
{
    for (size_t i = 0; strings[i] != NULL; i++) {
        if (strings[i] != end) {
            break;
        }
        end += strlen(strings[i]) + 1;
    }
    return end;
}

static char **copy_strings(char **strings)
{
    size_t count = 0;
    char **copy;

    while (strings[count] != NULL) {
        count++;
    }
    copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(strings[i]);
        if (copy[i] == NULL) {
            return NULL;
        }
    }
    return copy;
}

void wsgi_title_open(wsgi_title_t *title, char **argv)
{
    char **copy = argv[0] != NULL ? copy_strings(environ) : NULL;

    *title = (wsgi_title_t){0};
    if (copy != NULL) {
        title->start = argv[0];
        title->capacity = (size_t)(adjoining_end(environ, adjoining_end(argv, argv[0])) - argv[0]);
        environ = copy;
    }
}

void wsgi_title_set(const wsgi_title_t *title, const char *text)
{
    size_t len = strlen(text);

    prctl(PR_SET_NAME, text); /* the kernel cuts it to 15 bytes */
    if (title->capacity == 0) {
        return;
    }
    if (len >= title->capacity) {
        len = title->capacity - 1;
    }
    memcpy(title->start, text, len);
    memset(title->start + len, '\0', title->capacity - len);
}
