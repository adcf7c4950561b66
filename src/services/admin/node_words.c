#include "services/admin/node_words.h"

#include <string.h>

#include "doc/json.h"

enum { REPORT_MOST = 1 << 20 };

static const int64_t integer_most = INT64_C(1) << 53;

/* When something happened; the others are durations. */
static bool is_moment(const char *name)
{
    static const char *const moments[] = { "at_ms", "started_ms", "ended_ms", "since_ms", "overran_ms" };

    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        if (strcmp(name, moments[i]) == 0)
            return true;
    return false;
}

static int64_t within(int64_t n, int64_t least, int64_t most)
{
    return n > most ? most : n < least ? least : n;
}

struct window {
    int64_t from_ms, to_ms;
};

/* 0: not yet. */
static int64_t moment(int64_t at_ms, const struct window *w)
{
    return at_ms > 0 ? within(at_ms, w->from_ms, w->to_ms) : 0;
}

/* 'name': of the member that it is in. */
static void bound(struct doc *d, const char *name, const struct window *w)
{
    if ((d->type == DOC_INTEGER || d->type == DOC_REAL) && is_moment(name)) {
        d->integer = moment(doc_int(d, "", 0), w);
        d->type = DOC_INTEGER;
    } else if (d->type == DOC_INTEGER) {
        d->integer = within(d->integer, -integer_most, integer_most);
    }
    for (uint32_t i = 0; d->type == DOC_LIST && i < d->count; i++)
        bound(d->items[i], name, w);
    for (uint32_t i = 0; d->type == DOC_MAP && i < d->count; i++)
        bound(d->members[i].value, d->members[i].key, w);
}

void node_words_bound(struct doc *body, int64_t ordered_ms, int64_t now_ms)
{
    bound(body, "", &(struct window){ ordered_ms < now_ms ? ordered_ms : now_ms, now_ms });
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
