/* links: base doc store */
/* fuzz_page.c - the token of a page: the first byte chooses the list, the rest is what a client sent as NextToken.
 * Besides finding no fault, each token that is taken must be one that the store gives for that list. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *with_rows(void)
{
    struct store *s = store_new_memory();
    struct err err;

    for (int i = 0; i < 8; i++) {
        static const char *const names[] = { "a", "b c", "", "d\xc3\xa9", "e", "f", "g", "h" };
        char uid[] = "uid-0";
        struct row r = { .uid = uid, .account = "1", .region = "r", .kind = "K", .name = names[i], .created_ms = i / 2,
                         .state = i % 2 ? "On" : "Off", .next_at_ms = INT64_MAX };

        uid[4] = (char)('0' + i);
        if (store_row_insert(s, &r, &err) < 0)
            assert(!"the row fits");
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store *s;
    struct arena *a = arena_new();
    struct row_filter f = { .account = "1", .region = "r", .kind = "K", .limit = 1 };
    const char *given, *next;
    struct row *rows;
    struct err err;
    int count;

    if (!s)
        s = with_rows();
    if (size > 0) {
        f.order = (enum row_order)(data[0] & 3);
        f.descending = data[0] & 4;
        given = f.after = arena_strndup(a, (const char *)data + 1, size - 1);
        if (store_row_list(a, s, &f, &rows, &count, &next, &err) == 0) {
            bool ours = false;

            f.after = NULL;
            do {
                int got = store_row_list(a, s, &f, &rows, &count, &f.after, &err);

                assert(got == 0);
                ours = ours || (f.after && strcmp(f.after, given) == 0);
            } while (f.after);
            assert(ours);
        } else {
            assert(err.kind == ERR_INVALID);
        }
    }
    arena_free(a);
    return 0;
}
