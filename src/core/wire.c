/* core/wire.c — the frames between an httpd child and a worker: bytes in, structs out, and back.
 * The layout of each payload is drawn in docs/wire.md.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_wire.h"

#include "cursor.h"
#include "wsgi_field.h"

#include <stdlib.h>

struct frame_header {
    uint32_t payload_len;
    uint8_t type, flags;
    uint16_t zero;
};
_Static_assert(sizeof(struct frame_header) == WSGI_WIRE_HEADER_BYTES, "no padding on the wire");

struct request_header {
    uint64_t id, body_length, script_mtime_us, request_start_us, queue_start_us;
    uint32_t flags, var_count, body_first_len;
    uint32_t text_lens[6];
    uint8_t log_level, tries;
    uint16_t zero;
    uint64_t firm_until_us;
};
_Static_assert(sizeof(struct request_header) == 88, "no padding on the wire");

struct head_header {
    uint16_t status, reason_len;
    uint32_t field_count;
};
_Static_assert(sizeof(struct head_header) == 8, "no padding on the wire");

/* Before each meta-variable and each field of a head: a number or a name, and a value. */
struct pair_header {
    uint16_t number, name_len;
    uint32_t value_len;
};
_Static_assert(sizeof(struct pair_header) == 8, "no padding on the wire");

/* The request's texts, in the order of the wire. */
static const size_t request_texts[] = {
    offsetof(wsgi_request_t, script),
    offsetof(wsgi_request_t, process_group),
    offsetof(wsgi_request_t, application_group),
    offsetof(wsgi_request_t, callable),
    offsetof(wsgi_request_t, handler),
    offsetof(wsgi_request_t, log_id),
};
enum { TEXT_COUNT = sizeof(request_texts) / sizeof(request_texts[0]) };
_Static_assert(TEXT_COUNT == sizeof(((struct request_header *)0)->text_lens) / sizeof(uint32_t),
               "one length for each text");

enum {
    HELLO_BYTES = 12,
    FILE_BYTES = 16,
    NUMBER_BYTES = 4,
    LOG_LEAST = 14, /* level, line, length of the file's name, two NULs */
    REQUEST_FLAGS = WSGI_REQUEST_HTTPS | WSGI_REQUEST_RELOADING | WSGI_REQUEST_EXPECT |
                    WSGI_REQUEST_BODY_INCLUDED | WSGI_REQUEST_HANDLER_SCRIPT |
                    WSGI_REQUEST_OPEN_NAME | WSGI_REQUEST_IGNORE_ACTIVITY
};

/* What a frame of each type may look like, whatever the state. */
static const struct frame_rule {
    const char *name;
    uint32_t least, most; /* bytes of payload */
    uint8_t flags;        /* that may be set */
} rules[WSGI_FRAME_COUNT] = {
    [0] = {"?", 0, 0, 0},
    [WSGI_FRAME_HELLO] = {"HELLO", HELLO_BYTES, HELLO_BYTES, 0},
    [WSGI_FRAME_REQUEST] = {"REQUEST", sizeof(struct request_header) + TEXT_COUNT,
                            WSGI_WIRE_REQUEST_MAX, WSGI_FRAME_FLAG_TELLME},
    [WSGI_FRAME_BODY] = {"BODY", 0, WSGI_WIRE_DATA_MAX, 0},
    [WSGI_FRAME_BODY_END] = {"BODY_END", NUMBER_BYTES, NUMBER_BYTES, 0},
    [WSGI_FRAME_GONE] = {"GONE", 0, 0, 0},
    [WSGI_FRAME_CONTINUE] = {"CONTINUE", 0, 0, 0},
    [WSGI_FRAME_HEAD] = {"HEAD", sizeof(struct head_header), WSGI_WIRE_HEAD_MAX, 0},
    [WSGI_FRAME_DATA] = {"DATA", 0, WSGI_WIRE_DATA_MAX, WSGI_FRAME_FLAG_FLUSH},
    [WSGI_FRAME_FILE] = {"FILE", FILE_BYTES, FILE_BYTES, WSGI_FRAME_FLAG_FLUSH},
    [WSGI_FRAME_LOG] = {"LOG", LOG_LEAST, WSGI_WIRE_DATA_MAX, 0},
    [WSGI_FRAME_HINT] = {"HINT", sizeof(struct head_header), WSGI_WIRE_HEAD_MAX, 0},
    [WSGI_FRAME_END] = {"END", 0, 0, WSGI_FRAME_FLAG_CLOSE},
    [WSGI_FRAME_ABORT] = {"ABORT", NUMBER_BYTES, NUMBER_BYTES, 0},
    [WSGI_FRAME_GOAWAY] = {"GOAWAY", 0, 0, 0},
    [WSGI_FRAME_UPGRADE] = {"UPGRADE", 0, 0, 0},
};

