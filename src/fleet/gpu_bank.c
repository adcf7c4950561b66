/* gpu_bank.c - one line, in which only the head is served: a wish for eight is not overtaken for ever by wishes for
 * one. Who asks for more than the cordons leave waits beside the line. */
#include "fleet/gpu_bank.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/list.h"
#include "doc/json.h"

enum { FILE_LIMIT = 1 << 20 };

struct wish {
    struct list link;
    int count;
    char holder[96], uid[96];
};

struct gpu_bank {
    struct gpu_seat seats[GPU_BANK_MOST];
    int count;
    struct list line;
    struct arena *arena;
    const char *path;
    struct doc *cordons; /* uuid -> {why, at_ms}, as in the file */
};

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

static void show_cordon(struct gpu_bank *b, struct gpu_seat *s)
{
    const struct doc *cordon = NULL;

    for (uint32_t i = 0; i < b->cordons->count; i++)
        if (strcmp(b->cordons->members[i].key, s->uuid) == 0)
            cordon = b->cordons->members[i].value;
    s->cordoned = cordon;
    s->cordoned_ms = doc_int(cordon, "at_ms", 0);
    copy(s->why, sizeof s->why, doc_text(cordon, "why"));
}

int gpu_bank_new(const char *path, struct gpu_bank **ret, struct err *err)
{
    struct arena *a = arena_new();
    struct gpu_bank *b;
    struct doc *d = NULL;
    struct str text;

    if (path && path_exists(path) &&
        (file_read(a, path, FILE_LIMIT, &text, err) < 0 || json_parse(a, text, &d, err) < 0)) {
        arena_free(a);
        return -1;
    }
    b = calloc(1, sizeof *b);
    assert(b);
    b->arena = a;
    b->path = path ? arena_strdup(a, path) : NULL;
    b->cordons = d && doc_get(d, "cordoned") && doc_get(d, "cordoned")->type == DOC_MAP
                     ? doc_copy(a, doc_get(d, "cordoned"))
                     : doc_map(a);
    list_init(&b->line);
    *ret = b;
    return 0;
}

void gpu_bank_free(struct gpu_bank *b)
{
    if (!b)
        return;
    while (!list_empty(&b->line)) {
        struct wish *w = list_entry(b->line.next, struct wish, link);

        list_remove(&w->link);
        free(w);
    }
    arena_free(b->arena);
    free(b);
}

void gpu_bank_add(struct gpu_bank *b, int index, const char *uuid, const char *name)
{
    struct gpu_seat *s = &b->seats[b->count];

    assert(b->count < GPU_BANK_MOST && index >= 0 && index < GPU_BANK_MOST);
    *s = (struct gpu_seat){ .index = index };
    copy(s->uuid, sizeof s->uuid, uuid);
    copy(s->name, sizeof s->name, name);
    show_cordon(b, s);
    b->count++;
}

int gpu_bank_count(const struct gpu_bank *b)
{
    return b ? b->count : 0;
}

int gpu_bank_unused(const struct gpu_bank *b)
{
    int unused = 0;

    for (int i = 0; i < gpu_bank_count(b); i++)
        unused += !*b->seats[i].holder && !b->seats[i].cordoned;
    return unused;
}

int gpu_bank_cordoned(const struct gpu_bank *b)
{
    int cordoned = 0;

    for (int i = 0; i < gpu_bank_count(b); i++)
        cordoned += b->seats[i].cordoned;
    return cordoned;
}

const struct gpu_seat *gpu_bank_seat(const struct gpu_bank *b, int place)
{
    assert(place >= 0 && place < b->count);
    return &b->seats[place];
}

/* --- Wishes --- */

static struct wish *wish_of(const struct gpu_bank *b, const char *holder)
{
    for (struct list *node = b->line.next; node != &b->line; node = node->next)
        if (strcmp(list_entry(node, struct wish, link)->holder, holder) == 0)
            return list_entry(node, struct wish, link);
    return NULL;
}

/* The first that what is not cordoned would do for. */
static struct wish *head_of(const struct gpu_bank *b)
{
    int good = b->count - gpu_bank_cordoned(b);

    for (struct list *node = b->line.next; node != &b->line; node = node->next)
        if (list_entry(node, struct wish, link)->count <= good)
            return list_entry(node, struct wish, link);
    return NULL;
}

static void drop(struct wish *w)
{
    if (!w)
        return;
    list_remove(&w->link);
    free(w);
}

static struct wish *wish_new(struct gpu_bank *b, const char *holder, const char *uid, int count, bool urgent)
{
    struct wish *w = calloc(1, sizeof *w);

    assert(w && strlen(holder) < sizeof w->holder && strlen(uid) < sizeof w->uid);
    w->count = count;
    strcpy(w->holder, holder);
    strcpy(w->uid, uid);
    list_append(urgent ? b->line.next : &b->line, &w->link);
    return w;
}

static void grant(struct gpu_bank *b, const char *holder, int count)
{
    assert(strlen(holder) < sizeof b->seats[0].holder);
    for (int i = 0; i < b->count && count > 0; i++)
        if (!*b->seats[i].holder && !b->seats[i].cordoned) {
            strcpy(b->seats[i].holder, holder);
            count--;
        }
}

