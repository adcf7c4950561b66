/* sim.h - the world of one story: a clock, dice, a store, files, agents, a data plane, and a control plane that dies.
 *
 * Everything comes from one number. The engine, the services, the pool, the routes and the simulated runtime are the
 * real ones; the rest of the world is here. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/map.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/platform.h"
#include "services/routes.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/training_interrupt.h"
#include "store/store.h"

/* Each is on in half of the stories. */
enum fault {
    F_SILENT = 1,       /* the host does not answer */
    F_START = 2,        /* a start is not answered, though it started, or did not */
    F_STOP = 4,         /* a stop or a forget is not answered, though it was done, or was not */
    F_DIE = 8,          /* the control plane dies: inside a pass, before a commit, after it */
    F_FULL = 16,        /* the disk is full for a while */
    F_CLOCK = 32,       /* the wall clock jumps */
    F_LOST = 64,        /* a host is lost with what ran on it */
    F_FAIL = 128,       /* the user's code fails */
    F_SLOW = 256,       /* what is asked to stop takes its time, and sometimes ends in another way meanwhile */
    F_POKE = 512,       /* pokes are lost */
    F_PLANE = 1024,     /* the data plane is slow to acknowledge, and keeps old requests */
    F_USER = 2048,      /* the user stops, updates and deletes */
    F_SPOT = 4096,      /* capacity is taken back from spot jobs */
    F_SICK = 8192,      /* an instance fails by itself */
    F_HANG = 16384,     /* a job does nothing any more */
    F_ALL = 32767,
};

/* The jobs of this seed process; else they train. */
#define PROCESSES (w.seed / 9 % 3 == 1)

/* A job of this seed has so many instances; every other one in its place has one. */
#define INSTANCES ((int)(w.seed / 3 % 3) + 1)

/* The machine of this seed is a fleet of several nodes; else it is one, with slots. */
#define HAS_NODES (w.seed % 7 == 3)

enum { JOBS = 4, ENDPOINTS = 2, AGENTS = 512 };

struct agent { /* as the world knows it */
    char name[64], owner[32], host[16];
    bool serves, there, stopping, ended, well, lost, sick, hung, internal;
    bool orphan; /* no row owns it */
    int starts, phase;
    int64_t started_boot_ms, ended_boot_ms; /* of the user's code */
};

/* What a user knows of something that was created. */
enum known { NOTHING, MAYBE, SURE };

struct noun {
    const struct kind *kind;
    char name[32];
    enum known exists;
    bool stop_answered, delete_answered, delete_unsure;
    char last[32]; /* state that was answered last */
    int configs;   /* of an endpoint: how many were made, for names */
    int instances;
    bool spot, patient; /* of a job: may be interrupted; waits and runs as long as it takes */
    int retries;
    bool hangs; /* it has said for how long it may do nothing */
    int keep_s; /* of a job: its instances are kept for the next one */
};

struct world {
    uint64_t seed;
    unsigned faults;
    bool calm, verbose, jumped, jump_unseen;
    struct rand dice, rand;
    struct clock clock;
    int64_t wall_ms, boot_ms;
    struct store *store;
    struct runtime *runtime;
    struct platform platform;
    struct arena *fleet_arena;
    struct fleet fleet;
    int room; /* how many instances run at one time */
    struct engine *engine; /* NULL: the control plane is down */
    int64_t down_until_boot_ms, full_until_boot_ms, next_ms;
    bool dying;            /* it is dead already, and the code only has not noticed */
    struct agent agents[AGENTS];
    int agent_count;
    struct noun jobs[JOBS], endpoints[ENDPOINTS];
    bool model_made;
    int configs_made;
    const char *template, *experiment; /* the id of the one that was started last; NULL: none */
    int experiments;
    struct map *files;      /* path -> struct buf */
    struct map *states;     /* uid -> the state that the last committed event left it in */
    int64_t events_seen;
    long passes, calls, deaths;
};

extern struct world w;

unsigned roll(unsigned sides);
bool chance(unsigned fault, unsigned per_mille);
void tell(const char *format, ...) __attribute__((format(printf, 1, 2))); /* when verbose */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* agents.c: the runtime's hooks, and what agents see happen. */
struct runtime *agents_runtime(void);
void agents_orphan(const char *work, const char *owner); /* one of a time that no row knows, as after a restore */
void agents_move(void);
struct agent *agent_find(const char *name);
void agents_lose(struct agent *); /* with its host */

/* fleet.c: the nodes. */
void fleet_begin(void);
void fleet_move(void);
void fleet_check_start(const struct agent *);
const char *fleet_node(const char *agent); /* where its order has it */

/* health.c: whether an agent that is to take a step fails or hangs instead, and what must hold of both. */
#define HANG_VARIABLE "SAGEBRUSH_HANG_AFTER"
bool health_fails(struct agent *);
bool health_hangs(struct agent *);
void health_check_stop(const struct agent *); /* it is told to stop because its job hangs */
void health_check_usage(const struct doc *interval, const struct agent *);
void health_check_bill(const struct doc *usage, const struct row *job);

/* listener.c: in every fifth story, who hears of all that training jobs become. */
#define LISTENS (w.seed % 5 == 2)
void listener_begin(void);
void listener_move(void); /* between a commit and what is written next */
void listener_check(struct arena *);

/* experiment.c: in some stories, experiments on the spot jobs. */
#define EXPERIMENTS (w.seed % 4 == 3 && !PROCESSES)
void experiment_begin(void);
void experiment_move(void);
bool experiment_settled(struct arena *);
void experiment_check(struct arena *);

/* plane.c: files in memory, and the data plane that reads them. */
void plane_begin(void);
void plane_move(void);
void plane_end(void);
bool plane_may_ask(const char *agent);        /* a request may still go to that instance */
bool plane_serves(const char *name);  /* it is known there */
int plane_instances(const char *name); /* how many a new request may go to */

/* control.c: the control plane's turns, deaths and restarts, as src/cmd/sagebrushd.c has them. */
void control_start(void);
void control_move(void);
void control_end(void);
void control_interrupt(const struct noun *);
int control_call(const char *operation, struct doc *(*input)(struct arena *, void *), void *of,
                 void (*answered)(void *, const struct doc *output, const struct err *), void *context);

/* user.c: what users ask for, and what they were told. */
void user_begin(void);
void user_move(void);
bool user_settled(void);   /* nothing is on its way */
void user_orphan(void); /* an instance that an endpoint's row of today does not know */
void user_check_all(void); /* at the end: everything answered is there, everything has ended */

#endif
