/* slurm.c - jobs on a Slurm cluster: one Slurm job an attempt, with our own agent on each of its nodes.
 *
 * What an agent says in its folder is the truth about its work, Slurm's word is the truth about its nodes. A Slurm job
 * is found by its name, the first instance's agent, never by its number: numbers are used again, and a slurmctld that
 * was killed forgets jobs. So there are three cases, and three only:
 *   Slurm does not answer: nothing is concluded, but that a job which was never submitted is nowhere.
 *   Slurm does not know the job, and no agent lives: it is submitted, again if need be. The new agent finds the old
 *   one's folder, and goes on with what is there.
 *   Slurm says that it has ended the job: who has not told its own end has lost its instance.
 * Nobody here knows whether an agent on another machine lives; who lends it its name does (services/admin/lending.c),
 * and a second one waits there.
 * Endpoints stay on this host: a queue is no place for what has to be there. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/program.h"
#include "base/rand.h"
#include "base/str.h"
#include "run/agents.h"
#include "run/folder.h"
#include "run/slurm_cluster.h"

#define ENDINGS_FILE "slurm.json" /* in the first instance's folder */

enum {
    ENDINGS_MOST = 3, /* without a report, before the job is given up */
    TOKEN_SIZE = 40,  /* 206 bits */
    AUTHORITY_MOST = 1 << 16,
};

struct slurm {
    struct runtime base;
    struct runtime *local; /* folders and orders, and whatever does not go to Slurm */
    struct slurm_cluster *cluster;
    struct slurm_settings settings;
    struct arena *arena; /* the settings' strings */
    const char *data_folder, *boot_id;
};

static struct slurm *slurm_of(struct runtime *rt)
{
    return (struct slurm *)rt;
}

static bool goes_to_slurm(const struct doc *order)
{
    return !doc_is(order, "work", "serve");
}

/* One that was begun on this host, before Slurm was chosen, ends there. */
static bool is_on_slurm(const struct doc *order)
{
    return doc_is(order, "runtime", "slurm");
}

/* --- Submitting --- */

/* Every node of an allocation has what the largest instance asks for: instance groups have types of their own. */
static void ask_for_more(struct arena *a, struct doc *limits, const struct doc *others)
{
    static const char *const members[] = { "cpus", "memory_bytes", "gpus_wanted" };

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_int(others, members[i], 0) > doc_int(limits, members[i], 0))
            doc_set_integer(a, limits, members[i], doc_int(others, members[i], 0));
}

/* The GPUs are those of the type that has some; of several types that have, any GPU has to do. */
static void ask_for_gpus(struct arena *a, struct doc *all, const struct doc *order)
{
    const char *type = doc_text(order, "instance_type");

    if (doc_int(order, "limits.gpus_wanted", 0) <= 0 || doc_is(all, "instance_type", type))
        return;
    doc_set_string(a, all, "instance_type", doc_int(all, "limits.gpus_wanted", 0) > 0 ? "" : type);
}

/* They come one by one, and one allocation is for all of them: the last one submits it. False: one is still to come. */
static int order_of_all(struct slurm *s, struct arena *a, const char *const *agents, int count, bool *ret_all,
                        struct doc **ret_order, struct err *err)
{
    struct doc *all = NULL;

    *ret_all = false;
    for (int i = 0; i < count; i++) {
        const struct doc *order;

        if (runtime_order(s->local, a, agents[i], &order, err) < 0)
            return -1;
        if (!doc_has(order, "name"))
            return 0;
        if (!all)
            all = doc_copy(a, order);
        ask_for_gpus(a, all, order);
        ask_for_more(a, doc_member(a, all, "limits", DOC_MAP), doc_get(order, "limits"));
    }
    *ret_all = true;
    *ret_order = all;
    return 0;
}

