#include "fleet/workload.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MOST = 32, VOLUME_MOST_GB = 16384, DAY_S = 86400 };

struct table {
    struct arena *arena;
    const char *name;
    int64_t line;
    struct err *err;
};

static int wrong(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct table *t, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(t->err, ERR_INVALID, "%s:%" PRId64 ": %s", t->name, t->line, arena_vprintf(t->arena, format, arguments));
    va_end(arguments);
    return -1;
}

/* Seconds, or with a unit: "90", "1.5h". */
static bool read_time(struct str text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60e3 }, { "h", 3600e3 }, { "d", DAY_S * 1e3 } };
    size_t size = 0;
    double value;

    while (size < text.size && ((text.data[size] >= '0' && text.data[size] <= '9') || text.data[size] == '.'))
        size++;
    if (!str_to_double((struct str){ text.data, size }, &value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (str_is((struct str){ text.data + size, text.size - size }, units[i].unit) && value * units[i].ms < 1e14) {
            *ret_ms = (int64_t)(value * units[i].ms + 0.5);
            return true;
        }
    return false;
}

typedef int column_reader(struct table *, struct str, struct workload_job *);

#define TIME_COLUMN(member)                                                                            \
    static int read_##member(struct table *t, struct str s, struct workload_job *j)                    \
    {                                                                                                  \
        return read_time(s, &j->member) ? 0                                                            \
                                        : wrong(t, STR_FMT " is no time; write seconds, or 30m, 2h, 1d", \
                                                STR_ARG(s));                                           \
    }
TIME_COLUMN(submit_ms)
TIME_COLUMN(run_ms)
TIME_COLUMN(max_run_ms)
TIME_COLUMN(max_wait_ms)
TIME_COLUMN(checkpoint_cost_ms)

#define TEXT_COLUMN(member)                                                         \
    static int read_##member(struct table *t, struct str s, struct workload_job *j) \
    {                                                                               \
        j->member = str_dup(t->arena, s);                                           \
        return 0;                                                                   \
    }
TEXT_COLUMN(owner)
TEXT_COLUMN(account)
TEXT_COLUMN(labels)

static int read_interval(struct table *t, struct str s, struct workload_job *j)
{
    if (str_is(s, "none")) {
        j->checkpoint_interval_ms = NO_CHECKPOINTS;
        return 0;
    }
    return read_time(s, &j->checkpoint_interval_ms) ? 0
                                                    : wrong(t, STR_FMT " is no interval; write a time, or none",
                                                            STR_ARG(s));
}

static int read_priority(struct table *t, struct str s, struct workload_job *j)
{
    if (str_to_int64(s, &j->priority) && j->priority >= -1000 && j->priority <= 1000)
        return 0;
    return wrong(t, "priority is a whole number from -1000 to 1000, and not " STR_FMT, STR_ARG(s));
}

static int read_spot(struct table *t, struct str s, struct workload_job *j)
{
    j->spot = str_is(s, "1") || str_is(s, "true") || str_is(s, "yes");
    if (j->spot || str_is(s, "0") || str_is(s, "false") || str_is(s, "no"))
        return 0;
    return wrong(t, "spot is 0 or 1, and not " STR_FMT, STR_ARG(s));
}

static bool read_count(struct str s, int64_t *ret)
{
    return str_to_int64(s, ret) && *ret >= 1 && *ret <= NODES_MOST;
}

static int read_instances(struct table *t, struct str s, struct workload_job *j)
{
    if (!read_count(s, &j->groups[0].count))
        return wrong(t, "count is a whole number from 1, and not " STR_FMT, STR_ARG(s));
    return 0;
}

/* "ml.m5.xlarge", or groups: "ml.p4d.24xlarge:2+ml.m5.large:1" */
static int read_type(struct table *t, struct str s, struct workload_job *j)
{
    j->group_count = 0;
    while (s.size > 0) {
        struct str one, type, count;
        struct work_group *g = &j->groups[j->group_count];

        if (j->group_count == 5)
            return wrong(t, "more than 5 groups of instances");
        if (!str_cut(s, '+', &one, &s)) {
            one = s;
            s.size = 0;
        }
        if (!str_cut(one, ':', &type, &count)) {
            type = one;
        } else if (!read_count(count, &g->count)) {
            return wrong(t, "after the : of " STR_FMT " comes a number of instances", STR_ARG(one));
        }
        if (g->count == 0)
            g->count = 1;
        g->type = str_dup(t->arena, type);
        j->group_count++;
    }
    return 0;
}

static int read_volume(struct table *t, struct str s, struct workload_job *j)
{
    int64_t gb;

    if (!str_to_int64(s, &gb) || gb < 1 || gb > VOLUME_MOST_GB)
        return wrong(t, "volume is a whole number of GB from 1 to %d, and not " STR_FMT, VOLUME_MOST_GB, STR_ARG(s));
    for (int g = 0; g < j->group_count; g++)
        j->groups[g].volume_gb = gb;
    return 0;
}

/* count comes before type where both stand: it is the default of the first group. What comes after is of all groups. */
static const struct column {
    const char *name;
    column_reader *read;
    bool needed;
} columns[] = {
    { "submit", read_submit_ms, true },
    { "run", read_run_ms, true },
    { "count", read_instances, false },
    { "type", read_type, true },
    { "volume", read_volume, false },
    { "owner", read_owner, false },
    { "account", read_account, false },
    { "labels", read_labels, false },
    { "priority", read_priority, false },
    { "spot", read_spot, false },
    { "max_run", read_max_run_ms, false },
    { "max_wait", read_max_wait_ms, false },
    { "checkpoint_cost", read_checkpoint_cost_ms, false },
    { "checkpoint_interval", read_interval, false },
    {},
};

/* The next line that says something; false: there is none. */
static bool next_line(struct table *t, struct str *text, struct str *ret)
{
    while (text->size > 0) {
        if (!str_cut(*text, '\n', ret, text)) {
            *ret = *text;
            text->size = 0;
        }
        t->line++;
        *ret = str_trim(*ret);
        if (ret->size > 0 && ret->data[0] != '#')
            return true;
    }
    return false;
}

static int split(struct table *t, struct str line, struct str *fields, int *ret_count)
{
    int count = 0;
    bool more = true;

    if (memchr(line.data, '"', line.size))
        return wrong(t, "a quote; no field of a workload needs one");
    while (more) {
        if (count == COLUMNS_MOST)
            return wrong(t, "more than %d fields", COLUMNS_MOST);
        more = str_cut(line, ',', &fields[count], &line);
        if (!more)
            fields[count] = line;
        fields[count] = str_trim(fields[count]);
        count++;
    }
    *ret_count = count;
    return 0;
}

/* Where in a row each column stands; -1: nowhere. */
static int read_head(struct table *t, struct str line, int *places, int *ret_count)
{
    struct str fields[COLUMNS_MOST];

    if (split(t, line, fields, ret_count) < 0)
        return -1;
    for (const struct column *c = columns; c->name; c++)
        places[c - columns] = -1;
    for (int i = 0; i < *ret_count; i++) {
        const struct column *c = columns;

        while (c->name && !str_is(fields[i], c->name))
            c++;
        if (!c->name)
            return wrong(t,
                         "no column is called " STR_FMT "; there are submit, run, type, count, volume, owner, account, "
                         "labels, priority, spot, max_run, max_wait, checkpoint_cost, checkpoint_interval",
                         STR_ARG(fields[i]));
        if (places[c - columns] >= 0)
            return wrong(t, "the column %s stands there twice", c->name);
        places[c - columns] = i;
    }
    for (const struct column *c = columns; c->name; c++)
        if (c->needed && places[c - columns] < 0)
            return wrong(t, "the first line names the columns, and %s is missing: submit,run,type,count,owner,spot",
                         c->name);
    return 0;
}

static int read_row(struct table *t, const struct fleet *fleet, struct str line, const int *places, int count,
                    struct workload_job *ret)
{
    struct str fields[COLUMNS_MOST];
    struct workload_job j = {
        .owner = "anybody",
        .account = "000000000000",
        .labels = "",
        .checkpoint_cost_ms = fleet->checkpoints.cost_ms,
        .checkpoint_interval_ms = fleet->checkpoints.interval_ms,
        .max_run_ms = DAY_S * 1000LL, /* as on AWS */
    };
    int found;

    if (split(t, line, fields, &found) < 0)
        return -1;
    if (found != count)
        return wrong(t, "%d fields, and the first line names %d columns", found, count);
    for (const struct column *c = columns; c->name; c++) {
        int place = places[c - columns];

        if (place >= 0 && fields[place].size == 0 && c->needed)
            return wrong(t, "%s is empty", c->name);
        if (place >= 0 && fields[place].size > 0 && c->read(t, fields[place], &j) < 0)
            return -1;
    }
    if (j.max_run_ms < 1000)
        return wrong(t, "max_run is at least one second");
    *ret = j;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct workload_job *x = a, *y = b;

    if (x->submit_ms != y->submit_ms)
        return x->submit_ms < y->submit_ms ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

int workload_read(struct arena *a, const struct fleet *fleet, const char *name, struct str text, struct workload *ret,
                  struct err *err)
{
    struct table t = { .arena = a, .name = name, .err = err };
    int places[sizeof columns / sizeof *columns], count;
    struct workload_job *jobs;
    int64_t rows = 1, used = 0;
    struct str line;

    for (size_t i = 0; i < text.size; i++)
        rows += text.data[i] == '\n';
    if (!next_line(&t, &text, &line))
        return fail(err, ERR_INVALID, "%s is empty; its first line names the columns: submit,run,type,count", name);
    if (read_head(&t, line, places, &count) < 0)
        return -1;
    jobs = arena_array_of(a, struct workload_job, (size_t)rows);
    for (; next_line(&t, &text, &line); used++) {
        if (read_row(&t, fleet, line, places, count, &jobs[used]) < 0)
            return -1;
        jobs[used].line = t.line;
    }
    if (used == 0)
        return fail(err, ERR_INVALID, "%s names columns and no jobs", name);
    qsort(jobs, (size_t)used, sizeof *jobs, compare);
    *ret = (struct workload){ jobs, used };
    return 0;
}
