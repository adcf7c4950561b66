/* client.h - one question to the server's admin socket, and its answer. Waits. */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct answer {
    int status;
    const struct doc *body; /* an empty map when there was none, or none in JSON */
};

/* ERR_UNAVAILABLE when nobody listens. 'body' NULL: none. Any status is an answer. */
int client_call(struct arena *, const char *socket_path, const char *method, const char *target, const struct doc *body,
                int64_t limit_ms, struct answer *ret, struct err *err);

/* The same to the admin socket of a data directory; a status other than 2xx is a failure with the server's words. */
int client_admin(struct arena *, const char *data_folder, const char *method, const char *target,
                 const struct doc *body, const struct doc **ret, struct err *err);

/* Whether the public port answers; where it takes plain HTTP from us, that the data plane really does. */
int client_public(struct arena *, const char *address, int port, struct err *err);

#endif
