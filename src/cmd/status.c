/* status.c - `sagebrush status`: what runs, where, and whether it answers. */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/client_files.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/settings.h"

enum {
    NOT_RUNNING = 3, /* as init scripts have it */
    NODES_SHOWN = 20,
};

static bool as_json;

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

static void set_pid(struct arena *a, struct doc *d, const char *key, const char *path)
{
    struct process p;

    process_find(path, &p);
    if (p.fd >= 0)
        doc_set_integer(a, d, key, p.pid);
    process_close(&p);
}

static void print_process(const struct doc *d, const char *title, const char *key)
{
    if (doc_has(d, key))
        printf("%-18s process %d\n", title, (int)doc_int(d, key, 0));
    else
        printf("%-18s not running\n", title);
}

/* "TrainingJob" -> "training job" */
static const char *title_of(struct arena *a, const char *kind)
{
    _cleanup_buf_ struct buf b = { 0 };

    for (const char *c = kind; *c; c++) {
        bool upper = *c >= 'A' && *c <= 'Z';

        buf_printf(&b, "%s%c", upper && c > kind ? " " : "", upper ? *c - 'A' + 'a' : *c);
    }
    return arena_strndup(a, b.data, b.size);
}

static void print_resources(struct arena *a, const struct doc *kinds)
{
    for (uint32_t i = 0; kinds && kinds->type == DOC_MAP && i < kinds->count; i++) {
        const struct doc *states = kinds->members[i].value;

        printf("%-18s ", arena_printf(a, "%ss", title_of(a, kinds->members[i].key)));
        if (states->type != DOC_MAP)
            printf("%lld", (long long)doc_int(kinds, kinds->members[i].key, 0));
        else
            for (uint32_t at = 0; at < states->count; at++)
                printf("%s%lld %s", at ? ", " : "", (long long)doc_int(states, states->members[at].key, 0),
                       states->members[at].key);
        printf("\n");
    }
}

/* "3 d 4 h", "4 h 10 min", "10 min", "25 s" */
static const char *duration(struct arena *a, int64_t seconds)
{
    long long s = seconds;

    if (s >= 86400)
        return arena_printf(a, "%lld d %lld h", s / 86400, s / 3600 % 24);
    if (s >= 3600)
        return arena_printf(a, "%lld h %lld min", s / 3600, s / 60 % 60);
    return s >= 60 ? arena_printf(a, "%lld min", s / 60) : arena_printf(a, "%lld s", s);
}

/* "2 of 4 cores" */
static const char *used(struct arena *a, const struct doc *node, const char *what, int64_t unit, const char *words)
{
    if (!doc_has(node, what))
        return "";
    return arena_printf(a, ", %lld of %lld %s", (long long)(doc_int(doc_get(node, what), "used", 0) / unit),
                        (long long)(doc_int(doc_get(node, what), "has", 0) / unit), words);
}

static void print_nodes(struct arena *a, const struct doc *nodes)
{
    size_t count = doc_count(nodes, "");

    for (size_t i = 0; i < count && i < NODES_SHOWN; i++) {
        const struct doc *n = nodes->items[i];
        const char *state = doc_text(n, "state");

        printf("%-18s %s%s%s, %lld instance%s%s%s%s%s\n", i ? "" : "nodes", doc_text(n, "name"),
               strcmp(state, "in use") == 0 ? "" : arena_printf(a, " (%s)", state),
               doc_bool(n, "lemon", false) ? " (fails often)" : "", (long long)doc_int(n, "instances", 0),
               doc_int(n, "instances", 0) == 1 ? "" : "s",
               used(a, n, "cores", 1, "cores"), used(a, n, "memory_mib", 1024, "GiB"),
               used(a, n, "disk_mib", 1024, "GiB of disk"), used(a, n, "gpus", 1, "GPUs"));
    }
    if (count > NODES_SHOWN)
        printf("%-18s and %zu more: sagebrush status --json\n", "", count - NODES_SHOWN);
}

/* With Slurm ours is only the number that it was given: which of them wait is in its queue. */
static void print_instances(const struct doc *d, bool on_slurm)
{
    long long waiting = doc_int(d, "work_waiting", 0);

    printf("%-18s %lld %s", "instances", (long long)doc_int(d, "instances_running", 0),
           on_slurm ? "running or left to Slurm (squeue says which wait)" : "running");
    if (doc_has(d, "instances_at_most") && !on_slurm)
        printf("; at most %lld at a time", (long long)doc_int(d, "instances_at_most", 0));
    printf("\n%-18s %lld job%s or instance%s of an endpoint; a job counts once, however many instances it wants\n",
           "waiting", waiting, waiting == 1 ? "" : "s", waiting == 1 ? "" : "s");
}

