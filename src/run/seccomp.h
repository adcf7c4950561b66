/* seccomp.h - which system calls a container may make. */
#ifndef RUN_SECCOMP_H
#define RUN_SECCOMP_H

#include "base/arena.h"
#include "doc/doc.h"

/* linux.seccomp of an OCI configuration. */
struct doc *seccomp_profile(struct arena *);

#endif
