/* world.h - an engine with real services on a memory store, a clock turned by hand and seeded dice. Include it last. */
#ifndef TESTS_SERVICES_WORLD_H
#define TESTS_SERVICES_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/events/events.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/platform.h"
#include "sign/sigv4.h"
#include "store/store.h"

#include <cmocka.h> /* last: its fail() is a macro */

#define ACCOUNT "123456789012"
#define NOON    INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */

static struct world {
    struct clock clock;
    int64_t now_ms;
    struct rand rand;
    struct store *store;
    struct engine *engine;
    struct arena *arena;
    struct platform platform;
    struct principal root;
    const struct principal *who; /* of the next calls; NULL: root */
    struct err err;
} w;

static int64_t world_now(struct clock *c)
{
    return w.now_ms;
}

static int world_new(void **state)
{
    static const struct service_ops *const services[] = { &iam_ops, &sts_ops, &logs_ops, &cloudwatch_ops,
                                                          &events_ops, NULL };
    static const struct kind *const kinds[] = { NULL };

    w = (struct world) { .clock = { world_now, world_now },
                         .now_ms = NOON,
                         .rand = rand_seeded(1),
                         .store = store_new_memory(),
                         .arena = arena_new() };
    w.platform =
        (struct platform) { .account = ACCOUNT, .default_region = "eu-west-1", .rand = &w.rand, .session_key = { 7 } };
    w.root = (struct principal){ .account = ACCOUNT, .arn = "arn:aws:iam::" ACCOUNT ":root", .user_id = ACCOUNT,
                                 .access_key_id = "", .trusted = true };
    return engine_new(&(struct engine_world) { .store = w.store,
                                               .clock = &w.clock,
                                               .rand = &w.rand,
                                               .services = services,
                                               .kinds = kinds,
                                               .default_region = "eu-west-1",
                                               .account = ACCOUNT,
                                               .changed = events_of_change,
                                               .context = &w.platform },
                      &w.engine, &w.err);
}

static int world_free(void **state)
{
    identity_forget(&w.platform);
    engine_free(w.engine);
    store_free(w.store);
    arena_free(w.arena);
    return 0;
}

/* JSON with single quotes for double ones. */
static char *quoted(const char *format, va_list ap)
{
    char *text = arena_vprintf(w.arena, format, ap);

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return text;
}

static struct doc *json(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct doc *json(const char *format, ...)
{
    struct doc *d;
    va_list ap;
    char *text;

    va_start(ap, format);
    text = quoted(format, ap);
    va_end(ap);
    if (json_parse(w.arena, str_of(text), &d, &w.err) < 0)
        fail_msg("%s: %s", text, w.err.text);
    return d;
}

/* The output, or NULL with w.err. */
static const struct doc *try(const char *service, const char *operation, struct doc *input)
{
    struct doc *output;
    int rc;

    w.err = (struct err){ 0 };
    rc = engine_call(w.arena, w.engine, w.who ? w.who : &w.root, "eu-west-1", service, operation, input, &output,
                     &w.err);
    if (engine_commit(w.engine, &w.err) < 0)
        fail_msg("commit: %s", w.err.text);
    return rc < 0 ? NULL : output;
}

static const struct doc *must(const char *service, const char *operation, struct doc *input)
{
    const struct doc *output = try(service, operation, input);

    if (!output)
        fail_msg("%s %s: %s: %s", operation, json_text(w.arena, input), w.err.code, w.err.text);
    return output;
}

static void refused(const char *service, const char *operation, struct doc *input, const char *code)
{
    const struct doc *output = try(service, operation, input);

    if (output)
        fail_msg("%s %s: done, %s expected", operation, json_text(w.arena, input), code);
    if (strcmp(w.err.code, code) != 0)
        fail_msg("%s %s: %s (%s), %s expected", operation, json_text(w.arena, input), w.err.code, w.err.text, code);
}

#endif
