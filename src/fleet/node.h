/* node.h - the nodes of a fleet, and which of them have room for what.
 *
 * A shape is an instance type as it is asked for: on demand or spot, with a volume, on nodes with certain labels. Nodes
 * that are alike and have the same left stand on one shelf, and a shelf knows how many instances of each shape a node
 * of it takes: so the room in the whole fleet is one number that is always up to date, and a node is found by looking
 * at shelves, of which there are few however many nodes there are.
 *
 * There are two sets of shelves: by what is LEFT, and by what is FIRM, left if all spot work went. */
#ifndef FLEET_NODE_H
#define FLEET_NODE_H

#include "base/list.h"
#include "base/map.h"
#include "fleet/capacity.h"

enum side { LEFT, FIRM, SIDES };
enum node_state { NODE_IN_USE, NODE_SPARE, NODE_CORDONED, NODE_FAILED };

struct shelf;
struct reserved;

struct node {
    const char *name;
    int kind;
    enum node_state state;
    bool lemon; /* failed too often of late: used last */
    double strikes; /* failures, fading */
    int64_t struck_ms;
    struct capacity room[SIDES]; /* negative while spot work that was told to go still runs */
    uint64_t gpus_taken, gpus_out; /* by index: held; given to nobody */
    int64_t gpus_idle[SIDES]; /* of those given to nobody, that nobody holds */
    struct list grants; /* instances on it */
    struct reserved *reserved; /* held for the head of the queue, and on no shelf */
    bool aside; /* on no shelf while places elsewhere are looked for */
    struct {
        struct list link;
        struct shelf *shelf;
    } on[SIDES];
    uint64_t stamp; /* of the plan that 'then' belongs to */
    struct capacity then;
};

struct kind {
    int pool;
    struct capacity has;
    const char *gpu, *labels;
    int64_t count; /* without spares */
};

struct shape {
    struct fleet_type type; /* needs: with its volume, where a node counts disk */
    int64_t volume_gb;
    const char *labels; /* that a node must have; NULL in nodes.shapes, where others may have led to the same */
    bool spot;
    bool *fits; /* by kind */
    int64_t most; /* instances that the whole fleet has room for when it is empty */
    uint32_t pools; /* bit by bit, where it fits */
    double usd_hour;
};

struct shelf {
    struct kind_room {
        int64_t kind, lemon;
        struct capacity room;
    } key;
    struct list nodes;
    int64_t count;
    size_t at; /* in shelves.all */
    int32_t *slots; /* by shape: instances that one node of it takes */
};

struct shelves {
    struct map *by_room;
    struct shelf **all;
    size_t count, capacity;
    int64_t *slots; /* by shape: instances that all nodes together take */
};

struct nodes {
    const struct fleet *fleet;
    struct arena *arena;
    struct node *all;
    int64_t count;
    struct map *by_name, *shape_by_fit, *shape_by_words;
    struct kind *kinds;
    int kind_count;
    struct shape *shapes;
    int shape_count, shape_capacity;
    struct shelves shelves[SIDES];
    uint64_t stamp;
};

struct nodes *nodes_new(const struct fleet *); /* the fleet outlives them */
void nodes_free(struct nodes *);               /* NULL is fine */

struct node *nodes_find(const struct nodes *, const char *name); /* NULL: there is none */

/* An instance as it is asked for. */
struct ask {
    const char *type;
    bool spot;
    const char *labels;
    int64_t volume_gb;
};

/* What such instances are to these nodes, in the arena; ERR_INVALID: nobody knows the type. */
int nodes_measure(const struct nodes *, struct arena *, const struct ask *, struct shape *ret, struct err *err);

/* The number of the shape, the same for all labels that let it stand on the same nodes, and for volumes that are about
 * as large; -1: no node can ever hold it. So there are no more than the types and the nodes of the fleet make, whatever
 * people ask for. */
int nodes_shape(struct nodes *, const struct ask *, int *ret, struct err *err);

/* How near nodes of the kind come to holding an instance of the shape when they are empty. */
enum fit {
    FIT_LABELS, /* they lack labels */
    FIT_NO_GPUS,
    FIT_MARKET, /* their pool takes spot work only, or none */
    FIT_POOL,   /* their pool does not accept the type */
    FIT_GPU,    /* their GPUs are others */
    FIT_SIZE,   /* they have less than it needs */
    FIT_DISK,   /* the same, of disk alone */
    FIT_WELL,
};
enum fit kind_fit(const struct nodes *, const struct kind *, const struct shape *);

/* Instances of the shape that the nodes on the shelves take. */
static inline int64_t nodes_slots(const struct nodes *n, enum side side, int shape)
{
    return n->shelves[side].slots[shape];
}

int64_t node_slots(const struct nodes *, const struct node *, const struct capacity *room, int shape);

/* The shelf whose nodes the shape fills best: no lemons, no GPUs lying idle beside it, least left over. NULL: no
 * room. */
struct shelf *nodes_best(const struct nodes *, enum side, int shape);

void node_take(struct nodes *, struct node *, int shape); /* room for one instance */
void node_give(struct nodes *, struct node *, int shape);

/* After its state, its lemon or its reservation changed. */
void node_shelve(struct nodes *, struct node *);

/* So many of its GPUs are given to nobody, and held by nobody. */
void node_idle_gpus(struct nodes *, struct node *, enum side side, int64_t idle);

/* 'count' free GPUs by index, lowest first. */
uint64_t node_gpus(const struct nodes *, const struct node *, int64_t count);

#endif
