/* bench/client/client.c — a keep-alive HTTP/1.1 client that is much cheaper than what it loads: one
 * thread, one epoll set, no copy of bodies. Each connection has one request under way. It prints one
 * JSON object. bench/load.py builds and runs it.
 *
 * A file of requests is a sequence of "LENGTH CLASS\n" and LENGTH raw bytes; they are sent in turn.
 * Latencies are kept by class, so that fast requests beside slow ones can be told apart.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLASSES     4
#define UNIT_NS     100 /* what a histogram counts in */
#define SUB_BITS    6   /* 64 buckets per power of two: 1.6 % apart */
#define SUB_BUCKETS (1 << SUB_BITS)
#define BUCKETS     (SUB_BUCKETS * (64 - SUB_BITS))
#define BUFFER      (256 * 1024)
#define SECOND_NS   INT64_C(1000000000)
#define RETRY_NS    (SECOND_NS / 1000)

typedef struct {
    const char *data;
    size_t length;
    unsigned class;
} request_t;

typedef enum {
    IDLE,       /* not connected, waits until retry_at */
    CONNECTING, /* and the states of an answer: */
    STATUS_LINE,
    FIELD,
    BODY, /* of `left` bytes */
    UNTIL_CLOSE,
    CHUNK_SIZE,
    CHUNK, /* `left` bytes and an empty line */
    CHUNK_END,
    TRAILER,
} state_t;

typedef struct {
    int fd;
    state_t state;
    const request_t *request; /* under way; NULL: none */
    size_t sent;
    int64_t started;
    int64_t retry_at;
    int64_t left;
    int status;
    bool is_chunked, has_length, want_close, has_answer;
    size_t line_length;
    char line[256]; /* of longer ones the beginning */
} connection_t;

typedef struct {
    uint64_t buckets[CLASSES][BUCKETS];
    uint64_t answers, status[6], body_bytes;
    uint64_t dropped; /* closed before the first byte of the answer; sent once more */
    uint64_t failed;  /* closed in the midst of an answer, or no HTTP */
    uint64_t refused, connects;
    int64_t longest_gap, last_answer, begun;
} counts_t;

/* Only this program's one thread touches them. */
static struct {
    struct sockaddr_in address;
    int connections;
    int64_t seconds_ns, warmup_ns, pause_ns, timeout_ns;
    uint64_t limit; /* of requests; 0: the time ends it */
    bool is_closing;
} options = {.connections = 1, .timeout_ns = 120 * SECOND_NS};

static request_t *requests;
static size_t request_count, next_request;
static connection_t *all;
static counts_t counts;
static uint64_t started_requests, done_requests;
static int epoll_fd, waiting;
static char buffer[BUFFER];

static void fail(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

/* ---- histogram --------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < 2 * SUB_BUCKETS) {
        return (unsigned)value;
    }
    shift = 63 - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return shift * SUB_BUCKETS + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static double bucket_us(unsigned bucket)
{
    unsigned shift = bucket < 2 * SUB_BUCKETS ? 0 : bucket / SUB_BUCKETS - 1;
    uint64_t first = (uint64_t)(bucket - shift * SUB_BUCKETS) << shift;

    return ((double)first + (double)(UINT64_C(1) << shift) / 2) * UNIT_NS / 1000;
}

/* ---- connections ------------------------------------------------------------------------------- */

static void disconnect(connection_t *c, int64_t retry_at)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    if (c->state != IDLE) {
        waiting++;
    }
    c->state = IDLE;
    c->retry_at = retry_at;
}

/* Many short connections would run out of ports: each source address has its own. */
static void bind_source(int fd, uint64_t number)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    source.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)(number % 64));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0) {
        fail("bind");
    }
}

static void connect_to_server(connection_t *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail("socket");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (options.is_closing) {
        bind_source(c->fd, counts.connects);
    }
    counts.connects++;
    waiting--;
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&options.address, sizeof(options.address)) != 0 &&
        errno != EINPROGRESS) {
        counts.refused++;
        disconnect(c, now_ns() + RETRY_NS);
        return;
    }
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

/* ---- requests ---------------------------------------------------------------------------------- */

static bool want_more(void)
{
    return options.limit == 0 || started_requests < options.limit;
}

