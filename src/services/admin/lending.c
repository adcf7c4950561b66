#include "services/admin/lending.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "run/box.h"
#include "run/folder.h"
#include "services/admin/node_words.h"
#include "sign/digest.h"

enum { NAME_MOST = 100, PLACE_MOST = 40 };

struct holder {
    char place[PLACE_MOST + 1];
    int64_t heard_ms; /* boot time */
};

struct lending {
    struct clock *clock;
    char *data_folder;
    struct map *holders; /* by the agent's name */
};

struct claim {
    const char *name, *place;
    struct str token;
};

static const char *folder_of(struct lending *l, struct arena *a, const char *name)
{
    return arena_printf(a, "%s/agents/%s", l->data_folder, name);
}

/* --- Who is it? --- */

/* The name becomes a path. */
static bool is_word(struct str s, size_t most)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (!s.size || s.size > most || s.data[0] == '.')
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (!s.data[i] || !strchr(letters, s.data[i]))
            return false;
    return true;
}

static int read_claim(struct arena *a, struct str authorization, struct claim *ret, struct err *err)
{
    static const char scheme[] = "Bearer ";
    struct str name, place, token, rest;

    if (!str_starts(authorization, scheme))
        return fail(err, ERR_DENIED, "this is for the nodes of jobs, which show their token");
    authorization.data += strlen(scheme);
    authorization.size -= strlen(scheme);
    if (!str_cut(authorization, ':', &name, &rest) || !str_cut(rest, ':', &place, &token) ||
        !is_word(name, NAME_MOST) || !is_word(place, PLACE_MOST))
        return fail(err, ERR_DENIED, "no token of a node");
    *ret = (struct claim){ str_dup(a, name), str_dup(a, place), token };
    return 0;
}

static int check_token(struct lending *l, struct arena *a, const struct claim *c, const struct doc **ret,
                       struct err *err)
{
    const struct doc *order, *report;
    const char *token;

    if (folder_read(a, folder_of(l, a, c->name), FOLDER_ORDER, &order, err) < 0)
        return -1;
    if (!order)
        return fail(err, ERR_NOT_FOUND, "there is no such agent any more");
    token = doc_text(order, "remote.token");
    if (!*token || strlen(token) != c->token.size || !secret_equal(token, c->token.data, c->token.size))
        return fail(err, ERR_DENIED, "the token is not the one of %s", c->name);
    if (folder_read(a, folder_of(l, a, c->name), FOLDER_REPORT, &report, err) < 0)
        return -1;
    if (doc_is(report, "phase", "Ended"))
        return fail(err, ERR_NOT_FOUND, "%s has ended", c->name);
    *ret = order;
    return 0;
}

/* --- Whose is the name? --- */

static void forget(struct lending *l, const char *name)
{
    free(map_remove(l->holders, str_of(name)));
}

/* Who has it; after a start of the server who had it, as if it had just been heard. NULL: nobody ever. */
static int find_holder(struct lending *l, struct arena *a, const char *name, struct holder **ret, struct err *err)
{
    struct holder *h = map_get(l->holders, str_of(name));
    const struct doc *before;

    if (!h) {
        if (folder_read(a, folder_of(l, a, name), FOLDER_PLACE, &before, err) < 0)
            return -1;
        if (before) {
            h = calloc(1, sizeof *h);
            assert(h && "out of memory");
            snprintf(h->place, sizeof h->place, "%s", doc_text(before, "place"));
            h->heard_ms = clock_boot_ms(l->clock);
            map_set(l->holders, str_of(name), h);
        }
    }
    *ret = h;
    return 0;
}

static int lend(struct lending *l, struct arena *a, const struct claim *c, struct err *err)
{
    struct holder *h;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "place", c->place);
    if (folder_write(a, folder_of(l, a, c->name), FOLDER_PLACE, d, true, err) < 0)
        return -1;
    forget(l, c->name);
    h = calloc(1, sizeof *h);
    assert(h && "out of memory");
    snprintf(h->place, sizeof h->place, "%s", c->place);
    h->heard_ms = clock_boot_ms(l->clock);
    map_set(l->holders, str_of(c->name), h);
    log_info("lending.lent", "name=%s place=%s", c->name, c->place);
    return 0;
}

/* Slurm may forget a job that runs on our own machine, and begin it again elsewhere. Whoever works here is not heard of
 * again, but its lock is seen; a container that has no agent any more is ended, as it is on any other machine. */
static int check_here(struct lending *l, struct arena *a, const struct claim *c, const struct doc *order,
                      struct err *err)
{
    const struct box box = { .name = c->name, .folder = folder_of(l, a, c->name),
                             .run_folder = doc_text(order, "run_folder") };
    struct exit_record record;
    pid_t agent;

    if (lock_holder(arena_printf(a, "%s/" FOLDER_AGENT, box.folder), &agent, err) < 0 ||
        box_look(a, &box, &record, err) < 0)
        return -1;
    if (agent)
        return fail(err, ERR_CONFLICT, "the server's own machine works as %s", c->name);
    if (record.state != EXIT_RUNNING)
        return 0;
    if (box_signal(a, &box, BOX_KILL, err) < 0)
        return -1;
    return fail(err, ERR_CONFLICT, "the container of %s on the server's own machine is on its way out", c->name);
}

int lending_look(struct lending *l, struct arena *a, struct str authorization, struct err *err)
{
    const struct doc *order;
    struct claim c = { 0 };

    return read_claim(a, authorization, &c, err) < 0 ? -1 : check_token(l, a, &c, &order, err);
}

