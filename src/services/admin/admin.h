/* admin.h - what AWS has no call for: health, metrics, keys, backup, and what agents report (docs/ARCHITECTURE.md).
 *
 * Health and metrics are open on the public port, and what agents send is to nodes that are other machines, with the
 * token of their order; everything else is on admin.sock only. An answer that wrote
 * something waits for the commit of its turn, as those of the AWS interface do. */
#ifndef SERVICES_ADMIN_H
#define SERVICES_ADMIN_H

#include "engine/engine.h"
#include "net/http_server.h"

struct admin;
struct gateway;

struct admin_options {
    struct engine *engine;
    struct gateway *gateway; /* for its counters */
    const char *version;
};

struct admin *admin_new(const struct admin_options *);
void admin_free(struct admin *); /* NULL is fine */

void admin_handle(struct http_exchange *, void *admin);         /* admin.sock */
void admin_handle_public(struct http_exchange *, void *admin);  /* /_sagebrush/ of the public port */
void admin_flush(struct admin *, const struct err *failure);    /* as gateway_flush */

#endif
