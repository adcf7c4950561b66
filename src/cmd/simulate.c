/* simulate.c - `sagebrush simulate`: what a fleet would do with a workload. */
#include <stdio.h>

#include "base/fd.h"
#include "cmd/command.h"
#include "fleet/example.h"
#include "fleet/simulation_report.h"

enum { FILE_MOST = 1 << 30 };

static int64_t seed = -1, days, nodes = 100, jobs = 5000;
static const char *svg, *example;

static const struct command_option options[] = {
    { "seed", "N", "Where chance begins: interruptions and failures. Default: the seed of the fleet file.",
      .number = &seed },
    { "days", "N", "Ends after so many days. Default: when all work has ended.", .number = &days },
    { "svg", "FILE", "Draws use and queue over time into the file.", .text = &svg },
    { "example", "DIR", "Writes fleet.toml and workload.csv to begin with into the folder, and does nothing else.",
      .text = &example },
    { "nodes", "N", "Of the example: 100.", .number = &nodes },
    { "jobs", "N", "Of the example: 5000, in as many days as --days says (7).", .number = &jobs },
    {},
};

static int write_example(struct arena *a, struct err *err)
{
    _cleanup_buf_ struct buf fleet = { 0 }, workload = { 0 };
    const char *fleet_path = arena_printf(a, "%s/fleet.toml", example);
    const char *workload_path = arena_printf(a, "%s/workload.csv", example);

    if (nodes < 2 || nodes > NODES_MOST || jobs < 1 || jobs > 10000000)
        return fail(err, ERR_INVALID, "an example has 2 to %d nodes and 1 to 10000000 jobs", NODES_MOST);
    if (path_exists(fleet_path) || path_exists(workload_path))
        return fail(err, ERR_CONFLICT, "%s has a fleet.toml or a workload.csv already; name another folder", example);
    example_fleet(&fleet, nodes);
    example_workload(&workload, nodes, jobs, days ? days : 7, 0.8, seed < 0 ? 1 : seed);
    if (folder_make(example, 0777, err) < 0 || file_write_atomic(fleet_path, fleet.data, fleet.size, 0644, err) < 0 ||
        file_write_atomic(workload_path, workload.data, workload.size, 0644, err) < 0)
        return -1;
    printf("%s\n%s\n\nsagebrush simulate %s %s --svg %s/report.svg\n", fleet_path, workload_path, fleet_path,
           workload_path, example);
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    _cleanup_buf_ struct buf text = { 0 }, picture = { 0 };
    struct str fleet_text, workload_text;
    struct workload workload;
    struct simulation *result = arena_new_of(a, struct simulation);
    struct fleet fleet;

    if (example)
        return write_example(a, err);
    if (count < 2)
        return fail(err, ERR_INVALID,
                    "name a fleet file and a workload; `sagebrush simulate --example DIR` writes two to begin with");
    if (days < 0 || days > 36500)
        return fail(err, ERR_INVALID, "--days goes from 1 to 36500");
    if (file_read(a, words[0], FILE_MOST, &fleet_text, err) < 0 ||
        fleet_read(a, words[0], fleet_text, &fleet, err) < 0)
        return -1;
    if (!fleet.node_count)
        return fail(err, ERR_INVALID, "%s: a simulation needs nodes; add [[nodes]] with name, cores and memory",
                    words[0]);
    if (file_read(a, words[1], FILE_MOST, &workload_text, err) < 0 ||
        workload_read(a, &fleet, words[1], workload_text, &workload, err) < 0 ||
        simulate(a, &fleet, &workload, seed < 0 ? fleet.seed : seed, days, result, err) < 0)
        return -1;
    simulation_text(result, &text);
    fwrite(text.data, 1, text.size, stdout);
    if (!svg)
        return 0;
    simulation_svg(result, &picture);
    return file_write_atomic(svg, picture.data, picture.size, 0644, err);
}

const struct command simulate_command = {
    .name = "simulate",
    .usage = "FLEET.toml WORKLOAD.csv | --example DIR",
    .summary = "what a fleet would do with a workload: waiting, cost, spot",
    .about =
        "Runs a workload on a fleet, on a fake clock, with the scheduler and the spot model of Sagebrush: who would "
        "wait for how long, how busy the machines would be, what it would cost, what spot would save, how often it "
        "would be interrupted and how much work would be done twice. Nothing is started and no server is needed. The "
        "same files and the same seed give the same report, byte for byte.\n"
        "\n"
        "The fleet file says which nodes there are, by which rules they are shared and what they cost; the workload "
        "has one job a line. docs/manual/simulate.md and docs/manual/fleet.md describe both. To begin:\n"
        "\n"
        " sagebrush simulate --example .\n"
        " sagebrush simulate fleet.toml workload.csv --svg report.svg",
    .options = options,
    .most = 2,
    .run = run,
};
