/* daemon/limits.c — limits of a worker's memory, and its locale.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* --- memory ---------------------------------------------------------------------------------- */

static void limit(const wsgi_group_settings_t *settings, const char *option, int resource,
                  int64_t bytes)
{
    const struct rlimit wanted = {(rlim_t)bytes, (rlim_t)bytes};
    struct rlimit now;

    if (bytes <= 0) {
        return;
    }
    errno = 0;
    if (setrlimit(resource, &wanted) == 0 && getrlimit(resource, &now) == 0 &&
        now.rlim_cur == wanted.rlim_cur) {
        return;
    }
    wsgi_log(WSGI_LOG_WARNING,
             WSGI_ID(1450) "[%s] goes on without %s=%lld (%s): choose one that is not above the "
                           "limit that httpd was started with",
             settings->name, option, (long long)bytes,
             errno != 0 ? strerror(errno) : "the system said yes and did not do it");
}

void wsgi_limits_set(const wsgi_group_settings_t *settings)
{
    limit(settings, "memory-limit", RLIMIT_DATA, settings->memory_limit);
    limit(settings, "virtual-memory-limit", RLIMIT_AS, settings->virtual_memory_limit);
}

/* --- locale ---------------------------------------------------------------------------------- */

/* What counts where nothing is set: Python takes text for UTF-8 then. */
static const char *locale_in_force(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && *value != '\0') {
            return value;
        }
    }
    return "C, with text in UTF-8,";
}

static bool is_installed(const char *name)
{
    locale_t found = newlocale(LC_ALL_MASK, name, (locale_t)0);

    if (found != (locale_t)0) {
        freelocale(found);
    }
    return found != (locale_t)0;
}

/* A name that is not installed must not reach the environment: Python would fall back to ASCII. */
static bool choose(const wsgi_group_settings_t *settings, const char *option, const char *variable,
                   const char *name)
{
    if (*name == '\0') {
        return false;
    }
    if (!is_installed(name)) {
        wsgi_log(WSGI_LOG_WARNING,
                 WSGI_ID(1451) "[%s] %s=%s is no locale of this machine, %s is used instead: "
                               "install it, or name one that `locale -a` lists",
                 settings->name, option, name, locale_in_force());
        return false;
    }
    return setenv(variable, name, 1) == 0;
}

void wsgi_locale_set(const wsgi_group_settings_t *settings)
{
    choose(settings, "lang", "LANG", settings->lang);
    if (choose(settings, "locale", "LC_ALL", settings->locale)) {
        setlocale(LC_ALL, settings->locale);
    }
}
