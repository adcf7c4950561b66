/* pinger.h - asks a container for /ping, one question at a time. */
#ifndef AGENT_PINGER_H
#define AGENT_PINGER_H

#include "agent/world.h"
#include "net/loop.h"

struct pinger;

struct pinger *pinger_new(struct loop *, void (*answered)(void *data), void *data);
void pinger_free(struct pinger *); /* NULL is fine */

/* Asks; busy already: nothing. The address is the same each time. */
void pinger_ask(struct pinger *, const char *address, int port);

enum ping pinger_answer(struct pinger *);       /* the last one; PING_NONE after it was read */
const char *pinger_words(const struct pinger *); /* why the last one was bad */

#endif
