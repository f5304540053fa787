/* tests/fuzz/fuzz_proxy.c — all that a worker may send, as the proxy reads it: whatever it is, the
 * client gets one end, within the rules of the exchange. The first byte of an input sets the scene,
 * the rest comes from the worker; what it says behind its first answer meets the next request, on
 * the kept connection if it is one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "proxy/proxy_private.h"
#include "wsgi_field.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum scene {
    SCENE_BODY = 1 << 0,    /* the client has a body, */
    SCENE_POLLED = 1 << 1,  /* on a socket that can be polled, */
    SCENE_SILENT = 1 << 2,  /* and never sends the rest of it */
    SCENE_HELLO = 1 << 3,   /* the worker begins as it should */
    SCENE_FILE = 1 << 4,    /* a file comes along with each part */
    SCENE_PARTS = 1 << 5,   /* a few bytes at a time, small frames alone */
    SCENE_SLOW = 1 << 6,    /* the client reads now and then */
    SCENE_NO_BODY = 1 << 7, /* the method is HEAD */
};

enum { PROCESSES = 1, PART = 13, SMALL = 40, BODY = 200000, ROUNDS_MOST = 100000 };

typedef struct client {
    wsgi_exchange_t ex; /* first: the verbs cast back */
    unsigned scene;
    bool has_head, has_last, has_ended;
    int64_t body_left;   /* to be sent to the worker */
    int64_t answer_left; /* of the Content-Length, or WSGI_BODY_UNKNOWN */
} client_t;

typedef struct stage {
    client_t client;
    wsgi_link_t *link;
    int rendezvous[2], file;
    int worker; /* the end of a connection on which a request has been answered, or -1 */
    wsgi_proxy_t *p;
    int64_t now_us;
    bool is_running;
    unsigned rounds, tries;
} stage_t;

/* The client */

static ssize_t read_body(wsgi_exchange_t *ex, void *data, size_t len, enum wsgi_read_mode mode)
{
    client_t *client = (client_t *)ex;
    const int64_t stop = (client->scene & SCENE_SILENT) != 0 ? BODY / 2 : 0;

    CLAIM(mode == WSGI_READ_NONBLOCK && len > 0 && !client->has_ended);
    const int64_t left = client->body_left - stop;
    if (left == 0) {
        return client->body_left > 0 ? WSGI_E_AGAIN : 0;
    }
    const size_t count = (int64_t)len < left ? len : (size_t)left;
    memset(data, 'b', count);
    client->body_left -= (int64_t)count;
    return (ssize_t)count;
}

static int send_head(wsgi_exchange_t *ex, const wsgi_head_t *head)
{
    client_t *client = (client_t *)ex;

    CLAIM(!client->has_head && !client->has_ended);
    CLAIM(head->status >= 200 && head->status <= 999);
    client->has_head = true;
    client->answer_left = WSGI_BODY_UNKNOWN;
    for (size_t i = 0; i < head->field_count; i++) {
        const wsgi_field_t *field = &head->fields[i];

        CLAIM(memchr(field->name.data, '\n', field->name.len) == NULL);
        CLAIM(field->value.len == 0 || memchr(field->value.data, '\n', field->value.len) == NULL);
        if (wsgi_bytes_equal_nocase(field->name, WSGI_LITERAL("Content-Length"))) {
            CLAIM(wsgi_length_parse(field->value.data, field->value.len, &client->answer_left) ==
                  WSGI_OK);
        }
    }
    return WSGI_OK;
}

static int take(client_t *client, int64_t length)
{
    CLAIM(client->has_head && !client->has_last && !client->has_ended && length > 0);
    if (client->answer_left != WSGI_BODY_UNKNOWN) {
        CLAIM(length <= client->answer_left);
        client->answer_left -= length;
    }
    client->ex.head_sent = true;
    return WSGI_OK;
}

static int send_body(wsgi_exchange_t *ex, const void *data, size_t len, enum wsgi_send_flag flag)
{
    client_t *client = (client_t *)ex;
    const char *bytes = data;
    volatile char last = bytes[len - 1]; /* all of it can be read */

    (void)last;
    const int code = take(client, (int64_t)len);
    client->has_last = flag == WSGI_SEND_LAST;
    return code;
}

