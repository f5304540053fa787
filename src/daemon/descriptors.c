/* daemon/descriptors.c — the end of a worker whose descriptors have been closed under it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "descriptors.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

/* Several threads find out at a time. False: another one is about to end the process. */
static bool is_first(wsgi_journal_t *journal)
{
    return journal == NULL || wsgi_journal_set_reason(journal, WSGI_REASON_DESCRIPTORS) ||
           wsgi_journal_reason(journal) != WSGI_REASON_DESCRIPTORS;
}

void wsgi_descriptors_lost(wsgi_journal_t *journal, const char *group, const char *what)
{
    const char *cause = strerror(errno);

    while (!is_first(journal)) {
        pause();
    }
    wsgi_log(WSGI_LOG_ERR,
             WSGI_ID(1430) "[%s] the application has closed descriptors of the worker (%s: %s), "
                           "which ends and is replaced; look for os.closerange() or code that "
                           "makes a daemon of its process",
             group, what, cause);
    _exit(WSGI_EXIT_DESCRIPTORS);
}
