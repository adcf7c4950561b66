#include "agent/metadata.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/answerer.h"
#include "agent/credentials.h"
#include "base/rand.h"
#include "base/str.h"
#include "doc/json.h"
#include "run/folder.h"
#include "run/instance_id.h"
#include "run/runtime.h"
#include "run/tunnel_device.h"

enum { TOKEN_SIZE = 56, TTL_MAX_S = 21600 };

struct metadata {
    struct answerer *server;
    struct clock *clock;
    const struct order *order;
    const struct network *network;
    const char *folder;
    char token[TOKEN_SIZE + 1]; /* of this agent; clients ask for another when it is refused */
};

/* --- The notice --- */

/* When the notice came, wall time; *ret_grace_s: how long after it SIGKILL comes. 0: there is none. */
static int64_t noticed_ms(const struct metadata *m, struct arena *a, int64_t *ret_grace_s)
{
    const struct doc *stop;
    struct err ignored;
    struct stat st;

    if (folder_read(a, m->folder, FOLDER_STOP, &stop, &ignored) < 0 || !doc_is(stop, "reason", STOP_TAKEN_BACK) ||
        stat(arena_printf(a, "%s/" FOLDER_STOP, m->folder), &st) < 0)
        return 0;
    *ret_grace_s = doc_int(stop, "grace_s", 120);
    return st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
}

static const char *instance_action(const struct metadata *m, struct arena *a)
{
    int64_t grace_s, at_ms = noticed_ms(m, a, &grace_s);
    struct doc *d = doc_map(a);

    if (!at_ms)
        return NULL;
    doc_set_string(a, d, "action", "terminate");
    doc_set_string(a, d, "time", time_iso8601(a, at_ms + grace_s * 1000, false));
    return json_text(a, d);
}

static const char *termination_time(const struct metadata *m, struct arena *a)
{
    int64_t grace_s, at_ms = noticed_ms(m, a, &grace_s);

    return at_ms ? time_iso8601(a, at_ms + grace_s * 1000, false) : NULL;
}

/* It may come long before the notice, which is one itself. */
static const char *rebalance(const struct metadata *m, struct arena *a)
{
    const struct doc *told;
    struct err ignored;
    int64_t grace_s, at_ms = 0;
    struct doc *d = doc_map(a);

    if (folder_read(a, m->folder, FOLDER_REBALANCE, &told, &ignored) == 0)
        at_ms = doc_int(told, "at_ms", 0);
    if (!at_ms)
        at_ms = noticed_ms(m, a, &grace_s);
    if (!at_ms)
        return NULL;
    doc_set_string(a, d, "noticeTime", time_iso8601(a, at_ms, false));
    return json_text(a, d);
}

/* --- The instance --- */

static const char *id(const struct metadata *m, struct arena *a)
{
    return instance_id(a, m->order->name);
}

static const char *instance_type(const struct metadata *m, struct arena *a)
{
    const char *type = m->order->instance_type;

    (void)a;
    return text_starts(type, "ml.") ? type + strlen("ml.") : type;
}

static const char *life_cycle(const struct metadata *m, struct arena *a)
{
    (void)a;
    return m->order->spot ? "spot" : "on-demand";
}

static const char *region(const struct metadata *m, struct arena *a)
{
    (void)a;
    return m->order->region;
}

static const char *zone(const struct metadata *m, struct arena *a)
{
    return instance_zone(a, m->order->region);
}

static const char *host_name(const struct metadata *m, struct arena *a)
{
    (void)a;
    return m->order->host_name;
}

static const char *address(const struct metadata *m, struct arena *a)
{
    const struct order *o = m->order;

    /* By which the others reach it. */
    return order_spans_machines(o) ? tunnel_address(a, order_number(o, o->host_name)) : m->network->address;
}

static const char *identity(const struct metadata *m, struct arena *a)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "accountId", m->order->account);
    doc_set_string(a, d, "availabilityZone", zone(m, a));
    doc_set_string(a, d, "instanceId", id(m, a));
    doc_set_string(a, d, "instanceType", instance_type(m, a));
    doc_set_string(a, d, "privateIp", address(m, a));
    doc_set_string(a, d, "region", m->order->region);
    doc_set_string(a, d, "version", "2017-09-30");
    return json_text(a, d);
}

/* Who watches for it must find that there is none: no answer is an error to him. */
static const char *maintenance(const struct metadata *m, struct arena *a)
{
    (void)m, (void)a;
    return "[]";
}

/* --- The role --- */

static const char *credentials(const struct metadata *m, struct arena *a)
{
    int64_t now_ms = clock_wall_ms(m->clock);
    struct doc *d = credentials_doc(a, m->order, now_ms);

    doc_set_string(a, d, "Code", "Success");
    doc_set_string(a, d, "Type", "AWS-HMAC");
    doc_set_string(a, d, "LastUpdated", time_iso8601(a, now_ms, false));
    return json_text(a, d);
}

