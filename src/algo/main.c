/* main.c - the built-in XGBoost: one program in the container contract, "train" or "serve". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algo/serve.h"
#include "algo/train.h"

static int usage(FILE *to, int status)
{
    fputs("usage: sagebrush-xgboost train|serve\n"
          "\n"
          "XGBoost in the SageMaker container contract.\n"
          "  train   reads input/ below /opt/ml, writes model/; exit status 1 and output/failure say what went wrong\n"
          "  serve   answers /ping, /invocations and /execution-parameters with the models of model/, until SIGTERM\n"
          "\n"
          "SAGEMAKER_BASE_DIR stands in for /opt/ml, SAGEMAKER_BIND_TO_PORT for port 8080.\n",
          to);
    return status;
}

/* The OpenMP runtime reads its environment before main(), so the program starts once more with what it needs there. */
static void start_with(char **argv, const char *name, const char *value)
{
    const char *is = getenv(name);

    if (is && strcmp(is, value) == 0)
        return;
    setenv(name, value, 1);
    execv("/proc/self/exe", argv);
    /* Without /proc it works as well, only slower. */
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return usage(stdout, 0);
    if (argc != 2)
        return usage(stderr, 2);
    if (strcmp(argv[1], "train") == 0) {
        /* Waiting threads that spin take the cores of others: 2.4 times the CPU when there are more threads than free
         * cores. */
        start_with(argv, "OMP_WAIT_POLICY", "passive");
        return train();
    }
    if (strcmp(argv[1], "serve") == 0) {
        /* The server forks, and OpenMP's threads do not come along. */
        start_with(argv, "OMP_NUM_THREADS", "1");
        return serve();
    }
    return usage(stderr, 2);
}
