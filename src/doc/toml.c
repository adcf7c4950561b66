/* toml.c - one pass over the text, line by line; a value knows its line, so that who checks it later can say where. */
#include "doc/toml.h"

#include <stdarg.h>
#include <string.h>


enum { DEPTH_MOST = 64, SIZE_MOST = 16 << 20 };

/* Which statements may still add to a table is a rule of TOML: each table remembers what made it. */
enum maker { MADE_BY_PATH, MADE_BY_HEADER, MADE_BY_DOTS, MADE_WHOLE };

struct noted {
    struct doc doc; /* first: a doc of ours is a noted */
    int line;
    enum maker maker;
};

struct parser {
    struct arena *arena;
    const char *name;
    const char *at, *end;
    int line, depth;
    struct err *err;
};

int toml_line(const struct doc *d)
{
    return ((const struct noted *)(const void *)d)->line;
}

static int wrong(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct parser *p, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(p->err, ERR_INVALID, "%s:%d: %s", p->name, p->line, arena_vprintf(p->arena, format, arguments));
    va_end(arguments);
    return -1;
}

static struct noted *new_value(struct parser *p, enum doc_type type, enum maker maker)
{
    struct noted *n = arena_new_of(p->arena, struct noted);

    n->doc.type = type;
    n->line = p->line;
    n->maker = maker;
    return n;
}

static struct noted *noted_of(const struct doc *d)
{
    return (struct noted *)(void *)d;
}

static int peek(const struct parser *p)
{
    return p->at < p->end ? (unsigned char)*p->at : -1;
}

static bool take(struct parser *p, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(p->end - p->at) < size || memcmp(p->at, text, size) != 0)
        return false;
    p->at += size;
    return true;
}

static void skip_blanks(struct parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\t')
        p->at++;
}

static bool take_newline(struct parser *p)
{
    if (!take(p, "\n") && !take(p, "\r\n"))
        return false;
    p->line++;
    return true;
}

static bool is_control(int c)
{
    return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f;
}

static int skip_comment(struct parser *p)
{
    if (peek(p) != '#')
        return 0;
    while (p->at < p->end && *p->at != '\n' && !(*p->at == '\r' && p->end - p->at > 1 && p->at[1] == '\n')) {
        if (is_control(peek(p)))
            return wrong(p, "a control character in a comment; take it out");
        p->at++;
    }
    return 0;
}

/* Blanks, comments and line ends: between the items of an array. */
static int skip_space(struct parser *p)
{
    do {
        skip_blanks(p);
        if (skip_comment(p) < 0)
            return -1;
    } while (take_newline(p));
    return 0;
}

static int end_of_line(struct parser *p)
{
    skip_blanks(p);
    if (skip_comment(p) < 0)
        return -1;
    if (p->at == p->end || take_newline(p))
        return 0;
    return wrong(p, "there is more on the line than one statement; begin a new line, or put a # before a comment");
}

