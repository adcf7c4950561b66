/* crew_life.h - jobs that do nothing: when that is noticed, and what follows from it. */
#ifndef SERVICES_SAGEMAKER_CREW_LIFE_H
#define SERVICES_SAGEMAKER_CREW_LIFE_H

#include "services/logs/logs.h"
#include "services/sagemaker/crew.h"

/* How long a job may do nothing, in seconds, 0: as long as it likes. From the variable of its environment, else from
 * the server's setting. */
#define HANG_VARIABLE "SAGEBRUSH_HANG_AFTER"
int64_t hang_after_s(const struct platform *, const struct doc *environment);
int hang_check(const struct doc *environment, struct err *err); /* at Create: it is a duration, or is not there */

/* After so long an instance says that it is quiet, whether or not anything follows from that. */
int64_t quiet_after_s(const struct platform *, const struct doc *environment);

/* Since when every instance that still works has done nothing, and what was seen of each; 0: one does something. */
int64_t crew_quiet_since_ms(struct arena *, const struct crew *, const char **ret_words);

/* A sentence of it, for people; "": it does something. */
const char *crew_quiet_words(struct arena *, const struct crew *);

enum { HUNG_GRACE_S = 30 };

/* Every instance does nothing, and has done so for a while: that is told, and so is that it works again; whether it is
 * to be borne is the job's to say. Into the status: _Quiet (since when), and _Hung (why) when it is to be ended for
 * that, with HUNG_GRACE_S. 'of' is where the log of its first instance is.
 * *ret_news: there is some, which is to be saved first: who is ended later is ended for this. */
int crew_look_for_life(struct pass *, struct resource *, const struct crew *, const struct doc *environment,
                       const struct log_line *of, bool *ret_news, struct err *err);

#endif