static int submit(struct slurm *s, struct arena *a, const struct doc *order, bool first, struct err *err)
{
    const char *agents_folder = arena_printf(a, "%s/agents", s->data_folder), *program;
    struct slurm_batch batch;
    int count;
    const char *const *agents = slurm_batch_agents(a, order, &count);
    struct doc *all;
    bool complete;

    if (order_of_all(s, a, agents, count, &complete, &all, err) < 0)
        return -1;
    if (!complete)
        return 0;
    if (program_path(a, doc_has(all, "remote") ? "sagebrush-node" : "sagebrush-agent", &program, err) < 0)
        return -1;
    batch = slurm_batch_of(a, &s->settings, all, agents_folder, program);
    slurm_cluster_submit(s->cluster, &batch, first);
    return 0;
}

static const char *group_of(struct arena *a, const struct doc *order)
{
    int count;

    return slurm_batch_agents(a, order, &count)[0];
}

/* How a node that is another machine reaches us. The token is good for this order, and as long as it is carried out. */
static int add_remote(struct slurm *s, struct arena *a, struct doc *order, struct err *err)
{
    struct doc *remote = doc_map(a);
    char token[TOKEN_SIZE + 1];
    struct str authority;

    if (!*s->settings.server)
        return 0;
    if (file_read(a, arena_printf(a, "%s/secrets/ca.pem", s->data_folder), AUTHORITY_MOST, &authority, err) < 0)
        return -1;
    rand_name(rand_system(), token, TOKEN_SIZE);
    doc_set_string(a, remote, "address", s->settings.server);
    doc_set_integer(a, remote, "port", s->settings.server_port);
    doc_set(a, remote, "authority", doc_str(a, authority));
    doc_set_string(a, remote, "token", token);
    doc_set_string(a, remote, "scratch", s->settings.scratch);
    doc_set(a, order, "remote", remote);
    /* Where Slurm will put the others nobody knows: they find each other from anywhere. */
    if (doc_has(order, "peers"))
        doc_set_string(a, doc_member(a, order, "mesh", DOC_MAP), "server", s->settings.server);
    return 0;
}

/* What only Slurm's agents are told. */
static int order_for_slurm(struct slurm *s, struct arena *a, const struct doc *order, const struct doc **ret,
                           struct err *err)
{
    struct doc *d = doc_copy(a, order), *limits = doc_member(a, d, "limits", DOC_MAP);
    int64_t gpus = doc_int(limits, "gpus_absent", 0);

    if (add_remote(s, a, d, err) < 0)
        return -1;
    doc_set_integer(a, d, "notice_s", s->settings.notice_s);
    doc_set_string(a, d, "boot_id", s->boot_id);
    /* Slurm gives them, by index on the node that it chooses. */
    if (gpus) {
        doc_set(a, limits, "gpus_absent", NULL);
        doc_set_integer(a, limits, "gpus_wanted", gpus);
    }
    *ret = d;
    return 0;
}

static int slurm_start(struct runtime *rt, const char *name, const struct doc *order, struct err *err)
{
    struct slurm *s = slurm_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    struct agents_look before, l;
    const struct doc *whole;

    if (!goes_to_slurm(order))
        return runtime_start(s->local, name, order, err);
    if (agents_look(s->local, a, name, &before, err) < 0 || order_for_slurm(s, a, order, &whole, err) < 0 ||
        agents_accept(s->local, name, "slurm", whole, err) < 0 ||
        agents_look(s->local, a, name, &l, err) < 0)
        return -1;
    if (!is_on_slurm(l.order))
        return runtime_start(s->local, name, order, err);
    /* All orders have to be there before anybody submits: with a new one, nobody has. */
    return l.alive || l.ended ? 0 : submit(s, a, l.order, !before.there, err);
}

/* --- Looking --- */

struct verdict {
    const char *outcome, *reason; /* outcome NULL: it goes on */
    const char *unhealthy;        /* why the instance is to blame, and not what ran there */
    const char *waiting;          /* why it does not run yet */
    bool submit;
};

/* The last report of an agent that cannot write it. One that still lives, on a node that Slurm has given up, is killed;
 * the next that its shell starts finds the report, and goes away. */
