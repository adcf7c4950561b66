/* verdict.h - how a container's end is told: the outcome and the words of FailureReason. */
#ifndef AGENT_VERDICT_H
#define AGENT_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "run/exitrecord.h"

struct verdict {
    const char *outcome; /* "Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "Interrupted" */
    const char *reason;  /* for FailureReason, with its prefix; "" unless Failed */
    int exit_code;
    bool oom_killed;
    bool lost; /* the container went with its instance: it is nobody's program that failed */
};

struct verdict_facts {
    const struct exit_record *record;
    const char *words;       /* the failure file's, or the log's last line */
    const char *reason_file; /* that file's name */
    bool out_of_memory;      /* the kernel killed something in it for memory */
    int64_t memory_bytes;    /* the limit */
    const char *instance_type;
    const char *overfull;    /* we ended it for what it wrote, and this is why; NULL: not so */
    bool stopped, overran;   /* we ended it: asked to, or for its time */
    bool taken_back;         /* it was stopped because its instance is wanted: it goes on elsewhere */
};

struct verdict verdict_of(struct arena *, const struct verdict_facts *);

#endif
