/* doc.h - documents: what a request, a row or a report says, in one canonical form whatever protocol brought it.
 *
 * A document is a tree of values. Canonical means: a time is a DOC_INTEGER of milliseconds since 1970, a blob is
 * DOC_BYTES (base64 when printed as JSON), an integer keeps all of its 64 bits, a member that was not sent is not
 * there. Everything lives in an arena; a value is never changed once it is shared, except through the map or list
 * that was just made.
 *
 * Paths are "ResourceConfig.InstanceCount" and "InputDataConfig[0].ChannelName". A key that holds a dot cannot be
 * reached by a path: use doc_get. */
#ifndef DOC_DOC_H
#define DOC_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum doc_type { DOC_NULL, DOC_BOOLEAN, DOC_INTEGER, DOC_REAL, DOC_STRING, DOC_BYTES, DOC_LIST, DOC_MAP };

struct doc {
    enum doc_type type;
    uint32_t count, capacity; /* of a list's or a map's items */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct str text;        /* DOC_STRING and DOC_BYTES; a NUL follows the bytes */
        struct doc **items;     /* DOC_LIST */
        struct doc_item *members; /* DOC_MAP, in the order they were set */
    };
};

struct doc_item {
    const char *key;
    struct doc *value;
};

/* Making. Strings are copied into the arena. */
struct doc *doc_null(struct arena *);
struct doc *doc_boolean(struct arena *, bool);
struct doc *doc_integer(struct arena *, int64_t);
struct doc *doc_real(struct arena *, double);
struct doc *doc_string(struct arena *, const char *); /* NULL gives "" */
struct doc *doc_str(struct arena *, struct str);
struct doc *doc_bytes(struct arena *, struct str);
struct doc *doc_list(struct arena *);
struct doc *doc_map(struct arena *);
struct doc *doc_copy(struct arena *, const struct doc *); /* deep */

/* Changing what was just made. doc_set replaces a member of that name; value NULL removes it. */
void doc_append(struct arena *, struct doc *list, struct doc *value);
void doc_set(struct arena *, struct doc *map, const char *key, struct doc *value);
void doc_set_string(struct arena *, struct doc *map, const char *key, const char *value); /* NULL removes */
void doc_set_integer(struct arena *, struct doc *map, const char *key, int64_t value);
void doc_set_real(struct arena *, struct doc *map, const char *key, double value);
void doc_set_boolean(struct arena *, struct doc *map, const char *key, bool value);

/* The member of that type, for changing: an empty list or map is made where there is none. */
struct doc *doc_member(struct arena *, struct doc *map, const char *key, enum doc_type list_or_map);

/* Every member of 'from' is set in 'into' (values are shared, not copied). */
void doc_merge(struct arena *, struct doc *into, const struct doc *from);

/* For parsers: appends without looking for a member of that name and without copying the key; then, once, of two
 * members with one name the earlier goes. */
void doc_append_member(struct arena *, struct doc *map, const char *key, struct doc *value);
void doc_drop_repeated(struct arena *, struct doc *map);

/* Reading. A NULL document has no members; a value of another type reads as not there. */
const struct doc *doc_get(const struct doc *map, const char *key);        /* one member, dots and all */
const struct doc *doc_at(const struct doc *, const char *path);           /* NULL: not there */
bool doc_has(const struct doc *, const char *path);                       /* there and not null */
bool doc_is(const struct doc *, const char *path, const char *text);
const char *doc_text(const struct doc *, const char *path);               /* "" when not there */
const char *doc_text_or(const struct doc *, const char *path, const char *otherwise);
int64_t doc_int(const struct doc *, const char *path, int64_t otherwise); /* a whole REAL reads as an integer */
double doc_number(const struct doc *, const char *path, double otherwise);
bool doc_bool(const struct doc *, const char *path, bool otherwise);
size_t doc_count(const struct doc *, const char *path);                   /* of a list's items, 0 of all else */
size_t doc_member_count(const struct doc *, const char *path);            /* of a map's */

/* The value itself, for items of a list. */
const char *doc_value_text(const struct doc *); /* "" when it is no string */

bool doc_equal(const struct doc *, const struct doc *); /* maps in any order; 1 and 1.0 differ */

/* A view: the few members that a function reads, by path, into a struct. */
enum doc_field_type { DOC_FIELD_END, DOC_FIELD_TEXT, DOC_FIELD_INT, DOC_FIELD_NUMBER, DOC_FIELD_BOOL, DOC_FIELD_DOC };

struct doc_field {
    const char *path;
    enum doc_field_type type;
    size_t offset;
};

#define DOC_TEXT(type, member, path)   { path, DOC_FIELD_TEXT, offsetof(type, member) }   /* const char *, "" */
#define DOC_INT(type, member, path)    { path, DOC_FIELD_INT, offsetof(type, member) }    /* int64_t, 0 */
#define DOC_NUMBER(type, member, path) { path, DOC_FIELD_NUMBER, offsetof(type, member) } /* double, 0 */
#define DOC_BOOL(type, member, path)   { path, DOC_FIELD_BOOL, offsetof(type, member) }   /* bool, false */
#define DOC_DOC(type, member, path)    { path, DOC_FIELD_DOC, offsetof(type, member) }    /* const struct doc *, NULL */

/* What is not in the document leaves what the struct held: fill in defaults first. */
void doc_read(const struct doc *, const struct doc_field *, void *into);

#endif
