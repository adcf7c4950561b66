/* engine.c - calls are run, rows are kept true.
 *
 * What must be looked at is on disk: each row has its next_at_ms, an API operation sets it to now. The list of touched
 * uids only makes it quicker, and a crash may forget it; after a restart every row that is on its way or waits is
 * looked at. A row whose pass fails comes again after a pause that doubles, by boot time; rows in trouble never keep
 * others waiting. */
#include "engine/engine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/policy.h"
#include "aws/validate.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/tags.h"
#include "store/store.h"

enum {
    PAUSE_MS = 1000,
    PAUSE_MAX_MS = 60 * 1000,
    EVENTS_KEPT = 20000,         /* for people who look; nobody in this process reads them later */
    HOUSEKEEPING_MS = 60 * 1000,
    ROWS_A_PAGE = 1000,
    WAITING_MAX = 1000000,
};

struct touch {
    struct list link;
    char uid[80]; /* a derived name may be longer than a uid */
};

struct trouble {
    int64_t retry_boot_ms, pause_ms;
    char text[256]; /* what was logged */
};

/* --- Beginning and end ------------------------------------------------------------------------------------------ */

static struct str key_of_operation(const struct operation *const *o)
{
    return (struct str){ (const char *)o, sizeof *o };
}

static int add_ops(struct engine *e, const struct service_ops *s, struct err *err)
{
    const struct service *service = model_service(s->service);

    if (!service)
        return fail(err, ERR_INTERNAL, "there is no model of the service %s", s->service);
    for (const struct op *op = s->ops; op->name; op++) {
        const struct operation *o = model_operation(service, str_of(op->name));

        if (!o)
            return fail(err, ERR_INTERNAL, "the model of %s has no operation %s", s->service, op->name);
        assert(op->verb == OP_RUN ? op->run != NULL : op->kind != NULL);
        map_set(e->ops, key_of_operation(&o), (void *)op);
    }
    return 0;
}

/* A state that only Deleting can follow waits for the API alone, and the API sets the row's time. */
static bool is_on_its_way(const char *const state[2])
{
    return *state[1] && strcmp(state[1], "Deleting") != 0;
}

static int touch_rows(struct engine *e, const struct kind *k, const char *state, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct row_filter f = { .kind = k->name, .state = state, .limit = ROWS_A_PAGE };
    const char *after = NULL;
    char *kept = NULL;

    do {
        struct row *rows;
        int count;

        f.after = kept;
        if (store_row_list(a, e->world.store, &f, &rows, &count, &after, err) < 0) {
            free(kept);
            return -1;
        }
        for (int i = 0; i < count; i++)
            engine_touch(e, rows[i].uid);
        free(kept);
        kept = after ? strdup(after) : NULL;
        arena_reset(a);
    } while (kept);
    return 0;
}

static int touch_what_was_on_its_way(struct engine *e, struct err *err)
{
    for (const struct kind *const *k = e->world.kinds; *k; k++) {
        if (!(*k)->reconcile)
            continue;
        if (!(*k)->states && touch_rows(e, *k, NULL, err) < 0)
            return -1;
        for (const char *const(*s)[2] = (*k)->states; s && (*s)[0]; s++)
            if (is_on_its_way(*s) && touch_rows(e, *k, (*s)[0], err) < 0)
                return -1;
    }
    return 0;
}

