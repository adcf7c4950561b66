/* train.c - a training job in the container contract: read, boost, save.
 *
 * What users see in their log and what tuning jobs read is one line an iteration, on standard output:
 *     [7]<TAB>train-rmse:0.51234<TAB>validation-rmse:0.62345
 * and nothing of the model folder is written before it is whole. */
#include "algo/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "algo/channel.h"
#include "algo/container.h"
#include "algo/cross_validation.h"
#include "base/fd.h"
#include "base/str.h"

/* Both channels as one, for cross validation. */
static int join(struct matrix *into, const struct matrix *from, struct err *err)
{
    if (into->sparse != from->sparse || (!into->sparse && into->columns != from->columns) ||
        !into->weights != !from->weights || into->queries || from->queries)
        return fail(err, ERR_INVALID,
                    "The train and validation channels do not have the same form: cross validation "
                    "needs both as one data set, with the same columns and without query ids");
    matrix_reserve(into, from->rows, true, into->weights != NULL, false);
    if (into->sparse) {
        size_t base = into->row_start[into->rows], entries = from->row_start[from->rows];

        matrix_reserve_values(into, entries);
        memcpy(into->values + base, from->values, entries * sizeof *into->values);
        memcpy(into->column + base, from->column, entries * sizeof *into->column);
        for (size_t r = 1; r <= from->rows; r++)
            into->row_start[into->rows + r] = base + from->row_start[r];
        if (from->columns > into->columns)
            into->columns = from->columns;
    } else {
        memcpy(into->values + into->rows * into->columns, from->values,
               from->rows * from->columns * sizeof *into->values);
    }
    memcpy(into->labels + into->rows, from->labels, from->rows * sizeof *into->labels);
    if (into->weights)
        memcpy(into->weights + into->rows, from->weights, from->rows * sizeof *into->weights);
    into->rows += from->rows;
    return 0;
}

static int read_job(struct job *j, struct doc **ret_channels, struct err *err)
{
    struct doc *config, *resources, *checkpoint;
    const char *path = container_base();

    if (container_config(j->arena, "hyperparameters.json", &config, err) < 0 ||
        container_config(j->arena, "inputdataconfig.json", ret_channels, err) < 0 ||
        container_config(j->arena, "resourceconfig.json", &resources, err) < 0 ||
        container_config(j->arena, "checkpointconfig.json", &checkpoint, err) < 0)
        return -1;
    if (!config)
        config = doc_map(j->arena);
    if (!*ret_channels)
        return fail(err, ERR_INTERNAL, "%s/input/config/inputdataconfig.json is not there", path);
    if (hyperparameters_read(j->arena, config, &j->hp, err) < 0 || channels_check(j->arena, *ret_channels, err) < 0)
        return -1;
    if (doc_count(resources, "hosts") > 1)
        return fail(err, ERR_INVALID,
                    "Distributed training is not supported: the job has %zu hosts. Set InstanceCount to 1; "
                    "a larger instance type gives more cores.",
                    doc_count(resources, "hosts"));
    j->threads = container_cores();
    if (j->hp.thread_count && j->hp.thread_count < j->threads)
        j->threads = (int)j->hp.thread_count;
    j->model_folder = arena_printf(j->arena, "%s/model", path);
    if (*doc_text(checkpoint, "LocalPath")) {
        struct str folder = str_of(container_path(j->arena, doc_text(checkpoint, "LocalPath")));

        while (folder.size > 1 && folder.data[folder.size - 1] == '/')
            folder.size--;
        j->checkpoint_folder = str_dup(j->arena, folder);
    }
    return 0;
}

