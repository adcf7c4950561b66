#include "services/events/operator.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

int pattern_wrong(struct err *err, const char *why)
{
    return fail_code(err, ERR_INVALID, "InvalidEventPatternException", "Event pattern is not valid. Reason: %s", why);
}

static bool is_number(const struct doc *d)
{
    return d->type == DOC_INTEGER || d->type == DOC_REAL;
}

static double number_of(const struct doc *d)
{
    return d->type == DOC_INTEGER ? (double)d->integer : d->real;
}

bool pattern_value_is(const struct doc *a, const struct doc *b)
{
    if (is_number(a) && is_number(b))
        return number_of(a) == number_of(b);
    return doc_equal(a, b);
}

static int rank_of(const struct doc *d)
{
    return is_number(d) ? -1 : (int)d->type;
}

int pattern_value_compare(const struct doc *a, const struct doc *b)
{
    int order;

    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    if (is_number(a))
        return (number_of(a) > number_of(b)) - (number_of(a) < number_of(b));
    if (a->type == DOC_BOOLEAN)
        return a->boolean - b->boolean;
    if (a->type != DOC_STRING)
        return 0;
    order = memcmp(a->text.data, b->text.data, a->text.size < b->text.size ? a->text.size : b->text.size);
    return order ? order : (a->text.size > b->text.size) - (a->text.size < b->text.size);
}

/* --- Texts --- */

static bool has_prefix(struct str text, struct str prefix)
{
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static bool has_suffix(struct str text, struct str suffix)
{
    return text.size >= suffix.size && memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0;
}

static bool is_same_nocase(struct str text, struct str other)
{
    return text.size == other.size && strncasecmp(text.data, other.data, text.size) == 0;
}

static struct str str_of_buf(const struct buf *b)
{
    return (struct str){ b->data ? b->data : "", b->size };
}

static struct str str_from(struct str s, size_t size)
{
    return (struct str){ s.data + size, s.size - size };
}

/* One character of a wildcard; '\' takes '*' and '\' for themselves. */
static bool next_of(struct str *glob, char *ret)
{
    bool escaped = glob->size > 1 && glob->data[0] == '\\';

    *ret = glob->data[escaped];
    glob->data += 1 + escaped;
    glob->size -= 1u + escaped;
    return !escaped && *ret == '*';
}

/* What stands before the next star, which is taken, too; false: there is no further one. */
static bool next_literal(struct str *glob, struct buf *ret)
{
    char c;

    buf_clear(ret);
    while (glob->size) {
        if (next_of(glob, &c))
            return true;
        buf_append_char(ret, c);
    }
    return false;
}

/* Between two stars the first place where it fits is as good as any: the time grows with the text, and not with text
 * times pattern, which whoever sends events could choose. */
static bool fits_wildcard(struct str text, struct str glob)
{
    _cleanup_buf_ struct buf b = { 0 };
    bool star = next_literal(&glob, &b);
    struct str literal = str_of_buf(&b);

    if (!has_prefix(text, literal))
        return false;
    text = str_from(text, literal.size);
    if (!star)
        return text.size == 0;
    while (next_literal(&glob, &b)) {
        const char *at;

        literal = str_of_buf(&b);
        at = memmem(text.data, text.size, literal.data, literal.size);
        if (!at)
            return false;
        text = str_from(text, (size_t)(at - text.data) + literal.size);
    }
    return has_suffix(text, str_of_buf(&b));
}

/* --- Operators over texts: of their own, and inside anything-but --- */

static int check_text(const struct doc *operand, const char *name, struct err *err)
{
    static const struct { const char *name, *why; } texts[] = {
        { "prefix", "prefix match pattern must be a string" },
        { "suffix", "suffix match pattern must be a string" },
        { "equals-ignore-case", "equals-ignore-case match pattern must be a string" },
        { "wildcard", "wildcard match pattern must be a string" },
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].name, name) == 0 && operand->type != DOC_STRING)
            return pattern_wrong(err, texts[i].why);
    return 0;
}

