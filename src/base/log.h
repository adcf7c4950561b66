/* log.h - what the process tells its operator: one line an event, logfmt or JSON, on standard error.
 *
 *     log_info("training_job.started", "uid=%s attempt=%d", uid, attempt);
 *
 * The event is noun.verb; the rest are key=value pairs, parted by single spaces. A value that is text from outside
 * goes last, or through log_quote(). Only the request handler, the reconcile loop and main() log errors. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/arena.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_setup(const char *program, enum log_level least); /* once, before the first thread */
void log_line(enum log_level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* In double quotes, with control characters, quotes and backslashes escaped. */
const char *log_quote(struct arena *, const char *);

#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)

#endif
