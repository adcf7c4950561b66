/* csv.c - comma-separated values into a matrix.
 *
 * The fast path is one number and one delimiter after it; quotes, spaces and words take the slow one. */
#include "algo/csv.h"

#include <math.h>
#include <string.h>

#include "algo/number.h"

static const char *const missing_words[] = { "na", "n/a", "nan", "null", "none", "?", NULL };

/* The order is that of Python's csv.Sniffer, which the container asks. */
char csv_delimiter(struct str line)
{
    static const char candidates[] = ",\t;|: ";
    bool seen[sizeof candidates] = { 0 }, quoted = false;

    line = str_trim(line);
    for (size_t i = 0; i < line.size; i++) {
        const char *at;

        if (line.data[i] == '"')
            quoted = !quoted;
        else if (!quoted && line.data[i] && (at = strchr(candidates, line.data[i])))
            seen[at - candidates] = true;
    }
    for (size_t i = 0; candidates[i]; i++)
        if (seen[i])
            return candidates[i];
    return ',';
}

/* Where the line at p ends: at its '\n', or at the end of the text. A line break within quotes is no line's end. */
static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;

    if (!memchr(p, '"', (size_t)(stop - p)))
        return stop;
    bool quoted = false;
    for (; p < end; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == '\n' && !quoted)
            return p;
    }
    return end;
}

static const char *skip_blank(const char *p, const char *end, char delimiter)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r') && *p != delimiter)
        p++;
    return p;
}

static size_t count_columns(const char *p, const char *end, char delimiter)
{
    size_t count = 1;
    bool quoted = false;

    for (; p < end; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == delimiter && !quoted)
            count++;
    }
    return count;
}

/* Any cell, from p to its delimiter or the end of the line: false when it is neither a number nor missing. */
static bool parse_cell(const char *p, const char *end, char delimiter, const char **ret_after, float *ret)
{
    const char *stop = p;
    bool quoted = false;

    for (; stop < end && (quoted || *stop != delimiter); stop++)
        if (*stop == '"')
            quoted = !quoted;
    *ret_after = stop;

    struct str cell = str_trim((struct str){ p, (size_t)(stop - p) });
    if (cell.size >= 2 && cell.data[0] == '"' && cell.data[cell.size - 1] == '"')
        cell = str_trim((struct str){ cell.data + 1, cell.size - 2 });
    *ret = NAN;
    if (cell.size == 0)
        return true;
    const char *after = number_parse(cell.data, cell.data + cell.size, ret);
    if (after == cell.data + cell.size)
        return true;
    *ret = NAN;
    for (const char *const *w = missing_words; *w; w++)
        if (str_is_nocase(cell, *w))
            return true;
    return false;
}

static int refuse_cell(const struct csv_options *o, const char *line, const char *end, const char *cell, size_t number,
                       size_t column, char delimiter, struct err *err)
{
    size_t size = 0;
    const char *in_file = o->name ? " of file '" : "", *name = o->name ? o->name : "", *quote = o->name ? "'" : "";

    while (cell + size < end && cell[size] != delimiter && cell[size] != '\r' && size < 30)
        size++;
    if (number == 1 && o->labeled)
        /* The container's words; people look for them. */
        return fail(err, ERR_INVALID,
                    "Non-numeric value '%.*s' found in the header line '%.*s...'%s%s%s. CSV format require no header "
                    "line in it. If header line is already removed, XGBoost does not accept non-numeric value in the "
                    "data.",
                    (int)size, cell, (int)(end - line > 50 ? 50 : end - line), line, in_file, name, quote);
    return fail(err, ERR_INVALID, "line %zu%s%s%s: value '%.*s' in column %zu is not a number", number, in_file, name,
                quote, (int)size, cell, column + 1);
}

struct csv {
    const struct csv_options *options;
    struct matrix *matrix;
    char delimiter;
    size_t lead;  /* columns before the features: label, weight */
    size_t width; /* all columns */
};

/* The number in a column of the matrix's last row, which is not counted yet. */
static void put(const struct csv *c, size_t column, float value)
{
    struct matrix *m = c->matrix;

    if (column >= c->width)
        return; /* one too many, which is told when all are counted */
    if (column >= c->lead)
        m->values[m->rows * m->columns + column - c->lead] = value;
    else if (column == 0 && c->options->labeled)
        m->labels[m->rows] = value;
    else
        m->weights[m->rows] = value;
}

static int parse_row(const struct csv *c, const char *line, const char *end, size_t number, struct err *err)
{
    const struct csv_options *o = c->options;
    const char *p = line;
    size_t column = 0;
    float value;

    for (;; column++) {
        const char *cell = p, *after = number_parse(p, end, &value);

        if ((!after || (after < end && *after != c->delimiter)) &&
            !parse_cell(cell, end, c->delimiter, &after, &value))
            return refuse_cell(o, line, end, cell, number, column, c->delimiter, err);
        if (column == 0 && o->labeled && isnan(value))
            return fail(err, ERR_INVALID, "line %zu of file '%s' has no label: the first column must be a number",
                        number, o->name ? o->name : "");
        put(c, column, value);
        p = after;
        if (p >= end)
            break;
        p++; /* the delimiter; after the last one an empty cell follows */
    }
    if (column + 1 != c->width)
        return fail(err, ERR_INVALID, "line %zu%s%s%s has %zu columns, the first line has %zu", number,
                    o->name ? " of file '" : "", o->name ? o->name : "", o->name ? "'" : "", column + 1, c->width);
    return 0;
}

static size_t count_lines(const char *p, const char *end)
{
    size_t lines = 1;

    for (; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

static int parse_rows(const struct csv *c, const char *p, const char *end, size_t number, struct err *err)
{
    while (p < end) {
        const char *stop = line_end(p, end), *row_end = stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        bool empty = skip_blank(p, stop, c->delimiter) == stop && (stop == p || c->width > 1);

        number++;
        if (!empty) {
            if (parse_row(c, p, row_end, number, err) < 0)
                return -1;
            c->matrix->rows++;
        }
        p = stop + 1;
    }
    return 0;
}

int csv_parse(struct str text, const struct csv_options *o, struct matrix *m, struct err *err)
{
    const char *p = text.data, *end = p + text.size, *first_end;
    size_t number = 0, rows_before = m->rows;
    struct csv c = { .options = o, .matrix = m, .delimiter = o->delimiter,
                     .lead = (size_t)o->labeled + (size_t)o->weighted };

    if (text.size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3; /* spreadsheets put a byte order mark there */
    while (p < end && (*p == '\n' || *p == '\r'))
        number += *p++ == '\n';
    if (p == end)
        return 0;
    first_end = line_end(p, end);
    if (!c.delimiter)
        c.delimiter = csv_delimiter((struct str){ p, (size_t)(first_end - p) });
    c.width = count_columns(p, first_end, c.delimiter);
    if (c.width <= c.lead)
        return fail(err, ERR_INVALID, "Could not determine delimiter on line %.*s:\n%s",
                    (int)(first_end - p > 50 ? 50 : first_end - p), p, "the line has no column besides the label");
    if (m->rows && m->columns != c.width - c.lead)
        return fail(err, ERR_INVALID, "file '%s' has %zu feature columns, the files before it have %zu",
                    o->name ? o->name : "", c.width - c.lead, m->columns);
    m->columns = c.width - c.lead;
    /* One count of the line breaks is cheaper than growing the matrix a dozen times. */
    matrix_reserve(m, count_lines(p, end), o->labeled, o->weighted, false);
    if (parse_rows(&c, p, end, number, err) < 0) {
        m->rows = rows_before;
        return -1;
    }
    return 0;
}
