/* policy.c - Policy: a document with a name of its own, in up to five versions, attached to users and roles.
 *
 * The table "iam_policies" has one record under "ACCOUNT/name in lower case": what GetPolicy shows, and beside it
 *     versions  [{"VersionId","CreateDate","text"}], the oldest first
 *     next      the number of the next version; numbers are not used again */
#include "services/iam/ops.h"

#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/iam/entity.h"
#include "store/store.h"

enum { DOCUMENT_MAX_BYTES = 6144, VERSIONS_MAX = 5, BATCH = 200 };

#define TABLE       "iam_policies"
#define AWS_PREFIX  "arn:aws:iam::aws:policy"
#define AWS_VERSION "v1"

static int missing(const char *arn, struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "Policy %s was not found.", arn);
}

/* --- AWS's own --- */

static const struct managed *aws_policy(const char *arn)
{
    if (!text_starts(arn, AWS_PREFIX "/"))
        return NULL;
    for (const struct managed *m = managed_policies; m->name; m++) {
        size_t path = strlen(m->path);
        const char *rest = arn + strlen(AWS_PREFIX);

        if (strncmp(rest, m->path, path) == 0 && strcmp(rest + path, m->name) == 0)
            return m;
    }
    return NULL;
}

/* A record as those of the account have. */
static struct doc *aws_record(struct arena *a, const struct managed *m)
{
    struct doc *record = doc_map(a), *versions = doc_list(a), *version = doc_map(a);
    char id[22] = "ANPA";
    uint64_t hash = 14695981039346656037u;

