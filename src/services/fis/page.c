#include "services/fis/page.h"

#include <inttypes.h>

enum { PAGE = 100 };

int fis_page(struct call *c, const char *member, const struct doc *all, struct err *err)
{
    const char *token = doc_text(c->input, "nextToken");
    int64_t limit = doc_int(c->input, "maxResults", PAGE), at = 0;
    struct doc *page = doc_list(c->arena);

    if (*token && (!str_to_int64(str_of(token), &at) || at < 0))
        return fail_code(err, ERR_INVALID, "ValidationException", "The nextToken is not one that this list gave.");
    for (; at < all->count && page->count < limit; at++)
        doc_append(c->arena, page, all->items[at]);
    doc_set(c->arena, c->output, member, page);
    if (at < all->count)
        doc_set_string(c->arena, c->output, "nextToken", arena_printf(c->arena, "%" PRId64, at));
    return 0;
}
