/* validate.c - one walk over the input, beside its shape.
 *
 * Where a constraint of a list's item or a map's key or value is broken, AWS names the collection and recites every
 * constraint of the item ("Map value must satisfy constraint: [...]"); a structure inside a collection is gone into,
 * and has a path. Both were seen in SageMaker's own answers to CreateTrainingJob. */
#include "aws/validate.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "aws/pattern.h"
#include "base/nearest.h"
#include "doc/json.h"

enum {
    DEEPEST = 128,
    MEMBERS_MAX = 1024,     /* of a structure; the largest of all AWS models, QuickSight's Capabilities, has 575 */
    ECHO_MAX_BYTES = 512,   /* of a value in a message */
    SET_READ_MAX = 20,      /* values of a set that a person reads to its end */
    MISTYPED_MOST = 10,     /* letters that two names which are both near are compared by */
    TOLD_MAX = 50,          /* violations that are spelled out; all are counted */
};

struct path {
    const struct path *before;
    const char *name;  /* NULL: an item of a list, "N.member" */
    size_t index;      /* from 1 */
    bool is_value;     /* of a map under 'name' */
};

struct walk {
    struct buf hints;
    struct buf text, long_text; /* sets of values go last: they are long, and the text of an error is bounded */
    int count, depth;
    bool lenient; /* S3: only what breaks the schema */
    const struct own_values *own; /* NULL: none */
    const char *broken_member; /* of the input, where S3's first breach is */
    struct err *err;
};

/* "resourceConfig.instanceCount", "inputDataConfig.1.member.channelName" */
static void print_path(struct buf *b, const struct path *p)
{
    if (!p)
        return;
    print_path(b, p->before);
    if (b->size && b->data[b->size - 1] != '\'')
        buf_append_char(b, '.');
    if (!p->name) {
        buf_printf(b, "%zu.member", p->index);
    } else if (p->is_value) {
        buf_printf(b, "%s.value", p->name);
    } else {
        buf_append_char(b, (char)tolower((unsigned char)p->name[0]));
        buf_append_str(b, p->name + 1);
    }
}

static void print_number(struct buf *b, double value)
{
    if (value >= -0x1p63 && value < 0x1p63 && (double)(int64_t)value == value)
        buf_printf(b, "%" PRId64, (int64_t)value);
    else
        json_print_real(b, value);
}

/* A value as Java's toString() would show it, for that is what AWS does. */
static void print_value(struct buf *b, const struct shape *shape, const struct doc *d, size_t limit)
{
    if (b->size > limit)
        return;
    if (shape->flags & SHAPE_SENSITIVE) {
        buf_append_str(b, "***Sensitive information***");
        return;
    }
    switch (d->type) {
    case DOC_NULL:
        buf_append_str(b, "null");
        break;
    case DOC_BOOLEAN:
        buf_append_str(b, d->boolean ? "true" : "false");
        break;
    case DOC_INTEGER:
        buf_printf(b, "%" PRId64, d->integer);
        break;
    case DOC_REAL:
        json_print_real(b, d->real);
        break;
    case DOC_STRING:
        buf_append(b, d->text.data, d->text.size);
        break;
    case DOC_BYTES:
        buf_printf(b, "java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu]", d->text.size, d->text.size);
        break;
    case DOC_LIST:
        buf_append_char(b, '[');
        for (uint32_t i = 0; i < d->count && b->size <= limit; i++) {
            buf_append_str(b, i ? ", " : "");
            print_value(b, model_item(shape)->shape, d->items[i], limit);
        }
        buf_append_char(b, ']');
        break;
    case DOC_MAP: {
        bool structure = shape->type == SHAPE_STRUCTURE;

        buf_printf(b, "%s%c", structure ? shape->name : "", structure ? '(' : '{');
        for (uint32_t i = 0; i < d->count && b->size <= limit; i++) {
            const struct member *m = structure ? model_member(shape, str_of(d->members[i].key)) : model_value(shape);

            if (!m)
                continue;
            buf_append_str(b, i ? ", " : "");
            buf_printf(b, "%s=", d->members[i].key);
            print_value(b, m->shape, d->members[i].value, limit);
        }
        buf_append_char(b, structure ? ')' : '}');
        break;
    }
    }
}