/* The channels, as many sets as there are to evaluate by. */
static int read_channels(struct job *j, const struct doc *channels, struct matrix m[static SETS], size_t *ret_count,
                         struct err *err)
{
    *ret_count = 1;
    if (channel_read(j->arena, channels, "train", j->hp.csv_weights, &m[TRAIN], err) < 0)
        return -1;
    if (doc_get(channels, "validation")) {
        if (channel_read(j->arena, channels, "validation", j->hp.csv_weights, &m[VALIDATION], err) < 0)
            return -1;
        if (!m[TRAIN].sparse && !m[VALIDATION].sparse && m[TRAIN].columns != m[VALIDATION].columns)
            return fail(err, ERR_INVALID, "The validation channel has %zu features, the train channel has %zu",
                        m[VALIDATION].columns, m[TRAIN].columns);
        *ret_count = 2;
    }
    say("INFO", "Train matrix has %zu rows and %zu columns", m[TRAIN].rows, m[TRAIN].columns);
    if (*ret_count == 1)
        return 0;
    say("INFO", "Validation matrix has %zu rows", m[VALIDATION].rows);
    if (j->hp.fold_count) {
        say("INFO", "Read both train and validation data into one DMatrix");
        *ret_count = 1;
        return join(&m[TRAIN], &m[VALIDATION], err);
    }
    return 0;
}

static int read_sets(struct job *j, const struct doc *channels, struct dataset *sets[static SETS], size_t *ret_count,
                     struct err *err)
{
    struct matrix matrices[SETS] = { 0 };
    struct err inner = { 0 };
    int result = read_channels(j, channels, matrices, ret_count, err);

    for (size_t s = 0; result == 0 && s < *ret_count; s++) {
        if (dataset_new(&matrices[s], j->threads, &sets[s], &inner) < 0)
            result = boost_failed(&inner, err);
        matrix_free(&matrices[s]); /* libxgboost has its own copy */
    }
    for (size_t s = 0; s < SETS; s++)
        matrix_free(&matrices[s]);
    return result;
}

static int train_one(struct job *j, struct dataset *const *sets, size_t count, struct err *err)
{
    struct evaluation last[METRICS];
    struct booster *b = NULL;
    size_t last_count;
    int result = -1;

    say("INFO", "Single node training with %d thread%s.", j->threads, j->threads == 1 ? "" : "s");
    if (boost(j, sets, count, -1, &b, last, &last_count, err) == 0)
        result = boost_save(j, b, MODEL_NAME, err);
    booster_free(b);
    return result;
}

static int run(struct job *j, struct err *err)
{
    struct dataset *sets[SETS] = { 0 };
    const char *image = getenv("SAGEBRUSH_IMAGE");
    struct doc *channels;
    size_t count;
    int result;

    /* Whatever the image's tag says. */
    say("INFO", "This is libxgboost %s%s%s.", booster_version(j->arena), image ? ", in the place of " : "",
        image ? image : "");
    if (read_job(j, &channels, err) < 0)
        return -1;
    if (folder_make(j->model_folder, 0755, err) < 0) {
        err->kind = ERR_INTERNAL;
        return -1;
    }
    boost_saves_when_ended(j->hp.save_on_termination);
    result = read_sets(j, channels, sets, &count, err);
    if (result == 0)
        result = j->hp.fold_count ? cross_validate(j, sets[TRAIN], err) : train_one(j, sets, count, err);
    for (size_t s = 0; s < SETS; s++)
        dataset_free(sets[s]);
    return result;
}

static void report_failure(struct arena *a, const struct err *why)
{
    const char *folder = arena_printf(a, "%s/output", container_base());
    const char *text = arena_printf(a, "%s%s", why->kind == ERR_INVALID ? "ClientError: " : "", why->text);
    struct err unsaid = { 0 };

    fflush(stdout);
    fprintf(stderr, "%s\n", text);
    if (folder_make(folder, 0755, &unsaid) < 0 ||
        file_write_atomic(arena_printf(a, "%s/failure", folder), text, strlen(text), 0644, &unsaid) < 0)
        fprintf(stderr, "the reason could not be saved: %s\n", unsaid.text);
}

int train(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct job j = { .arena = a };
    struct err err = { 0 };

    boost_ends_by_signal();
    if (run(&j, &err) == 0)
        return 0;
    report_failure(a, &err);
    return 1;
}
