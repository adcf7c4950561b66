#include "fleet/gpu_bank.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "doc/json.h"

enum { FILE_LIMIT = 1 << 20 };

struct gpu_bank {
    struct gpu_seat seats[GPU_BANK_MOST];
    int count;
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
    struct str text = { 0 };
    struct err why;

    if (path && path_exists(path) && file_read(a, path, FILE_LIMIT, &text, err) < 0) {
        arena_free(a);
        return -1;
    }
    if (text.data && json_parse(a, text, &d, &why) < 0) {
        arena_free(a);
        return fail(err, ERR_INVALID,
                    "%s, which says what GPUs are not to be given out, is no JSON (%s): mend it, or remove it and "
                    "cordon them again.", path, why.text);
    }
    b = calloc(1, sizeof *b);
    assert(b);
    b->arena = a;
    b->path = path ? arena_strdup(a, path) : NULL;
    b->cordons = d && doc_get(d, "cordoned") && doc_get(d, "cordoned")->type == DOC_MAP
                     ? doc_copy(a, doc_get(d, "cordoned"))
                     : doc_map(a);
    *ret = b;
    return 0;
}

void gpu_bank_free(struct gpu_bank *b)
{
    if (!b)
        return;
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

const struct gpu_seat *gpu_bank_seat(const struct gpu_bank *b, int place)
{
    assert(place >= 0 && place < b->count);
    return &b->seats[place];
}

uint64_t gpu_bank_held(const struct gpu_bank *b, const char *holder)
{
    uint64_t held = 0;

    for (int i = 0; i < gpu_bank_count(b); i++)
        if (strcmp(b->seats[i].holder, holder) == 0)
            held |= UINT64_C(1) << b->seats[i].index;
    return held;
}

void gpu_bank_give(struct gpu_bank *b, const char *holder)
{
    for (int i = 0; i < gpu_bank_count(b); i++)
        if (strcmp(b->seats[i].holder, holder) == 0)
            *b->seats[i].holder = '\0';
}

void gpu_bank_hold(struct gpu_bank *b, const char *holder, uint64_t gpus)
{
    gpu_bank_give(b, holder);
    for (int i = 0; i < gpu_bank_count(b); i++)
        if (gpus & UINT64_C(1) << b->seats[i].index)
            copy(b->seats[i].holder, sizeof b->seats[i].holder, holder);
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
