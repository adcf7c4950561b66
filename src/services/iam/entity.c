#include "services/iam/entity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "store/store.h"

/* The limits are IAM's. */
enum { TAGS_MAX = 50, PAGE_DEFAULT = 100, BATCH = 200 };

const struct entity_kind iam_user = { "iam_users", "User", "UserName", "UserId", "user", "AIDA", 2048 };
const struct entity_kind iam_role = { "iam_roles", "Role", "RoleName", "RoleId", "role", "AROA", 10240 };

const struct entity_kind *entity_kind_of(const struct call *c)
{
    return strstr(c->operation->name, "Role") ? &iam_role : &iam_user;
}

struct store *iam_store(const struct call *c)
{
    return engine_world_of(c->engine)->store;
}

/* --- Records --- */

static char *lowered(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);

    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return copy;
}

/* Names are unique whatever their case. */
static struct str key_of(struct arena *a, const char *account, const char *name)
{
    return str_of(arena_printf(a, "%s/%s", account, lowered(a, name)));
}

int entity_load(struct arena *a, struct store *store, const struct entity_kind *kind, const char *account,
                const char *name, struct doc **ret, struct err *err)
{
    struct str text;

    if (store_get(a, store, kind->table, key_of(a, account, name), &text, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "The %s with name %s cannot be found.",
                             kind->arn_type, name);
        return -1;
    }
    return json_parse(a, text, ret, err);
}

int entity_save(struct arena *a, struct store *store, const struct entity_kind *kind, const char *account,
                const struct doc *record, struct err *err)
{
    identity_changed();
    return store_put(store, kind->table, key_of(a, account, doc_text(record, kind->name_member)),
                     str_of(json_text(a, record)), err);
}

int entity_delete(struct arena *a, struct store *store, const struct entity_kind *kind, const char *account,
                  const char *name, struct err *err)
{
    identity_changed();
    return store_remove(store, kind->table, key_of(a, account, name), err);
}

int entity_each(struct arena *a, struct store *store, const struct entity_kind *kind, const char *account,
                bool (*each)(void *data, struct doc *record), void *data, struct err *err)
{
    struct str prefix = account ? str_of(arena_printf(a, "%s/", account)) : (struct str){ 0 };
    struct range range = { .from = prefix,
                           .to = account ? store_after_prefix(a, prefix) : (struct str) { 0 },
                           .limit = BATCH };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(a, store, kind->table, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *record;

            if (json_parse(a, pairs[i].value, &record, err) < 0)
                return -1;
            if (!each(data, record))
                return 0;
        }
        /* The smallest key after the last one seen. */
        if (count)
            range.from = (struct str){ str_dup(a, pairs[count - 1].key), pairs[count - 1].key.size + 1 };
    } while (count == BATCH);
    return 0;
}

int entity_by_arn(struct arena *a, struct store *store, const char *arn, const struct entity_kind **ret_kind,
                  struct doc **ret, struct err *err)
{
    static const char prefix[] = "arn:aws:iam::";
    const struct entity_kind *const kinds[] = { &iam_role, &iam_user };
    const char *slash = strrchr(arn, '/');

    for (size_t i = 0; slash && text_starts(arn, prefix) && i < sizeof kinds / sizeof *kinds; i++) {
        const char *account = arn + strlen(prefix), *type = strchr(account, ':');
        struct doc *record;

        if (!type || !text_starts(type + 1, kinds[i]->arn_type) || type[1 + strlen(kinds[i]->arn_type)] != '/')
            continue;
        if (entity_load(a, store, kinds[i], arena_strndup(a, account, (size_t)(type - account)), slash + 1, &record,
                        err) < 0)
            return -1;
        /* The path belongs to the name here. */
        if (strcmp(doc_text(record, "Arn"), arn) != 0)
            break;
        *ret_kind = kinds[i];
        *ret = record;
        return 0;
    }
    return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "%s cannot be found.", arn);
}

/* A user's own name, from arn:aws:iam::A:user/path/NAME; "" for others. */
static const char *caller_name(const struct call *c)
{
    const char *slash = strrchr(c->principal->arn, '/');

    return strstr(c->principal->arn, ":user/") && slash ? slash + 1 : "";
}

