/* links: base doc sign net aws run agent */
/* The tree of a FastFile channel, of one key a line below "p/": each entry is found again in the folder it is in. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fastindex.h"
#include "agent/fetch.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OBJECTS_MAX = 200 };

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

static size_t read_objects(struct arena *a, struct str text, struct channel_object *ret)
{
    size_t count = 0;
    struct str line;

    while (text.size && count < OBJECTS_MAX) {
        struct channel_object o = { .bucket = "b" };

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        o.key = arena_printf(a, "p/%s", str_dup(a, line));
        o.size_bytes = (int64_t)line.size;
        o.local = fetch_local_path(a, "p/", o.key);
        if (o.local)
            ret[count++] = o;
    }
    return count;
}

static void check_tree(const struct fast_index *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const struct fast_entry *e = &x->entries[i];

        if (!e->is_folder)
            assert(e->count == 0 && text_starts(x->texts + e->key, "p/"));
        for (uint32_t child = e->first; child < e->first + e->count; child++) {
            const struct fast_entry *c = &x->entries[child];

            assert(child < x->count && c->parent == i && c->name_size > 0);
            assert(!memchr(x->texts + c->name, '/', c->name_size));
            assert(fast_index_find(x, i, (struct str){ x->texts + c->name, c->name_size }) == child);
        }
    }
    assert(fast_index_find(x, 0, STR("no/name")) == UINT32_MAX);
}

/* Every object is there, or a folder hides it, or another one whose key is the same path. */
static void check_objects(const struct fast_index *x, const struct channel_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str rest = str_of(objects[i].local), part;
        uint32_t at = 0;

        while (rest.size) {
            bool more = str_cut(rest, '/', &part, &rest);

            if (!more) {
                part = rest;
                rest.size = 0;
            }
            at = fast_index_find(x, at, part);
            assert(at < x->count && (!more || x->entries[at].is_folder));
        }
        if (!x->entries[at].is_folder)
            assert(text_ends(x->texts + x->entries[at].key, objects[i].local));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct channel_object objects[OBJECTS_MAX];
    struct fast_index x;
    struct err err;
    const char *path;
    size_t count;

    if (strstr(folder, "XXXXXX")) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    path = arena_printf(a, "%s/index", folder);
    count = read_objects(a, (struct str){ size ? (const char *)data : "", size }, objects);
    if (fast_index_write(path, "b", objects, count, &err) < 0 || fast_index_open(path, &x, &err) < 0)
        abort();
    check_tree(&x);
    check_objects(&x, objects, count);
    fast_index_close(&x);
    return 0;
}
