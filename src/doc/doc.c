#include "doc/doc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct doc *value_new(struct arena *a, enum doc_type type)
{
    struct doc *d = arena_new_of(a, struct doc);

    d->type = type;
    return d;
}

struct doc *doc_null(struct arena *a)
{
    return value_new(a, DOC_NULL);
}

struct doc *doc_boolean(struct arena *a, bool value)
{
    struct doc *d = value_new(a, DOC_BOOLEAN);

    d->boolean = value;
    return d;
}

struct doc *doc_integer(struct arena *a, int64_t value)
{
    struct doc *d = value_new(a, DOC_INTEGER);

    d->integer = value;
    return d;
}

struct doc *doc_real(struct arena *a, double value)
{
    struct doc *d = value_new(a, DOC_REAL);

    d->real = value;
    return d;
}

struct doc *doc_str(struct arena *a, struct str text)
{
    struct doc *d = value_new(a, DOC_STRING);

    d->text = (struct str){ arena_strndup(a, text.data, text.size), text.size };
    return d;
}

struct doc *doc_string(struct arena *a, const char *text)
{
    return doc_str(a, str_of(text));
}

struct doc *doc_bytes(struct arena *a, struct str bytes)
{
    struct doc *d = doc_str(a, bytes);

    d->type = DOC_BYTES;
    return d;
}

struct doc *doc_list(struct arena *a)
{
    return value_new(a, DOC_LIST);
}

struct doc *doc_map(struct arena *a)
{
    return value_new(a, DOC_MAP);
}

struct doc *doc_copy(struct arena *a, const struct doc *from)
{
    struct doc *to;

    if (!from)
        return NULL;
    to = value_new(a, from->type);
    *to = *from;
    if (from->type == DOC_STRING || from->type == DOC_BYTES)
        to->text.data = arena_strndup(a, from->text.data, from->text.size);
    to->capacity = from->count;
    if (from->type == DOC_LIST) {
        to->items = arena_array_of(a, struct doc *, from->count);
        for (uint32_t i = 0; i < from->count; i++)
            to->items[i] = doc_copy(a, from->items[i]);
    }
    if (from->type == DOC_MAP) {
        to->members = arena_array_of(a, struct doc_item, from->count);
        for (uint32_t i = 0; i < from->count; i++)
            to->members[i] =
                (struct doc_item) { arena_strdup(a, from->members[i].key), doc_copy(a, from->members[i].value) };
    }
    return to;
}

/* Doubles the room when it is used up; items of both containers are moved as bytes. */
static void *grown(struct arena *a, struct doc *d, void *items, size_t item_size)
{
    void *more;

    if (d->count < d->capacity)
        return items;
    d->capacity = d->capacity ? d->capacity * 2 : 4;
    more = arena_alloc(a, d->capacity * item_size);
    if (d->count)
        memcpy(more, items, d->count * item_size);
    return more;
}

void doc_append(struct arena *a, struct doc *list, struct doc *value)
{
    assert(list->type == DOC_LIST && value);
    list->items = grown(a, list, list->items, sizeof *list->items);
    list->items[list->count++] = value;
}

/* Most names differ in their first byte: no call for those. */
static bool same_key(const char *a, const char *b)
{
    return *a == *b && strcmp(a, b) == 0;
}

static struct doc_item *find(const struct doc *map, const char *key)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (same_key(map->members[i].key, key))
            return &map->members[i];
    return NULL;
}

void doc_set(struct arena *a, struct doc *map, const char *key, struct doc *value)
{
    struct doc_item *item;

    assert(map->type == DOC_MAP);
    item = find(map, key);
    if (item && value) {
        item->value = value;
    } else if (item) {
        size_t after = (size_t)(map->members + map->count - item) - 1;

        memmove(item, item + 1, after * sizeof *item);
        map->count--;
    } else if (value) {
        map->members = grown(a, map, map->members, sizeof *map->members);
        map->members[map->count++] = (struct doc_item){ arena_strdup(a, key), value };
    }
}

