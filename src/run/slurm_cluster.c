/* slurm_cluster.c - every answer is a whole: squeue's list of all our jobs, read at one time. A job is submitted
 * only behind an answer that does not have it, once behind each, by the only one who submits, so a reply of sbatch's
 * that was lost makes no second job. When a slurmctld that was killed has forgotten jobs, its first answer says so,
 * and they are submitted again; an agent that still runs has a lock that sends the second one home. */
#include "run/slurm_cluster.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "run/command.h"

enum {
    LOOK_MS = 2000,      /* how old an answer may become */
    IDLE_LOOK_MS = 15000, /* when nobody has asked for a while */
    IDLE_MS = 60000,
    COMMAND_MS = 60000,  /* sbatch itself tries for some ten seconds */
    RETRY_LEAST_MS = 1000,
    RETRY_MOST_MS = 30000,
    END_S = 3,
    NODES_MS = 300000,   /* how old the list of nodes may become */
    SHUT_MS = 600000,    /* that a job waits because all that could take it are avoided */
};

/* A job that is to be submitted, or was since the last answer of squeue. */
struct wish {
    struct list link;
    struct arena *arena;
    struct slurm_batch batch;
    struct slurm_job before; /* of that name, as it was known then; id "": none */
    const char *id;    /* NULL: not submitted yet */
    const char *words; /* why not */
    bool refused, dropped;
    bool first; /* nobody has submitted a job of that name before, a server before this one neither */
    bool tried; /* sbatch was run: what it said may be lost, and the next answer tells what there is */
    int64_t after; /* which answer it was tried behind: until there is another one, nobody knows what became of it */
    int64_t next_ms, wait_ms;
    int64_t shut_ms; /* since when only nodes that are avoided could take it; 0: they are not all */
};

struct cancel {
    struct list link;
    bool begun; /* whether or not it has */
    char name[128];
};

struct news {
    struct list link;
    char name[];
};

struct slurm_cluster {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;

    struct list wishes, cancels; /* in the order in which they came */
    struct map *by_name;         /* of wishes */
    bool hurry;                  /* there is something to do */
    void (*happened)(void *);
    void *data;
    struct list news;
    int64_t asked_ms;            /* when somebody asked last */

    char *partitions;
    struct arena *avoiding; /* of these two */
    const char *avoided, *exclude;
    struct arena *nodes_arena;
    const char **nodes;     /* sorted as sinfo has them */
    int node_count;
    int64_t nodes_ms;       /* when they are looked at next; the thread's alone */

    bool answered;         /* the last squeue did */
    int64_t answers;       /* so many did */
    struct arena *arena;   /* of the answer; jobs are sorted by name */
    struct slurm_job *jobs;
    int count;
    char silence[512];     /* why it did not answer */
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wish_free(struct slurm_cluster *c, struct wish *w)
{
    map_remove(c->by_name, str_of(w->batch.name));
    list_remove(&w->link);
    arena_free(w->arena);
    free(w);
}

/* --- Looking --- */

/* Numbers are used again. */
static bool is_same(const struct slurm_job *a, const struct slurm_job *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->submitted, b->submitted) == 0;
}

/* The answer has a job of that name. One that has ended since it was wished for is what became of a try whose reply was
 * lost: whoever wished looks again. */
static bool is_there(const struct slurm_cluster *c, const struct wish *w)
{
    const struct slurm_job *there = slurm_job_find(c->jobs, c->count, w->batch.name);

    return there && !(there->fate == SLURM_ENDED && is_same(there, &w->before));
}

/* What was submitted before the answer is in it, or nowhere. */
static void drop_submitted(struct slurm_cluster *c)
{
    list_each(node, &c->wishes) {
        struct wish *w = list_entry(node, struct wish, link);

        if (w->id || w->dropped || is_there(c, w))
            wish_free(c, w);
    }
}

/* With the lock. */
static void tell(struct slurm_cluster *c, const char *name)
{
    struct news *n = malloc(sizeof *n + strlen(name) + 1);

    assert(n);
    strcpy(n->name, name);
    list_append(&c->news, &n->link);
}

/* With the lock. What stays away from the next answer was forgotten, and is found out by whoever looks. */
static void tell_changes(struct slurm_cluster *c, const struct slurm_job *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        const struct slurm_job *before = slurm_job_find(c->jobs, c->count, jobs[i].name);

        if (!before || before->fate != jobs[i].fate)
            tell(c, jobs[i].name);
    }
}

