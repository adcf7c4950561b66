/* api.h - the AWS API inside a container: its endpoint on 127.0.0.1:8090, its role's credentials on 169.254.170.2:80
 * and the metadata of its instance on 169.254.169.254:80, all bound in the container's own network. */
#ifndef AGENT_API_H
#define AGENT_API_H

#include "agent/order.h"
#include "base/clock.h"
#include "net/loop.h"
#include "run/network.h"

struct api;

#define API_URL              "http://127.0.0.1:8090"
#define API_CREDENTIALS_PATH "/v2/credentials"

/* The order and 'folder', the agent's, are borrowed. */
int api_new(struct loop *, struct clock *, const struct order *, const char *folder, const struct network *,
            struct api **ret, struct err *err);
void api_free(struct api *); /* NULL is fine */

/* endpoints.json for clients that do not know AWS_ENDPOINT_URL, below 'folder' (AWS_DATA_PATH). */
int api_write_endpoints(struct arena *, const char *folder, struct err *err);

#endif