void doc_set_string(struct arena *a, struct doc *map, const char *key, const char *value)
{
    doc_set(a, map, key, value ? doc_string(a, value) : NULL);
}

void doc_set_integer(struct arena *a, struct doc *map, const char *key, int64_t value)
{
    doc_set(a, map, key, doc_integer(a, value));
}

void doc_set_real(struct arena *a, struct doc *map, const char *key, double value)
{
    doc_set(a, map, key, doc_real(a, value));
}

void doc_set_boolean(struct arena *a, struct doc *map, const char *key, bool value)
{
    doc_set(a, map, key, doc_boolean(a, value));
}

struct doc *doc_member(struct arena *a, struct doc *map, const char *key, enum doc_type type)
{
    struct doc_item *item;

    assert(map->type == DOC_MAP && (type == DOC_LIST || type == DOC_MAP));
    item = find(map, key);
    if (!item || item->value->type != type) {
        doc_set(a, map, key, value_new(a, type));
        item = find(map, key);
    }
    return item->value;
}

void doc_merge(struct arena *a, struct doc *into, const struct doc *from)
{
    if (!from || from->type != DOC_MAP)
        return;
    for (uint32_t i = 0; i < from->count; i++)
        doc_set(a, into, from->members[i].key, from->members[i].value);
}

struct position {
    const char *key;
    uint32_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct position *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order ? order : (int)(x->at > y->at) - (int)(x->at < y->at);
}

void doc_append_member(struct arena *a, struct doc *map, const char *key, struct doc *value)
{
    assert(map->type == DOC_MAP && value);
    map->members = grown(a, map, map->members, sizeof *map->members);
    map->members[map->count++] = (struct doc_item){ key, value };
}

/* Few members are compared each with each; many are sorted, for a map of n members must not cost n * n. */
void doc_drop_repeated(struct arena *a, struct doc *map)
{
    uint32_t kept = 0;

    if (map->count <= 16) {
        for (uint32_t i = 0; i + 1 < map->count; i++)
            for (uint32_t j = i + 1; map->members[i].key && j < map->count; j++)
                if (same_key(map->members[i].key, map->members[j].key))
                    map->members[i].key = NULL;
    } else {
        struct position *sorted = arena_array_of(a, struct position, map->count);

        for (uint32_t i = 0; i < map->count; i++)
            sorted[i] = (struct position){ map->members[i].key, i };
        qsort(sorted, map->count, sizeof *sorted, by_key);
        for (uint32_t i = 0; i + 1 < map->count; i++)
            if (strcmp(sorted[i].key, sorted[i + 1].key) == 0)
                map->members[sorted[i].at].key = NULL;
    }
    for (uint32_t i = 0; i < map->count; i++)
        if (map->members[i].key)
            map->members[kept++] = map->members[i];
    map->count = kept;
}

const struct doc *doc_get(const struct doc *map, const char *key)
{
    const struct doc_item *item = map && map->type == DOC_MAP ? find(map, key) : NULL;

    return item ? item->value : NULL;
}

static const struct doc *member_of(const struct doc *map, struct str key)
{
    if (!map || map->type != DOC_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->count; i++)
        if (str_is(key, map->members[i].key))
            return map->members[i].value;
    return NULL;
}

const struct doc *doc_at(const struct doc *d, const char *path)
{
    while (d && *path) {
        if (*path == '[') {
            size_t index = 0;

            for (path++; *path >= '0' && *path <= '9'; path++)
                index = index * 10 + (size_t)(*path - '0');
            assert(*path == ']' && "a path is written in the program, not read from outside");
            d = d->type == DOC_LIST && index < d->count ? d->items[index] : NULL;
            path++;
        } else {
            size_t size = strcspn(path, ".[");

            d = member_of(d, (struct str){ path, size });
            path += size;
        }
        if (*path == '.')
            path++;
    }
    return d;
}

