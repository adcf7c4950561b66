/* The contract of the store, on both implementations; then what only the one on disk can show: failing disks, kills,
 * versions, backups. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <sqlite3.h>

#include "base/fd.h"
#include "base/rand.h"
#include "doc/json.h"
#include "store/store.h"

/* Last: it has a macro of the name of fail(). */
#include <cmocka.h>

struct fixture {
    bool sqlite;
    char folder[64];
    struct store *store;
    struct arena *arena;
    struct err err;
};

static void new_folder(char ret[64])
{
    snprintf(ret, 64, "/tmp/sagebrush-test-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

static int set_up(void **state, bool sqlite)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->sqlite = sqlite;
    f->arena = arena_new();
    if (sqlite) {
        new_folder(f->folder);
        assert_int_equal(store_open_sqlite(f->folder, &f->store, &f->err), 0);
    } else {
        f->store = store_new_memory();
    }
    *state = f;
    return 0;
}

static int set_up_memory(void **state)
{
    return set_up(state, false);
}

static int set_up_sqlite(void **state)
{
    return set_up(state, true);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_free(f->store);
    arena_free(f->arena);
    if (f->sqlite)
        assert_int_equal(tree_remove(f->folder, &f->err), 0);
    free(f);
    return 0;
}

/* What is there after the process went away without a word. */
static void restart(struct fixture *f)
{
    if (!f->sqlite) {
        store_memory_crash(f->store);
        return;
    }
    store_free(f->store);
    assert_int_equal(store_open_sqlite(f->folder, &f->store, &f->err), 0);
}

#define ok(call) \
    do { \
        if ((call) < 0) \
            fail_msg("%s: %s", #call, f->err.text); \
    } while (0)
#define refused(call, why) \
    do { \
        assert_int_equal((call), -1); \
        assert_int_equal(f->err.kind, why); \
    } while (0)

static struct doc *json(struct fixture *f, const char *text)
{
    struct doc *d;

    ok(json_parse(f->arena, str_of(text), &d, &f->err));
    return d;
}

static struct row row_of(struct fixture *f, const char *uid, const char *name, int64_t created_ms)
{
    return (struct row){
        .uid = uid, .account = "111122223333", .region = "eu-west-1", .kind = "TrainingJob", .name = name,
        .arn = arena_printf(f->arena, "arn:aws:sagemaker:eu-west-1:111122223333:training-job/%s", name),
        .created_ms = created_ms, .state = "InProgress", .next_at_ms = INT64_MAX,
        .spec = json(f, "{\"TrainingJobName\":\"x\",\"Big\":9007199254740993,\"Real\":1.0,\"Empty\":{},\"None\":[]}"),
    };
}

static void rows_come_back(void **state)
{
    struct fixture *f = *state;
    struct row r = row_of(f, "u1", "Job-1", 1000), got;

    ok(store_begin(f->store, &f->err));
    ok(store_row_insert(f->store, &r, &f->err));
    ok(store_keep(f->store, &f->err));
    assert_true(store_dirty(f->store));
    ok(store_row_by_uid(f->arena, f->store, "u1", &got, &f->err)); /* before the commit already */
    ok(store_commit(f->store, &f->err));
    assert_false(store_dirty(f->store));
    restart(f);
    ok(store_row_by_uid(f->arena, f->store, "u1", &got, &f->err));
    assert_string_equal(got.name, "Job-1");
    assert_string_equal(got.parent_uid, "");
    assert_int_equal(got.generation, 1);
    assert_int_equal(got.revision, 1);
    assert_int_equal(got.observed_generation, 0);
    assert_int_equal(got.modified_ms, 1000);
    assert_true(doc_equal(got.spec, r.spec));
    assert_int_equal(got.status->type, DOC_MAP);
    assert_int_equal(got.want->count, 0);
    ok(store_row_by_arn(f->arena, f->store, "ARN:aws:sagemaker:eu-west-1:111122223333:training-job/JOB-1", &got,
                        &f->err));
    ok(store_row_by_name(f->arena, f->store, "111122223333", "eu-west-1", "TrainingJob", "Job-1", &got, &f->err));
    refused(store_row_by_name(f->arena, f->store, "111122223333", "eu-west-2", "TrainingJob", "Job-1", &got, &f->err),
            ERR_NOT_FOUND);
    refused(store_row_by_uid(f->arena, f->store, "u2", &got, &f->err), ERR_NOT_FOUND);
    refused(store_row_by_arn(f->arena, f->store, "", &got, &f->err), ERR_NOT_FOUND);
}

static void documents_keep_their_types(void **state)
{
    struct fixture *f = *state;
    struct row r = row_of(f, "u1", "a", 1), got;
    struct doc *d = doc_map(f->arena), *tagged = doc_map(f->arena), *twice = doc_map(f->arena);

    doc_set(f->arena, d, "Bytes", doc_bytes(f->arena, (struct str){ "\0\xff\n", 3 }));
    doc_set_real(f->arena, d, "Infinite", __builtin_inf());
    doc_set_real(f->arena, d, "Minus", -__builtin_inf());
    doc_set_string(f->arena, tagged, "$bytes", "not a tag of ours");
    doc_set(f->arena, twice, "$map", tagged);
    doc_set(f->arena, d, "LooksTagged", tagged);
    doc_set(f->arena, d, "Twice", twice);
    doc_set(f->arena, d, "\"quoted\" \xc3\xa9", doc_null(f->arena));
    r.status = d;
    ok(store_row_insert(f->store, &r, &f->err));
    ok(store_commit(f->store, &f->err));
    ok(store_row_by_uid(f->arena, f->store, "u1", &got, &f->err));
    assert_true(doc_equal(got.status, d));

    r = row_of(f, "u2", "b", 1);
    doc_set_string(f->arena, d, "Bad", "\xff");
    r.status = d;
    refused(store_row_insert(f->store, &r, &f->err), ERR_INVALID);
    refused(store_row_by_uid(f->arena, f->store, "u2", &got, &f->err), ERR_NOT_FOUND);
}

static void the_living_are_unique(void **state)
{
    struct fixture *f = *state;
    struct row a = row_of(f, "u1", "job", 1), b = row_of(f, "u1", "other", 1), got;

    ok(store_row_insert(f->store, &a, &f->err));
    refused(store_row_insert(f->store, &b, &f->err), ERR_CONFLICT); /* uid */
    b = row_of(f, "u2", "job", 1);
    refused(store_row_insert(f->store, &b, &f->err), ERR_CONFLICT); /* ARN */
    b.arn = "";
    refused(store_row_insert(f->store, &b, &f->err), ERR_CONFLICT); /* name */
    b.arn = "ARN:AWS:sagemaker:eu-west-1:111122223333:training-job/JOB";
    b.name = "unlike";
    refused(store_row_insert(f->store, &b, &f->err), ERR_CONFLICT); /* ARN in other letters */
    b.arn = "";
    b.name = "job";
    b.parent_uid = "u1";
    ok(store_row_insert(f->store, &b, &f->err)); /* below a parent, without an ARN */
    b.uid = "u3";
    b.parent_uid = "u2";
    ok(store_row_insert(f->store, &b, &f->err)); /* no ARN twice is no conflict */
    ok(store_row_by_name(f->arena, f->store, a.account, a.region, a.kind, "job", &got, &f->err));
    assert_string_equal(got.uid, "u1");

    ok(store_row_delete(f->store, "u1", 5, &f->err));
    refused(store_row_delete(f->store, "u1", 5, &f->err), ERR_NOT_FOUND);
    a.uid = "u4";
    ok(store_row_insert(f->store, &a, &f->err)); /* the name came back */
    ok(store_commit(f->store, &f->err));
}

static void sides_do_not_overwrite_each_other(void **state)
{
    struct fixture *f = *state;
    struct row r = row_of(f, "u1", "job", 1), api, pass, got;

    ok(store_row_insert(f->store, &r, &f->err));
    ok(store_row_by_uid(f->arena, f->store, "u1", &api, &f->err));
    ok(store_row_by_uid(f->arena, f->store, "u1", &pass, &f->err));
    api.want = json(f, "{\"stop\":true}");
    api.state = "Stopping";
    api.status = json(f, "{\"TrainingJobStatus\":\"Stopping\"}");
    api.modified_ms = 7;
    api.next_at_ms = 8;
    ok(store_row_want(f->store, &api, &f->err));
    assert_int_equal(api.generation, 2);
    assert_int_equal(api.revision, 2);

    pass.status = json(f, "{\"TrainingJobStatus\":\"InProgress\"}");
    refused(store_row_observe(f->store, &pass, &f->err), ERR_CONFLICT);
    ok(store_row_by_uid(f->arena, f->store, "u1", &pass, &f->err));
    assert_string_equal(pass.state, "Stopping");
    assert_int_equal(pass.modified_ms, 7);
    pass.want = json(f, "{\"stop\":false}"); /* not its side: not saved */
    pass.observed_generation = pass.generation;
    pass.state = "Stopped";
    pass.next_at_ms = INT64_MAX;
    ok(store_row_observe(f->store, &pass, &f->err));
    ok(store_row_by_uid(f->arena, f->store, "u1", &got, &f->err));
    assert_true(doc_bool(got.want, "stop", false));
    assert_int_equal(got.observed_generation, 2);
    assert_int_equal(got.generation, 2);
    assert_int_equal(got.revision, 3);
    assert_string_equal(got.state, "Stopped");
    refused(store_row_want(f->store, &api, &f->err), ERR_CONFLICT);
    api.uid = "u9";
    refused(store_row_want(f->store, &api, &f->err), ERR_NOT_FOUND);
}

static void dropped_brackets_were_never_there(void **state)
{
    struct fixture *f = *state;
    struct row a = row_of(f, "u1", "a", 1), b = row_of(f, "u2", "b", 1), c = row_of(f, "u3", "c", 1), got;
    struct event *events;
    struct str value;
    int count;

    ok(store_begin(f->store, &f->err));
    ok(store_row_insert(f->store, &a, &f->err));
    ok(store_put(f->store, "s3_objects", STR("k"), STR("1"), &f->err));
    ok(store_begin(f->store, &f->err));
    ok(store_row_insert(f->store, &b, &f->err));
    ok(store_put(f->store, "s3_objects", STR("k"), STR("2"), &f->err));
    ok(store_put(f->store, "s3_parts", STR("p"), STR("made here"), &f->err)); /* the table goes with the bracket */
    store_drop(f->store);
    ok(store_begin(f->store, &f->err)); /* one that is never written in */
    store_drop(f->store);
    ok(store_begin(f->store, &f->err));
    ok(store_row_insert(f->store, &c, &f->err));
    ok(store_row_delete(f->store, "u1", 3, &f->err));
    ok(store_keep(f->store, &f->err));
    ok(store_keep(f->store, &f->err));

    refused(store_row_by_uid(f->arena, f->store, "u1", &got, &f->err), ERR_NOT_FOUND);
    refused(store_row_by_uid(f->arena, f->store, "u2", &got, &f->err), ERR_NOT_FOUND);
    ok(store_row_by_uid(f->arena, f->store, "u3", &got, &f->err));
    ok(store_get(f->arena, f->store, "s3_objects", STR("k"), &value, &f->err));
    assert_true(str_is(value, "1"));
    refused(store_get(f->arena, f->store, "s3_parts", STR("p"), &value, &f->err), ERR_NOT_FOUND);
    ok(store_put(f->store, "s3_parts", STR("p"), STR("again"), &f->err));
    ok(store_commit(f->store, &f->err));
    ok(store_event_scan(f->arena, f->store, 0, 100, &events, &count, &f->err));
    assert_int_equal(count, 3); /* u1, u3, gone u1: numbered without holes */
    for (int i = 0; i < count; i++)
        assert_int_equal(events[i].sequence, i + 1);
    assert_string_equal(events[2].what, "deleted");
    assert_string_equal(events[2].uid, "u1");

    ok(store_begin(f->store, &f->err));
    ok(store_put(f->store, "s3_parts", STR("p"), STR("lost with the process"), &f->err));
    ok(store_keep(f->store, &f->err));
    restart(f);
    ok(store_get(f->arena, f->store, "s3_parts", STR("p"), &value, &f->err));
    assert_true(str_is(value, "again"));
}

static void events_tell_every_change(void **state)
{
    struct fixture *f = *state;
    struct row r = row_of(f, "u1", "job", 10);
    struct event *e;
    int count;

    ok(store_row_insert(f->store, &r, &f->err));
    r.revision = 1;
    r.modified_ms = 11;
    ok(store_row_observe(f->store, &r, &f->err)); /* same state: no event */
    r.state = "Completed";
    r.modified_ms = 12;
    ok(store_row_observe(f->store, &r, &f->err));
    r.modified_ms = 13;
    ok(store_row_want(f->store, &r, &f->err));
    ok(store_row_note(f->store, "u1", "replaced", 14, &f->err)); /* nothing of the row changes, its revision neither */
    refused(store_row_note(f->store, "u7", "replaced", 14, &f->err), ERR_NOT_FOUND);
    ok(store_row_delete(f->store, "u1", 14, &f->err));
    ok(store_event_scan(f->arena, f->store, 0, 100, &e, &count, &f->err));
    assert_int_equal(count, 5);
    assert_string_equal(e[0].what, "created");
    assert_string_equal(e[0].state_after, "InProgress");
    assert_string_equal(e[1].what, "state");
    assert_string_equal(e[1].state_before, "InProgress");
    assert_string_equal(e[1].state_after, "Completed");
    assert_int_equal(e[1].at_ms, 12);
    assert_string_equal(e[2].what, "wanted");
    assert_string_equal(e[3].what, "replaced");
    assert_string_equal(e[3].state_before, "Completed");
    assert_string_equal(e[3].state_after, "Completed");
    assert_string_equal(e[4].what, "deleted");
    assert_string_equal(e[4].kind, "TrainingJob");
    assert_int_equal(e[4].at_ms, 14);
    ok(store_event_trim(f->store, 5, &f->err));
    ok(store_commit(f->store, &f->err));
    restart(f);
    r = row_of(f, "u2", "next", 20);
    ok(store_row_insert(f->store, &r, &f->err));
    ok(store_event_scan(f->arena, f->store, 0, 100, &e, &count, &f->err));
    assert_int_equal(count, 1);
    assert_int_equal(e[0].sequence, 6); /* numbers are not given twice */
    ok(store_event_scan(f->arena, f->store, 6, 100, &e, &count, &f->err));
    assert_int_equal(count, 0);
}

static void due_rows_come_by_time(void **state)
{
    struct fixture *f = *state;
    struct row r;
    const char **uids;
    int count;

    assert_int_equal(store_row_next_due(f->store), INT64_MAX);
    for (int i = 0; i < 5; i++) {
        r = row_of(f, arena_printf(f->arena, "u%d", i), arena_printf(f->arena, "n%d", i), 1);
        r.next_at_ms = i == 4 ? INT64_MAX : 100 - i * 10;
        ok(store_row_insert(f->store, &r, &f->err));
    }
    assert_int_equal(store_row_next_due(f->store), 70);
    ok(store_row_due(f->arena, f->store, 69, 10, &uids, &count, &f->err));
    assert_int_equal(count, 0);
    ok(store_row_due(f->arena, f->store, 90, 10, &uids, &count, &f->err));
    assert_int_equal(count, 3);
    assert_string_equal(uids[0], "u3");
    assert_string_equal(uids[2], "u1");
    ok(store_row_due(f->arena, f->store, 1000, 2, &uids, &count, &f->err));
    assert_int_equal(count, 2);
    ok(store_row_by_uid(f->arena, f->store, "u3", &r, &f->err));
    r.next_at_ms = INT64_MAX;
    ok(store_row_observe(f->store, &r, &f->err));
    assert_int_equal(store_row_next_due(f->store), 80);
}

static void uids_come_by_age(void **state)
{
    static const struct { const char *uid, *region, *state; int64_t created_ms; } rows[] = {
        { "late", "a", "On", 30 }, { "early", "b", "On", 10 }, { "between", "a", "On", 20 },
        { "with it", "b", "On", 20 }, { "off", "a", "Off", 5 },
    };
    static const char *const on[] = { "early", "between", "with it", "late" };
    struct fixture *f = *state;
    const char **uids;
    int count;

    ok(store_row_uids(f->arena, f->store, "TrainingJob", "On", &uids, &count, &f->err));
    assert_int_equal(count, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row r = row_of(f, rows[i].uid, rows[i].uid, rows[i].created_ms);

        r.region = rows[i].region;
        r.state = rows[i].state;
        ok(store_row_insert(f->store, &r, &f->err));
    }
    ok(store_row_uids(f->arena, f->store, "TrainingJob", "On", &uids, &count, &f->err));
    assert_int_equal(count, 4);
    for (int i = 0; i < count; i++)
        assert_string_equal(uids[i], on[i]);
    ok(store_row_uids(f->arena, f->store, "TrainingJob", NULL, &uids, &count, &f->err));
    assert_int_equal(count, 5);
    assert_string_equal(uids[0], "off");
    ok(store_row_uids(f->arena, f->store, "Model", NULL, &uids, &count, &f->err));
    assert_int_equal(count, 0);
}

static void rows_are_counted_by_state(void **state)
{
    static const char *const states[] = { "Stopped", "Failed", "Stopped", "Stopped" };
    struct fixture *f = *state;
    struct state_count *counts;
    struct row r;
    int count;

    ok(store_row_states(f->arena, f->store, &counts, &count, &f->err));
    assert_int_equal(count, 0);
    for (int i = 0; i < 6; i++) {
        r = row_of(f, arena_printf(f->arena, "u%d", i), arena_printf(f->arena, "n%d", i), 1);
        r.kind = i < 4 ? "TrainingJob" : "Endpoint";
        r.state = i < 4 ? states[i] : "InService";
        r.region = i % 2 ? "us-east-1" : "eu-west-1";
        ok(store_row_insert(f->store, &r, &f->err));
    }
    ok(store_row_delete(f->store, "u3", 1, &f->err));
    ok(store_row_states(f->arena, f->store, &counts, &count, &f->err));
    assert_int_equal(count, 3);
    assert_string_equal(counts[0].kind, "Endpoint");
    assert_int_equal(counts[0].rows, 2);
    assert_string_equal(counts[1].state, "Failed");
    assert_int_equal(counts[1].rows, 1);
    assert_string_equal(counts[2].state, "Stopped");
    assert_int_equal(counts[2].rows, 2);
}

/* Goes through all pages of a filter; gives the names joined by commas. */
static const char *listed(struct fixture *f, struct row_filter filter)
{
    struct buf b = { 0 };
    struct row *rows;
    const char *text;
    int count, pages = 0;

    do {
        ok(store_row_list(f->arena, f->store, &filter, &rows, &count, &filter.after, &f->err));
        assert_true(count <= filter.limit);
        assert_true(count > 0 || !filter.after);
        for (int i = 0; i < count; i++)
            buf_printf(&b, "%s%s", b.size ? "," : "", rows[i].name);
        assert_true(++pages < 1000);
    } while (filter.after);
    text = arena_strdup(f->arena, b.data ? b.data : "");
    buf_free(&b);
    return text;
}

static void lists_filter_sort_and_page(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *state;
        int64_t created_ms;
    } rows[] = {
        { "delta", "Failed", 300 },
        { "Alpha", "Completed", 100 },
        { "beta", "Failed", 200 },
        { "gamma", "Completed", 200 },
    };
    struct row_filter filter = { .account = "111122223333", .region = "eu-west-1", .kind = "TrainingJob" };
    struct row *got;
    const char *after;
    int count;

    for (int i = 0; i < 4; i++) {
        struct row r = row_of(f, arena_printf(f->arena, "u%d", i), rows[i].name, rows[i].created_ms);

        r.state = rows[i].state;
        r.modified_ms = 1000 - rows[i].created_ms;
        ok(store_row_insert(f->store, &r, &f->err));
        r.uid = arena_printf(f->arena, "v%d", i);
        r.kind = "Model";
        r.arn = "";
        r.parent_uid = "u1";
        ok(store_row_insert(f->store, &r, &f->err));
    }
    for (int limit = 1; limit <= 5; limit++) {
        filter = (struct row_filter){
            .account = "111122223333", .region = "eu-west-1", .kind = "TrainingJob", .limit = limit
        };
        assert_string_equal(listed(f, filter), "Alpha,beta,delta,gamma");
        filter.descending = true;
        assert_string_equal(listed(f, filter), "gamma,delta,beta,Alpha");
        filter.order = ROWS_BY_CREATED;
        assert_string_equal(listed(f, filter), "delta,gamma,beta,Alpha");
        filter.descending = false;
        assert_string_equal(listed(f, filter), "Alpha,beta,gamma,delta");
        filter.order = ROWS_BY_MODIFIED;
        assert_string_equal(listed(f, filter), "delta,beta,gamma,Alpha");
        filter.order = ROWS_BY_STATE;
        assert_string_equal(listed(f, filter), "Alpha,gamma,delta,beta"); /* ties by uid */
        filter.account = NULL;
        assert_string_equal(listed(f, filter), "Alpha,gamma,delta,beta");
        filter.kind = NULL;
        filter.parent_uid = "u1";
        assert_string_equal(listed(f, filter), "Alpha,gamma,delta,beta");
        filter.parent_uid = "";
        filter.state = "Failed";
        assert_string_equal(listed(f, filter), "delta,beta");
        filter = (struct row_filter){ .kind = "TrainingJob",
                                       .limit = limit,
                                       .name_contains = "A",
                                       .order = ROWS_BY_CREATED,
                                       .created_after_ms = 100,
                                       .created_before_ms = 300 };
        assert_string_equal(listed(f, filter), "beta,gamma");
        filter.modified_after_ms = 800;
        assert_string_equal(listed(f, filter), "");
        filter.modified_after_ms = 799;
        filter.modified_before_ms = 801;
        assert_string_equal(listed(f, filter), "beta,gamma");
        filter.name_contains = "%";
        assert_string_equal(listed(f, filter), "");
        filter = (struct row_filter){ .parent_uid = "nobody", .limit = limit };
        assert_string_equal(listed(f, filter), "");
    }
    filter = (struct row_filter){ .kind = "TrainingJob", .limit = 2 };
    ok(store_row_list(f->arena, f->store, &filter, &got, &count, &after, &f->err));
    assert_non_null(after);
    filter.after = after;
    filter.descending = true; /* the token is of another list */
    refused(store_row_list(f->arena, f->store, &filter, &got, &count, &after, &f->err), ERR_INVALID);
    filter.descending = false;
    for (size_t i = 0; i < strlen(filter.after); i++) {
        char *bent = arena_strdup(f->arena, after = filter.after);
        struct row_filter bad = filter;

        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        bad.after = bent;
        if (store_row_list(f->arena, f->store, &bad, &got, &count, &after, &f->err) == 0)
            fail_msg("a bent token was taken: %s", bent);
        assert_int_equal(f->err.kind, ERR_INVALID);
    }
    filter.after = "";
    refused(store_row_list(f->arena, f->store, &filter, &got, &count, &after, &f->err), ERR_INVALID);
}

/* The second half of a long list must not cost more than the first. */
static void long_lists_are_not_quadratic(void **state)
{
    enum { ROWS = 20000, PAGE = 50 };
    struct fixture *f = *state;
    struct row_filter filter = { .account = "111122223333", .region = "eu-west-1", .kind = "TrainingJob", .limit = PAGE,
                                 .order = ROWS_BY_CREATED, .descending = true };
    struct row *rows;
    int64_t seen = 0;
    clock_t halves[2] = { 0 }, start;
    int count;

    for (int i = 0; i < ROWS; i++) {
        struct row r = { .uid = arena_printf(f->arena, "u%07d", i), .account = "111122223333", .region = "eu-west-1",
                         .kind = "TrainingJob", .name = arena_printf(f->arena, "n%d", i), .created_ms = i / 3,
                         .state = "Completed", .next_at_ms = INT64_MAX };
        ok(store_row_insert(f->store, &r, &f->err));
    }
    ok(store_commit(f->store, &f->err));
    do {
        start = clock();
        ok(store_row_list(f->arena, f->store, &filter, &rows, &count, &filter.after, &f->err));
        halves[seen >= ROWS / 2] += clock() - start;
        seen += count;
    } while (filter.after);
    assert_int_equal(seen, ROWS);
    assert_true(halves[1] < halves[0] * 3 + CLOCKS_PER_SEC / 10);
}

static const char *scanned(struct fixture *f, struct range range)
{
    struct buf b = { 0 };
    struct pair *pairs;
    const char *text;
    int count;

    ok(store_scan(f->arena, f->store, "logs_events", &range, &pairs, &count, &f->err));
    for (int i = 0; i < count; i++)
        buf_printf(&b, STR_FMT "=" STR_FMT " ", STR_ARG(pairs[i].key), STR_ARG(pairs[i].value));
    text = arena_strdup(f->arena, b.data ? b.data : "");
    buf_free(&b);
    return text;
}

static void tables_are_ordered(void **state)
{
    struct fixture *f = *state;
    char low[8], high[8];
    struct str value;

    assert_string_equal(scanned(f, (struct range){ 0 }), "");
    refused(store_get(f->arena, f->store, "logs_events", STR("a"), &value, &f->err), ERR_NOT_FOUND);
    ok(store_remove(f->store, "logs_events", STR("a"), &f->err));
    ok(store_put(f->store, "logs_events", STR("b"), STR("2"), &f->err));
    ok(store_put(f->store, "logs_events", STR("a"), STR("1"), &f->err));
    ok(store_put(f->store, "logs_events", STR("ab"), STR(""), &f->err));
    ok(store_put(f->store, "logs_events", STR("b\xff"), STR("4"), &f->err));
    ok(store_put(f->store, "logs_events", STR("a"), STR("one"), &f->err));
    ok(store_commit(f->store, &f->err));
    assert_string_equal(scanned(f, (struct range){ 0 }), "a=one ab= b=2 b\xff=4 ");
    assert_string_equal(scanned(f, (struct range){ .reverse = true }), "b\xff=4 b=2 ab= a=one ");
    assert_string_equal(scanned(f, (struct range){ .reverse = true, .limit = 1 }), "b\xff=4 ");
    assert_string_equal(scanned(f, (struct range){ .from = STR("ab"), .to = STR("b\xff") }), "ab= b=2 ");
    assert_string_equal(scanned(f, (struct range){ .from = STR("ab"), .to = STR("b\xff"), .reverse = true }),
                        "b=2 ab= ");
    assert_string_equal(scanned(f, (struct range){ .from = STR("aa"), .limit = 1 }), "ab= ");
    assert_string_equal(scanned(f, (struct range){ .from = STR("c") }), "");
    assert_string_equal(scanned(f, (struct range){ .to = STR("a"), .reverse = true }), "");
    assert_string_equal(scanned(f, (struct range){ .from = STR("b"), .to = store_after_prefix(f->arena, STR("b")) }),
                        "b=2 b\xff=4 ");
    assert_int_equal(store_after_prefix(f->arena, STR("\xff\xff")).size, 0);
    assert_true(str_is(store_after_prefix(f->arena, STR("a\xff")), "b"));
    ok(store_get(f->arena, f->store, "logs_events", STR("ab"), &value, &f->err));
    assert_int_equal(value.size, 0);
    ok(store_remove(f->store, "logs_events", STR("ab"), &f->err));
    ok(store_remove_range(f->store, "logs_events", &(struct range){ .from = STR("b") }, &f->err));
    assert_string_equal(scanned(f, (struct range){ 0 }), "a=one ");
    ok(store_remove_range(f->store, "logs_events", &(struct range){ .to = STR("zz") }, &f->err));
    assert_string_equal(scanned(f, (struct range){ 0 }), "");

    store_key_int64(low, INT64_MIN);
    store_key_int64(high, -1);
    assert_true(memcmp(low, high, 8) < 0);
    assert_int_equal(store_int64_of_key(low), INT64_MIN);
    store_key_int64(low, 0);
    assert_true(memcmp(high, low, 8) < 0);
    store_key_int64(high, INT64_MAX);
    assert_true(memcmp(low, high, 8) < 0);
    assert_int_equal(store_int64_of_key(high), INT64_MAX);
}

/* --- a disk that fails ------------------------------------------------------------------------------------------ */

/* A VFS over the store's own, in its place, that fails writes, growths and syncs from the Nth on, for as long as it was
 * told. */
static struct {
    int64_t calls, fail_at, fail_count;
    int code;
} disk;

static sqlite3_vfs disk_vfs;
static sqlite3_io_methods disk_methods;
static sqlite3_vfs *real_vfs;

struct disk_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static int disk_says(void)
{
    disk.calls++;
    return disk.fail_at && disk.calls >= disk.fail_at && disk.calls < disk.fail_at + disk.fail_count ? disk.code
                                                                                                     : SQLITE_OK;
}

#define REAL(file) (((struct disk_file *)(file))->real)

static int disk_close(sqlite3_file *file)
{
    return REAL(file)->pMethods->xClose(REAL(file));
}
static int disk_read(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
    return REAL(file)->pMethods->xRead(REAL(file), to, size, at);
}
static int disk_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
    int code = disk_says();

    if (code) { /* half of it got there */
        REAL(file)->pMethods->xWrite(REAL(file), from, size / 2, at);
        return code;
    }
    return REAL(file)->pMethods->xWrite(REAL(file), from, size, at);
}
static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return REAL(file)->pMethods->xTruncate(REAL(file), size);
}
static int disk_sync(sqlite3_file *file, int flags)
{
    int code = disk_says();

    return code ? SQLITE_IOERR_FSYNC : REAL(file)->pMethods->xSync(REAL(file), flags);
}
static int disk_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return REAL(file)->pMethods->xFileSize(REAL(file), size);
}
static int disk_lock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xLock(REAL(file), level);
}
static int disk_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), level);
}
static int disk_reserved(sqlite3_file *file, int *ret)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), ret);
}
static int disk_control(sqlite3_file *file, int what, void *argument)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), what, argument);
}
static int disk_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}
static int disk_traits(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}
static int disk_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, ret);
}
static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}
static void disk_shm_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}
static int disk_shm_unmap(sqlite3_file *file, int remove_it)
{
    return REAL(file)->pMethods->xShmUnmap(REAL(file), remove_it);
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct disk_file *f = (struct disk_file *)file;
    int code;

    (void)vfs;
    f->real = (sqlite3_file *)&f[1];
    code = real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
    f->base.pMethods = code == SQLITE_OK && f->real->pMethods ? &disk_methods : NULL;
    return code;
}

