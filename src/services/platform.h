/* platform.h - what the services of one control plane share beside the engine; the engine carries it as its context. */
#ifndef SERVICES_PLATFORM_H
#define SERVICES_PLATFORM_H

#include "base/rand.h"
#include "fleet/limits.h"
#include "sign/digest.h"

struct allocations;
struct gpu_bank;
struct gpu_monitor;
struct identity_cache;
struct routes;

struct platform {
    const char *account, *default_region;
    const char *data_folder;
    const char *file_systems; /* "fs-0123abcd:/srv/data, ...": the folders that stand for them */
    const char *vpc; /* "subnet-0a1b, sg-0c2d": what our network is */
    int64_t silent_after_s; /* a job that writes no line for so long is ended; 0: never */
    int64_t hang_after_s; /* a job that does nothing for so long is ended; 0: never */
    const char *api_socket, *admin_socket; /* where the agents reach us */
    struct rand *rand;
    const struct fleet *fleet;
    struct machine machine;
    struct allocations *allocations;
    struct gpu_bank *gpus;            /* NULL: this machine has none */
    struct gpu_monitor *gpu_monitor; /* NULL: nobody watches them */
    struct routes *routes;
    unsigned char session_key[SEAL_KEY_SIZE]; /* seals and opens session tokens */
    struct identity_cache *identity_cache;    /* of services/iam, which makes it when it is NULL */
    bool events_delivered;                    /* nothing waits: see services/events/events.h */
};

#endif
