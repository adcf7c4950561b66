/* syncer.h - a folder and S3: /opt/ml/checkpoints, restored before the job starts and kept in step by a thread while it
 * runs; and outputs that S3 gets while the job writes them. */
#ifndef AGENT_SYNCER_H
#define AGENT_SYNCER_H

#include "agent/checkpoint.h"
#include "agent/transfer.h"

/* Makes the folder hold what S3 has, and nothing else. Again is harmless as long as the job did not start. */
int syncer_restore(const struct transfer *, const char *root, struct err *err);

struct savings;
struct syncer;

/* The transfer's strings are borrowed. Any agent may go on where another one was killed. */
int syncer_new(const struct transfer *, const char *root, struct syncer **ret, struct err *err);

/* The folder 'path' below /opt/ml, of which S3 keeps everything that ever was there. 'book' is the folder for what is
 * known of it. */
int syncer_of_output(const struct transfer *, const char *uri, const char *path, const char *book, struct syncer **ret,
                     struct err *err);
void syncer_free(struct syncer *); /* stops where it is; NULL is fine */

struct savings *syncer_savings(struct syncer *); /* what it has learned of checkpoints; only of syncer_new() */

void syncer_run(struct syncer *); /* the job runs */

/* The job is about to end: what is left goes as fast as it can. */
void syncer_hurry(struct syncer *);

/* The job is about to be killed. */
void syncer_before_kill(struct syncer *);

/* The job has ended: uploads the rest, and waits for it. After it nothing is synchronized any more, by nobody.
 * cancel_fd ends it with ERR_CONFLICT. */
int syncer_finish(struct syncer *, enum checkpoint_when, int cancel_fd, struct err *err);

#endif
