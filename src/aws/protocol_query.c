/* protocol_query.c - the Query protocol (IAM, STS, older clients of CloudWatch) and its EC2 variant: a form comes in,
 * XML goes out.
 *
 * A form is flat: "Tags.member.1.Key=a". Its parameters are sorted once, so that everything under a prefix is one
 * range, and a shape is followed only where there is something under it. */
#include "aws/protocols.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/xml.h"

enum { DEEPEST = 64 };

/* Parameters lo to hi (exclusive) of the sorted form, all of which start with the same 'size' bytes. */
struct range {
    const struct parameter *items;
    size_t lo, hi, size;
};

struct reader {
    struct arena *arena;
    bool ec2;
    int depth;
    struct err *err;
};

static int by_name(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;

    return str_compare(x->name, y->name);
}

/* What is under r's prefix: the rest of a parameter's name. */
static struct str rest_of(const struct range *r, size_t i)
{
    return (struct str){ r->items[i].name.data + r->size, r->items[i].name.size - r->size };
}

/* The part of the range whose rest is 'segment' or goes on with "segment.". Those lie together, for between "a" and
 * "a.x" sort only names like "a-x" and "a+x", which no model has; they are skipped over. */
static struct range under(const struct range *r, struct str segment)
{
    struct range sub = { .items = r->items, .size = r->size + segment.size };
    size_t low = r->lo, high = r->hi;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (str_compare(rest_of(r, middle), segment) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    sub.lo = sub.hi = low;
    while (sub.hi < r->hi) {
        struct str rest = rest_of(r, sub.hi);

        if (rest.size < segment.size || memcmp(rest.data, segment.data, segment.size) != 0)
            break;
        if (rest.size > segment.size && rest.data[segment.size] > '.')
            break;
        sub.hi++;
    }
    return sub;
}

/* The value of exactly this prefix, NULL: there is none. */
static const struct str *value_of(const struct range *r)
{
    return r->lo < r->hi && r->items[r->lo].name.size == r->size ? &r->items[r->lo].value : NULL;
}

/* Past the dot after the prefix; what has no dot there is left out. */
static struct range inside(struct range r)
{
    while (r.lo < r.hi && !(r.items[r.lo].name.size > r.size && r.items[r.lo].name.data[r.size] == '.'))
        r.lo++;
    for (size_t i = r.lo; i < r.hi; i++)
        if (!(r.items[i].name.size > r.size && r.items[i].name.data[r.size] == '.')) {
            r.hi = i;
            break;
        }
    r.size++;
    return r;
}

static int read_value(struct reader *, const struct member *, const struct range *, struct doc **ret);

/* "Tags.member.1", EC2: "Tag.1"; EC2 says so in queryName, else capitalizes. */
static struct str name_of(const struct reader *r, const struct member *m)
{
    char *name;

