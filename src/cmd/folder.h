/* folder.h - the data directory as the commands see it: its lock, its parts. */
#ifndef CMD_FOLDER_H
#define CMD_FOLDER_H

#include "base/arena.h"
#include "base/err.h"
#include "cmd/process.h"

/* Held until the process ends or *ret_fd is closed. ERR_CONFLICT names the process that has it. */
int folder_lock(struct arena *, const char *data_folder, int *ret_fd, struct err *err);

/* The supervisor of a data directory; PROCESS_NONE when none runs. */
int folder_supervisor(struct arena *, const char *data_folder, struct process *ret, struct err *err);

/* Makes what a data directory consists of, and the link to its run folder. */
int folder_prepare(struct arena *, const char *data_folder, const char *run_folder, struct err *err);

/* Copies a tree of plain files and folders with their modes; 'to' must not be there yet. */
int folder_copy(struct arena *, const char *from, const char *to, struct err *err);

/* The same for files that never change: links where it can, leaves what 'to' has, and lets files go away meanwhile. */
int folder_gather(struct arena *, const char *from, const char *to, struct err *err);

#endif
