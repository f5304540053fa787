/* daemon/death.h — how a worker ended, for a log line, the counters and the policy.
 * Runs in:  supervisor.   Threads: one.   Owns: nothing.   Blocks: in two small files of /proc and
 *           /sys.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WSGI_DEATH_H
#define WSGI_DEATH_H

#include "journal.h"
#include "policy.h"

#include <sys/types.h>

typedef struct wsgi_death {
    pid_t pid;
    int status;              /* of wait4() */
    int64_t cpu_us;          /* that it has used */
    int64_t cpu_limit_us;    /* hard; INT64_MAX = none */
    bool is_out_of_memory;   /* the kernel has killed somebody of the control group meanwhile */
    bool was_killed;         /* by the supervisor */
    bool was_serving;        /* so an exit is none of ours, whatever its status */
    bool was_starting;       /* so one in order is none of ours */
    enum wsgi_reason reason; /* what the journal says */
    bool is_by_itself;       /* and that it kills itself for it */
} wsgi_death_t;

/* The next of our children that has ended, or false. *oom_kills: the count at the last death, kept by
 * the caller; wsgi_death_oom_kills() at first. */
bool wsgi_death_collect(wsgi_death_t *death, int64_t *oom_kills);

/* How often the kernel has killed for lack of memory in our control group; -1 = cannot be told. */
int64_t wsgi_death_oom_kills(void);
/* The figure in the text of memory.events; -1 = not there. */
int64_t wsgi_death_parse_events(const char *text);
/* The directory of a control group (version 2) below /sys/fs/cgroup, from the text of
 * /proc/self/cgroup. False where there is none. */
bool wsgi_death_parse_cgroup(const char *text, char *path, size_t room);

enum wsgi_ending wsgi_death_ending(const wsgi_death_t *death);

/* For the counters: the worker's own reason, else what the system says. */
enum wsgi_reason wsgi_death_reason(const wsgi_death_t *death);

/* "was ended by signal 11 (SIGSEGV), with a core file" */
void wsgi_death_describe(const wsgi_death_t *death, char *text, size_t room);

#endif