static int check_wildcard(const struct doc *operand, const char *name, struct err *err)
{
    struct str glob;
    bool before = false;
    char c;

    if (check_text(operand, name, err) < 0)
        return -1;
    for (glob = operand->text; glob.size;) {
        bool star = next_of(&glob, &c);

        if (star && before)
            return pattern_wrong(err, "Consecutive wildcard characters");
        before = star;
    }
    return 0;
}

/* {"prefix": {"equals-ignore-case": "x"}} */
static const struct doc *without_case(const struct doc *operand)
{
    const struct doc *inner = operand->type == DOC_MAP && operand->count == 1
                                  ? doc_get(operand, "equals-ignore-case") : NULL;

    return inner && inner->type == DOC_STRING ? inner : NULL;
}

static int check_end(const struct doc *operand, const char *name, struct err *err)
{
    return without_case(operand) ? 0 : check_text(operand, name, err);
}

static bool fits_prefix(const struct doc *operand, const struct doc *value)
{
    const struct doc *inner = without_case(operand);

    if (value->type != DOC_STRING)
        return false;
    if (!inner)
        return has_prefix(value->text, operand->text);
    return value->text.size >= inner->text.size &&
           is_same_nocase((struct str){ value->text.data, inner->text.size }, inner->text);
}

static bool fits_suffix(const struct doc *operand, const struct doc *value)
{
    const struct doc *inner = without_case(operand);
    size_t skipped;

    if (value->type != DOC_STRING)
        return false;
    if (!inner)
        return has_suffix(value->text, operand->text);
    if (value->text.size < inner->text.size)
        return false;
    skipped = value->text.size - inner->text.size;
    return is_same_nocase((struct str){ value->text.data + skipped, inner->text.size }, inner->text);
}

static bool fits_nocase(const struct doc *operand, const struct doc *value)
{
    return value->type == DOC_STRING && is_same_nocase(value->text, operand->text);
}

static bool fits_glob(const struct doc *operand, const struct doc *value)
{
    return value->type == DOC_STRING && fits_wildcard(value->text, operand->text);
}

/* --- The other operators --- */

/* The operator inside {"anything-but": {"prefix": ...}}; NULL: there is none. */
static const struct event_operator *negated(const struct doc *operand)
{
    const struct event_operator *o = operand->type == DOC_MAP && operand->count == 1
                                   ? event_operator(operand->members[0].key) : NULL;

    return o && o->negated_too ? o : NULL;
}

static int check_anything_but(const struct doc *operand, const char *name, struct err *err)
{
    const struct event_operator *o = negated(operand);
    const struct doc *inner = o ? operand->members[0].value : NULL;

    if (operand->type == DOC_STRING || is_number(operand))
        return 0;
    if (o && inner->type == DOC_LIST && inner->count) {
        for (uint32_t i = 0; i < inner->count; i++)
            if (o->check(inner->items[i], o->name, err) < 0)
                return -1;
        return 0;
    }
    if (o)
        return o->check(inner, o->name, err);
    if (operand->type != DOC_LIST || !operand->count)
        return pattern_wrong(err, "Value of anything-but must be an array or single string/number value.");
    for (uint32_t i = 0; i < operand->count; i++)
        if (operand->items[i]->type != DOC_STRING && !is_number(operand->items[i]))
            return pattern_wrong(err, "Inside anything but list, start|null|boolean is not supported.");
    return 0;
}

static bool fits_anything_but(const struct doc *operand, const struct doc *value)
{
    const struct event_operator *o = negated(operand);
    const struct doc *inner = o ? operand->members[0].value : operand;

    if (inner->type != DOC_LIST)
        return !(o ? o->fits(inner, value) : pattern_value_is(inner, value));
    for (uint32_t i = 0; i < inner->count; i++)
        if (o ? o->fits(inner->items[i], value) : pattern_value_is(inner->items[i], value))
            return false;
    return true;
}