/* One wish for all, under the name of the first. */
bool gpu_bank_take_all(struct gpu_bank *b, const char *const *holders, int holder_count, const char *uid, int each,
                       bool urgent)
{
    struct wish *w;
    int lacking = 0;

    for (int i = 0; i < holder_count; i++)
        lacking += !gpu_bank_held(b, holders[i]);
    if (!b || each <= 0 || !lacking)
        return true;
    w = wish_of(b, holders[0]);
    if (!w)
        w = wish_new(b, holders[0], uid, lacking * each, urgent);
    w->count = lacking * each;
    if (head_of(b) != w || gpu_bank_unused(b) < w->count)
        return false;
    for (int i = 0; i < holder_count; i++)
        if (!gpu_bank_held(b, holders[i]))
            grant(b, holders[i], each);
    drop(w);
    return true;
}

bool gpu_bank_take(struct gpu_bank *b, const char *holder, const char *uid, int count, bool urgent)
{
    return gpu_bank_take_all(b, &holder, 1, uid, count, urgent);
}

uint64_t gpu_bank_held(const struct gpu_bank *b, const char *holder)
{
    uint64_t held = 0;

    for (int i = 0; i < gpu_bank_count(b); i++)
        if (strcmp(b->seats[i].holder, holder) == 0)
            held |= UINT64_C(1) << b->seats[i].index;
    return held;
}

int gpu_bank_waiting_before(const struct gpu_bank *b, const char *holder)
{
    int before = 0;

    if (!b)
        return 0;
    for (struct list *node = b->line.next; node != &b->line; node = node->next, before++)
        if (strcmp(list_entry(node, struct wish, link)->holder, holder) == 0)
            return before;
    return 0;
}

void gpu_bank_hold(struct gpu_bank *b, const char *holder, uint64_t gpus)
{
    for (int i = 0; i < gpu_bank_count(b); i++)
        if (gpus & UINT64_C(1) << b->seats[i].index) {
            copy(b->seats[i].holder, sizeof b->seats[i].holder, holder);
            b->seats[i].adopted = true;
        }
}

void gpu_bank_give(struct gpu_bank *b, const char *holder)
{
    if (!b)
        return;
    drop(wish_of(b, holder));
    for (int i = 0; i < b->count; i++)
        if (strcmp(b->seats[i].holder, holder) == 0) {
            *b->seats[i].holder = '\0';
            b->seats[i].adopted = false;
        }
}

const char *gpu_bank_next(const struct gpu_bank *b)
{
    const struct wish *w = b ? head_of(b) : NULL;

    return w && w->count <= gpu_bank_unused(b) ? w->uid : "";
}

/* --- Cordons --- */

/* The table is the file's from the moment on in which that is written. */
static int keep_cordons(struct gpu_bank *b, struct doc *cordons, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);
    const char *text;

    doc_set_integer(a, d, "version", 1);
    doc_set(a, d, "cordoned", doc_copy(a, cordons));
    text = json_text(a, d);
    if (b->path && file_write_atomic(b->path, text, strlen(text), 0600, err) < 0)
        return -1;
    b->cordons = cordons;
    for (int i = 0; i < b->count; i++)
        show_cordon(b, &b->seats[i]);
    return 0;
}

static struct doc *cordons_without(struct gpu_bank *b, const char *uuid)
{
    struct doc *cordons = doc_map(b->arena);

    for (uint32_t i = 0; i < b->cordons->count; i++)
        if (strcmp(b->cordons->members[i].key, uuid) != 0)
            doc_set(b->arena, cordons, b->cordons->members[i].key, b->cordons->members[i].value);
    return cordons;
}

int gpu_bank_cordon(struct gpu_bank *b, const char *uuid, const char *why, int64_t now_ms, struct err *err)
{
    struct doc *cordons, *cordon;

    if (!b || !*uuid)
        return 0;
    /* The first reason is the one to look into. */
    for (uint32_t i = 0; i < b->cordons->count; i++)
        if (strcmp(b->cordons->members[i].key, uuid) == 0)
            return 0;
    cordons = cordons_without(b, uuid);
    cordon = doc_map(b->arena);
    doc_set_string(b->arena, cordon, "why", why);
    doc_set_integer(b->arena, cordon, "at_ms", now_ms);
    doc_set(b->arena, cordons, uuid, cordon);
    return keep_cordons(b, cordons, err);
}

int gpu_bank_uncordon(struct gpu_bank *b, int index, struct err *err)
{
    for (int i = 0; i < gpu_bank_count(b); i++) {
        if (b->seats[i].index != index)
            continue;
        if (!b->seats[i].cordoned)
            return fail(err, ERR_CONFLICT, "GPU %d is not cordoned", index);
        return keep_cordons(b, cordons_without(b, b->seats[i].uuid), err);
    }
    return fail(err, ERR_NOT_FOUND, "there is no GPU %d; sagebrush gpu list shows those of this machine", index);
}