static void disk_install(void)
{
    real_vfs = sqlite3_vfs_find("unix-excl");
    disk_vfs = *real_vfs;
    disk_vfs.szOsFile = (int)sizeof(struct disk_file) + real_vfs->szOsFile;
    disk_vfs.xOpen = disk_open;
    disk_methods = (sqlite3_io_methods){
        2, disk_close, disk_read, disk_write, disk_truncate, disk_sync, disk_size, disk_lock, disk_unlock,
        disk_reserved, disk_control, disk_sector, disk_traits, disk_shm_map, disk_shm_lock, disk_shm_barrier,
        disk_shm_unmap, NULL, NULL,
    };
    sqlite3_vfs_register(&disk_vfs, 1);
}

static bool memory_says(void *context)
{
    (void)context;
    return disk_says() != SQLITE_OK;
}

/* One turn: two calls in their brackets, some pairs in two files. Fails as a whole or not at all. */
static int turn(struct fixture *f, int n, struct err *err)
{
    struct row r = row_of(f, arena_printf(f->arena, "t%d", n), arena_printf(f->arena, "turn-%d", n), n + 1);
    struct str key = str_of(arena_printf(f->arena, "k%d", n));
    struct row other;
    bool failed = false;

    for (int i = 0; i < 2; i++) {
        struct err ignored = { 0 };

        store_begin(f->store, &ignored);
        if ((i == 0 ? store_row_insert(f->store, &r, &ignored)
                    : store_put(f->store, "s3_objects", key, STR("v"), &ignored)) < 0 ||
            store_put(f->store, i == 0 ? "core_tags" : "iam_users", key, STR("v"), &ignored) < 0) {
            assert_int_equal(ignored.kind, ERR_UNAVAILABLE);
            store_drop(f->store);
            failed = true;
        } else if (store_keep(f->store, &ignored) < 0) {
            assert_int_equal(ignored.kind, ERR_UNAVAILABLE);
            failed = true;
        }
    }
    if (failed) /* the store answers, and nothing of this turn is there */
        assert_int_equal(store_row_by_uid(f->arena, f->store, r.uid, &other, &(struct err){ 0 }), -1);
    if (store_commit(f->store, err) < 0) {
        assert_int_equal(err->kind, ERR_UNAVAILABLE);
        return -1;
    }
    assert_false(failed);
    return 0;
}

