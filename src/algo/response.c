/* response.c - predictions into what the client accepts.
 *
 * The text is what the container's Python prints, down to the spaces of json.dumps and str(list): clients split it with
 * what worked before. A key that the objective has not is NaN, in JSON too. */
#include "algo/response.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "algo/recordio.h"
#include "doc/json.h"

static const char *const accepted[] = {
    [ACCEPT_CSV] = "text/csv",
    [ACCEPT_JSON] = "application/json",
    [ACCEPT_JSON_LINES] = "application/jsonlines",
    [ACCEPT_RECORDIO] = "application/x-recordio-protobuf",
};
#define ACCEPTED (sizeof accepted / sizeof accepted[0])

const char *accept_content_type(enum accept accept)
{
    return accept == ACCEPT_CSV ? "text/csv; charset=utf-8" : accepted[accept];
}

static bool find_accept(struct str type, enum accept *ret)
{
    for (size_t i = 0; i < ACCEPTED; i++)
        if (str_is_nocase(type, accepted[i])) {
            *ret = (enum accept)i;
            return true;
        }
    return false;
}

int accept_parse(struct str header, const char *by_default, enum accept *ret, struct err *err)
{
    struct str rest = header;

    /* The first of a list that can be given; what comes after ';' are its parameters. */
    while (rest.size) {
        struct str one = rest, more = { 0 }, parameters;

        str_cut(rest, ',', &one, &more);
        str_cut(one, ';', &one, &parameters);
        one = str_trim(one);
        if (one.size == 0 || str_is(one, "*/*"))
            break;
        if (find_accept(one, ret))
            return 0;
        rest = more;
        if (rest.size == 0)
            return fail(err, ERR_INVALID,
                        "Accept type " STR_FMT " is not supported. Please use supported accept types: "
                        "['application/json', 'application/jsonlines', 'application/x-recordio-protobuf', "
                        "'text/csv'].",
                        STR_ARG(str_trim(header)));
    }
    if (!by_default || !*by_default)
        *ret = ACCEPT_CSV;
    else if (!find_accept(str_of(by_default), ret))
        return fail(err, ERR_INVALID,
                    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT %s is not supported. Please use supported accept "
                    "types: ['application/json', 'application/jsonlines', "
                    "'application/x-recordio-protobuf', 'text/csv'].",
                    by_default);
    return 0;
}

