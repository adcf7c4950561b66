/* links: base doc sign store net aws route run engine fleet services */
/* What a node on another machine says at the public port: a header, and a body for each of the paths that are open to
 * it. Whatever it says, nobody else's files are touched, and what is kept of a report can be read. */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "doc/json.h"
#include "run/folder.h"
#include "services/admin/lending.h"
#include "services/admin/rendezvous.h"
#include "services/sagemaker/crew.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char bearer[] = "Bearer a-0:x:secret";
static const int64_t now_ms = INT64_C(1800000000000);
static char data_folder[40], agent[64];

static int64_t fixed_ms(struct clock *c)
{
    return now_ms;
}

static struct clock still = { .wall_ms = fixed_ms, .boot_ms = fixed_ms };

static void remove_all(void)
{
    struct err err;

    tree_remove(data_folder, &err);
}

static void begin(struct arena *a)
{
    static const char order[] =
        "{\"name\":\"a-0\",\"job_name\":\"job\",\"account\":\"1\",\"region\":\"r\",\"log_group\":\"g\","
        "\"log_stream\":\"job/algo-1\",\"remote\":{\"token\":\"secret\"},\"mesh\":{\"server\":\"10.0.0.1\"},"
        "\"peers\":{\"algo-1\":\"a-0\",\"algo-2\":\"b-0\"}}";
    struct doc *d;
    struct err err;

    log_setup("fuzz", LOG_ERROR);
    strcpy(data_folder, "/dev/shm/sgb-fuzz-XXXXXX");
    assert(mkdtemp(data_folder));
    atexit(remove_all);
    snprintf(agent, sizeof agent, "%s/agents/a-0", data_folder);
    assert(folder_make(agent, 0700, &err) == 0 && json_parse(a, str_of(order), &d, &err) == 0);
    assert(folder_write(a, agent, FOLDER_ORDER, d, false, &err) == 0);
}

/* As a job's reconcile looks at it. */
static void look(struct arena *a, const struct doc *report)
{
    static const char *const phases[] = { "Starting", "Downloading", "Training", "Uploading", "Ended" };
    struct mate m = { .host = "algo-1", .agent = "a-0", .there = true, .report = report_read(report) };
    struct crew crew = { &m, 1 };

    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        const struct doc *phase = mate_phase(&m, phases[i]);

        assert(doc_int(phase, "at_ms", 0) >= 0 && doc_int(phase, "at_ms", 0) <= now_ms);
    }
    assert(m.report.ended_ms >= 0 && m.report.ended_ms <= now_ms);
    assert(m.report.started_ms >= 0 && m.report.started_ms <= now_ms);
    crew_overran_ms(&crew);
    crew_first_ended_as(&crew, "Failed");
    crew_is_doomed(&crew);
    crew_is_over(&crew, false);
}

static void work(struct arena *a, struct lending *l, const struct doc *order, const struct doc *told)
{
    struct doc *answer = doc_map(a);
    const struct doc *kept;
    struct err err = { 0 };
    int r = lending_exchange(l, a, order, told, answer, &err);

    assert(r == 0 || err.kind == ERR_INVALID || err.kind == ERR_LIMIT);
    assert(folder_read(a, agent, FOLDER_REPORT, &kept, &err) == 0);
    if (r == 0 && doc_has(told, "report"))
        assert(kept);
    if (kept)
        look(a, kept);
}

static void meet(struct arena *a, const struct doc *order, const struct doc *told)
{
    char path[96];
    struct doc *answer = doc_map(a);
    struct err err = { 0 };

    snprintf(path, sizeof path, "%s/endpoint.json", agent);
    if (rendezvous(a, data_folder, order, told, answer, &err) < 0)
        assert(err.kind == ERR_INVALID && !path_exists(path));
    else
        assert(path_exists(path) && doc_get(answer, "peers"));
    remove(path);
}

/* A byte: which path; then the header, to the first NUL, and the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const uint8_t *end = size ? memchr(data + 1, 0, size - 1) : NULL;
    const struct doc *order = NULL;
    struct lending *l;
    struct doc *told;
    struct err err = { 0 };
    struct str header;
    char path[96];

    if (!end)
        return 0;
    if (!*agent)
        begin(a);
    snprintf(path, sizeof path, "%s/" FOLDER_REPORT, agent);
    remove(path);
    l = lending_new(&still, data_folder);
    header = (struct str){ (const char *)data + 1, (size_t)(end - data - 1) };
    lending_look(l, a, header, &err);
    if (lending_admit(l, a, header, LENDING_ASKER, &order, &err) < 0)
        assert(*err.text);
    else
        assert(str_starts(header, "Bearer a-0:") && str_ends(header, ":secret"));
    lending_free(l);
    snprintf(path, sizeof path, "%s/place.json", agent);
    remove(path);
    l = lending_new(&still, data_folder);
    assert(lending_admit(l, a, str_of(bearer), LENDING_ASKER, &order, &err) == 0);
    size -= (size_t)(end + 1 - data);
    if (json_parse(a, (struct str){ (const char *)end + 1, size }, &told, &err) == 0) {
        assert(lending_bound(l, a, order, told, &err) == 0);
        switch (data[0] % 4) {
        case 0:
            work(a, l, order, told);
            break;
        case 1:
            meet(a, order, told);
            break;
        case 2:
            lending_owns_logs(order, told);
            break;
        case 3:
            lending_owns_metrics(a, order, told);
            break;
        }
    }
    lending_free(l);
    remove(path);
    return 0;
}
