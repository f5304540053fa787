/* server/group_user.h — the identity of a process group, from the words of its directive and
 * httpd's own User and Group.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_GROUP_USER_H
#define WSGI_GROUP_USER_H

#include "settings.h"

/* Fills uid, gid, user_name, user_home, has_own_user, supplementary_groups, and who must own the
 * scripts. WSGI_OK, or WSGI_E_INVALID with the cause:
 * no such user or group, or one that must not be (root). Asks the user database. */
int wsgi_group_user_resolve(wsgi_group_draft_t *draft, apr_pool_t *pconf, wsgi_result_t *result);

#endif
