#include "run/slurm_text.h"

#include <stdlib.h>
#include <string.h>

enum { JOBS_MOST = 1000000 };

/* squeue(1), "JOB STATE CODES". */
static const struct {
    const char *name;
    enum slurm_fate fate;
} states[] = {
    { "PENDING", SLURM_WAITS },     { "REQUEUED", SLURM_WAITS },     { "REQUEUE_HOLD", SLURM_WAITS },
    { "REQUEUE_FED", SLURM_WAITS }, { "RESV_DEL_HOLD", SLURM_WAITS }, { "SPECIAL_EXIT", SLURM_WAITS },
    { "COMPLETED", SLURM_ENDED },   { "FAILED", SLURM_ENDED },       { "PREEMPTED", SLURM_TAKEN },
    { "BOOT_FAIL", SLURM_LOST },    { "CANCELLED", SLURM_LOST },     { "DEADLINE", SLURM_LOST },
    { "NODE_FAIL", SLURM_LOST },    { "OUT_OF_MEMORY", SLURM_LOST }, { "REVOKED", SLURM_LOST },
    { "TIMEOUT", SLURM_LOST },
};

static enum slurm_fate fate_of(const char *state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(state, states[i].name) == 0)
            return states[i].fate;
    return SLURM_RUNS;
}

/* Of two jobs with one name the second one's agents may have gone home at once: what became of the first counts. */
static int weight_of(const struct slurm_job *j)
{
    return j->fate == SLURM_ENDED ? 0 : j->fate == SLURM_TAKEN || j->fate == SLURM_LOST ? 1 : 2;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct slurm_job *)a)->name, ((const struct slurm_job *)b)->name);
}

/* Whether 'a' tells more of what goes on than 'b'. Slurm counts its seconds, and its jobs. */
static bool tells_more(const struct slurm_job *a, const struct slurm_job *b)
{
    int more = weight_of(a) - weight_of(b), seconds = strcmp(a->submitted, b->submitted);

    if (more)
        return more > 0;
    return seconds > 0 || (seconds == 0 && strtoll(a->id, NULL, 10) > strtoll(b->id, NULL, 10));
}

static int keep_one_a_name(struct slurm_job *jobs, int count)
{
    int kept = 0;

    for (int i = 0; i < count; i++) {
        struct slurm_job *last = kept ? &jobs[kept - 1] : NULL;

        if (!last || strcmp(last->name, jobs[i].name) != 0)
            jobs[kept++] = jobs[i];
        else if (tells_more(&jobs[i], last))
            *last = jobs[i];
    }
    return kept;
}

static bool read_line(struct arena *a, struct str line, struct slurm_job *ret)
{
    const char **members[] = { &ret->id, &ret->state, &ret->reason, &ret->nodes, &ret->submitted };
    struct str field;

    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!str_cut(line, '|', &field, &line))
            return false;
        *members[i] = str_dup(a, str_trim(field));
    }
    ret->name = str_dup(a, str_trim(line));
    ret->fate = fate_of(ret->state);
    return *ret->id && strspn(ret->id, "0123456789") > 0 && *ret->state && *ret->name;
}

int slurm_read_jobs(struct arena *a, struct str text, struct slurm_job **ret, int *ret_count, struct err *err)
{
    struct slurm_job *jobs;
    int lines = 0, count = 0;

    for (size_t i = 0; i < text.size; i++)
        lines += text.data[i] == '\n';
    if (lines >= JOBS_MOST)
        return fail(err, ERR_LIMIT, "squeue printed %d lines", lines);
    jobs = arena_array_of(a, struct slurm_job, (size_t)lines + 1);
    while (text.size) {
        struct str line;

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        if (!str_trim(line).size)
            continue;
        if (!read_line(a, line, &jobs[count]))
            return fail(err, ERR_INVALID, "squeue printed \"%.*s\", which is no line of %s",
                        (int)(line.size < 200 ? line.size : 200), line.data, SLURM_FORMAT);
        count++;
    }
    qsort(jobs, (size_t)count, sizeof *jobs, by_name);
    *ret_count = keep_one_a_name(jobs, count);
    *ret = jobs;
    return 0;
}

