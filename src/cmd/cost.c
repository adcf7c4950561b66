/* cost.c - `sagebrush cost`: what was used, and what it costs by the prices of its day. Money is a query over the
 * usage intervals; one that is open counts until now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"

enum { DAY_MS = 24 * 3600 * 1000, DAYS = 30 };

static const char *by = "name";
static int64_t days = DAYS;
static bool as_json;

static const struct command_option options[] = {
    { "by", "WHAT", "name (of the job or endpoint; the default), type, role, work (training, hosting...), or tag:KEY.",
      .text = &by },
    { "days", "N", "Of the last N days. Default: 30.", .number = &days },
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

/* What it can be asked by: the attribute of an interval that tells the lines apart, or the tag of that key. */
struct grouping {
    const char *word, *attribute, *title;
    const char *tag;
};

static const struct grouping groupings[] = {
    { "name", "owner_arn", "NAME" },
    { "type", "instance_type", "INSTANCE TYPE" },
    { "role", "role_arn", "ROLE" },
    { "work", "work", "WORK" },
};
static const char by_tag[] = "tag:";

struct line {
    const char *name; /* NULL: of what has no such tag */
    int64_t used_ms, spot_ms;
    double usd;
    int64_t waived_ms;
    int instances;
    bool running, spot, on_demand, unpriced;
};

/* The last part of an ARN is what people call it. */
static const char *last_part(const char *arn)
{
    const char *slash = strrchr(arn, '/');

    return slash ? slash + 1 : arn;
}

/* What was written down before instances had a name of their own: the agent's, without the number of the attempt. */
static const char *instance_of(struct arena *a, const struct doc *interval)
{
    const char *uid = doc_text(interval, "uid"), *dash;

    if (doc_has(interval, "instance"))
        return doc_text(interval, "instance");
    if (text_ends(uid, "-warm"))
        uid = arena_strndup(a, uid, strlen(uid) - strlen("-warm"));
    dash = strrchr(uid, '-');
    return dash ? arena_strndup(a, uid, (size_t)(dash - uid)) : uid;
}

/* An instance counts once in a line, however many attempts it took. 'key': of the line. */
static bool is_new(struct arena *a, struct map *instances, const char *key, const struct doc *interval)
{
    const char *name = arena_printf(a, "%s %s", instance_of(a, interval), key);

    return !map_set(instances, str_of(name), (void *)interval);
}

static void add(struct line *l, const struct doc *interval, int64_t from_ms, bool counts)
{
    int64_t begin_ms = doc_int(interval, "from_ms", 0), length_ms;
    bool spot = doc_bool(interval, "spot", false);

    if (begin_ms < from_ms)
        begin_ms = from_ms;
    length_ms = doc_int(interval, "to_ms", 0) - begin_ms;
    if (length_ms < 0)
        length_ms = 0;
    l->instances += counts;
    l->used_ms += length_ms;
    l->spot_ms += spot ? length_ms : 0;
    if (doc_has(interval, "waived"))
        l->waived_ms += length_ms;
    else
        l->usd += (double)length_ms / 3600e3 * doc_number(interval, "usd_hour", 0);
    l->running = l->running || doc_bool(interval, "open", false);
    l->spot = l->spot || spot;
    l->on_demand = l->on_demand || !spot;
    l->unpriced = l->unpriced || !doc_has(interval, "usd_hour");
}

static int dearest_first(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->usd != y->usd)
        return x->usd < y->usd ? 1 : -1;
    return x->name && y->name ? strcmp(x->name, y->name) : !x->name - !y->name;
}

static const char *shown(const struct line *l)
{
    return l->name ? l->name : "(no such tag)";
}

