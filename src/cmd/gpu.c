/* gpu.c - `sagebrush gpu`: the GPUs of this machine, who has them, and which are not given out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"

#define GPUS "/_sagebrush/admin/v1/gpus"

static bool as_json;

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

static int list(struct arena *a, const char *data, struct err *err)
{
    const struct doc *answer, *gpus;

    if (client_admin(a, data, "GET", GPUS, NULL, &answer, err) < 0)
        return -1;
    if (as_json) {
        command_print_json(answer);
        return 0;
    }
    answer = command_plain(a, answer);
    gpus = doc_get(answer, "gpus");
    if (!doc_count(gpus, ""))
        printf("no GPU: %s\n", doc_text(answer, "why"));
    for (size_t i = 0; i < doc_count(gpus, ""); i++) {
        const struct doc *gpu = gpus->items[i];

        printf("%-3lld %-28s %-41s %s\n", (long long)doc_int(gpu, "index", 0), doc_text(gpu, "name"),
               doc_text(gpu, "uuid"), doc_text_or(gpu, "instance", "free"));
        if (doc_has(gpu, "cordoned"))
            printf("    cordoned %s: %s\n", time_iso8601(a, doc_int(gpu, "cordoned_ms", 0), false),
                   doc_text(gpu, "cordoned"));
    }
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const struct doc *answer;
    struct doc *body = doc_map(a);
    const char *data;
    int64_t index;

    if (settings_data_folder(a, command_data, &data, err) < 0)
        return -1;
    if (count == 0 || (count == 1 && strcmp(words[0], "list") == 0))
        return list(a, data, err);
    if (count != 2 || (strcmp(words[0], "cordon") != 0 && strcmp(words[0], "uncordon") != 0) ||
        !str_to_int64(str_of(words[1]), &index) || index < 0)
        return fail(err, ERR_INVALID, "it is list, cordon INDEX or uncordon INDEX. See sagebrush gpu --help");
    doc_set_integer(a, body, "index", index);
    doc_set_boolean(a, body, "cordoned", strcmp(words[0], "cordon") == 0);
    if (client_admin(a, data, "POST", GPUS, body, &answer, err) < 0)
        return -1;
    if (as_json)
        command_print_json(answer);
    else if (!doc_bool(answer, "changed", true))
        printf("GPU %s was %s\n", words[1],
               strcmp(words[0], "cordon") == 0 ? "cordoned already: sagebrush gpu says why" : "not cordoned");
    else
        printf("GPU %s is %sed\n", words[1], words[0]);
    return 0;
}

const struct command gpu_command = {
    .name = "gpu",
    .usage = "[list | cordon INDEX | uncordon INDEX]",
    .summary = "the GPUs of this machine, and which are not given out",
    .about =
        "Lists the NVIDIA GPUs that the driver tells of, each with the instance that has it. One that reported an "
        "error of its hardware, or fell off the bus, is cordoned: the instance that had it was ended (a job with a "
        "RetryStrategy starts again on others), and nobody gets it until it is uncordoned. What it reported, and "
        "when, stands in the list.\n"
        "\n"
        "uncordon gives it out again, after a reset or an exchange; cordon takes one out by hand, and lets what runs "
        "on it go on.",
    .options = options,
    .most = 2,
    .run = run,
};
