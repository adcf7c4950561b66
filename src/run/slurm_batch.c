/* slurm_batch.c - one Slurm job an attempt, one task a node, one agent a task.
 *
 * The agents are tasks of srun's also when there is only one: what Slurm takes back with a GraceTime, it tells the
 * steps of a job, not its script. Each has a shell around it, which starts an agent that was killed again, where its
 * container still runs; the shells live through the SIGTERM that is the agents' notice, and pass it on. */
#include "run/slurm_batch.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    BEFORE_AND_AFTER_MIN = 60, /* downloads and uploads are not part of MaxRuntimeInSeconds */
    ROOM_LEAST = 32,
    MIB = 1 << 20,
};

/* proctrack/cgroup tells nobody but this shell of a SIGTERM, others tell the agent too: hearing it twice is harmless.
 * A wait that was interrupted (above 128) says nothing of the agent's end. */
static const char task[] =
    "trap '[ -z \"$agent\" ] || kill \"$agent\" 2>/dev/null' TERM\n"
    "trap : USR1\n"
    "shift \"$SLURM_PROCID\"\n"
    "agent=\n"
    "tries=0\n"
    "run() {\n"
    "    \"$SAGEBRUSH_AGENT\" \"$1\" </dev/null >>\"$1/agent.log\" 2>&1 &\n"
    "    agent=$!\n"
    "    while\n"
    "        wait \"$agent\"\n"
    "        code=$?\n"
    "        [ $code -gt 128 ] && kill -0 \"$agent\" 2>/dev/null\n"
    "    do :; done\n"
    "    agent=\n"
    "    return $code\n"
    "}\n"
    "until run \"$1\"; do\n"
    "    tries=$((tries + 1))\n"
    "    [ -e \"$1/order.json\" ] || exit 0\n" /* the server has its last report, and has forgotten it */
    "    [ $tries -lt 5 ] || exit 1\n"
    "    sleep $tries\n"
    "done\n";

const char *shell_quote(struct arena *a, const char *text)
{
    struct buf b = { 0 };
    const char *quoted;

    buf_append_char(&b, '\'');
    for (; *text; text++)
        if (*text == '\'')
            buf_append_str(&b, "'\\''");
        else
            buf_append_char(&b, *text);
    buf_append_char(&b, '\'');
    quoted = arena_strndup(a, b.data, b.size);
    buf_free(&b);
    return quoted;
}

const char *const *slurm_batch_agents(struct arena *a, const struct doc *order, int *ret_count)
{
    const struct doc *hosts = doc_get(order, "hosts"), *peers = doc_get(order, "peers");
    size_t count = doc_member_count(order, "peers") ? doc_count(order, "hosts") : 0;
    const char **names = arena_array_of(a, const char *, count + 2);
    int n = 0;

    for (size_t i = 0; i < count; i++)
        names[n++] = doc_text(peers, doc_value_text(hosts->items[i]));
    if (!n)
        names[n++] = doc_text(order, "name");
    *ret_count = n;
    return names;
}

struct arguments {
    struct arena *arena;
    const char **all; /* NULL behind the last */
    int count, room;
};

static void add(struct arguments *args, const char *option)
{
    if (args->count + 1 >= args->room) {
        const char **all;

        args->room = args->room ? 2 * args->room : ROOM_LEAST;
        all = arena_array_of(args->arena, const char *, (size_t)args->room);
        if (args->count)
            memcpy(all, args->all, sizeof *all * (size_t)args->count);
        args->all = all;
    }
    args->all[args->count++] = option;
    args->all[args->count] = NULL;
}

static void add_text(struct arguments *args, const char *option, const char *value)
{
    if (value && *value)
        add(args, arena_printf(args->arena, "--%s=%s", option, value));
}

static void add_number(struct arguments *args, const char *option, int64_t value, const char *unit)
{
    if (value > 0)
        add(args, arena_printf(args->arena, "--%s=%" PRId64 "%s", option, value, unit));
}

static void add_words(struct arguments *args, const char *words)
{
    for (words += strspn(words, " \t"); *words; words += strspn(words, " \t")) {
        size_t size = strcspn(words, " \t");

        add(args, arena_strndup(args->arena, words, size));
        words += size;
    }
}

/* --exclude=LIST, --exclude LIST, -x LIST, -xLIST: what is behind the option; NULL: it is another one. */
static const char *excluded_by(const char *option, const char *next)
{
    if (text_starts(option, "--exclude="))
        return option + strlen("--exclude=");
    if (strcmp(option, "--exclude") == 0 || strcmp(option, "-x") == 0)
        return next;
    return text_starts(option, "-x") ? option + strlen("-x") : NULL;
}

const char *slurm_batch_exclude(struct arena *a, const char *options, const char *const *nodes, int count)
{
    struct arguments words = { .arena = a };
    const char *all = "";

    add_words(&words, options ? options : "");
    for (int i = 0; i < words.count; i++) {
        const char *list = excluded_by(words.all[i], words.all[i + 1]);

        all = list ? list : all;
    }
    for (int i = 0; i < count; i++)
        all = arena_printf(a, "%s%s%s", all, *all ? "," : "", nodes[i]);
    return all;
}

static const char *either(const char *first, const char *second)
{
    return first && *first ? first : second;
}

