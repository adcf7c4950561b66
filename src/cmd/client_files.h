/* client_files.h - the small files that unchanged clients need to find this server, in DIR/client.
 *
 *     ca.pem          our certificate authority
 *     ca-bundle.pem   the same after those of the system, for AWS_CA_BUNDLE: a client that also talks to others still
 * can aws/endpoints.json  every service of every region is here, for clients that know AWS_DATA_PATH but not
 *                     AWS_ENDPOINT_URL, and for the SageMaker SDK, which asks this table where STS is
 *     python/sitecustomize.py  makes the SageMaker SDK look at that table too (see there)
 *     sagemaker.yaml  the SageMaker SDK's settings: sends no usage data to anybody */
#ifndef CMD_CLIENT_FILES_H
#define CMD_CLIENT_FILES_H

#include "base/arena.h"
#include "base/err.h"
#include "cmd/settings.h"

int client_files_write(struct arena *, const char *data_folder, const struct settings *, struct err *err);

/* "127.0.0.1:8443": where clients of this machine reach it. */
const char *client_host(struct arena *, const struct settings *);

#endif
