/* verbs.c - Create, Describe, List, Update, Stop and Delete for every kind, driven by the model's tables.
 *
 * What an answer holds is what its output shape has members for: the name, the ARN, the times and the state of the row,
 * then the status, then the spec. Filters and orders of a List are found by the names of its input's members. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "doc/json.h"
#include "engine/impl.h"
#include "engine/tags.h"
#include "sign/digest.h"
#include "store/store.h"

enum {
    PAGE = 10,         /* MaxResults when the request has none, for the lists of SageMaker */
    PAGES_A_CALL = 50, /* of rows that a kind's own filter does not pass, before the answer is given with a NextToken */
    TOKENS_SWEPT = 8,  /* old idempotency tokens removed with each new one */
};

static const int64_t token_life_ms = 24 * 3600 * 1000;

/* --- Answers --- */

static const struct doc *time_of(struct arena *a, const struct row *r, const char *member)
{
    static const struct {
        const char *member;
        bool modified;
    } times[] = {
        { "CreationTime", false }, { "CreatedAt", false }, { "CreatedTime", false },
        { "LastModifiedTime", true }, { "LastModifiedAt", true }, { "LastModified", true },
    };

    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (strcmp(times[i].member, member) == 0)
            return doc_integer(a, times[i].modified ? r->modified_ms : r->created_ms);
    return NULL;
}

/* Where the value of that member goes; a place that nobody reads for what the shape does not have. */
static const struct doc **place_of(const struct shape *shape, const struct doc **values, const char *name)
{
    const struct member *m = name ? model_member(shape, str_of(name)) : NULL;

    return &values[m ? m - shape->members : shape->member_count];
}

static void take_members(const struct shape *shape, const struct doc **values, const struct doc *map)
{
    for (uint32_t i = 0; map && i < map->count; i++)
        if (map->members[i].value->type != DOC_NULL)
            *place_of(shape, values, map->members[i].key) = map->members[i].value;
}

/* What the function of the kind has set stays. Values are shared with the row, which is read for this answer alone. */
static void fill(struct arena *a, struct doc *output, const struct shape *shape, const struct resource *r)
{
    const struct doc **values = arena_array_of(a, const struct doc *, shape->member_count + 1u), *time;
    uint32_t set = output->count;

    take_members(shape, values, r->row.spec);
    for (int i = 0; i < shape->member_count; i++)
        if (shape->members[i].shape->type == SHAPE_TIMESTAMP &&
            (time = time_of(a, &r->row, shape->members[i].name)) != NULL)
            values[i] = time;
    take_members(shape, values, r->status);
    *place_of(shape, values, r->kind->name_member) = doc_string(a, r->row.name);
    *place_of(shape, values, r->kind->arn_member) = doc_string(a, r->row.arn);
    *place_of(shape, values, r->kind->state_member) = doc_string(a, r->row.state);
    for (int i = 0; i < shape->member_count; i++)
        if (values[i] && (set == 0 || !doc_get(output, shape->members[i].name)))
            doc_append_member(a, output, shape->members[i].name, (struct doc *)values[i]);
}

/* --- Create --- */

static const struct member *token_member(const struct operation *o)
{
    for (int i = 0; i < o->input->member_count; i++)
        if (o->input->members[i].flags & MEMBER_IDEMPOTENCY_TOKEN)
            return &o->input->members[i];
    return NULL;
}

static const char token_table[] = "core_tokens", token_times[] = "core_tokens_by_time";

static struct str token_key(struct call *c)
{
    const struct member *m = token_member(c->operation);

    if (!m || !doc_has(c->input, m->name))
        return (struct str){ 0 };
    return str_of(arena_printf(c->arena, "%s\n%s\n%s\n%s", c->principal->account, c->region, c->operation->name,
                               doc_text(c->input, m->name)));
}

static const char *input_sum(struct call *c)
{
    const char *text = json_text(c->arena, c->input);
    char *hex = arena_alloc(c->arena, 2 * SHA256_SIZE + 1);

    sha256_hex(hex, text, strlen(text));
    return hex;
}

