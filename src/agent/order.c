#include "agent/order.h"

#include <string.h>

#include "base/str.h"
#include "run/gpu.h"

static const struct doc_field fields[] = {
    DOC_TEXT(struct order, name, "name"),
    DOC_TEXT(struct order, uid, "uid"),
    DOC_TEXT(struct order, work, "work"),
    DOC_TEXT(struct order, image, "image"),
    DOC_TEXT(struct order, host_name, "host_name"),
    DOC_TEXT(struct order, instance_type, "instance_type"),
    DOC_TEXT(struct order, region, "region"),
    DOC_TEXT(struct order, account, "account"),
    DOC_TEXT(struct order, runtime, "runtime"),
    DOC_TEXT(struct order, data_folder, "data_folder"),
    DOC_TEXT(struct order, run_folder, "run_folder"),
    DOC_TEXT(struct order, archives_folder, "archives_folder"),
    DOC_TEXT(struct order, api_socket, "api_socket"),
    DOC_TEXT(struct order, admin_socket, "admin_socket"),
    DOC_TEXT(struct order, token, "remote.token"),
    DOC_TEXT(struct order, bearer, "bearer"),
    DOC_TEXT(struct order, log_group, "log_group"),
    DOC_TEXT(struct order, log_stream, "log_stream"),
    DOC_BOOL(struct order, isolated, "isolated"),
    DOC_BOOL(struct order, spot, "spot"),
    DOC_BOOL(struct order, infra_check, "infra_check"),
    DOC_INT(struct order, quiet_after_s, "quiet_after_s"),
    DOC_INT(struct order, silent_after_s, "silent_after_s"),
    DOC_BOOL(struct order, warm_pool, "warm_pool"),
    DOC_INT(struct order, max_runtime_s, "max_runtime_s"),
    DOC_INT(struct order, notice_s, "notice_s"),
    DOC_INT(struct order, cpus, "limits.cpus"),
    DOC_INT(struct order, cpu_weight, "limits.cpu_weight"),
    DOC_INT(struct order, memory_bytes, "limits.memory_bytes"),
    DOC_DOC(struct order, gpus, "limits.gpus"),
    DOC_INT(struct order, gpus_absent, "limits.gpus_absent"),
    DOC_INT(struct order, disk_bytes, "limits.disk_bytes"),
    DOC_BOOL(struct order, own_disk, "limits.own_disk"),
    DOC_INT(struct order, checkpoint_bytes_per_s, "checkpoint_bytes_per_s"),
    DOC_TEXT(struct order, nccl_library, "nccl_library"),
    DOC_INT(struct order, interrupted_every_s, "checkpoint.interrupted_every_s"),
    DOC_DOC(struct order, entrypoint, "entrypoint"),
    DOC_DOC(struct order, arguments, "arguments"),
    DOC_DOC(struct order, environment, "environment"),
    DOC_DOC(struct order, hosts, "hosts"),
    DOC_DOC(struct order, peers, "peers"),
    DOC_TEXT(struct order, mesh_server, "mesh.server"),
    DOC_TEXT(struct order, group, "group"),
    DOC_DOC(struct order, instance_groups, "instance_groups"),
    DOC_TEXT(struct order, tunnel_secret, "tunnel.secret"),
    DOC_TEXT(struct order, access_key_id, "role.access_key_id"),
    DOC_TEXT(struct order, secret_access_key, "role.secret_access_key"),
    DOC_TEXT(struct order, session_token, "role.session_token"),
    DOC_TEXT(struct order, role_arn, "role.role_arn"),
    DOC_INT(struct order, credentials_expire_ms, "role.expires_ms"),
    DOC_TEXT(struct order, job_name, "job_name"),
    DOC_TEXT(struct order, job_arn, "job_arn"),
    DOC_TEXT(struct order, output_s3_uri, "output_s3_uri"),
    DOC_TEXT(struct order, output_compression, "output_compression"),
    DOC_TEXT(struct order, checkpoint_s3_uri, "checkpoint.s3_uri"),
    DOC_TEXT(struct order, checkpoint_path, "checkpoint.local_path"),
    DOC_DOC(struct order, hyper_parameters, "hyper_parameters"),
    DOC_DOC(struct order, channels, "channels"),
    DOC_DOC(struct order, metric_definitions, "metric_definitions"),
    DOC_DOC(struct order, outputs, "outputs"),
    DOC_DOC(struct order, job_config, "job_config"),
    DOC_DOC(struct order, models, "models"),
    DOC_INT(struct order, port, "port"),
    DOC_INT(struct order, startup_timeout_s, "startup_timeout_s"),
    {},
};

bool order_trains(const struct order *o)
{
    return strcmp(o->work, "train") == 0;
}

bool order_processes(const struct order *o)
{
    return strcmp(o->work, "process") == 0;
}

bool order_ends(const struct order *o)
{
    return order_trains(o) || order_processes(o);
}

bool order_spans_machines(const struct order *o)
{
    return *o->mesh_server != '\0';
}

int order_number(const struct order *o, const char *host)
{
    for (size_t i = 0; i < list_count(o->hosts); i++)
        if (strcmp(doc_value_text(o->hosts->items[i]), host) == 0)
            return (int)i + 1;
    return 0;
}