int entity_of_call(struct call *c, struct doc **ret, struct err *err)
{
    const struct entity_kind *kind = entity_kind_of(c);
    const char *name = doc_text(c->input, kind->name_member);

    if (!*name)
        name = caller_name(c);
    if (!*name)
        return fail_code(err, ERR_INVALID, "ValidationError",
                         "Must specify userName when calling with non-User credentials");
    return entity_load(c->arena, iam_store(c), kind, c->principal->account, name, ret, err);
}

char *iam_id(struct arena *a, struct rand *rand, const char *prefix)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    char *id = arena_printf(a, "%s%017d", prefix, 0);

    for (char *p = id + strlen(prefix); *p; p++)
        *p = letters[rand_below(rand, sizeof letters - 1)];
    return id;
}

struct doc *entity_record(struct arena *a, struct rand *rand, const struct entity_kind *kind, const char *account,
                          const char *path, const char *name, int64_t now_ms)
{
    struct doc *record = doc_map(a);

    doc_set_string(a, record, "Path", path);
    doc_set_string(a, record, kind->name_member, name);
    doc_set_string(a, record, kind->id_member, iam_id(a, rand, kind->id_prefix));
    doc_set_string(a, record, "Arn", arena_printf(a, "arn:aws:iam::%s:%s%s%s", account, kind->arn_type, path, name));
    doc_set_integer(a, record, "CreateDate", now_ms / 1000 * 1000); /* IAM's dates are whole seconds */
    return record;
}

/* Members that would matter and do nothing here. */
int iam_refuse_members(struct call *c, const char *const *members, struct err *err)
{
    for (; *members; members++)
        if (doc_has(c->input, *members))
            return fail_code(
                err, ERR_INVALID, "InvalidInput",
                "%s is not honoured here, and ignoring it would be unsafe. Leave it out.",
                *members);
    return 0;
}

static void set_tags(struct call *c, struct doc *record, const struct doc *added)
{
    const struct doc *old = doc_get(record, "Tags");
    struct doc *tags = doc_list(c->arena);

    for (uint32_t i = 0; old && i < old->count; i++) {
        bool replaced = false;

        for (uint32_t k = 0; added && k < added->count; k++)
            replaced |= strcasecmp(doc_text(old->items[i], "Key"), doc_text(added->items[k], "Key")) == 0;
        if (!replaced)
            doc_append(c->arena, tags, old->items[i]);
    }
    for (uint32_t k = 0; added && k < added->count; k++)
        doc_append(c->arena, tags, added->items[k]);
    doc_set(c->arena, record, "Tags", tags->count ? tags : NULL);
}

int entity_new(struct call *c, const struct entity_kind *kind, struct doc **ret, struct err *err)
{
    const char *name = doc_text(c->input, kind->name_member), *path = doc_text_or(c->input, "Path", "/");
    struct doc *record, *old;

    if (entity_load(c->arena, iam_store(c), kind, c->principal->account, name, &old, err) == 0)
        return fail_code(err, ERR_CONFLICT, "EntityAlreadyExists", "%s with name %s already exists.", kind->noun, name);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *err = (struct err){ 0 };
    record =
        entity_record(c->arena, engine_world_of(c->engine)->rand, kind, c->principal->account, path, name, c->now_ms);
    set_tags(c, record, doc_get(c->input, "Tags"));
    *ret = record;
    return 0;
}

const char *iam_document_shown(struct arena *a, const char *text)
{
    _cleanup_buf_ struct buf b = { 0 };

    uri_encode(&b, str_of(text), false);
    return arena_strndup(a, b.data ? b.data : "", b.size);
}

struct doc *entity_view(struct arena *a, const struct entity_kind *kind, const struct doc *record, bool tags)
{
    const char *const members[] = { "Path", kind->name_member, kind->id_member, "Arn", "CreateDate", "Description",
                                    "MaxSessionDuration", tags ? "Tags" : "Path" };
    struct doc *view = doc_map(a);

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_get(record, members[i]))
            doc_set(a, view, members[i], (struct doc *)doc_get(record, members[i]));
    if (kind == &iam_role)
        doc_set_string(a, view, "AssumeRolePolicyDocument", iam_document_shown(a, doc_text(record, "trust")));
    return view;
}

/* --- Pages --- */

struct item {
    const char *name;
    struct doc *value;
};

