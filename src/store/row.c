/* row.c - what both implementations do with rows: copies, filters, page tokens, and documents in their saved form. */
#include "store/impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "doc/json.h"

enum { DEEPEST = 120 }; /* one less than what the JSON reader takes, tags included */

static int check(const struct doc *d, int depth, const char *what, struct err *err)
{
    if (depth > DEEPEST)
        return fail(err, ERR_INVALID, "%s is nested more than %d deep", what, DEEPEST);
    switch (d->type) {
    case DOC_STRING:
        if (!utf8_valid(d->text))
            return fail(err, ERR_INVALID, "%s holds text that is not UTF-8", what);
        return 0;
    case DOC_LIST:
        for (uint32_t i = 0; i < d->count; i++)
            if (check(d->items[i], depth + 1, what, err) < 0)
                return -1;
        return 0;
    case DOC_MAP:
        for (uint32_t i = 0; i < d->count; i++)
            if (!utf8_valid(str_of(d->members[i].key)))
                return fail(err, ERR_INVALID, "%s holds a name that is not UTF-8", what);
            else if (check(d->members[i].value, depth + 1, what, err) < 0)
                return -1;
        return 0;
    default:
        return 0;
    }
}

int doc_can_be_saved(const struct doc *d, const char *what, struct err *err)
{
    return d ? check(d, 0, what, err) : 0;
}

static bool looks_tagged(const struct doc *d)
{
    return d->type == DOC_MAP && d->count == 1 && d->members[0].key[0] == '$';
}

static bool needs_tag(const struct doc *d)
{
    switch (d->type) {
    case DOC_BYTES:
        return true;
    case DOC_REAL:
        return !isfinite(d->real);
    case DOC_LIST:
        for (uint32_t i = 0; i < d->count; i++)
            if (needs_tag(d->items[i]))
                return true;
        return false;
    case DOC_MAP:
        for (uint32_t i = 0; i < d->count; i++)
            if (needs_tag(d->members[i].value))
                return true;
        return looks_tagged(d);
    default:
        return false;
    }
}

static struct doc *with_tags(struct arena *a, const struct doc *d)
{
    struct doc *tagged = doc_map(a), *inner;

    switch (d->type) {
    case DOC_BYTES:
        doc_set_string(a, tagged, "$bytes", base64_encode(a, d->text.data, d->text.size));
        return tagged;
    case DOC_REAL:
        if (isfinite(d->real))
            return doc_copy(a, d);
        doc_set_string(a, tagged, "$real", isnan(d->real) ? "NaN" : d->real > 0 ? "Infinity" : "-Infinity");
        return tagged;
    case DOC_LIST:
        inner = doc_list(a);
        for (uint32_t i = 0; i < d->count; i++)
            doc_append(a, inner, with_tags(a, d->items[i]));
        return inner;
    case DOC_MAP:
        inner = doc_map(a);
        for (uint32_t i = 0; i < d->count; i++)
            doc_set(a, inner, d->members[i].key, with_tags(a, d->members[i].value));
        if (!looks_tagged(d))
            return inner;
        doc_set(a, tagged, "$map", inner);
        return tagged;
    default:
        return doc_copy(a, d);
    }
}

const char *doc_to_saved(struct arena *a, const struct doc *d)
{
    if (!d)
        return "{}";
    return json_text(a, needs_tag(d) ? with_tags(a, d) : d);
}

static int without_tags(struct arena *a, struct doc *d, struct err *err)
{
    const char *tag;

    if (looks_tagged(d)) {
        struct doc *value = d->members[0].value;

        tag = d->members[0].key;
        if (strcmp(tag, "$map") == 0 && looks_tagged(value)) {
            *d = *value;
            return without_tags(a, d->members[0].value, err);
        }
        if (strcmp(tag, "$real") == 0) {
            *d = (struct doc){ .type = DOC_REAL, .real = doc_is(d, "$real", "NaN") ? (double)NAN
                                                         : doc_is(d, "$real", "Infinity") ? (double)INFINITY
                                                                                          : (double)-INFINITY };
            return 0;
        }
        if (strcmp(tag, "$bytes") == 0 && value->type == DOC_STRING) {
            struct str bytes;

            if (base64_decode(a, value->text, &bytes)) {
                *d = (struct doc){ .type = DOC_BYTES, .text = bytes };
                return 0;
            }
        }
        return fail(err, ERR_INTERNAL, "a saved document has the unknown tag %s", tag);
    }
    if (d->type == DOC_LIST)
        for (uint32_t i = 0; i < d->count; i++)
            if (without_tags(a, d->items[i], err) < 0)
                return -1;
    if (d->type == DOC_MAP)
        for (uint32_t i = 0; i < d->count; i++)
            if (without_tags(a, d->members[i].value, err) < 0)
                return -1;
    return 0;
}

int doc_of_saved(struct arena *a, struct str text, struct doc **ret, struct err *err)
{
    struct doc *d;

    if (json_parse(a, text, &d, err) < 0)
        return fail(err, ERR_INTERNAL, "a saved document cannot be read: %s", err->text);
    if (memchr(text.data, '$', text.size) && without_tags(a, d, err) < 0)
        return -1;
    *ret = d;
    return 0;
}

/* Capacities are the powers of two from 16 on: the count tells when the array is full. */
static bool has_room(int count)
{
    return count > 0 && (count < 16 || (count & (count - 1)) != 0);
}

