/* tests/fuzz/make_seeds.c — writes the first inputs of the fuzz targets that read a binary format,
 * made by the encoders themselves: make_seeds DIR fills DIR/wire, DIR/request, DIR/head,
 * DIR/proxy and DIR/handover.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_field.h"
#include "wsgi_handover.h"
#include "wsgi_wire.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const wsgi_var_t vars[] = {
    {WSGI_META_REQUEST_METHOD, {"", 0}, {"POST", 4}},
    {WSGI_META_HTTP_COOKIE, {"", 0}, {"a=1; b=2", 8}},
    {0, {"HTTP_X_OWN", 10}, {"value", 5}},
    {WSGI_META_QUERY_STRING, {"", 0}, {"", 0}},
};

static const wsgi_field_t fields[] = {
    {{"Content-Type", 12}, {"text/html; charset=utf-8", 24}},
    {{"Set-Cookie", 10}, {"a=1", 3}},
    {{"X-Empty", 7}, {"", 0}},
};

static void make_folder(const char *path)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        err(1, "%s", path);
    }
}

/* Saves what the buffer holds behind its first `skip` bytes, and empties it. */
static void save(const char *dir, const char *parser, const char *name, wsgi_buffer_t *made,
                 size_t skip)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", dir, parser);
    make_folder(path);
    snprintf(path, sizeof(path), "%s/%s/%s", dir, parser, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(made->data + skip, 1, made->len - skip, file) != made->len - skip ||
        fclose(file) != 0) {
        err(1, "%s", path);
    }
    wsgi_buffer_clear(made, 0);
}

static void must(int code)
{
    if (code != WSGI_OK) {
        errx(1, "a seed cannot be made: %s", wsgi_strerror(code));
    }
}

static wsgi_request_t full_request(void)
{
    return (wsgi_request_t){
        .id = 7,
        .flags = WSGI_REQUEST_HTTPS | WSGI_REQUEST_BODY_INCLUDED,
        .body_length = 4,
        .script = WSGI_LITERAL("/srv/app.wsgi"),
        .process_group = WSGI_LITERAL("group"),
        .application_group = WSGI_LITERAL("localhost|/app"),
        .callable = WSGI_LITERAL("application"),
        .handler = WSGI_LITERAL("wsgi-script"),
        .log_id = WSGI_LITERAL("Zx1"),
        .vars = vars,
        .var_count = sizeof(vars) / sizeof(vars[0]),
        .body_first = WSGI_LITERAL("body"),
    };
}

static void save_requests(const char *dir)
{
    const wsgi_request_t full = full_request();
    const wsgi_request_t bare = {.body_length = WSGI_BODY_UNKNOWN};
    wsgi_buffer_t out = {0};

    must(wsgi_wire_put_request(&out, 0, &full));
    save(dir, "request", "full", &out, WSGI_WIRE_HEADER_BYTES);
    must(wsgi_wire_put_request(&out, 0, &bare));
    save(dir, "request", "bare", &out, WSGI_WIRE_HEADER_BYTES);
    must(wsgi_wire_put_request(&out, WSGI_FRAME_FLAG_TELLME, &full));
    must(wsgi_wire_put(&out, WSGI_FRAME_BODY, 0, WSGI_LITERAL("more")));
    must(wsgi_wire_put_number(&out, WSGI_FRAME_BODY_END, 0, WSGI_OK));
    must(wsgi_wire_put(&out, WSGI_FRAME_GONE, 0, WSGI_LITERAL("")));
    save(dir, "wire", "caller", &out, 0);
}

