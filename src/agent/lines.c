#include "agent/lines.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/order.h"
#include "aws/pattern.h"
#include "base/log.h"

bool line_next(struct str *text, bool ended, struct str *ret)
{
    const char *end =
        text->size ? memchr(text->data, '\n', text->size < LINE_MAX_BYTES ? text->size : LINE_MAX_BYTES) : NULL;
    size_t size, taken;

    if (end) {
        size = (size_t)(end - text->data);
        taken = size + 1;
    } else if (text->size >= LINE_MAX_BYTES) {
        /* Not in the middle of a character. */
        size = LINE_MAX_BYTES;
        while (size > LINE_MAX_BYTES - 4 && ((unsigned char)text->data[size - 1] & 0xc0) == 0x80)
            size--;
        if (((unsigned char)text->data[size - 1] & 0xc0) == 0xc0)
            size--;
        taken = size;
    } else if (ended && text->size) {
        size = taken = text->size;
    } else {
        return false;
    }
    *ret = (struct str){ text->data, size };
    text->data += taken;
    text->size -= taken;
    return true;
}

/* The length of the valid character at the front, 0 when there is none. */
static size_t character(const unsigned char *s, size_t size)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : (s[0] & 0xf0) == 0xe0       ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;

    return n && n <= size && utf8_valid((struct str){ (const char *)s, n }) ? n : 0;
}

void line_escape(struct buf *b, struct str line)
{
    const unsigned char *s = (const unsigned char *)line.data;

    for (size_t i = 0; i < line.size;) {
        size_t n;

        if (s[i] < ' ' || s[i] == 127) {
            buf_printf(b, "#%03o", s[i++]);
            continue;
        }
        n = character(s + i, line.size - i);
        if (n)
            buf_append(b, s + i, n);
        else
            buf_append_str(b, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
}

struct metric {
    char *name, *regex;
    struct pattern *pattern; /* compiled for the first line: dozens of them would hold up the container's start */
    bool bad;
};

struct metrics {
    struct metric *list;
    int count;
};

struct metrics *metrics_new(const struct doc *definitions)
{
    struct metrics *m = calloc(1, sizeof *m);
    size_t count = list_count(definitions);

    assert(m);
    m->list = calloc(count + 1, sizeof *m->list);
    assert(m->list);
    for (size_t i = 0; i < count; i++) {
        struct metric *one = &m->list[m->count++];

        one->name = strdup(doc_text(definitions->items[i], "name"));
        one->regex = strdup(doc_text(definitions->items[i], "regex"));
        assert(one->name && one->regex);
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->count; i++) {
        pattern_free(m->list[i].pattern);
        free(m->list[i].name);
        free(m->list[i].regex);
    }
    free(m->list);
    free(m);
}

int metrics_count(const struct metrics *m)
{
    return m->count;
}

const char *metrics_name(const struct metrics *m, int i)
{
    return m->list[i].name;
}

static const struct pattern *pattern_of(struct metric *m)
{
    _cleanup_arena_ struct arena *a = NULL;
    struct err err;

    if (m->pattern || m->bad || pattern_new(m->regex, &m->pattern, &err) == 0)
        return m->pattern;
    /* CreateTrainingJob refuses it; whoever wrote the order did not. */
    a = arena_new();
    log_warning("metric.unreadable", "name=%s why=%s", m->name, log_quote(a, err.text));
    m->bad = true;
    return NULL;
}

/* Of a progress bar, which writes over itself again and again, the state that it was left in; else the whole line. */
static struct str left_standing(struct str line)
{
    static const char carriage_return[] = "#015";
    const size_t size = strlen(carriage_return);
    const char *end = line.data + line.size;

    for (const char *at = line.data; (at = memmem(at, (size_t)(end - at), carriage_return, size)); at += size)
        if (str_trim((struct str){ at + size, (size_t)(end - at) - size }).size)
            line = (struct str){ at + size, (size_t)(end - at) - size };
    return line;
}

bool metrics_find(struct metrics *m, int i, struct str line, double *ret)
{
    struct str last = left_standing(line);
    const struct pattern *pattern = pattern_of(&m->list[i]);
    char text[64], *end;
    struct str group;
    double value;

    if (!pattern)
        return false;
    if (!pattern_find(pattern, last, &group) && (last.size == line.size || !pattern_find(pattern, line, &group)))
        return false;
    group = str_trim(group);
    if (!group.size || group.size >= sizeof text)
        return false;
    memcpy(text, group.data, group.size);
    text[group.size] = '\0';
    value = strtod(text, &end);
    if (*end || !isfinite(value))
        return false;
    *ret = value;
    return true;
}
