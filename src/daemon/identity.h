/* daemon/identity.h — takes the user, groups and place of a process group.
 * Runs in:  supervisor, before its first worker.   Threads: one.   Blocks: in the user database.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_IDENTITY_H
#define WSGI_IDENTITY_H

#include "wsgi_handover.h"

/* Each step is checked and then read back: a kernel, library or sandbox that says yes without doing
 * it is found out (CVE-2014-0240, CVE-2014-8583). WSGI_OK, or WSGI_E_IO with one sentence; then the
 * process may be anything between the two identities and must end. */
int wsgi_identity_take(const wsgi_group_settings_t *settings, wsgi_result_t *result)
    WSGI_NONNULL WSGI_MUST_CHECK;

#endif