static void save_answers(const char *dir)
{
    const wsgi_head_t full = {200, WSGI_LITERAL("OK"), fields, sizeof(fields) / sizeof(fields[0])};
    const wsgi_head_t bare = {.status = 304};
    wsgi_buffer_t out = {0};

    must(wsgi_wire_put_head(&out, &full));
    save(dir, "head", "full", &out, WSGI_WIRE_HEADER_BYTES);
    must(wsgi_wire_put_head(&out, &bare));
    save(dir, "head", "bare", &out, WSGI_WIRE_HEADER_BYTES);
    must(wsgi_wire_put_hello(&out, &(wsgi_hello_t){WSGI_WIRE_VERSION, 1, 2}));
    must(wsgi_wire_put(&out, WSGI_FRAME_CONTINUE, 0, WSGI_LITERAL("")));
    must(wsgi_wire_put_log(
        &out, &(wsgi_wire_log_t){WSGI_LOG_ERR, 7, WSGI_LITERAL("app.py"), WSGI_LITERAL("a line")}));
    must(wsgi_wire_put_head(&out, &full));
    must(wsgi_wire_put(&out, WSGI_FRAME_DATA, WSGI_FRAME_FLAG_FLUSH, WSGI_LITERAL("part")));
    must(wsgi_wire_put_file(&out, 0, &(wsgi_wire_file_t){16, 4096}));
    must(wsgi_wire_put(&out, WSGI_FRAME_END, WSGI_FRAME_FLAG_CLOSE, WSGI_LITERAL("")));
    save(dir, "wire", "worker", &out, 0);
    must(wsgi_wire_put(&out, WSGI_FRAME_GOAWAY, 0, WSGI_LITERAL("")));
    must(wsgi_wire_put_number(&out, WSGI_FRAME_ABORT, 0, 500));
    save(dir, "wire", "refusals", &out, 0);
}

/* A scene of fuzz_proxy.c, and what its worker says. */
static void save_scene(const char *dir, const char *name, char scene)
{
    static const wsgi_field_t length = {{"Content-Length", 14}, {"1004", 4}};
    const wsgi_head_t head = {200, WSGI_LITERAL("OK"), &length, 1};
    wsgi_buffer_t out = {0};

    must(wsgi_buffer_append(&out, &scene, 1));
    must(wsgi_wire_put_log(
        &out, &(wsgi_wire_log_t){WSGI_LOG_ERR, 7, WSGI_LITERAL("app.py"), WSGI_LITERAL("a line")}));
    if ((scene & 1) != 0) {
        must(wsgi_wire_put(&out, WSGI_FRAME_CONTINUE, 0, WSGI_LITERAL("")));
    }
    must(wsgi_wire_put_head(&out, &head));
    must(wsgi_wire_put(&out, WSGI_FRAME_DATA, WSGI_FRAME_FLAG_FLUSH, WSGI_LITERAL("part")));
    must(wsgi_wire_put_file(&out, 0, &(wsgi_wire_file_t){16, 1000}));
    must(wsgi_wire_put(&out, WSGI_FRAME_END, WSGI_FRAME_FLAG_CLOSE, WSGI_LITERAL("")));
    save(dir, "proxy", name, &out, 0);
}

/* Two requests on one connection, and what comes instead of a third answer. */
static void save_kept(const char *dir)
{
    const wsgi_head_t head = {.status = 204};
    const char scene = 0x28;
    wsgi_buffer_t out = {0};

    must(wsgi_buffer_append(&out, &scene, 1));
    for (unsigned i = 0; i < 2; i++) {
        must(wsgi_wire_put_head(&out, &head));
        must(wsgi_wire_put(&out, WSGI_FRAME_END, 0, WSGI_LITERAL("")));
    }
    must(wsgi_wire_put(&out, WSGI_FRAME_GOAWAY, 0, WSGI_LITERAL("")));
    save(dir, "proxy", "kept", &out, 0);
}

static void save_scenes(const char *dir)
{
    save_kept(dir);
    save_scene(dir, "file", 0x18);
    save_scene(dir, "body", 0x19);
    save_scene(dir, "slow", 0x7b);
    save_scene(dir, "parts", 0x2f);
}

static void save_settings(const char *dir)
{
    wsgi_group_settings_t settings;
    wsgi_buffer_t out = {0};

#define TEXT(member)   settings.member = #member;
#define NUMBER(member) settings.member = sizeof(#member);
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
    must(wsgi_handover_pack(&out, &settings));
    save(dir, "handover", "full", &out, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        errx(2, "usage: make_seeds DIR");
    }
    make_folder(argv[1]);
    save_requests(argv[1]);
    save_answers(argv[1]);
    save_scenes(argv[1]);
    save_settings(argv[1]);
    return 0;
}