static void turn_is(struct fixture *f, int n, bool there)
{
    struct str key = str_of(arena_printf(f->arena, "k%d", n)), value;
    struct row r;

    assert_int_equal(store_row_by_uid(f->arena, f->store, arena_printf(f->arena, "t%d", n), &r, &f->err),
                     there ? 0 : -1);
    assert_int_equal(store_get(f->arena, f->store, "core_tags", key, &value, &f->err), there ? 0 : -1);
    if (there) { /* files that are committed before core.db may have more than the rows say, never less */
        ok(store_get(f->arena, f->store, "s3_objects", key, &value, &f->err));
        ok(store_get(f->arena, f->store, "iam_users", key, &value, &f->err));
    }
}

static void events_match_turns(struct fixture *f, int64_t turns)
{
    struct event *events;
    int count;

    ok(store_event_scan(f->arena, f->store, 0, 100000, &events, &count, &f->err));
    assert_int_equal(count, turns);
    for (int i = 0; i < count; i++)
        assert_int_equal(events[i].sequence, i + 1);
}

static void every_write_may_fail(void **state)
{
    struct fixture *f = *state;
    static const int codes[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };
    int n = 0;
    int64_t committed = 0;

    if (!f->sqlite)
        store_memory_full(f->store, memory_says, NULL);
    disk.fail_at = 0;
    ok(turn(f, n++, &f->err));
    committed++;
    for (int code = 0; code < 2; code++)
        for (int64_t at = 1;; at++) {
            int failing = n++;
            bool failed;

            disk.calls = 0;
            disk.fail_at = at;
            disk.fail_count = at % 3 + 1; /* the disk may also refuse the roll back, and the next try */
            disk.code = codes[code];
            failed = turn(f, failing, &f->err) < 0;
            if (!failed && disk.calls < at) {
                disk.fail_at = 0;
                committed++;
                break; /* every place has failed once */
            }
            committed += !failed; /* a checkpoint that fails does not fail the turn: it is tried again */
            disk.fail_at = 0;
            turn_is(f, failing, !failed);
            ok(turn(f, n, &f->err)); /* as good as new */
            committed++;
            turn_is(f, n++, true);
            events_match_turns(f, committed);
        }
    restart(f);
    if (!f->sqlite)
        store_memory_full(f->store, NULL, NULL);
    events_match_turns(f, committed);
    assert_true(n > 20);
}

