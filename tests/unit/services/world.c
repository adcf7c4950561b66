/* The services of every world are the real ones. */
#include "services/cloudwatch/cloudwatch.h"
#include "services/events/events.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"

#include "world.h"

struct world w;

static int64_t world_now(struct clock *c)
{
    return w.now_ms;
}

void world_make(const char *account, const char *region, int64_t now_ms)
{
    w = (struct world){ .clock = { world_now, world_now },
                        .now_ms = now_ms,
                        .rand = rand_seeded(1),
                        .store = store_new_memory(),
                        .arena = arena_new() };
    w.platform = (struct platform){ .account = account, .default_region = region, .rand = &w.rand,
                                    .session_key = { 7 } };
    w.root = (struct principal){ .account = account, .arn = arena_printf(w.arena, "arn:aws:iam::%s:root", account),
                                 .user_id = account, .access_key_id = "", .trusted = true };
    w.parts = (struct engine_world){ .store = w.store, .clock = &w.clock, .rand = &w.rand, .default_region = region,
                                     .account = account, .context = &w.platform };
}

int world_new(void **state)
{
    static const struct service_ops *const services[] = { &iam_ops, &sts_ops, &logs_ops, &cloudwatch_ops,
                                                          &events_ops, NULL };
    static const struct kind *const kinds[] = { NULL };

    world_make(ACCOUNT, "eu-west-1", NOON);
    w.parts.services = services;
    w.parts.kinds = kinds;
    w.parts.changed = events_of_change;
    return engine_new(&w.parts, &w.engine, &w.err);
}

int world_free(void **state)
{
    identity_forget(&w.platform);
    engine_free(w.engine);
    store_free(w.store);
    arena_free(w.arena);
    return 0;
}

struct doc *vjson(const char *format, va_list ap)
{
    char *text = arena_vprintf(w.arena, format, ap);
    struct doc *d;

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (json_parse(w.arena, str_of(text), &d, &w.err) < 0)
        fail_msg("%s: %s", text, w.err.text);
    return d;
}

struct doc *json(const char *format, ...)
{
    struct doc *d;
    va_list ap;

    va_start(ap, format);
    d = vjson(format, ap);
    va_end(ap);
    return d;
}

const struct doc *try(const char *service, const char *operation, struct doc *input)
{
    struct doc *output;
    int rc;

    w.err = (struct err){ 0 };
    rc = engine_call(w.arena, w.engine, w.who ? w.who : &w.root, w.platform.default_region, service, operation,
                     input, &output, &w.err);
    if (engine_commit(w.engine, &w.err) < 0)
        fail_msg("commit: %s", w.err.text);
    return rc < 0 ? NULL : output;
}

const struct doc *must(const char *service, const char *operation, struct doc *input)
{
    const struct doc *output = try(service, operation, input);

    if (!output)
        fail_msg("%s %s: %s: %s", operation, json_text(w.arena, input), w.err.code, w.err.text);
    return output;
}

void refused(const char *service, const char *operation, struct doc *input, const char *code)
{
    const struct doc *output = try(service, operation, input);

    if (output)
        fail_msg("%s %s: done, %s expected", operation, json_text(w.arena, input), code);
    if (strcmp(w.err.code, code) != 0)
        fail_msg("%s %s: %s (%s), %s expected", operation, json_text(w.arena, input), w.err.code, w.err.text, code);
}