static int compare_items(const void *a, const void *b)
{
    return strcasecmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

void iam_page(struct call *c, const char *member, struct doc *list, const char *name)
{
    const char *marker = doc_text(c->input, "Marker");
    int64_t limit = doc_int(c->input, "MaxItems", PAGE_DEFAULT);
    struct item *items = arena_array_of(c->arena, struct item, (size_t)list->count + 1);
    struct doc *page = doc_list(c->arena);
    uint32_t i = 0;

    for (uint32_t k = 0; k < list->count; k++)
        items[k] =
            (struct item) { name ? doc_text(list->items[k], name) : doc_value_text(list->items[k]), list->items[k] };
    qsort(items, list->count, sizeof *items, compare_items);
    /* A Marker is the name that the page before ended with; what it named may be gone since. */
    while (*marker && i < list->count && strcasecmp(items[i].name, marker) <= 0)
        i++;
    for (; i < list->count && page->count < limit; i++)
        doc_append(c->arena, page, items[i].value);
    doc_set(c->arena, c->output, member, page);
    doc_set_boolean(c->arena, c->output, "IsTruncated", i < list->count);
    if (i < list->count && i > 0)
        doc_set_string(c->arena, c->output, "Marker", items[i - 1].name);
}

struct listing {
    struct call *call;
    const struct entity_kind *kind;
    const char *path_prefix;
    struct doc *items;
};

static bool list_one(void *data, struct doc *record)
{
    struct listing *l = data;

    if (text_starts(doc_text(record, "Path"), l->path_prefix))
        doc_append(l->call->arena, l->items, entity_view(l->call->arena, l->kind, record, false));
    return true;
}

int entity_list(struct call *c, struct err *err)
{
    struct listing l = { c, entity_kind_of(c), doc_text(c->input, "PathPrefix"), doc_list(c->arena) };

    if (entity_each(c->arena, iam_store(c), l.kind, c->principal->account, list_one, &l, err) < 0)
        return -1;
    iam_page(c, l.kind == &iam_role ? "Roles" : "Users", l.items, l.kind->name_member);
    return 0;
}

/* --- Tags --- */

int entity_tag(struct call *c, struct err *err)
{
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    set_tags(c, record, doc_get(c->input, "Tags"));
    if (doc_count(record, "Tags") > TAGS_MAX)
        return fail_code(err, ERR_LIMIT, "LimitExceeded",
                         "The number of tags has reached the maximum limit of %d per resource.", TAGS_MAX);
    return entity_save(c->arena, iam_store(c), entity_kind_of(c), c->principal->account, record, err);
}

int entity_untag(struct call *c, struct err *err)
{
    const struct doc *keys = doc_get(c->input, "TagKeys"), *old;
    struct doc *record, *tags = doc_list(c->arena);

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    old = doc_get(record, "Tags");
    for (uint32_t i = 0; old && i < old->count; i++) {
        bool gone = false;

        for (uint32_t k = 0; keys && k < keys->count; k++)
            gone |= strcasecmp(doc_text(old->items[i], "Key"), doc_value_text(keys->items[k])) == 0;
        if (!gone)
            doc_append(c->arena, tags, old->items[i]);
    }
    doc_set(c->arena, record, "Tags", tags->count ? tags : NULL);
    return entity_save(c->arena, iam_store(c), entity_kind_of(c), c->principal->account, record, err);
}

int entity_list_tags(struct call *c, struct err *err)
{
    struct doc *record;
    const struct doc *tags;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    tags = doc_get(record, "Tags");
    iam_page(c, "Tags", tags ? (struct doc *)tags : doc_list(c->arena), "Key");
    return 0;
}

/* --- Its end --- */

int entity_remove(struct call *c, struct err *err)
{
    static const struct {
        const char *member, *text;
    } holds[] = {
        { "attached", "Cannot delete entity, must detach all policies first." },
        { "inline", "Cannot delete entity, must delete policies first." },
        { "keys", "Cannot delete entity, must delete access keys first." },
    };
    const struct entity_kind *kind = entity_kind_of(c);
    struct doc *record;

    if (entity_of_call(c, &record, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++)
        if (doc_has(record, holds[i].member) && doc_get(record, holds[i].member)->count)
            return fail_code(err, ERR_CONFLICT, "DeleteConflict", "%s", holds[i].text);
    return entity_delete(c->arena, iam_store(c), kind, c->principal->account, doc_text(record, kind->name_member), err);
}
