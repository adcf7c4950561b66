/* crew_life.h - jobs that do nothing, and jobs that say nothing: when that is noticed, and what follows from it.
 *
 * A job does nothing when no instance of it writes a line or uses a core or a GPU. One whose ranks wait for each other
 * may use all of them: it says nothing, for longer than it ever should. */
#ifndef SERVICES_SAGEMAKER_CREW_LIFE_H
#define SERVICES_SAGEMAKER_CREW_LIFE_H

#include "services/logs/logs.h"
#include "services/sagemaker/crew.h"

/* How long a job may do so, from the variable of its environment, else from the server's setting: "off" is as long as
 * it likes. */
#define HANG_VARIABLE   "SAGEBRUSH_HANG_AFTER"
#define SILENT_VARIABLE "SAGEBRUSH_SILENT_AFTER"
int hang_check(const struct doc *environment, struct err *err); /* at Create: they are durations, or are not there */

/* Into the order of an instance, after how long it says so, whether or not anything follows from that. */
void order_set_patience(struct arena *, struct doc *order, const struct platform *, const struct doc *environment);

/* A sentence of it, for people; "": neither is so. */
const char *crew_life_words(struct arena *, const struct crew *);

enum { HUNG_GRACE_S = 30 };

/* No instance does anything, or none says anything, and that for a while: it is told, and so is that it is over;
 * whether it is to be borne is the job's to say. Into the status: _Quiet and _Silent (since when), and _Hung (why) when
 * it is to be ended for that, with HUNG_GRACE_S. 'log' is its first instance's.
 * *ret_news: there is some, which is to be saved first: who is ended later is ended for this. */
int crew_look_for_life(struct pass *, struct resource *, const struct crew *, const struct doc *environment,
                       const struct log_place *log, bool *ret_news, struct err *err);

#endif
