/* server/score.c — httpd's scoreboard as Python code may be told of it: read where it lies in
 * httpd's children, and drawn into memory that process groups can see.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "score.h"

#include "ap_mpm.h"
#include "scoreboard.h"

#include <stdlib.h>

/* ---- a picture ---- */

static char letter_of(unsigned char status)
{
    static const char letters[SERVER_NUM_STATUS] = {
        [SERVER_DEAD] = '.',      [SERVER_STARTING] = 'S',   [SERVER_READY] = '_',
        [SERVER_BUSY_READ] = 'R', [SERVER_BUSY_WRITE] = 'W', [SERVER_BUSY_KEEPALIVE] = 'K',
        [SERVER_BUSY_LOG] = 'L',  [SERVER_BUSY_DNS] = 'D',   [SERVER_CLOSING] = 'C',
        [SERVER_GRACEFUL] = 'G',  [SERVER_IDLE_KILL] = 'I',
    };
    return status < SERVER_NUM_STATUS ? letters[status] : '?';
}

static void draw_worker(wsgi_score_worker_t *worker, int process, int thread)
{
    worker_score score;
    ap_copy_scoreboard_worker(&score, process, thread);
    *worker = (wsgi_score_worker_t){
        .thread = thread,
        .generation = score.generation,
        .accesses = score.access_count,
        .bytes = (uint64_t)score.bytes_served,
        .start_us = score.start_time,
        .stop_us = score.stop_time,
        .last_used_us = score.last_used,
        .status = {letter_of(score.status)},
    };
    apr_cpystrn(worker->client, score.client64, sizeof worker->client);
    apr_cpystrn(worker->request, score.request, sizeof worker->request);
    apr_cpystrn(worker->vhost, score.vhost, sizeof worker->vhost);
}

static void draw_process(wsgi_scoreboard_t *picture, int number)
{
    const process_score *score = ap_get_scoreboard_process(number);
    wsgi_score_worker_t *workers = wsgi_score_workers(picture, (unsigned)number);
    wsgi_score_processes(picture)[number] = (wsgi_score_process_t){
        .pid = score->pid,
        .generation = score->generation,
        .is_quiescing = score->quiescing != 0,
    };
    for (int i = 0; i < (int)picture->threads; i++) {
        draw_worker(&workers[i], number, i);
    }
}

wsgi_scoreboard_t *wsgi_httpd_scoreboard_read(void)
{
    if (!ap_exists_scoreboard_image()) {
        return NULL;
    }
    const global_score *global = ap_get_scoreboard_global();
    unsigned processes = (unsigned)global->server_limit, threads = (unsigned)global->thread_limit;
    wsgi_scoreboard_t *picture = calloc(1, wsgi_scoreboard_bytes(processes, threads));
    if (picture == NULL) {
        return NULL;
    }
    *picture = (wsgi_scoreboard_t){
        .version = WSGI_SCOREBOARD_VERSION,
        .processes = processes,
        .threads = threads,
        .generation = global->running_generation,
        .restart_us = global->restart_time,
        .current_us = apr_time_now(),
    };
    for (unsigned i = 0; i < processes; i++) {
        draw_process(picture, (int)i);
    }
    return picture;
}

/* ---- for process groups ---- */

static apr_status_t close_map(void *data)
{
    wsgi_scoreboard_unmap(data);
    return APR_SUCCESS;
}

/* Before httpd has made its own, whose size is settled by now. */
static unsigned limit_of(int question)
{
    int limit;
    return ap_mpm_query(question, &limit) == APR_SUCCESS && limit > 0 ? (unsigned)limit : 1;
}

int wsgi_httpd_scoreboard_open(apr_pool_t *pconf, server_rec *main_server, wsgi_result_t *result)
{
    int fd;
    wsgi_scoreboard_map_t *map = wsgi_scoreboard_create(
        limit_of(AP_MPMQ_HARD_LIMIT_DAEMONS), limit_of(AP_MPMQ_HARD_LIMIT_THREADS), &fd, result);
    if (map != NULL) {
        apr_pool_cleanup_register(pconf, map, close_map, apr_pool_cleanup_null);
        wsgi_server_config(main_server)->scoreboard = map;
    }
    return fd;
}

void wsgi_httpd_scoreboard_publish(const server_rec *main_server)
{
    wsgi_scoreboard_map_t *map = wsgi_server_config(main_server)->scoreboard;
    if (map == NULL || !wsgi_scoreboard_is_due(map, wsgi_now_us())) {
        return;
    }
    wsgi_scoreboard_t *picture = wsgi_httpd_scoreboard_read();
    if (picture != NULL) {
        wsgi_scoreboard_draw(map, picture);
        free(picture);
    }
}