const char *wsgi_wire_type_name(unsigned type)
{
    return rules[type < WSGI_FRAME_COUNT ? type : 0].name;
}

/* Taking frames apart and making their headers. */

static bool is_legal_frame(const struct frame_header *header, uint32_t len, uint32_t allowed)
{
    if (header->type == 0 || header->type >= WSGI_FRAME_COUNT ||
        (allowed & WSGI_FRAME_BIT(header->type)) == 0) {
        return false;
    }
    const struct frame_rule *rule = &rules[header->type];
    return len >= rule->least && len <= rule->most && (header->flags & ~rule->flags) == 0 &&
           header->zero == 0;
}

ssize_t wsgi_wire_take(wsgi_bytes_t data, uint32_t allowed, wsgi_frame_t *frame, size_t *missing)
{
    struct frame_header header;
    size_t whole = sizeof(header);

    if (data.len >= whole) {
        memcpy(&header, data.data, sizeof(header));
        const uint32_t payload_len = le32toh(header.payload_len);
        if (!is_legal_frame(&header, payload_len, allowed)) {
            return WSGI_E_PROTOCOL;
        }
        whole += payload_len;
    }
    if (data.len < whole) {
        if (missing != NULL) {
            *missing = whole - data.len;
        }
        return 0;
    }
    *frame = (wsgi_frame_t){
        .type = header.type,
        .flags = header.flags,
        .payload = {data.data + sizeof(header), whole - sizeof(header)},
    };
    return (ssize_t)whole;
}

void wsgi_wire_put_header(char out[WSGI_WIRE_HEADER_BYTES], enum wsgi_frame_type type,
                          uint8_t flags, uint32_t payload_len)
{
    const struct frame_header header = {
        .payload_len = htole32(payload_len),
        .type = (uint8_t)type,
        .flags = flags,
    };

    WSGI_ASSERT(is_legal_frame(&header, payload_len, UINT32_MAX));
    memcpy(out, &header, sizeof(header));
}

/* Appends a header and room for the payload, which the caller then writes from *at on. */
static int open_frame(wsgi_buffer_t *out, enum wsgi_frame_type type, uint8_t flags,
                      uint64_t payload_len, char **at)
{
    if (payload_len > rules[type].most) {
        return WSGI_E_TOO_LARGE;
    }
    const size_t whole = WSGI_WIRE_HEADER_BYTES + (size_t)payload_len;
    const int code = wsgi_buffer_reserve(out, whole);
    if (code != WSGI_OK) {
        return code;
    }
    wsgi_wire_put_header(out->data + out->len, type, flags, (uint32_t)payload_len);
    *at = out->data + out->len + WSGI_WIRE_HEADER_BYTES;
    out->len += whole;
    return WSGI_OK;
}

int wsgi_wire_put(wsgi_buffer_t *out, enum wsgi_frame_type type, uint8_t flags,
                  wsgi_bytes_t payload)
{
    char *at;
    const int code = open_frame(out, type, flags, payload.len, &at);

    if (code == WSGI_OK) {
        wsgi_write_bytes(at, payload);
    }
    return code;
}

