/* sagebrush.c - the command line. */
#include "base/log.h"
#include "cmd/command.h"

static const struct command *const commands[] = {
    &up_command,    &down_command,   &restart_command,    &status_command, &env_command,
    &keys_command,  &images_command, &operations_command, &cost_command,   &drill_command,
    &gpu_command,   &nodes_command,  &reset_command,      &backup_command, &restore_command,
    &simulate_command, NULL,
};

int main(int argc, char **argv)
{
    log_setup("sagebrush", LOG_INFO);
    return command_main(commands, argc, argv);
}
