/* spot_seen.c - a record for each instance type, which fades, so that what is long ago counts for less. A job of
 * several types says nothing of which one was wanted back: each has its part of the interruption, by its instances. */
#include "services/sagemaker/spot_seen.h"

#include <math.h>

#include "doc/json.h"
#include "fleet/fleet.h"
#include "fleet/spot.h"
#include "services/sagemaker/training_groups.h"
#include "store/store.h"

#define HOUR_MS      3600e3
#define HALF_LIFE_MS (30 * 24 * HOUR_MS)

static const char table[] = "core_spot_seen"; /* {hours, interruptions, at_ms} by type */

static int look(struct store *store, const char *type, int64_t now_ms, struct spot_seen *ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *seen;
    struct str text;
    double left;

    if (store_get(a, store, table, str_of(type), &text, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        *ret = (struct spot_seen){ 0 };
        return 0;
    }
    if (json_parse(a, text, &seen, err) < 0)
        return fail(err, ERR_INTERNAL, "what was seen of spot %s cannot be read: %s", type, err->text);
    /* A clock that went back makes nothing weigh more. */
    left = exp2(-fmax((double)(now_ms - doc_int(seen, "at_ms", now_ms)), 0) / HALF_LIFE_MS);
    *ret = (struct spot_seen){ .hours = doc_number(seen, "hours", 0) * left,
                               .interruptions = doc_number(seen, "interruptions", 0) * left };
    return 0;
}

static int note(struct store *store, const char *type, const struct spot_seen *seen, int64_t now_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);

    doc_set_real(a, d, "hours", seen->hours);
    doc_set_real(a, d, "interruptions", seen->interruptions);
    doc_set_integer(a, d, "at_ms", now_ms);
    return store_put(store, table, str_of(type), str_of(json_text(a, d)), err);
}

int spot_seen_attempt(struct store *store, const struct training_spec *s, int64_t ran_ms, bool interrupted,
                      int64_t now_ms, struct err *err)
{
    for (int i = 0; i < training_group_count(s); i++) {
        struct training_group g = training_group(s, i);
        struct spot_seen seen;

        if (look(store, g.type, now_ms, &seen, err) < 0)
            return -1;
        seen.hours += (double)ran_ms / HOUR_MS * (double)g.count;
        if (interrupted)
            seen.interruptions += (double)g.count / (double)s->instance_count;
        if (note(store, g.type, &seen, now_ms, err) < 0)
            return -1;
    }
    return 0;
}

/* Of one instance in an hour. What is interrupted by price has no rate that anybody could tell before. */
static double expected(const struct fleet *fleet, const char *name)
{
    struct fleet_type type;

    return !spot_trace(fleet, name) && fleet_type(fleet, name, &type) ? type.interruptions_hour : 0;
}

int spot_interrupted_every_ms(struct store *store, const struct fleet *fleet, const struct training_spec *s,
                              int64_t now_ms, double *ret_ms, struct err *err)
{
    double per_hour = 0;

    for (int i = 0; s->spot && i < training_group_count(s); i++) {
        struct training_group g = training_group(s, i);
        struct spot_seen seen;

        if (look(store, g.type, now_ms, &seen, err) < 0)
            return -1;
        per_hour += spot_rate(expected(fleet, g.type), &seen) * (double)g.count;
    }
    *ret_ms = per_hour > 0 ? HOUR_MS / per_hour : 0;
    return 0;
}
