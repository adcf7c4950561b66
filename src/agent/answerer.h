/* answerer.h - a small HTTP server inside a container: each request has one answer, made at once, and the connection is
 * over. Of too many at a time, the later ones wait. */
#ifndef AGENT_ANSWERER_H
#define AGENT_ANSWERER_H

#include "base/arena.h"
#include "net/http.h"
#include "net/loop.h"
#include "run/network.h"

struct answerer;

struct answer {
    int status;
    const char *type, *body;
};

/* 'answer' fills *ret, which it finds as a 404; what it needs lives in the arena. */
int answerer_new(struct loop *, const struct network *, const char *address, int port,
                 void (*answer)(void *data, struct arena *, const struct http_head *, struct answer *ret), void *data,
                 struct answerer **ret, struct err *err);
void answerer_free(struct answerer *); /* NULL is fine */

#endif
