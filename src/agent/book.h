/* book.h - what S3 has of the checkpoint folder, and what it may have: a journal that an agent can be killed over.
 *
 * Each line is written before or after what it tells of, so that whoever reads it next knows at worst too little of
 * what is there, never too much: a file is intended before it is put, noted after S3 took it, forgotten after S3
 * removed it. Threads may share a book. */
#ifndef AGENT_BOOK_H
#define AGENT_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct book;

int book_open(const char *folder, struct book **ret, struct err *err);
void book_free(struct book *); /* NULL is fine */

/* There is nothing to be known yet. */
int book_remove(const char *folder, struct err *err);

void book_intend(struct book *, const char *path);
void book_note(struct book *, const char *path, const char *mark); /* S3 has the file as it was when it had this mark */
void book_forget(struct book *, const char *path);

/* The file goes in parts that belong to this upload: without its end they lie in S3 unseen. Noting or forgetting ends
 * it. */
void book_begin_upload(struct book *, const char *path, const char *upload);

/* Those that never came to their end, NULL-terminated by path. */
struct book_upload {
    const char *path, *upload;
};
const struct book_upload *book_uploads(struct book *, struct arena *);

/* Somebody was writing to the file with this inode: what is there when he is killed is half a file. Noting ends it. */
void book_torn(struct book *, const char *path, int64_t inode);

/* Whoever writes is killed from now on. */
void book_kill(struct book *);
bool book_killed(const struct book *);

/* Nothing is synchronized any more: the folder may be removed, and that says nothing about S3. */
int book_close(struct book *, struct err *err);
bool book_closed(const struct book *);

struct book_entry {
    const char *mark;   /* "": S3 may have something of this name, or nothing */
    int64_t torn_inode; /* 0: none */
};

bool book_find(struct book *, struct arena *, const char *path, struct book_entry *ret);

/* The paths of all entries that S3 has or may have, NULL-terminated. */
const char **book_paths(struct book *, struct arena *);

#endif