/* --- Paths --- */

#define IAM  "/latest/meta-data/iam/"
#define ROLE "ROLE" /* stands for the role's name */

/* A value NULL: not found now. */
static const struct path {
    const char *path;
    const char *(*value)(const struct metadata *, struct arena *);
} paths[] = {
    { "/latest/dynamic/instance-identity/document", identity },
    { "/latest/meta-data/events/maintenance/scheduled", maintenance },
    { "/latest/meta-data/events/recommendations/rebalance", rebalance },
    { "/latest/meta-data/hostname", host_name },
    { IAM "security-credentials/" ROLE, credentials },
    { "/latest/meta-data/instance-id", id },
    { "/latest/meta-data/instance-life-cycle", life_cycle },
    { "/latest/meta-data/instance-type", instance_type },
    { "/latest/meta-data/local-hostname", host_name },
    { "/latest/meta-data/local-ipv4", address },
    { "/latest/meta-data/placement/availability-zone", zone },
    { "/latest/meta-data/placement/region", region },
    { "/latest/meta-data/spot/instance-action", instance_action },
    { "/latest/meta-data/spot/termination-time", termination_time },
};

static struct str path_of(const struct metadata *m, struct arena *a, const struct path *p)
{
    struct str path = str_of(p->path);

    if (!str_ends(path, "/" ROLE))
        return path;
    return str_of(arena_printf(a, "%.*s%s", (int)(path.size - strlen(ROLE)), path.data, credentials_role(m->order)));
}

/* What is below, by the first part of its path each; NULL: nothing. Those of one folder follow each other. */
static const char *listing(const struct metadata *m, struct arena *a, struct str folder)
{
    const char *list = NULL;
    struct str last = { 0 };

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct str name = path_of(m, a, &paths[i]), rest;
        bool is_folder;

        if (name.size <= folder.size + 1 || memcmp(name.data, folder.data, folder.size) != 0 ||
            name.data[folder.size] != '/')
            continue;
        name = (struct str){ name.data + folder.size + 1, name.size - folder.size - 1 };
        is_folder = str_cut(name, '/', &name, &rest);
        if (!str_eq(name, last))
            list = arena_printf(a, "%s%s" STR_FMT "%s", list ? list : "", list ? "\n" : "", STR_ARG(name),
                                is_folder ? "/" : "");
        last = name;
    }
    return list;
}

/* With a '/' at its end or without, as on EC2: botocore asks for the zone with one. */
static const char *find(const struct metadata *m, struct arena *a, struct str path)
{
    if (str_ends(path, "/"))
        path.size--;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (str_eq(path, path_of(m, a, &paths[i])))
            return paths[i].value(m, a);
    return listing(m, a, path);
}

/* --- Requests --- */

static void give_token(const struct metadata *m, const struct http_head *head, struct answer *ret)
{
    int64_t ttl_s;

    if (!str_to_int64(http_value(head, "X-aws-ec2-metadata-token-ttl-seconds"), &ttl_s) || ttl_s < 1 ||
        ttl_s > TTL_MAX_S)
        *ret = (struct answer){ 400, "text/plain", "X-aws-ec2-metadata-token-ttl-seconds must be 1 to 21600" };
    else
        *ret = (struct answer){ 200, "text/plain", m->token };
}

static void answer(void *data, struct arena *a, const struct http_head *head, struct answer *ret)
{
    const struct metadata *m = data;
    const struct str *token = http_find(head, "X-aws-ec2-metadata-token");
    const char *value;

    *ret = (struct answer){ 404, "text/plain", "" };
    if (str_is(head->method, "PUT") && str_is(http_path(head), "/latest/api/token")) {
        give_token(m, head, ret);
        return;
    }
    if (!str_is(head->method, "GET")) {
        *ret = (struct answer){ 405, "text/plain", "" };
        return;
    }
    if (token ? !str_is(*token, m->token) : str_starts(http_path(head), IAM)) {
        *ret = (struct answer){ 401, "text/plain", "" };
        return;
    }
    value = find(m, a, http_path(head));
    if (value)
        *ret = (struct answer){ 200, strchr("{[", *value) ? "application/json" : "text/plain", value };
}

int metadata_new(struct loop *loop, struct clock *clock, const struct order *order, const char *folder,
                 const struct network *network, struct metadata **ret, struct err *err)
{
    struct metadata *m = calloc(1, sizeof *m);

    assert(m);
    *m = (struct metadata){ .clock = clock, .order = order, .network = network, .folder = folder };
    rand_name(rand_system(), m->token, TOKEN_SIZE);
    if (answerer_new(loop, network, "169.254.169.254", 80, answer, m, &m->server, err) < 0) {
        free(m);
        return -1;
    }
    *ret = m;
    return 0;
}

void metadata_free(struct metadata *m)
{
    if (!m)
        return;
    answerer_free(m->server);
    free(m);
}