static const struct {
    const char *name;
    bool less, equal, greater; /* what a value may be to the bound */
} comparisons[] = {
    { "<", true, false, false },  { "<=", true, true, false }, { "=", false, true, false },
    { ">=", false, true, true },  { ">", false, false, true },
};
enum { COMPARISONS = sizeof comparisons / sizeof *comparisons };

static int comparison_of(const struct doc *d)
{
    for (int i = 0; i < COMPARISONS; i++)
        if (strcmp(comparisons[i].name, doc_value_text(d)) == 0)
            return i;
    return -1;
}

/* ["=", 5], [">", 0, "<=", 10] */
static int check_numeric(const struct doc *operand, const char *name, struct err *err)
{
    if (operand->type != DOC_LIST || (operand->count != 2 && operand->count != 4))
        return pattern_wrong(err, "Value of numeric must be an array of one or two comparisons.");
    for (uint32_t i = 0; i < operand->count; i += 2) {
        if (comparison_of(operand->items[i]) < 0)
            return pattern_wrong(err, "Invalid member in numeric match: an operator must be one of <, <=, =, >=, >.");
        if (!is_number(operand->items[i + 1]))
            return pattern_wrong(err, "Value of an operator of numeric must be numeric.");
    }
    return 0;
}

static bool fits_numeric(const struct doc *operand, const struct doc *value)
{
    if (!is_number(value))
        return false;
    for (uint32_t i = 0; i < operand->count; i += 2) {
        int c = comparison_of(operand->items[i]);
        double bound = number_of(operand->items[i + 1]), v = number_of(value);

        if (!(v < bound ? comparisons[c].less : v > bound ? comparisons[c].greater : comparisons[c].equal))
            return false;
    }
    return true;
}

static int check_exists(const struct doc *operand, const char *name, struct err *err)
{
    return operand->type == DOC_BOOLEAN ? 0 : pattern_wrong(err, "exists match pattern must be either true or false.");
}

/* There is a value to ask about; what is not there is asked in fits_list(). */
static bool fits_exists(const struct doc *operand, const struct doc *value)
{
    return operand->boolean;
}

struct network {
    int family;
    unsigned char bytes[16];
    int64_t bits;
};

static bool read_address(struct str text, struct network *ret)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    ret->family = memchr(text.data, ':', text.size) ? AF_INET6 : AF_INET;
    ret->bits = ret->family == AF_INET ? 32 : 128;
    return inet_pton(ret->family, copy, ret->bytes) == 1;
}

static bool read_network(struct str text, struct network *ret)
{
    struct str address, bits;
    int64_t most;

    if (!str_cut(text, '/', &address, &bits) || !read_address(address, ret))
        return false;
    most = ret->bits;
    return str_to_int64(bits, &ret->bits) && ret->bits >= 0 && ret->bits <= most;
}

static int check_cidr(const struct doc *operand, const char *name, struct err *err)
{
    struct network n;

    if (operand->type != DOC_STRING || !read_network(operand->text, &n))
        return pattern_wrong(err, "Malformed CIDR, one '/' required");
    return 0;
}

static bool fits_cidr(const struct doc *operand, const struct doc *value)
{
    struct network n, v;

    if (value->type != DOC_STRING || !read_network(operand->text, &n) || !read_address(value->text, &v) ||
        n.family != v.family)
        return false;
    for (int64_t i = 0; i < n.bits; i++)
        if ((n.bytes[i / 8] ^ v.bytes[i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

static const struct event_operator operators[] = {
    { "anything-but", check_anything_but, fits_anything_but, false },
    { "cidr", check_cidr, fits_cidr, false },
    { "equals-ignore-case", check_text, fits_nocase, true },
    { "exists", check_exists, fits_exists, false },
    { "numeric", check_numeric, fits_numeric, false },
    { "prefix", check_end, fits_prefix, true },
    { "suffix", check_end, fits_suffix, true },
    { "wildcard", check_wildcard, fits_glob, true },
};

const struct event_operator *event_operator(const char *name)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].name, name) == 0)
            return &operators[i];
    return NULL;
}