/* Gives room for count items in the caller's store; what it held before is lost. */
static int store_reserve(wsgi_wire_store_t *store, size_t count, size_t item_bytes)
{
    const size_t wanted = count * item_bytes;

    if (wanted <= store->capacity_bytes) {
        return WSGI_OK;
    }
    void *items = malloc(wanted);
    if (items == NULL) {
        return WSGI_E_NOMEM;
    }
    free(store->items);
    *store = (wsgi_wire_store_t){items, wanted};
    return WSGI_OK;
}

/* A length for a sum that must not wrap: what is over every limit stays so, however many follow. */
static inline uint64_t countable(size_t len)
{
    return len <= UINT32_MAX ? len : UINT32_MAX;
}

/* Pairs: a number or a name, and a value. */

static inline uint64_t pair_bytes(size_t name_len, size_t value_len)
{
    return sizeof(struct pair_header) + countable(name_len) + countable(value_len);
}

static inline char *write_pair(char *at, uint32_t number, wsgi_bytes_t name, wsgi_bytes_t value)
{
    const struct pair_header header = {
        .number = htole16((uint16_t)number),
        .name_len = htole16((uint16_t)name.len),
        .value_len = htole32((uint32_t)value.len),
    };

    at = wsgi_write_copy(at, &header, sizeof(header));
    at = wsgi_write_bytes(at, name);
    return wsgi_write_bytes(at, value);
}

/* A number or a name, never both, never none; zeros where the reader is or goes bad. */
static inline void read_pair(wsgi_reader_t *in, wsgi_var_t *pair)
{
    struct pair_header header;

    wsgi_read_copy(in, &header, sizeof(header));
    const uint32_t number = le16toh(header.number);
    const uint32_t name_len = le16toh(header.name_len);
    const uint32_t value_len = le32toh(header.value_len);
    const char *texts = wsgi_read_bytes(in, (uint64_t)name_len + value_len).data;
    if (__builtin_expect(in->is_bad || (number == 0) == (name_len == 0), 0)) {
        wsgi_reader_spoil(in);
        *pair = (wsgi_var_t){0};
        return;
    }
    pair->number = number;
    pair->name = (wsgi_bytes_t){texts, name_len};
    pair->value = (wsgi_bytes_t){texts + name_len, value_len};
}

/* REQUEST */

static const wsgi_bytes_t *text_of(const wsgi_request_t *request, size_t index)
{
    return (const wsgi_bytes_t *)((const char *)request + request_texts[index]);
}

/* What encoder and decoder both insist on. */
static bool is_legal_request(const wsgi_request_t *request)
{
    const int64_t length = request->body_length;
    const int64_t first = (int64_t)request->body_first.len;
    const bool is_included = (request->flags & WSGI_REQUEST_BODY_INCLUDED) != 0;

    return (request->flags & ~(uint32_t)REQUEST_FLAGS) == 0 &&
           (length == WSGI_BODY_UNKNOWN || first == length || (first < length && !is_included));
}

static inline bool is_legal_var(const wsgi_var_t *var)
{
    return var->number == 0 ? var->name.len > 0 : var->number < WSGI_META_COUNT;
}

/* The name of a well-known variable stays at home. */
static inline size_t name_len_on_wire(const wsgi_var_t *var)
{
    return var->number == 0 ? var->name.len : 0;
}

/* Bytes of the payload, or an error: the whole is measured first, then written without a check. */
static int64_t measure_request(const wsgi_request_t *request)
{
    uint64_t sum = sizeof(struct request_header) + TEXT_COUNT + countable(request->body_first.len);

    if (!is_legal_request(request)) {
        return WSGI_E_INVALID;
    }
    if (request->var_count > WSGI_WIRE_VARS_MAX || request->body_first.len > WSGI_WIRE_DATA_MAX) {
        return WSGI_E_TOO_LARGE;
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        sum += countable(text_of(request, i)->len);
    }
    for (size_t i = 0; i < request->var_count; i++) {
        const wsgi_var_t *var = &request->vars[i];
        const size_t name_len = name_len_on_wire(var);

        if (!is_legal_var(var)) {
            return WSGI_E_INVALID;
        }
        if (name_len > UINT16_MAX) {
            return WSGI_E_TOO_LARGE;
        }
        sum += pair_bytes(name_len, var->value.len);
    }
    return (int64_t)sum;
}

