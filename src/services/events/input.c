#include "services/events/input.h"

#include <string.h>

#include "base/clock.h"
#include "doc/json.h"

/* --- Paths --- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == ':' || c == '/' || (unsigned char)c >= 0x80;
}

/* Cuts the next step off: a member's name, or an index. */
static bool next_step(struct str *path, struct str *ret_name, int64_t *ret_index)
{
    struct str rest = { path->data + 1, path->size - 1 }, digits;
    size_t size = 0;

    if (path->data[0] == '[')
        return str_cut(rest, ']', &digits, path) && str_to_int64(digits, ret_index) && *ret_index >= 0;
    while (size < rest.size && is_name_byte(rest.data[size]))
        size++;
    *ret_index = -1;
    *ret_name = (struct str){ rest.data, size };
    *path = (struct str){ rest.data + size, rest.size - size };
    return rest.data[-1] == '.' && size > 0;
}

static bool path_is_good(struct str path)
{
    struct str name;
    int64_t index;

    if (!path.size || path.data[0] != '$')
        return false;
    for (path = (struct str){ path.data + 1, path.size - 1 }; path.size;)
        if (!next_step(&path, &name, &index))
            return false;
    return true;
}

/* NULL: the event has no such part. */
static const struct doc *part_of(struct arena *a, const struct doc *event, const char *text)
{
    struct str path = str_of(text), name;
    const struct doc *at = event;
    int64_t index;

    for (path = (struct str){ path.data + 1, path.size - 1 }; path.size && at;) {
        if (!next_step(&path, &name, &index))
            return NULL;
        if (index < 0)
            at = at->type == DOC_MAP ? doc_get(at, str_dup(a, name)) : NULL;
        else
            at = at->type == DOC_LIST && index < at->count ? at->items[index] : NULL;
    }
    return at;
}

/* --- Templates --- */

static bool is_ours(struct str name)
{
    return str_starts(name, "aws.events.");
}

static bool name_is_good(struct str name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!is_name_byte(name.data[i]) && name.data[i] != '.')
            return false;
    return name.size > 0;
}

static const struct doc *value_of(struct arena *a, const struct target_of *t, const struct doc *event, struct str name)
{
    const struct doc *paths = doc_at(t->target, "InputTransformer.InputPathsMap");
    const char *path = doc_value_text(doc_get(paths, str_dup(a, name)));

    if (str_is(name, "aws.events.rule-arn"))
        return doc_string(a, t->rule_arn);
    if (str_is(name, "aws.events.rule-name"))
        return doc_string(a, t->rule_name);
    if (str_is(name, "aws.events.event.ingestion-time"))
        return doc_string(a, time_iso8601(a, t->now_ms, true));
    if (str_is(name, "aws.events.event.json"))
        return event;
    if (str_is(name, "aws.events.event")) { /* without its detail */
        struct doc *frame = doc_map(a);

        doc_merge(a, frame, event);
        doc_set(a, frame, "detail", NULL);
        return frame;
    }
    return *path ? part_of(a, event, path) : NULL;
}

static void put_quoted(struct buf *out, struct arena *a, const struct doc *value)
{
    _cleanup_buf_ struct buf quoted = { 0 };

    if (!value || value->type == DOC_NULL)
        return;
    json_print_string(&quoted, value->type == DOC_STRING ? value->text : str_of(json_text(a, value)));
    buf_append(out, quoted.data + 1, quoted.size - 2);
}

static const char *fill_in(struct arena *a, const struct target_of *t, const struct doc *event)
{
    struct str rest = str_of(doc_text(t->target, "InputTransformer.InputTemplate")), name, after;
    _cleanup_buf_ struct buf out = { 0 };
    bool inside = false;

    while (rest.size) {
        char c = rest.data[0];
        struct str tail = { rest.data + 1, rest.size - 1 };

        if (c == '<' && str_cut(tail, '>', &name, &after) && name_is_good(name)) {
            const struct doc *value = value_of(a, t, event, name);

            if (inside)
                put_quoted(&out, a, value);
            else
                buf_append_str(&out, value ? json_text(a, value) : "null");
            rest = after;
            continue;
        }
        if (inside && c == '\\' && tail.size) {
            buf_append(&out, rest.data, 2);
            rest = (struct str){ rest.data + 2, rest.size - 2 };
            continue;
        }
        inside = c == '"' ? !inside : inside;
        buf_append_char(&out, c);
        rest = tail;
    }
    return arena_strndup(a, out.data, out.size);
}

/* --- The whole --- */

static int check_template(const struct doc *transformer, struct err *err)
{
    struct str rest = str_of(doc_text(transformer, "InputTemplate")), name, after;
    const struct doc *paths = doc_get(transformer, "InputPathsMap");

    for (size_t i = 0; i < doc_member_count(paths, ""); i++)
        if (!path_is_good(str_of(doc_value_text(paths->members[i].value))))
            return fail_code(err, ERR_INVALID, "ValidationException", "Invalid InputPath for target: %s.",
                             doc_value_text(paths->members[i].value));
    while (str_cut(rest, '<', &name, &rest) && str_cut(rest, '>', &name, &after)) {
        bool known = false;

        for (size_t i = 0; i < doc_member_count(paths, ""); i++)
            known = known || str_is(name, paths->members[i].key);
        if (name_is_good(name) && !is_ours(name) && !known)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Invalid InputTemplate for target: it has <" STR_FMT ">, and InputPathsMap has no such "
                             "name.", STR_ARG(name));
    }
    return 0;
}

int target_input_check(struct arena *a, const struct doc *target, struct err *err)
{
    int given = doc_has(target, "Input") + doc_has(target, "InputPath") + doc_has(target, "InputTransformer");
    const char *id = doc_text(target, "Id");
    struct doc *parsed;

    if (given > 1)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Only one of Input, InputPath, or InputTransformer must be provided for target %s.", id);
    if (doc_has(target, "Input") && json_parse(a, str_of(doc_text(target, "Input")), &parsed, err) < 0)
        return fail_code(err, ERR_INVALID, "ValidationException", "JSON syntax error in input for target %s", id);
    if (doc_has(target, "InputPath") && !path_is_good(str_of(doc_text(target, "InputPath"))))
        return fail_code(err, ERR_INVALID, "ValidationException", "Invalid InputPath for target %s.", id);
    return doc_has(target, "InputTransformer") ? check_template(doc_get(target, "InputTransformer"), err) : 0;
}

const char *target_input(struct arena *a, const struct target_of *t, const struct doc *event)
{
    const struct doc *part;

    if (doc_has(t->target, "Input"))
        return doc_text(t->target, "Input");
    if (doc_has(t->target, "InputTransformer"))
        return fill_in(a, t, event);
    if (!doc_has(t->target, "InputPath"))
        return json_text(a, event);
    part = part_of(a, event, doc_text(t->target, "InputPath"));
    return part ? json_text(a, part) : "{}";
}