/* Whoever is told is there until slurm_cluster_free(). */
static void call_out(struct slurm_cluster *c)
{
    pthread_mutex_lock(&c->lock);
    if (!list_empty(&c->news) && c->happened && !c->ending)
        c->happened(c->data);
    pthread_mutex_unlock(&c->lock);
}

static void be_silent(struct slurm_cluster *c, const char *why)
{
    pthread_mutex_lock(&c->lock);
    if (c->answered || !*c->silence)
        log_warning("slurm.silent", "why=%s", why);
    c->answered = false;
    snprintf(c->silence, sizeof c->silence, "%.500s", *why ? why : "squeue gave no reason");
    pthread_mutex_unlock(&c->lock);
}

static bool look(struct slurm_cluster *c)
{
    const char *format = "--format=" SLURM_FORMAT;
    struct arena *a = arena_new();
    char user[32];
    const char *const arguments[] = { "squeue", "--noheader", "--all", "--array", "--states=all", user, format, NULL };
    struct command_result r;
    struct slurm_job *jobs;
    struct err err = { 0 };
    int count;

    snprintf(user, sizeof user, "--user=%u", (unsigned)geteuid());
    if (command_run(a, arguments, STR(""), COMMAND_MS, &r, &err) == 0 && r.status != 0)
        fail(&err, ERR_UNAVAILABLE, "%.400s", slurm_complaint(a, r.errors));
    if (err.kind || slurm_read_jobs(a, r.output, &jobs, &count, &err) < 0) {
        be_silent(c, err.text);
        arena_free(a);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    if (!c->answered && *c->silence)
        log_info("slurm.answers", "jobs=%d", count);
    if (c->happened)
        tell_changes(c, jobs, count);
    arena_free(c->arena);
    c->arena = a;
    c->jobs = jobs;
    c->count = count;
    c->answered = true;
    c->answers++;
    c->silence[0] = '\0';
    drop_submitted(c);
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* One that is in two partitions stands there twice, one after the other. */
static int read_nodes(struct arena *a, struct str text, const char **names)
{
    struct str line;
    int count = 0;

    while (str_cut(text, '\n', &line, &text)) {
        line = str_trim(line);
        if (line.size && (!count || !str_is(line, names[count - 1])))
            names[count++] = str_dup(a, line);
    }
    return count;
}

/* Which nodes there are is worth to know, and nothing waits for it. */
static void look_at_nodes(struct slurm_cluster *c)
{
    struct arena *a = arena_new();
    const char *partitions = *c->partitions ? arena_printf(a, "--partition=%s", c->partitions) : "--all";
    const char *const arguments[] = { "sinfo", "--noheader", "--Node", "--format=%N", partitions, NULL };
    struct command_result r;
    struct err err;
    const char **names;
    size_t lines = 0;
    int count;

    if (now_ms() < c->nodes_ms)
        goto away;
    c->nodes_ms = now_ms() + NODES_MS;
    if (command_run(a, arguments, STR(""), COMMAND_MS, &r, &err) < 0 || r.status != 0)
        goto away;
    for (size_t i = 0; i < r.output.size; i++)
        lines += r.output.data[i] == '\n';
    names = arena_array_of(a, const char *, lines + 1);
    count = read_nodes(a, r.output, names);
    pthread_mutex_lock(&c->lock);
    arena_free(c->nodes_arena);
    c->nodes_arena = a;
    c->nodes = names;
    c->node_count = count;
    pthread_mutex_unlock(&c->lock);
    return;
away:
    arena_free(a);
}

/* --- Doing --- */

/* With the lock; the batch is the wish's own, which nobody else frees while it is neither submitted nor dropped. */
static void note_submitted(struct wish *w, const char *id)
{
    w->id = arena_strdup(w->arena, id);
    w->words = "";
}

static void note_trouble(struct wish *w, const char *words, bool refused)
{
    w->words = arena_strdup(w->arena, words);
    w->refused = refused;
    w->wait_ms = w->wait_ms ? w->wait_ms * 2 : RETRY_LEAST_MS;
    if (w->wait_ms > RETRY_MOST_MS)
        w->wait_ms = RETRY_MOST_MS;
    w->next_ms = now_ms() + w->wait_ms;
}

static const char *const *with_option(struct arena *a, const char *const *arguments, const char *option)
{
    const char **all;
    int count = 0;

    while (arguments[count])
        count++;
    all = arena_array_of(a, const char *, (size_t)count + 2);
    memcpy(all, arguments, sizeof *all * (size_t)count);
    all[count] = option;
    return all;
}

/* Would it refuse the job as well, if nothing were excluded? 'words' is changed to what it says to that. */
static bool refuses_anyway(struct arena *a, const struct wish *w, const char *avoided, const char **words)
{
    struct command_result r;
    struct err ignored;

    *words = arena_printf(a, "only nodes that are cordoned could: %s (see `sagebrush nodes`)", avoided);
    if (command_run(a, with_option(a, w->batch.arguments, "--test-only"), str_of(w->batch.script), COMMAND_MS, &r,
                    &ignored) < 0 || r.status == 0)
        return false;
    *words = slurm_complaint(a, r.errors);
    return slurm_refuses(*words);
}

/* "": there are none, or it has waited long enough for others. */
static const char *avoided_by(struct slurm_cluster *c, struct arena *a, const struct wish *w, const char **ret_exclude)
{
    const char *nodes = "";

    pthread_mutex_lock(&c->lock);
    if (*c->avoided && (!w->shut_ms || now_ms() < w->shut_ms + SHUT_MS)) {
        nodes = arena_strdup(a, c->avoided);
        *ret_exclude = arena_printf(a, "--exclude=%s", c->exclude);
    }
    pthread_mutex_unlock(&c->lock);
    return nodes;
}

static void submit(struct slurm_cluster *c, struct wish *w)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct command_result r;
    struct err err = { 0 };
    const char *id = NULL, *words = err.text, *exclude = NULL, *avoided = avoided_by(c, a, w, &exclude);
    const char *const *arguments = *avoided ? with_option(a, w->batch.arguments, exclude) : w->batch.arguments;
    bool refused = false, shut = false;

    if (command_run(a, arguments, str_of(w->batch.script), COMMAND_MS, &r, &err) == 0) {
        id = r.status == 0 ? slurm_read_id(a, r.output) : NULL;
        words = slurm_complaint(a, r.errors);
        refused = slurm_refuses(words);
    }
    shut = refused && *avoided && !refuses_anyway(a, w, avoided, &words);
    refused = refused && !shut;
    if (refused)
        words = arena_printf(a, "%s (asked for: %s)", words, slurm_batch_wants(a, &w->batch));
    pthread_mutex_lock(&c->lock);
    w->shut_ms = shut ? (w->shut_ms ? w->shut_ms : now_ms()) : w->shut_ms;
    if (id) {
        log_info("slurm.submitted", "name=%s job=%s", w->batch.name, id);
        note_submitted(w, id);
    } else {
        log_warning(refused ? "slurm.refused" : "slurm.not_submitted", "name=%s why=%s", w->batch.name,
                    log_quote(a, words));
        note_trouble(w, words, refused);
        if (refused && c->happened)
            tell(c, w->batch.name);
    }
    pthread_mutex_unlock(&c->lock);
}

/* The next that is due and that the answer does not have; NULL: none. With the lock. */
static struct wish *next_wish(struct slurm_cluster *c)
{
    int64_t now = now_ms();

    list_each(node, &c->wishes) {
        struct wish *w = list_entry(node, struct wish, link);

        if (w->id || w->refused || w->dropped)
            continue;
        if (is_there(c, w))
            wish_free(c, w);
        else if (now >= w->next_ms && w->after != c->answers)
            return w;
    }
    return NULL;
}

static void submit_all(struct slurm_cluster *c)
{
    struct wish *w;

    for (;;) {
        pthread_mutex_lock(&c->lock);
        w = c->ending ? NULL : next_wish(c);
        if (w) {
            w->tried = true;
            w->after = c->answers;
        }
        pthread_mutex_unlock(&c->lock);
        if (!w)
            return;
        submit(c, w);
    }
}

static void scancel(const struct cancel *cancel)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char user[32];
    const char *const arguments[] = { "scancel", "--quiet", user, arena_printf(a, "--name=%s", cancel->name),
                                      cancel->begun ? NULL : "--state=PENDING", NULL };
    struct command_result r;
    struct err err = { 0 };

    snprintf(user, sizeof user, "--user=%u", (unsigned)geteuid());
    if (command_run(a, arguments, STR(""), COMMAND_MS, &r, &err) < 0)
        log_warning("slurm.not_cancelled", "name=%s why=%s", cancel->name, log_quote(a, err.text));
}