const char **uids_with_room(struct arena *a, const char **uids, int count)
{
    const char **more;

    if (has_room(count))
        return uids;
    more = arena_array_of(a, const char *, count ? (size_t)count * 2 : 16);
    if (count)
        memcpy(more, uids, (size_t)count * sizeof *more);
    return more;
}

struct state_count *states_with_room(struct arena *a, struct state_count *states, int count)
{
    struct state_count *more;

    if (has_room(count))
        return states;
    more = arena_array_of(a, struct state_count, count ? (size_t)count * 2 : 16);
    if (count)
        memcpy(more, states, (size_t)count * sizeof *more);
    return more;
}

static const char *text_copy(struct arena *a, const char *text)
{
    return text && *text ? arena_strdup(a, text) : "";
}

struct row row_copy(struct arena *a, const struct row *r)
{
    struct row copy = *r;

    copy.uid = text_copy(a, r->uid);
    copy.account = text_copy(a, r->account);
    copy.region = text_copy(a, r->region);
    copy.kind = text_copy(a, r->kind);
    copy.name = text_copy(a, r->name);
    copy.arn = text_copy(a, r->arn);
    copy.parent_uid = text_copy(a, r->parent_uid);
    copy.state = text_copy(a, r->state);
    copy.spec = r->spec ? doc_copy(a, r->spec) : doc_map(a);
    copy.want = r->want ? doc_copy(a, r->want) : doc_map(a);
    copy.status = r->status ? doc_copy(a, r->status) : doc_map(a);
    return copy;
}

char *text_lower(struct arena *a, const char *text)
{
    char *lower = arena_strdup(a, text);

    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

static bool same(const char *wanted, const char *is)
{
    return !wanted || strcmp(wanted, is) == 0;
}

bool row_passes(const struct row *r, const struct row_filter *f)
{
    return same(f->kind, r->kind) && same(f->account, r->account) && same(f->region, r->region) &&
           same(f->parent_uid, r->parent_uid) && same(f->state, r->state) &&
           (!f->created_after_ms || r->created_ms > f->created_after_ms) &&
           (!f->created_before_ms || r->created_ms < f->created_before_ms) &&
           (!f->modified_after_ms || r->modified_ms > f->modified_after_ms) &&
           (!f->modified_before_ms || r->modified_ms < f->modified_before_ms) &&
           (!f->name_contains || strcasestr(r->name, f->name_contains));
}

bool order_is_text(enum row_order order)
{
    return order == ROWS_BY_NAME || order == ROWS_BY_STATE;
}

/* FNV-1a, over the bytes and the NUL that ends them, so that "ab","c" and "a","bc" differ. */
static uint64_t add_text(uint64_t sum, const char *text)
{
    sum = (sum ^ (text ? 1 : 2)) * 0x100000001b3u;
    for (; text && *text; text++)
        sum = (sum ^ (unsigned char)*text) * 0x100000001b3u;
    return sum * 0x100000001b3u;
}

static uint64_t add_number(uint64_t sum, int64_t number)
{
    for (int i = 0; i < 8; i++)
        sum = (sum ^ (uint64_t)((uint64_t)number >> (8 * i) & 255)) * 0x100000001b3u;
    return sum;
}

/* Of everything that must not change from one page to the next, and of the place itself. */
static uint64_t checksum(const struct row_filter *f, const char *sort, const char *uid)
{
    const char *const texts[] = {
        f->account, f->region, f->kind, f->parent_uid, f->state, f->name_contains, sort, uid
    };
    const int64_t numbers[] = { f->created_after_ms, f->created_before_ms, f->modified_after_ms, f->modified_before_ms,
                                f->order, f->descending };
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        sum = add_text(sum, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sum = add_number(sum, numbers[i]);
    return sum;
}

const char *place_to_token(struct arena *a, const struct row_filter *f, const struct row *last)
{
    int64_t time_ms = f->order == ROWS_BY_CREATED ? last->created_ms : last->modified_ms;
    const char *sort = f->order == ROWS_BY_NAME    ? last->name
                       : f->order == ROWS_BY_STATE ? last->state
                                                   : arena_printf(a, "%" PRId64, time_ms);
    const char *text = arena_printf(a, "1 %016" PRIx64 " %s %s", checksum(f, sort, last->uid), last->uid, sort);

    return base64_encode(a, text, strlen(text));
}

int place_of_token(struct arena *a, const struct row_filter *f, struct place *ret, struct err *err)
{
    struct str text, version, sum, uid, sort;
    struct place place = { .set = true };

    if (!f->after) {
        *ret = (struct place){ 0 };
        return 0;
    }
    /* One token has one spelling: base64 that other bits would decode to the same is not ours either. */
    if (!base64_decode(a, str_of(f->after), &text) || strcmp(base64_encode(a, text.data, text.size), f->after) != 0 ||
        memchr(text.data, '\0', text.size) || !str_cut(text, ' ', &version, &text) || !str_is(version, "1") ||
        !str_cut(text, ' ', &sum, &text) || !str_cut(text, ' ', &uid, &sort))
        goto not_ours;
    place.uid = str_dup(a, uid);
    place.text = str_dup(a, sort);
    if (!order_is_text(f->order) && !str_to_int64(sort, &place.number))
        goto not_ours;
    if (!str_is(sum, arena_printf(a, "%016" PRIx64, checksum(f, place.text, place.uid))))
        goto not_ours;
    *ret = place;
    return 0;
not_ours:
    return fail(err, ERR_INVALID, "The NextToken is not one that this list gave, or a filter changed since.");
}
