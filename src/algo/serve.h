/* serve.h - the model server of an endpoint, in the container contract. */
#ifndef ALGO_SERVE_H
#define ALGO_SERVE_H

/* Answers GET /ping, GET /execution-parameters and POST /invocations on port SAGEMAKER_BIND_TO_PORT (8080) with the
 * models of /opt/ml/model, until SIGTERM. Returns the exit status. */
int serve(void);

#endif
