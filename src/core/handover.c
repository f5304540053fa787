/* core/handover.c — the settings of a process group as one blob, from the httpd parent to
 * wsgi-daemon: magic, version, number of members, then each member behind its index.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "wsgi_handover.h"

#include "cursor.h"

static const struct member {
    const char *name;
    size_t offset;
    bool is_text;
} members[] = {
#define TEXT(member)   {#member, offsetof(wsgi_group_settings_t, member), true},
#define NUMBER(member) {#member, offsetof(wsgi_group_settings_t, member), false},
#include "wsgi_group.def"
#undef TEXT
#undef NUMBER
};

enum {
    MEMBER_COUNT = sizeof(members) / sizeof(members[0]),
    HEADER_BYTES = 3 * sizeof(uint32_t),
    NUMBER_BYTES = sizeof(uint32_t) + sizeof(int64_t), /* index, value */
    TEXT_BYTES = 2 * sizeof(uint32_t) + sizeof(char)   /* index, length, NUL */
};

static const char *text_of(const wsgi_group_settings_t *settings, const struct member *member)
{
    return *(const char *const *)((const char *)settings + member->offset);
}

static int64_t number_of(const wsgi_group_settings_t *settings, const struct member *member)
{
    return *(const int64_t *)((const char *)settings + member->offset);
}

size_t wsgi_handover_size(const wsgi_group_settings_t *settings)
{
    size_t sum = HEADER_BYTES;

    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        sum += members[i].is_text ? TEXT_BYTES + strlen(text_of(settings, &members[i]))
                                  : (size_t)NUMBER_BYTES;
    }
    return sum;
}

static char *write_member(char *at, const wsgi_group_settings_t *settings, size_t index)
{
    at = wsgi_write_u32(at, (uint32_t)index);
    if (!members[index].is_text) {
        return wsgi_write_i64(at, number_of(settings, &members[index]));
    }
    const char *text = text_of(settings, &members[index]);
    const size_t len = strlen(text);
    at = wsgi_write_u32(at, (uint32_t)len);
    return wsgi_write_text(at, (wsgi_bytes_t){text, len});
}

int wsgi_handover_pack(wsgi_buffer_t *out, const wsgi_group_settings_t *settings)
{
    const size_t bytes = wsgi_handover_size(settings);
    const int code = wsgi_buffer_reserve(out, bytes);

    if (code != WSGI_OK) {
        return code;
    }
    char *at = out->data + out->len;
    at = wsgi_write_u32(at, WSGI_HANDOVER_MAGIC);
    at = wsgi_write_u32(at, WSGI_HANDOVER_VERSION);
    at = wsgi_write_u32(at, MEMBER_COUNT);
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        at = write_member(at, settings, i);
    }
    out->len += bytes;
    return WSGI_OK;
}

static int check_header(wsgi_reader_t *in, wsgi_result_t *result)
{
    const uint32_t magic = wsgi_read_u32(in);
    const uint32_t version = wsgi_read_u32(in);
    const uint32_t count = wsgi_read_u32(in);

    if (in->is_bad || magic != WSGI_HANDOVER_MAGIC) {
        return wsgi_fail(result, WSGI_E_PROTOCOL,
                         "these are not the settings of a process group: wsgi-daemon is started "
                         "by httpd, not by hand");
    }
    if (version != WSGI_HANDOVER_VERSION || count != MEMBER_COUNT) {
        return wsgi_fail(result, WSGI_E_PROTOCOL,
                         "httpd's module hands over settings of layout %u with %u members, this "
                         "wsgi-daemon knows layout %u with %u: install both from one build",
                         version, count, WSGI_HANDOVER_VERSION, (unsigned)MEMBER_COUNT);
    }
    return WSGI_OK;
}

/* Members stand in the order of their index, so each is there exactly once. */
static void read_member(wsgi_reader_t *in, wsgi_group_settings_t *settings, size_t index)
{
    void *place = (char *)settings + members[index].offset;

    if (wsgi_read_u32(in) != index) {
        wsgi_reader_spoil(in);
    }
    if (members[index].is_text) {
        *(const char **)place = wsgi_read_text(in, wsgi_read_u32(in)).data;
    }
    else {
        *(int64_t *)place = wsgi_read_i64(in);
    }
}

int wsgi_handover_unpack(wsgi_bytes_t blob, wsgi_group_settings_t *settings, wsgi_result_t *result)
{
    wsgi_reader_t in = wsgi_reader(blob);
    const int code = check_header(&in, result);

    if (code != WSGI_OK) {
        return code;
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        read_member(&in, settings, i);
        if (in.is_bad) {
            return wsgi_fail(result, WSGI_E_PROTOCOL,
                             "the settings of the process group are damaged at \"%s\": install "
                             "mod_wsgi.so and wsgi-daemon from one build",
                             members[i].name);
        }
    }
    if (!wsgi_reader_is_done(&in)) {
        return wsgi_fail(result, WSGI_E_PROTOCOL,
                         "the settings of the process group are longer than their members: "
                         "install mod_wsgi.so and wsgi-daemon from one build");
    }
    return WSGI_OK;
}
