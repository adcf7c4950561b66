/* engine.h - the control plane without its sockets: operations run, rows are reconciled, timers fire.
 *
 * Everything that touches the world is handed in, so that a simulation runs the same code on a memory store, a fake
 * clock and a sim runtime. One thread. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/clock.h"
#include "base/rand.h"
#include "engine/call.h"
#include "engine/kind.h"

struct bodies;
struct own_values;

struct engine_world {
    struct store *store;
    struct bodies *bodies; /* of objects (engine/bodies.h); NULL where nothing streams */
    struct clock *clock;
    struct rand *rand;
    struct runtime *runtime;
    const struct service_ops *const *services; /* NULL-terminated */
    const struct kind *const *kinds;           /* NULL-terminated: every kind with a reconcile */
    const char *default_region;
    const char *account;
    /* Told of each saved change of a row, in the transaction that saves it: 'before' NULL: it is new, 'after' NULL: it
     * goes. -1 undoes the change. NULL: nobody listens. */
    int (*changed)(struct engine *, struct arena *, const struct row *before, const struct row *after, struct err *);
    const struct own_values *own_values; /* beside the models' (aws/validate.h); NULL: none */
    const char *boot_id; /* of the running kernel: boot times are compared within one; NULL: only within this process */
    void *context; /* what the services of this program share: engine_context() */
};

int engine_new(const struct engine_world *, struct engine **ret, struct err *err);
void engine_free(struct engine *); /* NULL is fine */
const struct engine_world *engine_world_of(struct engine *);
void *engine_context(struct engine *);
int64_t engine_now_ms(struct engine *);

const struct op *engine_op(struct engine *, const struct operation *); /* NULL: not here */

/* Runs one call: validation, policy, bracket, function or generic verb. The answer must not leave before the next
 * engine_commit(). On failure nothing of it was written, and err carries AWS's code and words. */
int engine_run(struct engine *, struct call *, struct err *err);

/* One service asks another by the same door. 'principal' is on whose behalf (the role of a job), NULL the house. */
int engine_call(struct arena *, struct engine *, const struct principal *, const char *region, const char *service,
                const char *operation, const struct doc *input, struct doc **ret_output, struct err *err);

/* Asks the caller's policies a further question (iam:PassRole, s3:GetObject of a copy's source). Trusted callers
 * pass. */
int engine_authorize(struct call *, const char *action, const char *resource, struct err *err);

int engine_commit(struct engine *, struct err *err); /* ends the loop turn: what was answered is now durable */

/* Looks at the rows that are due or were touched since; at most 'limit' of them. Returns how many; *ret_next_ms says
 * when the next is due (wall time, INT64_MAX: never). */
int engine_reconcile(struct engine *, int limit, int64_t *ret_next_ms);

/* Something that concerns a resource happened outside (a report came in, a snapshot was acknowledged): look again at
 * the next turn. Safe to call twice, or for a uid that is gone. */
void engine_touch(struct engine *, const char *uid);

/* Rows, for the functions of kinds. resource_find: by name in the call's account and region; ERR_NOT_FOUND with AWS's
 * words. */
int resource_find(struct call *, const struct kind *, const char *name, struct resource *ret, struct err *err);
int resource_load(struct arena *, struct engine *, const char *uid, struct resource *ret, struct err *err);

/* A row that no generic Create makes. */
int resource_insert(struct arena *, struct engine *, const struct row *, struct err *err);

/* Saves what the house itself wants of a row, as an operation on it would. */
int resource_want(struct engine *, struct resource *, struct err *err);
const char *resource_arn(struct arena *, const struct kind *, const char *region, const char *account,
                         const char *name);

/* Usage: one open interval for each instance, with what is needed to price it later; closed from the agent's record.
 * Opening or closing twice changes nothing, but that an open one has the "tags" of the last opening from then on.
 * attributes: map of owner, instance type, kind, price, spot, tags (as tags_of() says them). Times are the wall's; the
 * length is measured by boot time, so a wall clock that jumps in between bills nobody. */
int usage_open(struct engine *, const char *uid, int64_t at_ms, const struct doc *attributes, struct err *err);
int usage_close(struct engine *, const char *uid, int64_t at_ms, struct err *err);
/* What was used, open or closed, is not paid: it stays, with the attribute "waived", which says why. None is fine. */
int usage_waive(struct engine *, const char *uid, const char *why, struct err *err);
/* Of one that is there, what its hours cost on average, where that is known only afterwards: "usd_hour". */
int usage_price(struct engine *, const char *uid, double usd_hour, struct err *err);
int usage_is_open(struct engine *, const char *uid, bool *ret, struct err *err);
int usage_length(struct engine *, const char *uid, int64_t *ret_ms, struct err *err); /* an open one ends now */

/* Intervals that have a part in from <= t < to: a list of the attributes with "uid", "from_ms", "to_ms" and "open"; an
 * open one ends now. One whose tags changed while it was open comes in parts, of which only the last may be open. Tags
 * that changed again within an hour of it are those of that part, as in AWS's bills, where a line is an hour. */
int usage_scan(struct arena *, struct engine *, int64_t from_ms, int64_t to_ms, struct doc **ret, struct err *err);

/* The same up to now, in pages: a million of them are neither one answer nor one turn. *ret_after_ms: where the next
 * page begins, INT64_MAX for none. The first one has all that are open; what of them ends meanwhile comes again. */
int usage_page(struct arena *, struct engine *, int64_t from_ms, bool first, int64_t *ret_after_ms, struct doc **ret,
               struct err *err);

/* Those that ended after 'after_ms', in the order of their ends: {from_ms, to_ms, attributes {}}, as long as 'visit'
 * returns 0; -1 of it fails the walk, 1 ends it. */
int usage_each_closed(struct engine *, int64_t after_ms,
                      int (*visit)(void *context, const char *uid, const struct doc *interval, struct err *),
                      void *context, struct err *err);

#endif