    /* The id has to be the same each time. */
    for (const char *p = m->name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (int i = 4; i < 21; i++, hash = hash * 6364136223846793005u + 1)
        id[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[hash >> 59];
    doc_set_string(a, record, "PolicyName", m->name);
    doc_set_string(a, record, "PolicyId", id);
    doc_set_string(a, record, "Arn", arena_printf(a, AWS_PREFIX "%s%s", m->path, m->name));
    doc_set_string(a, record, "Path", m->path);
    doc_set_string(a, record, "DefaultVersionId", AWS_VERSION);
    doc_set_string(a, record, "Description", m->description);
    doc_set_integer(a, record, "CreateDate", 1423177177000); /* 2015-02-05, when AWS made most of its own */
    doc_set_integer(a, record, "UpdateDate", 1423177177000);
    doc_set_string(a, version, "VersionId", AWS_VERSION);
    doc_set_integer(a, version, "CreateDate", 1423177177000);
    doc_set_string(a, version, "text", m->document);
    doc_append(a, versions, version);
    doc_set(a, record, "versions", versions);
    return record;
}

/* --- Records --- */

static struct str key_of(struct arena *a, const char *account, const char *name)
{
    char *key = arena_printf(a, "%s/%s", account, name);

    for (char *p = key; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return str_of(key);
}

static int load(struct arena *a, struct store *store, const char *arn, struct doc **ret, struct err *err)
{
    static const char prefix[] = "arn:aws:iam::";
    const struct managed *m = aws_policy(arn);
    const char *account = arn + strlen(prefix), *slash = strrchr(arn, '/'), *type;
    struct str text;
    struct doc *record;

    if (m) {
        *ret = aws_record(a, m);
        return 0;
    }
    if (!text_starts(arn, prefix) || !slash || !(type = strchr(account, ':')) || !text_starts(type, ":policy/"))
        return missing(arn, err);
    if (store_get(a, store, TABLE, key_of(a, arena_strndup(a, account, (size_t)(type - account)), slash + 1), &text,
                  err) < 0)
        return err->kind == ERR_NOT_FOUND ? missing(arn, err) : -1;
    if (json_parse(a, text, &record, err) < 0)
        return -1;
    if (!doc_is(record, "Arn", arn))
        return missing(arn, err);
    *ret = record;
    return 0;
}

static int save(struct call *c, const struct doc *record, struct err *err)
{
    identity_changed();
    return store_put(iam_store(c), TABLE, key_of(c->arena, c->principal->account, doc_text(record, "PolicyName")),
                     str_of(json_text(c->arena, record)), err);
}

/* For a change: AWS's own cannot be changed. */
static int load_own(struct call *c, struct doc **ret, struct err *err)
{
    const char *arn = doc_text(c->input, "PolicyArn");

    if (aws_policy(arn))
        return fail_code(err, ERR_INVALID, "InvalidInput",
                         "ARN %s is not valid for this operation: it is managed by AWS.", arn);
    return load(c->arena, iam_store(c), arn, ret, err);
}

static struct doc *find_version(const struct doc *record, const char *id)
{
    const struct doc *versions = doc_get(record, "versions");

    for (uint32_t i = 0; versions && i < versions->count; i++)
        if (doc_is(versions->items[i], "VersionId", id))
            return versions->items[i];
    return NULL;
}

int managed_document(struct arena *a, struct store *store, const char *arn, const char **ret_text, struct err *err)
{
    const struct managed *m = aws_policy(arn);
    struct doc *record;

    if (m) {
        *ret_text = m->document;
        return 0;
    }
    if (load(a, store, arn, &record, err) < 0)
        return -1;
    *ret_text = doc_text(find_version(record, doc_text(record, "DefaultVersionId")), "text");
    return 0;
}

/* --- How many users and roles each policy is attached to --- */

struct counting {
    struct arena *arena;
    struct doc *counts; /* ARN -> integer */
};

static bool count_one(void *data, struct doc *record)
{
    struct counting *n = data;
    const struct doc *attached = doc_get(record, "attached");

    for (uint32_t i = 0; attached && i < attached->count; i++) {
        const char *arn = doc_value_text(attached->items[i]);
        const struct doc *before = doc_get(n->counts, arn);

        doc_set_integer(n->arena, n->counts, arn, (before ? before->integer : 0) + 1);
    }
    return true;
}

static int count_attachments(struct call *c, struct doc **ret, struct err *err)
{
    struct counting n = { c->arena, doc_map(c->arena) };

    if (entity_each(c->arena, iam_store(c), &iam_user, c->principal->account, count_one, &n, err) < 0 ||
        entity_each(c->arena, iam_store(c), &iam_role, c->principal->account, count_one, &n, err) < 0)
        return -1;
    *ret = n.counts;
    return 0;
}

static struct doc *view(struct call *c, const struct doc *record, const struct doc *counts, bool details)
{
    static const char *const members[] = { "PolicyName",       "PolicyId",   "Arn",       "Path",
                                           "DefaultVersionId", "CreateDate", "UpdateDate" };
    const struct doc *count = doc_get(counts, doc_text(record, "Arn"));
    struct doc *v = doc_map(c->arena);

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        doc_set(c->arena, v, members[i], (struct doc *)doc_get(record, members[i]));
    doc_set_integer(c->arena, v, "AttachmentCount", count ? count->integer : 0);
    doc_set_integer(c->arena, v, "PermissionsBoundaryUsageCount", 0);
    doc_set_boolean(c->arena, v, "IsAttachable", true);
    if (details && doc_has(record, "Description"))
        doc_set_string(c->arena, v, "Description", doc_text(record, "Description"));
    if (details && doc_has(record, "Tags"))
        doc_set(c->arena, v, "Tags", (struct doc *)doc_get(record, "Tags"));
    return v;
}

/* --- Operations --- */

static struct doc *new_version(struct call *c, struct doc *record, const char *text)
{
    struct doc *version = doc_map(c->arena), *versions = doc_list(c->arena);
    const struct doc *old = doc_get(record, "versions");
    int64_t number = doc_int(record, "next", 1);

    for (uint32_t i = 0; old && i < old->count; i++)
        doc_append(c->arena, versions, old->items[i]);
    doc_set_string(c->arena, version, "VersionId", arena_printf(c->arena, "v%lld", (long long)number));
    doc_set_integer(c->arena, version, "CreateDate", c->now_ms / 1000 * 1000);
    doc_set_string(c->arena, version, "text", text);
    doc_append(c->arena, versions, version);
    doc_set(c->arena, record, "versions", versions);
    doc_set_integer(c->arena, record, "next", number + 1);
    return version;
}

int policy_create(struct call *c, struct err *err)
{
    const char *name = doc_text(c->input, "PolicyName"), *path = doc_text_or(c->input, "Path", "/");
    const char *text = doc_text(c->input, "PolicyDocument");
    struct doc *record = doc_map(c->arena);
    struct str old;

    if (iam_check_document(c, text, false, DOCUMENT_MAX_BYTES, err) < 0)
        return -1;
    if (store_get(c->arena, iam_store(c), TABLE, key_of(c->arena, c->principal->account, name), &old, err) == 0)
        return fail_code(err, ERR_CONFLICT, "EntityAlreadyExists",
                         "A policy called %s already exists. Duplicate names are not allowed.", name);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *err = (struct err){ 0 };
    doc_set_string(c->arena, record, "PolicyName", name);
    doc_set_string(c->arena, record, "PolicyId", iam_id(c->arena, engine_world_of(c->engine)->rand, "ANPA"));
    doc_set_string(c->arena, record, "Arn",
                   arena_printf(c->arena, "arn:aws:iam::%s:policy%s%s", c->principal->account, path, name));
    doc_set_string(c->arena, record, "Path", path);
    if (doc_has(c->input, "Description"))
        doc_set_string(c->arena, record, "Description", doc_text(c->input, "Description"));
    if (doc_count(c->input, "Tags"))
        doc_set(c->arena, record, "Tags", (struct doc *)doc_get(c->input, "Tags"));
    doc_set_integer(c->arena, record, "CreateDate", c->now_ms / 1000 * 1000);
    doc_set_integer(c->arena, record, "UpdateDate", c->now_ms / 1000 * 1000);
    doc_set_string(c->arena, record, "DefaultVersionId", doc_text(new_version(c, record, text), "VersionId"));
    if (save(c, record, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "Policy", view(c, record, NULL, true));
    return 0;
}

int policy_get(struct call *c, struct err *err)
{
    struct doc *record, *counts;

    if (load(c->arena, iam_store(c), doc_text(c->input, "PolicyArn"), &record, err) < 0 ||
        count_attachments(c, &counts, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "Policy", view(c, record, counts, true));
    return 0;
}

static void list_one(struct call *c, struct doc *list, const struct doc *record, const struct doc *counts)
{
    if (!text_starts(doc_text(record, "Path"), doc_text(c->input, "PathPrefix")))
        return;
    if (doc_bool(c->input, "OnlyAttached", false) && !doc_get(counts, doc_text(record, "Arn")))
        return;
    doc_append(c->arena, list, view(c, record, counts, false));
}

int policy_list(struct call *c, struct err *err)
{
    struct doc *list = doc_list(c->arena), *counts;
    struct str prefix = str_of(arena_printf(c->arena, "%s/", c->principal->account));
    struct range range = { .from = prefix, .to = store_after_prefix(c->arena, prefix), .limit = BATCH };
    struct pair *pairs;
    int count = 0;

    if (doc_is(c->input, "PolicyUsageFilter", "PermissionsBoundary")) {
        iam_page(c, "Policies", list, "Arn"); /* there are no boundaries */
        return 0;
    }
    if (count_attachments(c, &counts, err) < 0)
        return -1;
    for (const struct managed *m = managed_policies; m->name && !doc_is(c->input, "Scope", "Local"); m++)
        list_one(c, list, aws_record(c->arena, m), counts);
    do {
        if (doc_is(c->input, "Scope", "AWS"))
            break;
        if (store_scan(c->arena, iam_store(c), TABLE, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *record;

            if (json_parse(c->arena, pairs[i].value, &record, err) < 0)
                return -1;
            list_one(c, list, record, counts);
        }
        if (count)
            range.from = (struct str){ str_dup(c->arena, pairs[count - 1].key), pairs[count - 1].key.size + 1 };
    } while (count == BATCH);
    iam_page(c, "Policies", list, "Arn");
    return 0;
}

int policy_delete(struct call *c, struct err *err)
{
    struct doc *record, *counts;

    if (load_own(c, &record, err) < 0 || count_attachments(c, &counts, err) < 0)
        return -1;
    if (doc_get(counts, doc_text(record, "Arn")))
        return fail_code(err, ERR_CONFLICT, "DeleteConflict", "Cannot delete a policy attached to entities.");
    if (doc_count(record, "versions") > 1)
        return fail_code(
            err, ERR_CONFLICT, "DeleteConflict",
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy.");
    identity_changed();
    return store_remove(iam_store(c), TABLE, key_of(c->arena, c->principal->account, doc_text(record, "PolicyName")),
                        err);
}

struct entities {
    struct call *call;
    const struct entity_kind *kind;
    const char *arn, *path_prefix;
    struct doc *list;
};

static bool entity_one(void *data, struct doc *record)
{
    struct entities *e = data;
    const struct doc *attached = doc_get(record, "attached");
    struct doc *one;

    for (uint32_t i = 0; attached && i < attached->count; i++) {
        if (strcmp(doc_value_text(attached->items[i]), e->arn) != 0 ||
            !text_starts(doc_text(record, "Path"), e->path_prefix))
            continue;
        one = doc_map(e->call->arena);
        doc_set_string(e->call->arena, one, e->kind->name_member, doc_text(record, e->kind->name_member));
        doc_set_string(e->call->arena, one, e->kind->id_member, doc_text(record, e->kind->id_member));
        doc_append(e->call->arena, e->list, one);
    }
    return true;
}

int policy_list_entities(struct call *c, struct err *err)
{
    static const struct entity_kind *const kinds[] = { &iam_user, &iam_role };
    static const char *const members[] = { "PolicyUsers", "PolicyRoles" };
    const char *arn = doc_text(c->input, "PolicyArn"), *filter = doc_text(c->input, "EntityFilter");
    struct doc *record;

    if (load(c->arena, iam_store(c), arn, &record, err) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        struct entities e = { c, kinds[i], arn, doc_text(c->input, "PathPrefix"), doc_list(c->arena) };

        if ((!*filter || strcmp(filter, kinds[i]->noun) == 0) &&
            entity_each(c->arena, iam_store(c), kinds[i], c->principal->account, entity_one, &e, err) < 0)
            return -1;
        doc_set(c->arena, c->output, members[i], e.list);
    }
    doc_set(c->arena, c->output, "PolicyGroups", doc_list(c->arena));
    doc_set_boolean(c->arena, c->output, "IsTruncated", false); /* all at once */
    return 0;
}

/* --- Versions --- */

static struct doc *version_view(struct call *c, const struct doc *record, const struct doc *version, bool document)
{
    struct doc *v = doc_map(c->arena);

    if (document)
        doc_set_string(c->arena, v, "Document", iam_document_shown(c->arena, doc_text(version, "text")));
    doc_set_string(c->arena, v, "VersionId", doc_text(version, "VersionId"));
    doc_set_boolean(c->arena, v, "IsDefaultVersion",
                    doc_is(record, "DefaultVersionId", doc_text(version, "VersionId")));
    doc_set_integer(c->arena, v, "CreateDate", doc_int(version, "CreateDate", 0));
    return v;
}

static int no_version(struct call *c, struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "Policy %s version %s does not exist or is not attachable.",
                     doc_text(c->input, "PolicyArn"), doc_text(c->input, "VersionId"));
}

int policy_version_create(struct call *c, struct err *err)
{
    const char *text = doc_text(c->input, "PolicyDocument");
    struct doc *record, *version;

    if (load_own(c, &record, err) < 0 || iam_check_document(c, text, false, DOCUMENT_MAX_BYTES, err) < 0)
        return -1;
    if (doc_count(record, "versions") >= VERSIONS_MAX)
        return fail_code(
            err, ERR_LIMIT, "LimitExceeded",
            "A managed policy can have up to %d versions. Before you create a new version, you must delete an "
            "existing version.",
            VERSIONS_MAX);
    version = new_version(c, record, text);
    if (doc_bool(c->input, "SetAsDefault", false)) {
        doc_set_string(c->arena, record, "DefaultVersionId", doc_text(version, "VersionId"));
        doc_set_integer(c->arena, record, "UpdateDate", c->now_ms / 1000 * 1000);
    }
    if (save(c, record, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "PolicyVersion", version_view(c, record, version, false));
    return 0;
}

int policy_version_get(struct call *c, struct err *err)
{
    struct doc *record, *version;

    if (load(c->arena, iam_store(c), doc_text(c->input, "PolicyArn"), &record, err) < 0)
        return -1;
    version = find_version(record, doc_text(c->input, "VersionId"));
    if (!version)
        return no_version(c, err);
    doc_set(c->arena, c->output, "PolicyVersion", version_view(c, record, version, true));
    return 0;
}

int policy_version_list(struct call *c, struct err *err)
{
    struct doc *record, *list = doc_list(c->arena);
    const struct doc *versions;

    if (load(c->arena, iam_store(c), doc_text(c->input, "PolicyArn"), &record, err) < 0)
        return -1;
    versions = doc_get(record, "versions");
    for (uint32_t i = 0; versions && i < versions->count; i++)
        doc_append(c->arena, list, version_view(c, record, versions->items[i], false));
    iam_page(c, "Versions", list, "VersionId");
    return 0;
}

int policy_version_set_default(struct call *c, struct err *err)
{
    struct doc *record;

    if (load_own(c, &record, err) < 0)
        return -1;
    if (!find_version(record, doc_text(c->input, "VersionId")))
        return no_version(c, err);
    doc_set_string(c->arena, record, "DefaultVersionId", doc_text(c->input, "VersionId"));
    doc_set_integer(c->arena, record, "UpdateDate", c->now_ms / 1000 * 1000);
    return save(c, record, err);
}

int policy_version_delete(struct call *c, struct err *err)
{
    const char *id = doc_text(c->input, "VersionId");
    struct doc *record, *left = doc_list(c->arena);
    const struct doc *versions;

    if (load_own(c, &record, err) < 0)
        return -1;
    if (!find_version(record, id))
        return no_version(c, err);
    if (doc_is(record, "DefaultVersionId", id))
        return fail_code(err, ERR_CONFLICT, "DeleteConflict", "Cannot delete the default version of a policy.");
    versions = doc_get(record, "versions");
    for (uint32_t i = 0; i < versions->count; i++)
        if (!doc_is(versions->items[i], "VersionId", id))
            doc_append(c->arena, left, versions->items[i]);
    doc_set(c->arena, record, "versions", left);
    return save(c, record, err);
}