    if (!r->ec2)
        return str_of(m->wire_name);
    if (m->query_name)
        return str_of(m->query_name);
    name = arena_strdup(r->arena, m->wire_name);
    name[0] = (char)toupper((unsigned char)name[0]);
    return str_of(name);
}

static int read_structure(struct reader *r, const struct shape *shape, const struct range *from, struct doc **ret)
{
    struct doc *d = doc_map(r->arena), *value;

    for (uint16_t i = 0; i < shape->member_count; i++) {
        const struct member *m = &shape->members[i];
        struct range part = under(from, name_of(r, m));

        if (part.lo == part.hi)
            continue;
        if (read_value(r, m, &part, &value) < 0)
            return -1;
        doc_append_member(r->arena, d, m->name, value);
    }
    *ret = d;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The N of "prefix.N" and "prefix.N.more", in their order, each once. */
static size_t numbers_of(struct reader *r, const struct range *from, int64_t **ret)
{
    int64_t *all = arena_array_of(r->arena, int64_t, from->hi - from->lo + 1);
    size_t count = 0, kept = 0;

    for (size_t i = from->lo; i < from->hi; i++) {
        struct str rest = rest_of(from, i), number = rest, more;

        str_cut(rest, '.', &number, &more);
        /* "01" would be looked for as "1" and not be found. */
        if (str_to_int64(number, &all[count]) && all[count] >= 0 && (number.data[0] != '0' || number.size == 1))
            count++;
    }
    qsort(all, count, sizeof *all, by_number);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || all[kept - 1] != all[i])
            all[kept++] = all[i];
    *ret = all;
    return kept;
}

static int read_entry(struct reader *r, const struct shape *map, const struct range *from, struct doc *into)
{
    struct range fields = inside(*from);
    struct range key = under(&fields, str_of(model_key(map)->wire_name));
    struct range part = under(&fields, str_of(model_value(map)->wire_name));
    const struct str *name = value_of(&key);
    struct doc *value;

    if (!name || part.lo == part.hi || memchr(name->data, '\0', name->size))
        return fail_code(r->err, ERR_INVALID, "MalformedInput", "an entry of a map has no key or no value");
    if (read_value(r, model_value(map), &part, &value) < 0)
        return -1;
    doc_append_member(r->arena, into, str_dup(r->arena, *name), value);
    return 0;
}

static int read_collection(struct reader *r, const struct member *m, const struct range *from, struct doc **ret)
{
    const struct shape *shape = m->shape;
    bool map = shape->type == SHAPE_MAP,
         flattened = r->ec2 || m->flags & MEMBER_FLATTENED || shape->flags & SHAPE_FLATTENED;
    struct doc *d = map ? doc_map(r->arena) : doc_list(r->arena), *item;
    struct range items = inside(*from);
    int64_t *numbers;
    size_t count;

    /* "Tags=" and "Tags.member=" are how an empty list is sent; nothing is inside it. */
    if (!flattened) {
        struct range named = under(&items, map ? STR("entry") : str_of(model_item(shape)->wire_name));

        items = inside(named);
    }
    count = numbers_of(r, &items, &numbers);
    for (size_t i = 0; i < count; i++) {
        char text[24];
        struct range part;

        snprintf(text, sizeof text, "%lld", (long long)numbers[i]);
        part = under(&items, str_of(text));
        if (map) {
            if (read_entry(r, shape, &part, d) < 0)
                return -1;
            continue;
        }
        if (read_value(r, model_item(shape), &part, &item) < 0)
            return -1;
        doc_append(r->arena, d, item);
    }
    if (map)
        doc_drop_repeated(r->arena, d);
    *ret = d;
    return 0;
}

static int read_value(struct reader *r, const struct member *m, const struct range *from, struct doc **ret)
{
    const struct str *text;
    struct range fields;
    int result;

    if (is_simple(m->shape)) {
        text = value_of(from);
        if (text && value_of_text(r->arena, m->shape, time_format_of(m, TIME_ISO8601), *text, ret))
            return 0;
        return fail_code(r->err, ERR_INVALID, "MalformedInput", "the value of '%s' is not of its type", m->wire_name);
    }
    if (++r->depth > DEEPEST)
        return fail_code(r->err, ERR_INVALID, "MalformedInput", "the form is nested too deeply");
    if (m->shape->type == SHAPE_STRUCTURE) {
        fields = inside(*from);
        result = read_structure(r, m->shape, &fields, ret);
    } else {
        result = read_collection(r, m, from, ret);
    }
    r->depth--;
    return result;
}

int query_decode(struct arena *a, const struct wire_match *match, const struct wire_request *request, struct doc **ret,
                 struct err *err)
{
    struct reader r = { .arena = a, .ec2 = match->protocol == PROTOCOL_EC2, .err = err };
    struct str path, query = { 0 };
    struct parameters in_body = parameters_parse(a, request->body), in_query = { 0 };
    struct parameter *all;
    struct range form;

    if (str_cut(request->target, '?', &path, &query))
        in_query = parameters_parse(a, query);
    all = arena_array_of(a, struct parameter, in_body.count + in_query.count);
    if (in_body.count)
        memcpy(all, in_body.items, in_body.count * sizeof *all);
    if (in_query.count)
        memcpy(all + in_body.count, in_query.items, in_query.count * sizeof *all);
    form = (struct range){ .items = all, .hi = in_body.count + in_query.count };
    qsort(all, form.hi, sizeof *all, by_name);
    return read_structure(&r, match->operation->input, &form, ret);
}

void query_encode(struct buf *b, const struct wire_match *match, const struct doc *d, const char *request_id)
{
    const struct operation *op = match->operation;
    bool ec2 = match->protocol == PROTOCOL_EC2;

    buf_printf(b, "<%sResponse", op->name);
    if (op->service->xml_namespace)
        buf_printf(b, " xmlns=\"%s\"", op->service->xml_namespace);
    buf_append_char(b, '>');
    if (ec2) {
        xml_element(b, "requestId", str_of(request_id));
        xml_encode_members(b, op->output, d, true);
    } else {
        if (op->result_wrapper)
            xml_encode_root(b, op->result_wrapper, NULL, op->output, d, false);
        buf_append_str(b, "<ResponseMetadata>");
        xml_element(b, "RequestId", str_of(request_id));
        buf_append_str(b, "</ResponseMetadata>");
    }
    buf_printf(b, "</%sResponse>", op->name);
}

void query_encode_error(struct buf *b, const struct wire_match *match, const char *code, const char *text, bool sender,
                        const char *request_id)
{
    bool ec2 = match->protocol == PROTOCOL_EC2;

    if (ec2) {
        buf_append_str(b, "<Response><Errors>");
    } else {
        xml_open(b, "ErrorResponse", match->service ? match->service->xml_namespace : NULL);
    }
    buf_append_str(b, "<Error>");
    if (!ec2)
        xml_element(b, "Type", sender ? STR("Sender") : STR("Receiver"));
    xml_element(b, "Code", str_of(code));
    xml_element(b, "Message", str_of(text));
    buf_append_str(b, "</Error>");
    if (ec2)
        buf_append_str(b, "</Errors>");
    xml_element(b, ec2 ? "RequestID" : "RequestId", str_of(request_id));
    buf_append_str(b, ec2 ? "</Response>" : "</ErrorResponse>");
}