/* The same token with the same input is the same request: *ret_found, with its answer in the output. */
static int token_replay(struct call *c, struct str key, bool *ret_found, struct err *err)
{
    struct store *store = c->engine->world.store;
    struct doc *saved;
    struct str value;

    *ret_found = false;
    if (!key.size)
        return 0;
    if (store_get(c->arena, store, token_table, key, &value, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (json_parse(c->arena, value, &saved, err) < 0)
        return fail(err, ERR_INTERNAL, "an idempotency token cannot be read: %s", err->text);
    if (doc_int(saved, "at_ms", 0) < c->now_ms - token_life_ms)
        return 0;
    if (!doc_is(saved, "input", input_sum(c)))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "The %s of this request was used before, with other parameters.",
                         token_member(c->operation)->name);
    doc_merge(c->arena, c->output, doc_get(saved, "output"));
    *ret_found = true;
    return 0;
}

static int token_save(struct call *c, struct str key, struct err *err)
{
    struct store *store = c->engine->world.store;
    struct doc *saved = doc_map(c->arena);
    struct buf by_time = { 0 };
    char time[8], old[8];
    struct pair *pairs;
    int count, result;

    if (!key.size)
        return 0;
    doc_set_integer(c->arena, saved, "at_ms", c->now_ms);
    doc_set_string(c->arena, saved, "input", input_sum(c));
    doc_set(c->arena, saved, "output", c->output);
    store_key_int64(time, c->now_ms);
    buf_append(&by_time, time, sizeof time);
    buf_append(&by_time, key.data, key.size);
    result = store_put(store, token_table, key, str_of(json_text(c->arena, saved)), err) < 0 ||
             store_put(store, token_times, (struct str){ by_time.data, by_time.size }, STR(""), err) < 0 ? -1 : 0;
    buf_free(&by_time);
    if (result < 0)
        return -1;
    store_key_int64(old, c->now_ms - token_life_ms);
    if (store_scan(c->arena, store, token_times, &(struct range){ .to = { old, sizeof old }, .limit = TOKENS_SWEPT },
                   &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (store_remove(store, token_table, (struct str){ pairs[i].key.data + 8, pairs[i].key.size - 8 }, err) < 0 ||
            store_remove(store, token_times, pairs[i].key, err) < 0)
            return -1;
    return 0;
}

static int refuse_second(struct call *c, const struct kind *k, const char *arn, struct err *err)
{
    static const char usual[] = "%c%s names must be unique within an AWS account and region, and a %s with this name "
                                "already exists (%s)";
    const char *noun;
    char text[2048];

    if (k->exists_text) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, k->exists_text, arn);
#pragma GCC diagnostic pop
    } else {
        char *words = arena_strdup(c->arena, k->arn_type);

        for (char *at = words; *at; at++)
            if (*at == '-')
                *at = ' ';
        noun = words;
        snprintf(text, sizeof text, usual, noun[0] >= 'a' && noun[0] <= 'z' ? noun[0] - 'a' + 'A' : noun[0], noun + 1,
                 noun, arn);
    }
    /* Jobs are "in use"; what can be looked at and updated afterwards "exists". */
    fail_code(err, ERR_CONFLICT,
              text_starts(text, "Cannot create already existing") ? "ValidationException" : "ResourceInUse", "%s",
              text);
    err->http_status = 400;
    return -1;
}

/* The tags have a place of their own, and a token says nothing about the resource. */
static struct doc *spec_of(struct call *c)
{
    const struct member *token = token_member(c->operation);
    struct doc *spec = without_nulls(c->arena, c->input);

    doc_set(c->arena, spec, "Tags", NULL);
    if (token)
        doc_set(c->arena, spec, token->name, NULL);
    return spec;
}

static struct resource begin(struct call *c, const struct kind *k)
{
    const char *name = doc_text(c->input, k->name_member);
    char *uid = arena_alloc(c->arena, 27);
    struct resource r = { .kind = k, .status = doc_map(c->arena), .want = doc_map(c->arena) };

    rand_name(c->engine->world.rand, uid, 26);
    r.row = (struct row){
        .uid = uid,
        .account = c->principal->account,
        .region = c->region,
        .kind = k->name,
        .name = name,
        .arn = resource_arn(c->arena, k, c->region, c->principal->account, name),
        .parent_uid = "",
        .created_ms = c->now_ms,
        .modified_ms = c->now_ms,
        .state = k->states ? k->states[0][0] : "",
        .next_at_ms = k->reconcile ? c->now_ms : INT64_MAX,
        .spec = spec_of(c),
    };
    return r;
}

static int create(struct call *c, const struct kind *k, struct err *err)
{
    struct store *store = c->engine->world.store;
    struct resource r = begin(c, k);
    struct str token = token_key(c);
    struct row other;
    bool done;

    assert(*r.row.name); /* a required member: validation has seen it */
    if (token_replay(c, token, &done, err) < 0 || done)
        return done ? 0 : -1;
    if (store_row_by_arn(c->arena, store, r.row.arn, &other, err) == 0)
        return refuse_second(c, k, other.arn, err);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    if (k->create && k->create(c, &r, err) < 0)
        return -1;
    r.row.status = r.status;
    r.row.want = r.want;
    if (k->state_member)
        doc_set_string(c->arena, r.status, k->state_member, r.row.state);
    if (tags_set(c->engine, r.row.uid, r.row.arn, doc_get(c->input, "Tags"), err) < 0 ||
        resource_insert(c->arena, c->engine, &r.row, err) < 0)
        return -1;
    fill(c->arena, c->output, c->operation->output, &r);
    return token_save(c, token, err);
}

/* --- Describe, Update, Stop, Delete --- */

static int named(struct call *c, const struct kind *k, struct resource *ret, struct err *err)
{
    return resource_find(c, k, doc_text(c->input, k->name_member), ret, err);
}

static int describe(struct call *c, const struct kind *k, struct err *err)
{
    struct resource r;

    if (named(c, k, &r, err) < 0 || (k->describe && k->describe(c, &r, err) < 0))
        return -1;
    if (!c->varies) {
        c->answer_uid = r.row.uid;
        c->answer_revision = r.row.revision;
    }
    fill(c->arena, c->output, c->operation->output, &r);
    return 0;
}

static int change(struct call *c, const struct kind *k, int (*how)(struct call *, struct resource *, struct err *),
                  struct err *err)
{
    struct resource r;

    assert(how); /* an operation in the table is one that the kind can do */
    if (named(c, k, &r, err) < 0 || how(c, &r, err) < 0 || resource_save(c, &r, err) < 0)
        return -1;
    fill(c->arena, c->output, c->operation->output, &r);
    return 0;
}

static int delete(struct call *c, const struct kind *k, struct err *err)
{
    struct resource r;
    bool goes = true;

    if (named(c, k, &r, err) < 0 || (k->remove && k->remove(c, &r, &goes, err) < 0))
        return -1;
    fill(c->arena, c->output, c->operation->output, &r);
    return goes ? resource_remove(c->engine, &r.row, err) : resource_save(c, &r, err);
}

/* --- List --- */

static const struct {
    const char *member;
    enum { CREATED_AFTER, CREATED_BEFORE, MODIFIED_AFTER, MODIFIED_BEFORE } bound;
} time_filters[] = {
    { "CreationTimeAfter", CREATED_AFTER },      { "CreatedAfter", CREATED_AFTER },
    { "CreationTimeBefore", CREATED_BEFORE },    { "CreatedBefore", CREATED_BEFORE },
    { "LastModifiedTimeAfter", MODIFIED_AFTER }, { "ModifiedTimeAfter", MODIFIED_AFTER },
    { "LastModifiedTimeBefore", MODIFIED_BEFORE }, { "ModifiedTimeBefore", MODIFIED_BEFORE },
};

static void take_times(struct call *c, struct row_filter *f)
{
    for (size_t i = 0; i < sizeof time_filters / sizeof *time_filters; i++) {
        int64_t at_ms = doc_int(c->input, time_filters[i].member, 0);

        if (!doc_has(c->input, time_filters[i].member))
            continue;
        if (at_ms == 0)
            at_ms = 1; /* 0 is "no bound" for the store, and 1970 for the request */
        switch (time_filters[i].bound) {
        case CREATED_AFTER:
            f->created_after_ms = at_ms;
            break;
        case CREATED_BEFORE:
            f->created_before_ms = at_ms;
            break;
        case MODIFIED_AFTER:
            f->modified_after_ms = at_ms;
            break;
        case MODIFIED_BEFORE:
            f->modified_before_ms = at_ms;
            break;
        }
    }
}

/* What the API reference says of each list without SortBy and SortOrder: by time of creation, the newest first, but: */
static const struct {
    const char *operation;
    enum row_order order;
    bool descending;
} usual_orders[] = {
    { "ListAlgorithms", ROWS_BY_CREATED, false },
    { "ListApps", ROWS_BY_CREATED, false },
    { "ListAutoMLJobs", ROWS_BY_NAME, true },
    { "ListClusters", ROWS_BY_CREATED, false },
    { "ListCodeRepositories", ROWS_BY_NAME, false },
    { "ListCompilationJobs", ROWS_BY_CREATED, false },
    { "ListHyperParameterTuningJobs", ROWS_BY_NAME, false },
    { "ListLabelingJobs", ROWS_BY_CREATED, false },
    { "ListLineageGroups", ROWS_BY_CREATED, false },
    { "ListModelPackageGroups", ROWS_BY_CREATED, false },
    { "ListModelPackages", ROWS_BY_CREATED, false },
    { "ListOptimizationJobs", ROWS_BY_CREATED, false },
    { "ListProcessingJobs", ROWS_BY_CREATED, false },
    { "ListProjects", ROWS_BY_CREATED, false },
    { "ListSpaces", ROWS_BY_CREATED, false },
    { "ListTrainingJobs", ROWS_BY_CREATED, false },
    { "ListUserProfiles", ROWS_BY_CREATED, false },
    { "ListWorkteams", ROWS_BY_CREATED, false },
};

static void take_order(struct call *c, struct row_filter *f)
{
    const char *by = doc_text(c->input, "SortBy"), *direction = doc_text(c->input, "SortOrder");

    f->order = ROWS_BY_CREATED;
    f->descending = true;
    for (size_t i = 0; i < sizeof usual_orders / sizeof *usual_orders; i++)
        if (strcmp(usual_orders[i].operation, c->operation->name) == 0) {
            f->order = usual_orders[i].order;
            f->descending = usual_orders[i].descending;
        }
    /* CREATION_TIME, CreationTime, CreatedTime; LAST_MODIFIED_TIME, LastModifiedTime; Status; Name, TrainingJobName */
    if (strcasestr(by, "modified"))
        f->order = ROWS_BY_MODIFIED;
    else if (strcasestr(by, "creat"))
        f->order = ROWS_BY_CREATED;
    else if (strcasestr(by, "status"))
        f->order = ROWS_BY_STATE;
    else if (strcasestr(by, "name"))
        f->order = ROWS_BY_NAME;
    if (*direction)
        f->descending = strcasecmp(direction, "Descending") == 0;
}

static const struct member *list_member(const struct shape *output)
{
    for (int i = 0; i < output->member_count; i++)
        if (output->members[i].shape->type == SHAPE_LIST)
            return &output->members[i];
    return NULL;
}

static void append_summary(struct call *c, struct doc *list, const struct shape *item, const struct resource *r)
{
    struct doc *summary;

    if (item->type != SHAPE_STRUCTURE) {
        doc_append(c->arena, list, doc_string(c->arena, r->row.name));
        return;
    }
    summary = doc_map(c->arena);
    fill(c->arena, summary, item, r);
    doc_append(c->arena, list, summary);
}

static const char *text_or_null(const struct doc *d, const char *member)
{
    return doc_has(d, member) ? doc_text(d, member) : NULL;
}

static int list(struct call *c, const struct kind *k, struct err *err)
{
    const struct member *member = list_member(c->operation->output);
    const struct shape *item = model_item(member->shape)->shape;
    int64_t wanted = doc_int(c->input, "MaxResults", PAGE);
    struct doc *summaries = doc_list(c->arena);
    struct row_filter f = {
        .account = c->principal->account,
        .region = c->region,
        .kind = k->name,
        .state = text_or_null(c->input, "StatusEquals"),
        .name_contains = text_or_null(c->input, "NameContains"),
        .after = text_or_null(c->input, "NextToken"),
    };

    take_times(c, &f);
    take_order(c, &f);
    for (int page = 0; page < PAGES_A_CALL && summaries->count < wanted; page++) {
        struct row *rows;
        int count;

        /* Never more than are still wanted: the token says where the last row of the answer was. */
        f.limit = (int)(wanted - summaries->count);
        if (store_row_list(c->arena, c->engine->world.store, &f, &rows, &count, &f.after, err) < 0) {
            if (err->kind == ERR_INVALID)
                snprintf(err->code, sizeof err->code, "ValidationException");
            return -1;
        }
        for (int i = 0; i < count; i++) {
            struct resource r = resource_of(k, &rows[i]);

            if (!k->listed || k->listed(c, &r))
                append_summary(c, summaries, item, &r);
        }
        if (!f.after)
            break;
    }
    doc_set(c->arena, c->output, member->name, summaries);
    doc_set_string(c->arena, c->output, "NextToken", f.after);
    return 0;
}

int verb_run(struct call *c, const struct op *op, struct err *err)
{
    switch (op->verb) {
    case OP_RUN:
        return op->run(c, err);
    case OP_CREATE:
        return create(c, op->kind, err);
    case OP_DESCRIBE:
        return describe(c, op->kind, err);
    case OP_LIST:
        return list(c, op->kind, err);
    case OP_UPDATE:
        return change(c, op->kind, op->kind->update, err);
    case OP_STOP:
        return change(c, op->kind, op->kind->stop, err);
    case OP_DELETE:
        return delete(c, op->kind, err);
    }
    assert(!"no such verb");
}
