/* Agents that nobody owns, on a memory store, a simulated runtime and a clock that is turned by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "engine/engine.h"
#include "run/runtime.h"
#include "store/store.h"

/* Last: it has a macro of the name of fail(). */
#undef fail
static int (*const fail_as)(struct err *, enum err_kind, const char *, ...) = fail;
#include <cmocka.h>

enum { RARELY_MS = 10 * 60 * 1000 };

static struct fixture {
    struct clock clock;
    int64_t wall_ms, boot_ms;
    struct rand rand;
    struct store *store;
    struct runtime *runtime;
    struct engine *engine;
    struct arena *arena;
    bool silent; /* the runtime does not list */
} f;

static int64_t wall(struct clock *c)
{
    return f.wall_ms;
}

static int64_t boot(struct clock *c)
{
    return f.boot_ms;
}

static bool owns(struct arena *a, const struct resource *r, const char *agent)
{
    return strcmp(agent, arena_printf(a, "%s-0", r->row.uid)) == 0;
}

static const struct kind job = { .name = "TrainingJob", .service = "sagemaker", .arn_type = "training-job",
                                 .name_member = "TrainingJobName", .arn_member = "TrainingJobArn", .owns = owns };
static const struct kind model = { .name = "Model", .service = "sagemaker", .arn_type = "model",
                                   .name_member = "ModelName", .arn_member = "ModelArn" };
static const struct kind *const kinds[] = { &job, &model, NULL };
static const struct service_ops *const services[] = { NULL };

static int fault(void *context, const char *verb, const char *name, struct err *err)
{
    return f.silent && strcmp(verb, "list") == 0 ? fail_as(err, ERR_UNAVAILABLE, "the host does not answer") : 0;
}

static bool never(void *context, const char *name, const struct doc *order)
{
    return false;
}

static int set_up(void **state)
{
    const struct sim_hooks hooks = { .fault = fault, .ends_at_once = never };
    struct engine_world world = { .services = services, .kinds = kinds, .account = "111122223333",
                                  .default_region = "eu-west-1", .boot_id = "boot-1" };
    struct err err;

    f = (struct fixture){ .clock = { wall, boot }, .wall_ms = 1700000000000, .boot_ms = 5000000,
                          .rand = rand_seeded(1), .arena = arena_new(), .store = store_new_memory() };
    f.runtime = sim_runtime_new(&f.clock, &hooks);
    world.store = f.store;
    world.clock = &f.clock;
    world.rand = &f.rand;
    world.runtime = f.runtime;
    assert_int_equal(engine_new(&world, &f.engine, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    engine_free(f.engine);
    runtime_free(f.runtime);
    store_free(f.store);
    arena_free(f.arena);
    return 0;
}

static void row(const struct kind *k, const char *uid)
{
    const struct doc *nothing = doc_map(f.arena);
    struct row r = { .uid = uid, .account = "111122223333", .region = "eu-west-1", .kind = k->name, .name = uid,
                     .arn = arena_printf(f.arena, "arn:%s", uid), .parent_uid = "", .state = "",
                     .next_at_ms = INT64_MAX, .spec = nothing, .want = nothing, .status = nothing };
    struct err err;

    assert_int_equal(store_row_insert(f.store, &r, &err), 0);
    assert_int_equal(engine_commit(f.engine, &err), 0);
}

static void agent(const char *name, const char *owner)
{
    struct doc *order = doc_map(f.arena);
    struct err err;

    doc_set_string(f.arena, order, "uid", owner);
    doc_set_string(f.arena, order, "work", "train");
    assert_int_equal(runtime_start(f.runtime, name, order, &err), 0);
}

static void open_interval(const char *uid)
{
    struct err err;

    assert_int_equal(usage_open(f.engine, uid, f.wall_ms, doc_map(f.arena), &err), 0);
    assert_int_equal(engine_commit(f.engine, &err), 0);
}

static bool is_there(const char *name)
{
    return sim_order(f.runtime, name) != NULL;
}

static bool is_open(const char *uid)
{
    struct err err;
    bool open;

    assert_int_equal(usage_is_open(f.engine, uid, &open, &err), 0);
    return open;
}

static void turn(int64_t later_ms)
{
    int64_t next_ms;
    struct err err;

    f.wall_ms += later_ms;
    f.boot_ms += later_ms;
    engine_reconcile(f.engine, 10, &next_ms);
    assert_true(next_ms <= f.wall_ms + RARELY_MS);
    assert_int_equal(engine_commit(f.engine, &err), 0);
}

static void test_at_the_start(void **state)
{
    row(&job, "job");
    row(&model, "model");
    agent("job-0", "job");
    agent("job-1", "job");         /* a row of a backup knows another one */
    agent("lost-0", "lost");       /* no row at all */
    agent("torn-0", "");           /* no order that can be read */
    agent("model-0", "model");     /* of a kind that does not say what it owns */
    open_interval("job");
    open_interval("job-1");
    open_interval("lost");
    for (int i = 0; i < 4; i++)
        turn(1000);
    assert_true(is_there("job-0"));
    assert_true(is_there("model-0"));
    assert_false(is_there("job-1"));
    assert_false(is_there("lost-0"));
    assert_false(is_there("torn-0"));
    assert_true(is_open("job"));
    assert_false(is_open("job-1"));
    assert_false(is_open("lost"));
}

static void test_the_end_is_saved_before_it_is_forgotten(void **state)
{
    agent("lost-0", "lost");
    open_interval("lost");
    turn(0); /* told to stop */
    assert_true(is_there("lost-0"));
    turn(1000); /* its interval is closed */
    assert_true(is_there("lost-0") && !is_open("lost"));
    turn(1000);
    assert_false(is_there("lost-0"));
}

static void test_rarely_after(void **state)
{
    turn(0); /* the clock's first look is written down */
    turn(0);
    agent("lost-0", "lost");
    for (int i = 0; i < 9; i++)
        turn(60000);
    assert_true(is_there("lost-0"));
    for (int i = 0; i < 3; i++)
        turn(60000);
    assert_false(is_there("lost-0"));
}

static void test_cannot_tell(void **state)
{
    agent("lost-0", "lost");
    f.silent = true;
    turn(0);
    turn(1000);
    assert_true(is_there("lost-0"));
    f.silent = false;
    turn(1000);
    turn(1000);
    assert_false(is_there("lost-0"));
}

/* What a turn has written and not yet committed may be gone after it. */
static void test_not_before_the_commit(void **state)
{
    const struct doc *nothing = doc_map(f.arena);
    struct row r = { .uid = "new", .account = "1", .region = "r", .kind = "Model", .name = "new", .arn = "arn",
                     .parent_uid = "", .state = "", .spec = nothing, .want = nothing, .status = nothing,
                     .next_at_ms = INT64_MAX };
    int64_t next_ms;
    struct err err;

    agent("lost-0", "lost");
    assert_int_equal(store_row_insert(f.store, &r, &err), 0);
    engine_reconcile(f.engine, 10, &next_ms);
    assert_true(next_ms <= f.wall_ms + 1000);
    assert_int_equal(engine_commit(f.engine, &err), 0);
    for (int i = 0; i < 3; i++)
        turn(1000);
    assert_false(is_there("lost-0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_at_the_start),
        TEST(test_the_end_is_saved_before_it_is_forgotten),
        TEST(test_rarely_after),
        TEST(test_cannot_tell),
        TEST(test_not_before_the_commit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