/* Times of rows are the wall's, which may have gone back: all that wait for one look again, and set it anew. */
static int touch_what_waits(struct engine *e, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char **uids;
    int count;

    if (store_row_due(a, e->world.store, INT64_MAX - 1, WAITING_MAX, &uids, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        engine_touch(e, uids[i]);
    return 0;
}

int engine_new(const struct engine_world *world, struct engine **ret, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);

    assert(e && "out of memory");
    e->world = *world;
    e->ops = map_new();
    e->kinds = map_new();
    e->touches = map_new();
    e->troubles = map_new();
    list_init(&e->touched);
    list_init(&e->visited);
    e->housekeeping_boot_ms = e->orphans_boot_ms = clock_boot_ms(world->clock);
    for (const struct kind *const *k = world->kinds; *k; k++)
        map_set(e->kinds, str_of((*k)->name), (void *)*k);
    for (const struct service_ops *const *s = world->services; *s; s++)
        if (add_ops(e, *s, err) < 0)
            goto failed;
    if (usage_begin(e, err) < 0 || touch_what_was_on_its_way(e, err) < 0 || touch_what_waits(e, err) < 0)
        goto failed;
    *ret = e;
    return 0;
failed:
    engine_free(e);
    return -1;
}

static void free_list(struct list *l)
{
    list_each(node, l)
        free(list_entry(node, struct touch, link));
    list_init(l);
}

void engine_free(struct engine *e)
{
    struct str uid;
    void *trouble;

    if (!e)
        return;
    for (size_t at = 0; map_next(e->troubles, &at, &uid, &trouble);)
        free(trouble);
    map_free(e->troubles);
    map_free(e->touches);
    free_list(&e->touched);
    free_list(&e->visited);
    map_free(e->ops);
    map_free(e->kinds);
    free(e);
}

const struct engine_world *engine_world_of(struct engine *e)
{
    return &e->world;
}

void *engine_context(struct engine *e)
{
    return e->world.context;
}

int64_t engine_now_ms(struct engine *e)
{
    return clock_wall_ms(e->world.clock);
}

/* --- Calls ------------------------------------------------------------------------------------------------------ */

const struct op *engine_op(struct engine *e, const struct operation *o)
{
    return map_get(e->ops, key_of_operation(&o));
}

static int not_here(const struct operation *o, struct err *err)
{
    /* AWS's general words for it: S3 has a code of its own. */
    const char *code = strcmp(o->service->name, "s3") == 0 ? "NotImplemented" : "NotImplementedException";

    fail_code(err, ERR_INVALID, code,
              "Sagebrush does not implement %s %s yet. `sagebrush operations --missing %s` lists what it lacks.",
              o->service->service_id, o->name, o->service->name);
    err->http_status = 501;
    return -1;
}

static const char *action_of(struct call *c, const struct op *op)
{
    const char *prefix = c->operation->service->signing_name;

    if (op->action)
        return op->action;
    if (strcmp(prefix, "monitoring") == 0)
        prefix = "cloudwatch"; /* signs as one, is called the other in policies */
    return arena_printf(c->arena, "%s:%s", prefix, c->operation->name);
}

/* IAM's calls that name no user are about the caller, and so is what policies say of that user. */
static const char *member_text(struct call *c, const char *name)
{
    const char *value = doc_text(c->input, name), *user = strstr(c->principal->arn, ":user/");

    if (!*value && user && strcmp(name, "UserName") == 0)
        return strrchr(user, '/') + 1;
    return value;
}

/* "{Member}" of the input, "{region}", "{account}". */
static const char *expand(struct call *c, const char *pattern)
{
    _cleanup_buf_ struct buf b = { 0 };

    while (*pattern) {
        const char *close = *pattern == '{' ? strchr(pattern, '}') : NULL;

        if (!close) {
            buf_append_char(&b, *pattern++);
            continue;
        }
        struct str name = { pattern + 1, (size_t)(close - pattern - 1) };

        buf_append_str(&b, str_is(name, "region")    ? c->region
                           : str_is(name, "account") ? c->principal->account
                                                     : member_text(c, str_dup(c->arena, name)));
        pattern = close + 1;
    }
    return b.size ? arena_strdup(c->arena, b.data) : "*";
}

static const char *resource_of_call(struct call *c, const struct op *op)
{
    const char *name;

    if (op->resource)
        return expand(c, op->resource);
    if (!op->kind || op->verb == OP_LIST)
        return "*";
    name = doc_text(c->input, op->kind->name_member);
    if (!*name)
        return "*";
    return text_starts(name, "arn:") ? name : resource_arn(c->arena, op->kind, c->region, c->principal->account, name);
}

/* Whether some key or text in it has that word. */
static bool mentions(const struct doc *d, const char *word)
{
    bool found = d && d->type == DOC_STRING && strcasestr(doc_value_text(d), word);

    for (uint32_t i = 0; d && d->type == DOC_LIST && i < d->count && !found; i++)
        found = mentions(d->items[i], word);
    for (uint32_t i = 0; d && d->type == DOC_MAP && i < d->count && !found; i++)
        found = strcasestr(d->members[i].key, word) || mentions(d->members[i].value, word);
    return found;
}

/* The tags of what is asked for, to policies that ask for them: who has none of these pays for no look. */
static int add_resource_tags(struct call *c, const char *resource, struct doc *context, struct err *err)
{
    static const char word[] = ":ResourceTag/";

    if (!mentions(c->principal->policies, word) && !mentions(c->principal->session_policy, word))
        return 0;
    return tags_to_context(c, resource, context, err);
}

static struct doc *context_of(struct call *c)
{
    const struct op *op = engine_op(c->engine, c->operation);
    const struct policy_caller caller = {
        .arn = c->principal->arn, .account = c->principal->account, .user_id = c->principal->user_id,
        .source_ip = c->source_ip ? c->source_ip : "", .region = c->region, .tls = c->tls, .now_ms = c->now_ms,
    };
    const struct doc *tags = doc_get(c->input, "Tags"), *removed = doc_get(c->input, "TagKeys");
    struct doc *context = policy_context(c->arena, &caller), *keys;

    if (op && op->kind && op->kind->conditions)
        op->kind->conditions(c, context);
    if (removed && removed->type == DOC_LIST)
        doc_set(c->arena, context, "aws:TagKeys", doc_copy(c->arena, removed));
    if (!tags || tags->type != DOC_LIST)
        return context;
    keys = doc_list(c->arena);
    for (uint32_t i = 0; i < tags->count; i++) {
        const char *key = doc_text(tags->items[i], "Key");

        doc_set_string(c->arena, context, arena_printf(c->arena, "aws:RequestTag/%s", key),
                       doc_text(tags->items[i], "Value"));
        doc_append(c->arena, keys, doc_string(c->arena, key));
    }
    doc_set(c->arena, context, "aws:TagKeys", keys);
    return context;
}

int engine_authorize(struct call *c, const char *action, const char *resource, struct err *err)
{
    struct doc *context;

    if (c->principal->trusted)
        return 0;
    context = context_of(c);
    if (add_resource_tags(c, resource, context, err) < 0)
        return -1;

    const struct policy_request request = {
        .policies = c->principal->policies,
        .session_policy = c->principal->session_policy,
        .arn = c->principal->arn,
        .action = action,
        .resource = resource,
        .context = context,
    };
    return policy_allow(&request, c->operation->service->signing_name, err);
}

static int bracketed(struct engine *e, struct call *c, const struct op *op, struct err *err)
{
    if (!(op->flags & OP_WRITES))
        return verb_run(c, op, err);
    if (store_begin(e->world.store, err) < 0)
        return -1;
    if (verb_run(c, op, err) < 0) {
        store_drop(e->world.store);
        return -1;
    }
    return store_keep(e->world.store, err);
}

int engine_run(struct engine *e, struct call *c, struct err *err)
{
    const struct op *op = engine_op(e, c->operation);

    if (!op)
        return not_here(c->operation, err);
    if (validate_with(c->arena, c->operation, c->input, e->world.own_values, err) < 0)
        return -1;
    if (!(op->flags & OP_OPEN) && engine_authorize(c, action_of(c, op), resource_of_call(c, op), err) < 0)
        return -1;
    return bracketed(e, c, op, err);
}

int engine_call(struct arena *a, struct engine *e, const struct principal *principal, const char *region,
                const char *service, const char *operation, const struct doc *input, struct doc **ret_output,
                struct err *err)
{
    const struct service *s = model_service(service);
    const struct principal house = {
        .account = e->world.account,
        .arn = arena_printf(a, "arn:aws:iam::%s:root", e->world.account),
        .user_id = e->world.account,
        .access_key_id = "",
        .trusted = true,
    };
    struct call c = {
        .engine = e,
        .arena = a,
        .operation = s ? model_operation(s, str_of(operation)) : NULL,
        .principal = principal ? principal : &house,
        .region = region,
        .request_id = "",
        .source_ip = "",
        .now_ms = engine_now_ms(e),
        .input = input,
        .output = doc_map(a),
        .download = arena_new_of(a, struct download),
    };

    assert(c.operation && "a service of the house asks for what no model has");
    if (engine_run(e, &c, err) < 0)
        return -1;
    *ret_output = c.output;
    return 0;
}

/* --- Touching ---------------------------------------------------------------------------------------------------- */

static struct touch *touch_new(const char *uid)
{
    struct touch *t = calloc(1, sizeof *t);

    assert(t && "out of memory");
    snprintf(t->uid, sizeof t->uid, "%s", uid);
    return t;
}

void engine_touch(struct engine *e, const char *uid)
{
    struct touch *t;

    if (!*uid || strlen(uid) >= sizeof t->uid || map_get(e->touches, str_of(uid)))
        return;
    t = touch_new(uid);
    list_append(&e->touched, &t->link);
    map_set(e->touches, str_of(uid), t);
}

/* The oldest touched one; its place in the list is free for the next touch from now on. */
static bool next_touched(struct engine *e, char ret_uid[static 80])
{
    struct touch *t;

    if (list_empty(&e->touched))
        return false;
    t = list_entry(e->touched.next, struct touch, link);
    memcpy(ret_uid, t->uid, sizeof t->uid);
    map_remove(e->touches, str_of(t->uid));
    list_remove(&t->link);
    free(t);
    return true;
}

/* --- Trouble ----------------------------------------------------------------------------------------------------- */

/* Logged when it begins and when it changes, not each time. */
static void trouble(struct engine *e, const char *uid, const struct err *err)
{
    struct trouble *t = map_get(e->troubles, str_of(uid));

    if (!t) {
        t = calloc(1, sizeof *t);
        assert(t && "out of memory");
        map_set(e->troubles, str_of(uid), t);
    }
    t->pause_ms = !t->pause_ms ? PAUSE_MS : t->pause_ms * 2 < PAUSE_MAX_MS ? t->pause_ms * 2 : PAUSE_MAX_MS;
    t->retry_boot_ms = clock_boot_ms(e->world.clock) + t->pause_ms;
    if (strncmp(t->text, err->text, sizeof t->text - 1) != 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        snprintf(t->text, sizeof t->text, "%.*s", (int)sizeof t->text - 1, err->text);
        log_warning("resource.trouble", "uid=%s retry_ms=%" PRId64 " error=%s", uid, t->pause_ms,
                    log_quote(a, err->text));
    }
}

static void no_trouble(struct engine *e, const char *uid)
{
    struct trouble *t = map_remove(e->troubles, str_of(uid));

    if (t)
        log_info("resource.recovered", "uid=%s", uid);
    free(t);
}

static bool is_in_trouble(struct engine *e, const char *uid)
{
    return map_get(e->troubles, str_of(uid)) != NULL;
}

/* --- Reconcile --------------------------------------------------------------------------------------------------- */

static int save_pass(struct engine *e, struct arena *a, struct resource *r, const struct row *before, int64_t now_ms,
                     int64_t next_ms, struct err *err)
{
    bool changed, later;

    if (r->kind->state_member)
        doc_set_string(a, r->status, r->kind->state_member, r->row.state);
    if (next_ms < now_ms)
        next_ms = now_ms;
    changed = !doc_equal(r->status, before->status);
    later = next_ms != r->row.next_at_ms || r->row.observed_generation != r->row.generation;
    if (!changed && !later)
        return 0;
    if (changed)
        r->row.modified_ms = now_ms;
    r->row.status = r->status;
    r->row.next_at_ms = next_ms;
    r->row.observed_generation = r->row.generation;
    if (store_row_observe(e->world.store, &r->row, err) < 0)
        return -1;
    return changed ? resource_changed(e, a, before, &r->row, err) : 0;
}

static int look(struct engine *e, struct arena *a, const char *uid, struct err *err)
{
    struct pass pass = { e, a, e->world.runtime, engine_now_ms(e) };
    int64_t next_ms = INT64_MAX;
    struct resource r;
    struct row before;
    bool goes = false;

    if (resource_load(a, e, uid, &r, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!r.kind->reconcile)
        return 0;
    before = r.row;
    if (r.kind->reconcile(&pass, &r, &next_ms, &goes, err) < 0)
        return -1;
    if (goes)
        return resource_remove(e, &r.row, err);
    if (save_pass(e, a, &r, &before, pass.now_ms, next_ms, err) < 0)
        return -1;
    if (strcmp(before.state, r.row.state) != 0)
        engine_touch(e, r.row.parent_uid);
    return 0;
}

/* One row's pass, with all that it writes, or nothing of it. */
static void visit(struct engine *e, const char *uid)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct touch *t = touch_new(uid);
    struct err err;

    list_append(&e->visited, &t->link);
    if (store_begin(e->world.store, &err) < 0) {
        trouble(e, uid, &err);
        return;
    }
    if (look(e, a, uid, &err) < 0) {
        store_drop(e->world.store);
        trouble(e, uid, &err);
    } else if (store_keep(e->world.store, &err) < 0) {
        trouble(e, uid, &err);
    } else {
        no_trouble(e, uid);
    }
}

/* What may be visited in this call, beside what was touched. */
struct queue {
    const char **uids;
    int count, at;
};

static int collect(struct arena *a, struct engine *e, int64_t now_ms, int limit, struct queue *ret, struct err *err)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock);
    int troubles = (int)map_count(e->troubles), due, kept = 0;
    const char **uids, **rows;
    struct str uid;
    void *t;

    /* Rows in trouble stay due: look past them. */
    if (store_row_due(a, e->world.store, now_ms, limit + troubles, &rows, &due, err) < 0)
        return -1;
    uids = arena_array_of(a, const char *, (size_t)(due + troubles));
    for (size_t at = 0; map_next(e->troubles, &at, &uid, &t);)
        if (((struct trouble *)t)->retry_boot_ms <= boot_ms)
            uids[kept++] = str_dup(a, uid);
    for (int i = 0; i < due; i++)
        if (!is_in_trouble(e, rows[i]))
            uids[kept++] = rows[i];
    *ret = (struct queue){ uids, kept, 0 };
    return 0;
}

