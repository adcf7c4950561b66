/* last_words.h - what a container that ended left to say: /opt/ml/output, and the end of its log. */
#ifndef AGENT_LAST_WORDS_H
#define AGENT_LAST_WORDS_H

#include "base/arena.h"
#include "base/err.h"

struct last_words {
    const char *folder;      /* of the agent: its log is there */
    const char *ml;          /* /opt/ml as seen from here */
    const char *reason_file; /* below output/ */
};

/* What it wrote to its reason file, or the cause in the last lines of its log; "" for neither. */
const char *last_words(struct arena *, const struct last_words *);

/* The first kilobyte of output/message, cut where a character ends; "" for none. ERR_INVALID: it is no text. */
int last_words_message(struct arena *, const struct last_words *, const char **ret, struct err *err);

#endif
