/* pattern.h - filter patterns of CloudWatch Logs: terms that a message must, may or must not have.
 *
 *     ERROR timeout      both           "two words"   the phrase
 *     ?ERROR ?WARN       either         -DEBUG        not this
 *
 * Terms are case-sensitive. Patterns over JSON ({ $.a = 1 }) and over columns ([a, b]) are refused, saying so. */
#ifndef LOGS_PATTERN_H
#define LOGS_PATTERN_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct log_pattern;

int log_pattern_parse(struct arena *, struct str text, struct log_pattern **ret, struct err *err);
bool log_pattern_matches(const struct log_pattern *, struct str message);

#endif