static void print_number(struct buf *b, double v)
{
    if (isfinite(v))
        json_print_real(b, v);
    else
        buf_append_str(b, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity"); /* as json.dumps has it */
}

static void print_numbers(struct buf *b, const float *values, size_t count)
{
    buf_append_char(b, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_str(b, ", ");
        print_number(b, (double)values[i]);
    }
    buf_append_char(b, ']');
}

static void print_score(struct buf *b, const float *row, size_t width)
{
    if (width == 1)
        print_number(b, (double)row[0]);
    else
        print_numbers(b, row, width);
}

static void print_scores(struct buf *b, enum accept accept, bool batch, const float *p, size_t rows, size_t width)
{
    switch (accept) {
    case ACCEPT_CSV:
        for (size_t r = 0; r < rows; r++) {
            if (r)
                buf_append_char(b, batch ? '\n' : ',');
            print_score(b, p + r * width, width);
        }
        if (batch)
            buf_append_char(b, '\n');
        break;
    case ACCEPT_JSON:
    case ACCEPT_JSON_LINES:
        if (accept == ACCEPT_JSON)
            buf_append_str(b, "{\"predictions\": [");
        for (size_t r = 0; r < rows; r++) {
            if (r && accept == ACCEPT_JSON)
                buf_append_str(b, ", ");
            buf_append_str(b, "{\"score\": ");
            print_score(b, p + r * width, width);
            buf_append_str(b, accept == ACCEPT_JSON ? "}" : "}\n");
        }
        if (accept == ACCEPT_JSON)
            buf_append_str(b, "]}");
        break;
    case ACCEPT_RECORDIO:
        for (size_t r = 0; r < rows; r++)
            recordio_print(b, &(struct recordio_label){ "score", p + r * width, width }, 1);
        break;
    }
}

/* Selectable output. The order of the keys in JSON is that of this list. */
enum key { PREDICTED_LABEL, LABELS, PROBABILITY, PROBABILITIES, RAW_SCORE, RAW_SCORES, PREDICTED_SCORE, KEYS };

static const char *const key_names[KEYS] = {
    "predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores", "predicted_score",
};

#define BIT(key) (1u << (key))
#define CLASSES (BIT(PREDICTED_LABEL) | BIT(LABELS) | BIT(RAW_SCORE) | BIT(RAW_SCORES))
#define CHANCES (CLASSES | BIT(PROBABILITY) | BIT(PROBABILITIES))

enum family { REGRESSION, LOGISTIC, RAW, HINGE, LARGEST, CHANCE_OF_EACH };

static const struct selectable {
    const char *objective;
    enum family family;
    unsigned keys;
} selectables[] = {
    { "reg:squarederror", REGRESSION, BIT(PREDICTED_SCORE) },
    { "reg:logistic", REGRESSION, BIT(PREDICTED_SCORE) },
    { "reg:gamma", REGRESSION, BIT(PREDICTED_SCORE) },
    { "reg:tweedie", REGRESSION, BIT(PREDICTED_SCORE) },
    { "binary:logistic", LOGISTIC, CHANCES },
    { "binary:logitraw", RAW, CLASSES },
    { "binary:hinge", HINGE, CLASSES },
    { "multi:softmax", LARGEST, CLASSES },
    { "multi:softprob", CHANCE_OF_EACH, CHANCES },
    { 0 },
};

/* A value of one key of one prediction: a number or a list of them. */
struct value {
    bool list, whole; /* whole: printed as an integer */
    double number;
    double *numbers;
    size_t count;
};

static size_t largest(const float *row, size_t width)
{
    size_t best = 0;

    for (size_t i = 1; i < width; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

static struct value list_of(double *room, size_t count)
{
    return (struct value){ .list = true, .numbers = room, .count = count };
}

/* room has place for 'classes' numbers, at least two. */
static struct value value_of(const struct selectable *s, enum key key, const float *row, size_t width, size_t classes,
                             double *room)
{
    double x = (double)row[0];

    if (!(s->keys & BIT(key)))
        return (struct value){ .number = NAN };
    switch (key) {
    case PREDICTED_LABEL:
        if (s->family == CHANCE_OF_EACH)
            return (struct value){ .whole = true, .number = (double)largest(row, width) };
        if (s->family == LOGISTIC || s->family == RAW)
            return (struct value){ .whole = true, .number = x > (s->family == LOGISTIC ? 0.5 : 0) };
        return (struct value){ .number = x };
    case LABELS: {
        struct value v = list_of(room, classes);

        v.whole = true;
        for (size_t i = 0; i < classes; i++)
            room[i] = (double)i;
        return v;
    }
    case PROBABILITIES:
    case RAW_SCORES:
        if (s->family == CHANCE_OF_EACH) {
            for (size_t i = 0; i < width; i++)
                room[i] = (double)row[i];
            return list_of(room, width);
        }
        room[0] = 1.0 - x;
        room[1] = x;
        return list_of(room, 2);
    case PROBABILITY:
    case RAW_SCORE:
        return (struct value){ .number = s->family == CHANCE_OF_EACH ? (double)row[largest(row, width)] : x };
    default:
        return (struct value){ .number = x };
    }
}

static void print_one(struct buf *b, double v, bool whole, bool csv)
{
    if (whole)
        buf_printf(b, "%.0f", v);
    else if (csv && isnan(v))
        buf_append_str(b, "nan"); /* str(), where JSON has NaN */
    else
        print_number(b, v);
}

static void print_value(struct buf *b, const struct value *v, bool csv)
{
    if (!v->list) {
        print_one(b, v->number, v->whole, csv);
        return;
    }
    buf_append_str(b, csv ? "\"[" : "[");
    for (size_t i = 0; i < v->count; i++) {
        if (i)
            buf_append_str(b, ", ");
        print_one(b, v->numbers[i], v->whole, csv);
    }
    buf_append_str(b, csv ? "]\"" : "]");
}

struct selection {
    const char *name;
    int key; /* -1: no such key, always NaN */
};

/* "predicted_label, Probability" into keys, in their order. */
static size_t parse_selection(struct arena *a, const char *text, struct selection **ret)
{
    struct str rest = str_of(text), one;
    size_t count = 1, used = 0;

    for (const char *c = text; *c; c++)
        count += *c == ',';
    *ret = arena_array_of(a, struct selection, count);
    for (bool more = true; more && used < count; used++) {
        struct str after = { 0 };

        if (!(more = str_cut(rest, ',', &one, &after)))
            one = rest;
        rest = after;
        char *name = str_dup(a, str_trim(one)), *to = name;
        for (char *c = name; *c; c++)
            if (*c != ' ')
                *to++ = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        *to = '\0';
        (*ret)[used] = (struct selection){ name, -1 };
        for (int k = 0; k < KEYS; k++)
            if (strcmp(key_names[k], name) == 0)
                (*ret)[used].key = k;
    }
    return used;
}

/* A Python dict has each key once: those the objective knows in the fixed order, then the others. */
static size_t dict_order(struct arena *a, const struct selectable *s, const struct selection *selection, size_t count,
                         struct selection **ret)
{
    size_t used = 0;

    *ret = arena_array_of(a, struct selection, count + 1);
    for (int k = 0; k < KEYS; k++)
        for (size_t i = 0; i < count; i++)
            if (selection[i].key == k && (s->keys & BIT(k))) {
                (*ret)[used++] = selection[i];
                break;
            }
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (at < used && strcmp((*ret)[at].name, selection[i].name))
            at++;
        if (at == used)
            (*ret)[used++] = selection[i];
    }
    return used;
}

/* What the user selected, as it is printed. */
struct selected {
    const struct selectable *of; /* the objective */
    const struct selection *order;
    size_t count, classes;
    double *room;
    float *floats;
    struct recordio_label *labels;
};

static struct value selected_value(const struct selected *s, size_t i, const float *row, size_t width)
{
    return s->order[i].key < 0 ? (struct value){ .number = NAN }
                               : value_of(s->of, (enum key)s->order[i].key, row, width, s->classes, s->room);
}

static void print_row_recordio(struct buf *b, const struct selected *s, const float *row, size_t width)
{
    size_t used = 0;

    for (size_t i = 0; i < s->count; i++) {
        struct value v = selected_value(s, i, row, width);

        s->labels[i] = (struct recordio_label){ s->order[i].name, s->floats + used, v.list ? v.count : 1 };
        for (size_t k = 0; k < s->labels[i].count; k++)
            s->floats[used++] = (float)(v.list ? v.numbers[k] : v.number);
    }
    recordio_print(b, s->labels, s->count);
}

static void print_row_csv(struct buf *b, const struct selected *s, const float *row, size_t width)
{
    for (size_t i = 0; i < s->count; i++) {
        struct value v = selected_value(s, i, row, width);

        if (i)
            buf_append_char(b, ',');
        print_value(b, &v, true);
    }
}

static void print_row_json(struct buf *b, const struct selected *s, const float *row, size_t width)
{
    buf_append_char(b, '{');
    for (size_t i = 0; i < s->count; i++) {
        struct value v = selected_value(s, i, row, width);

        if (i)
            buf_append_str(b, ", ");
        json_print_string(b, str_of(s->order[i].name));
        buf_append_str(b, ": ");
        print_value(b, &v, false);
    }
    buf_append_char(b, '}');
}

static int print_selected(struct buf *b, enum accept accept, const struct response_options *o, const float *p,
                          size_t rows, size_t width, struct err *err)
{
    static const struct {
        const char *before, *between, *after_each, *after;
        void (*print_row)(struct buf *, const struct selected *, const float *row, size_t width);
    } forms[] = {
        [ACCEPT_CSV] = { "", "\n", "", "", print_row_csv },
        [ACCEPT_JSON] = { "{\"predictions\": [", ", ", "", "]}", print_row_json },
        [ACCEPT_JSON_LINES] = { "", "", "\n", "", print_row_json },
        [ACCEPT_RECORDIO] = { "", "", "", "", print_row_recordio },
    };
    _cleanup_arena_ struct arena *a = arena_new();
    struct selected s = { .of = selectables, .classes = o->classes > 2 ? o->classes : 2 };
    size_t room = s.classes > width ? s.classes : width;
    struct selection *selection, *order;

    while (s.of->objective && strcmp(s.of->objective, o->objective))
        s.of++;
    if (!s.of->objective)
        return fail(err, ERR_INVALID, "Objective `%s` unsupported for selectable inference predictions.", o->objective);
    s.count = parse_selection(a, o->selected, &selection);
    if (accept == ACCEPT_CSV)
        order = selection;
    else
        s.count = dict_order(a, s.of, selection, s.count, &order);
    s.order = order;
    s.room = arena_array_of(a, double, room);
    s.floats = arena_array_of(a, float, s.count * room);
    s.labels = arena_array_of(a, struct recordio_label, s.count);
    buf_append_str(b, forms[accept].before);
    for (size_t r = 0; r < rows; r++) {
        if (r)
            buf_append_str(b, forms[accept].between);
        forms[accept].print_row(b, &s, p + r * width, width);
        buf_append_str(b, forms[accept].after_each);
    }
    buf_append_str(b, forms[accept].after);
    if (accept == ACCEPT_CSV && o->batch)
        buf_append_char(b, '\n');
    return 0;
}

int response_print(struct buf *b, enum accept accept, const struct response_options *o, const float *predictions,
                   size_t rows, size_t width, struct err *err)
{
    if (o->selected)
        return print_selected(b, accept, o, predictions, rows, width, err);
    print_scores(b, accept, o->batch, predictions, rows, width);
    return 0;
}
