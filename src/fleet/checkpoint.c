#include "fleet/checkpoint.h"

#include <math.h>

double checkpoint_young_ms(double cost_ms, double mean_ms)
{
    return sqrt(2 * cost_ms * mean_ms);
}

int64_t checkpoint_interval_ms(double cost_ms, double mean_ms)
{
    double ratio = cost_ms / (2 * mean_ms), interval_ms;

    if (mean_ms > 1e15)
        return INT64_MAX;
    interval_ms = cost_ms < 2 * mean_ms
                      ? checkpoint_young_ms(cost_ms, mean_ms) * (1 + sqrt(ratio) / 3 + ratio / 9) - cost_ms
                      : mean_ms;
    return interval_ms < 1000 ? 1000 : (int64_t)interval_ms;
}

double checkpoint_loss_ms(double work_ms, double mean_ms)
{
    return expm1(work_ms / mean_ms) * mean_ms - work_ms;
}

double checkpoint_overhead(double interval_ms, double cost_ms, double restart_ms, double mean_ms)
{
    return cost_ms / (interval_ms + cost_ms) + ((interval_ms + cost_ms) / 2 + restart_ms) / mean_ms;
}

int64_t pace_length_ms(const struct pace *p, int64_t work_ms)
{
    /* What ends with the work needs no checkpoint: the model is saved. */
    int64_t saves = p->interval_ms && work_ms > 0 ? (work_ms - 1) / p->interval_ms : 0;

    return p->restart_ms + work_ms + saves * p->cost_ms;
}

int64_t pace_saved_ms(const struct pace *p, int64_t work_ms, int64_t elapsed_ms)
{
    int64_t saved_ms;

    if (!p->interval_ms || elapsed_ms <= p->restart_ms)
        return 0;
    saved_ms = (elapsed_ms - p->restart_ms) / (p->interval_ms + p->cost_ms) * p->interval_ms;
    return saved_ms < work_ms ? saved_ms : work_ms;
}

int64_t pace_done_ms(const struct pace *p, int64_t work_ms, int64_t elapsed_ms)
{
    int64_t at_ms = elapsed_ms - p->restart_ms, cycle_ms = p->interval_ms + p->cost_ms, rest_ms, done_ms;

    if (at_ms <= 0)
        return 0;
    if (!p->interval_ms)
        return at_ms < work_ms ? at_ms : work_ms;
    rest_ms = at_ms % cycle_ms;
    done_ms = at_ms / cycle_ms * p->interval_ms + (rest_ms < p->interval_ms ? rest_ms : p->interval_ms);
    return done_ms < work_ms ? done_ms : work_ms;
}
