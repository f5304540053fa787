/* metrics/recorder.c — sums of a process's requests between two readings.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_recorder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* All of it is guarded by lock. */
struct wsgi_recorder {
    pthread_mutex_t lock;
    int64_t taken_us;      /* monotonic: the interval's beginning */
    int64_t *begun_us;     /* monotonic, by thread number - 1; 0 = no request is under way */
    wsgi_interval_t *sums; /* of the interval; its all_… since the recording began */
};

/* --- phases ---------------------------------------------------------------------------------- */

unsigned wsgi_phase_bucket(int64_t us)
{
    const uint64_t ms = us > 0 ? (uint64_t)us / 1000 : 0;
    if (ms < 1) {
        return 0;
    }
    const unsigned octave = 63u - (unsigned)__builtin_clzll(ms);
    if (octave >= (WSGI_PHASE_BUCKETS - 1) / 4) {
        return WSGI_PHASE_BUCKETS - 1;
    }
    const uint64_t base_us = UINT64_C(1000) << octave;
    return 4 * octave + (unsigned)(((uint64_t)us - base_us) * 4 / base_us);
}

static void add_phase(wsgi_phase_sum_t *sum, int64_t us, int64_t min_us, int64_t max_us)
{
    sum->min_us = sum->count == 0 || min_us < sum->min_us ? min_us : sum->min_us;
    sum->max_us = sum->count == 0 || max_us > sum->max_us ? max_us : sum->max_us;
    sum->sum_us += us;
    sum->count++;
    sum->buckets[wsgi_phase_bucket(us)]++;
}

static void add_phases(wsgi_interval_t *sums, const wsgi_sample_t *sample)
{
    for (unsigned i = 0; i < WSGI_PHASE_COUNT; i++) {
        const int64_t us = sample->phases_us[i];
        if (i == WSGI_PHASE_GIL_WAIT && sample->gil_wait_count > 0) {
            add_phase(&sums->phases[i], us, sample->gil_wait_min_us, sample->gil_wait_max_us);
        }
        else if (i != WSGI_PHASE_GIL_WAIT && us >= 0) {
            add_phase(&sums->phases[i], us, us, us);
        }
    }
}

static unsigned status_class(unsigned status)
{
    return status >= 100 && status < 600 ? status / 100 - 1 : 4;
}

static void add_sample(wsgi_interval_t *sums, const wsgi_sample_t *sample)
{
    add_phases(sums, sample);
    sums->requests++;
    sums->all_requests++;
    sums->gil_wait_count += sample->gil_wait_count;
    sums->input_bytes += sample->input_bytes;
    sums->input_reads += sample->input_reads;
    sums->output_bytes += sample->output_bytes;
    sums->output_writes += sample->output_writes;
    sums->statuses[status_class(sample->status)]++;
}

/* --- the recorder ---------------------------------------------------------------------------- */

static size_t interval_bytes(unsigned threads)
{
    return sizeof(wsgi_interval_t) + threads * sizeof(wsgi_thread_sum_t);
}

wsgi_recorder_t *wsgi_recorder_new(unsigned threads)
{
    wsgi_recorder_t *it = calloc(1, sizeof(*it));
    if (it == NULL) {
        return NULL;
    }
    it->begun_us = calloc(threads + 1, sizeof(*it->begun_us));
    it->sums = calloc(1, interval_bytes(threads));
    pthread_mutex_init(&it->lock, NULL);
    if (it->begun_us == NULL || it->sums == NULL) {
        wsgi_recorder_free(it);
        return NULL;
    }
    it->taken_us = wsgi_now_us();
    it->sums->start_us = wsgi_wall_us();
    it->sums->thread_count = threads;
    wsgi_process_cpu_us(&it->sums->cpu_user_us, &it->sums->cpu_system_us);
    return it;
}

void wsgi_recorder_free(wsgi_recorder_t *it)
{
    if (it != NULL) {
        pthread_mutex_destroy(&it->lock);
        free(it->begun_us);
        free(it->sums);
        free(it);
    }
}

void wsgi_recorder_begin(wsgi_recorder_t *it, unsigned thread)
{
    const int64_t now_us = wsgi_now_us();

    pthread_mutex_lock(&it->lock);
    wsgi_interval_t *sums = it->sums;
    sums->under_way++;
    sums->threads_started = thread > sums->threads_started ? thread : sums->threads_started;
    if (thread >= 1 && thread <= sums->thread_count) {
        it->begun_us[thread - 1] = now_us;
    }
    pthread_mutex_unlock(&it->lock);
}

static int64_t within(const wsgi_recorder_t *it, int64_t begun_us, int64_t now_us)
{
    return now_us - (begun_us > it->taken_us ? begun_us : it->taken_us);
}

