#include "services/admin/node_words.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "doc/json.h"

enum { REPORT_MOST = 1 << 20, AHEAD_MS = 24 * 3600 * 1000 };

static const int64_t integer_most = INT64_C(1) << 53;

static int64_t within(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

/* 'name': of the member that it is in. */
static void bound(struct doc *d, const char *name, int64_t latest_ms)
{
    bool time = text_ends(name, "_ms");

    if (d->type == DOC_INTEGER)
        d->integer = time ? within(d->integer, 0, latest_ms) : within(d->integer, -integer_most, integer_most);
    else if (d->type == DOC_REAL && time)
        d->real = fmin(fmax(d->real, 0), (double)latest_ms);
    for (uint32_t i = 0; d->type == DOC_LIST && i < d->count; i++)
        bound(d->items[i], name, latest_ms);
    for (uint32_t i = 0; d->type == DOC_MAP && i < d->count; i++)
        bound(d->members[i].value, d->members[i].key, latest_ms);
}

void node_words_bound(struct doc *body, int64_t now_ms)
{
    bound(body, "", now_ms + AHEAD_MS);
}

int node_words_check_report(struct arena *a, const struct doc *report, struct err *err)
{
    if (report->type != DOC_MAP)
        return fail(err, ERR_INVALID, "the report is no map");
    /* As it is written, which may be longer than it came. */
    if (strlen(json_text(a, report)) > REPORT_MOST)
        return fail(err, ERR_LIMIT, "the report is larger than %d bytes", REPORT_MOST);
    return 0;
}