/* Those that came until now: who waits for the end of a job asks for it again and again. */
static void cancel_all(struct slurm_cluster *c)
{
    struct list now;

    list_init(&now);
    pthread_mutex_lock(&c->lock);
    list_each(node, &c->cancels) {
        list_remove(node);
        list_append(&now, node);
    }
    pthread_mutex_unlock(&c->lock);
    list_each(node, &now) {
        struct cancel *cancel = list_entry(node, struct cancel, link);

        scancel(cancel);
        free(cancel);
    }
}

/* --- The thread --- */

/* With the lock. */
static int64_t next_look_ms(const struct slurm_cluster *c)
{
    int64_t now = now_ms(), next = now + (now - c->asked_ms < IDLE_MS ? LOOK_MS : IDLE_LOOK_MS);

    /* In silence nobody is submitted, however long it is due. */
    if (!c->answered)
        return next;
    for (const struct list *node = c->wishes.next; node != &c->wishes; node = node->next) {
        const struct wish *w = list_entry(node, struct wish, link);

        if (!w->id && !w->refused && w->next_ms < next)
            next = w->next_ms;
    }
    return next;
}

/* False: the end. */
static bool wait_for_work(struct slurm_cluster *c)
{
    bool goes_on;

    pthread_mutex_lock(&c->lock);
    for (int64_t until = next_look_ms(c); !c->ending && !c->hurry && now_ms() < until;) {
        struct timespec t = { .tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000 };

        pthread_cond_timedwait(&c->wake, &c->lock, &t);
    }
    c->hurry = false;
    goes_on = !c->ending;
    pthread_mutex_unlock(&c->lock);
    return goes_on;
}

