#include "fleet/quota.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "fleet/fleet.h"

struct quotas {
    const struct fleet *fleet;
    struct map *used; /* account|work|type|spot: count + 1 as a pointer */
};

struct quotas *quotas_new(const struct fleet *fleet)
{
    struct quotas *q = calloc(1, sizeof *q);

    assert(q);
    q->fleet = fleet;
    q->used = map_new();
    return q;
}

void quotas_free(struct quotas *q)
{
    if (!q)
        return;
    map_free(q->used);
    free(q);
}

/* The first rule that matches counts; -1: no rule, no limit. */
static int64_t limit_of(const struct fleet *f, const char *account, const char *work, const char *type, bool spot)
{
    for (int i = 0; i < f->quota_count; i++) {
        const struct fleet_quota *q = &f->quotas[i];

        if (q->spot == spot && strcmp(q->work, work) == 0 && glob_matches(q->account, account) &&
            glob_matches(q->type, type))
            return q->limit;
    }
    return -1;
}

static int64_t change(struct quotas *q, const char *account, const char *work, const char *type, bool spot,
                      int64_t count)
{
    _cleanup_buf_ struct buf key = { 0 };
    struct str text;
    void *known;
    int64_t used;

    buf_printf(&key, "%s|%s|%s|%d", account, work, type, spot);
    text = (struct str){ key.data, key.size };
    known = map_get(q->used, text);
    used = (known ? (int64_t)(intptr_t)known - 1 : 0);
    assert(used + count >= 0 && "what is given was taken");
    if (used + count == 0)
        map_remove(q->used, text);
    else if (count != 0)
        map_set(q->used, text, (void *)(intptr_t)(used + count + 1));
    return used;
}

int quota_take(struct quotas *q, const char *account, const char *work, const char *type, bool spot, int64_t count,
               struct err *err)
{
    int64_t limit = limit_of(q->fleet, account, work, type, spot), used = change(q, account, work, type, spot, 0);

    /* The words of AWS, as its users quote them. */
    if (limit >= 0 && used + count > limit)
        return fail_code(err, ERR_LIMIT, "ResourceLimitExceeded",
                         "The account-level service limit '%s for %s%s usage' is %" PRId64
                         " Instances, with current utilization of %" PRId64 " Instances and a request delta of %" PRId64
                         " Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS "
                         "Service Quotas is not available, contact AWS support to request an increase for this quota.",
                         type, spot ? "spot " : "", work, limit, used, count);
    change(q, account, work, type, spot, count);
    return 0;
}

void quota_restore(struct quotas *q, const char *account, const char *work, const char *type, bool spot, int64_t count)
{
    change(q, account, work, type, spot, count);
}

void quota_give(struct quotas *q, const char *account, const char *work, const char *type, bool spot, int64_t count)
{
    change(q, account, work, type, spot, -count);
}
