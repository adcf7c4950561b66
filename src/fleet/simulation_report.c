#include "fleet/simulation_report.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { OWNERS_SHOWN = 12, REASONS_SHOWN = 5 };

static const char *const outcome_names[OUTCOMES] = {
    [OUTCOME_COMPLETED] = "completed",
    [OUTCOME_MAX_RUN] = "stopped, MaxRuntime exceeded",
    [OUTCOME_MAX_WAIT] = "stopped, MaxWaitTime exceeded",
    [OUTCOME_REFUSED] = "refused",
    [OUTCOME_RUNNING] = "still running at the end",
    [OUTCOME_WAITING] = "still waiting at the end",
};

/* 42s, 17m, 5.2h, 3.1d */
static const char *span(char *into, size_t size, double ms)
{
    if (ms < 120e3)
        snprintf(into, size, "%.0fs", ms / 1e3);
    else if (ms < 120 * 60e3)
        snprintf(into, size, "%.0fm", ms / 60e3);
    else if (ms < 48 * 3600e3)
        snprintf(into, size, "%.1fh", ms / 3600e3);
    else
        snprintf(into, size, "%.1fd", ms / 86400e3);
    return into;
}

static int compare_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(const int64_t *sorted, int64_t count, double part)
{
    int64_t at = (int64_t)ceil(part * (double)count) - 1;

    return (double)sorted[at < 0 ? 0 : at];
}

/* One line of waiting times, of the jobs that 'mine' chooses: how long until the first start. */
static void print_waits(const struct simulation *s, struct buf *out, const char *name, int64_t *waits,
                        bool (*mine)(const struct workload_job *, const void *), const void *what)
{
    int64_t count = 0;
    double sum = 0;
    char mean[16], p50[16], p95[16], p99[16], most[16];

    for (int64_t i = 0; i < s->workload->count; i++) {
        if (s->jobs[i].first_start_ms < 0 || !mine(&s->workload->jobs[i], what))
            continue;
        waits[count] = s->jobs[i].first_start_ms - s->workload->jobs[i].submit_ms;
        sum += (double)waits[count++];
    }
    if (count == 0)
        return;
    qsort(waits, (size_t)count, sizeof *waits, compare_time);
    buf_printf(out, "  %-28.28s %9" PRId64 " %8s %8s %8s %8s %8s\n", name, count,
               span(mean, sizeof mean, sum / (double)count), span(p50, sizeof p50, percentile(waits, count, 0.5)),
               span(p95, sizeof p95, percentile(waits, count, 0.95)),
               span(p99, sizeof p99, percentile(waits, count, 0.99)),
               span(most, sizeof most, percentile(waits, count, 1)));
}

static bool is_any(const struct workload_job *j, const void *what)
{
    return true;
}

static bool is_spot(const struct workload_job *j, const void *what)
{
    return j->spot == *(const bool *)what;
}

static bool has_priority(const struct workload_job *j, const void *what)
{
    return j->priority == *(const int64_t *)what;
}

static bool has_owner(const struct workload_job *j, const void *what)
{
    return strcmp(j->owner, what) == 0;
}

struct tally {
    const char *name;
    double weight;
};