const struct slurm_job *slurm_job_find(const struct slurm_job *sorted, int count, const char *name)
{
    const struct slurm_job key = { .name = name };

    return count ? bsearch(&key, sorted, (size_t)count, sizeof *sorted, by_name) : NULL;
}

const char *slurm_read_id(struct arena *a, struct str text)
{
    struct str id, rest;

    text = str_trim(text);
    if (!str_cut(text, ';', &id, &rest))
        id = text;
    if (!id.size || id.size > 20)
        return NULL;
    for (size_t i = 0; i < id.size; i++)
        if (id.data[i] < '0' || id.data[i] > '9')
            return NULL;
    return str_dup(a, id);
}

/* Of slurmctld being away or busy, as strerror() of Slurm's has it; the job may even have been taken. */
static const char *const troubles[] = {
    "Unable to contact slurm controller", "Socket timed out",      "Zero Bytes were transmitted",
    "Communication connection failure",   "standby mode",          "temporarily unable",
    "Connection refused",                 "Connection reset",      "Slurm controller not responding",
    "Transport endpoint",                 "Unexpected message",    "Protocol authentication error",
    "Munge decode failed",                "munge",                 "fetch_config",
};

const char *slurm_complaint(struct arena *a, struct str errors)
{
    struct str line, name, rest, last = { 0 };

    while (errors.size) {
        if (!str_cut(errors, '\n', &line, &errors)) {
            line = errors;
            errors.size = 0;
        }
        line = str_trim(line);
        while (str_cut(line, ':', &name, &rest) &&
               (str_is(name, "sbatch") || str_is(name, "squeue") || str_is(str_trim(name), "error")))
            line = str_trim(rest);
        if (line.size)
            last = line;
    }
    return str_dup(a, last);
}

bool slurm_refuses(const char *complaint)
{
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++)
        if (strstr(complaint, troubles[i]))
            return false;
    return *complaint != '\0';
}

/* squeue(1), "JOB REASON CODES": those that people meet. A prefix stands for its family. */
static const struct {
    const char *reason, *words;
} reasons[] = {
    { "Resources", "no node of its partition has enough free cores, memory or GPUs" },
    { "Priority", "jobs with a higher priority come first" },
    { "Dependency", "it waits for another job" },
    { "BeginTime", "it may not start yet" },
    { "PartitionConfig", "its partition has no such nodes" },
    { "PartitionDown", "its partition is down" },
    { "PartitionInactive", "its partition takes no jobs" },
    { "PartitionNodeLimit", "its partition does not give so many nodes to one job" },
    { "PartitionTimeLimit", "MaxRuntimeInSeconds is more than its partition allows" },
    { "ReqNodeNotAvail", "the nodes that it needs are down, drained or reserved" },
    { "NodeDown", "a node that it needs is down" },
    { "Reservation", "it waits for a reservation" },
    { "Licenses", "it waits for a licence" },
    { "JobHeldUser", "somebody holds it (scontrol release lets it go)" },
    { "JobHeldAdmin", "an administrator of the cluster holds it" },
    { "BadConstraints", "no node of the cluster is such as it needs" },
    { "InvalidAccount", "its account is not known to Slurm" },
    { "InvalidQOS", "its quality of service is not known to Slurm" },
    { "QOS", "a limit of its quality of service is reached" },
    { "Assoc", "a limit of its account is reached" },
    { "MaxJobs", "the cluster has a limit of jobs" },
    { "Cleaning", "what ran before is still cleaned up" },
    { "Prolog", "the node prepares itself" },
};

const char *slurm_waiting_words(struct arena *a, const struct slurm_job *j)
{
    if (!*j->reason || strcmp(j->reason, "None") == 0)
        return arena_printf(a, "Slurm job %s waits for its turn", j->id);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (text_starts(j->reason, reasons[i].reason))
            return arena_printf(a, "Slurm job %s waits: %s (%s)", j->id, reasons[i].words, j->reason);
    return arena_printf(a, "Slurm job %s waits: %s", j->id, j->reason);
}