int lending_admit(struct lending *l, struct arena *a, struct str authorization, enum lending_to to,
                  const struct doc **ret_order, struct err *err)
{
    struct claim c = { 0 };
    struct holder *h;

    if (read_claim(a, authorization, &c, err) < 0)
        return -1;
    if (check_token(l, a, &c, ret_order, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            forget(l, c.name);
        return -1;
    }
    if (find_holder(l, a, c.name, &h, err) < 0)
        return -1;
    if (h && strcmp(h->place, c.place) == 0) {
        h->heard_ms = clock_boot_ms(l->clock);
        return 0;
    }
    if (!h && to == LENDING_HERE)
        return 0;
    if (to != LENDING_ASKER || (h && clock_boot_ms(l->clock) < h->heard_ms + LENDING_MS))
        return fail(err, ERR_CONFLICT, "another place works as %s", c.name);
    /* The next agent here goes on with what the last one has left. */
    if (strcmp(c.place, PLACE_SERVER) != 0 && check_here(l, a, &c, *ret_order, err) < 0)
        return -1;
    return lend(l, a, &c, err);
}

/* --- What passes --- */

int lending_bound(struct lending *l, struct arena *a, const struct doc *order, struct doc *told, struct err *err)
{
    const char *path = arena_printf(a, "%s/" FOLDER_ORDER, folder_of(l, a, doc_text(order, "name")));
    struct stat written;

    if (stat(path, &written) < 0)
        return fail_errno(err, errno, "look at %s", path);
    node_words_bound(told, written.st_mtim.tv_sec * 1000, clock_wall_ms(l->clock));
    return 0;
}

/* A question that was given up, and waited for the server meanwhile, may come after the next one. */
static int take_report(struct arena *a, const char *folder, const struct doc *report, struct err *err)
{
    const struct doc *before;

    if (node_words_check_report(a, report, err) < 0 || folder_read(a, folder, FOLDER_REPORT, &before, err) < 0)
        return -1;
    if (before && doc_int(before, "sequence", 0) > doc_int(report, "sequence", 0))
        return 0;
    /* Whoever reads "Ended" may forget the agent: from then on it is true after a power failure, too. */
    return folder_write(a, folder, FOLDER_REPORT, report, doc_is(report, "phase", "Ended"), err);
}

int lending_exchange(struct lending *l, struct arena *a, const struct doc *order, const struct doc *told,
                     struct doc *answer, struct err *err)
{
    const char *folder = folder_of(l, a, doc_text(order, "name"));
    const struct doc *report = doc_get(told, "report"), *stop, *rebalance, *before;

    if (report && take_report(a, folder, report, err) < 0)
        return -1;
    if (folder_read(a, folder, FOLDER_REPORT, &before, err) < 0 ||
        folder_read(a, folder, FOLDER_STOP, &stop, err) < 0 ||
        folder_read(a, folder, FOLDER_REBALANCE, &rebalance, err) < 0)
        return -1;
    if (before && !report)
        doc_set(a, answer, "report", doc_copy(a, before));
    if (stop)
        doc_set(a, answer, "stop", doc_copy(a, stop));
    if (rebalance)
        doc_set(a, answer, "rebalance", doc_copy(a, rebalance));
    return 0;
}

static bool same(const struct doc *a, const char *a_member, const struct doc *b, const char *b_member)
{
    return *doc_text(a, a_member) && strcmp(doc_text(a, a_member), doc_text(b, b_member)) == 0;
}

bool lending_owns_logs(const struct doc *order, const struct doc *logs)
{
    return same(order, "account", logs, "account") && same(order, "region", logs, "region") &&
           same(order, "log_group", logs, "group") && same(order, "log_stream", logs, "stream");
}

bool lending_owns_metrics(struct arena *a, const struct doc *order, const struct doc *metrics)
{
    const char *job = doc_text(order, "job_name");
    const char *host = arena_printf(a, "%s/%s", job, doc_text_or(order, "host_name", "algo-1"));
    const struct doc *data = doc_get(metrics, "data");

    if (!same(order, "account", metrics, "account") || !same(order, "region", metrics, "region") ||
        !text_starts(doc_text(metrics, "namespace"), "/aws/sagemaker/") ||
        !text_starts(doc_text(metrics, "id"), doc_text(order, "name")) || !data || data->type != DOC_LIST)
        return false;
    for (size_t i = 0; i < doc_count(metrics, "data"); i++) {
        const struct doc *dimensions = doc_get(data->items[i], "dimensions");

        if (!dimensions || dimensions->type != DOC_MAP || dimensions->count != 1 ||
            (!doc_is(dimensions, "TrainingJobName", job) && !doc_is(dimensions, "Host", host)))
            return false;
    }
    return true;
}

/* --- Making and ending --- */

struct lending *lending_new(struct clock *clock, const char *data_folder)
{
    struct lending *l = calloc(1, sizeof *l);

    assert(l && "out of memory");
    l->clock = clock;
    l->data_folder = strdup(data_folder);
    l->holders = map_new();
    assert(l->data_folder);
    return l;
}

void lending_free(struct lending *l)
{
    struct str name;
    void *holder;

    if (!l)
        return;
    for (size_t at = 0; map_next(l->holders, &at, &name, &holder);)
        free(holder);
    map_free(l->holders);
    free(l->data_folder);
    free(l);
}