static int compare_tally(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The names with the most weight first; the caller frees. */
static struct tally *tally(const struct simulation *s, bool reasons, size_t *ret_count)
{
    struct tally *all = calloc((size_t)s->workload->count + 1, sizeof *all);
    struct map *by_name = map_new();
    size_t count = 0;

    assert(all);
    for (int64_t i = 0; i < s->workload->count; i++) {
        const char *name = reasons ? s->jobs[i].refused : s->workload->jobs[i].owner;
        struct tally *t = name ? map_get(by_name, str_of(name)) : NULL;

        if (!name)
            continue;
        if (!t) {
            t = &all[count++];
            t->name = name;
            map_set(by_name, str_of(name), t);
        }
        t->weight += reasons ? 1 : s->jobs[i].usd;
    }
    map_free(by_name);
    qsort(all, count, sizeof *all, compare_tally);
    *ret_count = count;
    return all;
}

static void print_waiting(const struct simulation *s, struct buf *out)
{
    static const bool kinds[] = { false, true };
    int64_t *waits = calloc((size_t)s->workload->count + 1, sizeof *waits);
    int64_t priorities[16], priority_count = 0;
    size_t owners;
    struct tally *all = tally(s, false, &owners);

    assert(waits);
    buf_printf(out, "\n%-30s %9s %8s %8s %8s %8s %8s\n", "Waiting until the first start", "jobs", "mean", "p50", "p95",
               "p99", "most");
    print_waits(s, out, "all", waits, is_any, NULL);
    print_waits(s, out, "on demand", waits, is_spot, &kinds[0]);
    print_waits(s, out, "spot", waits, is_spot, &kinds[1]);
    for (int64_t i = 0; i < s->workload->count && priority_count < 16; i++) {
        int64_t k = 0;

        while (k < priority_count && priorities[k] != s->workload->jobs[i].priority)
            k++;
        if (k == priority_count)
            priorities[priority_count++] = s->workload->jobs[i].priority;
    }
    qsort(priorities, (size_t)priority_count, sizeof *priorities, compare_time);
    for (int64_t k = priority_count - 1; k >= 0 && priority_count > 1; k--) {
        char name[40];

        snprintf(name, sizeof name, "priority %" PRId64, priorities[k]);
        print_waits(s, out, name, waits, has_priority, &priorities[k]);
    }
    for (size_t i = 0; i < owners && i < OWNERS_SHOWN && owners > 1; i++)
        print_waits(s, out, all[i].name, waits, has_owner, all[i].name);
    if (owners > OWNERS_SHOWN)
        buf_printf(out, "  and %zu owners more; these cost the most\n", owners - OWNERS_SHOWN);
    free(all);
    free(waits);
}

static double instances_of(const struct workload_job *j)
{
    double sum = 0;

    for (int g = 0; g < j->group_count; g++)
        sum += (double)j->groups[g].count;
    return sum;
}

struct sums {
    int64_t outcomes[OUTCOMES];
    int64_t spot_jobs, preempted, interrupted, failures;
    double usd, on_demand_usd, spot_usd, spot_on_demand_usd;
    double held_h, lost_h, saving_h; /* of instances */
};

static struct sums sum_up(const struct simulation *s)
{
    struct sums t = { 0 };

    for (int64_t i = 0; i < s->workload->count; i++) {
        const struct workload_job *j = &s->workload->jobs[i];
        const struct job_result *r = &s->jobs[i];
        double hours = instances_of(j) / 3600e3;

        t.outcomes[r->outcome]++;
        t.spot_jobs += j->spot;
        t.preempted += r->preempted;
        t.interrupted += r->interrupted;
        t.failures += r->failures;
        t.usd += r->usd;
        t.on_demand_usd += r->on_demand_usd;
        t.spot_usd += j->spot ? r->usd : 0;
        t.spot_on_demand_usd += j->spot ? r->on_demand_usd : 0;
        t.held_h += hours * (double)r->held_ms;
        t.lost_h += hours * (double)r->lost_ms;
        t.saving_h += hours * (double)r->saving_ms;
    }
    return t;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static void print_fleet(const struct simulation *s, struct buf *out)
{
    double cores = 0, gpus = 0;
    char length[16];

    for (int i = 0; i < s->fleet->node_group_count; i++) {
        cores += (double)(s->fleet->nodes[i].count * s->fleet->nodes[i].has.cores);
        gpus += (double)(s->fleet->nodes[i].count * s->fleet->nodes[i].has.gpus);
    }
    buf_printf(out, "Fleet      %" PRId64 " nodes, %.0f cores, %.0f GPUs; prices of %s\n", s->fleet->node_count, cores,
               gpus, s->fleet->region);
    buf_printf(out, "Workload   %" PRId64 " jobs in %s; seed %" PRId64 "\n", s->workload->count,
               span(length, sizeof length, (double)s->length_ms), s->seed);
    buf_printf(out, "Scheduler  %" PRId64 " decisions, %" PRId64 " events\n", s->decisions, s->events);
}

static void print_refusals(const struct simulation *s, struct buf *out)
{
    size_t count;
    struct tally *all = tally(s, true, &count);

    for (size_t i = 0; i < count && i < REASONS_SHOWN; i++)
        buf_printf(out, "    %.0f time%s: %s\n", all[i].weight, all[i].weight == 1 ? "" : "s", all[i].name);
    if (count > REASONS_SHOWN)
        buf_printf(out, "    and %zu reasons more\n", count - REASONS_SHOWN);
    free(all);
}

void simulation_text(const struct simulation *s, struct buf *out)
{
    static const enum outcome order[] = { OUTCOME_COMPLETED, OUTCOME_MAX_RUN, OUTCOME_MAX_WAIT,
                                          OUTCOME_REFUSED,   OUTCOME_RUNNING, OUTCOME_WAITING };
    struct sums t = sum_up(s);

    print_fleet(s, out);
    buf_printf(out, "\nJobs\n");
    for (size_t i = 0; i < OUTCOMES; i++) {
        if (t.outcomes[order[i]] > 0)
            buf_printf(out, "  %-34s %9" PRId64 "  %5.1f %%\n", outcome_names[order[i]], t.outcomes[order[i]],
                       percent((double)t.outcomes[order[i]], (double)s->workload->count));
        if (order[i] == OUTCOME_REFUSED)
            print_refusals(s, out);
    }
    print_waiting(s, out);
    buf_printf(out, "\nUse\n  cores                  %5.1f %%\n", percent(s->core_ms, s->core_total_ms));
    if (s->gpu_total_ms > 0)
        buf_printf(out, "  GPUs                   %5.1f %%\n", percent(s->gpu_ms, s->gpu_total_ms));
    buf_printf(out, "\nCost\n  in all                 %14.2f USD\n  the same on demand     %14.2f USD\n", t.usd,
               t.on_demand_usd);
    if (t.spot_jobs > 0)
        buf_printf(out, "  saved by spot          %14.2f USD, %.1f %% of what its hours cost on demand\n",
                   t.spot_on_demand_usd - t.spot_usd, percent(t.spot_on_demand_usd - t.spot_usd, t.spot_on_demand_usd));
    buf_printf(out, "\nInterruptions\n  by the spot model      %9" PRId64 "\n  by on-demand work      %9" PRId64
                    "\n  by failed nodes        %9" PRId64 "  (%" PRId64 " nodes failed; %" PRId64
                    " instances replaced at once)\n",
               t.interrupted, t.preempted, t.failures, s->node_failures, s->replaced);
    buf_printf(out, "\nInstance hours\n  in all                 %14.1f\n  lost work              %14.1f  %5.2f %%\n"
                    "  saving and restarting  %14.1f  %5.2f %%\n",
               t.held_h, t.lost_h, percent(t.lost_h, t.held_h), t.saving_h, percent(t.saving_h, t.held_h));
}

enum { WIDTH = 960, LEFT = 64, RIGHT = 16, PANEL = 200, GAP = 56, TOP = 48 };

static double x_of(const struct simulation *s, int64_t at_ms)
{
    return LEFT + (double)(WIDTH - LEFT - RIGHT) * (double)at_ms / (double)(s->length_ms ? s->length_ms : 1);
}

static double sample_cores(const struct sample *p)
{
    return p->cores;
}

static double sample_gpus(const struct sample *p)
{
    return p->gpus;
}

static double sample_waiting(const struct sample *p)
{
    return (double)p->waiting;
}

static double sample_spot(const struct sample *p)
{
    return (double)p->spot_running;
}

static double sample_running(const struct sample *p)
{
    return (double)p->running;
}

static void curve(const struct simulation *s, struct buf *out, double top, double most, const char *colour,
                  double (*value)(const struct sample *))
{
    buf_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour);
    for (int i = 0; i < s->sample_count; i++)
        buf_printf(out, "%.1f,%.1f ", x_of(s, s->samples[i].at_ms),
                   top + PANEL * (1 - value(&s->samples[i]) / (most > 0 ? most : 1)));
    buf_printf(out, "\"/>\n");
}

static double most_of(const struct simulation *s, double (*value)(const struct sample *))
{
    double most = 1;

    for (int i = 0; i < s->sample_count; i++)
        most = value(&s->samples[i]) > most ? value(&s->samples[i]) : most;
    return most;
}

static void frame(const struct simulation *s, struct buf *out, double top, const char *title, const char *most)
{
    buf_printf(out, "<text x=\"%d\" y=\"%.0f\" font-weight=\"bold\">%s</text>\n", LEFT, top - 8, title);
    buf_printf(out, "<rect x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#999\"/>\n", LEFT, top,
               WIDTH - LEFT - RIGHT, PANEL);
    buf_printf(out, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, top + 10, most);
    buf_printf(out, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">0</text>\n", LEFT - 6, top + PANEL);
    for (int i = 0; i <= 6; i++) {
        char at[16];
        double x = LEFT + (double)(WIDTH - LEFT - RIGHT) * i / 6;

        buf_printf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n", x, top + PANEL + 16,
                   span(at, sizeof at, (double)s->length_ms * i / 6));
    }
}

