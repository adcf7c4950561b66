#include "services/fis/template.h"

#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/fis/page.h"
#include "services/fis/template_check.h"
#include "store/store.h"

enum { ID_DIGITS = 15, TAGS_MAX = 50 };

static const char table[] = "core_fis_templates";

/* What Create and Update may set. */
static const char *const members[] = { "description", "targets", "actions", "stopConditions", "roleArn",
                                       "experimentOptions", "logConfiguration", "experimentReportConfiguration" };

static struct store *store_of(struct call *c)
{
    return engine_world_of(c->engine)->store;
}

const char *fis_arn(struct call *c, const char *type, const char *id)
{
    return arena_printf(c->arena, "arn:aws:fis:%s:%s:%s/%s", c->region, c->principal->account, type, id);
}

const char *fis_id(struct call *c, const char *prefix, const char *of)
{
    const char *sum = child_uid(c->arena, arena_printf(c->arena, "%s\n%s", c->principal->account, c->region), of, 0);

    return arena_printf(c->arena, "%s%.*s", prefix, ID_DIGITS, sum);
}

int64_t selection_count(const char *mode, int64_t there)
{
    static const char count[] = "COUNT(", percent[] = "PERCENT(";
    bool counts = text_starts(mode, count);
    int64_t n;

    if (strcmp(mode, "ALL") == 0)
        return there;
    if ((!counts && !text_starts(mode, percent)) || !text_ends(mode, ")"))
        return -1;
    mode += counts ? sizeof count - 1 : sizeof percent - 1;
    if (!str_to_int64((struct str){ mode, strlen(mode) - 1 }, &n) || n < 1 || (!counts && n > 100))
        return -1;
    if (!counts)
        return there * n / 100;
    return n < there ? n : there;
}

/* --- Records --- */

static struct str key_of(struct call *c, const char *id)
{
    _cleanup_buf_ struct buf k = { 0 };

    buf_append(&k, c->principal->account, strlen(c->principal->account) + 1);
    buf_append(&k, c->region, strlen(c->region) + 1);
    buf_append_str(&k, id);
    return (struct str){ arena_copy(c->arena, k.data, k.size), k.size };
}

static int not_there(const char *id, struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "Experiment template %s does not exist.", id);
}

int template_open(struct call *c, const char *id, struct doc **ret, struct err *err)
{
    struct str text;

    if (store_get(c->arena, store_of(c), table, key_of(c, id), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? not_there(id, err) : -1;
    return json_parse(c->arena, text, ret, err);
}

static int save(struct call *c, const char *id, const struct doc *template, struct err *err)
{
    return store_put(store_of(c), table, key_of(c, id), str_of(json_text(c->arena, template)), err);
}

static struct doc *describe(struct call *c, const char *id, const struct doc *template)
{
    struct doc *d = doc_map(c->arena), *options;

    doc_merge(c->arena, d, template);
    doc_set_string(c->arena, d, "id", id);
    doc_set_string(c->arena, d, "arn", fis_arn(c, "experiment-template", id));
    doc_set_integer(c->arena, d, "creationTime", doc_int(template, "created_ms", 0));
    doc_set_integer(c->arena, d, "lastUpdateTime", doc_int(template, "updated_ms", 0));
    doc_set_integer(c->arena, d, "targetAccountConfigurationsCount", 0);
    doc_set(c->arena, d, "created_ms", NULL);
    doc_set(c->arena, d, "updated_ms", NULL);
    options = doc_has(d, "experimentOptions") ? doc_copy(c->arena, doc_get(d, "experimentOptions")) : doc_map(c->arena);
    doc_set_string(c->arena, options, "accountTargeting", "single-account");
    doc_set_string(c->arena, options, "emptyTargetResolutionMode",
                   doc_text_or(options, "emptyTargetResolutionMode", "fail"));
    doc_set(c->arena, d, "experimentOptions", options);
    return d;
}

/* --- Operations --- */

static void take_members(struct call *c, struct doc *template)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_has(c->input, members[i]))
            doc_set(c->arena, template, members[i], doc_copy(c->arena, doc_get(c->input, members[i])));
}