static void print_text(const char *title, const struct line *lines, size_t count, const struct line *total)
{
    int width = (int)strlen(title);

    for (size_t i = 0; i < count; i++)
        if ((int)strlen(shown(&lines[i])) > width)
            width = (int)strlen(shown(&lines[i]));
    printf("%-*s %10s %14s %12s\n", width, title, "INSTANCES", "SECONDS", "USD");
    for (size_t i = 0; i < count; i++) {
        printf("%-*s %10d %14.1f %12.6f%s", width, shown(&lines[i]), lines[i].instances,
               (double)lines[i].used_ms / 1e3, lines[i].usd, lines[i].spot ? "  spot" : "");
        if (lines[i].spot && lines[i].on_demand)
            printf(" for %.1f s of it", (double)lines[i].spot_ms / 1e3);
        printf("%s%s", lines[i].running ? "  runs" : "", lines[i].unpriced ? "  no price for some of it" : "");
        if (lines[i].waived_ms)
            printf("  %.1f s not billed: the instance failed", (double)lines[i].waived_ms / 1e3);
        printf("\n");
    }
    printf("%-*s %10d %14.1f %12.6f\n", width, "total", total->instances, (double)total->used_ms / 1e3, total->usd);
}

static void print_json(struct arena *a, const struct line *lines, size_t count, const struct line *total)
{
    struct doc *d = doc_map(a), *list = doc_member(a, d, "lines", DOC_LIST);

    for (size_t i = 0; i < count; i++) {
        struct doc *l = doc_map(a);

        doc_set(a, l, "name", lines[i].name ? doc_str(a, str_of(lines[i].name)) : doc_null(a));
        doc_set_integer(a, l, "instances", lines[i].instances);
        doc_set_integer(a, l, "used_ms", lines[i].used_ms);
        doc_set_integer(a, l, "waived_ms", lines[i].waived_ms);
        doc_set_real(a, l, "usd", lines[i].usd);
        doc_set_boolean(a, l, "running", lines[i].running);
        doc_set_boolean(a, l, "unpriced", lines[i].unpriced);
        doc_set_boolean(a, l, "spot", lines[i].spot && !lines[i].on_demand);
        doc_set_integer(a, l, "spot_ms", lines[i].spot_ms);
        doc_append(a, list, l);
    }
    doc_set_real(a, d, "usd", total->usd);
    command_print_json(d);
}

struct bill {
    struct arena *arena;
    struct grouping by;
    int64_t from_ms;
    struct line *lines, total;
    size_t count, room;
    struct map *seen; /* a line's key -> its number, from 1 on */
    struct map *instances, *open;
};

/* What tells its line from others, never "": a tag's value may be anything, also nothing. */
static const char *key_of(struct arena *a, const struct bill *b, const struct doc *interval)
{
    const struct doc *tags = doc_get(interval, "tags");

    if (!b->by.tag)
        return doc_text(interval, b->by.attribute);
    for (size_t i = 0; i < doc_count(tags, ""); i++)
        if (doc_is(tags->items[i], "Key", b->by.tag))
            return arena_printf(a, "=%s", doc_text(tags->items[i], "Value"));
    return "none";
}

static struct line *line_of(struct bill *b, const char *key)
{
    const char *name = b->by.tag ? (*key == '=' ? key + 1 : NULL) : last_part(key);
    size_t number = (size_t)map_get(b->seen, str_of(key));

    if (number)
        return &b->lines[number - 1];
    if (b->count == b->room) {
        struct line *more = arena_array_of(b->arena, struct line, b->room * 2 + 64);

        if (b->count)
            memcpy(more, b->lines, sizeof *more * b->count);
        b->lines = more;
        b->room = b->room * 2 + 64;
    }
    b->lines[b->count++] = (struct line){ .name = name ? arena_strdup(b->arena, name) : NULL };
    map_set(b->seen, str_of(key), (void *)b->count);
    return &b->lines[b->count - 1];
}