/* --- only on disk ----------------------------------------------------------------------------------------------- */

/* The child says how far its commits came; the parent kills it and looks. */
static void kills_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct rand r = rand_seeded(20240229);
    int64_t acknowledged = 0;

    store_free(f->store);
    f->store = NULL;
    for (int round = 0; round < 12; round++) {
        int pipe_ends[2];
        int64_t said;
        pid_t child;

        assert_int_equal(pipe(pipe_ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(pipe_ends[0]);
            if (store_open_sqlite(f->folder, &f->store, &f->err) < 0)
                _exit(1);
            for (int64_t n = acknowledged;; n++) {
                /* What was committed but not acknowledged may be there. */
                struct row there;

                arena_reset(f->arena);
                if (store_row_by_uid(f->arena, f->store, arena_printf(f->arena, "t%d", (int)n), &there, &f->err) < 0 &&
                    turn(f, (int)n, &f->err) < 0)
                    _exit(2);
                said = n + 1;
                if (write(pipe_ends[1], &said, sizeof said) != sizeof said)
                    _exit(3);
            }
        }
        close(pipe_ends[1]);
        for (uint64_t reads = 1 + rand_below(&r, 40); reads > 0; reads--) {
            assert_int_equal(read(pipe_ends[0], &said, sizeof said), sizeof said);
            acknowledged = said;
        }
        usleep((useconds_t)rand_below(&r, 3000));
        assert_int_equal(kill(child, SIGKILL), 0);
        while (read(pipe_ends[0], &said, sizeof said) == sizeof said)
            acknowledged = said;
        close(pipe_ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);

        ok(store_open_sqlite(f->folder, &f->store, &f->err));
        for (int64_t n = 0; n < acknowledged; n++)
            turn_is(f, (int)n, true);
        {
            struct event *events;
            int count;

            ok(store_event_scan(f->arena, f->store, 0, 100000, &events, &count, &f->err));
            assert_true(count >= acknowledged && count <= acknowledged + 1);
            acknowledged = count;
        }
        store_free(f->store);
        f->store = NULL;
    }
    ok(store_open_sqlite(f->folder, &f->store, &f->err));
    events_match_turns(f, acknowledged);
}

