/* channel.c - an input channel of a training job, read into a matrix.
 *
 * File mode: every file below the channel's folder, in the order of their paths, so that two runs see the same rows.
 * Pipe mode: the first FIFO of the channel, read to its end: boosting needs all rows at once anyway. */
#include "algo/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "algo/container.h"
#include "algo/csv.h"
#include "algo/libsvm.h"
#include "algo/recordio.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#define MAX_DEPTH 32

enum { LOOK_BYTES = 4096 };

static const struct {
    const char *name;
    enum content content;
} contents[] = {
    { "csv", CONTENT_CSV },
    { "libsvm", CONTENT_LIBSVM },
    { "parquet", CONTENT_PARQUET },
    { "recordio-protobuf", CONTENT_RECORDIO },
    { "text/csv", CONTENT_CSV },
    { "text/libsvm", CONTENT_LIBSVM },
    { "text/x-libsvm", CONTENT_LIBSVM },
    { "application/x-parquet", CONTENT_PARQUET },
    { "application/x-recordio-protobuf", CONTENT_RECORDIO },
};

/* "label_size=1; charset=utf-8": the label is the first column and no other. */
static bool label_is_one_column(struct str parameters)
{
    while (parameters.size) {
        struct str one = parameters, rest = { 0 }, name, value = { 0 };

        str_cut(parameters, ';', &one, &rest);
        name = str_trim(one);
        str_cut(one, '=', &name, &value);
        if (str_is_nocase(str_trim(name), "label_size") && !str_is(str_trim(value), "1"))
            return false;
        parameters = rest;
    }
    return true;
}

int content_of(const char *content_type, enum content *ret, struct err *err)
{
    struct str type = str_of(content_type), parameters = { 0 };
    _cleanup_buf_ struct buf accepted = { 0 };

    str_cut(type, ';', &type, &parameters);
    type = str_trim(type);
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        if (!str_is_nocase(type, contents[i].name))
            continue;
        if (contents[i].content == CONTENT_CSV && !label_is_one_column(parameters))
            return fail(err, ERR_INVALID,
                        "%s is not an accepted csv ContentType. Optional parameter label_size must be equal to 1",
                        content_type);
        *ret = contents[i].content;
        return 0;
    }
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++)
        buf_printf(&accepted, "%s%s", i ? ", " : "", contents[i].name);
    return fail(err, ERR_INVALID, "%s is not an accepted ContentType: %s.", content_type, accepted.data);
}

/* Of channel 'name': its own, else that of train, else the default of the algorithm. */
static const char *content_type_of(const struct doc *config, const char *name)
{
    const char *own = doc_text(doc_get(config, name), "ContentType");

    return *own ? own : doc_text_or(doc_get(config, "train"), "ContentType", "text/libsvm");
}

int channels_check(struct arena *a, const struct doc *config, struct err *err)
{
    _cleanup_buf_ struct buf errors = { 0 };
    struct err one = { 0 };
    enum content content;

    if (!config || config->type != DOC_MAP || !doc_get(config, "train"))
        buf_append_str(&errors, "Missing required channel: train");
    for (uint32_t i = 0; config && config->type == DOC_MAP && i < config->count; i++) {
        const char *name = config->members[i].key, *line = errors.size ? "\n" : "";
        const struct doc *channel = config->members[i].value;

        if (strcmp(name, "code") == 0)
            continue;
        if (strcmp(name, "train") && strcmp(name, "validation")) {
            buf_printf(&errors, "%sExtraneous channel found: %s", line, name);
        } else if (content_of(content_type_of(config, name), &content, &one) < 0) {
            buf_printf(&errors, "%s%s", line, one.text);
        } else if (content == CONTENT_PARQUET) {
            buf_printf(&errors,
                       "%sChannel configuration for '%s' channel is not supported: ContentType %s. Parquet files "
                       "cannot be read by this build: convert them to text/csv, text/libsvm or "
                       "application/x-recordio-protobuf.",
                       line, name, content_type_of(config, name));
        } else if (doc_is(channel, "TrainingInputMode", "Pipe") && content == CONTENT_LIBSVM) {
            buf_printf(&errors, "%sPipe mode not supported for LibSVM.", line);
        }
        if (*doc_text(channel, "RecordWrapperType") && !doc_is(channel, "RecordWrapperType", "None") &&
            content != CONTENT_RECORDIO)
            buf_printf(&errors, "%sChannel configuration for '%s' channel is not supported: RecordWrapperType %s",
                       errors.size ? "\n" : "", name, doc_text(channel, "RecordWrapperType"));
    }
    (void)a;
    return errors.size ? fail(err, ERR_INVALID, "%s", errors.data) : 0;
}