static void add_page(struct bill *b, struct arena *a, const struct doc *intervals)
{
    for (uint32_t i = 0; i < intervals->count; i++) {
        const struct doc *interval = intervals->items[i];
        const char *key = key_of(a, b, interval), *uid = doc_text(interval, "uid");

        /* It was open on the first page, and has ended since. */
        if (map_get(b->open, str_of(uid)))
            continue;
        if (doc_bool(interval, "open", false))
            map_set(b->open, str_of(uid), b);
        add(line_of(b, key), interval, b->from_ms, is_new(a, b->instances, key, interval));
        add(&b->total, interval, b->from_ms, is_new(a, b->instances, "", interval));
    }
}

static int add_all(struct bill *b, const char *data, struct err *err)
{
    const char *query = arena_printf(b->arena, "from_ms=%lld", (long long)b->from_ms);

    while (query) {
        _cleanup_arena_ struct arena *a = arena_new(); /* of a page: all of them may be a million */
        const struct doc *answer;

        if (client_admin(a, data, "GET", arena_printf(a, "/_sagebrush/admin/v1/usage?%s", query), NULL, &answer,
                         err) < 0)
            return -1;
        if (!doc_get(answer, "intervals") || doc_get(answer, "intervals")->type != DOC_LIST)
            return fail(err, ERR_INTERNAL, "the server's answer has no intervals");
        add_page(b, a, doc_get(answer, "intervals"));
        query = doc_has(answer, "after_ms")
                    ? arena_printf(b->arena, "after_ms=%lld", (long long)doc_int(answer, "after_ms", 0)) : NULL;
    }
    return 0;
}

static int read_grouping(struct arena *a, struct grouping *ret, struct err *err)
{
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++)
        if (strcmp(by, groupings[i].word) == 0) {
            *ret = groupings[i];
            return 0;
        }
    if (!text_starts(by, by_tag) || strcmp(by, by_tag) == 0)
        return fail(err, ERR_INVALID, "--by is name, type, role, work or tag:KEY, not \"%s\"", by);
    *ret = (struct grouping){ .word = by, .tag = by + strlen(by_tag) };
    ret->title = arena_printf(a, "TAG %s", ret->tag);
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    struct bill b = { .arena = a, .total = { .name = "" } };
    const char *data;
    int r;

    (void)words, (void)count;
    if (read_grouping(a, &b.by, err) < 0)
        return -1;
    if (days < 1)
        return fail(err, ERR_INVALID, "--days is 1 or more");
    if (settings_data_folder(a, command_data, &data, err) < 0)
        return -1;
    b.from_ms = clock_wall_ms(clock_system()) - days * DAY_MS;
    b.seen = map_new();
    b.instances = map_new();
    b.open = map_new();
    r = add_all(&b, data, err);
    map_free(b.seen);
    map_free(b.instances);
    map_free(b.open);
    if (r < 0)
        return -1;
    if (b.count)
        qsort(b.lines, b.count, sizeof *b.lines, dearest_first);
    if (as_json)
        print_json(a, b.lines, b.count, &b.total);
    else
        print_text(b.by.title, b.lines, b.count, &b.total);
    return 0;
}

const struct command cost_command = {
    .name = "cost",
    .usage = "[--by name|type|role|work|tag:KEY] [--days N] [--json]",
    .summary = "what was used, and what it costs",
    .about =
        "Adds up what instances of jobs and endpoints were used for how long, the dearest first: from the moment the "
        "data come down until the results are saved, measured on the machine, to the millisecond. What still runs "
        "counts until now. An instance of a job or an endpoint counts once, however many attempts it took, and also "
        "while it is kept warm. Prices are those of the time of use, on demand, or spot for managed spot: the fleet "
        "file's of its own types, the catalogue's in the file's region of all others, and without a file SageMaker's "
        "own of us-east-1. What an attempt used that ended because of its instance, and not of your code, is not "
        "billed. By tag:KEY, each second counts for the value that the tag of the job or endpoint had then, also after "
        "that was deleted. An hour of an instance type without a price costs nothing here, and the line says so.",
    .options = options,
    .run = run,
};
