/* pattern.h - the model's regular expressions, and those of users (metric definitions, log filters). Hides PCRE2.
 *
 * A compiled pattern is kept for the life of the process, found again by its text's address: hand in the model's own
 * strings. Matching is bounded: an expression that would run away counts as no match. Safe from several threads. */
#ifndef AWS_PATTERN_H
#define AWS_PATTERN_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* True when the whole text matches a pattern of the model tables. A pattern that does not compile is our fault: a test
 * compiles them all. */
bool pattern_matches(const char *pattern, struct str text);

/* A user's expression: found anywhere in the text, with its first group. */
struct pattern;
int pattern_new(const char *text, struct pattern **ret, struct err *err); /* ERR_INVALID says where it is wrong */
void pattern_free(struct pattern *); /* NULL is fine */
bool pattern_find(const struct pattern *, struct str text, struct str *ret_group); /* the whole match without a group */

#endif