static void key(struct buf *out, double x, double y, const char *colour, const char *name)
{
    buf_printf(out, "<rect x=\"%.0f\" y=\"%.0f\" width=\"12\" height=\"4\" fill=\"%s\"/><text x=\"%.0f\" y=\"%.0f\">%s"
                    "</text>\n",
               x, y - 5, colour, x + 18, y, name);
}

void simulation_svg(const struct simulation *s, struct buf *out)
{
    double use = TOP, jobs = TOP + PANEL + GAP, length = s->length_ms ? (double)s->length_ms : 1;
    double most = most_of(s, sample_running), waiting = most_of(s, sample_waiting);
    char text[32];

    most = waiting > most ? waiting : most;
    buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
                    "fill=\"white\"/>\n",
               WIDTH, TOP + 2 * PANEL + GAP + 32, WIDTH, TOP + 2 * PANEL + GAP + 32);
    frame(s, out, use, "Use of the fleet", "100 %");
    curve(s, out, use, s->core_total_ms / length, "#2b6cb0", sample_cores);
    key(out, WIDTH - 220, use - 8, "#2b6cb0", "cores");
    if (s->gpu_total_ms > 0) {
        curve(s, out, use, s->gpu_total_ms / length, "#2f855a", sample_gpus);
        key(out, WIDTH - 140, use - 8, "#2f855a", "GPUs");
    }
    snprintf(text, sizeof text, "%.0f", most);
    frame(s, out, jobs, "Jobs", text);
    curve(s, out, jobs, most, "#2b6cb0", sample_running);
    curve(s, out, jobs, most, "#2f855a", sample_spot);
    curve(s, out, jobs, most, "#c05621", sample_waiting);
    key(out, WIDTH - 300, jobs - 8, "#2b6cb0", "running");
    key(out, WIDTH - 210, jobs - 8, "#2f855a", "of them spot");
    key(out, WIDTH - 96, jobs - 8, "#c05621", "waiting");
    buf_printf(out, "</svg>\n");
}
