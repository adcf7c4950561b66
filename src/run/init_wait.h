/* init_wait.h - the part of sagebrush-init that waits for its command (run/waiting.h). */
#ifndef RUN_INIT_WAIT_H
#define RUN_INIT_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Stands by while init waits. It gets the command through its standard input and becomes it, when the command is the
 * helper's own program: what its start takes is over by then. */
struct helper {
    pid_t pid; /* 0: there is none (any more) */
    int input; /* to its standard input */
    const char *program;
};

/* As it stands in the file; all pointers are into the text. */
struct command {
    char *text, *folder, *user, **argv, **environment;
    size_t size;
};

/* Starts the helper ('argv', may be empty; 'leave' is called in its process first) and returns when there is a command.
 * False: this container is not wanted any more. */
bool command_wait(char **argv, void (*leave)(void), struct helper *ret_helper, struct command *ret);

bool helper_take(const struct helper *, const struct command *); /* false: it cannot become that command */
void helper_dismiss(struct helper *); /* one that is not needed must not be there when the command runs */

#endif
