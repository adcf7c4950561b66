/* links: base doc sign net store aws model route run engine fleet services */
/* A story of operations over a memory store, a line each: "service Operation {input as JSON}"; S3 has a target of its
 * own. "agent logs {...}" and "agent metrics {...}" are what an agent reports. No input may be answered by a fault of
 * ours. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/wire.h"
#include "base/log.h"
#include "doc/json.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/platform.h"
#include "services/routes.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/kinds.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 40 };
#define NOON INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */

static struct platform platform;
static struct runtime runtime; /* which nobody asks for anything: nothing is reconciled here */
static struct fleet fleet;
static struct arena *fleet_arena;
static struct engine *engine;
static struct store *store;

static int64_t still_ms(struct clock *c)
{
    return NOON;
}

static void told(struct str line, int result, const struct err *err)
{
    if (result < 0 && err->kind == ERR_INTERNAL) {
        fprintf(stderr, STR_FMT "\n%s\n", STR_ARG(line), err->text);
        abort();
    }
}

/* Bodies are JSON whatever the service speaks: other protocols have other targets. */
static void run(struct arena *a, struct str service, struct str operation, struct str json, struct str line)
{
    const struct service *s = model_service(str_dup(a, service));
    struct wire_match match = { .service = s, .protocol = PROTOCOL_JSON, .json_version = "1.1",
                                .operation = s ? model_operation(s, operation) : NULL };
    struct wire_request request = { .method = STR("POST"), .target = STR("/"), .body = json };
    struct wire_response response;
    struct doc *input, *output;
    struct err err = { 0 };
    int result;

    if (!match.operation || !engine_op(engine, match.operation) || wire_decode(a, &match, &request, &input, &err) < 0)
        return;
    result = engine_call(a, engine, NULL, "us-east-1", s->name, match.operation->name, input, &output, &err);
    told(line, result, &err);
    if (result == 0) {
        match.protocol = (enum protocol)__builtin_ctz(s->protocols);
        wire_encode(a, &match, output, 0, "id", &response);
        buf_free(&response.body);
    }
    if (engine_commit(engine, &err) < 0)
        abort();
    allocations_turn(engine);
}

static void report(struct arena *a, struct str what, struct str json, struct str line)
{
    struct err err = { 0 };
    struct doc *batch;

    if (json_parse(a, json, &batch, &err) < 0)
        return;
    if (str_is(what, "logs"))
        told(line, logs_append(a, store, batch, NOON, &err), &err);
    else if (str_is(what, "metrics"))
        told(line, metrics_append(a, store, batch, NOON, &err), &err);
}

static void tell(struct str text)
{
    struct str line, service, operation, json;

    for (int i = 0; text.size && i < LINES_MAX; i++) {
        _cleanup_arena_ struct arena *a = arena_new();

        if (!str_cut(text, '\n', &line, &text)) {
            line = text;
            text.size = 0;
        }
        if (!str_cut(line, ' ', &service, &json) || !str_cut(json, ' ', &operation, &json))
            continue;
        if (str_is(service, "agent"))
            report(a, operation, json, line);
        else
            run(a, service, operation, json, line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct service_ops *const services[] = { &sagemaker_ops, &iam_ops,        &sts_ops,
                                                          &logs_ops,      &cloudwatch_ops, NULL };
    struct clock clock = { still_ms, still_ms };
    struct rand rand = rand_seeded(1);
    struct err err = { 0 };

    log_setup("fuzz", LOG_ERROR);
    store = store_new_memory();
    fleet_arena = arena_new();
    fleet = fleet_of_slots(fleet_arena, "local", 8, 0);
    platform = (struct platform){ .account = "111122223333", .default_region = "us-east-1", .data_folder = "/nowhere",
                                  .file_systems = "", .vpc = "",
                                  .api_socket = "/nowhere/api.sock", .admin_socket = "/nowhere/admin.sock",
                                  .rand = &rand, .fleet = &fleet, .machine = { 2, INT64_C(8) << 30, 0 },
                                  .allocations = allocations_new(&fleet, &clock), .session_key = { 7 } };
    if (routes_new("/nowhere", &platform.routes, &err) < 0 ||
        engine_new(&(struct engine_world){ .store = store, .clock = &clock, .rand = &rand, .runtime = &runtime,
                                           .services = services, .kinds = sagemaker_kinds,
                                           .default_region = "us-east-1", .account = "111122223333",
                                           .boot_id = "boot", .context = &platform },
                   &engine, &err) < 0)
        abort();
    tell((struct str){ size ? (const char *)data : "", size });
    identity_forget(&platform);
    engine_free(engine);
    routes_free(platform.routes);
    allocations_free(platform.allocations);
    arena_free(fleet_arena);
    store_free(store);
    return 0;
}
