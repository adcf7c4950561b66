#include "fleet/example.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "base/rand.h"

enum { DAY_S = 86400, NODE_CORES = 64, GPUS_A_NODE = 8 };

void example_fleet(struct buf *b, int64_t nodes)
{
    int64_t gpu_nodes = nodes >= 10 ? nodes / 10 : nodes > 1, spares = gpu_nodes / 50;

    buf_printf(b,
               "# A fleet to begin with: `sagebrush simulate fleet.toml workload.csv`. What each key means:\n"
               "# docs/manual/fleet.md\n"
               "region = \"us-east-1\"    # whose prices count\n"
               "seed = 1\n\n"
               "[[pools]]\nname = \"cpu\"\n\n"
               "[[pools]]\nname = \"gpu\"\naccepts = [\"ml.p4d.*\", \"box.*\"]   # no CPU work beside GPUs\n"
               "spares = %" PRId64
               "\n\n"
               "[[nodes]]\nname = \"cpu\"\npool = \"cpu\"\ncount = %" PRId64
               "\ncores = %d\nmemory = \"256GiB\"\ndisk = \"2TB\"\n\n",
               spares, nodes - gpu_nodes > 0 ? nodes - gpu_nodes : 1, NODE_CORES);
    if (gpu_nodes > 0)
        buf_printf(b,
                   "[[nodes]]\nname = \"gpu\"\npool = \"gpu\"\ncount = %" PRId64
                   "\ncores = 96\nmemory = \"1152GiB\"\ndisk = \"8TB\"\n"
                   "gpus = { kind = \"A100\", count = %d, memory = \"40GiB\" }\n\n",
                   gpu_nodes, GPUS_A_NODE);
    buf_printf(b, "%s",
               "# Types of our own: a slice of a GPU node.\n"
               "[[types]]\nname = \"box.1gpu\"\nvcpus = 12\nmemory = \"144GiB\"\n"
               "gpus = { kind = \"A100\", count = 1 }\nusd_hour = 2.8\nspot_usd_hour = 1.1\n"
               "interruptions_per_hour = 0.01\n\n"
               "[[owners]]\nowner = \"research-*\"\nweight = 2\n\n"
               "[[owners]]\nowner = \"production\"\nweight = 1\npriority = 10\n\n"
               "[share]\nhalf_life = \"7d\"\n\n"
               "[queue]\npatience = \"3d\"\n\n"
               "[spot]\nnotice = \"120s\"\n\n"
               "[[spot.rates]]\ntype = \"ml.*\"\nper_hour = 0.01\n\n"
               "[failures]\nmean_time_between = \"400d\"\nrepair = \"6h\"\n\n"
               "[checkpoints]\ncost = \"20s\"\nrestart = \"60s\"\n");
}

/* Kinds of work that a platform sees; 'share' of the jobs. */
static const struct kind_of_work {
    double share;
    const char *type;
    int64_t counts[4]; /* one of them */
    double node_part; /* of a node of its pool, an instance */
    double hours; /* the middle of a wide spread */
    double spot; /* part of it that is spot */
    bool gpu;
} works[] = {
    { 0.50, "ml.m5.xlarge", { 1, 1, 1, 2 }, 4.0 / NODE_CORES, 1.0, 0.3, false },
    { 0.22, "ml.m5.4xlarge", { 1, 1, 2, 4 }, 16.0 / NODE_CORES, 2.0, 0.3, false },
    { 0.08, "ml.c5.9xlarge", { 1, 2, 4, 8 }, 36.0 / NODE_CORES, 3.0, 0.4, false },
    { 0.14, "box.1gpu", { 1, 1, 1, 2 }, 1.0 / GPUS_A_NODE, 3.0, 0.4, true },
    { 0.06, "ml.p4d.24xlarge", { 1, 1, 2, 4 }, 1, 8.0, 0.25, true },
};

/* A log-normal factor around 1: many short runs, a few long ones. */
static double spread(struct rand *r, double sigma)
{
    double u = 1 - rand_unit(r), v = rand_unit(r);

    return exp(sigma * sqrt(-2 * log(u)) * cos(2 * M_PI * v));
}

static const struct kind_of_work *choose(struct rand *r)
{
    double at = rand_unit(r);
    const struct kind_of_work *w = works;

    for (; w < works + sizeof works / sizeof *works - 1 && at >= w->share; w++)
        at -= w->share;
    return w;
}

/* Hours of one node that an average job takes, with its spread, by pool. */
static double mean_node_hours(bool gpu, double sigma)
{
    double sum = 0;

    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        const struct kind_of_work *w = &works[i];
        double count = (double)(w->counts[0] + w->counts[1] + w->counts[2] + w->counts[3]) / 4;

        if (w->gpu == gpu)
            sum += w->share * count * w->node_part * w->hours * exp(sigma * sigma / 2);
    }
    return sum;
}

void example_workload(struct buf *b, int64_t nodes, int64_t jobs, int64_t days, double load, int64_t seed)
{
    static const char *const owners[] = { "research-vision", "research-text", "production", "analytics", "students" };
    const double sigma = 1.0;
    struct rand r = rand_seeded((uint64_t)seed);
    int64_t gpu_nodes = nodes >= 10 ? nodes / 10 : nodes > 1;
    double scale[2], at_s = 0;

    /* How much longer each job runs than its kind's middle, so that the fleet is as busy as asked. */
    for (int gpu = 0; gpu < 2; gpu++) {
        double there = (double)(gpu ? gpu_nodes : nodes - gpu_nodes) * 24 * (double)days;

        scale[gpu] = load * there / ((double)jobs * mean_node_hours(gpu, sigma));
    }
    buf_printf(b, "# submit and run in seconds; what a column means: docs/manual/simulate.md\n"
                  "submit,owner,type,count,run,max_run,spot,max_wait,priority\n");
    for (int64_t i = 0; i < jobs; i++) {
        const struct kind_of_work *w = choose(&r);
        int64_t count = w->counts[rand_below(&r, 4)];
        double run_s = 3600 * w->hours * scale[w->gpu] * spread(&r, sigma);
        bool spot = rand_unit(&r) < w->spot;
        double hour = fmod(at_s / 3600, 24);
        /* People say two to four times what they need. */
        double said = 2 + 2 * rand_unit(&r);

        run_s = run_s < 30 ? 30 : run_s > 7 * DAY_S ? 7 * DAY_S : run_s;
        /* At noon three times as many come as at midnight. */
        at_s += -log1p(-rand_unit(&r)) * (double)days * DAY_S / (double)jobs / (1 - 0.5 * cos(2 * M_PI * hour / 24));
        buf_printf(b, "%.0f,%s,%s,%" PRId64 ",%.0f,%.0f,%d,%s,%d\n", at_s, owners[rand_below(&r, 5)], w->type, count,
                   run_s, said * run_s + 300, spot, spot ? "30d" : "", rand_below(&r, 20) == 0 ? 5 : 0);
    }
}
