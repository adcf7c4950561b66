/* order.h - order.json, read once into what the agent works with. */
#ifndef AGENT_ORDER_H
#define AGENT_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct order {
    const struct doc *doc;
    const char *name, *uid, *work, *image, *host_name, *instance_type, *region, *account, *runtime, *data_folder,
        *run_folder, *archives_folder, *api_socket, *admin_socket, *log_group, *log_stream;
    const char *token; /* of a job that may be on other machines: it is this agent; see bearer */
    const char *bearer; /* of a node that is another machine: the Authorization of what goes to admin_socket; else "" */
    bool isolated, spot;
    bool own_disk;         /* disk_bytes are those of its type, and not of a volume */
    bool infra_check;      /* the instance is looked at thoroughly before its container starts */
    const char *nccl_library; /* for that: its path; "": the loader's */
    int64_t quiet_after_s; /* without a sign of life: it is told of; 0: never */
    int64_t silent_after_s; /* without a line of its log, whatever else it does; 0: never */
    bool warm_pool;        /* it has a persistent cache */
    int64_t max_runtime_s, cpus, cpu_weight, memory_bytes, disk_bytes, checkpoint_bytes_per_s;
    int64_t notice_s;        /* SIGTERM takes the instance back, and leaves it so long; 0: it ends the agent alone */
    int64_t interrupted_every_s; /* the job's spot instances together, on average; 0: nobody knows */
    int64_t gpus_absent;     /* so many has its type, and this machine has none */
    const struct doc *gpus;  /* the indices of those it may use; NULL: none */
    const struct doc *entrypoint, *arguments, *environment, *hosts; /* NULL where not given */
    const char *access_key_id, *secret_access_key, *session_token, *role_arn;
    int64_t credentials_expire_ms;
    /* train */
    const char *job_name, *job_arn, *output_s3_uri, *output_compression, *checkpoint_s3_uri,
        *checkpoint_path;
    const struct doc *hyper_parameters, *channels, *metric_definitions;
    const char *group; /* of instances: the one that it is in; "": that of a job without groups */
    const struct doc *instance_groups; /* [{name, instance_type, hosts}] */
    const char *tunnel_secret; /* what they send each other is sealed with it, in base64; "": it is not */
    const struct doc *peers; /* host name -> agent, its own too; NULL: it is alone */
    const char *mesh_server; /* where the server is, of a job whose instances may be on different machines; else "" */
    /* process: job_name, job_arn and channels, too */
    const struct doc *outputs, *job_config;
    /* serve */
    const struct doc *models;
    int64_t port, startup_timeout_s;
};

/* ERR_INVALID: it is no order that this agent can carry out. */
int order_read(const struct doc *, struct order *ret, struct err *err);

bool order_trains(const struct order *);
bool order_processes(const struct order *);
bool order_ends(const struct order *); /* both of these: its container runs once, to its end */

/* Its instances may be on different machines: they reach each other by nothing but the tunnel. */
bool order_spans_machines(const struct order *);

/* The place of a host among the job's, from 1, as all its instances count; 0: it is none of them. */
int order_number(const struct order *, const char *host);

/* Where below /opt/ml/output the command says why it ends. */
const char *order_reason_file(const struct order *);

/* Of a folder of a processing job: where it is below /opt/ml. */
const char *order_local_path(const struct doc *channel_or_output);

size_t list_count(const struct doc *list); /* 0 for NULL and for anything but a list */
/* What gives an instance more than disk_bytes: "Raise VolumeSizeInGB". */
const char *order_more_disk(const struct order *);

uint64_t order_gpus(const struct order *); /* a bit an index */

#endif
