/* policy_pattern.c - the patterns of policies: stars and question marks, and variables that the request fills in. */
#include "aws/policy_impl.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* 'literal' (NULL: none) marks the bytes of the pattern that stand for themselves. Linear but for the last star, to
 * which it goes back. */
static bool match(struct str pattern, const char *literal, struct str text, bool nocase)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

    while (t < text.size) {
        bool wild = p < pattern.size && !(literal && literal[p]);

        if (wild && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.size &&
                   ((wild && pattern.data[p] == '?') || pattern.data[p] == text.data[t] ||
                    (nocase && lower(pattern.data[p]) == lower(text.data[t])))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*' && !(literal && literal[p]))
        p++;
    return p == pattern.size;
}

bool policy_matches(struct str pattern, struct str text, bool nocase)
{
    return match(pattern, NULL, text, nocase);
}

void expanded_free(struct expanded *e)
{
    buf_free(&e->text);
    buf_free(&e->literal);
}

static void expanded_add(struct expanded *e, const char *data, size_t size, bool literal)
{
    buf_append(&e->text, data, size);
    for (size_t i = 0; i < size; i++)
        buf_append_char(&e->literal, literal);
}

/* "${key}", "${key, 'otherwise'}"; "${*}", "${?}" and "${$}" are the bytes themselves. */
static bool expand_variable(struct expanded *e, struct str inside, const struct doc *context)
{
    struct str key = inside, otherwise = { 0 }, value;
    char room[32];
    bool has_otherwise = str_cut(inside, ',', &key, &otherwise);
    const struct doc *found;

    key = str_trim(key);
    if (key.size == 1 && strchr("*?$", key.data[0])) {
        expanded_add(e, key.data, 1, true);
        return true;
    }
    found = context_get(context, key);
    /* A variable has one value; a key with several is none. */
    if (found && value_text(found, room, &value)) {
        expanded_add(e, value.data, value.size, true);
        return true;
    }
    otherwise = str_trim(otherwise);
    if (!has_otherwise || otherwise.size < 2 || otherwise.data[0] != '\'' || otherwise.data[otherwise.size - 1] != '\'')
        return false;
    expanded_add(e, otherwise.data + 1, otherwise.size - 2, true);
    return true;
}

bool expanded_set(struct expanded *e, struct str pattern, const struct doc *context)
{
    buf_clear(&e->text);
    buf_clear(&e->literal);
    for (size_t i = 0; i < pattern.size;) {
        const char *end = i + 1 < pattern.size && pattern.data[i] == '$' && pattern.data[i + 1] == '{'
                              ? memchr(pattern.data + i, '}', pattern.size - i)
                              : NULL;

        if (!end) {
            expanded_add(e, pattern.data + i++, 1, false);
            continue;
        }
        if (!expand_variable(e, (struct str){ pattern.data + i + 2, (size_t)(end - pattern.data) - i - 2 }, context))
            return false;
        i = (size_t)(end - pattern.data) + 1;
    }
    return true;
}

/* Where the n-th colon is; size when there are fewer. */
static size_t colon(struct str s, int n)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] == ':' && n-- == 0)
            return i;
    return s.size;
}

/* An ARN has six parts, and no wildcard reaches over the end of one (but the last holds colons of its own). A pattern
 * with fewer ends in a "*" that stands for the rest: "arn:aws:logs:*". */
static bool match_arn(struct str pattern, const char *literal, struct str text)
{
    size_t p = 0, t = 0;

    if (colon(text, 4) == text.size)
        return match(pattern, literal, text, false);
    for (int i = 0; i < 6; i++) {
        size_t p_end = i < 5 ? colon(pattern, i) : pattern.size, t_end = i < 5 ? colon(text, i) : text.size;

        if (i < 5 && p_end == pattern.size)
            return p_end - p == 1 && pattern.data[p] == '*' && !(literal && literal[p]);
        if (!match((struct str){ pattern.data + p, p_end - p }, literal ? literal + p : NULL,
                   (struct str){ text.data + t, t_end - t }, false))
            return false;
        p = p_end + 1;
        t = t_end + 1;
    }
    return true;
}

static struct str pattern_of(const struct expanded *e)
{
    return (struct str){ e->text.data ? e->text.data : "", e->text.size };
}

bool expanded_matches(const struct expanded *e, struct str text)
{
    return match(pattern_of(e), e->literal.data, text, false);
}

bool expanded_matches_arn(const struct expanded *e, struct str text)
{
    return match_arn(pattern_of(e), e->literal.data, text);
}
