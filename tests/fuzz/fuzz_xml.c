/* links: base doc aws model sign */
#include <assert.h>
#include <stdint.h>

#include "aws/xml.h"

/* What is a name behind a prefix, as in <a:1>, need not be one without. */
static void write_node(struct arena *a, struct buf *b, const struct xml_node *node)
{
    const char *name = arena_printf(a, "p:%s", node->name);

    xml_open(b, name, NULL);
    xml_text(b, node->text);
    for (const struct xml_node *child = node->children; child; child = child->next)
        write_node(a, b, child);
    xml_close(b, name);
}

/* What was read can be written, and is XML again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf b = { 0 };
    struct xml_node *root, *again;
    struct err err;

    if (xml_parse(a, (struct str){ (const char *)data, size }, &root, &err) < 0)
        return 0;
    write_node(a, &b, root);
    assert(xml_parse(a, (struct str){ b.data, b.size }, &again, &err) == 0);
    return 0;
}
