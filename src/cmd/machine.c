#include "cmd/machine.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "fleet/fleet.h"
#include "fleet/limits.h"
#include "run/command.h"
#include "run/runtime.h"
#include "run/slurm_text.h"

enum { FLEET_MAX_BYTES = 64 << 20, SLURM_ANSWER_MS = 15000 };

/* 2025-01-01: this program is younger. */
static const int64_t earliest_ms = INT64_C(1735689600000);

static int check_clock(struct clock *clock, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    if (clock_wall_ms(clock) >= earliest_ms)
        return 0;
    return fail(err, ERR_UNAVAILABLE,
                "the clock of this machine says %s: certificates and signatures that are made by it would be refused. "
                "Set it (timedatectl set-ntp true, or date -s), then start again",
                time_iso8601(a, clock_wall_ms(clock), false));
}

static int check_containers(struct err *err)
{
    if (geteuid() != 0)
        return fail(err, ERR_DENIED,
                    "containers need root: start with `sudo sagebrush up`, or choose --runtime process (no isolation) "
                    "or --runtime sim (nothing is run)");
    if (!container_runtime_program())
        return fail(err, ERR_UNAVAILABLE,
                    "containers need runc, which is not installed: apt-get install runc, or choose --runtime process "
                    "(no isolation) or --runtime sim (nothing is run)");
    return 0;
}

/* Nodes that are other machines come to the public port. */
static int check_slurm_server(const struct settings *s, struct err *err)
{
    bool loopback = strcmp(s->address, "127.0.0.1") == 0 || strcmp(s->address, "::1") == 0;

    if (!*s->slurm.server || !loopback)
        return 0;
    return fail(err, ERR_INVALID,
                "slurm-server = %s is where the nodes of the cluster reach the server, and it listens on %s, which "
                "only this machine reaches: set bind to that address, or to 0.0.0.0",
                s->slurm.server, s->address);
}

static int check_slurm(const struct settings *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = getenv("PATH");
    struct str rest = str_of(path ? path : "/usr/bin"), folder;

    if (check_containers(err) < 0 || check_slurm_server(s, err) < 0)
        return -1;
    while (rest.size) {
        if (!str_cut(rest, ':', &folder, &rest)) {
            folder = rest;
            rest.size = 0;
        }
        if (access(arena_printf(a, STR_FMT "/sbatch", STR_ARG(folder)), X_OK) == 0)
            return 0;
    }
    return fail(err, ERR_UNAVAILABLE,
                "the runtime slurm needs Slurm's commands (sbatch, squeue, scancel), which are in no folder of PATH: "
                "apt-get install slurm-client, and see that this machine can submit jobs to the cluster");
}

static int check_fleet(const struct settings *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = s->fleet;
    struct fleet fleet;
    struct str text;

    if (!*path)
        return 0;
    if (file_read(a, path, FLEET_MAX_BYTES, &text, err) < 0)
        return fail(err, err->kind,
                    "the fleet file cannot be read: %s. --fleet FILE, and the setting `fleet`, which is kept from one "
                    "start to the next, name a TOML file (`sagebrush simulate --example DIR` writes one to begin "
                    "with); --fleet \"\" starts without any",
                    err->text);
    if (fleet_read(a, path, text, &fleet, err) < 0)
        return -1;
    if (fleet.node_count && strcmp(s->runtime, "slurm") == 0)
        return fail(err, ERR_INVALID,
                    "the runtime slurm takes no nodes of a fleet file (%s): a Slurm cluster has its own. Take "
                    "[[nodes]] and [[pools]] out of it; types, prices, quotas and owners may stay",
                    path);
    return 0;
}

int machine_check(const struct settings *s, struct clock *clock, struct err *err)
{
    if (check_clock(clock, err) < 0 || check_fleet(s, err) < 0)
        return -1;
    if (strcmp(s->runtime, "slurm") == 0)
        return check_slurm(s, err);
    return strcmp(s->runtime, "container") == 0 ? check_containers(err) : 0;
}

/* The GPUs are counted by the server. */
static void warn_of_fleet(const struct settings *s, const char *data_folder)
{
    const struct machine machine = { .cores = (int)sysconf(_SC_NPROCESSORS_ONLN), .gpus = INT_MAX,
                                     .memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
                                     .disk_bytes = folder_disk_bytes(data_folder) };
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf too_much = { 0 };
    struct fleet fleet;
    struct str text;
    struct err err;

    if (file_read(a, s->fleet, FLEET_MAX_BYTES, &text, &err) < 0 || fleet_read(a, s->fleet, text, &fleet, &err) < 0)
        return;
    fleet_overdrawn(&fleet, &machine, &too_much);
    if (too_much.size)
        fprintf(stderr,
                "sagebrush up: warning: the nodes of %s together have more than this machine: %s. The server starts, "
                "and gives out what they say they have\n",
                s->fleet, too_much.data);
}

/* slurmctld may come later, so this is no reason not to start. */
static void warn_of_slurm(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct command_result r;
    struct err err = { 0 };

    if (command_run(a, (const char *const[]){ "squeue", "--noheader", "--format=%i", NULL }, STR(""), SLURM_ANSWER_MS,
                    &r, &err) == 0 &&
        r.status != 0)
        fail(&err, ERR_UNAVAILABLE, "squeue: %.400s", slurm_complaint(a, r.errors));
    if (err.kind)
        fprintf(stderr,
                "sagebrush up: warning: Slurm does not answer (%s). The server starts, and jobs wait until it does; "
                "see that squeue works for this user\n",
                err.text);
}

void machine_warn(const struct settings *s, const char *data_folder)
{
    if (strcmp(s->runtime, "slurm") == 0)
        warn_of_slurm();
    else if (*s->fleet)
        warn_of_fleet(s, data_folder);
}
