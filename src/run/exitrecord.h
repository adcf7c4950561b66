/* exitrecord.h - what became of a container, read from the folder that its init writes to.
 *
 * "Gone" differs from "cannot tell": init holds a lock as long as it lives, writes 'started' before the command runs
 * and 'exit.json' when it ended. A container of an earlier boot is lost, never running. */
#ifndef RUN_EXITRECORD_H
#define RUN_EXITRECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum exit_state {
    EXIT_NONE,    /* init never ran here */
    EXIT_RUNNING,
    EXIT_ENDED,   /* the record is there */
    EXIT_LOST,    /* init started and is gone without a record: killed from outside, or the host went down */
};

struct exit_record {
    enum exit_state state;
    pid_t init;          /* of a running one, in our pid namespace */
    int64_t started_ms;  /* 0: not known */
    int64_t ended_ms;    /* of an ended one */
    int exit_code;       /* 0..255; 128 + signal when a signal ended it */
    int signal;          /* 0: it ended by itself */
    const char *problem; /* why the command could not be started at all, "" when it was */
};

/* The names in the folder, and the descriptors that init finds open. */
#define EXIT_LOCK    "lock"
#define EXIT_STARTED "started"
#define EXIT_RECORD  "exit.json"
enum { INIT_FD_FOLDER = 3, INIT_FD_OUTPUT = 4, INIT_FD_READY = 5, INIT_FD_LOCK = 6 };

int exit_record_read(struct arena *, const char *folder, struct exit_record *ret, struct err *err);

/* The exit record's text alone, for what was written by an init we do not trust. */
int exit_record_parse(struct arena *, struct str text, struct exit_record *ret, struct err *err);

/* Who holds a write lock on the file, by the kernel's word: 0 nobody, also when there is no such file.
 * -1: cannot tell. */
int lock_holder(const char *path, pid_t *ret, struct err *err);

/* Sends a signal to who holds it, and to nobody else, however fast numbers of processes are used
 * again. Nobody: fine. */
int lock_signal(const char *path, int signal, struct err *err);

/* Waits for the end of the process that holds it now, but not longer. Nobody: it is gone. */
int lock_wait(const char *path, int64_t ms, bool *ret_gone, struct err *err);

#endif
