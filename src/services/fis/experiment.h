/* experiment.h - Experiment: a template at work, with what came of it.
 *
 * The row's spec holds a copy of the template (template), its id and the actionsMode; its want {Stop}. Of the status
 * nothing is shown as it is: _State, reason, startTime, endTime; targets {name: [instances chosen: {id, arn, job_uid,
 * job_arn, attempt}]}; actions {name: {status, reason, startTime, endTime}}. */
#ifndef SERVICES_FIS_EXPERIMENT_H
#define SERVICES_FIS_EXPERIMENT_H

#include "engine/kind.h"

extern const struct kind experiment;

int experiment_reconcile(struct pass *, struct resource *, int64_t *ret_next_ms, bool *ret_row_goes, struct err *);

/* The instances that a target of the template means now: a list as in the status, empty when there are none. */
int target_resolve(struct arena *, struct engine *, const struct row *, const struct doc *target, struct doc **ret,
                   struct err *err);

int fis_start_experiment(struct call *, struct err *);
int fis_get_experiment(struct call *, struct err *);
int fis_list_experiments(struct call *, struct err *);
int fis_stop_experiment(struct call *, struct err *);
int fis_list_resolved_targets(struct call *, struct err *);
int fis_tag(struct call *, struct err *);
int fis_untag(struct call *, struct err *);
int fis_list_tags(struct call *, struct err *);

#endif