bool doc_has(const struct doc *d, const char *path)
{
    const struct doc *value = doc_at(d, path);

    return value && value->type != DOC_NULL;
}

const char *doc_value_text(const struct doc *d)
{
    return d && d->type == DOC_STRING ? d->text.data : "";
}

const char *doc_text_or(const struct doc *d, const char *path, const char *otherwise)
{
    const struct doc *value = doc_at(d, path);

    return value && value->type == DOC_STRING ? value->text.data : otherwise;
}

const char *doc_text(const struct doc *d, const char *path)
{
    return doc_text_or(d, path, "");
}

bool doc_is(const struct doc *d, const char *path, const char *text)
{
    const struct doc *value = doc_at(d, path);

    return value && value->type == DOC_STRING && str_is(value->text, text);
}

int64_t doc_int(const struct doc *d, const char *path, int64_t otherwise)
{
    const struct doc *value = doc_at(d, path);

    if (value && value->type == DOC_INTEGER)
        return value->integer;
    if (value && value->type == DOC_REAL && value->real >= -0x1p63 && value->real < 0x1p63 &&
        (double)(int64_t)value->real == value->real)
        return (int64_t)value->real;
    return otherwise;
}

double doc_number(const struct doc *d, const char *path, double otherwise)
{
    const struct doc *value = doc_at(d, path);

    if (value && value->type == DOC_INTEGER)
        return (double)value->integer;
    return value && value->type == DOC_REAL ? value->real : otherwise;
}

bool doc_bool(const struct doc *d, const char *path, bool otherwise)
{
    const struct doc *value = doc_at(d, path);

    return value && value->type == DOC_BOOLEAN ? value->boolean : otherwise;
}

static size_t count_of(const struct doc *d, const char *path, enum doc_type type)
{
    const struct doc *value = doc_at(d, path);

    return value && value->type == type ? value->count : 0;
}

size_t doc_count(const struct doc *d, const char *path)
{
    return count_of(d, path, DOC_LIST);
}

size_t doc_member_count(const struct doc *d, const char *path)
{
    return count_of(d, path, DOC_MAP);
}

static bool lists_equal(const struct doc *a, const struct doc *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!doc_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool maps_equal(const struct doc *a, const struct doc *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!doc_equal(a->members[i].value, doc_get(b, a->members[i].key)))
            return false;
    return true;
}

bool doc_equal(const struct doc *a, const struct doc *b)
{
    if (!a || !b || a->type != b->type)
        return a == b;
    switch (a->type) {
    case DOC_NULL:
        return true;
    case DOC_BOOLEAN:
        return a->boolean == b->boolean;
    case DOC_INTEGER:
        return a->integer == b->integer;
    case DOC_REAL:
        return a->real == b->real;
    case DOC_STRING:
    case DOC_BYTES:
        return str_eq(a->text, b->text);
    case DOC_LIST:
        return a->count == b->count && lists_equal(a, b);
    case DOC_MAP:
        return a->count == b->count && maps_equal(a, b);
    }
    assert(!"no such type");
    return false;
}

void doc_read(const struct doc *d, const struct doc_field *f, void *into)
{
    for (; f->path; f++) {
        void *member = (char *)into + f->offset;
        const struct doc *value = doc_at(d, f->path);

        switch (f->type) {
        case DOC_FIELD_TEXT:
            if (value || !*(const char **)member)
                *(const char **)member = doc_value_text(value);
            break;
        case DOC_FIELD_INT:
            *(int64_t *)member = doc_int(value, "", *(int64_t *)member);
            break;
        case DOC_FIELD_NUMBER:
            *(double *)member = doc_number(value, "", *(double *)member);
            break;
        case DOC_FIELD_BOOL:
            *(bool *)member = doc_bool(value, "", *(bool *)member);
            break;
        case DOC_FIELD_DOC:
            *(const struct doc **)member = value;
            break;
        case DOC_FIELD_END:
            break;
        }
    }
}
