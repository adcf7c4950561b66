/* nodes.c - `sagebrush nodes`: the nodes of the fleet, how they are, and what runs on them. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"

#define NODES "/_sagebrush/admin/v1/nodes"

enum { FAILURES_SHOWN = 3 };

static bool as_json;

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON.", .flag = &as_json },
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

static void print_node(struct arena *a, const struct doc *node)
{
    const struct doc *runs = doc_get(node, "runs");

    printf("%-24s %-16s %-9s%s%s\n", doc_text(node, "name"), doc_text(node, "pool"), doc_text(node, "state"),
           doc_bool(node, "lemon", false) ? "  lemon: used last" : "", doc_count(runs, "") ? "" : "  free");
    print_cordon(a, node);
    print_failures(a, node);
    for (size_t i = 0; i < doc_count(runs, ""); i++)
        printf("    runs %s\n", doc_value_text(runs->items[i]));
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
    nodes = doc_get(answer, "nodes");
    for (size_t i = 0; i < doc_count(nodes, ""); i++)
        print_node(a, nodes->items[i]);
    return 0;
}

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
    if (!cordons && (count != 2 || strcmp(words[0], "return") != 0))
        return fail(err, ERR_INVALID, "it is list, cordon NAME [WHY] or return NAME. See sagebrush nodes --help");
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
    .usage = "[list | cordon NAME [WHY] | return NAME]",
    .summary = "the nodes of the fleet: how they are, and what runs on them",
    .about =
        "Lists the nodes, each with its pool and its state (in use, spare, cordoned, failed), why and since when it is "
        "cordoned, how it has failed of late, and what runs on it. A node that fails under a job is cordoned: what a "
        "check found on the node itself (disk, memory, clock...) until you return it, anything else for ten minutes; "
        "never the only one, and never more than a fifth of the fleet. A spare of its pool takes its place. One that "
        "fails often is a lemon, and is used when there is no other; that fades with time, and no restart forgets it.\n"
        "\n"
        "cordon takes a node out by hand: it gets nothing new, and what runs on it goes on. return gives it out again. "
        "Said twice, it is done once.",
    .options = options,
    .most = 3,
    .run = run,
};