static int send_file(wsgi_exchange_t *ex, int fd, int64_t offset, int64_t length)
{
    char byte;

    CLAIM(pread(fd, &byte, 1, offset) == 1 && pread(fd, &byte, 1, offset + length - 1) == 1);
    return take((client_t *)ex, length);
}

static void log_line(wsgi_exchange_t *ex, int level, const char *file, int line, const char *text)
{
    CLAIM((file == NULL || *file != '\0') && line >= 0);
    CLAIM(!((client_t *)ex)->has_ended && level >= WSGI_LOG_CRIT && level <= WSGI_LOG_TRACE5);
    CLAIM(strlen(text) < WSGI_WIRE_DATA_MAX);
}

static bool is_aborted(wsgi_exchange_t *ex)
{
    (void)ex;
    return false;
}

static int finish(wsgi_exchange_t *ex, enum wsgi_outcome outcome, unsigned status)
{
    client_t *client = (client_t *)ex;

    CLAIM(!client->has_ended);
    CLAIM(!client->has_last || outcome == WSGI_DONE);
    CLAIM(outcome != WSGI_DONE || client->has_head);
    CLAIM((outcome == WSGI_TRUNCATED) == (outcome != WSGI_DONE && ex->head_sent));
    CLAIM(outcome == WSGI_FAILED ? status >= 400 && status <= 599 : status == 0);
    client->has_ended = true;
    return WSGI_OK;
}

static const wsgi_exchange_verbs_t verbs = {
    .read_body = read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_file = send_file,
    .log = log_line,
    .is_aborted = is_aborted,
    .finish = finish,
};

static void welcome(client_t *client, unsigned scene)
{
    static const wsgi_var_t head = {WSGI_META_REQUEST_METHOD, {"", 0}, {"HEAD", 4}};
    const bool has_body = (scene & SCENE_BODY) != 0;

    *client = (client_t){
        .scene = scene,
        .ex = {.verbs = &verbs, .body_fd = (scene & SCENE_POLLED) != 0 ? 0 : -1},
        .body_left = has_body ? BODY : 0,
    };
    client->ex.request.body_length = has_body ? BODY : 0;
    client->ex.request.vars = &head;
    client->ex.request.var_count = (scene & SCENE_NO_BODY) != 0 ? 1 : 0;
}

/* The driver: time passes only where nothing else happens. */

static void step(stage_t *s)
{
    const wsgi_wait_t wait = wsgi_proxy_wait(s->p, s->now_us);
    const bool reads = (s->client.scene & SCENE_SLOW) == 0 || s->rounds % 5 == 0;

    CLAIM(s->rounds++ < ROUNDS_MOST);
    s->p->ready |= (wait.worker_events & POLLIN) != 0 ? WSGI_READY_WORKER_READ : 0;
    s->p->ready |= (wait.worker_events & POLLOUT) != 0 ? WSGI_READY_WORKER_WRITE : 0;
    s->p->ready |= (wait.client_events & POLLIN) != 0 ? WSGI_READY_CLIENT_READ : 0;
    s->p->ready |= (wait.client_events & POLLOUT) != 0 && reads ? WSGI_READY_CLIENT_WRITE : 0;
    s->is_running = wsgi_proxy_step(s->p, s->now_us);
}

static void settle(stage_t *s)
{
    for (unsigned i = 0; i < 8 && s->is_running; i++) {
        step(s);
    }
}

/* The worker */