static void append_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_append_char(b, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_append_char(b, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_append_char(b, (char)(0xe0 | c >> 12));
        } else {
            buf_append_char(b, (char)(0xf0 | c >> 18));
            buf_append_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_append_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_append_char(b, (char)(0x80 | (c & 0x3f)));
}

static int unicode_escape(struct parser *p, int digits, struct buf *into)
{
    uint32_t code = 0;

    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p), lower = c | 0x20;

        if (c >= '0' && c <= '9')
            code = code << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            code = code << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return wrong(p, "\\%c needs %d hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return wrong(p, "U+%X is no character", code);
    append_utf8(into, code);
    return 0;
}

static int escape(struct parser *p, bool many_lines, struct buf *into)
{
    static const char from[] = "btnfre\"\\", to[] = "\b\t\n\f\r\033\"\\";
    int c = peek(p);
    const char *which = c > 0 ? strchr(from, c) : NULL;

    if (which && c != 'e') {
        p->at++;
        buf_append_char(into, to[which - from]);
        return 0;
    }
    if (take(p, "u"))
        return unicode_escape(p, 4, into);
    if (take(p, "U"))
        return unicode_escape(p, 8, into);
    if (many_lines) {
        const char *before = p->at;

        skip_blanks(p);
        if (take_newline(p)) {
            do
                skip_blanks(p);
            while (take_newline(p));
            return 0;
        }
        p->at = before;
    }
    return wrong(p, "after \\ comes one of b t n f r \" \\ u U; write \\\\ for the character itself, or use '...'");
}

static int string(struct parser *p, struct str *ret)
{
    _cleanup_buf_ struct buf text = { 0 };
    char quote[2] = { *p->at, 0 }, triple[4] = { *p->at, *p->at, *p->at, 0 };
    bool many_lines = take(p, triple), raw = *quote == '\'';
    int began = p->line;

    if (many_lines)
        take_newline(p);
    else
        p->at++;
    for (;;) {
        if (take(p, many_lines ? triple : quote)) {
            /* Up to two more quotes belong to the text before the three that end it. */
            for (int i = 0; many_lines && i < 2 && take(p, quote); i++)
                buf_append(&text, quote, 1);
            break;
        }
        if (p->at == p->end || (!many_lines && (peek(p) == '\n' || peek(p) == '\r'))) {
            p->line = began;
            return wrong(p, "the string that begins here has no end; add %s", many_lines ? triple : quote);
        }
        if (take_newline(p)) {
            buf_append_char(&text, '\n');
        } else if (is_control(peek(p))) {
            return wrong(p, "a control character in a string; write it as an escape, \\u%04X", peek(p));
        } else if (!raw && take(p, "\\")) {
            if (escape(p, many_lines, &text) < 0)
                return -1;
        } else {
            buf_append_char(&text, *p->at++);
        }
    }
    *ret = (struct str){ arena_strndup(p->arena, text.data ? text.data : "", text.size), text.size };
    return 0;
}

static bool is_bare(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int key(struct parser *p, const char **ret)
{
    struct str text = { p->at, 0 };

    if (peek(p) == '"' || peek(p) == '\'') {
        if (string(p, &text) < 0)
            return -1;
        if (memchr(text.data, 0, text.size))
            return wrong(p, "a key with a NUL in it");
    } else {
        while (is_bare(peek(p)))
            p->at++;
        text.size = (size_t)(p->at - text.data);
        if (text.size == 0)
            return wrong(p, "a key is missing here: letters, digits, _ and -, or any text in quotes");
    }
    *ret = arena_strndup(p->arena, text.data, text.size);
    skip_blanks(p);
    return 0;
}

/* The table 'name' within 'in', made where there is none. Of an array of tables it is the last one. */
static int enter(struct parser *p, struct noted *in, const char *name, enum maker maker, struct noted **ret)
{
    struct noted *found = noted_of(doc_get(&in->doc, name));

    if (!found) {
        found = new_value(p, DOC_MAP, maker);
        doc_append_member(p->arena, &in->doc, name, &found->doc);
    }
    if (found->doc.type == DOC_LIST && found->maker == MADE_BY_HEADER && maker != MADE_BY_DOTS)
        found = noted_of(found->doc.items[found->doc.count - 1]);
    if (found->doc.type != DOC_MAP)
        return wrong(p, "%s is no table: it was given a value in line %d", name, found->line);
    if (found->maker == MADE_WHOLE || (maker == MADE_BY_DOTS && found->maker != MADE_BY_DOTS))
        return wrong(p, "the table %s was made in line %d; say all of it there", name, found->line);
    *ret = found;
    return 0;
}

static int value(struct parser *p, struct doc **ret);

/* a.b.c = value */
static int assignment(struct parser *p, struct noted *table)
{
    const char *name;
    struct doc *d;
    const struct doc *before;

    if (key(p, &name) < 0)
        return -1;
    while (take(p, ".")) {
        skip_blanks(p);
        if (enter(p, table, name, MADE_BY_DOTS, &table) < 0 || key(p, &name) < 0)
            return -1;
    }
    if (!take(p, "="))
        return wrong(p, "after the key %s comes =", name);
    before = doc_get(&table->doc, name);
    if (before)
        return wrong(p, "%s is given twice; the first is in line %d", name, toml_line(before));
    skip_blanks(p);
    if (value(p, &d) < 0)
        return -1;
    doc_append_member(p->arena, &table->doc, name, d);
    return 0;
}

/* [a.b] or [[a.b]]: the table that the next lines fill. */
static int header(struct parser *p, struct noted *root, struct noted **ret)
{
    bool array = take(p, "[[");
    struct noted *table = root, *found;
    const char *name;

    if (!array)
        p->at++;
    skip_blanks(p);
    if (key(p, &name) < 0)
        return -1;
    while (take(p, ".")) {
        skip_blanks(p);
        if (enter(p, table, name, MADE_BY_PATH, &table) < 0 || key(p, &name) < 0)
            return -1;
    }
    if (!take(p, array ? "]]" : "]"))
        return wrong(p, "the header of a table ends with %s", array ? "]]" : "]");
    found = noted_of(doc_get(&table->doc, name));
    if (array) {
        if (!found) {
            found = new_value(p, DOC_LIST, MADE_BY_HEADER);
            doc_append_member(p->arena, &table->doc, name, &found->doc);
        }
        if (found->doc.type != DOC_LIST || found->maker != MADE_BY_HEADER)
            return wrong(p, "%s is no array of tables: line %d made it something else", name, found->line);
        *ret = new_value(p, DOC_MAP, MADE_BY_HEADER);
        doc_append(p->arena, &found->doc, &(*ret)->doc);
    } else {
        if (found && (found->doc.type != DOC_MAP || found->maker != MADE_BY_PATH))
            return wrong(p, "%s is given twice; the first is in line %d%s", name, found->line,
                         found->doc.type == DOC_LIST ? ", and its tables begin with [[ ]]" : "");
        if (enter(p, table, name, MADE_BY_HEADER, ret) < 0)
            return -1;
        (*ret)->maker = MADE_BY_HEADER;
        (*ret)->line = p->line;
    }
    return end_of_line(p);
}

static int array(struct parser *p, struct doc **ret)
{
    struct noted *list = new_value(p, DOC_LIST, MADE_WHOLE);

    p->at++;
    for (;;) {
        struct doc *item;

        if (skip_space(p) < 0)
            return -1;
        if (take(p, "]"))
            break;
        if (value(p, &item) < 0)
            return -1;
        doc_append(p->arena, &list->doc, item);
        if (skip_space(p) < 0)
            return -1;
        if (!take(p, ",") && peek(p) != ']')
            return wrong(p, "the items of an array are parted by , and it ends with ]");
    }
    *ret = &list->doc;
    return 0;
}

/* What was made inside braces is whole: nothing outside may add to it. */
static void close_tables(struct doc *d)
{
    noted_of(d)->maker = MADE_WHOLE;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->members[i].value->type == DOC_MAP)
            close_tables(d->members[i].value);
}

static int inline_table(struct parser *p, struct doc **ret)
{
    struct noted *table = new_value(p, DOC_MAP, MADE_BY_DOTS);

    p->at++;
    skip_blanks(p);
    while (!take(p, "}")) {
        if (table->doc.count > 0) {
            if (!take(p, ","))
                return wrong(p, "the members of { } stand on one line, parted by , and end with }");
            skip_blanks(p);
        }
        if (assignment(p, table) < 0)
            return -1;
        skip_blanks(p);
    }
    close_tables(&table->doc);
    *ret = &table->doc;
    return 0;
}

static bool is_digit(int c, int base)
{
    return (c >= '0' && c <= (base < 10 ? '0' + base - 1 : '9')) ||
           (base == 16 && ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'));
}

/* Digits with single _ between them; the _ are left out. */
static bool digits(struct str *from, int base, struct buf *into)
{
    size_t before = into->size;

    while (from->size > 0 && (is_digit(from->data[0], base) || from->data[0] == '_')) {
        if (from->data[0] == '_' &&
            (into->size == before || from->size < 2 || !is_digit(from->data[1], base)))
            return false;
        if (from->data[0] != '_')
            buf_append_char(into, from->data[0]);
        *from = (struct str){ from->data + 1, from->size - 1 };
    }
    return into->size > before;
}

static bool take_of(struct str *from, const char *set)
{
    if (from->size == 0 || !strchr(set, from->data[0]) || !from->data[0])
        return false;
    *from = (struct str){ from->data + 1, from->size - 1 };
    return true;
}

/* 0x 0o 0b */
static bool based(struct str text, int64_t *ret)
{
    _cleanup_buf_ struct buf kept = { 0 };
    int base = text.size < 3 || text.data[0] != '0' ? 0
               : text.data[1] == 'x'                ? 16
               : text.data[1] == 'o'                ? 8
               : text.data[1] == 'b'                ? 2
                                                    : 0;
    struct str rest = { text.data + 2, text.size - 2 };
    uint64_t sum = 0;

    if (!base || !digits(&rest, base, &kept) || rest.size > 0)
        return false;
    for (size_t i = 0; i < kept.size; i++) {
        int c = kept.data[i];
        uint64_t digit = (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);

        if (sum > ((uint64_t)INT64_MAX - digit) / (uint64_t)base)
            return false;
        sum = sum * (uint64_t)base + digit;
    }
    *ret = (int64_t)sum;
    return true;
}

static bool number(struct str text, struct doc *ret)
{
    _cleanup_buf_ struct buf kept = { 0 };
    struct str rest = text;
    bool real = false;
    size_t sign;

    if (based(text, &ret->integer)) {
        ret->type = DOC_INTEGER;
        return true;
    }
    if (rest.size > 0 && rest.data[0] == '-')
        buf_append_char(&kept, '-');
    take_of(&rest, "+-");
    sign = kept.size;
    if (!digits(&rest, 10, &kept) || (kept.size - sign > 1 && kept.data[sign] == '0'))
        return false;
    if (take_of(&rest, ".")) {
        real = true;
        buf_append_char(&kept, '.');
        if (!digits(&rest, 10, &kept))
            return false;
    }
    if (take_of(&rest, "eE")) {
        real = true;
        buf_append_char(&kept, 'e');
        if (rest.size > 0 && rest.data[0] == '-')
            buf_append_char(&kept, '-');
        take_of(&rest, "+-");
        if (!digits(&rest, 10, &kept))
            return false;
    }
    if (rest.size > 0)
        return false;
    ret->type = real ? DOC_REAL : DOC_INTEGER;
    return real ? str_to_double((struct str){ kept.data, kept.size }, &ret->real)
                : str_to_int64((struct str){ kept.data, kept.size }, &ret->integer);
}

static int word(struct parser *p, struct doc **ret)
{
    struct noted *n = new_value(p, DOC_BOOLEAN, MADE_WHOLE);
    struct str text = { p->at, 0 };

    while (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.' || peek(p) == ':')
        p->at++;
    text.size = (size_t)(p->at - text.data);
    *ret = &n->doc;
    if (str_is(text, "true") || str_is(text, "false")) {
        n->doc.boolean = str_is(text, "true");
        return 0;
    }
    if (text.size == 0)
        return wrong(p, "a value is missing here");
    if (number(text, &n->doc))
        return 0;
    if (memchr(text.data, ':', text.size) || (text.size >= 10 && text.data[4] == '-' && text.data[7] == '-'))
        return wrong(p, STR_FMT " is a date or a time, which no setting takes; write \"" STR_FMT "\" for a text",
                     STR_ARG(text), STR_ARG(text));
    return wrong(p, STR_FMT " is neither true, false nor a number that fits; put a text into quotes: \"" STR_FMT "\"",
                 STR_ARG(text), STR_ARG(text));
}

static int value(struct parser *p, struct doc **ret)
{
    int c = peek(p), result;

    if (c == '"' || c == '\'') {
        struct noted *n = new_value(p, DOC_STRING, MADE_WHOLE);

        *ret = &n->doc;
        return string(p, &n->doc.text);
    }
    if (c != '[' && c != '{')
        return word(p, ret);
    if (++p->depth > DEPTH_MOST)
        return wrong(p, "more than %d arrays and tables within each other", DEPTH_MOST);
    result = c == '[' ? array(p, ret) : inline_table(p, ret);
    p->depth--;
    return result;
}

int toml_parse(struct arena *a, const char *name, struct str text, struct doc **ret, struct err *err)
{
    struct parser p = { .arena = a, .name = name, .line = 1, .err = err };
    struct noted *root = new_value(&p, DOC_MAP, MADE_BY_HEADER), *table = root;

    if (text.size > SIZE_MOST)
        return fail(err, ERR_INVALID, "%s has %zu bytes; %d at most", name, text.size, SIZE_MOST);
    if (!utf8_valid(text))
        return fail(err, ERR_INVALID, "%s is not UTF-8 text; save it as UTF-8", name);
    p.at = text.data;
    p.end = text.data + text.size;
    take(&p, "\xef\xbb\xbf");
    for (;;) {
        if (skip_space(&p) < 0)
            return -1;
        if (p.at == p.end)
            break;
        if (peek(&p) == '[') {
            if (header(&p, root, &table) < 0)
                return -1;
        } else if (assignment(&p, table) < 0 || end_of_line(&p) < 0) {
            return -1;
        }
    }
    *ret = &root->doc;
    return 0;
}
