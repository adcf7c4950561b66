/* test_recordio.c - frames and tensors, byte by byte. */
#include <math.h>
#include <string.h>

#include "algo/recordio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void put(struct buf *b, unsigned field, const void *data, size_t size)
{
    buf_append_char(b, (char)(field << 3 | 2));
    buf_append_char(b, (char)size);
    buf_append(b, data, size);
}

/* One record: features and label as tensors under value field 'kind'. */
static void put_record(struct buf *out, unsigned kind, const void *values, size_t size, const char *keys,
                       size_t key_count, int shape, const float *label)
{
    _cleanup_buf_ struct buf tensor = { 0 }, value = { 0 }, entry = { 0 }, record = { 0 };
    uint32_t magic = 0xced7230a, length;

    if (size)
        put(&tensor, 1, values, size);
    if (key_count)
        put(&tensor, 2, keys, key_count);
    if (shape) {
        char c = (char)shape;
        put(&tensor, 3, &c, 1);
    }
    put(&value, kind, tensor.data, tensor.size);
    put(&entry, 1, "values", 6);
    put(&entry, 2, value.data, value.size);
    put(&record, 1, entry.data, entry.size);
    if (label) {
        buf_clear(&tensor), buf_clear(&value), buf_clear(&entry);
        put(&tensor, 1, label, 4);
        put(&value, 2, tensor.data, tensor.size);
        put(&entry, 1, "values", 6);
        put(&entry, 2, value.data, value.size);
        put(&record, 2, entry.data, entry.size);
    }
    length = (uint32_t)record.size;
    buf_append(out, &magic, 4);
    buf_append(out, &length, 4);
    buf_append(out, record.data, record.size);
    while (out->size % 4)
        buf_append_char(out, 0);
}

static const struct recordio_options file = { .name = "a.pb", .labeled = true }, request = { 0 };

static void test_dense(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    float one[] = { 1, 2.5f, -3 }, label = 1, other = 0;
    double two[] = { 4, 5, 6 };

    (void)state;
    put_record(&b, 2, one, sizeof one, NULL, 0, 0, &label);
    put_record(&b, 3, two, sizeof two, NULL, 0, 0, &other);
    put_record(&b, 7, "\x07\x08\x09", 3, NULL, 0, 0, &other);
    assert_int_equal(recordio_parse((struct str){ b.data, b.size }, &file, &m, &err), 0);
    assert_int_equal(m.rows, 3);
    assert_int_equal(m.columns, 3);
    assert_false(m.sparse);
    assert_true(m.values[1] == 2.5f && m.values[5] == 6 && m.values[6] == 7 && m.labels[0] == 1 && m.labels[2] == 0);
}

static void test_sparse(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    float values[] = { 7, 8 };

    (void)state;
    put_record(&b, 2, values, sizeof values, "\x01\x04", 2, 9, NULL);
    put_record(&b, 2, NULL, 0, NULL, 0, 9, NULL); /* a row of nothing */
    assert_int_equal(recordio_parse((struct str){ b.data, b.size }, &request, &m, &err), 0);
    assert_true(m.sparse);
    assert_int_equal(m.rows, 2);
    assert_int_equal(m.columns, 9);
    assert_int_equal(m.column[1], 4);
    assert_int_equal(m.row_start[2], 2);
}

static void test_refused(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    float one[] = { 1, 2 };

    (void)state;
    put_record(&b, 2, one, sizeof one, NULL, 0, 0, NULL);
    assert_int_equal(recordio_parse((struct str){ b.data, b.size }, &file, &m, &err), -1);
    assert_string_equal(err.text, "record 1 of file a.pb has no label");
    for (size_t cut = 1; cut < b.size; cut++) { /* cut off anywhere: an error, never a crash */
        assert_int_equal(recordio_parse((struct str){ b.data, cut }, &request, &m, &err), -1);
        assert_int_equal(m.rows, 0);
    }
    b.data[0] ^= 1;
    assert_int_equal(recordio_parse((struct str){ b.data, b.size }, &request, &m, &err), -1);
    assert_non_null(strstr(err.text, "magic"));
}

static void test_print(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    float scores[] = { 0.25f, 0.75f };

    (void)state;
    recordio_print(&b, (struct recordio_label[]){ { "score", scores, 2 } }, 1);
    assert_int_equal(b.size % 4, 0);
    assert_memory_equal(b.data, "\x0a\x23\xd7\xce", 4);
    assert_non_null(memmem(b.data, b.size, "score", 5));
    assert_non_null(memmem(b.data, b.size, scores, sizeof scores));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
