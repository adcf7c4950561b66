/* machine.h - what `sagebrush up` needs of the machine, asked before anything is made or started. */
#ifndef CMD_MACHINE_H
#define CMD_MACHINE_H

#include "base/clock.h"
#include "cmd/settings.h"

/* Each failure says what is missing and what to do about it. */
int machine_check(const struct settings *, struct clock *, struct err *err);

/* Says on stderr what is missing and may come later: a Slurm that does not answer. Waits 15 s for it at most. */
void machine_warn(const struct settings *, const char *data_folder);

#endif
