/* queue.h - who waits, and who goes first.
 *
 * Order: on demand before spot; those whose patience is over, in the order in which they came; then by priority, by
 * fair share, and by coming.
 *
 * Jobs that ask for the same are one demand: if one of them has no room now, none has, so a scheduler looks at
 * demands and not at jobs. Within a demand each owner has a lane at each priority, in the order of coming. An owner's
 * usage only grows, so the key that a lane keeps is never too high: only the first lane of a demand is ever brought up
 * to date, when somebody asks for it. */
#ifndef FLEET_QUEUE_H
#define FLEET_QUEUE_H

#include "base/list.h"
#include "fleet/calendar.h"
#include "fleet/node.h"
#include "fleet/share.h"

enum { GROUPS_MOST = 5 }; /* InstanceGroups of a SageMaker job */

struct demand_group {
    int shape;
    int64_t count;
};

struct demand {
    struct demand_group groups[GROUPS_MOST];
    int group_count;
    int order[GROUPS_MOST]; /* of placing: the biggest instances first */
    int64_t runtime_class; /* all its jobs may run about as long */
    bool spot;
    uint32_t pools;
    int users; /* jobs that point to it */
    struct lane **heap; /* lanes with jobs, the first one first */
    size_t count, capacity;
    size_t at; /* in queue.active, when it has lanes */
    bool fresh; /* got a job since the last look */
    uint64_t skipped; /* the look that found that it does not go */
};

struct lane {
    struct demand *demand;
    struct owner *owner; /* NULL: whose patience is over */
    int64_t tier;
    double key; /* the owner's, when it was looked at */
    int64_t sequence; /* of the first job */
    struct list jobs;
    int64_t count;
    double fleet_ms; /* of all of them */
    size_t at; /* in the demand's heap */
};

enum job_state { JOB_WAITING, JOB_PROMISED, JOB_RUNNING, JOB_LEAVING, JOB_LOST };

struct grant {
    struct list on_node;
    struct job *job;
    struct node *node;
    int shape;
    uint64_t gpus;
    int64_t beside; /* the number of the reservation that it stands beside; 0: none */
};

struct job {
    struct list link; /* in its lane */
    struct list arrival; /* among all that wait and have patience */
    char uid[64];
    const char *account, *work;
    enum job_state state;
    struct demand *demand;
    struct lane *lane;
    struct owner *owner;
    int64_t priority, sequence, submitted_ms, started_ms, runtime_ms; /* runtime 0: until stopped */
    int64_t deadline_ms; /* leaving or promised: by when */
    bool patient;
    struct grant *grants; /* when it is not waiting */
    int64_t instances;
    double usd_hour;
    double fleet_ms; /* how long it would take the whole fleet */
    struct calendar_entry end;
};

struct queue {
    struct map *demands, *lanes;
    struct demand **active;
    size_t count, capacity;
    struct list arrivals;
    int64_t waiting;
};

struct queue *queue_new(void);
void queue_free(struct queue *); /* of jobs, only their places */

/* The demand for that, made when it is new. Each job that points to it counts: demand_drop() when it no longer does. */
struct demand *queue_demand(struct queue *, const struct demand_group *, int group_count, bool spot,
                            int64_t runtime_ms);
void demand_drop(struct queue *, struct demand *);

void queue_add(struct queue *, struct job *); /* in its place by sequence */
void queue_remove(struct queue *, struct job *);

struct job *demand_first(struct demand *); /* one that waits; not NULL */
bool lane_before(const struct lane *, const struct lane *);

/* Moves those who came before 'before_ms' and are still waiting to the front. True: somebody was. */
bool queue_lose_patience(struct queue *, int64_t before_ms);

/* Everybody's share_key() was multiplied by 'scale'. */
void queue_rescale(struct queue *, double scale);

#endif
