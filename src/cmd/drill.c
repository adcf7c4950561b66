/* drill.c - `sagebrush drill`: makes happen what else happens at night, so that a job can be seen to live with it. */
#include <stdio.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const struct doc *answer;
    struct doc *body = doc_map(a);
    const char *data;

    (void)count;
    if (strcmp(words[0], "spot") != 0)
        return fail(err, ERR_INVALID, "there is no drill \"%s\"; there is spot. See sagebrush drill --help", words[0]);
    if (settings_data_folder(a, command_data, &data, err) < 0)
        return -1;
    doc_set_string(a, body, "training_job", words[1]);
    if (client_admin(a, data, "POST", "/_sagebrush/admin/v1/drill/spot", body, &answer, err) < 0)
        return -1;
    printf("%s has its notice: SIGTERM now, SIGKILL in 120 s or the fleet file's notice, and %s\n", words[1],
           doc_bool(answer, "saves", true) ? "on from its checkpoints"
                                           : "then from the beginning: it has no CheckpointConfig");
    return 0;
}

const struct command drill_command = {
    .name = "drill",
    .usage = "spot JOB",
    .summary = "interrupt a spot job, to see it resume",
    .about =
        "Takes the capacity back from a training job that runs as managed spot, as AWS does when somebody pays more: "
        "the command in the container gets SIGTERM and after 120 s SIGKILL, what is in its checkpoint folder goes to "
        "S3, the job is Interrupted, and starts again from its checkpoints as soon as there is room; without "
        "CheckpointConfig it starts from the beginning.\n"
        "\n"
        "JOB is the name of a training job of this server's account and region, or an ARN. A job that was not created "
        "with EnableManagedSpotTraining is never interrupted, and neither is one that has no instance at the moment.",
    .least = 2,
    .most = 2,
    .run = run,
};
