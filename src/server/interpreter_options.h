/* server/interpreter_options.h — <WSGIInterpreterOptions>: settings of Python for chosen process
 * groups and interpreters.
 * Runs in:  httpd parent.   Threads: one.   Blocks: never.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_INTERPRETER_OPTIONS_H
#define WSGI_INTERPRETER_OPTIONS_H

#include "settings.h"

/* One block as written. */
typedef struct wsgi_interpreter_block {
    const char *process_group, *application_group; /* "": %{GLOBAL}; NULL: any */
    wsgi_group_settings_t python;                  /* of it what `given` says */
    unsigned given;                                /* bits, by the table of interpreter_options.c */
    wsgi_place_t place;
} wsgi_interpreter_block_t;

/* The member of the block's settings at the offset, from now on given. */
void *wsgi_interpreter_block_member(wsgi_interpreter_block_t *block, size_t offset);

/* Is WSGIFreeThreading, which is a matter of the whole process, said for one interpreter? */
bool wsgi_interpreter_block_frees_one(const wsgi_interpreter_block_t *block);

/* Applies what the blocks say to the process group's settings: to its process as a whole, and by
 * interpreter_options to its interpreters. */
void wsgi_interpreter_blocks_apply(apr_pool_t *pool, const apr_array_header_t *blocks,
                                   wsgi_group_settings_t *settings);

#endif
