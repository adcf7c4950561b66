/* recordio.c - recordio-protobuf, read and written by hand: six fields of protobuf need no generator. */
#include "algo/recordio.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAGIC 0xced7230au

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Field numbers of aialgs.data */
enum {
    RECORD_FEATURES = 1,
    RECORD_LABEL = 2,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    VALUE_FLOAT32 = 2,
    VALUE_FLOAT64 = 3,
    VALUE_INT32 = 7,
    TENSOR_VALUES = 1,
    TENSOR_KEYS = 2,
    TENSOR_SHAPE = 3
};

struct tensor {
    int kind;            /* VALUE_FLOAT32, ...; 0: none */
    struct str body;     /* the tensor's message */
    size_t values, keys; /* how many */
    uint64_t width;      /* shape[0], or 0 */
};

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t whole;   /* VARINT and the fixed ones */
    struct str bytes; /* BYTES */
};

static bool next_varint(struct str *s, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 10 && s->size; i++) {
        unsigned char c = (unsigned char)*s->data;

        s->data++, s->size--;
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static uint64_t little(const char *p, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = size; i-- > 0;)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static bool next_field(struct str *s, struct field *ret)
{
    uint64_t tag, size;

    if (!next_varint(s, &tag))
        return false;
    *ret = (struct field){ .number = tag >> 3, .wire = (enum wire)(tag & 7) };
    switch (tag & 7) {
    case VARINT:
        return next_varint(s, &ret->whole);
    case FIXED64:
    case FIXED32:
        size = (tag & 7) == FIXED64 ? 8 : 4;
        if (s->size < size)
            return false;
        ret->whole = little(s->data, (unsigned)size);
        ret->bytes = (struct str){ s->data, size };
        s->data += size, s->size -= size;
        return true;
    case BYTES:
        if (!next_varint(s, &size) || size > s->size)
            return false;
        ret->bytes = (struct str){ s->data, size };
        s->data += size, s->size -= size;
        return true;
    default:
        return false; /* groups are not in this schema */
    }
}

static void count_whole(uint64_t v, size_t *count, uint64_t *first)
{
    if (*first == 0)
        *first = v;
    ++*count;
}

/* The whole numbers of a field, packed or alone. */
static bool count_wholes(const struct field *f, size_t *count, uint64_t *first)
{
    struct str in = f->bytes;
    uint64_t v;

    if (f->wire == VARINT) {
        count_whole(f->whole, count, first);
        return true;
    }
    if (f->wire != BYTES)
        return false;
    while (in.size) {
        if (!next_varint(&in, &v))
            return false;
        count_whole(v, count, first);
    }
    return true;
}

/* Counts what a tensor's message holds. Lists come packed or one by one, and may come in pieces. */
static bool measure(struct tensor *t)
{
    struct str s = t->body;
    unsigned width = t->kind == VALUE_FLOAT64 ? 8 : 4;
    uint64_t ignored = 1;
    size_t dimensions = 0;
    struct field f;

    while (s.size) {
        if (!next_field(&s, &f))
            return false;
        if (f.number == TENSOR_VALUES && t->kind != VALUE_INT32) {
            if (f.wire == VARINT || f.bytes.size % width)
                return false;
            t->values += f.bytes.size / width;
        } else if ((f.number == TENSOR_VALUES && !count_wholes(&f, &t->values, &ignored)) ||
                   (f.number == TENSOR_KEYS && !count_wholes(&f, &t->keys, &ignored)) ||
                   (f.number == TENSOR_SHAPE && !count_wholes(&f, &dimensions, &t->width))) {
            return false;
        }
    }
    return true;
}

/* The values as floats; ret has room for t->values of them. The message was measured, so it is well formed. */
static void read_values(const struct tensor *t, float *ret)
{
    struct str s = t->body, in;
    struct field f;
    uint64_t v;

    while (s.size && next_field(&s, &f)) {
        if (f.number != TENSOR_VALUES)
            continue;
        if (t->kind == VALUE_INT32) {
            if (f.wire == VARINT)
                *ret++ = (float)(int32_t)f.whole;
            else
                for (in = f.bytes; in.size && next_varint(&in, &v);)
                    *ret++ = (float)(int32_t)v;
        } else if (t->kind == VALUE_FLOAT64) {
            for (size_t i = 0; i < f.bytes.size; i += 8) {
                uint64_t bits = little(f.bytes.data + i, 8);
                double d;

                memcpy(&d, &bits, 8);
                *ret++ = (float)d;
            }
        } else {
            for (size_t i = 0; i < f.bytes.size; i += 4) {
                uint32_t bits = (uint32_t)little(f.bytes.data + i, 4);

                memcpy(ret++, &bits, 4);
            }
        }
    }
}

static bool read_keys(const struct tensor *t, uint32_t *ret, uint64_t *ret_width)
{
    struct str s = t->body, in;
    struct field f;
    uint64_t v, width = t->width;

    while (s.size && next_field(&s, &f)) {
        if (f.number != TENSOR_KEYS)
            continue;
        in = f.wire == BYTES ? f.bytes : (struct str){ 0 };
        for (bool single = f.wire == VARINT; single || in.size; single = false) {
            if (single)
                v = f.whole;
            else if (!next_varint(&in, &v))
                return false;
            if (v >= INT32_MAX)
                return false;
            if (v >= width)
                width = v + 1;
            *ret++ = (uint32_t)v;
        }
    }
    if (width > INT32_MAX)
        return false;
    *ret_width = width;
    return true;
}

/* The tensor under the name "values" of one entry of a map; the last one counts, as protobuf has it. */
static bool read_entry(struct str s, struct tensor *ret)
{
    struct str key = { 0 }, value = { 0 };
    struct field f;

    while (s.size) {
        if (!next_field(&s, &f))
            return false;
        if (f.wire == BYTES && f.number == ENTRY_KEY)
            key = f.bytes;
        else if (f.wire == BYTES && f.number == ENTRY_VALUE)
            value = f.bytes;
    }
    if (!str_is(key, "values"))
        return true;
    *ret = (struct tensor){ 0 };
    while (value.size) {
        if (!next_field(&value, &f))
            return false;
        if (f.wire == BYTES && (f.number == VALUE_FLOAT32 || f.number == VALUE_FLOAT64 || f.number == VALUE_INT32))
            *ret = (struct tensor){ .kind = (int)f.number, .body = f.bytes };
    }
    return measure(ret);
}

static const char *read_record(struct str s, const struct recordio_options *o, struct matrix *m)
{
    struct tensor features = { 0 }, label = { 0 };
    struct field f;
    uint64_t width;

    while (s.size) {
        if (!next_field(&s, &f))
            return "is no valid protobuf message";
        if (f.wire == BYTES && f.number == RECORD_FEATURES && !read_entry(f.bytes, &features))
            return "has features that are no valid tensor";
        if (f.wire == BYTES && f.number == RECORD_LABEL && !read_entry(f.bytes, &label))
            return "has a label that is no valid tensor";
    }
    if (!features.kind)
        return "has no feature tensor named 'values'";
    bool sparse = features.keys > 0 || (features.values == 0 && features.width > 0);
    if (m->rows == 0)
        m->sparse = sparse;
    else if (m->sparse != sparse)
        return sparse ? "is sparse, the records before it are dense" : "is dense, the records before it are sparse";
    if (!sparse && features.values == 0)
        return "has no feature values";
    if (!sparse && m->rows && features.values != m->columns)
        return "has another number of features than the records before it";
    if (sparse && features.keys != features.values)
        return "does not have one key for each value";
    if (o->labeled && label.values != 1)
        return label.values ? "has more than one label value" : "has no label";

    if (!sparse)
        m->columns = features.values;
    matrix_reserve(m, 1, o->labeled, false, false);
    if (sparse) {
        size_t at = m->row_start[m->rows];

        matrix_reserve_values(m, features.values);
        if (!read_keys(&features, m->column + at, &width))
            return "has a key that is no column number";
        if (width > m->columns)
            m->columns = width;
        read_values(&features, m->values + at);
        m->row_start[m->rows + 1] = at + features.values;
    } else {
        read_values(&features, m->values + m->rows * m->columns);
    }
    if (o->labeled)
        read_values(&label, m->labels + m->rows);
    m->rows++;
    return NULL;
}

int recordio_parse(struct str bytes, const struct recordio_options *o, struct matrix *m, struct err *err)
{
    size_t rows_before = m->rows, number = 0, at = 0;
    const char *in_file = o->name ? " of file " : "", *name = o->name ? o->name : "";

    while (at < bytes.size) {
        const char *wrong = NULL;
        uint64_t size = 0, padded = 0;

        number++;
        if (bytes.size - at < 8)
            wrong = "is cut off in its header";
        else if (little(bytes.data + at, 4) != MAGIC)
            wrong = "does not start with the RecordIO magic number";
        else {
            size = little(bytes.data + at + 4, 4) & 0x1fffffff; /* the three high bits are flags of split records */
            padded = (size + 3) & ~(uint64_t)3;
            if (little(bytes.data + at + 4, 4) >> 29)
                wrong = "is a part of a split record, which is not supported";
            else if (size > bytes.size - at - 8)
                wrong = "is cut off";
            else
                wrong = read_record((struct str){ bytes.data + at + 8, size }, o, m);
        }
        if (wrong) {
            m->rows = rows_before;
            return fail(err, ERR_INVALID, "record %zu%s%s %s", number, in_file, name, wrong);
        }
        at += 8 + (padded < bytes.size - at - 8 ? padded : bytes.size - at - 8);
    }
    return 0;
}

static void put_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_append_char(b, (char)(v | 0x80));
    buf_append_char(b, (char)v);
}

