/* policy_impl.h - what the files of policy*.c share: values and patterns at the bottom, conditions above them, then
 * policy.c, which evaluates, and policy_check.c, which lets documents in. */
#ifndef AWS_POLICY_IMPL_H
#define AWS_POLICY_IMPL_H

#include "aws/policy.h"
#include "base/buf.h"

enum answer { NO, YES, UNCLEAR };

/* policy_value.c: a value of a policy or of a context is a scalar or a list of them. */
bool value_text(const struct doc *, char room[static 32], struct str *ret); /* false: no scalar; 'room' holds numbers */
uint32_t value_count(const struct doc *); /* NULL: 0 */
const struct doc *value_at(const struct doc *, uint32_t i);
const struct doc *context_get(const struct doc *context, struct str key); /* without regard to case */

/* policy_pattern.c: stars, question marks, variables. */
/* A pattern with its variables replaced; what came from a variable stands for itself, stars and all. */
struct expanded {
    struct buf text, literal;
};

void expanded_free(struct expanded *);
#define _cleanup_expanded_ __attribute__((cleanup(expanded_free)))

/* False: it names a variable that the request does not have, so that it matches nothing. */
bool expanded_set(struct expanded *, struct str pattern, const struct doc *context);
bool expanded_matches(const struct expanded *, struct str text);     /* as text, with regard to case */
bool expanded_matches_arn(const struct expanded *, struct str text);

/* policy_condition.c */
/* All operators, and all keys of each, must hold. */
enum answer policy_conditions_hold(const struct doc *conditions, const struct doc *context);
bool policy_operator_known(const char *name); /* "ForAllValues:StringLikeIfExists" */

/* policy.c */
/* Members of a statement, in its order: there is no second look-up. */
struct statement {
    const struct doc *effect, *action, *not_action, *resource, *not_resource, *condition, *principal, *not_principal;
};

struct statement statement_read(const struct doc *);
bool statement_effect_is(const struct statement *, const char *effect);

#endif