struct files {
    const char **path;
    size_t count, capacity;
};

static int by_path(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void add_file(struct arena *a, struct files *f, const char *path)
{
    if (f->count == f->capacity) {
        const char **more = arena_array_of(a, const char *, f->capacity = f->capacity * 2 + 16);

        if (f->count)
            memcpy(more, f->path, f->count * sizeof *more);
        f->path = more;
    }
    f->path[f->count++] = path;
}

static int list_files(struct arena *a, const char *folder, int depth, struct files *f, struct err *err);

static int list_file(struct arena *a, const char *path, int depth, struct files *f, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return fail_errno(err, errno, "reading %s", path);
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        add_file(a, f, path);
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (depth == MAX_DEPTH)
        return fail(err, ERR_INVALID, "%s lies more than %d folders deep", path, MAX_DEPTH);
    return list_files(a, path, depth + 1, f, err);
}

/* Adds every file below the folder. Names that start with '.' or '_' are nobody's data (_SUCCESS, .DS_Store). */
static int list_files(struct arena *a, const char *folder, int depth, struct files *f, struct err *err)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int result = 0;

    if (!d)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "reading the folder %s", folder);
    while (result == 0 && (e = readdir(d)))
        if (e->d_name[0] != '.' && e->d_name[0] != '_')
            result = list_file(a, arena_printf(a, "%s/%s", folder, e->d_name), depth, f, err);
    closedir(d);
    return result;
}

/* What a file is that is no text, by how it begins; NULL: it may be text. */
static const char *binary_kind(struct str text)
{
    static const struct {
        const char *begins, *is;
    } kinds[] = {
        { "\x1f\x8b", "a gzip file" },  { "PK\x03\x04", "a zip file" },       { "PAR1", "a Parquet file" },
        { "BZh", "a bzip2 file" },      { "\x28\xb5\x2f\xfd", "a zstd file" }, { "\x93NUMPY", "a NumPy array" },
        { "\x80\x04", "a Python pickle" }, { "\xce\xfa\xed\xfe", "recordio" }, { "\x0a\x23\xd7\xce", "recordio" },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_starts(text, kinds[i].begins))
            return kinds[i].is;
    return memchr(text.data, '\0', text.size < LOOK_BYTES ? text.size : LOOK_BYTES) ? "binary" : NULL;
}

static int check_text(const char *channel, enum content content, struct str text, const char *name, struct err *err)
{
    const char *kind = content == CONTENT_CSV || content == CONTENT_LIBSVM ? binary_kind(text) : NULL;

    if (!kind)
        return 0;
    return fail(err, ERR_INVALID,
                "The file '%s' of the %s channel is no text but %s. By its ContentType the channel has %s. Convert the "
                "file, or give the channel the ContentType that it has.", name, channel, kind,
                content == CONTENT_CSV ? "csv: lines of numbers with commas between them, the label first"
                                       : "libsvm: lines of a label and index:value pairs");
}

static int parse(enum content content, struct str text, const char *name, char delimiter, bool weighted,
                 struct matrix *m, struct err *err)
{
    struct err inner = { 0 };
    int rc = -1;