static int end_for(struct slurm *s, struct arena *a, const char *name, const struct verdict *v,
                   const struct doc **ret_report, struct err *err)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct doc *report, *phase = doc_map(a);
    struct agents_look now;

    if (agents_kill(s->local, name, err) < 0 || agents_look(s->local, a, name, &now, err) < 0)
        return -1;
    *ret_report = now.report;
    if (now.ended) /* by itself, meanwhile */
        return 0;
    report = doc_copy(a, now.report);
    doc_set_integer(a, report, "version", 1);
    doc_set_integer(a, report, "sequence", doc_int(report, "sequence", 0) + 1);
    doc_set_string(a, phase, "phase", "Ended");
    doc_set_integer(a, phase, "at_ms", now_ms);
    doc_set_string(a, phase, "message", "");
    doc_append(a, doc_member(a, report, "phases", DOC_LIST), phase);
    doc_set_string(a, report, "phase", "Ended");
    doc_set_string(a, report, "outcome", v->outcome);
    doc_set_string(a, report, "failure_reason", v->reason);
    if (v->unhealthy) {
        struct doc *unhealthy = doc_member(a, report, "unhealthy", DOC_MAP);

        doc_set_string(a, unhealthy, "check", "Slurm");
        doc_set_string(a, unhealthy, "why", v->unhealthy);
    }
    doc_set_integer(a, report, "ended_ms", now_ms);
    if (folder_write(a, now.folder, FOLDER_REPORT, report, true, err) < 0)
        return -1;
    log_info("slurm.ended", "name=%s outcome=%s why=%s", name, v->outcome, log_quote(a, v->reason));
    *ret_report = report;
    return 0;
}

static bool has_begun(const struct agents_look *l)
{
    return *doc_text(l->report, "phase") != '\0';
}

static struct verdict failed(const char *reason)
{
    return (struct verdict){ .outcome = "Failed", .reason = reason };
}

/* "Slurm job 17 on n2 ended as NODE_FAIL" */
static const char *how_it_ended(struct arena *a, const struct slurm_job *job)
{
    return arena_printf(a, "Slurm job %s%s%s ended as %s", job->id, *job->nodes ? " on " : "", job->nodes, job->state);
}

/* Slurm remembers such a job for some minutes, which is not long enough to count to three. */
static int read_endings(struct slurm *s, struct arena *a, const char *group, struct doc **ret, struct err *err)
{
    const struct doc *before;

    if (folder_read(a, arena_printf(a, "%s/agents/%s", s->data_folder, group), ENDINGS_FILE, &before, err) < 0)
        return -1;
    *ret = before ? doc_copy(a, before) : doc_map(a);
    return 0;
}

static int note_ending(struct slurm *s, struct arena *a, const struct slurm_job *job, struct err *err)
{
    struct doc *d, *list, *ending = doc_map(a);
    const struct doc *order;

    if (runtime_order(s->local, a, job->name, &order, err) < 0 || read_endings(s, a, job->name, &d, err) < 0)
        return -1;
    if (!doc_has(order, "name")) /* the first instance of a job that is nobody's is forgotten already */
        return 0;
    list = doc_member(a, d, "endings", DOC_LIST);
    for (size_t i = 0; i < list->count; i++)
        if (doc_is(list->items[i], "job", job->id) && doc_is(list->items[i], "submitted", job->submitted))
            return 0;
    doc_set_string(a, ending, "job", job->id);
    doc_set_string(a, ending, "submitted", job->submitted);
    doc_set_string(a, ending, "how", how_it_ended(a, job));
    doc_append(a, list, ending);
    return folder_write(a, arena_printf(a, "%s/agents/%s", s->data_folder, job->name), ENDINGS_FILE, d, false, err);
}

/* Once more, or never again. */
static int try_again(struct slurm *s, struct arena *a, const char *group, struct verdict *ret, struct err *err)
{
    const struct doc *endings;
    struct doc *d;
    size_t count;

    if (read_endings(s, a, group, &d, err) < 0)
        return -1;
    endings = doc_get(d, "endings");
    count = doc_count(d, "endings");
    *ret = (struct verdict){ .submit = true };
    if (count >= ENDINGS_MOST)
        *ret = failed(arena_printf(a,
                                   "InternalServerError: %s without a word of its agent, %zu times. Its agent.log and "
                                   "slurm.log on the server say why.",
                                   doc_text(endings->items[count - 1], "how"), count));
    return 0;
}