static void print_constraint(struct buf *b, const struct shape *shape, const char *which)
{
    bool number = shape->type >= SHAPE_INTEGER && shape->type <= SHAPE_DOUBLE;

    switch (*which) {
    case 'n':
        buf_append_str(b, "Member must not be null");
        break;
    case '<':
        buf_printf(b, "Member must have %s less than or equal to ", number ? "value" : "length");
        print_number(b, shape->max);
        break;
    case '>':
        buf_printf(b, "Member must have %s greater than or equal to ", number ? "value" : "length");
        print_number(b, shape->min);
        break;
    case 'p':
        buf_printf(b, "Member must satisfy regular expression pattern: %s", shape->pattern);
        break;
    case 'e':
        buf_append_str(b, "Member must satisfy enum value set: [");
        for (uint16_t i = 0; i < shape->value_count; i++)
            buf_printf(b, "%s%s", i ? ", " : "", shape->values[i]);
        buf_append_char(b, ']');
        break;
    default:
        assert(!"no such constraint");
    }
}

/* Every constraint of an item, broken or not. */
static void print_constraints(struct buf *b, const struct shape *shape)
{
    char all[8], *end = all;

    if (shape->flags & SHAPE_HAS_MAX)
        *end++ = '<';
    if (shape->flags & SHAPE_HAS_MIN)
        *end++ = '>';
    if (shape->value_count)
        *end++ = 'e';
    if (shape->pattern)
        *end++ = 'p';
    if (end == all)
        *end++ = 'n';
    for (char *which = all; which < end; which++) {
        buf_append_str(b, which > all ? ", " : "");
        print_constraint(b, shape, which);
    }
}

/* EC2 calls it m5.large, SageMaker ml.m5.large. */
static const char *with_ml(const char *word, const struct shape *shape)
{
    for (size_t i = 0; i < shape->value_count; i++)
        if (text_starts(shape->values[i], "ml.") && strcmp(shape->values[i] + strlen("ml."), word) == 0)
            return shape->values[i];
    return NULL;
}

/* Of a set that nobody reads to its end, such as that of the instance types: it goes before all that AWS says, whose
 * text stays whole for who looks for it. */
static void hint(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d)
{
    const char *nearest, *own;

    if (shape->value_count <= SET_READ_MAX || d->type != DOC_STRING)
        return;
    nearest = with_ml(d->text.data, shape);
    nearest = nearest ? nearest : text_nearest_of(d->text.data, shape->values, shape->value_count);
    own = w->own && text_ends(shape->name, w->own->shape) ? text_nearest(d->text.data, w->own->values) : NULL;
    if (own && (!nearest || text_distance(d->text.data, own, MISTYPED_MOST) <
                                text_distance(d->text.data, nearest, MISTYPED_MOST)))
        nearest = own;
    if (!nearest)
        return;
    buf_printf(&w->hints, "Did you mean %s at '", nearest);
    print_path(&w->hints, at);
    buf_append_str(&w->hints, "'? ");
}

/* 'd' NULL: nothing was sent. 'of_items': "Map value" and the like, of a collection whose items have the shape
 * 'broken'. */
static void tell(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d,
                 const char *which, const char *of_items, const struct shape *broken)
{
    const struct path *top = at;
    struct buf *b = which && *which == 'e' ? &w->long_text : &w->text;

    while (top && top->before)
        top = top->before;
    if (!w->broken_member)
        w->broken_member = top ? top->name : "";
    if (++w->count > TOLD_MAX)
        return;
    buf_append_str(b, b->size ? "; Value " : "Value ");
    if (d) {
        size_t before;

        buf_append_char(b, '\'');
        before = b->size;
        print_value(b, shape, d, before + ECHO_MAX_BYTES);
        if (b->size > before + ECHO_MAX_BYTES) {
            b->size = before + ECHO_MAX_BYTES;
            /* Not in the middle of a character. */
            while (b->size > before && ((unsigned char)b->data[b->size] & 0xc0) == 0x80)
                b->size--;
            buf_append_str(b, "...");
        }
        buf_append_char(b, '\'');
    } else {
        buf_append_str(b, "null");
    }
    buf_append_str(b, " at '");
    print_path(b, at);
    buf_append_str(b, "' failed to satisfy constraint: ");
    if (of_items) {
        buf_printf(b, "%s must satisfy constraint: [", of_items);
        print_constraints(b, broken);
        buf_append_char(b, ']');
    } else {
        print_constraint(b, shape, which);
        if (*which == 'e')
            hint(w, at, shape, d);
    }
}

static size_t characters(struct str s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.size; i++)
        count += ((unsigned char)s.data[i] & 0xc0) != 0x80;
    return count;
}

