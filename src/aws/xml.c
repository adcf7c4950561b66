#include "aws/xml.h"

#include <assert.h>
#include <expat.h>
#include <string.h>

enum { DEEPEST = 64, NODES_MAX = 1000000 };

struct level {
    struct xml_node *node, *last_child;
};

struct reader {
    struct arena *arena;
    XML_Parser parser;
    struct level levels[DEEPEST + 1]; /* [0] holds the root */
    int depth, nodes;
    struct buf text;
    const char *why; /* we stopped the parser */
};

static void stop(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    XML_StopParser(r->parser, XML_FALSE);
}

static const char *without_prefix(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon ? colon + 1 : name;
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = data;
    struct level *parent = &r->levels[r->depth];
    struct xml_attribute **last;
    struct xml_node *node;

    if (r->depth == DEEPEST) {
        stop(r, "elements are nested too deeply");
        return;
    }
    if (++r->nodes > NODES_MAX) {
        stop(r, "there are too many elements");
        return;
    }
    if (!*without_prefix(name)) {
        stop(r, "an element has a prefix and no name");
        return;
    }
    node = arena_new_of(r->arena, struct xml_node);
    node->name = arena_strdup(r->arena, without_prefix(name));
    node->text = STR("");
    last = &node->attributes;
    for (; *attributes; attributes += 2) {
        struct xml_attribute *a = arena_new_of(r->arena, struct xml_attribute);

        a->name = arena_strdup(r->arena, attributes[0]);
        a->value = str_of(arena_strdup(r->arena, attributes[1]));
        *last = a;
        last = &a->next;
    }
    if (parent->last_child)
        parent->last_child->next = node;
    else
        parent->node->children = node;
    parent->last_child = node;
    r->levels[++r->depth] = (struct level){ .node = node };
    buf_clear(&r->text);
}

static void on_end(void *data, const XML_Char *name)
{
    struct reader *r = data;
    struct xml_node *node = r->levels[r->depth].node;

    if (!node->children)
        node->text = (struct str){ arena_strndup(r->arena, r->text.data, r->text.size), r->text.size };
    buf_clear(&r->text);
    r->depth--;
}

static void on_text(void *data, const XML_Char *text, int size)
{
    struct reader *r = data;

    buf_append(&r->text, text, (size_t)size);
}

static void on_doctype(void *data, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
    stop(data, "a document type is not allowed");
}

int xml_parse(struct arena *a, struct str text, struct xml_node **ret_root, struct err *err)
{
    struct xml_node top = { 0 };
    struct reader r = { .arena = a, .levels = { { .node = &top } } };
    size_t done = 0;
    int result = 0;

    r.parser = XML_ParserCreate("UTF-8");
    assert(r.parser && "out of memory");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    /* expat counts in int. */
    do {
        size_t piece = text.size - done < 1 << 30 ? text.size - done : 1 << 30;

        if (XML_Parse(r.parser, text.data + done, (int)piece, done + piece == text.size) != XML_STATUS_OK) {
            result =
                fail(err, ERR_INVALID, "%s, at line %lu", r.why ? r.why : XML_ErrorString(XML_GetErrorCode(r.parser)),
                     XML_GetCurrentLineNumber(r.parser));
            break;
        }
        done += piece;
    } while (done < text.size);
    XML_ParserFree(r.parser);
    buf_free(&r.text);
    if (result == 0)
        *ret_root = top.children;
    return result;
}

const struct xml_node *xml_child(const struct xml_node *node, const char *name)
{
    for (const struct xml_node *child = node->children; child; child = child->next)
        if (strcmp(child->name, name) == 0)
            return child;
    return NULL;
}

struct str xml_child_text(const struct xml_node *node, const char *name)
{
    const struct xml_node *child = xml_child(node, name);

    return child ? child->text : STR("");
}

void xml_declaration(struct buf *b)
{
    buf_append_str(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

static void put_escaped(struct buf *b, struct str s, bool quotes)
{
    size_t done = 0;

    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        const char *entity = c == '&'             ? "&amp;"
                             : c == '<'           ? "&lt;"
                             : c == '>'           ? "&gt;"
                             : c == '"' && quotes ? "&quot;"
                                                  : NULL;

        if (!entity && c >= ' ')
            continue;
        if (!entity && !quotes && (c == '\n' || c == '\t'))
            continue;
        buf_append(b, s.data + done, i - done);
        if (entity)
            buf_append_str(b, entity);
        else
            buf_printf(b, "&#x%X;", c);
        done = i + 1;
    }
    buf_append(b, s.data + done, s.size - done);
}

void xml_text(struct buf *b, struct str s)
{
    put_escaped(b, s, false);
}

void xml_attribute_text(struct buf *b, struct str s)
{
    put_escaped(b, s, true);
}

void xml_open(struct buf *b, const char *name, const char *name_space)
{
    buf_append_char(b, '<');
    buf_append_str(b, name);
    if (name_space) {
        buf_append_str(b, " xmlns=\"");
        xml_attribute_text(b, str_of(name_space));
        buf_append_char(b, '"');
    }
    buf_append_char(b, '>');
}

void xml_close(struct buf *b, const char *name)
{
    buf_append_str(b, "</");
    buf_append_str(b, name);
    buf_append_char(b, '>');
}

void xml_element(struct buf *b, const char *name, struct str text)
{
    xml_open(b, name, NULL);
    xml_text(b, text);
    xml_close(b, name);
}
