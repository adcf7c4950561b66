/* lending.h - agents on machines that are not the server's: who they are, and what passes between them and their
 * folders here.
 *
 * A node's sagebrush-node speaks on the public port, with the token of its order. An agent's name is lent to one
 * place at a time: to who asks first, and to another only when that one was not heard for LENDING_MS. A place that
 * cannot reach us cuts its agent off after half of that, so the two never work at once, whatever Slurm believes. An
 * agent on the server's own machine has asked for it, too (PLACE_SERVER), and says no more: while it or its
 * container lives, nobody gets the name. */
#ifndef SERVICES_ADMIN_LENDING_H
#define SERVICES_ADMIN_LENDING_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "doc/doc.h"

enum { LENDING_MS = 60000 };

struct lending;

struct lending *lending_new(struct clock *, const char *data_folder);
void lending_free(struct lending *); /* NULL is fine */

/* Who is admitted. */
enum lending_to {
    LENDING_HOLDER, /* who has the name */
    LENDING_ASKER,  /* or asks for it */
    LENDING_HERE,   /* or, as long as it was lent to nobody, its agent on our own machine */
};

/* Whose header this is: "Bearer NAME:PLACE:TOKEN". ERR_DENIED: not of that order; ERR_NOT_FOUND: there is nothing to be
 * done under that name any more; ERR_CONFLICT: another place has it. */
int lending_admit(struct lending *, struct arena *, struct str authorization, enum lending_to,
                  const struct doc **ret_order, struct err *err);

/* Could lending_admit() say yes? From the head alone, and without any effect: whose body is not worth reading. */
int lending_look(struct lending *, struct arena *, struct str authorization, struct err *err);

/* What it says is put right where it cannot be (node_words.h). */
int lending_bound(struct lending *, struct arena *, const struct doc *order, struct doc *told, struct err *err);

/* Takes the report, if there is one in 'told', and answers what its agent is to find in its folder. */
int lending_exchange(struct lending *, struct arena *, const struct doc *order, const struct doc *told,
                     struct doc *answer, struct err *err);

/* Does what it sends belong to its own job? */
bool lending_owns_logs(const struct doc *order, const struct doc *logs);
bool lending_owns_metrics(struct arena *, const struct doc *order, const struct doc *metrics);

#endif
