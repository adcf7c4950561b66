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

int csv_parse(struct str text, const struct csv_options *o, struct matrix *m, struct err *err)
{
    const char *p = text.data, *end = p + text.size;
    size_t lead = (size_t)o->labeled + (size_t)o->weighted, line_number = 0, rows_before = m->rows, width;
    char delimiter = o->delimiter;

    if (text.size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3; /* spreadsheets put a byte order mark there */
    while (p < end && (*p == '\n' || *p == '\r'))
        line_number += *p++ == '\n';
    if (p == end)
        return 0;
    const char *first_end = line_end(p, end);
    if (!delimiter)
        delimiter = csv_delimiter((struct str){ p, (size_t)(first_end - p) });
    width = count_columns(p, first_end, delimiter);
    if (width <= lead)
        return fail(err, ERR_INVALID, "Could not determine delimiter on line %.*s:\n%s",
                    (int)(first_end - p > 50 ? 50 : first_end - p), p, "the line has no column besides the label");
    if (m->rows && m->columns != width - lead)
        return fail(err, ERR_INVALID, "file '%s' has %zu feature columns, the files before it have %zu",
                    o->name ? o->name : "", width - lead, m->columns);
    m->columns = width - lead;

    /* One count of the line breaks is cheaper than growing the matrix a dozen times. */
    size_t lines = 1;
    for (const char *at = p; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        lines++;
    matrix_reserve(m, lines, o->labeled, o->weighted, false);

    while (p < end) {
        const char *line = p, *stop = line_end(p, end);
        float *row = m->values + m->rows * m->columns, value;
        size_t column = 0;

        line_number++;
        if (skip_blank(p, stop, delimiter) == stop && (stop == p || width > 1)) {
            p = stop + 1; /* an empty line */
            continue;
        }
        if (stop > p && stop[-1] == '\r')
            stop--;
        for (;; column++) {
            const char *cell = p, *after = number_parse(p, stop, &value);

            if (!after || (after < stop && *after != delimiter)) {
                if (!parse_cell(cell, stop, delimiter, &after, &value)) {
                    m->rows = rows_before;
                    return refuse_cell(o, line, stop, cell, line_number, column, delimiter, err);
                }
            }
            if (column >= lead) {
                if (column < width)
                    row[column - lead] = value;
            } else if (column == 0 && o->labeled) {
                m->labels[m->rows] = value;
                if (isnan(value)) {
                    m->rows = rows_before;
                    return fail(err, ERR_INVALID,
                                "line %zu of file '%s' has no label: the first column must be a number", line_number,
                                o->name ? o->name : "");
                }
            } else {
                m->weights[m->rows] = value;
            }
            p = after;
            if (p >= stop)
                break;
            p++; /* the delimiter; after the last one an empty cell follows */
        }
        if (column + 1 != width) {
            m->rows = rows_before;
            return fail(err, ERR_INVALID, "line %zu%s%s%s has %zu columns, the first line has %zu", line_number,
                        o->name ? " of file '" : "", o->name ? o->name : "", o->name ? "'" : "", column + 1, width);
        }
        m->rows++;
        p = stop < end && *stop == '\r' ? stop + 2 : stop + 1;
    }
    return 0;
}
