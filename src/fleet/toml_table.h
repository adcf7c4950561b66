/* toml_table.h - a table of a TOML file, key by key into a struct.
 *
 * Strict: a key that is not known, a unit that is missing and a number out of its bounds are errors with their line. */
#ifndef FLEET_TOML_TABLE_H
#define FLEET_TOML_TABLE_H

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct toml_reader {
    struct arena *arena;
    const char *name; /* of the file */
    struct err *err;
};

enum form { TEXT, WHOLE, NUMBER, FLAG, TIME, MEMORY, DISK, OTHER };

/* One key of a table. OTHER: it may stand there, and somebody else reads it. */
struct toml_key {
    const char *key;
    enum form form;
    size_t offset;
    double least, most; /* of numbers */
};

int toml_wrong(struct toml_reader *, const struct doc *at, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* says the file and the line of 'at'; -1 */

/* What the table (NULL: it is not there) does not name stays as it was in 'into'. */
int toml_read(struct toml_reader *, const struct doc *table, const char *what, const struct toml_key *keys, void *into);

/* The items of an array of tables: none when it is not there. */
int toml_items(struct toml_reader *, const struct doc *, const char *key, const struct doc **ret, uint32_t *ret_count);

bool toml_time(const char *text, int64_t *ret_ms); /* "90s" */

#endif