static void put_bytes(struct buf *b, unsigned field, const void *data, size_t size)
{
    put_varint(b, field << 3 | BYTES);
    put_varint(b, size);
    buf_append(b, data, size);
}

static void put_little32(struct buf *b, uint32_t v)
{
    char c[4] = { (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24) };

    buf_append(b, c, 4);
}

void recordio_print(struct buf *b, const struct recordio_label *labels, size_t count)
{
    _cleanup_buf_ struct buf record = { 0 }, entry = { 0 }, value = { 0 }, tensor = { 0 }, floats = { 0 };

    for (size_t l = 0; l < count; l++) {
        buf_clear(&entry), buf_clear(&value), buf_clear(&tensor), buf_clear(&floats);
        for (size_t i = 0; i < labels[l].count; i++) {
            uint32_t bits;

            memcpy(&bits, &labels[l].values[i], 4);
            put_little32(&floats, bits);
        }
        put_bytes(&tensor, TENSOR_VALUES, floats.data, floats.size);
        put_bytes(&value, VALUE_FLOAT32, tensor.data, tensor.size);
        put_bytes(&entry, ENTRY_KEY, labels[l].name, strlen(labels[l].name));
        put_bytes(&entry, ENTRY_VALUE, value.data, value.size);
        put_bytes(&record, RECORD_LABEL, entry.data, entry.size);
    }
    put_little32(b, MAGIC);
    put_little32(b, (uint32_t)record.size);
    buf_append(b, record.data, record.size);
    for (size_t size = record.size; size % 4; size++)
        buf_append_char(b, 0);
}
