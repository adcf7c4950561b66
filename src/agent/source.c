/* source.c - the agent does what the toolkit could, because Python takes longer to import a client of HTTP and a reader
 * of tar than everything else between CreateTrainingJob and the first line of the user's script. */
#include "agent/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/fetch.h"
#include "base/fd.h"
#include "base/log.h"
#include "doc/json.h"
#include "run/archive.h"
#include "run/folder.h"

/* Hyperparameters are JSON in strings, or plain strings. "": none. */
static const char *submit_directory(struct arena *a, const struct order *o)
{
    const char *text = doc_value_text(doc_get(o->hyper_parameters, "sagemaker_submit_directory"));
    struct err ignored;
    struct doc *d;

    if (*text == '"' && json_parse(a, str_of(text), &d, &ignored) == 0)
        return doc_value_text(d);
    return text;
}

bool source_wanted(const struct order *o)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return order_trains(o) && text_starts(submit_directory(a, o), "s3://");
}

static int download(const struct transfer *t, struct arena *a, const char *uri, const char *file, struct err *err)
{
    const char *bucket, *key;
    _cleanup_fd_ int fd = -1;
    struct s3 *s3;
    int64_t bytes;
    int r;

    if (s3_uri(a, uri, &bucket, &key, err) < 0)
        return -1;
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(err, errno, "create %s", file);
    s3 = fetch_client(t);
    r = s3_get(s3, bucket, key, fd, 0, -1, &bytes, err);
    s3_free(s3);
    return r;
}

/* Unpacked beside the code folder, which it then takes the place of: never half. */
static int unpack(const struct transfer *t, struct arena *a, const char *file, struct err *err)
{
    const char *folder = arena_printf(a, "%s/source", t->folder), *code = arena_printf(a, "%s/code", t->ml);
    const struct archive_limits limits = { .bytes = t->order->disk_bytes };
    struct err ignored;
    int r;

    if (tree_remove(folder, err) < 0 || folder_make(folder, 0755, err) < 0)
        return -1;
    r = archive_unpack(file, folder, ARCHIVE_DATA, &limits, err);
    /* One that holds something is of an earlier agent of this instance. */
    if (r == 0 && rename(folder, code) < 0)
        r = fail_errno(err, errno, "keep %s", code);
    if (r < 0)
        tree_remove(folder, &ignored);
    return r;
}

int source_fetch(const struct transfer *t, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *uri = submit_directory(a, t->order), *file = arena_printf(a, "%s/source.tar.gz", t->folder);
    struct err why = { 0 };
    int r = 0;

    if (download(t, a, uri, file, &why) < 0 || unpack(t, a, file, &why) < 0) {
        log_info("source.left", "name=%s why=%s", t->order->name, log_quote(a, why.text));
        /* A bomb is one for the toolkit too. */
        if (t->order->isolated || why.kind == ERR_LIMIT)
            r = fail(err, why.kind, "The source archive %s (sagemaker_submit_directory) cannot be had: %s", uri,
                     why.text);
    }
    unlink(file);
    return r;
}
