/* server/alias_map.c — prefixes of URIs by hash over path segments.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "alias_map.h"

#include <string.h>

#define NOBODY UINT32_MAX

typedef struct entry {
    const char *path;
    uint32_t hash;    /* of the path without trailing slashes, each run of slashes as one */
    uint32_t next;    /* in the same slot, in the order of the array */
    bool wants_slash; /* the path ends in '/' */
} entry_t;

struct wsgi_alias_map {
    entry_t *entries;
    uint32_t *slots; /* first entry of each, or NOBODY */
    uint32_t mask;
    size_t longest; /* segments that any path has: deeper ones of a URI cannot matter */
};

#define HASH_START 2166136261u

static uint32_t hash_byte(uint32_t hash, unsigned char byte)
{
    return (hash ^ byte) * 16777619u; /* FNV-1a */
}

/* A walk over the segments of a path; `at` stands behind the segment read last. */
typedef struct walk {
    const char *at;
    uint32_t hash;
    size_t segments;
} walk_t;

static const char *skip_slashes(const char *text)
{
    while (*text == '/') {
        text++;
    }
    return text;
}

/* Takes one more segment with the slashes before it; false at the end of the path. */
static bool take_segment(walk_t *walk)
{
    const char *byte = skip_slashes(walk->at);
    if (*byte == '\0') {
        return false;
    }
    walk->hash = hash_byte(walk->hash, '/');
    while (*byte != '\0' && *byte != '/') {
        walk->hash = hash_byte(walk->hash, (unsigned char)*byte++);
    }
    walk->at = byte;
    walk->segments++;
    return true;
}

static void add(wsgi_alias_map_t *map, uint32_t index, const char *path)
{
    walk_t walk = {path, HASH_START, 0};
    while (take_segment(&walk)) {
    }
    map->entries[index] = (entry_t){path, walk.hash, NOBODY, *walk.at == '/'};
    if (walk.segments > map->longest) {
        map->longest = walk.segments;
    }
    uint32_t *link = &map->slots[walk.hash & map->mask];
    while (*link != NOBODY) {
        link = &map->entries[*link].next;
    }
    *link = index;
}

wsgi_alias_map_t *wsgi_alias_map_make(apr_pool_t *pool, const char *const *paths, size_t count)
{
    uint32_t slots = 8;
    while (slots < 2 * count) {
        slots *= 2;
    }
    wsgi_alias_map_t *map = apr_pcalloc(pool, sizeof *map);
    map->mask = slots - 1;
    map->slots = apr_palloc(pool, slots * sizeof *map->slots);
    memset(map->slots, 0xff, slots * sizeof *map->slots);
    map->entries = apr_pcalloc(pool, (count + 1) * sizeof *map->entries);
    for (size_t i = 0; i < count; i++) {
        if (paths[i] != NULL) {
            add(map, (uint32_t)i, paths[i]);
        }
    }
    return map;
}

/* Does the path say the same as uri[0…len), runs of slashes as one, its trailing ones left out? */
static bool is_same(const char *path, const char *uri, size_t len)
{
    const char *end = uri + len;
    while (uri < end) {
        if (*path != *uri) {
            return false;
        }
        if (*uri == '/') {
            path = skip_slashes(path);
            uri = skip_slashes(uri);
        }
        else {
            path++;
            uri++;
        }
    }
    return *skip_slashes(path) == '\0';
}

/* The first entry that is exactly the part of the URI walked over so far. */
static uint32_t find_exact(const wsgi_alias_map_t *map, const char *uri, const walk_t *walk)
{
    uint32_t index = map->slots[walk->hash & map->mask];
    for (; index != NOBODY; index = map->entries[index].next) {
        const entry_t *entry = &map->entries[index];
        if (entry->hash == walk->hash && (!entry->wants_slash || *walk->at == '/') &&
            is_same(entry->path, uri, (size_t)(walk->at - uri))) {
            return index;
        }
    }
    return NOBODY;
}

int wsgi_alias_map_find(const wsgi_alias_map_t *map, const char *uri, size_t *covered)
{
    uint32_t best = NOBODY;
    walk_t walk = {uri, HASH_START, 0};
    do {
        uint32_t index = find_exact(map, uri, &walk);
        if (index < best) {
            best = index;
            const char *end = map->entries[index].wants_slash ? skip_slashes(walk.at) : walk.at;
            *covered = (size_t)(end - uri);
        }
    } while (walk.segments < map->longest && take_segment(&walk));
    return best == NOBODY ? -1 : (int)best;
}