static char *write_request_header(char *at, const wsgi_request_t *request)
{
    struct request_header header = {
        .id = htole64(request->id),
        .body_length = htole64((uint64_t)request->body_length),
        .script_mtime_us = htole64((uint64_t)request->script_mtime_us),
        .request_start_us = htole64((uint64_t)request->request_start_us),
        .queue_start_us = htole64((uint64_t)request->queue_start_us),
        .flags = htole32(request->flags),
        .var_count = htole32((uint32_t)request->var_count),
        .body_first_len = htole32((uint32_t)request->body_first.len),
        .log_level = request->log_level,
        .tries = request->tries,
        .firm_until_us = htole64((uint64_t)request->firm_until_us),
    };

    for (size_t i = 0; i < TEXT_COUNT; i++) {
        header.text_lens[i] = htole32((uint32_t)text_of(request, i)->len);
    }
    return wsgi_write_copy(at, &header, sizeof(header));
}

int wsgi_wire_put_request(wsgi_buffer_t *out, uint8_t flags, const wsgi_request_t *request)
{
    char *at;
    const int64_t bytes = measure_request(request);
    const int code =
        bytes < 0 ? (int)bytes : open_frame(out, WSGI_FRAME_REQUEST, flags, (uint64_t)bytes, &at);

    if (code != WSGI_OK) {
        return code;
    }
    at = write_request_header(at, request);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        at = wsgi_write_text(at, *text_of(request, i));
    }
    for (size_t i = 0; i < request->var_count; i++) {
        const wsgi_var_t *var = &request->vars[i];
        const wsgi_bytes_t name = {var->name.data, name_len_on_wire(var)};

        at = write_pair(at, var->number, name, var->value);
    }
    wsgi_write_bytes(at, request->body_first);
    return WSGI_OK;
}

void wsgi_wire_note_tries(wsgi_buffer_t *request, unsigned tries)
{
    const size_t at = WSGI_WIRE_HEADER_BYTES + offsetof(struct request_header, tries);

    if (request->len > at) {
        request->data[at] = (char)(tries < UINT8_MAX ? tries : UINT8_MAX);
    }
}

static void set_from_header(wsgi_request_t *request, const struct request_header *header)
{
    *request = (wsgi_request_t){
        .id = le64toh(header->id),
        .flags = le32toh(header->flags),
        .body_length = (int64_t)le64toh(header->body_length),
        .script_mtime_us = (int64_t)le64toh(header->script_mtime_us),
        .request_start_us = (int64_t)le64toh(header->request_start_us),
        .queue_start_us = (int64_t)le64toh(header->queue_start_us),
        .var_count = le32toh(header->var_count),
        .log_level = header->log_level,
        .tries = header->tries,
        .firm_until_us = (int64_t)le64toh(header->firm_until_us),
    };
}

static void read_request_texts(wsgi_reader_t *in, const struct request_header *header,
                               wsgi_request_t *request)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        wsgi_bytes_t *text = (wsgi_bytes_t *)((char *)request + request_texts[i]);

        *text = wsgi_read_text(in, le32toh(header->text_lens[i]));
    }
}

static void read_vars(wsgi_reader_t *in, wsgi_var_t *vars, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        read_pair(in, &vars[i]);
        if (vars[i].number >= WSGI_META_COUNT) {
            wsgi_reader_spoil(in);
        }
    }
}

int wsgi_wire_get_request(wsgi_bytes_t payload, wsgi_wire_store_t *store, wsgi_request_t *request)
{
    struct request_header header;
    wsgi_reader_t in = wsgi_reader(payload);

    wsgi_read_copy(&in, &header, sizeof(header));
    set_from_header(request, &header);
    read_request_texts(&in, &header, request);
    if (in.is_bad || header.zero != 0 || request->var_count > WSGI_WIRE_VARS_MAX) {
        return WSGI_E_PROTOCOL;
    }
    const int code = store_reserve(store, request->var_count, sizeof(wsgi_var_t));
    if (code != WSGI_OK) {
        return code;
    }
    read_vars(&in, store->items, request->var_count);
    request->vars = store->items;
    request->body_first = wsgi_read_bytes(&in, le32toh(header.body_first_len));
    const bool is_legal = wsgi_reader_is_done(&in) && is_legal_request(request) &&
                          request->body_first.len <= WSGI_WIRE_DATA_MAX;
    return is_legal ? WSGI_OK : WSGI_E_PROTOCOL;
}

