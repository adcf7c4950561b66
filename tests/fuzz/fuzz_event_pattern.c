/* links: base doc services */
/* An event pattern, the first line, and events after it. A rule and a target's input are checked before they are used:
 * what passes the check never fails later, and a pattern of the event's own scalars fits it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "doc/json.h"
#include "services/events/input.h"
#include "services/events/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct doc *target_of(struct arena *a, struct str line)
{
    struct doc *target = doc_map(a), *paths = doc_map(a), *transformer = doc_map(a);

    doc_set_string(a, target, "Id", "t");
    doc_set(a, paths, "a", doc_str(a, line));
    doc_set(a, transformer, "InputPathsMap", paths);
    doc_set(a, transformer, "InputTemplate", doc_str(a, line));
    doc_set(a, target, line.size % 2 ? "InputTransformer" : "InputPath",
            line.size % 2 ? transformer : doc_str(a, line));
    return target;
}

/* {"k": v} fits {"k": [v]}. */
static void fits_itself(struct arena *a, const struct doc *event)
{
    for (uint32_t i = 0; event->type == DOC_MAP && i < event->count; i++) {
        struct doc *pattern = doc_map(a), *list = doc_list(a);
        int64_t effort = INT64_MAX;

        if (event->members[i].value->type == DOC_LIST || event->members[i].value->type == DOC_MAP)
            continue;
        doc_append(a, list, event->members[i].value);
        doc_set(a, pattern, event->members[i].key, list);
        assert(event_pattern_matches(pattern, event, &effort));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str rest = { (const char *)data, size }, first = rest, line;
    struct doc *pattern = NULL, *event;
    struct err err;

    if (!str_cut(rest, '\n', &first, &rest))
        rest = (struct str){ 0 };
    if (event_pattern_parse(a, first, &pattern, &err) < 0)
        assert(strcmp(err.code, "InvalidEventPatternException") == 0);
    while (rest.size) {
        struct str after = { 0 };
        int64_t effort = EVENT_EFFORT;
        struct doc *target;

        line = rest;
        str_cut(rest, '\n', &line, &after);
        rest = after;
        if (json_parse(a, line, &event, &err) < 0)
            continue;
        fits_itself(a, event);
        if (pattern)
            (void)event_pattern_matches(pattern, event, &effort);
        target = target_of(a, first);
        if (target_input_check(a, target, &err) == 0)
            (void)target_input(a, &(struct target_of){ target, "r", "arn", 1 }, event);
        else
            assert(strcmp(err.code, "ValidationException") == 0);
    }
    return 0;
}
