/* resource.c - rows in the hands of kinds: finding, loading, moving from state to state, naming. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/impl.h"
#include "engine/tags.h"
#include "sign/digest.h"
#include "store/store.h"

/* Is word one of the words of list, which are parted by single spaces? */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = list; n && (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

const char *get_state(const struct resource *r)
{
    return r->row.state;
}

bool may_become(const struct resource *r, const char *state)
{
    if (strcmp(r->row.state, state) == 0)
        return true;
    for (const char *const(*s)[2] = r->kind->states; (*s)[0]; s++)
        if (strcmp((*s)[0], r->row.state) == 0)
            return has_word((*s)[1], state);
    return false;
}

/* The arena of the status is not at hand here, and is not needed: the value is one of the kind's own strings. */
void set_state(struct resource *r, const char *state)
{
    assert(r->kind->states && r->kind->state_member);
    assert(may_become(r, state) && "illegal change of state");
    for (const char *const(*s)[2] = r->kind->states; (*s)[0]; s++)
        if (strcmp((*s)[0], state) == 0) {
            r->row.state = (*s)[0];
            return;
        }
    assert(!"not a state of this kind");
}

const char *resource_arn(struct arena *a, const struct kind *k, const char *region, const char *account,
                         const char *name)
{
    const struct service *service = model_service(k->service);
    const char *const parts[] = { "arn:aws:", service ? service->signing_name : "", ":", region, ":", account, ":",
                                  k->arn_type, "/", name };
    size_t sizes[sizeof parts / sizeof *parts], size = 0;
    char *arn, *at;

    assert(service);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        size += sizes[i] = strlen(parts[i]);
    arn = at = arena_alloc(a, size + 1);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, at += sizes[i - 1])
        memcpy(at, parts[i], sizes[i]);
    /* As in the service: the name is lower-cased in the ARN, and kept as given beside it. */
    for (char *c = at - strlen(name); *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return arn;
}

int resource_missing(struct call *c, const struct kind *k, const char *arn, struct err *err)
{
    (void)c;
    if (k && k->missing_text) {
        char text[2048];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, k->missing_text, arn);
#pragma GCC diagnostic pop
        fail_code(err, ERR_NOT_FOUND, "ValidationException", "%s", text);
    } else {
        fail_code(err, ERR_NOT_FOUND, "ValidationException", "Requested resource not found.");
    }
    err->http_status = 400; /* as a ValidationException is */
    return -1;
}

struct resource resource_of(const struct kind *k, const struct row *row)
{
    return (struct resource){
        .row = *row, .kind = k, .status = (struct doc *)row->status, .want = (struct doc *)row->want
    };
}

int resource_find(struct call *c, const struct kind *k, const char *name, struct resource *ret, struct err *err)
{
    struct store *store = engine_world_of(c->engine)->store;
    const char *arn = text_starts(name, "arn:")
                          ? name
                          : resource_arn(c->arena, k, c->region, c->principal->account, name);
    struct row row;

    if (store_row_by_arn(c->arena, store, arn, &row, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        return resource_missing(c, k, arn, err);
    }
    if (strcmp(row.kind, k->name) != 0 || strcmp(row.account, c->principal->account) != 0)
        return resource_missing(c, k, arn, err);
    *ret = resource_of(k, &row);
    return 0;
}

int resource_load(struct arena *a, struct engine *e, const char *uid, struct resource *ret, struct err *err)
{
    const struct kind *k;
    struct row row;

    if (store_row_by_uid(a, e->world.store, uid, &row, err) < 0)
        return -1;
    k = map_get(e->kinds, str_of(row.kind));
    if (!k)
        return fail(err, ERR_INTERNAL, "%s %s is of a kind that this version does not know", row.kind, row.name);
    *ret = resource_of(k, &row);
    ret->status = doc_copy(a, row.status); /* is compared with what was saved */
    ret->want = doc_copy(a, row.want);
    return 0;
}

int resource_changed(struct engine *e, struct arena *a, const struct row *before, const struct row *after,
                     struct err *err)
{
    return e->world.changed ? e->world.changed(e, a, before, after, err) : 0;
}

static int save_want(struct engine *e, int64_t now_ms, struct resource *r, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct row before;

    /* An operation changes the status that it read in place. */
    if (e->world.changed && store_row_by_uid(a, e->world.store, r->row.uid, &before, err) < 0)
        return -1;
    r->row.want = r->want;
    r->row.status = r->status;
    r->row.modified_ms = now_ms;
    if (r->kind->reconcile)
        r->row.next_at_ms = now_ms; /* a touch is forgotten by a crash, this is not */
    if (store_row_want(e->world.store, &r->row, err) < 0 || resource_changed(e, a, &before, &r->row, err) < 0)
        return -1;
    engine_touch(e, r->row.uid);
    return 0;
}

int resource_save(struct call *c, struct resource *r, struct err *err)
{
    if (r->kind->state_member)
        doc_set_string(c->arena, r->status, r->kind->state_member, r->row.state);
    return save_want(c->engine, c->now_ms, r, err);
}

int resource_want(struct engine *e, struct resource *r, struct err *err)
{
    return save_want(e, engine_now_ms(e), r, err);
}

int resource_insert(struct arena *a, struct engine *e, const struct row *row, struct err *err)
{
    if (store_row_insert(e->world.store, row, err) < 0)
        return -1;
    engine_touch(e, row->uid);
    return resource_changed(e, a, NULL, row, err);
}

int resource_remove(struct engine *e, const struct row *row, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    /* While it can still be described. */
    if (resource_changed(e, a, row, NULL, err) < 0 || tags_remove_all(e, row->uid, err) < 0 ||
        store_row_delete(e->world.store, row->uid, engine_now_ms(e), err) < 0)
        return -1;
    engine_touch(e, row->parent_uid);
    return 0;
}

struct doc *without_nulls(struct arena *a, const struct doc *d)
{
    struct doc *copy;

    if (d->type == DOC_MAP) {
        copy = doc_map(a);
        for (uint32_t i = 0; i < d->count; i++)
            if (d->members[i].value->type != DOC_NULL)
                doc_set(a, copy, d->members[i].key, without_nulls(a, d->members[i].value));
        return copy;
    }
    if (d->type == DOC_LIST) {
        copy = doc_list(a);
        for (uint32_t i = 0; i < d->count; i++)
            doc_append(a, copy, without_nulls(a, d->items[i]));
        return copy;
    }
    return doc_copy(a, d);
}

const char *child_uid(struct arena *a, const char *parent_uid, const char *step, int attempt)
{
    const char *text = arena_printf(a, "%s\n%s\n%d", parent_uid, step, attempt);
    unsigned char sum[SHA256_SIZE];
    char *uid = arena_alloc(a, 27);

    sha256(sum, text, strlen(text));
    for (int i = 0; i < 26; i++)
        uid[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[sum[i] % 36];
    return uid;
}