static bool is_among(const struct walk *w, const struct shape *shape, struct str text)
{
    for (uint16_t i = 0; i < shape->value_count; i++)
        if (str_is(text, shape->values[i]))
            return true;
    for (size_t i = 0; w->own && text_ends(shape->name, w->own->shape) && w->own->values[i]; i++)
        if (str_is(text, w->own->values[i]))
            return true;
    return false;
}

/* The constraints that 'd' itself breaks, one letter each; returns their number. */
static int broken_constraints(const struct walk *w, const struct shape *shape, const struct doc *d, char ret[static 8])
{
    int count = 0;
    double size;

    switch (shape->type) {
    case SHAPE_INTEGER:
    case SHAPE_LONG:
        size = (double)d->integer;
        break;
    case SHAPE_FLOAT:
    case SHAPE_DOUBLE:
        size = d->type == DOC_INTEGER ? (double)d->integer : d->real;
        break;
    case SHAPE_STRING:
        size = shape->flags & (SHAPE_HAS_MIN | SHAPE_HAS_MAX) ? (double)characters(d->text) : 0;
        break;
    case SHAPE_BLOB:
        size = (double)d->text.size;
        break;
    default:
        size = d->count;
    }
    /* S3 has a code of its own for a region that it does not know, and regions here may have any name. */
    if (shape->value_count && !is_among(w, shape, d->text) &&
        !(w->lenient && strcmp(shape->name, "BucketLocationConstraint") == 0))
        ret[count++] = 'e';
    if (w->lenient)
        return count;
    if (shape->flags & SHAPE_HAS_MAX && !(size <= shape->max))
        ret[count++] = '<';
    if (shape->flags & SHAPE_HAS_MIN && !(size >= shape->min))
        ret[count++] = '>';
    if (shape->pattern && !pattern_matches(shape->pattern, d->text))
        ret[count++] = 'p';
    return count;
}

static bool type_fits(const struct shape *shape, const struct doc *d)
{
    switch (shape->type) {
    case SHAPE_STRUCTURE:
    case SHAPE_MAP:
        return d->type == DOC_MAP;
    case SHAPE_LIST:
        return d->type == DOC_LIST;
    case SHAPE_STRING:
        return d->type == DOC_STRING;
    case SHAPE_INTEGER:
    case SHAPE_LONG:
    case SHAPE_TIMESTAMP:
        return d->type == DOC_INTEGER;
    case SHAPE_FLOAT:
    case SHAPE_DOUBLE:
        return d->type == DOC_REAL || d->type == DOC_INTEGER;
    case SHAPE_BOOLEAN:
        return d->type == DOC_BOOLEAN;
    case SHAPE_BLOB:
        return d->type == DOC_BYTES;
    }
    assert(!"no such shape");
    return false;
}

static int refuse_type(struct walk *w, const struct path *at, const struct shape *shape)
{
    static const char *const words[] = { "a structure", "a list",   "a map",     "a String", "an Integer", "a Long",
                                         "a Float",     "a Double", "a Boolean", "a Blob",   "a Timestamp" };

    buf_clear(&w->text);
    buf_append_char(&w->text, '\'');
    print_path(&w->text, at);
    return fail_code(w->err, ERR_INVALID, "SerializationException", "the value at %s' is not %s", w->text.data,
                     words[shape->type]);
}

static int check(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d);

static bool is_simple(const struct shape *shape)
{
    return shape->type >= SHAPE_STRING;
}

/* Simple items of a collection: one breach tells of the collection, however many items broke it. */
static int check_simple_items(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d,
                              const struct shape *item)
{
    bool told = false;
    char broken[8];

    for (uint32_t i = 0; i < d->count; i++) {
        const struct doc *value = d->type == DOC_LIST ? d->items[i] : d->members[i].value;

        if (value->type != DOC_NULL && !type_fits(item, value))
            return refuse_type(w, at, item);
        if (told || (value->type != DOC_NULL && broken_constraints(w, item, value, broken) == 0))
            continue;
        tell(w, at, shape, d, NULL, d->type == DOC_LIST ? "Member" : "Map value", item);
        told = true;
    }
    return 0;
}

static int check_list(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d)
{
    const struct shape *item = model_item(shape)->shape;

    if (is_simple(item))
        return check_simple_items(w, at, shape, d, item);
    for (uint32_t i = 0; i < d->count; i++) {
        struct path here = { .before = at, .index = i + 1 };

        if (d->items[i]->type == DOC_NULL)
            tell(w, &here, item, NULL, "n", NULL, NULL);
        else if (check(w, &here, item, d->items[i]) < 0)
            return -1;
    }
    return 0;
}

