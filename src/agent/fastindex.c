#include "agent/fastindex.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define MAGIC "SBFAST1\n"

struct head {
    char magic[8];
    uint64_t count, texts, bucket; /* how many entries, where the texts begin, the bucket's among them */
};

/* A folder's part of the sorted objects, and how much of their paths is above it. */
struct node {
    struct fast_entry entry;
    const char *name;
    size_t from, to, depth;
};

struct tree {
    const struct channel_object *objects;
    uint64_t *keys; /* offset of each object's key */
    struct node *nodes;
    size_t count, room;
};

static struct node *add_node(struct tree *t)
{
    if (t->count == t->room) {
        t->room = t->room * 2 + 1024;
        t->nodes = realloc(t->nodes, t->room * sizeof *t->nodes);
        assert(t->nodes);
    }
    t->nodes[t->count] = (struct node){ 0 };
    return &t->nodes[t->count++];
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int r = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return r ? r : (a_size > b_size) - (a_size < b_size);
}

static int by_name(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    int r = compare_names(x->name, x->entry.name_size, y->name, y->entry.name_size);

    /* Folders first, so that they stay when names are the same. */
    return r ? r : (int)y->entry.is_folder - (int)x->entry.is_folder;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct channel_object *)a)->local, ((const struct channel_object *)b)->local);
}

/* The names right below a folder. */
static void add_children(struct tree *t, size_t folder)
{
    size_t from = t->nodes[folder].from, to = t->nodes[folder].to, depth = t->nodes[folder].depth, first = t->count,
           kept = first;

    for (size_t i = from; i < to;) {
        const char *name = t->objects[i].local + depth;
        size_t size = strcspn(name, "/"), end = i + 1;
        struct node *n;

        /* The object that stands for the folder itself. */
        if (!*name) {
            i++;
            continue;
        }
        while (name[size] == '/' && end < to && strncmp(t->objects[end].local + depth, name, size + 1) == 0)
            end++;
        n = add_node(t);
        n->name = name;
        n->from = i;
        n->to = end;
        n->depth = depth + size + 1;
        n->entry.name_size = (uint32_t)size;
        n->entry.parent = (uint32_t)folder;
        n->entry.is_folder = name[size] == '/';
        n->entry.key = t->keys[i];
        n->entry.name = t->keys[i] + (uint64_t)(strlen(t->objects[i].key) - strlen(name));
        n->entry.size_bytes = n->entry.is_folder ? 0 : (uint64_t)t->objects[i].size_bytes;
        i = end;
    }
    qsort(t->nodes + first, t->count - first, sizeof *t->nodes, by_name);
    for (size_t i = first; i < t->count; i++)
        if (kept == first || compare_names(t->nodes[kept - 1].name, t->nodes[kept - 1].entry.name_size,
                                           t->nodes[i].name, t->nodes[i].entry.name_size) != 0)
            t->nodes[kept++] = t->nodes[i];
    t->count = kept;
    t->nodes[folder].entry.first = (uint32_t)first;
    t->nodes[folder].entry.count = (uint32_t)(kept - first);
}

static int write_tree(struct tree *t, FILE *f, const char *path, const char *bucket, size_t count, struct err *err)
{
    struct head head = { .magic = MAGIC, .count = t->count,
                         .texts = sizeof head + t->count * sizeof(struct fast_entry) };
    bool bad = fwrite(&head, sizeof head, 1, f) != 1;

    for (size_t i = 0; i < t->count; i++)
        bad |= fwrite(&t->nodes[i].entry, sizeof t->nodes[i].entry, 1, f) != 1;
    bad |= fwrite(bucket, strlen(bucket) + 1, 1, f) != 1;
    for (size_t i = 0; i < count; i++)
        bad |= fwrite(t->objects[i].key, strlen(t->objects[i].key) + 1, 1, f) != 1;
    return bad || fflush(f) == EOF ? fail_errno(err, errno, "write %s", path) : 0;
}

int fast_index_write(const char *path, const char *bucket, struct channel_object *objects, size_t count,
                     struct err *err)
{
    struct tree t = { .objects = objects, .keys = calloc(count + 1, sizeof *t.keys) };
    uint64_t at = strlen(bucket) + 1;
    FILE *f = fopen(path, "we");
    struct node *root;
    int r;

    assert(t.keys);
    if (!f) {
        free(t.keys);
        return fail_errno(err, errno, "create %s", path);
    }
    qsort(objects, count, sizeof *objects, by_path);
    for (size_t i = 0; i < count; i++) {
        t.keys[i] = at;
        at += strlen(objects[i].key) + 1;
    }
    root = add_node(&t);
    root->entry.is_folder = 1;
    root->to = count;
    for (size_t i = 0; i < t.count; i++)
        if (t.nodes[i].entry.is_folder)
            add_children(&t, i);
    r = write_tree(&t, f, path, bucket, count, err);
    if (fclose(f) == EOF && r == 0)
        r = fail_errno(err, errno, "write %s", path);
    free(t.keys);
    free(t.nodes);
    return r;
}

int fast_index_open(const char *path, struct fast_index *ret, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const struct head *head;
    struct stat st;
    void *map;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(err, errno, "open %s", path);
    map = st.st_size < (off_t)sizeof *head ? MAP_FAILED
                                           : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return fail(err, ERR_INTERNAL, "%s is no index", path);
    head = map;
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0 || head->count == 0 || head->count >= UINT32_MAX ||
        head->texts != sizeof *head + head->count * sizeof(struct fast_entry) || head->texts >= (uint64_t)st.st_size) {
        munmap(map, (size_t)st.st_size);
        return fail(err, ERR_INTERNAL, "%s is no index", path);
    }
    *ret = (struct fast_index){ .entries = (const struct fast_entry *)(const void *)(head + 1),
                                .count = (uint32_t)head->count, .texts = (const char *)map + head->texts,
                                .bucket = (const char *)map + head->texts, .made_s = st.st_mtim.tv_sec, .map = map,
                                .map_size = (size_t)st.st_size };
    return 0;
}

void fast_index_close(struct fast_index *x)
{
    if (x->map)
        munmap(x->map, x->map_size);
    *x = (struct fast_index){ 0 };
}

uint32_t fast_index_find(const struct fast_index *x, uint32_t folder, struct str name)
{
    uint32_t low = x->entries[folder].first, high = low + x->entries[folder].count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct fast_entry *e = &x->entries[middle];
        int r = compare_names(x->texts + e->name, e->name_size, name.data, name.size);

        if (r == 0)
            return middle;
        if (r < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}
