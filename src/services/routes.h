/* routes.h - what the data plane has to know, kept in memory and published as a snapshot (docs/ARCHITECTURE.md,
 * "Internal protocol 1").
 *
 * A change gets the number of the snapshot that will have it at once; the snapshot is written after the commit of the
 * rows that caused it. After a restart every endpoint is set again before the first snapshot is written, so nobody who
 * is served is forgotten in between. */
#ifndef SERVICES_ROUTES_H
#define SERVICES_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "doc/doc.h"

struct routes;

/* 'folder' has route.json and route.ack. The first generation is one more than that of the snapshot found there. */
int routes_new(const char *folder, struct routes **ret, struct err *err);
void routes_free(struct routes *); /* NULL is fine */

/* The endpoint as the snapshot shows it: a map of name, region, account, arn, variants. Returns the first generation
 * that has it; an equal one changes nothing. */
int64_t routes_set(struct routes *, const char *uid, const struct doc *endpoint);
int64_t routes_remove(struct routes *, const char *uid); /* the first generation that does not have it */

/* The rest of the snapshot (session_key, account, default_region, keys, roles); an equal one changes nothing. */
void routes_set_identities(struct routes *, const struct doc *identities);

bool routes_applied(const struct routes *, int64_t generation); /* every new request uses it, or a newer one */
bool routes_drained(const struct routes *, int64_t generation); /* no request of an older one is running */

/* Writes the snapshot if something changed. */
int routes_publish(struct routes *, struct err *err);
bool routes_changed(const struct routes *);

/* Reads route.ack; true when it says something new. */
bool routes_read_ack(struct routes *);

#endif
