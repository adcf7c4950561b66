/* operations.c - `sagebrush operations`: what is implemented, counted from the tables that the server runs on. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cmd/command.h"
#include "cmd/tables.h"

static bool missing, all;

static const struct command_option options[] = {
    { "missing", NULL, "Lists the operations that are not here instead.", .flag = &missing },
    { "list", NULL, "Lists the operations that are here.", .flag = &all },
    {},
};

static bool has(const struct service_ops *const *tables, const struct operation *operation)
{
    for (; *tables; tables++) {
        if (strcmp((*tables)->service, operation->service->name) != 0)
            continue;
        for (const struct op *op = (*tables)->ops; op->name; op++)
            if (strcmp(op->name, operation->name) == 0)
                return true;
    }
    return false;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    int total = 0, here = 0;

    for (int i = 0; i < count; i++)
        if (!model_service(words[i]))
            return fail(err, ERR_INVALID, "there is no service %s; without a name all are counted", words[i]);
    for (const struct service *const *at = model_services; *at; at++) {
        const struct service *service = *at;
        bool wanted = count == 0;
        int its = 0;

        for (int i = 0; i < count; i++)
            wanted = wanted || strcmp(words[i], service->name) == 0;
        if (!wanted)
            continue;
        for (int i = 0; i < service->operation_count; i++) {
            const struct operation *operation = &service->operations[i];
            bool present = has(service_tables, operation) || has(direct_tables, operation);

            its += present;
            if ((missing && !present) || (all && present))
                printf("%s %s\n", service->name, operation->name);
        }
        if (!missing && !all)
            printf("%-32s %4d of %4d\n", service->name, its, service->operation_count);
        total += service->operation_count;
        here += its;
    }
    if (!missing && !all && count != 1)
        printf("%-32s %4d of %4d\n", "all", here, total);
    return 0;
}

const struct command operations_command = {
    .name = "operations",
    .usage = "[--missing | --list] [SERVICE...]",
    .summary = "what is implemented, of each service's operations",
    .about =
        "Counts, for each AWS service that the server knows, how many of its operations are implemented. The numbers "
        "come from the tables that the server itself runs on. An operation that is not here is answered with an error "
        "that names it; none is pretended.",
    .options = options,
    .most = 64,
    .run = run,
};