static void await_answer(connection_t *c)
{
    c->sent = 0;
    c->state = STATUS_LINE;
    c->line_length = 0;
    c->status = 0;
    c->left = 0;
    c->is_chunked = c->has_length = c->want_close = c->has_answer = false;
}

/* A request that is under way already was dropped with its connection: the same once more. */
static void take_request(connection_t *c, int64_t now)
{
    if (c->request == NULL && want_more()) {
        if (options.pause_ns > 0) {
            nanosleep(&(struct timespec){.tv_sec = options.pause_ns / SECOND_NS,
                                         .tv_nsec = options.pause_ns % SECOND_NS},
                      NULL);
            now = now_ns();
        }
        c->request = &requests[next_request];
        next_request = (next_request + 1) % request_count;
        started_requests++;
        c->started = now;
    }
}

static void send_more(connection_t *c)
{
    while (c->request != NULL && c->sent < c->request->length) {
        ssize_t sent =
            send(c->fd, c->request->data + c->sent, c->request->length - c->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            return; /* EAGAIN; what else it may be, the read finds out */
        }
        c->sent += (size_t)sent;
    }
}

static void begin(connection_t *c, int64_t now)
{
    take_request(c, now);
    await_answer(c);
    send_more(c);
}

static void finish(connection_t *c)
{
    int64_t now = now_ns();

    counts.buckets[c->request->class][bucket_of((uint64_t)(now - c->started) / UNIT_NS)]++;
    counts.answers++;
    counts.status[c->status / 100]++;
    if (now - counts.last_answer > counts.longest_gap) {
        counts.longest_gap = now - counts.last_answer;
    }
    counts.last_answer = now;
    done_requests++;
    if (c->sent < c->request->length) {
        c->want_close = true; /* the answer came before the end of the request */
    }
    c->request = NULL;
    if (c->want_close || options.is_closing) {
        disconnect(c, now);
        if (want_more()) {
            connect_to_server(c);
        }
        return;
    }
    begin(c, now);
}

static void broken(connection_t *c)
{
    int64_t now = now_ns();

    if (c->state == CONNECTING) {
        counts.refused++;
        disconnect(c, now + RETRY_NS);
        return;
    }
    if (c->request != NULL && !c->has_answer) {
        counts.dropped++;
    }
    else if (c->request != NULL) {
        counts.failed++;
        done_requests++;
        c->request = NULL;
    }
    disconnect(c, now);
}

/* ---- an answer --------------------------------------------------------------------------------- */

static bool is_field(const char *line, const char *name)
{
    return strncasecmp(line, name, strlen(name)) == 0;
}

static void read_field(connection_t *c)
{
    if (is_field(c->line, "content-length:")) {
        c->left = strtoll(c->line + 15, NULL, 10);
        c->has_length = true;
    }
    else if (is_field(c->line, "transfer-encoding: chunked")) {
        c->is_chunked = true;
    }
    else if (is_field(c->line, "connection: close")) {
        c->want_close = true;
    }
}

/* After the head: true where there is no body. */
static bool head_ends(connection_t *c)
{
    if (c->status < 200) {
        c->state = STATUS_LINE; /* 100 Continue */
        return false;
    }
    if (c->status == 204 || c->status == 304) {
        return true;
    }
    if (c->is_chunked) {
        c->state = CHUNK_SIZE;
    }
    else if (c->has_length) {
        c->state = BODY;
        return c->left == 0;
    }
    else {
        c->want_close = true;
        c->state = UNTIL_CLOSE;
    }
    return false;
}

/* One whole line: true at the end of the answer, -1 where it is no HTTP. */
static int on_line(connection_t *c)
{
    switch (c->state) {
    case STATUS_LINE:
        if (strncmp(c->line, "HTTP/1.", 7) != 0 || c->line_length < 12) {
            return -1;
        }
        c->status = (int)strtol(c->line + 9, NULL, 10);
        c->state = FIELD;
        return c->status < 100 || c->status > 599 ? -1 : 0;
    case FIELD:
        if (c->line_length == 0) {
            return head_ends(c);
        }
        read_field(c);
        return 0;
    case CHUNK_SIZE:
        c->left = strtoll(c->line, NULL, 16);
        c->state = c->left == 0 ? TRAILER : CHUNK;
        return 0;
    case CHUNK_END:
        c->state = CHUNK_SIZE;
        return c->line_length == 0 ? 0 : -1;
    default: /* TRAILER */
        return c->line_length == 0;
    }
}

