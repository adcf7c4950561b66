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
#include "fleet/fleet.h"
#include "services/platform.h"
#include "sign/sigv4.h"
#include "store/store.h"

#include <cmocka.h> /* last: its fail() is a macro */

#define ACCOUNT "123456789012"
#define NOON    INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */

struct runtime;

extern struct world {
    struct clock clock;
    int64_t now_ms;
    struct rand rand;
    struct store *store;
    struct engine_world parts; /* of the engine; what a test wants otherwise it sets before the engine is made */
    struct engine *engine;
    struct arena *arena;
    struct platform platform;
    struct principal root;
    const struct principal *who; /* of the next calls; NULL: root */
    struct err err;

    /* Of job_world.h. */
    struct runtime *runtime;
    struct fleet fleet;
    int64_t next_ms;          /* when the engine wants to look again */
    bool at_once;             /* what is started is healthy (a job: has ended) at once */
    bool goes_on;             /* what is asked to stop goes on until sim_end() */
    int stops;                /* how often an agent was asked to stop */
    bool (*is_at_rest)(void); /* what else there is beside the engine, after each turn; NULL: nothing */
} w;

/* Everything but the engine. */
void world_make(const char *account, const char *region, int64_t now_ms);

/* For cmocka: with the services that stand by themselves; and its end. */
int world_new(void **state);
int world_free(void **state);

/* JSON with single quotes for double ones. */
struct doc *json(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct doc *vjson(const char *format, va_list ap);

/* The output, or NULL with w.err. */
const struct doc *try(const char *service, const char *operation, struct doc *input);
const struct doc *must(const char *service, const char *operation, struct doc *input);
void refused(const char *service, const char *operation, struct doc *input, const char *code);

#endif