static void *talk(void *data)
{
    struct slurm_cluster *c = data;

    do {
        cancel_all(c);
        if (look(c)) {
            look_at_nodes(c);
            submit_all(c);
        }
        call_out(c);
    } while (wait_for_work(c));
    return NULL;
}

int slurm_cluster_new(const char *partitions, void (*happened)(void *), void *data, struct slurm_cluster **ret,
                      struct err *err)
{
    struct slurm_cluster *c = calloc(1, sizeof *c);
    pthread_condattr_t monotonic;
    int r;

    if (!c)
        return fail(err, ERR_INTERNAL, "no memory to talk to Slurm");
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&c->wishes);
    list_init(&c->cancels);
    list_init(&c->news);
    c->happened = happened;
    c->data = data;
    c->partitions = strdup(partitions);
    assert(c->partitions);
    c->avoided = c->exclude = "";
    c->by_name = map_new();
    c->asked_ms = now_ms();
    r = pthread_create(&c->thread, NULL, talk, c);
    assert(r == 0);
    *ret = c;
    return 0;
}

void slurm_cluster_free(struct slurm_cluster *c)
{
    struct timespec until;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_S;
    if (pthread_timedjoin_np(c->thread, NULL, &until) != 0) {
        pthread_detach(c->thread); /* a command hangs; it keeps what it has, and the process goes without it */
        return;
    }
    list_each(node, &c->wishes)
        wish_free(c, list_entry(node, struct wish, link));
    list_each(node, &c->cancels)
        free(list_entry(node, struct cancel, link));
    list_each(node, &c->news)
        free(list_entry(node, struct news, link));
    map_free(c->by_name);
    arena_free(c->arena);
    arena_free(c->avoiding);
    arena_free(c->nodes_arena);
    free(c->partitions);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* --- From outside --- */

static struct slurm_job copy_of(struct arena *a, const struct slurm_job *j)
{
    struct slurm_job copy = *j;

    copy.id = arena_strdup(a, j->id);
    copy.state = arena_strdup(a, j->state);
    copy.reason = arena_strdup(a, j->reason);
    copy.nodes = arena_strdup(a, j->nodes);
    copy.submitted = arena_strdup(a, j->submitted);
    copy.name = arena_strdup(a, j->name);
    return copy;
}

static struct slurm_job waiting_of(struct arena *a, const struct wish *w, const char *name)
{
    const struct slurm_job job = { .id = w->id ? w->id : "", .state = "", .reason = "", .nodes = "", .submitted = "",
                                   .name = name, .fate = SLURM_WAITS };

    return copy_of(a, &job);
}

enum slurm_known slurm_cluster_find(struct slurm_cluster *c, struct arena *a, const char *name,
                                    struct slurm_job *ret_job, const char **ret_words)
{
    enum slurm_known known = SLURM_ABSENT;
    const struct slurm_job *job;
    const struct wish *w;

    pthread_mutex_lock(&c->lock);
    c->asked_ms = now_ms();
    w = map_get(c->by_name, str_of(name));
    job = slurm_job_find(c->jobs, c->count, name);
    *ret_words = w && w->words ? arena_strdup(a, w->words) : "";
    if (w && w->dropped && w->first && !w->tried) {
        known = SLURM_ABSENT; /* and never will be there: that needs no answer */
    } else if (!c->answered) {
        known = SLURM_SILENT;
        *ret_words = arena_strdup(a, c->silence);
    } else if (w && w->refused) {
        known = SLURM_REFUSED;
    } else if (w && (!w->dropped || w->tried)) {
        known = SLURM_PRESENT;
        *ret_job = waiting_of(a, w, name);
    } else if (job) {
        known = SLURM_PRESENT;
        *ret_job = copy_of(a, job);
    }
    pthread_mutex_unlock(&c->lock);
    return known;
}

static void hurry(struct slurm_cluster *c)
{
    c->hurry = true;
    pthread_cond_signal(&c->wake);
}

static struct slurm_batch batch_copy(struct arena *a, const struct slurm_batch *b)
{
    int count = 0;
    const char **arguments;

    while (b->arguments[count])
        count++;
    arguments = arena_array_of(a, const char *, (size_t)count + 1);
    for (int i = 0; i < count; i++)
        arguments[i] = arena_strdup(a, b->arguments[i]);
    return (struct slurm_batch){ arena_strdup(a, b->name), arguments, arena_strdup(a, b->script) };
}

void slurm_cluster_submit(struct slurm_cluster *c, const struct slurm_batch *batch, bool first)
{
    const struct slurm_job *before;
    struct wish *w;

    pthread_mutex_lock(&c->lock);
    w = map_get(c->by_name, str_of(batch->name));
    if (!w) {
        w = calloc(1, sizeof *w);
        assert(w);
        w->arena = arena_new();
        w->batch = batch_copy(w->arena, batch);
        before = slurm_job_find(c->jobs, c->count, batch->name);
        w->before = before ? copy_of(w->arena, before) : (struct slurm_job){ .id = "", .submitted = "" };
        w->first = first;
        list_append(&c->wishes, &w->link);
        map_set(c->by_name, str_of(batch->name), w);
        hurry(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void slurm_cluster_avoid(struct slurm_cluster *c, const char *nodes, const char *exclude)
{
    struct arena *a = arena_new();

    pthread_mutex_lock(&c->lock);
    if (strcmp(nodes, c->avoided) != 0) {
        log_info("slurm.avoids", "nodes=%s", nodes);
        list_each(node, &c->wishes) {
            struct wish *w = list_entry(node, struct wish, link);

            w->shut_ms = w->next_ms = 0; /* it may be another matter now */
        }
    }
    arena_free(c->avoiding);
    c->avoiding = a;
    c->avoided = arena_strdup(a, nodes);
    c->exclude = arena_strdup(a, exclude);
    pthread_mutex_unlock(&c->lock);
}

int slurm_cluster_nodes(struct slurm_cluster *c, struct arena *a, const char *const **ret_names)
{
    const char **names;
    int count;

    pthread_mutex_lock(&c->lock);
    count = c->node_count;
    names = arena_array_of(a, const char *, (size_t)count);
    for (int i = 0; i < count; i++)
        names[i] = arena_strdup(a, c->nodes[i]);
    pthread_mutex_unlock(&c->lock);
    *ret_names = names;
    return count;
}

/* With the lock: one for each name. */
static struct cancel *cancel_of(struct slurm_cluster *c, const char *name)
{
    struct cancel *cancel;

    list_each(node, &c->cancels)
        if (strcmp(list_entry(node, struct cancel, link)->name, name) == 0)
            return list_entry(node, struct cancel, link);
    cancel = calloc(1, sizeof *cancel);
    assert(cancel && strlen(name) < sizeof cancel->name);
    strcpy(cancel->name, name);
    list_append(&c->cancels, &cancel->link);
    return cancel;
}

void slurm_cluster_cancel(struct slurm_cluster *c, const char *name, bool begun)
{
    struct cancel *cancel;
    struct wish *w;

    pthread_mutex_lock(&c->lock);
    w = map_get(c->by_name, str_of(name));
    if (w)
        w->dropped = true;
    cancel = cancel_of(c, name);
    cancel->begun = cancel->begun || begun;
    hurry(c);
    pthread_mutex_unlock(&c->lock);
}

const char *const *slurm_cluster_news(struct slurm_cluster *c, struct arena *a, int *ret_count)
{
    const char **names;
    int count = 0;

    pthread_mutex_lock(&c->lock);
    for (const struct list *node = c->news.next; node != &c->news; node = node->next)
        count++;
    names = arena_array_of(a, const char *, (size_t)count);
    count = 0;
    list_each(node, &c->news) {
        struct news *n = list_entry(node, struct news, link);

        names[count++] = arena_strdup(a, n->name);
        list_remove(node);
        free(n);
    }
    pthread_mutex_unlock(&c->lock);
    *ret_count = count;
    return names;
}