static int check_map(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d)
{
    const struct shape *key = model_key(shape)->shape, *item = model_value(shape)->shape;
    char broken[8];

    for (uint32_t i = 0; i < d->count; i++) {
        struct doc name = { .type = DOC_STRING, .text = str_of(d->members[i].key) };

        if (broken_constraints(w, key, &name, broken) > 0) {
            tell(w, at, shape, d, NULL, "Map keys", key);
            break;
        }
    }
    if (is_simple(item))
        return check_simple_items(w, at, shape, d, item);
    for (uint32_t i = 0; i < d->count; i++) {
        struct path here = { .before = at, .name = d->members[i].key, .is_value = true };

        if (d->members[i].value->type == DOC_NULL)
            tell(w, &here, item, NULL, "n", NULL, NULL);
        else if (check(w, &here, item, d->members[i].value) < 0)
            return -1;
    }
    return 0;
}

static int check_structure(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d)
{
    uint64_t seen[MEMBERS_MAX / 64] = { 0 };

    assert(shape->member_count <= MEMBERS_MAX);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct member *m = model_member(shape, str_of(d->members[i].key));
        struct path here = { .before = at, .name = m ? m->name : NULL };
        size_t index = m ? (size_t)(m - shape->members) : 0;

        if (!m || d->members[i].value->type == DOC_NULL)
            continue;
        seen[index / 64] |= (uint64_t)1 << index % 64;
        if (check(w, &here, m->shape, d->members[i].value) < 0)
            return -1;
    }
    for (size_t i = 0; i < shape->member_count; i++) {
        const struct member *m = &shape->members[i];
        struct path here = { .before = at, .name = m->name };

        if (!(m->flags & MEMBER_REQUIRED) || seen[i / 64] >> i % 64 & 1)
            continue;
        /* A streamed body is not in the document. */
        if (shape->payload == m && (m->flags & MEMBER_STREAMING || m->shape->flags & SHAPE_STREAMING))
            continue;
        tell(w, &here, m->shape, NULL, "n", NULL, NULL);
    }
    return 0;
}

static int check(struct walk *w, const struct path *at, const struct shape *shape, const struct doc *d)
{
    char broken[8];
    int count, result;

    if (!type_fits(shape, d))
        return refuse_type(w, at, shape);
    count = broken_constraints(w, shape, d, broken);
    for (int i = 0; i < count; i++)
        tell(w, at, shape, d, &broken[i], NULL, NULL);
    if (is_simple(shape))
        return 0;
    if (++w->depth > DEEPEST)
        return fail_code(w->err, ERR_INVALID, "SerializationException", "the input is nested too deeply");
    if (shape->type == SHAPE_LIST)
        result = check_list(w, at, shape, d);
    else if (shape->type == SHAPE_MAP)
        result = check_map(w, at, shape, d);
    else
        result = check_structure(w, at, shape, d);
    w->depth--;
    return result;
}

/* S3 tells what part of the request is at fault, not what is wrong with it. */
static int refuse_s3(struct walk *w, const struct shape *input)
{
    const struct member *m = model_member(input, str_of(w->broken_member));

    if (m && m->location != IN_BODY)
        return fail_code(w->err, ERR_INVALID, "InvalidArgument", "%s", w->text.data);
    return fail_code(w->err, ERR_INVALID, "MalformedXML",
                     "The XML you provided was not well-formed or did not validate against our published schema");
}

int validate(struct arena *a, const struct operation *operation, const struct doc *input, struct err *err)
{
    return validate_with(a, operation, input, NULL, err);
}

int validate_with(struct arena *a, const struct operation *operation, const struct doc *input,
                  const struct own_values *own, struct err *err)
{
    unsigned protocols = operation->service->protocols;
    bool query = protocols & (1 << PROTOCOL_QUERY | 1 << PROTOCOL_EC2);
    struct walk w = { .err = err, .own = own, .lenient = protocols & 1 << PROTOCOL_REST_XML };
    int result = check(&w, NULL, operation->input, input);

    if (w.long_text.size) {
        buf_append_str(&w.text, w.text.size ? "; " : "");
        buf_append(&w.text, w.long_text.data, w.long_text.size);
    }
    if (result == 0 && w.count > 0)
        result = w.lenient
                     ? refuse_s3(&w, operation->input)
                     : fail_code(err, ERR_INVALID, query ? "ValidationError" : "ValidationException",
                                 "%s%d validation error%s detected: %s", w.hints.size ? w.hints.data : "", w.count,
                                 w.count == 1 ? "" : "s", w.text.data);
    buf_free(&w.hints);
    buf_free(&w.text);
    buf_free(&w.long_text);
    return result;
}