/* Of "ml.p4d:a100 ml.g5.xlarge:a10g": a whole type goes before its family. NULL: any GPU will do. */
static const char *gpu_type(struct arena *a, const char *words, const char *instance_type)
{
    size_t family = strcspn(instance_type, ".");
    const char *found = NULL;

    family += instance_type[family] ? 1 + strcspn(instance_type + family + 1, ".") : 0;
    for (words += strspn(words, " \t"); *words; words += strspn(words, " \t")) {
        size_t size = strcspn(words, " \t"), key = strcspn(words, ":");
        bool whole = key == strlen(instance_type) && strncmp(words, instance_type, key) == 0;

        if (key < size && (whole || (!found && key == family && strncmp(words, instance_type, key) == 0)))
            found = arena_strndup(a, words + key + 1, size - key - 1);
        if (key < size && whole)
            return found;
        words += size;
    }
    return found;
}

static void add_gpus(struct arguments *args, const struct slurm_settings *s, const struct doc *order)
{
    int64_t wanted = doc_int(order, "limits.gpus_wanted", 0);
    const char *type = gpu_type(args->arena, s->gpu_types ? s->gpu_types : "", doc_text(order, "instance_type"));

    if (wanted > 0)
        add(args, arena_printf(args->arena, "--gres=gpu:%s%s%" PRId64, type ? type : "", type ? ":" : "", wanted));
}

/* What each node of the job has to have. */
static void add_resources(struct arguments *args, const struct slurm_settings *s, const struct doc *order, int nodes)
{
    int64_t runtime_s = doc_int(order, "max_runtime_s", 0);
    int64_t memory = doc_int(order, "limits.memory_bytes", 0);

    add_number(args, "nodes", nodes, "");
    add_number(args, "ntasks", nodes, "");
    add(args, "--ntasks-per-node=1");
    add_number(args, "cpus-per-task", doc_int(order, "limits.cpus", 0), "");
    add_number(args, "mem", (memory + MIB - 1) / MIB, "M");
    add_gpus(args, s, order);
    if (runtime_s > 0)
        add_number(args, "time", (runtime_s + 59) / 60 + BEFORE_AND_AFTER_MIN, "");
}

static const char *script_of(struct arena *a, const struct doc *order, const char *agents_folder, const char *program,
                             const char *const *agents, int count)
{
    struct buf b = { 0 };
    int64_t cpus = doc_int(order, "limits.cpus", 1);
    const char *script;

    buf_printf(&b, "#!/bin/sh\nexport PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    buf_printf(&b, "export SAGEBRUSH_AGENT=%s\n", shell_quote(a, program));
    buf_append_str(&b, "trap : TERM USR1\n");
    buf_printf(&b,
               "srun --export=ALL --mpi=none --nodes=%d --ntasks=%d --ntasks-per-node=1 --cpus-per-task=%" PRId64
               " --kill-on-bad-exit=0 --wait=0 --input=none /bin/sh -c %s agent",
               count, count, cpus > 0 ? cpus : 1, shell_quote(a, task));
    for (int i = 0; i < count; i++)
        buf_printf(&b, " \\\n    %s", shell_quote(a, arena_printf(a, "%s/%s", agents_folder, agents[i])));
    buf_append_str(&b, "\n");
    script = arena_strndup(a, b.data, b.size);
    buf_free(&b);
    return script;
}

struct slurm_batch slurm_batch_of(struct arena *a, const struct slurm_settings *s, const struct doc *order,
                                  const char *agents_folder, const char *program)
{
    bool spot = doc_bool(order, "spot", false);
    int count;
    const char *const *agents = slurm_batch_agents(a, order, &count);
    struct arguments args = { .arena = a };

    add(&args, "sbatch");
    add(&args, "--parsable");
    add_text(&args, "job-name", agents[0]);
    add_text(&args, "comment", either(doc_text(order, "job_arn"), doc_text(order, "uid")));
    /* A second run of the same attempt is ours to begin, under a name of its own. */
    add(&args, "--no-requeue");
    add(&args, "--export=NIL");
    add(&args, "--chdir=/");
    add(&args, "--open-mode=append");
    add_text(&args, "output", arena_printf(a, "%s/%s/slurm.log", agents_folder, agents[0]));
    add_resources(&args, s, order, count);
    add_text(&args, "partition", spot ? either(s->spot_partition, s->partition) : s->partition);
    add_text(&args, "qos", spot ? either(s->spot_qos, s->qos) : s->qos);
    add_text(&args, "account", s->account);
    /* Last: the administrator's word. */
    if (s->options)
        add_words(&args, s->options);
    return (struct slurm_batch){ agents[0], args.all, script_of(a, order, agents_folder, program, agents, count) };
}

const char *slurm_batch_wants(struct arena *a, const struct slurm_batch *b)
{
    static const char *const options[] = { "--nodes=", "--cpus-per-task=", "--mem=", "--gres=", "--time=",
                                           "--partition=", "--qos=", "--account=" };
    const char *all = "";

    for (int i = 0; b->arguments[i]; i++)
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            if (text_starts(b->arguments[i], options[k]))
                all = arena_printf(a, "%s%s%s", all, *all ? " " : "", b->arguments[i]);
    return all;
}
