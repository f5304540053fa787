/* tests/unit/log_lines.h — keeps what is logged: "<level> text\n" …, from any thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_LINES_H
#define LOG_LINES_H

#include "wsgi_core.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static char log_lines[64 << 10];
static pthread_mutex_t log_lines_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep_line(void *baton, int level, const char *file, int line, const char *text)
{
    (void)baton, (void)file, (void)line;
    pthread_mutex_lock(&log_lines_lock);
    const size_t used = strlen(log_lines);
    snprintf(log_lines + used, sizeof(log_lines) - used, "<%d> %s\n", level, text);
    pthread_mutex_unlock(&log_lines_lock);
}

static void log_lines_begin(void)
{
    log_lines[0] = '\0';
    wsgi_log_install(keep_line, NULL, WSGI_LOG_INFO);
}

static bool is_logged(const char *words)
{
    pthread_mutex_lock(&log_lines_lock);
    const bool is_there = strstr(log_lines, words) != NULL;
    pthread_mutex_unlock(&log_lines_lock);
    return is_there;
}

#endif
