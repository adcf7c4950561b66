/* str.h - a slice of bytes that somebody else owns, and the text arithmetic the house shares. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"

struct str {
    const char *data; /* not NUL-terminated */
    size_t size;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).size, (s).data

/* Here so that a literal's size is known to the compiler: most comparisons are over when the sizes were compared. */
static inline struct str str_of(const char *text) /* NULL gives an empty one */
{
    return (struct str){ text ? text : "", text ? strlen(text) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool str_is(struct str s, const char *text)
{
    return str_eq(s, (struct str){ text, strlen(text) });
}

static inline bool str_is_nocase(struct str s, const char *text) /* ASCII */
{
    return s.size == strlen(text) && (s.size == 0 || strncasecmp(s.data, text, s.size) == 0);
}

bool str_starts(struct str, const char *prefix);
bool str_ends(struct str, const char *suffix);
struct str str_trim(struct str);                 /* spaces, tabs, CR, LF at both ends */
bool str_cut(struct str from, char at, struct str *ret_before, struct str *ret_after); /* false: no such byte */
char *str_dup(struct arena *, struct str);
int str_compare(struct str, struct str); /* by unsigned bytes, a prefix first */

bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
void text_make_plain(char *text); /* UTF-8 that no terminal obeys: of control characters each byte becomes a space */

/* Whole-string conversions: true only if every byte belongs to the number and it fits. */
bool str_to_int64(struct str, int64_t *ret);
bool str_to_double(struct str, double *ret); /* the C locale's form; no hex, no "inf", no "nan" */

/* Lower-case hex. ret has room for 2 * size + 1 bytes. */
void hex_encode(char *ret, const void *data, size_t size);
bool hex_decode(void *ret, struct str hex); /* false: odd length or not hex; ret has room for size / 2 */

/* RFC 4648 base64 with padding; decoding ignores nothing. */
char *base64_encode(struct arena *, const void *data, size_t size);
bool base64_decode(struct arena *, struct str, struct str *ret);

/* RFC 3986 percent-encoding of everything but A-Z a-z 0-9 - _ . ~ (and '/' when slash_kept). Decoding leaves a
 * malformed escape as it stands; '+' is a space only when plus_is_space. */
void uri_encode(struct buf *, struct str, bool slash_kept);
struct str uri_decode(struct arena *, struct str, bool plus_is_space);
bool uri_escapes_good(struct str); /* two hex digits behind each '%' */

bool utf8_valid(struct str);
struct str utf8_first(struct str, size_t most); /* at most so many bytes of it, cut where a character ends */

#endif