const char *order_reason_file(const struct order *o)
{
    return order_processes(o) ? "message" : "failure";
}

const char *order_local_path(const struct doc *d)
{
    return doc_text(d, "local_path") + strlen("/opt/ml/");
}

const char *order_more_disk(const struct order *o)
{
    return o->own_disk ? "Take an instance type with a larger disk" : "Raise VolumeSizeInGB";
}

uint64_t order_gpus(const struct order *o)
{
    uint64_t gpus = 0;

    for (size_t i = 0; i < list_count(o->gpus); i++)
        gpus |= UINT64_C(1) << o->gpus->items[i]->integer;
    return gpus;
}

size_t list_count(const struct doc *list)
{
    return list && list->type == DOC_LIST ? list->count : 0;
}

/* A program's word or a variable's value ends at a NUL: one inside would be cut in silence. */
static int check_texts(const struct doc *list, const char *what, struct err *err)
{
    for (size_t i = 0; i < list_count(list); i++)
        if (list->items[i]->type != DOC_STRING || strlen(list->items[i]->text.data) != list->items[i]->text.size)
            return fail(err, ERR_INVALID, "the order's %s are no texts", what);
    return 0;
}

/* A folder below that one, by a path that does not climb. */
static bool is_place(const char *path, const char *root)
{
    if (!text_starts(path, root))
        return false;
    for (const char *part = path + strlen(root);; part++) {
        size_t size = strcspn(part, "/");

        if (size == 0 || (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return size == 0 && !*part && part > path + strlen(root); /* behind a slash at the end */
        part += size;
        if (!*part)
            return true;
    }
}

static int check_places(const struct doc *list, const char *what, const char *root, struct err *err)
{
    for (size_t i = 0; i < list_count(list); i++)
        if (!is_place(doc_text(list->items[i], "local_path"), root))
            return fail(err, ERR_INVALID, "the order has an %s in \"%.200s\"", what,
                        doc_text(list->items[i], "local_path"));
    return 0;
}

int order_read(const struct doc *d, struct order *ret, struct err *err)
{
    struct order o = { .doc = d, .host_name = "algo-1", .checkpoint_path = "/opt/ml/checkpoints", .port = 8080,
                       .startup_timeout_s = 600, .output_compression = "GZIP" };
    const struct doc *name;

    /* What is not in the document leaves the field as it is: "" for texts. */
    for (const struct doc_field *f = fields; f->path; f++)
        if (f->type == DOC_FIELD_TEXT && !*(const char **)((char *)&o + f->offset))
            *(const char **)((char *)&o + f->offset) = "";
    if (doc_int(d, "version", 0) != 1)
        return fail(err, ERR_INVALID, "the order has a version that this agent does not know");
    doc_read(d, fields, &o);
    if (!*o.name || !*o.image || !*o.data_folder || !*o.run_folder)
        return fail(err, ERR_INVALID, "the order lacks its name, image or folders");
    if (!order_ends(&o) && strcmp(o.work, "serve") != 0)
        return fail(err, ERR_INVALID, "the order's work \"%.40s\" is neither train, process nor serve", o.work);
    if (o.port < 1 || o.port > 65535)
        return fail(err, ERR_INVALID, "the order's port is no port");
    if (o.max_runtime_s < 0 || o.memory_bytes < 0 || o.cpus < 0 || o.disk_bytes < 0 || o.quiet_after_s < 0 ||
        o.silent_after_s < 0)
        return fail(err, ERR_INVALID, "the order has a negative limit");
    if (check_texts(o.entrypoint, "entrypoint", err) < 0 || check_texts(o.arguments, "arguments", err) < 0)
        return -1;
    for (size_t i = 0; i < list_count(o.gpus); i++) {
        const struct doc *index = o.gpus->items[i];

        if (index->type != DOC_INTEGER || index->integer < 0 || index->integer >= GPU_MOST)
            return fail(err, ERR_INVALID, "the order's gpus are no indices");
    }
    if (order_processes(&o) && check_places(o.channels, "input", "/opt/ml/processing/", err) < 0)
        return -1;
    if (check_places(o.outputs, "output", order_processes(&o) ? "/opt/ml/processing/" : "/opt/ml/output/", err) < 0)
        return -1;
    for (size_t i = 0; !order_processes(&o) && i < list_count(o.channels); i++) {
        const char *channel = doc_text(o.channels->items[i], "name");

        if (!*channel || strchr(channel, '/') || strcmp(channel, ".") == 0 || strcmp(channel, "..") == 0)
            return fail(err, ERR_INVALID, "the order has a channel with the name \"%.70s\"", channel);
    }
    name = doc_get(d, "host_name");
    if (name && (!*o.host_name || strpbrk(o.host_name, " \t\n/")))
        return fail(err, ERR_INVALID, "the order's host name is none");
    if (order_spans_machines(&o) && (!o.peers || !*o.tunnel_secret || !order_number(&o, o.host_name)))
        return fail(err, ERR_INVALID, "the order's instances cannot reach each other: it lacks its peers or a secret");
    *ret = o;
    return 0;
}