static int of_ended(struct slurm *s, struct arena *a, const struct agents_look *l, const struct slurm_job *job,
                    struct verdict *ret, struct err *err)
{
    *ret = (struct verdict){ 0 };
    return l->alive ? 0 : note_ending(s, a, job, err) < 0 ? -1 : try_again(s, a, job->name, ret, err);
}

static struct verdict of_lost(struct arena *a, const struct slurm_job *job)
{
    const char *how = how_it_ended(a, job);
    struct verdict v = failed(arena_printf(a, "InternalServerError: the instance was lost: %s. Start the job again.",
                                           how));

    if (strcmp(job->state, "NODE_FAIL") == 0 || strcmp(job->state, "BOOT_FAIL") == 0)
        v.unhealthy = how;
    return v;
}

/* One that was put back into the queue, or submitted again, does not wait: the next agent tells what became of the
 * container. */
static struct verdict of_waiting(struct arena *a, const struct agents_look *l, const struct slurm_job *job,
                                 const char *words)
{
    if (has_begun(l))
        return (struct verdict){ 0 };
    return (struct verdict){ .waiting = *words     ? arena_printf(a, "Slurm did not take the job yet: %s", words)
                                        : *job->id ? slurm_waiting_words(a, job)
                                                   : "" };
}

static int of_job(struct slurm *s, struct arena *a, const struct agents_look *l, const struct slurm_job *job,
                  const char *words, struct verdict *ret, struct err *err)
{
    switch (job->fate) {
    case SLURM_RUNS:
        *ret = (struct verdict){ 0 };
        return 0;
    case SLURM_WAITS:
        *ret = of_waiting(a, l, job, words);
        return 0;
    case SLURM_ENDED:
        return of_ended(s, a, l, job, ret, err);
    case SLURM_TAKEN:
        *ret = (struct verdict){ .outcome = "Interrupted", .reason = "" };
        return 0;
    case SLURM_LOST:
        *ret = of_lost(a, job);
        return 0;
    }
    assert(!"every fate has its verdict");
    return -1;
}

/* What was asked to end has ended as it was asked to, however it came about. */
static struct verdict as_asked(const struct agents_look *l, struct verdict v)
{
    bool asked = doc_member_count(l->stop, "") > 0, taken = doc_is(l->stop, "reason", STOP_TAKEN_BACK);

    if (!asked || !(v.outcome || v.submit))
        return v;
    /* When a node fails, Slurm ends what runs on the others as if it took them back. It is the cause. */
    if (taken && v.unhealthy)
        return v;
    v.outcome = taken ? "Interrupted" : "Stopped";
    v.reason = "";
    v.submit = false;
    return v;
}

static int judge(struct slurm *s, struct arena *a, const struct agents_look *l, struct verdict *ret, struct err *err)
{
    const char *group = group_of(a, l->order), *words;
    struct slurm_job job;
    struct verdict v = { 0 };

    switch (slurm_cluster_find(s->cluster, a, group, &job, &words)) {
    case SLURM_SILENT:
        v.waiting = has_begun(l) || l->alive ? NULL : arena_printf(a, "Slurm does not answer: %s", words);
        break;
    case SLURM_ABSENT:
        if (!l->alive && try_again(s, a, group, &v, err) < 0)
            return -1;
        break;
    case SLURM_REFUSED:
        v = failed(arena_printf(a, "ClientError: Slurm does not take the job: %s", words));
        break;
    case SLURM_PRESENT:
        if (of_job(s, a, l, &job, words, &v, err) < 0)
            return -1;
        break;
    }
    *ret = as_asked(l, v);
    return 0;
}

