/* daemon/limits.h — what surrounds a worker: limits of its memory, its locale.
 * Runs in:  worker, before Python starts: the supervisor must not die of a limit.
 * Threads:  one.   Owns: nothing.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_LIMITS_H
#define WSGI_LIMITS_H

#include "wsgi_handover.h"

/* RLIMIT_DATA and RLIMIT_AS. A limit that cannot be set is a warning: the group can serve. */
void wsgi_limits_set(const wsgi_group_settings_t *settings) WSGI_NONNULL;

/* LANG, LC_ALL and the locale of this process. One that is not installed is a warning, which says
 * what is used instead. */
void wsgi_locale_set(const wsgi_group_settings_t *settings) WSGI_NONNULL;

#endif