/* HEAD */

static int64_t measure_head(const wsgi_head_t *head)
{
    uint64_t sum = sizeof(struct head_header) + countable(head->reason.len);

    if (head->status < WSGI_STATUS_MIN || head->status > WSGI_STATUS_MAX) {
        return WSGI_E_INVALID;
    }
    if (head->field_count > WSGI_WIRE_FIELDS_MAX || head->reason.len > UINT16_MAX) {
        return WSGI_E_TOO_LARGE;
    }
    for (size_t i = 0; i < head->field_count; i++) {
        const wsgi_field_t *field = &head->fields[i];

        if (field->name.len > UINT16_MAX) {
            return WSGI_E_TOO_LARGE;
        }
        sum += pair_bytes(field->name.len, field->value.len);
    }
    return (int64_t)sum;
}

int wsgi_wire_put_head(wsgi_buffer_t *out, const wsgi_head_t *head)
{
    char *at;
    const int64_t bytes = measure_head(head);
    const int code =
        bytes < 0 ? (int)bytes : open_frame(out, WSGI_FRAME_HEAD, 0, (uint64_t)bytes, &at);

    if (code != WSGI_OK) {
        return code;
    }
    const struct head_header header = {
        .status = htole16((uint16_t)head->status),
        .reason_len = htole16((uint16_t)head->reason.len),
        .field_count = htole32((uint32_t)head->field_count),
    };
    at = wsgi_write_copy(at, &header, sizeof(header));
    at = wsgi_write_bytes(at, head->reason);
    for (size_t i = 0; i < head->field_count; i++) {
        at = write_pair(at, 0, head->fields[i].name, head->fields[i].value);
    }
    return WSGI_OK;
}

/* A field that a daemon sends is checked as one that an application gave: nobody behind the wire
 * can split a response. */
static void read_fields(wsgi_reader_t *in, wsgi_field_t *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wsgi_var_t pair;

        read_pair(in, &pair);
        if (!wsgi_field_name_is_legal(pair.name.data, pair.name.len) ||
            !wsgi_field_value_is_legal(pair.value.data, pair.value.len)) {
            wsgi_reader_spoil(in);
        }
        fields[i] = (wsgi_field_t){pair.name, pair.value};
    }
}

int wsgi_wire_get_head(wsgi_bytes_t payload, wsgi_wire_store_t *store, wsgi_head_t *head)
{
    struct head_header header;
    wsgi_reader_t in = wsgi_reader(payload);

    wsgi_read_copy(&in, &header, sizeof(header));
    head->status = le16toh(header.status);
    head->reason = wsgi_read_bytes(&in, le16toh(header.reason_len));
    head->field_count = le32toh(header.field_count);
    if (head->status < WSGI_STATUS_MIN || head->status > WSGI_STATUS_MAX ||
        head->field_count > WSGI_WIRE_FIELDS_MAX ||
        !wsgi_reason_is_legal(head->reason.data, head->reason.len)) {
        return WSGI_E_PROTOCOL;
    }
    const int code = store_reserve(store, head->field_count, sizeof(wsgi_field_t));
    if (code != WSGI_OK) {
        return code;
    }
    read_fields(&in, store->items, head->field_count);
    head->fields = store->items;
    return wsgi_reader_is_done(&in) ? WSGI_OK : WSGI_E_PROTOCOL;
}

/* The small ones. */

int wsgi_wire_put_hello(wsgi_buffer_t *out, const wsgi_hello_t *hello)
{
    char *at;
    const int code = open_frame(out, WSGI_FRAME_HELLO, 0, HELLO_BYTES, &at);

    if (code == WSGI_OK) {
        at = wsgi_write_u32(at, hello->version);
        at = wsgi_write_u32(at, hello->worker_index);
        wsgi_write_u32(at, hello->generation);
    }
    return code;
}