static int slurm_inspect(struct runtime *rt, struct arena *arena, const char *name, enum runtime_state *ret_state,
                         const struct doc **ret_report, struct err *err)
{
    struct slurm *s = slurm_of(rt);
    struct agents_look l;
    struct verdict v = { 0 };

    if (agents_look(s->local, arena, name, &l, err) < 0)
        return -1;
    if (!l.there || !is_on_slurm(l.order))
        return runtime_inspect(s->local, arena, name, ret_state, ret_report, err);
    if (!l.ended && judge(s, arena, &l, &v, err) < 0)
        return -1;
    if (v.submit && submit(s, arena, l.order, false, err) < 0)
        return -1;
    if (v.outcome && end_for(s, arena, name, &v, &l.report, err) < 0)
        return -1;
    if (v.waiting) {
        struct doc *report = doc_copy(arena, l.report);

        doc_set_string(arena, report, "waiting", v.waiting);
        l.report = report;
    }
    *ret_state = RUNTIME_THERE;
    *ret_report = l.report;
    return 0;
}

/* --- Ending --- */

/* Slurm may take a job for running that its node never got, or has lost: no agent will ever read what it is asked. */
static bool has_agents(struct slurm *s, struct arena *a, const struct doc *order)
{
    int count;
    const char *const *names = slurm_batch_agents(a, order, &count);
    struct agents_look l;
    struct err ignored;

    for (int i = 0; i < count; i++)
        if (agents_look(s->local, a, names[i], &l, &ignored) < 0 || l.alive || has_begun(&l))
            return true;
    return false;
}

static int slurm_stop(struct runtime *rt, const char *name, int64_t grace_s, const char *reason, struct err *err)
{
    struct slurm *s = slurm_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    struct agents_look l;

    /* Agents look at what they are asked every few seconds, wherever they are. */
    if (runtime_stop(s->local, name, grace_s, reason, err) < 0 || agents_look(s->local, a, name, &l, err) < 0)
        return -1;
    if (l.there && is_on_slurm(l.order) && !l.ended && !l.alive)
        slurm_cluster_cancel(s->cluster, group_of(a, l.order), !has_agents(s, a, l.order));
    return 0;
}

/* What was submitted again is not left in the queue of a Slurm that did not hear of its end. */
static int leave_queue(struct slurm *s, struct arena *a, const char *group, struct err *err)
{
    enum slurm_known known;
    struct slurm_job job;
    const char *words;

    for (int i = 0; i < 2; i++) {
        known = slurm_cluster_find(s->cluster, a, group, &job, &words);
        if (known == SLURM_ABSENT || (known == SLURM_PRESENT && job.fate != SLURM_WAITS))
            return 0;
        if (i == 0)
            slurm_cluster_cancel(s->cluster, group, false);
    }
    return known == SLURM_REFUSED ? 0 : fail(err, ERR_CONFLICT, "Slurm may still have %s in its queue", group);
}

static int slurm_forget(struct runtime *rt, const char *name, struct err *err)
{
    struct slurm *s = slurm_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();
    struct agents_look l;

    if (agents_look(s->local, a, name, &l, err) < 0)
        return -1;
    if (l.there && is_on_slurm(l.order)) {
        /* It may have been ended for: its container must not outlive it. */
        if (l.ended && !l.alive && agents_kill(s->local, name, err) < 0)
            return -1;
        if (!l.ended && !l.alive)
            return fail(err, ERR_CONFLICT, "%s waits in Slurm's queue, or its end is not known yet", name);
        if (leave_queue(s, a, group_of(a, l.order), err) < 0)
            return -1;
    }
    return runtime_forget(s->local, name, err);
}

static int slurm_list(struct runtime *rt, struct arena *a, const char *const **ret_names, int *ret_count,
                      struct err *err)
{
    return runtime_list(slurm_of(rt)->local, a, ret_names, ret_count, err);
}

static int slurm_order(struct runtime *rt, struct arena *a, const char *name, const struct doc **ret_order,
                       struct err *err)
{
    return runtime_order(slurm_of(rt)->local, a, name, ret_order, err);
}

static int slurm_recommend(struct runtime *rt, const char *name, int64_t at_ms, struct err *err)
{
    return runtime_recommend(slurm_of(rt)->local, name, at_ms, err);
}

static void slurm_avoid(struct runtime *rt, const char *const *nodes, int count)
{
    struct slurm *s = slurm_of(rt);
    _cleanup_arena_ struct arena *a = arena_new();

    slurm_cluster_avoid(s->cluster, slurm_batch_exclude(a, "", nodes, count),
                        slurm_batch_exclude(a, s->settings.options, nodes, count));
}

