/* engine.c - the engine and its calls: validated, authorized, run in a bracket, and durable with the turn's commit. */
#include "engine/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/validate.h"
#include "engine/impl.h"
#include "store/store.h"

/* --- Beginning and end --- */

static struct str key_of_operation(const struct operation *const *o)
{
    return (struct str){ (const char *)o, sizeof *o };
}

static int add_ops(struct engine *e, const struct service_ops *s, struct err *err)
{
    const struct service *service = model_service(s->service);

    if (!service)
        return fail(err, ERR_INTERNAL, "there is no model of the service %s", s->service);
    for (const struct op *op = s->ops; op->name; op++) {
        const struct operation *o = model_operation(service, str_of(op->name));

        if (!o)
            return fail(err, ERR_INTERNAL, "the model of %s has no operation %s", s->service, op->name);
        assert(op->verb == OP_RUN ? op->run != NULL : op->kind != NULL);
        map_set(e->ops, key_of_operation(&o), (void *)op);
    }
    return 0;
}

int engine_new(const struct engine_world *world, struct engine **ret, struct err *err)
{
    struct engine *e = calloc(1, sizeof *e);

    assert(e && "out of memory");
    e->world = *world;
    e->ops = map_new();
    e->kinds = map_new();
    e->orphans_boot_ms = clock_boot_ms(world->clock);
    reconcile_new(e);
    for (const struct kind *const *k = world->kinds; *k; k++)
        map_set(e->kinds, str_of((*k)->name), (void *)*k);
    for (const struct service_ops *const *s = world->services; *s; s++)
        if (add_ops(e, *s, err) < 0)
            goto failed;
    if (eras_begin(e, err) < 0 || reconcile_begin(e, err) < 0)
        goto failed;
    *ret = e;
    return 0;
failed:
    engine_free(e);
    return -1;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    reconcile_free(e);
    map_free(e->ops);
    map_free(e->kinds);
    free(e);
}

const struct engine_world *engine_world_of(struct engine *e)
{
    return &e->world;
}

void *engine_context(struct engine *e)
{
    return e->world.context;
}

int64_t engine_now_ms(struct engine *e)
{
    return clock_wall_ms(e->world.clock);
}

/* --- Calls --- */

const struct op *engine_op(struct engine *e, const struct operation *o)
{
    return map_get(e->ops, key_of_operation(&o));
}

static int not_here(const struct operation *o, struct err *err)
{
    /* AWS's general words for it: S3 has a code of its own. */
    const char *code = strcmp(o->service->name, "s3") == 0 ? "NotImplemented" : "NotImplementedException";

    fail_code(err, ERR_INVALID, code,
              "Sagebrush does not implement %s %s yet. `sagebrush operations --missing %s` lists what it lacks.",
              o->service->service_id, o->name, o->service->name);
    err->http_status = 501;
    return -1;
}

static int bracketed(struct engine *e, struct call *c, const struct op *op, struct err *err)
{
    if (!(op->flags & OP_WRITES))
        return verb_run(c, op, err);
    if (store_begin(e->world.store, err) < 0)
        return -1;
    if (verb_run(c, op, err) < 0) {
        store_drop(e->world.store);
        return -1;
    }
    return store_keep(e->world.store, err);
}

int engine_run(struct engine *e, struct call *c, struct err *err)
{
    const struct op *op = engine_op(e, c->operation);

    if (!op)
        return not_here(c->operation, err);
    if (validate_with(c->arena, c->operation, c->input, e->world.own_values, err) < 0)
        return -1;
    if (authorize_call(c, op, err) < 0)
        return -1;
    return bracketed(e, c, op, err);
}

int engine_call(struct arena *a, struct engine *e, const struct principal *principal, const char *region,
                const char *service, const char *operation, const struct doc *input, struct doc **ret_output,
                struct err *err)
{
    const struct service *s = model_service(service);
    const struct principal house = {
        .account = e->world.account,
        .arn = arena_printf(a, "arn:aws:iam::%s:root", e->world.account),
        .user_id = e->world.account,
        .access_key_id = "",
        .trusted = true,
    };
    struct call c = {
        .engine = e,
        .arena = a,
        .operation = s ? model_operation(s, str_of(operation)) : NULL,
        .principal = principal ? principal : &house,
        .region = region,
        .request_id = "",
        .source_ip = "",
        .now_ms = engine_now_ms(e),
        .input = input,
        .output = doc_map(a),
        .download = arena_new_of(a, struct download),
    };

    assert(c.operation && "a service of the house asks for what no model has");
    if (engine_run(e, &c, err) < 0)
        return -1;
    *ret_output = c.output;
    return 0;
}

int engine_commit(struct engine *e, struct err *err)
{
    int result;

    if (store_dirty(e->world.store))
        e->settled = false;
    result = store_commit(e->world.store, err);
    eras_committed(e, result == 0);
    reconcile_committed(e, result < 0 ? err : NULL);
    return result;
}
