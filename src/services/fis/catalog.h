/* catalog.h - what an experiment can do here: the actions, by AWS's names, and what they are done to. */
#ifndef SERVICES_FIS_CATALOG_H
#define SERVICES_FIS_CATALOG_H

#include "engine/call.h"

#define SPOT_INSTANCE "aws:ec2:spot-instance"

struct fis_action {
    const char *id, *description;
    struct fis_parameter {
        const char *name, *description;
        int64_t least_ms, most_ms; /* a duration, as ISO 8601 */
    } parameter;                   /* required */
    const char *target, *resource_type; /* NULL both: it is done to nothing */
};

const struct fis_action *fis_action(const char *id); /* NULL: not here */
const char *fis_action_names(struct arena *);        /* for a refusal */
bool fis_duration(const char *text, int64_t *ret_ms); /* PT15M, PT1H30M, PT90S */

int fis_list_actions(struct call *, struct err *);
int fis_get_action(struct call *, struct err *);
int fis_list_resource_types(struct call *, struct err *);
int fis_get_resource_type(struct call *, struct err *);

#endif