static int take_scout(stage_t *s)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec one_byte = {&byte, 1};
    struct msghdr message = {.msg_iov = &one_byte,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(s->rendezvous[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        s->tries++;
        CLAIM(s->tries <= 2 * PROCESSES + 1);
    }
    return fd;
}

/* -1: nobody listens any more. */
static ssize_t send_part(stage_t *s, int fd, wsgi_bytes_t part)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec bytes = {(void *)(uintptr_t)part.data, part.len};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

    if ((s->client.scene & SCENE_FILE) != 0) {
        memcpy(CMSG_DATA(&control.header), &s->file, sizeof(s->file));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    const ssize_t count = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return count < 0 && errno == EAGAIN ? 0 : count;
}

static void say_hello(stage_t *s, int fd)
{
    static const char hello[] = "\x0c\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0";

    _Static_assert(sizeof(hello) == WSGI_WIRE_HEADER_BYTES + 12, "a whole HELLO");
    CLAIM(send(fd, hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(hello));
    settle(s);
}

/* Of what is to be said, what goes in one segment. */
static size_t segment(const stage_t *s, wsgi_bytes_t words)
{
    wsgi_frame_t frame;

    if ((s->client.scene & SCENE_PARTS) == 0) {
        return words.len;
    }
    const ssize_t size = wsgi_wire_take(words, UINT32_MAX, &frame, NULL);
    const size_t most = size > 0 && size <= SMALL ? (size_t)size : PART;
    return words.len < most ? words.len : most;
}

/* Says as much as is listened to, and hangs up unless the request has ended; the rest is for the
 * next worker, or the next request. */
static void speak(stage_t *s, int fd, wsgi_bytes_t *words)
{
    const unsigned tries = s->p->try_count;
    char heard[4096];

    while (words->len > 0 && s->is_running && s->p->try_count == tries) {
        const ssize_t count = send_part(s, fd, (wsgi_bytes_t){words->data, segment(s, *words)});

        if (count < 0) {
            break;
        }
        *words = (wsgi_bytes_t){words->data + count, words->len - (size_t)count};
        settle(s);
        while (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) == sizeof(heard)) {
        }
    }
    if (s->is_running) {
        wsgi_fd_close(&fd);
    }
    s->worker = fd;
}

static void meet(stage_t *s, int fd, wsgi_bytes_t *words)
{
    if ((s->client.scene & SCENE_HELLO) != 0) {
        say_hello(s, fd);
    }
    speak(s, fd, words);
}

/* The first thing that happens where the connection has been kept. */
static void speak_again(stage_t *s, wsgi_bytes_t *words)
{
    int fd = s->worker;

    s->worker = -1;
    if (s->is_running && s->p->state == WSGI_PROXY_REUSE) {
        speak(s, fd, words);
    }
    else {
        wsgi_fd_close(&fd);
    }
}

static void open_stage(stage_t *s)
{
    CLAIM(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->rendezvous) == 0);
    s->file = memfd_create("answer", MFD_CLOEXEC);
    CLAIM(s->file >= 0 && ftruncate(s->file, 100000) == 0);
    s->link = wsgi_link_open(&(wsgi_link_settings_t){
        .group = "fuzz",
        .rendezvous_fd = s->rendezvous[0],
        .processes = PROCESSES,
        .rows = 2 * PROCESSES,
        .connect_timeout_us = 1000000,
        .socket_timeout_us = 1000000,
    });
    s->worker = -1;
    s->p = wsgi_proxy_new();
    CLAIM(s->link != NULL && s->p != NULL);
}

static void play(stage_t *s, wsgi_bytes_t *words)
{
    wsgi_result_t result;
    int fd;

    wsgi_proxy_start(s->p, s->link, &s->client.ex, &result, s->now_us);
    s->is_running = wsgi_proxy_step(s->p, s->now_us);
    speak_again(s, words);
    while (s->is_running) {
        if ((fd = take_scout(s)) >= 0) {
            meet(s, fd, words);
        }
        if (s->is_running) {
            step(s);
            s->now_us += 1000;
        }
    }
    while ((fd = take_scout(s)) >= 0) {
        wsgi_fd_close(&fd);
    }
    CLAIM(s->client.has_ended);
    CLAIM(result.code == s->p->code && (result.code != WSGI_OK) == (result.detail[0] != '\0'));
    wsgi_proxy_release(s->p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static stage_t stage; /* as httpd keeps a link and spares */

    if (stage.p == NULL) {
        open_stage(&stage);
    }
    wsgi_bytes_t words = size > 0 ? input(data + 1, size - 1) : WSGI_LITERAL("");
    for (unsigned i = 0; i < 2; i++) {
        stage.rounds = stage.tries = 0;
        welcome(&stage.client, size > 0 ? data[0] : 0);
        play(&stage, &words);
    }
    stage.now_us += WSGI_LINK_IDLE_US; /* what is kept is for this input only */
    wsgi_fd_close(&stage.worker);
    return 0;
}
