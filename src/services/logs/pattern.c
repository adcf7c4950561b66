#include "services/logs/pattern.h"

#include <string.h>

enum mode { MUST, MAY, MUST_NOT };

struct term {
    struct term *next;
    enum mode mode;
    struct str text;
};

struct log_pattern {
    struct term *terms;
    bool has_may;
};

static struct str take_word(struct str *rest)
{
    size_t n = 0;

    while (n < rest->size && rest->data[n] != ' ' && rest->data[n] != '\t')
        n++;
    *rest = (struct str){ rest->data + n, rest->size - n };
    return (struct str){ rest->data - n, n };
}

/* After the opening quote; a backslash makes the next byte plain. */
static int take_quoted(struct arena *a, struct str *rest, struct str *ret, struct err *err)
{
    char *text = arena_alloc(a, rest->size + 1), *out = text;
    size_t i = 0;

    for (; i < rest->size && rest->data[i] != '"'; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->size)
            i++;
        *out++ = rest->data[i];
    }
    if (i >= rest->size)
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "Invalid filter pattern: a quote is not closed");
    *rest = (struct str){ rest->data + i + 1, rest->size - i - 1 };
    *ret = (struct str){ text, (size_t)(out - text) };
    return 0;
}

int log_pattern_parse(struct arena *a, struct str text, struct log_pattern **ret, struct err *err)
{
    struct log_pattern *p = arena_new_of(a, struct log_pattern);
    struct str rest = str_trim(text);

    if (rest.size && (rest.data[0] == '{' || rest.data[0] == '['))
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "Invalid filter pattern: patterns over JSON and over columns are not here yet; use terms.");
    for (; rest.size; rest = str_trim(rest)) {
        struct term *t = arena_new_of(a, struct term);

        if (rest.data[0] == '?' || rest.data[0] == '-') {
            t->mode = rest.data[0] == '?' ? MAY : MUST_NOT;
            rest = (struct str){ rest.data + 1, rest.size - 1 };
        }
        if (rest.size && rest.data[0] == '"') {
            rest = (struct str){ rest.data + 1, rest.size - 1 };
            if (take_quoted(a, &rest, &t->text, err) < 0)
                return -1;
        } else {
            t->text = take_word(&rest);
        }
        if (!t->text.size)
            continue;
        p->has_may = p->has_may || t->mode == MAY;
        t->next = p->terms;
        p->terms = t;
    }
    *ret = p;
    return 0;
}

bool log_pattern_matches(const struct log_pattern *p, struct str message)
{
    bool may = !p->has_may;

    for (const struct term *t = p->terms; t; t = t->next) {
        bool found = memmem(message.data, message.size, t->text.data, t->text.size) != NULL;

        if ((t->mode == MUST && !found) || (t->mode == MUST_NOT && found))
            return false;
        may = may || (t->mode == MAY && found);
    }
    return may;
}
