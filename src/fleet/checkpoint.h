/* checkpoint.h - how often to save, and what an interruption costs. All times in milliseconds. */
#ifndef FLEET_CHECKPOINT_H
#define FLEET_CHECKPOINT_H

#include <stdint.h>

/* Work between two checkpoints that loses the least: sqrt(2 d M), d what a checkpoint costs and M the mean time between
 * interruptions (Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974). */
double checkpoint_young_ms(double cost_ms, double mean_ms);

/* The same to a higher order, right also where checkpoints are dear (Daly, "A higher order estimate of the optimum
 * checkpoint interval for restart dumps", FGCS 22(3), 2006). INT64_MAX: nothing interrupts. */
int64_t checkpoint_interval_ms(double cost_ms, double mean_ms);

/* What is done again of 'work' that begins anew after each interruption, until once none comes: the time that it takes
 * on average, (exp(work / M) - 1) M, less the work. Beyond any measure where M is short: INFINITY. */
double checkpoint_loss_ms(double work_ms, double mean_ms);

/* The part of the time that is lost to saving and to doing again, to first order. */
double checkpoint_overhead(double interval_ms, double cost_ms, double restart_ms, double mean_ms);

/* A run that works 'interval' and saves for 'cost', again and again, after 'restart' to come up. interval 0: it never
 * saves. */
struct pace {
    int64_t interval_ms, cost_ms, restart_ms;
};

int64_t pace_length_ms(const struct pace *, int64_t work_ms);                    /* until all of the work is done */
int64_t pace_saved_ms(const struct pace *, int64_t work_ms, int64_t elapsed_ms); /* work that a restart has not to do
                                                                                    again */
int64_t pace_done_ms(const struct pace *, int64_t work_ms, int64_t elapsed_ms);  /* work done, saved or not */

#endif