int wsgi_wire_get_hello(wsgi_bytes_t payload, wsgi_hello_t *hello)
{
    wsgi_reader_t in = wsgi_reader(payload);

    hello->version = wsgi_read_u32(&in);
    hello->worker_index = wsgi_read_u32(&in);
    hello->generation = wsgi_read_u32(&in);
    return wsgi_reader_is_done(&in) ? WSGI_OK : WSGI_E_PROTOCOL;
}

static bool is_legal_file(const wsgi_wire_file_t *file)
{
    return file->offset >= 0 && file->length >= 0 && file->length <= INT64_MAX - file->offset;
}

int wsgi_wire_put_file(wsgi_buffer_t *out, uint8_t flags, const wsgi_wire_file_t *file)
{
    char *at;
    const int code = is_legal_file(file) ? open_frame(out, WSGI_FRAME_FILE, flags, FILE_BYTES, &at)
                                         : WSGI_E_INVALID;

    if (code == WSGI_OK) {
        at = wsgi_write_i64(at, file->offset);
        wsgi_write_i64(at, file->length);
    }
    return code;
}

int wsgi_wire_get_file(wsgi_bytes_t payload, wsgi_wire_file_t *file)
{
    wsgi_reader_t in = wsgi_reader(payload);

    file->offset = wsgi_read_i64(&in);
    file->length = wsgi_read_i64(&in);
    return wsgi_reader_is_done(&in) && is_legal_file(file) ? WSGI_OK : WSGI_E_PROTOCOL;
}

static uint32_t clamp_level(uint32_t level)
{
    if (level < WSGI_LOG_CRIT) {
        return WSGI_LOG_CRIT;
    }
    return level > WSGI_LOG_TRACE5 ? WSGI_LOG_TRACE5 : level;
}

int wsgi_wire_put_log(wsgi_buffer_t *out, const wsgi_wire_log_t *line)
{
    char *at;
    const uint64_t bytes = countable(line->file.len) + countable(line->text.len) + LOG_LEAST;
    const int code = open_frame(out, WSGI_FRAME_LOG, 0, bytes, &at);

    if (code == WSGI_OK) {
        at = wsgi_write_u32(at, clamp_level(line->level));
        at = wsgi_write_u32(at, line->line);
        at = wsgi_write_u32(at, (uint32_t)line->file.len);
        at = wsgi_write_text(at, line->file);
        wsgi_write_text(at, line->text);
    }
    return code;
}

int wsgi_wire_get_log(wsgi_bytes_t payload, wsgi_wire_log_t *line)
{
    wsgi_reader_t in = wsgi_reader(payload);

    if (payload.len < LOG_LEAST) {
        return WSGI_E_PROTOCOL;
    }
    line->level = clamp_level(wsgi_read_u32(&in));
    line->line = wsgi_read_u32(&in);
    const size_t file_len = wsgi_read_u32(&in);
    if (file_len > payload.len - LOG_LEAST) {
        return WSGI_E_PROTOCOL;
    }
    line->file = wsgi_read_text(&in, file_len);
    line->text = wsgi_read_text(&in, payload.len - LOG_LEAST - file_len);
    return wsgi_reader_is_done(&in) ? WSGI_OK : WSGI_E_PROTOCOL;
}

int wsgi_wire_put_number(wsgi_buffer_t *out, enum wsgi_frame_type type, uint8_t flags,
                         int32_t number)
{
    char *at;
    const int code = open_frame(out, type, flags, NUMBER_BYTES, &at);

    if (code == WSGI_OK) {
        wsgi_write_u32(at, (uint32_t)number);
    }
    return code;
}

int wsgi_wire_get_number(wsgi_bytes_t payload, int32_t *number)
{
    wsgi_reader_t in = wsgi_reader(payload);

    *number = (int32_t)wsgi_read_u32(&in);
    return wsgi_reader_is_done(&in) ? WSGI_OK : WSGI_E_PROTOCOL;
}
