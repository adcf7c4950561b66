#include "agent/manifest.h"

#include "agent/s3.h"
#include "doc/json.h"

int manifest_read(struct arena *a, struct str text, const char *uri, struct manifest *ret, struct err *err)
{
    struct manifest m = { 0 };
    struct doc *list;

    if (json_parse(a, text, &list, err) < 0)
        return fail(err, ERR_INVALID, "the manifest %s is no JSON: %s", uri, err->text);
    if (list->type != DOC_LIST || list->count == 0 || !*doc_text(list->items[0], "prefix"))
        return fail(err, ERR_INVALID, "the manifest %s does not start with {\"prefix\": \"s3://...\"}", uri);
    if (s3_uri(a, doc_text(list->items[0], "prefix"), &m.bucket, &m.prefix, err) < 0)
        return -1;
    m.count = list->count - 1;
    m.names = arena_array_of(a, const char *, m.count);
    for (size_t i = 0; i < m.count; i++) {
        m.names[i] = doc_value_text(list->items[i + 1]);
        if (!*m.names[i])
            return fail(err, ERR_INVALID, "the manifest %s has an entry that is no text", uri);
    }
    *ret = m;
    return 0;
}
