/* world.h - what a story of the Slurm driver is made of: jobs with their instances, a controller, a server, dice. */
#ifndef SIM_SLURM_WORLD_H
#define SIM_SLURM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "doc/doc.h"
#include "run/runtime.h"

enum { JOBS = 4, MATES = 3, SUBMISSIONS = 400 };

/* Faults, each on in half of the stories. */
enum fault {
    F_AWAY = 1 << 0,    /* the controller answers nobody for a while */
    F_LOST = 1 << 1,    /* a command fails, and did what it was to do */
    F_FORGET = 1 << 2,  /* the controller has lost what it saved */
    F_NODE = 1 << 3,    /* nodes fail */
    F_TAKE = 1 << 4,    /* jobs are preempted */
    F_OTHERS = 1 << 5,  /* somebody cancels, or the time is over */
    F_AGENT = 1 << 6,   /* agents are killed */
    F_MUTE = 1 << 7,    /* agents end without a word */
    F_DEATH = 1 << 8,   /* the server is killed, at any step */
    F_REFUSE = 1 << 9,
    F_USER = 1 << 10,   /* users stop their jobs; drills take instances back */
    F_SLOW = 1 << 11,   /* commands take long */
    F_DISK = 1 << 12,   /* a folder cannot be read or written now */
    F_CORDON = 1 << 13, /* nodes are avoided that are the only ones */
    F_RACE = 1 << 14,   /* things happen while the server looks */
    F_ALL = (1 << 15) - 1,
};

struct report {
    const char *phase, *outcome; /* "": none yet */
};

/* Why it is to end; "": it is not. */
struct stop {
    const char *reason;
};

/* An instance: its folder on the server, and its agent wherever it is. */
struct mate {
    char name[24];
    struct job *job;
    const struct doc *order; /* NULL: there is no folder */
    struct report report;
    struct stop stop;
    const struct doc *notes; /* the driver's own; NULL: none */
    bool forgotten;

    bool lives;              /* an agent works on it */
    bool seen_alive;         /* when the driver looked */
    struct report said;      /* by the agent; on another machine the server hears of it later */
    struct stop heard;
    struct submission *in;   /* the last that had an agent of it */
    int64_t died_ms;

    bool seen;               /* by the server, as it has saved */
    const char *saved;       /* the outcome; NULL: not ended */
};

struct job {
    int index, count;
    struct mate mates[MATES];
    bool created, over, done;
    bool stopped, taken;     /* by the user; by a drill */
    bool lost;               /* its row: each of its instances is stopped and forgotten for itself */
    bool refused;            /* Slurm will never have it */
    int mute;                /* so many times its agents end without a word */
    bool submitted;          /* Slurm has or had one */
    bool orphaned;           /* and may have two */
    int wordless;            /* endings without a word, that the server has seen */
};

enum state { PENDING, RUNNING, COMPLETED, FAILED, NODE_FAIL, PREEMPTED, CANCELLED, TIMEOUT };
enum task { TASK_WAITS, TASK_RUNS, TASK_DONE, TASK_FAILED };

/* A job as Slurm knows it. */
struct submission {
    int number;
    struct job *job;
    enum state state;
    bool known;              /* the controller remembers it */
    bool completing;         /* its nodes clean up: that hides how it ended */
    bool mute, counted;
    bool orphan;             /* of a command that outlived its server: nobody waits for it */
    bool shown, told;        /* that it has ended: by the last squeue; to the server */
    int64_t submitted_ms, ended_ms, kill_ms;
    enum task tasks[MATES];
    int kills[MATES];
};

struct world {
    uint64_t seed;
    bool verbose, calm;
    unsigned faults;
    struct rand dice;
    int64_t now_ms;
    struct arena *arena;
    bool remote;             /* agents are on other machines */
    struct job jobs[JOBS];

    struct submission submissions[SUBMISSIONS];
    int submission_count, number;
    int64_t away_until_ms, min_age_ms;
    bool cordoned;
    struct job *orphan;      /* that an sbatch without a server will submit; NULL: there is none */
    int64_t orphan_ms;

    struct runtime *runtime; /* NULL: the server is dead */
    bool dying;
    bool busy;               /* it does one thing at a time: no machine but its own talks to it */
    bool answered;           /* the last squeue did, as the server was told */
    bool had_answered;       /* when it began to look at an instance */
    int eager;               /* how often it was asked since the thread has waited, or was woken */

    long answers;
    long calls, commands, deaths, ends;
};

extern struct world w;

unsigned roll(unsigned sides);
bool chance(unsigned fault, unsigned per_mille);
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void meanwhile(void); /* between two looks at folders */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* thread.c: the one thread of the driver runs only while thread_go() does. */
void thread_go(void);
void thread_yield(void);

/* controller.c */
void controller_move(void);
bool submission_goes_on(const struct submission *); /* and is known to be */
struct submission *submission_of(const struct job *, bool (*is)(const struct submission *)); /* the youngest; NULL */

/* agents.c */
struct mate *mate_find(const char *name);
bool mate_ended(const struct mate *);
bool mate_begins(struct mate *, struct submission *, enum task *ret); /* false: not yet */
void mate_dies(struct mate *);
void mate_notice(struct mate *); /* Slurm takes it back */
void agents_move(void);

/* server.c */
void server_start(void);
void server_end(void);
void server_move(void);

#endif
