/* gateway/figures.c — what one request took, for the recorder of the process. Costs nothing but a
 * look at a pointer where nobody records.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "gateway_private.h"

#include <string.h>

void wsgi_figures_open(wsgi_call_t *call, wsgi_recorder_t *recorder)
{
    call->figures = &call->figures_room;
    memset(call->figures, 0, sizeof(*call->figures));
    call->figures->recorder = recorder;
    wsgi_py_count_waits();
}

void wsgi_figures_begin(wsgi_call_t *call)
{
    wsgi_figures_t *figures = call->figures;
    figures->thread = wsgi_py_thread_number(call->py);
    figures->cpu_start_us = wsgi_thread_cpu_us();
    wsgi_recorder_begin(figures->recorder, figures->thread);
}

void wsgi_figures_add_read(wsgi_figures_t *figures, int64_t took_us, ssize_t bytes)
{
    figures->sample.phases_us[WSGI_PHASE_INPUT_READ] += took_us;
    figures->sample.input_bytes += bytes > 0 ? (uint64_t)bytes : 0;
    figures->sample.input_reads++;
}

void wsgi_figures_add_write(wsgi_figures_t *figures, int64_t took_us, int64_t bytes)
{
    figures->sample.phases_us[WSGI_PHASE_OUTPUT_WRITE] += took_us;
    figures->sample.output_bytes += (uint64_t)bytes;
    figures->sample.output_writes++;
}

/* The wall clock may have been set back meanwhile. */
static int64_t between(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

static void set_times(const wsgi_call_t *call, wsgi_figures_t *figures)
{
    const wsgi_request_t *request = &call->ex->request;
    const int64_t now_us = wsgi_wall_us();
    const int64_t start_us =
        figures->application_start_us != 0 ? figures->application_start_us : now_us;
    const int64_t end_us = figures->application_end_us != 0 ? figures->application_end_us : now_us;
    const bool is_embedded = request->process_group.len == 0;
    int64_t *phases_us = figures->sample.phases_us;
    phases_us[WSGI_PHASE_SERVER] =
        between(request->request_start_us, is_embedded ? start_us : request->queue_start_us);
    phases_us[WSGI_PHASE_QUEUE] =
        is_embedded ? -1 : between(request->queue_start_us, call->daemon_start_us);
    phases_us[WSGI_PHASE_DAEMON] = is_embedded ? -1 : between(call->daemon_start_us, start_us);
    phases_us[WSGI_PHASE_APPLICATION] = between(start_us, end_us);
    phases_us[WSGI_PHASE_REQUEST] = between(request->request_start_us, now_us);
}

static void set_waits(wsgi_sample_t *sample)
{
    const wsgi_py_waits_t waits = wsgi_py_waits();
    sample->phases_us[WSGI_PHASE_GIL_WAIT] = waits.us;
    sample->gil_wait_count = waits.count;
    sample->gil_wait_min_us = waits.min_us;
    sample->gil_wait_max_us = waits.max_us;
}

void wsgi_figures_end(wsgi_call_t *call)
{
    wsgi_figures_t *figures = call->figures;
    if (figures->thread == 0) {
        return; /* Python is stopping */
    }
    if (call->code == WSGI_E_DECLINED) {
        wsgi_recorder_end(figures->recorder, figures->thread, NULL);
        return;
    }
    set_times(call, figures);
    set_waits(&figures->sample);
    figures->sample.cpu_us = wsgi_thread_cpu_us() - figures->cpu_start_us;
    figures->sample.status =
        call->has_failed && !call->is_head_given ? call->failure_status : call->head.status;
    wsgi_recorder_end(figures->recorder, figures->thread, &figures->sample);
}
