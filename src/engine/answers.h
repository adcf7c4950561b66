/* answers.h - answers as they were printed, kept while the row that they tell of is what it was.
 *
 * Whoever waits for a job describes it again and again, and most times nothing has changed: such an answer is printed
 * once. An answer is known by its operation, its row's uid and the row's revision. A revision that was never committed
 * may come again with another content: after a commit that failed, answers_forget(). */
#ifndef ENGINE_ANSWERS_H
#define ENGINE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/model.h"
#include "base/str.h"

struct answers;

/* Those that were not asked for the longest go when all together have more than 'most_bytes'. */
struct answers *answers_new(size_t most_bytes);
void answers_free(struct answers *); /* NULL is fine */

/* *ret is valid until the next call of a function here. */
bool answers_find(struct answers *, const struct operation *, const char *uid, int64_t revision, struct str *ret);
void answers_keep(struct answers *, const struct operation *, const char *uid, int64_t revision, struct str body);
void answers_forget(struct answers *); /* all */

#endif