/* Touched and due rows in turns, so that neither many pokes nor many timers keep the other waiting; each row at most
 * once, and what is touched meanwhile waits for the next call. */
static int visit_some(struct engine *e, struct queue *q, int limit)
{
    struct map *seen = map_new();
    size_t touched = map_count(e->touches);
    int count = 0;

    while (count < limit && (touched > 0 || q->at < q->count)) {
        char uid[80];

        if (touched > 0 && next_touched(e, uid)) {
            touched--;
            if (!map_set(seen, str_of(uid), e)) {
                visit(e, uid);
                count++;
            }
        }
        if (count < limit && q->at < q->count) {
            const char *due = q->uids[q->at++];

            if (!map_set(seen, str_of(due), e)) {
                visit(e, due);
                count++;
            }
        }
    }
    map_free(seen);
    return count;
}

/* When the next call has something to do. */
static int64_t next_visit(struct arena *a, struct engine *e, int64_t now_ms)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock), next_ms = store_row_next_due(e->world.store);
    int64_t orphans_ms = orphans_due_ms(e, now_ms);
    struct err err;
    struct queue q;
    struct str uid;
    void *t;

    if (!list_empty(&e->touched))
        return now_ms;
    if (next_ms <= now_ms) {
        if (collect(a, e, now_ms, 1, &q, &err) == 0 && q.count > 0)
            return now_ms;
        next_ms = now_ms + PAUSE_MS; /* those in trouble hide when the next of the others is due */
    }
    for (size_t at = 0; map_next(e->troubles, &at, &uid, &t);) {
        int64_t retry_ms = now_ms + ((struct trouble *)t)->retry_boot_ms - boot_ms;

        next_ms = retry_ms < next_ms ? retry_ms : next_ms;
    }
    next_ms = orphans_ms < next_ms ? orphans_ms : next_ms;
    return next_ms < now_ms ? now_ms : next_ms;
}

