/* folder_test.h - a folder of the test's own, and what stands in it. Include it last. */
#ifndef TESTS_AGENT_FOLDER_TEST_H
#define TESTS_AGENT_FOLDER_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static struct arena *arena;
static char base[64];

/* With the arena; 'where' is a folder that is there. */
static inline void base_make(const char *where)
{
    arena = arena_new();
    snprintf(base, sizeof base, "%s/sagebrush-test-XXXXXX", where);
    assert_non_null(mkdtemp(base));
}

static inline void base_remove(void)
{
    struct err err;

    tree_remove(base, &err);
    arena_free(arena);
}

static inline const char *at(const char *path)
{
    return arena_printf(arena, "%s/%s", base, path);
}

static inline void make(const char *folder)
{
    struct err err;

    assert_int_equal(folder_make(at(folder), 0755, &err), 0);
}

static inline void put(const char *path, const char *text)
{
    struct err err;

    assert_int_equal(file_write_atomic(at(path), text, strlen(text), 0600, &err), 0);
}

static inline bool has(const char *path, const char *text)
{
    struct err err;
    struct str found;

    return file_read(arena, at(path), 1000, &found, &err) == 0 && strcmp(found.data, text) == 0;
}

#endif
