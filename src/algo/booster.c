/* booster.c - libxgboost behind a door. The only file that includes its header. */
#include "algo/booster.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xgboost/c_api.h>

#include "base/buf.h"
#include "base/fd.h"

struct dataset {
    DMatrixHandle handle;
};

struct booster {
    BoosterHandle handle;
};

/* libxgboost says "[01:02:03] ../src/objective/x.cc:12: Check failed: ... message\nStack trace:\n ...". The stack is
 * of no use to anybody who reads FailureReason. */
static int refuse(struct err *err)
{
    const char *text = XGBGetLastError(), *stack = strstr(text, "\nStack trace:");

    return fail(err, ERR_INVALID, "%.*s", stack ? (int)(stack - text) : (int)strlen(text), text);
}

#define CALL(call, err)                                                                                                \
    do {                                                                                                               \
        if ((call) != 0)                                                                                               \
            return refuse(err);                                                                                        \
    } while (0)

const char *booster_version(struct arena *a)
{
    int major, minor, patch;

    XGBoostVersion(&major, &minor, &patch);
    return arena_printf(a, "%d.%d.%d", major, minor, patch);
}

int dataset_new(const struct matrix *m, int threads, struct dataset **ret, struct err *err)
{
    struct dataset *d;
    DMatrixHandle handle;

    if (m->sparse) {
        static_assert(sizeof(size_t) == 8, "row starts are 64 bits");
        _cleanup_buf_ struct buf starts = { 0 }, columns = { 0 }, values = { 0 }, config = { 0 };
        size_t entries = m->row_start[m->rows];

        buf_printf(&starts, "{\"data\":[%" PRIuPTR ",true],\"shape\":[%zu],\"typestr\":\"<u8\",\"version\":3}",
                   (uintptr_t)m->row_start, m->rows + 1);
        buf_printf(&columns, "{\"data\":[%" PRIuPTR ",true],\"shape\":[%zu],\"typestr\":\"<u4\",\"version\":3}",
                   (uintptr_t)m->column, entries);
        buf_printf(&values, "{\"data\":[%" PRIuPTR ",true],\"shape\":[%zu],\"typestr\":\"<f4\",\"version\":3}",
                   (uintptr_t)m->values, entries);
        buf_printf(&config, "{\"missing\":NaN,\"nthread\":%d}", threads);
        CALL(XGDMatrixCreateFromCSR(starts.data, columns.data, values.data, m->columns, config.data, &handle), err);
    } else {
        CALL(XGDMatrixCreateFromMat_omp(m->values, m->rows, m->columns, __builtin_nanf(""), &handle, threads), err);
    }
    d = malloc(sizeof *d);
    assert(d);
    d->handle = handle;
    if ((m->labels && XGDMatrixSetFloatInfo(handle, "label", m->labels, m->rows) != 0) ||
        (m->weights && XGDMatrixSetFloatInfo(handle, "weight", m->weights, m->rows) != 0)) {
        dataset_free(d);
        return refuse(err);
    }
    if (m->queries) {
        /* Rows of one query stand together; libxgboost wants the sizes of the groups. */
        unsigned *groups = calloc(m->rows, sizeof *groups);
        size_t count = 0;

        assert(groups);
        for (size_t r = 0; r < m->rows; r++) {
            if (r == 0 || m->queries[r] != m->queries[r - 1])
                count++;
            groups[count - 1]++;
        }
        int rc = XGDMatrixSetUIntInfo(handle, "group", groups, count);
        free(groups);
        if (rc != 0) {
            dataset_free(d);
            return refuse(err);
        }
    }
    *ret = d;
    return 0;
}

int dataset_slice(const struct dataset *from, const int *rows, size_t count, struct dataset **ret, struct err *err)
{
    DMatrixHandle handle;

    CALL(XGDMatrixSliceDMatrixEx(from->handle, rows, count, &handle, 0), err);
    *ret = malloc(sizeof **ret);
    assert(*ret);
    (*ret)->handle = handle;
    return 0;
}

void dataset_free(struct dataset *d)
{
    if (!d)
        return;
    XGDMatrixFree(d->handle);
    free(d);
}

size_t dataset_rows(const struct dataset *d)
{
    bst_ulong n = 0;

    XGDMatrixNumRow(d->handle, &n);
    return n;
}

size_t dataset_columns(const struct dataset *d)
{
    bst_ulong n = 0;

    XGDMatrixNumCol(d->handle, &n);
    return n;
}

const float *dataset_labels(const struct dataset *d)
{
    const float *labels = NULL;
    bst_ulong n = 0;

    XGDMatrixGetFloatInfo(d->handle, "label", &n, &labels);
    return labels;
}

int booster_new(struct dataset *const *datasets, size_t count, struct booster **ret, struct err *err)
{
    DMatrixHandle handles[8];
    BoosterHandle handle;

    assert(count <= sizeof handles / sizeof handles[0]);
    for (size_t i = 0; i < count; i++)
        handles[i] = datasets[i]->handle;
    CALL(XGBoosterCreate(handles, count, &handle), err);
    *ret = malloc(sizeof **ret);
    assert(*ret);
    (*ret)->handle = handle;
    return 0;
}

