/* tests/unit/gateway/site.h — a site without a server: Python started once per program, scripts in
 * a directory of its own, requests by the fake exchange.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SITE_H
#define SITE_H

#include "fake_exchange.h"
#include "wsgi_gateway.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "def application(environ, start_response):\n"
#define OK  "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"

static char site_directory[64];

static inline void site_path(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", site_directory, name);
}

static inline void site_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const wsgi_runtime_settings_t site_settings = {
    .python_home = "",
    .python_path = "",
    .home = "",
    .process_group = "",
    .main_name = "",
    .python_executable = "",
    .server_description = "Apache/2.4.71 (unit test)",
    .server_build_date = "2026-11-24",
    .mpm_name = "none",
    .server_version = 20471,
    .processes = 1,
    .threads = 15,
    .is_multithread = true,
    .python_eggs = "",
    .python_warnings = "",
    .interpreter_options = "",
    .hash_seed = WSGI_HASH_SEED_RANDOM,
};

static inline int site_start_with(const wsgi_runtime_settings_t *settings)
{
    wsgi_result_t result;
    snprintf(site_directory, sizeof(site_directory), "/tmp/quetzal-unit.XXXXXX");
    if (mkdtemp(site_directory) == NULL) {
        return -1;
    }
    if (wsgi_runtime_start(settings, &result) != WSGI_OK) {
        fprintf(stderr, "%s\n", result.detail);
        return -1;
    }
    return 0;
}

static inline int site_start(void **state)
{
    (void)state;
    return site_start_with(&site_settings);
}

static inline int site_stop(void **state)
{
    char command[128];
    (void)state;
    wsgi_runtime_stop();
    snprintf(command, sizeof(command), "rm -rf '%s'", site_directory);
    return system(command) == 0 ? 0 : -1;
}

/* A request for a new script with this source. */
static inline void site_request(fake_exchange_t *fake, const char *source)
{
    static int count;
    static char paths[256][128];
    char name[32];
    char *path = paths[count % 256]; /* the exchange borrows it */
    snprintf(name, sizeof(name), "app%d.wsgi", count++);
    site_path(path, name);
    site_write(path, source);
    fake_exchange_init(fake, path);
}

static inline int site_serve_in(fake_exchange_t *fake, const char *interpreter)
{
    wsgi_result_t result;
    wsgi_interp_t *interp = wsgi_interp_find(interpreter, false, &result);
    assert_non_null(interp);
    return wsgi_gateway_serve(interp, &fake->ex, WSGI_RELOAD_IN_PLACE);
}

static inline int site_serve(fake_exchange_t *fake)
{
    return site_serve_in(fake, "");
}

/* The next request for the same script. */
static inline void site_again(fake_exchange_t *fake)
{
    const char *path = fake->ex.request.script.data;
    fake_exchange_free(fake);
    fake_exchange_init(fake, path);
}

/* What the application of this source answers, as text: the body where all went well. */
static inline const char *site_answer(fake_exchange_t *fake, const char *source)
{
    site_request(fake, source);
    assert_int_equal(site_serve(fake), WSGI_OK);
    assert_int_equal(fake->outcome, WSGI_DONE);
    return fake_exchange_sent(fake);
}

static inline void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" is in:\n%s", part, text);
    }
}

/* The request failed with a status, and its log says `part`. */
static inline void assert_failed(fake_exchange_t *fake, unsigned status, const char *part)
{
    assert_int_equal(fake->finish_count, 1);
    assert_contains(fake_exchange_log(fake), part);
    assert_int_equal(fake->outcome, WSGI_FAILED);
    assert_int_equal(fake->finish_status, status);
    assert_int_equal(fake->sent.len, 0);
}

/* The head went out, the answer is visibly cut, and the log says `part`. */
static inline void assert_truncated(fake_exchange_t *fake, const char *part)
{
    assert_int_equal(fake->finish_count, 1);
    assert_contains(fake_exchange_log(fake), part);
    assert_int_equal(fake->outcome, WSGI_TRUNCATED);
}

#endif