static int slurm_nodes(struct runtime *rt, struct arena *a, const char *const **ret_names)
{
    return slurm_cluster_nodes(slurm_of(rt)->cluster, a, ret_names);
}

static int slurm_died(struct runtime *rt, struct arena *a, const char *const **ret_names)
{
    struct slurm *s = slurm_of(rt);
    const char *const *here, *const *there;
    const char **all;
    int there_count, here_count = runtime_died(s->local, a, &here);

    there = slurm_cluster_news(s->cluster, a, &there_count);
    all = arena_array_of(a, const char *, (size_t)(here_count + there_count));
    for (int i = 0; i < here_count + there_count; i++)
        all[i] = i < here_count ? here[i] : there[i - here_count];
    *ret_names = all;
    return here_count + there_count;
}

static void slurm_free(struct runtime *rt)
{
    struct slurm *s = slurm_of(rt);

    slurm_cluster_free(s->cluster);
    runtime_free(s->local);
    arena_free(s->arena); /* it is in it itself */
}

static struct slurm_settings settings_copy(struct arena *a, const struct slurm_settings *s)
{
    return (struct slurm_settings){
        .partition = arena_strdup(a, s->partition),
        .account = arena_strdup(a, s->account),
        .qos = arena_strdup(a, s->qos),
        .spot_partition = arena_strdup(a, s->spot_partition),
        .spot_qos = arena_strdup(a, s->spot_qos),
        .gpu_types = arena_strdup(a, s->gpu_types ? s->gpu_types : ""),
        .options = arena_strdup(a, s->options),
        .notice_s = s->notice_s,
        .server = arena_strdup(a, s->server ? s->server : ""),
        .server_port = s->server_port,
        .scratch = arena_strdup(a, s->scratch ? s->scratch : ""),
    };
}

static int read_boot_id(struct arena *a, const char **ret, struct err *err)
{
    struct str text;

    if (file_read(a, "/proc/sys/kernel/random/boot_id", 64, &text, err) < 0)
        return -1;
    *ret = str_dup(a, str_trim(text));
    return 0;
}

/* Whose nodes may get jobs. Without a name of its own that is Slurm's default: any then. */
static const char *partitions_of(struct arena *a, const struct slurm_settings *s)
{
    const char *spot = s->spot_partition ? s->spot_partition : "";

    if (!s->partition || !*s->partition)
        return "";
    return arena_printf(a, "%s%s%s", s->partition, *spot ? "," : "", spot);
}

int slurm_runtime_new(const struct runtime_config *config, const struct slurm_settings *settings, struct runtime **ret,
                      struct err *err)
{
    struct arena *a = arena_new();
    struct slurm_cluster *cluster;
    struct runtime *local;
    const char *boot_id;
    struct slurm *s;

    if (read_boot_id(a, &boot_id, err) < 0 || container_runtime_new(config, &local, err) < 0) {
        arena_free(a);
        return -1;
    }
    if (slurm_cluster_new(partitions_of(a, settings), settings->happened, settings->data, &cluster, err) < 0) {
        runtime_free(local);
        arena_free(a);
        return -1;
    }
    s = arena_new_of(a, struct slurm);
    *s = (struct slurm){ .base = { .kind = "slurm",
                                   .spans = settings->server && *settings->server,
                                   .start = slurm_start,
                                   .inspect = slurm_inspect,
                                   .stop = slurm_stop,
                                   .recommend = slurm_recommend,
                                   .forget = slurm_forget,
                                   .list = slurm_list,
                                   .order = slurm_order,
                                   .avoid = slurm_avoid,
                                   .nodes = slurm_nodes,
                                   .died = slurm_died,
                                   .free = slurm_free },
                         .local = local,
                         .cluster = cluster,
                         .settings = settings_copy(a, settings),
                         .arena = a,
                         .data_folder = arena_strdup(a, config->data_folder),
                         .boot_id = boot_id };
    *ret = &s->base;
    return 0;
}