static void trim_events(struct engine *e)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct event *events;
    struct err err;
    int64_t from;
    int count;

    e->housekeeping_boot_ms = clock_boot_ms(e->world.clock);
    if (store_event_scan(a, e->world.store, 0, 1, &events, &count, &err) < 0 || count == 0)
        return;
    from = events[0].sequence - 1 + EVENTS_KEPT;
    if (store_event_scan(a, e->world.store, from, ROWS_A_PAGE, &events, &count, &err) < 0 || count == 0)
        return;
    if (store_event_trim(e->world.store, events[count - 1].sequence - EVENTS_KEPT, &err) < 0)
        log_warning("engine.events", "error=%s", log_quote(a, err.text));
}

int engine_reconcile(struct engine *e, int limit, int64_t *ret_next_ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t now_ms = engine_now_ms(e);
    struct err err;
    struct queue q;
    int count;

    assert(limit > 0);
    if (usage_look_at_clock(e) && touch_what_waits(e, &err) < 0)
        log_error("engine.clock", "error=%s", log_quote(a, err.text));
    orphans_end(e);
    /* Most turns only answer questions: nothing was written since the last look, and nothing is due. */
    if (e->settled && list_empty(&e->touched) && !store_dirty(e->world.store) && now_ms < e->next_ms) {
        *ret_next_ms = e->next_ms;
        return 0;
    }
    if (clock_boot_ms(e->world.clock) - e->housekeeping_boot_ms >= HOUSEKEEPING_MS)
        trim_events(e);
    if (collect(a, e, now_ms, limit, &q, &err) < 0) {
        log_error("engine.due", "error=%s", log_quote(a, err.text));
        *ret_next_ms = now_ms + PAUSE_MS;
        return 0;
    }
    count = visit_some(e, &q, limit);
    *ret_next_ms = e->next_ms = next_visit(a, e, now_ms);
    e->settled = count == 0 && map_count(e->troubles) == 0 && !store_dirty(e->world.store);
    return count;
}

int engine_commit(struct engine *e, struct err *err)
{
    int result;

    if (store_dirty(e->world.store))
        e->settled = false;
    result = store_commit(e->world.store, err);
    usage_committed(e, result == 0);
    /* What was visited was not saved, and the poke that asked for it is used up: look again, in a while. */
    list_each(node, &e->visited) {
        struct touch *t = list_entry(node, struct touch, link);

        if (result < 0)
            trouble(e, t->uid, err);
        free(t);
    }
    list_init(&e->visited);
    return result;
}
