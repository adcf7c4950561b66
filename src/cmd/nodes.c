/* nodes.c - `sagebrush nodes`: the nodes of the fleet, how they are, and what runs on them. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"
#include "doc/json.h"

#define NODES "/_sagebrush/admin/v1/nodes"

enum { FAILURES_SHOWN = 3 };

static bool as_json;
static const char *of_node = "";

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON; of events, one a line.", .flag = &as_json },
    { "node", "NAME", "Of the events, those about this node and about jobs while they stood on it.", .text = &of_node },
    {},
};

static void print_cordon(struct arena *a, const struct doc *node)
{
    if (!doc_has(node, "cordoned"))
        return;
    printf("    cordoned %s: %s", time_iso8601(a, doc_int(node, "cordoned_ms", 0), false), doc_text(node, "cordoned"));
    if (doc_has(node, "back_ms"))
        printf("; back %s", time_iso8601(a, doc_int(node, "back_ms", 0), false));
    printf("\n");
}

static void print_failures(struct arena *a, const struct doc *node)
{
    const struct doc *all = doc_get(node, "failures");
    size_t count = doc_count(all, "");

    for (size_t i = count > FAILURES_SHOWN ? count - FAILURES_SHOWN : 0; i < count; i++)
        printf("    failed %s, under %s (%s): %s\n", time_iso8601(a, doc_int(all->items[i], "at_ms", 0), false),
               doc_text(all->items[i], "job"), doc_text(all->items[i], "check"), doc_text(all->items[i], "why"));
}

/* ", 2 of 4 cores"; "" of what is not counted. */
static const char *given(struct arena *a, const struct doc *node, const char *member, int64_t unit, const char *of)
{
    const struct doc *pair = doc_get(node, member);

    return pair ? arena_printf(a, ", %lld of %lld %s", (long long)(doc_int(pair, "used", 0) / unit),
                               (long long)(doc_int(pair, "has", 0) / unit), of)
                : "";
}

static const char *disk_given(struct arena *a, const struct doc *node)
{
    int64_t has = doc_int(node, "disk_mib", 0), left = doc_int(node, "disk_left_mib", 0);

    return doc_has(node, "disk_mib") ? arena_printf(a, ", disk %lld GiB of %lld", (long long)(has - left) / 1024,
                                                    (long long)has / 1024)
                                     : "";
}

static void print_given(struct arena *a, const struct doc *node)
{
    const char *gpus = arena_printf(a, "%s GPUs", doc_text(node, "gpu"));
    const char *text = arena_printf(a, "%s%s%s%s", given(a, node, "cores", 1, "cores"),
                                    given(a, node, "memory_mib", 1024, "GiB"), given(a, node, "gpus", 1, gpus),
                                    disk_given(a, node));

    if (*text)
        printf("    %s given out\n", text + strlen(", "));
    if (doc_has(node, "labels"))
        printf("    labels %s\n", doc_text(node, "labels"));
}

/* A job of several instances that stand there is one line. */
static void print_runs(const struct doc *runs)
{
    for (size_t i = 0, same; i < doc_count(runs, ""); i += same) {
        const char *what = doc_value_text(runs->items[i]);

        for (same = 1; i + same < doc_count(runs, "") && strcmp(doc_value_text(runs->items[i + same]), what) == 0;)
            same++;
        printf("    runs %s", what);
        if (same > 1)
            printf(", %zu instances", same);
        printf("\n");
    }
}

static void print_node(struct arena *a, const struct doc *node)
{
    printf("%-24s %-16s %s%s\n", doc_text(node, "name"), doc_text(node, "pool"), doc_text(node, "state"),
           doc_bool(node, "lemon", false) ? "  lemon: used last" : "");
    if (doc_has(node, "note"))
        printf("    %s\n", doc_text(node, "note"));
    print_given(a, node);
    print_cordon(a, node);
    print_failures(a, node);
    print_runs(doc_get(node, "runs"));
}

static int list(struct arena *a, const char *data, struct err *err)
{
    const struct doc *answer, *nodes;

    if (client_admin(a, data, "GET", NODES, NULL, &answer, err) < 0)
        return -1;
    if (as_json) {
        command_print_json(answer);
        return 0;
    }
    nodes = doc_get(command_plain(a, answer), "nodes");
    for (size_t i = 0; i < doc_count(nodes, ""); i++)
        print_node(a, nodes->items[i]);
    return 0;
}