static void end_locked(wsgi_recorder_t *it, unsigned index, const wsgi_sample_t *sample,
                       int64_t now_us)
{
    wsgi_thread_sum_t *thread = &it->sums->threads[index];
    const int64_t begun_us = it->begun_us[index];
    it->begun_us[index] = 0;
    if (sample == NULL || begun_us == 0) {
        return;
    }
    const int64_t busy_us = within(it, begun_us, now_us);
    thread->requests++;
    thread->all_requests++;
    thread->busy_us += busy_us;
    it->sums->all_busy_us += now_us - begun_us;
    thread->cpu_us += sample->cpu_us;
    thread->longest_us =
        now_us - begun_us > thread->longest_us ? now_us - begun_us : thread->longest_us;
}

void wsgi_recorder_end(wsgi_recorder_t *it, unsigned thread, const wsgi_sample_t *sample)
{
    const int64_t now_us = wsgi_now_us();

    pthread_mutex_lock(&it->lock);
    it->sums->under_way--;
    if (thread >= 1 && thread <= it->sums->thread_count) {
        end_locked(it, thread - 1, sample, now_us);
    }
    if (sample != NULL) {
        add_sample(it->sums, sample);
    }
    pthread_mutex_unlock(&it->lock);
}

/* --- reading --------------------------------------------------------------------------------- */

/* Requests under way count as far as they have come. */
static void finish_copy(const wsgi_recorder_t *it, wsgi_interval_t *copy, int64_t now_us)
{
    int64_t user_us, system_us;

    copy->stop_us = wsgi_wall_us();
    wsgi_process_cpu_us(&user_us, &system_us);
    copy->cpu_user_us = user_us - copy->cpu_user_us;
    copy->cpu_system_us = system_us - copy->cpu_system_us;
    for (unsigned i = 0; i < copy->thread_count; i++) {
        wsgi_thread_sum_t *thread = &copy->threads[i];
        const int64_t begun_us = it->begun_us[i];
        if (begun_us != 0) {
            thread->elapsed_us = now_us - begun_us;
            thread->busy_us += within(it, begun_us, now_us);
            copy->all_busy_us += now_us - begun_us;
        }
        copy->threads_active += begun_us != 0 || thread->requests > 0;
    }
}

/* What lives longer than an interval stays. */
static void begin_anew(wsgi_recorder_t *it, const wsgi_interval_t *copy, int64_t now_us)
{
    wsgi_interval_t *sums = it->sums;
    wsgi_interval_t kept = {
        .start_us = copy->stop_us,
        .threads_started = sums->threads_started,
        .cpu_user_us = sums->cpu_user_us + copy->cpu_user_us,
        .cpu_system_us = sums->cpu_system_us + copy->cpu_system_us,
        .all_requests = sums->all_requests,
        .under_way = sums->under_way,
        .all_busy_us = sums->all_busy_us,
        .thread_count = sums->thread_count,
    };
    memcpy(sums, &kept, sizeof(kept));
    for (unsigned i = 0; i < sums->thread_count; i++) {
        sums->threads[i] = (wsgi_thread_sum_t){.all_requests = sums->threads[i].all_requests};
    }
    it->taken_us = now_us;
}

static wsgi_interval_t *read_interval(wsgi_recorder_t *it, bool is_taken)
{
    const size_t bytes = interval_bytes(it->sums->thread_count);
    wsgi_interval_t *copy = malloc(bytes);
    if (copy == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&it->lock);
    const int64_t now_us = wsgi_now_us();
    memcpy(copy, it->sums, bytes);
    finish_copy(it, copy, now_us);
    if (is_taken) {
        begin_anew(it, copy, now_us);
    }
    pthread_mutex_unlock(&it->lock);
    return copy;
}

wsgi_interval_t *wsgi_recorder_take(wsgi_recorder_t *recorder)
{
    return read_interval(recorder, true);
}

wsgi_interval_t *wsgi_recorder_look(wsgi_recorder_t *recorder)
{
    return read_interval(recorder, false);
}

/* --- what the process takes ------------------------------------------------------------------ */

static int64_t us_of(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

void wsgi_process_cpu_us(int64_t *user_us, int64_t *system_us)
{
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_SELF, &usage);
    *user_us = us_of(usage.ru_utime);
    *system_us = us_of(usage.ru_stime);
}

void wsgi_process_memory(uint64_t *bytes, uint64_t *most_bytes)
{
    struct rusage usage = {0};
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    *bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
    *most_bytes = (uint64_t)usage.ru_maxrss * 1024;
    *most_bytes = *most_bytes > *bytes ? *most_bytes : *bytes;
}

int64_t wsgi_thread_cpu_us(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