void booster_free(struct booster *b)
{
    if (!b)
        return;
    XGBoosterFree(b->handle);
    free(b);
}

int booster_set(struct booster *b, const char *name, const char *value, struct err *err)
{
    CALL(XGBoosterSetParam(b->handle, name, value), err);
    return 0;
}

int booster_load(struct booster *b, const char *path, struct err *err)
{
    CALL(XGBoosterLoadModel(b->handle, path), err);
    return 0;
}

/* The format without a file name extension is XGBoost's own binary one: it opens in every release from 0.90 to 2. */
int booster_save(struct booster *b, const char *path, struct err *err)
{
    _cleanup_buf_ struct buf temporary = { 0 };

    /* The agent uploads what appears in a checkpoint folder, but never a name with this ending. */
    buf_printf(&temporary, "%s.sagemaker-ignore", path);
    if (XGBoosterSaveModel(b->handle, temporary.data) != 0) {
        refuse(err);
        unlink(temporary.data);
        return -1;
    }
    _cleanup_fd_ int fd = open(temporary.data, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0 || rename(temporary.data, path) < 0) {
        int failed = errno;

        unlink(temporary.data);
        return fail_errno(err, failed, "saving the model as %s", path);
    }
    return 0;
}

int booster_print(struct arena *a, struct booster *b, const char *format, struct str *ret, struct err *err)
{
    _cleanup_buf_ struct buf config = { 0 };
    const char *data;
    bst_ulong size;

    buf_printf(&config, "{\"format\":\"%s\"}", format);
    CALL(XGBoosterSaveModelToBuffer(b->handle, config.data, &size, &data), err);
    *ret = (struct str){ arena_copy(a, data, size), size };
    return 0;
}

int booster_config(struct arena *a, struct booster *b, struct str *ret, struct err *err)
{
    const char *data;
    bst_ulong size;

    CALL(XGBoosterSaveJsonConfig(b->handle, &size, &data), err);
    *ret = (struct str){ arena_copy(a, data, size), size };
    return 0;
}

int booster_rounds(struct booster *b, int *ret, struct err *err)
{
    CALL(XGBoosterBoostedRounds(b->handle, ret), err);
    return 0;
}

int booster_features(struct booster *b, size_t *ret, struct err *err)
{
    bst_ulong count;

    CALL(XGBoosterGetNumFeature(b->handle, &count), err);
    *ret = count;
    return 0;
}

int booster_keep_rounds(struct booster **b, int rounds, struct err *err)
{
    BoosterHandle kept;

    CALL(XGBoosterSlice((*b)->handle, 0, rounds, 1, &kept), err);
    XGBoosterFree((*b)->handle);
    (*b)->handle = kept;
    return 0;
}

int booster_update(struct booster *b, int iteration, struct dataset *d, struct err *err)
{
    CALL(XGBoosterUpdateOneIter(b->handle, iteration, d->handle), err);
    return 0;
}

int booster_evaluate(struct booster *b, int iteration, struct dataset *const *datasets, const char *const *names,
                     size_t count, const char **ret, struct err *err)
{
    DMatrixHandle handles[8];
    const char *labels[8];

    assert(count <= sizeof handles / sizeof handles[0]);
    for (size_t i = 0; i < count; i++) {
        handles[i] = datasets[i]->handle;
        labels[i] = names[i];
    }
    CALL(XGBoosterEvalOneIter(b->handle, iteration, handles, labels, count, ret), err);
    return 0;
}

static size_t width_of(const bst_ulong *shape, bst_ulong dimensions)
{
    size_t width = 1;

    for (bst_ulong i = 1; i < dimensions; i++)
        width *= shape[i];
    return width;
}

int booster_predict(struct booster *b, struct dataset *d, bool margin, const float **ret, size_t *ret_width,
                    struct err *err)
{
    const bst_ulong *shape;
    bst_ulong dimensions;
    _cleanup_buf_ struct buf config = { 0 };

    buf_printf(&config,
               "{\"type\":%d,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false}",
               margin ? 1 : 0);
    CALL(XGBoosterPredictFromDMatrix(b->handle, d->handle, config.data, &shape, &dimensions, ret), err);
    *ret_width = width_of(shape, dimensions);
    return 0;
}

int booster_predict_rows(struct booster *b, const float *values, size_t rows, size_t columns, bool margin,
                         const float **ret, size_t *ret_width, struct err *err)
{
    struct matrix m = { .rows = rows, .columns = columns, .values = (float *)values };
    struct dataset *d = NULL;
    int rc;

    /* By way of a data set, not in place: that takes every kind of booster, gblinear too. */
    if (dataset_new(&m, 1, &d, err) < 0)
        return -1;
    rc = booster_predict(b, d, margin, ret, ret_width, err);
    dataset_free(d);
    return rc;
}