/* --- Events --- */

static void print_event(struct arena *a, const struct doc *event)
{
    const struct doc *d = command_plain(a, doc_get(event, "detail"));
    static const char *const members[] = { "node", "job-name", "host", "check", "why", "in-use-because", "back" };

    printf("%s  %-27s", time_iso8601(a, doc_int(event, "at_ms", 0), false), doc_text(event, "what"));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_has(d, members[i]))
            printf("  %s: %s", members[i], doc_text(d, members[i]));
    printf("\n");
}

static void print_event_json(struct arena *a, const struct doc *event)
{
    printf("%s\n", json_text(a, event));
}

/* By pages: their evidence may be long. */
static int list_events(const char *data, struct err *err)
{
    int64_t after = 0;

    do {
        _cleanup_arena_ struct arena *a = arena_new();
        _cleanup_buf_ struct buf path = { 0 };
        const struct doc *answer, *events;

        buf_printf(&path, NODES "/events?after=%lld&node=", (long long)after);
        uri_encode(&path, str_of(of_node), false);
        buf_append_char(&path, '\0');
        if (client_admin(a, data, "GET", path.data, NULL, &answer, err) < 0)
            return -1;
        events = doc_get(answer, "events");
        for (size_t i = 0; i < doc_count(events, ""); i++)
            (as_json ? print_event_json : print_event)(a, events->items[i]);
        after = doc_int(answer, "after", 0);
    } while (after);
    return 0;
}

/* --- The command --- */

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const struct doc *answer;
    struct doc *body = doc_map(a);
    bool cordons = count > 1 && strcmp(words[0], "cordon") == 0;
    const char *data;

    if (settings_data_folder(a, command_data, &data, err) < 0)
        return -1;
    if (count == 0 || (count == 1 && strcmp(words[0], "list") == 0))
        return list(a, data, err);
    if (count == 1 && strcmp(words[0], "events") == 0)
        return list_events(data, err);
    if (!cordons && (count != 2 || strcmp(words[0], "return") != 0))
        return fail(err, ERR_INVALID,
                    "it is list, events, cordon NAME [WHY] or return NAME. See sagebrush nodes --help");
    doc_set_string(a, body, "node", words[1]);
    doc_set_boolean(a, body, "cordoned", cordons);
    doc_set_string(a, body, "why", count > 2 ? words[2] : NULL);
    if (client_admin(a, data, "POST", NODES, body, &answer, err) < 0)
        return -1;
    if (as_json)
        command_print_json(answer);
    else if (!doc_bool(answer, "changed", true))
        printf(cordons ? "%s is cordoned already: sagebrush nodes says why\n" : "%s was not cordoned\n", words[1]);
    else
        printf(cordons ? "%s gets nothing new; what runs on it goes on\n" : "%s is in use again\n", words[1]);
    return 0;
}

const struct command nodes_command = {
    .name = "nodes",
    .usage = "[list | events | cordon NAME [WHY] | return NAME]",
    .summary = "the nodes of the fleet: how they are, and what runs on them",
    .about =
        "Lists the nodes, each with its pool and its state (in use, spare, cordoned, failed), how much of it is given "
        "out, why and since when it is cordoned, how it has failed of late, and what runs on it. A node that fails "
        "under a job is cordoned: what a check found on the node itself (disk, memory, clock...) until you return it, "
        "anything else for ten minutes; never the only one, and never more than a fifth of the fleet. A spare of its "
        "pool takes its place. One that fails often is a lemon, and is used when there is no other; that fades with "
        "time, and no restart forgets it.\n"
        "\n"
        "On a Slurm cluster it lists the cluster's nodes that failed, and those that are cordoned: Slurm is asked for "
        "others.\n"
        "\n"
        "cordon takes a node out by hand: it gets nothing new, and what runs on it goes on. return gives it out again. "
        "Said twice, it is done once.\n"
        "\n"
        "events shows what was decided, the oldest first: checks that passed, instances that were not fit, jobs that "
        "do nothing, nodes that were cordoned, stayed in use and came back. The last thousand are kept. --json has the "
        "evidence of each, as EventBridge's rules get it.",
    .options = options,
    .most = 3,
    .run = run,
};