/* Takes a line or its beginning from the buffer: how many bytes of it. */
static size_t take_line(connection_t *c, const char *data, size_t length, int *result)
{
    const char *end = memchr(data, '\n', length);
    size_t taken = end != NULL ? (size_t)(end - data) + 1 : length;
    size_t room = sizeof(c->line) - 1 - c->line_length;
    size_t kept = end != NULL ? taken - 1 : taken;

    memcpy(c->line + c->line_length, data, kept < room ? kept : room);
    c->line_length += kept < room ? kept : room;
    if (end != NULL) {
        if (c->line_length > 0 && c->line[c->line_length - 1] == '\r') {
            c->line_length--;
        }
        c->line[c->line_length] = '\0';
        *result = on_line(c);
        c->line_length = 0;
    }
    return taken;
}

static size_t take_body(connection_t *c, size_t length, int *result)
{
    size_t taken = length;

    if (c->state != UNTIL_CLOSE) {
        taken = (int64_t)length < c->left ? length : (size_t)c->left;
        c->left -= (int64_t)taken;
        if (c->left == 0 && c->state == BODY) {
            *result = 1;
        }
        else if (c->left == 0) {
            c->state = CHUNK_END;
        }
    }
    counts.body_bytes += taken;
    return taken;
}

/* 1: the answer is complete, -1: it is no HTTP, or nobody has asked for it. */
static int parse(connection_t *c, const char *data, size_t length)
{
    int result = 0;

    c->has_answer = true;
    while (length > 0 && result == 0) {
        bool is_body = c->state == BODY || c->state == UNTIL_CLOSE || c->state == CHUNK;
        size_t taken =
            is_body ? take_body(c, length, &result) : take_line(c, data, length, &result);
        data += taken;
        length -= taken;
    }
    return length > 0 || c->request == NULL ? -1 : result;
}

static void read_answer(connection_t *c, bool has_ended)
{
    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof(buffer), 0);
        int result;

        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            if (got == 0 && c->state == UNTIL_CLOSE) {
                finish(c);
            }
            else {
                broken(c);
            }
            return;
        }
        result = parse(c, buffer, (size_t)got);
        if (result < 0) {
            broken(c);
            return;
        }
        if (result > 0) {
            finish(c);
            return;
        }
        if ((size_t)got < sizeof(buffer) && !has_ended && c->state != UNTIL_CLOSE) {
            return; /* the next bytes wake us */
        }
    }
}

static void on_event(connection_t *c, uint32_t events)
{
    if (c->fd < 0) {
        return;
    }
    if (c->state == CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP)) {
            broken(c);
            return;
        }
        begin(c, now_ns());
        return;
    }
    if (events & EPOLLOUT) {
        send_more(c);
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) {
        read_answer(c, (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0);
    }
}

/* ---- the run ----------------------------------------------------------------------------------- */

static void reconnect(int64_t now)
{
    for (int i = 0; i < options.connections && waiting > 0; i++) {
        if (all[i].state == IDLE && all[i].retry_at <= now &&
            (all[i].request != NULL || want_more())) {
            connect_to_server(&all[i]);
        }
    }
}

static void start_counting(int64_t now)
{
    memset(&counts, 0, sizeof(counts));
    counts.begun = counts.last_answer = now;
}

static void run(void)
{
    int64_t begun = now_ns();
    int64_t counted_from = begun + options.warmup_ns;
    int64_t end = options.seconds_ns > 0 ? counted_from + options.seconds_ns : INT64_MAX;
    bool is_counting = options.warmup_ns == 0;

    start_counting(begun);
    for (int64_t now = begun; now < end; now = now_ns()) {
        struct epoll_event events[64];
        int count;

        if (options.limit > 0 && done_requests >= options.limit) {
            return;
        }
        if (!is_counting && now >= counted_from) {
            start_counting(now);
            is_counting = true;
        }
        if (now - counts.last_answer > options.timeout_ns) {
            errno = ETIMEDOUT;
            fail("no answer");
        }
        reconnect(now);
        count = epoll_wait(epoll_fd, events, 64, waiting > 0 ? 1 : 10);
        for (int i = 0; i < count; i++) {
            on_event(events[i].data.ptr, events[i].events);
        }
    }
}

