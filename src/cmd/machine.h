/* machine.h - what `sagebrush up` needs of the machine, asked before anything is made or started. */
#ifndef CMD_MACHINE_H
#define CMD_MACHINE_H

#include "base/clock.h"
#include "cmd/settings.h"

/* Each failure says what is missing and what to do about it. */
int machine_check(const struct settings *, struct clock *, struct err *err);

#endif
