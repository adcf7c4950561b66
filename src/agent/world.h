/* world.h - everything the agent's logic sees and does, so that a simulation can stand in for it.
 *
 * Nothing here waits: what takes time is a task that is begun and looked at. Doing a thing twice is harmless. */
#ifndef AGENT_WORLD_H
#define AGENT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/report.h"
#include "base/arena.h"
#include "base/err.h"
#include "run/box.h"

enum task {
    TASK_CHECK,   /* is the instance fit? */
    TASK_PREPARE, /* the image, the input, the model: all that must be there before the container starts */
    TASK_SAVE,    /* the results go to S3 */
    TASK_DRAIN,   /* the log's rest goes to the server */
    TASK_COUNT,
};

/* What of the job's folders goes to S3 at its end. */
enum saving {
    SAVE_CHECKPOINTS, /* the instance is taken back: the next attempt starts from these */
    SAVE_OUTPUT,      /* and what it wrote about a failure */
    SAVE_MODEL,       /* everything */
};

enum task_state { TASK_NONE, TASK_BUSY, TASK_DONE, TASK_FAILED };

enum ping { PING_NONE, PING_BUSY, PING_HEALTHY, PING_BAD };

struct world {
    int64_t (*wall_ms)(struct world *);
    int64_t (*boot_ms)(struct world *);

    int (*look)(struct world *, struct exit_record *ret, struct err *err);
    int (*start)(struct world *, struct err *err);  /* ERR_INVALID: it can never start */
    int (*attach)(struct world *, struct err *err); /* it runs already: network and listeners, after our own restart */
    int (*kill)(struct world *, enum box_signal, struct err *err);
    int (*clear)(struct world *, struct err *err);  /* so that it can be started again */

    void (*begin)(struct world *, enum task);       /* running or done already: nothing */
    enum task_state (*task)(struct world *, enum task, struct err *err); /* TASK_FAILED: err says why */
    void (*cancel)(struct world *, enum task);

    void (*ping)(struct world *);                   /* asks the container; busy already: nothing */
    enum ping (*pinged)(struct world *);            /* the last answer; PING_NONE after it was read */
    const char *(*ping_words)(struct world *);      /* why the last one was bad: "HTTP 503", "connection refused" */
    void (*address)(struct world *, const char **ret_address, int *ret_port);

    bool (*stop_asked)(struct world *, int64_t *ret_grace_s);
    bool (*taken_back)(struct world *); /* the stop that was asked for takes the instance back: another attempt comes */
    /* Why the container must end at once, for FailureReason: it has filled its disk, its input broke off, or one of
     * its GPUs went bad; "" when it need not. */
    const char *(*overfull)(struct world *, struct arena *);
    /* Members of the report: "quiet" {since_ms, why}, it has done nothing for long; "silent", the same of its log;
     * "warned" {why}, of the instance. Each is {} when that is not so. */
    struct doc *(*signs)(struct world *, struct arena *);
    struct doc *(*saving)(struct world *, struct arena *); /* what its checkpoints cost; NULL: nothing new */
    bool (*save)(struct world *, struct report *, bool durable); /* false: the disk is full or broken, try again */
    void (*say)(struct world *, const char *line);  /* into the container's log */

    /* Facts about what ended. */
    const char *(*words)(struct world *,
                         struct arena *); /* output/failure, or the cause in the log's last lines; "" for neither */
    /* What a processing job wrote to output/message, "" for nothing. ERR_INVALID: it is no text. */
    int (*exit_message)(struct world *, struct arena *, const char **ret, struct err *err);
    bool (*out_of_memory)(struct world *);
    const char *(*model_artifacts)(struct world *);       /* after TASK_SAVE, "" for none */
    void (*to_save)(struct world *, enum saving);         /* before TASK_SAVE */
    bool (*others_saved)(struct world *); /* of one that uploads for others too: whether it has what they wrote */
    struct doc *(*final_metrics)(struct world *, struct arena *);
    bool (*undelivered)(struct world *); /* what it sent to other instances is still on its way */
    int (*tidy)(struct world *, struct err *err); /* removes container, network, folders; report and records stay */
};

#endif
