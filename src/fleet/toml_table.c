/* toml_table.c - a table of a TOML file, key by key into a struct. */
#include "fleet/toml_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "doc/toml.h"

int toml_wrong(struct toml_reader *r, const struct doc *at, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(r->err, ERR_INVALID, "%s:%d: %s", r->name, toml_line(at), arena_vprintf(r->arena, format, arguments));
    va_end(arguments);
    return -1;
}

/* A quantity with its unit: "90s", "1.5TiB". The result is in the unit whose scale is 1. */
struct unit {
    const char *name;
    double scale;
};

static const struct unit time_units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600e3 }, { "d", 86400e3 }, {},
};
static const struct unit memory_units[] = {
    { "MiB", 1 }, { "GiB", 1024 }, { "TiB", 1024 * 1024 }, { "MB", 1e6 / 1048576 }, { "GB", 1e9 / 1048576 },
    { "TB", 1e12 / 1048576 }, {},
};
static const struct unit disk_units[] = {
    { "GB", 1e9 / 1048576 }, { "TB", 1e12 / 1048576 }, { "GiB", 1024 }, { "TiB", 1024 * 1024 }, {},
};

static bool quantity(const char *text, const struct unit *units, int64_t *ret)
{
    size_t size = strspn(text, "0123456789.");
    double value;

    if (!str_to_double((struct str){ text, size }, &value))
        return false;
    for (; units->name; units++)
        if (strcmp(units->name, text + size) == 0 && value * units->scale < 1e15) {
            *ret = (int64_t)(value * units->scale + 1e-6); /* down: four quarters are no more than the whole */
            return true;
        }
    return false;
}

bool toml_time(const char *text, int64_t *ret_ms)
{
    return quantity(text, time_units, ret_ms);
}

static const char *const forms[] = {
    [TEXT] = "a text in quotes",
    [WHOLE] = "a whole number",
    [NUMBER] = "a number",
    [FLAG] = "true or false",
    [TIME] = "a time with its unit, like \"90s\", \"5m\", \"2h\" or \"7d\"",
    [MEMORY] = "a size with its unit, like \"512MiB\" or \"64GiB\"",
    [DISK] = "a size with its unit, like \"500GB\" or \"2TB\"",
};

static const struct unit *const units_of[] = {
    [TIME] = time_units, [MEMORY] = memory_units, [DISK] = disk_units, [OTHER] = NULL,
};

static bool take(const struct toml_key *f, const struct doc *value, void *into)
{
    void *at = (char *)into + f->offset;

    switch (f->form) {
    case TEXT:
        *(const char **)at = doc_value_text(value);
        return value->type == DOC_STRING;
    case WHOLE:
        *(int64_t *)at = value->integer;
        return value->type == DOC_INTEGER;
    case NUMBER:
        *(double *)at = value->type == DOC_INTEGER ? (double)value->integer : value->real;
        return value->type == DOC_INTEGER || value->type == DOC_REAL;
    case FLAG:
        *(bool *)at = value->boolean;
        return value->type == DOC_BOOLEAN;
    case OTHER:
        return true;
    default:
        return value->type == DOC_STRING && quantity(value->text.data, units_of[f->form], at);
    }
}

static bool within(const struct toml_key *f, const void *from)
{
    const void *at = (const char *)from + f->offset;

    if (f->least == f->most)
        return true;
    if (f->form == NUMBER)
        return *(const double *)at >= f->least && *(const double *)at <= f->most;
    return (double)*(const int64_t *)at >= f->least && (double)*(const int64_t *)at <= f->most;
}

/* A bound as it may be written: "24h" is told as "1d". */
static const char *bound(struct toml_reader *r, const struct toml_key *f, double value)
{
    const struct unit *units = units_of[f->form], *best = units;

    if (!units)
        return f->form == NUMBER ? arena_printf(r->arena, "%g", value)
                                 : arena_printf(r->arena, "%" PRId64, (int64_t)value);
    for (; units->name; units++)
        if (units->scale >= best->scale && value >= units->scale && fmod(value, units->scale) == 0)
            best = units;
    return arena_printf(r->arena, "%" PRId64 "%s", (int64_t)(value / best->scale), best->name);
}

static const char *keys_of(struct toml_reader *r, const struct toml_key *f)
{
    const char *all = f->key;

    for (f++; f->key; f++)
        all = arena_printf(r->arena, "%s, %s", all, f->key);
    return all;
}

int toml_read(struct toml_reader *r, const struct doc *table, const char *what, const struct toml_key *fields,
              void *into)
{
    if (!table)
        return 0;
    if (table->type != DOC_MAP)
        return toml_wrong(r, table, "%s is a table; write [%s] and its keys on lines of their own", what, what);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct doc *value = table->members[i].value;
        const char *key = table->members[i].key;
        const struct toml_key *f = fields;

        while (f->key && strcmp(f->key, key) != 0)
            f++;
        if (!f->key)
            return toml_wrong(r, value, "%s has no key %s; there are %s", what, key, keys_of(r, fields));
        if (!take(f, value, into))
            return toml_wrong(r, value, "%s of %s is %s", key, what, forms[f->form]);
        if (!within(f, into))
            return toml_wrong(r, value, "%s of %s goes from %s to %s", key, what, bound(r, f, f->least),
                              bound(r, f, f->most));
    }
    return 0;
}

int toml_items(struct toml_reader *r, const struct doc *d, const char *key, const struct doc **ret, uint32_t *ret_count)
{
    static const struct doc none = { .type = DOC_LIST };

    *ret = doc_get(d, key);
    if (!*ret)
        *ret = &none;
    *ret_count = (*ret)->count;
    if ((*ret)->type != DOC_LIST)
        return toml_wrong(r, *ret, "%s is an array of tables; write [[%s]] with two brackets", key, key);
    for (uint32_t i = 0; i < *ret_count; i++)
        if ((*ret)->items[i]->type != DOC_MAP)
            return toml_wrong(r, (*ret)->items[i], "each item of %s is a table", key);
    return 0;
}