static void one_process_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct store *second;

    refused(store_open_sqlite(f->folder, &second, &f->err), ERR_CONFLICT);
}

static void older_files_are_migrated(void **state)
{
    const struct row_filter in_use = { .account = "111122223333", .region = "eu-west-1", .kind = "TrainingJob",
                                       .state = "InProgress", .order = ROWS_BY_CREATED, .limit = 10 };
    struct fixture *f = *state;
    const char *after;
    struct row *rows;
    char path[128];
    sqlite3 *db;
    int count;

    store_free(f->store);
    f->store = NULL;
    snprintf(path, sizeof path, "%s/core.db", f->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DROP INDEX resource_state_created; PRAGMA user_version = 1", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    ok(store_open_sqlite(f->folder, &f->store, &f->err));
    ok(store_row_list(f->arena, f->store, &in_use, &rows, &count, &after, &f->err));
}

static void newer_files_are_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    sqlite3 *db;

    store_free(f->store);
    f->store = NULL;
    snprintf(path, sizeof path, "%s/core.db", f->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refused(store_open_sqlite(f->folder, &f->store, &f->err), ERR_CONFLICT);
    assert_non_null(strstr(f->err.text, "newer Sagebrush"));

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1; PRAGMA application_id = 7", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    refused(store_open_sqlite(f->folder, &f->store, &f->err), ERR_CONFLICT);

    assert_int_equal(file_write_atomic(path,
                                       "this is no database, but it is long enough to be looked at as one....."
                                       ".................................................",
                                       120, 0600, &f->err),
                     0);
    refused(store_open_sqlite(f->folder, &f->store, &f->err), ERR_INTERNAL);
}

static void backups_open(void **state)
{
    struct fixture *f = *state;
    struct fixture copy = { .sqlite = true, .arena = f->arena };

    ok(turn(f, 0, &f->err));
    ok(store_put(f->store, "s3_objects", STR("uncommitted"), STR("x"), &f->err));
    new_folder(copy.folder);
    ok(store_backup(f->store, copy.folder, &f->err));
    refused(store_backup(f->store, copy.folder, &f->err), ERR_CONFLICT);
    assert_int_equal(store_open_sqlite(copy.folder, &copy.store, &copy.err), 0);
    turn_is(&copy, 0, true);
    refused(store_get(f->arena, copy.store, "s3_objects", STR("uncommitted"), &(struct str){ 0 }, &f->err),
            ERR_NOT_FOUND);
    ok(turn(&copy, 1, &copy.err));
    store_free(copy.store);
    assert_int_equal(tree_remove(copy.folder, &f->err), 0);
}

#define both(test)                                                 \
    { #test " (memory)", test, set_up_memory, tear_down, NULL },   \
        { #test " (sqlite)", test, set_up_sqlite, tear_down, NULL }
#define on_disk(test) { #test, test, set_up_sqlite, tear_down, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        both(rows_come_back),
        both(documents_keep_their_types),
        both(the_living_are_unique),
        both(sides_do_not_overwrite_each_other),
        both(dropped_brackets_were_never_there),
        both(events_tell_every_change),
        both(due_rows_come_by_time),
        both(uids_come_by_age),
        both(rows_are_counted_by_state),
        both(lists_filter_sort_and_page),
        both(long_lists_are_not_quadratic),
        both(tables_are_ordered),
        both(every_write_may_fail),
        on_disk(kills_lose_nothing),
        on_disk(one_process_at_a_time),
        on_disk(older_files_are_migrated),
        on_disk(newer_files_are_refused),
        on_disk(backups_open),
    };

    disk_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