static void print_histograms(void)
{
    for (int class = 0; class < CLASSES; class ++) {
        const char *separator = "";

        printf("%s[", class > 0 ? ", " : "");
        for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
            if (counts.buckets[class][bucket] > 0) {
                printf("%s[%.2f, %" PRIu64 "]", separator, bucket_us(bucket),
                       counts.buckets[class][bucket]);
                separator = ", ";
            }
        }
        printf("]");
    }
}

static void print_counts(void)
{
    struct rusage usage;
    int64_t now = now_ns();
    int64_t last_gap = options.limit > 0 ? 0 : now - counts.last_answer;
    int64_t gap = last_gap > counts.longest_gap ? last_gap : counts.longest_gap;

    getrusage(RUSAGE_SELF, &usage);
    printf("{\"connections\": %d, \"seconds\": %.6f, \"answers\": %" PRIu64
           ", \"body_bytes\": %" PRIu64 ", \"connects\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"dropped\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"longest_gap_ms\": %.3f, \"status\": [",
           options.connections, (double)(now - counts.begun) / SECOND_NS, counts.answers,
           counts.body_bytes, counts.connects, counts.refused, counts.dropped, counts.failed,
           (double)gap / 1e6);
    for (int i = 0; i < 6; i++) {
        printf("%s%" PRIu64, i > 0 ? ", " : "", counts.status[i]);
    }
    printf("], \"client_cpu_s\": %.3f, \"latencies_us\": [",
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    print_histograms();
    printf("]}\n");
}

static void read_requests(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat file;
    const char *data;
    const char *end;

    if (fd < 0 || fstat(fd, &file) != 0) {
        fail(path);
    }
    data = mmap(NULL, (size_t)file.st_size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        fail(path);
    }
    for (end = data + file.st_size; data < end;) {
        char *after;
        size_t length = strtoull(data, &after, 10);
        unsigned class = (unsigned)strtoul(after, &after, 10);

        if (*after != '\n' || (size_t)(end - after - 1) < length || class >= CLASSES) {
            errno = EINVAL;
            fail(path);
        }
        requests = realloc(requests, (request_count + 1) * sizeof(*requests));
        if (requests == NULL) {
            fail("realloc");
        }
        requests[request_count++] = (request_t){after + 1, length, class};
        data = after + 1 + length;
    }
    close(fd);
    if (request_count == 0) {
        errno = EINVAL;
        fail(path);
    }
}

static int64_t nanoseconds(const char *seconds)
{
    return (int64_t)(strtod(seconds, NULL) * SECOND_NS);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},    {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'}, {"requests", required_argument, NULL, 'n'},
        {"warmup", required_argument, NULL, 'w'},  {"pause", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'}, {"no-keep-alive", no_argument, NULL, 'k'},
        {"file", required_argument, NULL, 'f'},    {NULL, 0, NULL, 0},
    };

    options.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 'p':
            options.address.sin_port = htons((uint16_t)strtoul(optarg, NULL, 10));
            break;
        case 'c':
            options.connections = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            options.seconds_ns = nanoseconds(optarg);
            break;
        case 'n':
            options.limit = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            options.warmup_ns = nanoseconds(optarg);
            break;
        case 'd':
            options.pause_ns = nanoseconds(optarg);
            break;
        case 't':
            options.timeout_ns = nanoseconds(optarg);
            break;
        case 'k':
            options.is_closing = true;
            break;
        case 'f':
            read_requests(optarg);
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    if (request_count == 0 || options.connections < 1 ||
        (options.seconds_ns == 0) == (options.limit == 0) ||
        (options.pause_ns > 0 && options.connections > 1)) {
        fprintf(stderr, "usage: client --port N --file REQUESTS --seconds S|--requests N\n"
                        "       [--connections N] [--warmup S] [--timeout S] [--no-keep-alive]\n"
                        "       [--pause S, with one connection]\n");
        return 2;
    }
    all = calloc((size_t)options.connections, sizeof(*all));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (all == NULL || epoll_fd < 0) {
        fail("epoll_create1");
    }
    for (int i = 0; i < options.connections; i++) {
        all[i].fd = -1;
    }
    waiting = options.connections;
    run();
    print_counts();
    return 0;
}
