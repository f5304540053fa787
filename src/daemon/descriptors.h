/* daemon/descriptors.h — what a worker does when its descriptors have been closed under it, as code
 * that makes a daemon of its process does.
 * Runs in:  worker.   Threads: any; the first one speaks.   Owns: nothing.   Blocks: does not return.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_DESCRIPTORS_H
#define WSGI_DESCRIPTORS_H

#include "journal.h"

/* Without them it would hear nobody: it says so and ends, for the supervisor to replace it. `what`
 * cannot be used any more; why is in errno. `journal` may be NULL. */
void wsgi_descriptors_lost(wsgi_journal_t *journal, const char *group, const char *what)
    WSGI_COLD WSGI_NORETURN;

#endif
