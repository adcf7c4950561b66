/* links: base doc sign net aws run agent */
/* The journal of checkpoints, as a killed agent may have left it: whatever it holds, it tells the same twice. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/book.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

static struct book *open_book(void)
{
    struct book *b;
    struct err err;

    if (book_open(folder, &b, &err) < 0)
        abort();
    return b;
}

static void check_same(struct arena *a, struct book *b, struct book *c)
{
    const char **paths = book_paths(b, a), **again = book_paths(c, a);
    size_t count = 0;

    assert(book_killed(b) == book_killed(c) && book_closed(b) == book_closed(c));
    for (; paths[count]; count++) {
        struct book_entry x, y;

        if (!book_find(b, a, paths[count], &x) || !book_find(c, a, paths[count], &y))
            abort();
        assert(strcmp(x.mark, y.mark) == 0 && x.torn_inode == y.torn_inode);
    }
    while (*again)
        again++, count--;
    assert(count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct book *b, *c;
    struct err err;

    if (strstr(folder, "XXXXXX")) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    if (file_write_atomic(arena_printf(a, "%s/checkpoints.log", folder), data, size, 0600, &err) < 0)
        abort();
    b = open_book();
    c = open_book(); /* which replaces the file */
    check_same(a, b, c);
    book_free(b);
    b = c;
    book_intend(b, "a/b c");
    book_note(b, "a/b c", "1.2");
    book_torn(b, "d", 7);
    book_begin_upload(b, "e f", "id%20");
    c = open_book();
    check_same(a, b, c);
    book_free(c);
    book_free(b);
    return 0;
}