    switch (content) {
    case CONTENT_CSV:
        rc = csv_parse(
            text, &(struct csv_options){ .name = name, .labeled = true, .weighted = weighted, .delimiter = delimiter },
            m, &inner);
        break;
    case CONTENT_LIBSVM:
        rc = libsvm_parse(text, &(struct libsvm_options){ .name = name, .labeled = true }, m, &inner);
        break;
    case CONTENT_RECORDIO:
        rc = recordio_parse(text, &(struct recordio_options){ .name = name, .labeled = true }, m, &inner);
        break;
    case CONTENT_PARQUET:
        return fail(err, ERR_INVALID, "Parquet files cannot be read by this build"); /* refused by channels_check */
    }
    return rc < 0 ? fail(err, inner.kind, "Failed to load %s data with exception:\n%s",
                         content == CONTENT_CSV      ? "csv"
                         : content == CONTENT_LIBSVM ? "libsvm"
                                                     : "recordio-protobuf",
                         inner.text)
                  : 0;
}

static int read_mapped(const char *channel, const char *path, enum content content, bool weighted, char *delimiter,
                       struct matrix *m, struct err *err)
{
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *name = strrchr(path, '/') + 1;
    struct stat st;
    int rc;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(err, errno, "opening %s", path);
    if (st.st_size == 0)
        return 0;
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return fail_errno(err, errno, "mapping %s", path);
    struct str text = { bytes, (size_t)st.st_size };
    if (check_text(channel, content, text, name, err) < 0) {
        munmap(bytes, text.size);
        return -1;
    }
    if (content == CONTENT_CSV && !*delimiter) {
        const char *end = memchr(bytes, '\n', text.size);

        *delimiter = csv_delimiter((struct str){ bytes, end ? (size_t)(end - bytes) : text.size });
        say("INFO", "Determined delimiter of CSV input is '%c'", *delimiter);
    }
    rc = parse(content, text, name, *delimiter, weighted, m, err);
    munmap(bytes, (size_t)st.st_size);
    return rc;
}

static int read_pipe(struct arena *a, const char *channel, const char *path, enum content content, bool weighted,
                     struct matrix *m, struct err *err)
{
    const char *fifo = arena_printf(a, "%s_0", path);
    struct str text;

    /* The platform makes the FIFO before or a little after the container starts. */
    for (int tries = 0; !path_exists(fifo); tries++) {
        if (tries == 600)
            return fail(err, ERR_INVALID, "No data in channel path %s: no FIFO appeared within a minute", fifo);
        usleep(100000);
    }
    _cleanup_fd_ int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, errno, "opening %s", fifo);
    if (fd_read_all(a, fd, SIZE_MAX / 4, &text, err) < 0)
        return -1;
    if (check_text(channel, content, text, strrchr(fifo, '/') + 1, err) < 0)
        return -1;
    return parse(content, text, strrchr(fifo, '/') + 1, 0, weighted, m, err);
}

int channel_read(struct arena *a, const struct doc *config, const char *name, bool weighted, struct matrix *ret,
                 struct err *err)
{
    const char *path = arena_printf(a, "%s/input/data/%s", container_base(), name);
    const char *role = strcmp(name, "train") == 0 ? "training" : name;
    struct files files = { 0 };
    struct matrix m = { 0 };
    enum content content;
    char delimiter = 0;

    if (content_of(content_type_of(config, name), &content, err) < 0)
        return -1;
    if (doc_is(doc_get(config, name), "TrainingInputMode", "Pipe")) {
        if (read_pipe(a, name, path, content, weighted, &m, err) < 0)
            goto failed;
    } else {
        if (list_files(a, path, 0, &files, err) < 0)
            goto failed;
        qsort(files.path, files.count, sizeof *files.path, by_path);
        for (size_t i = 0; i < files.count; i++)
            if (read_mapped(name, files.path[i], content, weighted, &delimiter, &m, err) < 0)
                goto failed;
    }
    if (m.rows == 0) {
        fail(err, ERR_INVALID, "No data in %s channel path %s", role, path);
        goto failed;
    }
    *ret = m;
    return 0;
failed:
    matrix_free(&m);
    return -1;
}