/* Who has been there for longest, why, and when it may start. */
static void print_waiting(struct arena *a, const struct doc *server, const char *usual_region)
{
    const struct doc *all = doc_get(server, "waiting");
    long long shown = (long long)doc_count(all, ""), more = doc_int(server, "work_waiting", 0) - shown;

    for (long long i = 0; i < shown; i++) {
        const struct doc *w = all->items[i];
        const char *region = doc_text(w, "region");

        printf("%-18s %s %s%s: %s\n", "", title_of(a, doc_text(w, "kind")), doc_text(w, "name"),
               strcmp(region, usual_region) == 0 ? "" : arena_printf(a, " (%s)", region), doc_text(w, "why"));
    }
    if (more > 0)
        printf("%-18s and %lld more, which came later\n", "", more);
}

static void print_server(struct arena *a, const struct doc *d, const char *usual_region, bool on_slurm)
{
    const double gib = 1 << 30;

    printf("%-18s %s, up %s\n", "version", doc_text(d, "version"), duration(a, doc_int(d, "uptime_s", 0)));
    printf("%-18s %.1f GiB free of %.1f\n", "disk", (double)doc_int(d, "disk_free_bytes", 0) / gib,
           (double)doc_int(d, "disk_bytes", 0) / gib);
    print_instances(d, on_slurm);
    print_waiting(a, d, usual_region);
    print_nodes(a, doc_get(d, "nodes"));
    print_resources(a, doc_get(d, "resources"));
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const char *data, *run_folder;
    struct doc *d = doc_map(a);
    struct answer answer = { 0 };
    struct err why = { 0 };
    struct settings s;
    bool healthy;

    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0 ||
        settings_server_folder(a, data, &run_folder, err) < 0)
        return -1;
    doc_set_string(a, d, "data", data);
    doc_set_string(a, d, "url", arena_printf(a, "https://%s", client_host(a, &s)));
    doc_set_string(a, d, "region", s.region);
    doc_set_string(a, d, "account", s.account);
    doc_set_string(a, d, "runtime", s.runtime);
    set_pid(a, d, "supervisor", arena_printf(a, "%s/up.pid", run_folder));
    set_pid(a, d, "control_plane", arena_printf(a, "%s/control.pid", run_folder));
    set_pid(a, d, "data_plane", arena_printf(a, "%s/serve.pid", run_folder));
    healthy = client_call(a, arena_printf(a, "%s/admin.sock", run_folder), "GET", "/_sagebrush/admin/v1/status", NULL,
                          5000, &answer, &why) == 0 &&
              answer.status == 200;
    if (healthy)
        healthy = client_public(a, s.address, (int)s.port, &why) == 0;
    doc_set_boolean(a, d, "healthy", healthy);
    if (answer.status == 200 && doc_has(answer.body, "resources"))
        doc_set(a, d, "server", (struct doc *)answer.body);
    if (!healthy)
        doc_set_string(a, d, "why", *why.text ? why.text : arena_printf(a, "health answers %d", answer.status));
    if (as_json) {
        command_print_json(d);
        return healthy ? 0 : NOT_RUNNING;
    }
    printf("%-18s %s, account %s, %s, runtime %s\n", "data", data, s.account, s.region, s.runtime);
    print_process(d, "supervisor", "supervisor");
    print_process(d, "control plane", "control_plane");
    print_process(d, "data plane", "data_plane");
    printf("%-18s %s%s%s\n", "public port", doc_text(d, "url"),
           healthy ? ", answers" : ", does not answer: ", doc_text(d, "why"));
    if (doc_has(d, "server"))
        print_server(a, command_plain(a, doc_get(d, "server")), s.region, strcmp(s.runtime, "slurm") == 0);
    return healthy ? 0 : NOT_RUNNING;
}

const struct command status_command = {
    .name = "status",
    .usage = "[--json]",
    .summary = "what runs, where, and whether it answers",
    .about =
        "Shows the processes of the server, asks for its health, and counts what it has: instances that run, what "
        "waits for a place (a job counts once, however many instances it wants, and each instance of an endpoint), "
        "training jobs and endpoints by their state, of all regions. Of those that wait it says why, and when they may "
        "start: of the twenty that have been there for longest. The exit status is 0 when it answers, 3 when "
        "not.\n"
        "\n"
        "What one job or endpoint does: `aws sagemaker describe-training-job`, `describe-endpoint`; its log: `aws logs "
        "tail /aws/sagemaker/TrainingJobs`. The server's own logs are in DIR/log; Prometheus reads "
        "/_sagebrush/metrics.",
    .options = options,
    .run = run,
};