static int answer(struct call *c, const char *id, const struct doc *template)
{
    doc_set(c->arena, c->output, "experimentTemplate", describe(c, id, template));
    return 0;
}

int fis_create_template(struct call *c, struct err *err)
{
    const char *id = fis_id(c, "EXT", doc_text(c->input, "clientToken"));
    struct doc *template;

    if (template_open(c, id, &template, err) == 0)
        return answer(c, id, template);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    template = doc_map(c->arena);
    take_members(c, template);
    if (template_check(c, template, err) < 0)
        return -1;
    doc_set(c->arena, template, "tags",
            doc_has(c->input, "tags") ? doc_copy(c->arena, doc_get(c->input, "tags")) : doc_map(c->arena));
    doc_set_integer(c->arena, template, "created_ms", c->now_ms);
    doc_set_integer(c->arena, template, "updated_ms", c->now_ms);
    return save(c, id, template, err) < 0 ? -1 : answer(c, id, template);
}

int fis_get_template(struct call *c, struct err *err)
{
    const char *id = doc_text(c->input, "id");
    struct doc *template;

    return template_open(c, id, &template, err) < 0 ? -1 : answer(c, id, template);
}

int fis_update_template(struct call *c, struct err *err)
{
    const char *id = doc_text(c->input, "id");
    struct doc *template;

    if (template_open(c, id, &template, err) < 0)
        return -1;
    take_members(c, template);
    if (template_check(c, template, err) < 0)
        return -1;
    doc_set_integer(c->arena, template, "updated_ms", c->now_ms);
    return save(c, id, template, err) < 0 ? -1 : answer(c, id, template);
}

int fis_delete_template(struct call *c, struct err *err)
{
    const char *id = doc_text(c->input, "id");
    struct doc *template;

    if (template_open(c, id, &template, err) < 0)
        return -1;
    answer(c, id, template);
    return store_remove(store_of(c), table, key_of(c, id), err);
}

int fis_list_templates(struct call *c, struct err *err)
{
    static const char *const shown[] = { "id", "arn", "description", "creationTime", "lastUpdateTime", "tags" };
    struct range range = { .from = key_of(c, ""), .limit = 100000 };
    struct doc *all = doc_list(c->arena), *template;
    struct pair *pairs;
    int count;

    range.to = store_after_prefix(c->arena, range.from);
    if (store_scan(c->arena, store_of(c), table, &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        struct str id = { pairs[i].key.data + range.from.size, pairs[i].key.size - range.from.size };
        struct doc *summary = doc_map(c->arena), *whole;

        if (json_parse(c->arena, pairs[i].value, &template, err) < 0)
            return -1;
        whole = describe(c, str_dup(c->arena, id), template);
        for (size_t m = 0; m < sizeof shown / sizeof *shown; m++)
            doc_set(c->arena, summary, shown[m], (struct doc *)doc_get(whole, shown[m]));
        doc_append(c->arena, all, summary);
    }
    return fis_page(c, "experimentTemplates", all, err);
}

int fis_tag_template(struct call *c, const struct doc *tags, const struct doc *gone, struct doc **ret_tags,
                     struct err *err)
{
    const char *id = strrchr(doc_text(c->input, "resourceArn"), '/') + 1;
    struct doc *template;

    if (template_open(c, id, &template, err) < 0)
        return -1;
    *ret_tags = doc_member(c->arena, template, "tags", DOC_MAP);
    if (tags)
        doc_merge(c->arena, *ret_tags, tags);
    for (size_t i = 0; i < doc_count(gone, ""); i++)
        doc_set(c->arena, *ret_tags, doc_value_text(gone->items[i]), NULL);
    if ((*ret_tags)->count > TAGS_MAX)
        return fail_code(err, ERR_INVALID, "ValidationException", "A template has at most %d tags.", TAGS_MAX);
    return tags || gone ? save(c, id, template, err) : 0;
}
