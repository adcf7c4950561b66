/* command.h - a command of `sagebrush`: its words, its options, its manual page, and the function that does it.
 *
 * What stands in the tables is what --help prints, so that a page and the program cannot differ. */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* One option. With 'argument' it takes a value, in the next word or after '='; without, it is a flag. Exactly one of
 * text, number, flag says where it goes. */
struct command_option {
    const char *name;     /* "data": --data */
    const char *argument; /* "DIR"; NULL for a flag */
    const char *help;     /* sentences; lines are broken when they are printed */
    const char **text;
    int64_t *number;
    bool *flag;
};

struct setting;

struct command {
    const char *name;    /* "keys" */
    const char *usage;   /* what follows the name: "create | list | revoke ID" */
    const char *summary; /* one line of the list of commands */
    const char *about;   /* the manual: paragraphs parted by empty lines; a line that starts with a space stays */
    const struct command_option *options; /* ends with an empty row */
    const struct setting *settings;       /* of the configuration file, for the page; NULL: none */
    int least, most;                      /* words that are not options */
    int (*run)(struct arena *, char **words, int count, struct err *err); /* the exit status, or -1 with err */
};

/* Every command works on a data directory: --data, else $SAGEBRUSH_DATA, else the default of this user. */
extern const char *command_data;

extern const struct command up_command, down_command, restart_command, status_command, env_command, keys_command,
    images_command, operations_command, cost_command, drill_command, gpu_command, nodes_command, reset_command,
    backup_command, restore_command, simulate_command;

int command_main(const struct command *const *commands, int argc, char **argv);

/* Prints what --json asks for to standard output. */
void command_print_json(const struct doc *d);

/* As it may be printed on a terminal: much of a server's answer is what agents, containers and Slurm have said. */
const struct doc *command_plain(struct arena *, const struct doc *d);

#endif
