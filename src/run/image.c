/* image.c - the table of images that are ours, and the reader of OCI layouts.
 *
 * <data>/images/oci            a layout that the user fills: skopeo copy docker://... oci:<data>/images/oci:name:tag
 * <data>/images/archives/      archives that the user put there, unless another folder is configured for them
 * <data>/images/layouts/<h>/   the layout of an archive, by a hash of its name, size and time
 * <data>/images/layers/<h>/    an unpacked layer, by the first 24 digits of its digest; it appears whole or
 * not at all */
#include "run/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "doc/json.h"
#include "run/archive.h"
#include "run/image_list.h"
#include "sign/digest.h"

enum { JSON_LIMIT = 4 << 20, LAYER_LIMIT = 256, ID_SIZE = 24 };

static const char archive_scheme[] = "oci-archive:";

static const char script_mode[] = "your script, on this machine's Python";

/* SageMaker's repositories of these names run here as programs of ours. */
static const struct {
    const char *repository;
    const char *program;        /* without a script */
    const char *script_program; /* with a script of the user's; NULL: it takes none */
    const char *about;
} hosted[] = {
    { "sagemaker-xgboost", "sagebrush-xgboost", "sagebrush-toolkit", "the built-in XGBoost, or your script" },
    { "xgboost", "sagebrush-xgboost", NULL, "the built-in XGBoost" },
    { "pytorch-training", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "pytorch-inference", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "sagemaker-pytorch", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "sagemaker-scikit-learn", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "sagemaker-base-python", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "huggingface-pytorch-training", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
    { "huggingface-pytorch-inference", "sagebrush-toolkit", "sagebrush-toolkit", script_mode },
};

/* "registry/a/b:tag@digest" -> "b:tag"; the repository alone in *ret_repository. */
static const char *title_of(struct arena *a, const char *reference, const char **ret_repository)
{
    const char *slash = strrchr(reference, '/'), *title = slash ? slash + 1 : reference;
    const char *name = arena_strndup(a, title, strcspn(title, "@"));

    *ret_repository = arena_strndup(a, name, strcspn(name, ":"));
    return name;
}

bool image_is_hosted(struct arena *a, const char *reference, bool script, struct image *ret)
{
    const char *repository, *title = title_of(a, reference, &repository);

    for (size_t i = 0; i < sizeof hosted / sizeof *hosted; i++) {
        if (strcmp(hosted[i].repository, repository) != 0)
            continue;
        *ret = (struct image){ .kind = IMAGE_HOST,
                                .title = title,
                                .relocatable = true,
                                .working_folder = "/",
                                .user = "",
                                .digest = "",
                                .program =
                                    script && hosted[i].script_program ? hosted[i].script_program : hosted[i].program };
        return true;
    }
    return false;
}

const char *image_hosted(size_t at, const char **ret_about)
{
    if (at >= sizeof hosted / sizeof *hosted)
        return NULL;
    *ret_about = hosted[at].about;
    return hosted[at].repository;
}

static bool is_digest(const char *digest)
{
    if (!text_starts(digest, "sha256:") || strlen(digest) != 7 + 64)
        return false;
    return strspn(digest + 7, "0123456789abcdef") == 64;
}

/* A blob's file in a layout, checked against its digest; *ret its path. */
static int check_blob(struct arena *a, const char *layout, const char *digest, const char **ret, struct err *err)
{
    const char *path;
    unsigned char block[65536], sum[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    _cleanup_fd_ int fd = -1;
    struct digest d;
    ssize_t n;

    if (!is_digest(digest))
        return fail(err, ERR_INVALID, "the image names the digest \"%.100s\"; only sha256 is known here", digest);
    path = arena_printf(a, "%s/blobs/sha256/%s", layout, digest + 7);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail(err, ERR_INVALID, "the image is not complete: its blob %s is missing", digest);
    digest_start(&d, DIGEST_SHA256);
    while ((n = read(fd, block, sizeof block)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno, "read %s", path);
        digest_update(&d, block, (size_t)n);
    }
    digest_finish(&d, sum);
    hex_encode(hex, sum, sizeof sum);
    if (strcmp(hex, digest + 7) != 0)
        return fail(err, ERR_INVALID, "the image is damaged: its blob %s does not have this digest", digest);
    *ret = path;
    return 0;
}

static int read_json(struct arena *a, const char *path, struct doc **ret, struct err *err)
{
    struct str text;

    if (file_read(a, path, JSON_LIMIT, &text, err) < 0)
        return -1;
    if (json_parse(a, text, ret, err) < 0)
        return fail(err, ERR_INVALID, "%s: %s", strrchr(path, '/') + 1, err->text);
    return 0;
}

static int read_blob_json(struct arena *a, const char *layout, const char *digest, struct doc **ret, struct err *err)
{
    const char *path;

    if (check_blob(a, layout, digest, &path, err) < 0)
        return -1;
    return read_json(a, path, ret, err);
}

/* A lock by name in images/, held until the descriptor is closed. */
static int lock_images(struct arena *a, const char *data_folder, const char *name, int *ret_fd, struct err *err)
{
    const char *path = arena_printf(a, "%s/images/%s.lock", data_folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            close(fd);
            return fail_errno(err, errno, "lock %s", path);
        }
    *ret_fd = fd;
    return 0;
}

static int unpack_layer(struct arena *a, const char *data_folder, const char *layout, const char *digest,
                        const char **ret, struct err *err)
{
    const char *id, *folder, *temporary, *blob;
    _cleanup_fd_ int lock = -1;

    if (!is_digest(digest))
        return fail(err, ERR_INVALID, "the image names the digest \"%.100s\"; only sha256 is known here", digest);
    id = arena_strndup(a, digest + 7, ID_SIZE);
    folder = arena_printf(a, "%s/images/layers/%s", data_folder, id);
    *ret = folder;
    if (path_exists(folder))
        return 0;
    if (folder_make(arena_printf(a, "%s/images/layers", data_folder), 0700, err) < 0 ||
        lock_images(a, data_folder, "layers", &lock, err) < 0)
        return -1;
    if (path_exists(folder))
        return 0;
    if (check_blob(a, layout, digest, &blob, err) < 0)
        return -1;
    temporary = arena_printf(a, "%s.tmp", folder);
    if (tree_remove(temporary, err) < 0 || folder_make(temporary, 0755, err) < 0)
        return -1;
    if (archive_unpack(blob, temporary, ARCHIVE_LAYER, NULL, err) < 0) {
        struct err ignored;

        tree_remove(temporary, &ignored);
        return -1;
    }
    if (rename(temporary, folder) < 0)
        return fail_errno(err, errno, "keep layer %s", id);
    return 0;
}

static const char *const *texts(struct arena *a, const struct doc *d, const char *path)
{
    size_t count = doc_count(d, path);
    const struct doc *list = doc_at(d, path);
    const char **t = arena_array_of(a, const char *, count + 1);

    for (size_t i = 0; i < count && list->type == DOC_LIST; i++)
        t[i] = doc_value_text(list->items[i]);
    return t;
}

/* The manifest for this machine: straight, or by way of an index of platforms. */
static int find_manifest(struct arena *a, const char *layout, const char *digest, int depth, const char **ret_digest,
                         struct doc **ret, struct err *err)
{
    struct doc *d;
    const struct doc *list;

    if (depth > 4)
        return fail(err, ERR_INVALID, "the image's index leads in a circle");
    if (read_blob_json(a, layout, digest, &d, err) < 0)
        return -1;
    list = doc_get(d, "manifests");
    if (!list || list->type != DOC_LIST) {
        *ret = d;
        *ret_digest = digest;
        return 0;
    }
    for (uint32_t i = 0; i < list->count; i++)
        if (doc_is(list->items[i], "platform.architecture", "amd64") && doc_is(list->items[i], "platform.os", "linux"))
            return find_manifest(a, layout, doc_text(list->items[i], "digest"), depth + 1, ret_digest, ret, err);
    return fail(err, ERR_INVALID, "the image has no variant for linux/amd64");
}

static int read_layout(struct arena *a, const char *data_folder, const char *layout, const char *digest,
                       const char *title, struct image *ret, struct err *err)
{
    struct image image = { .kind = IMAGE_OCI, .title = title };
    struct doc *manifest, *config;
    const struct doc *layers;
    const char **folders;

    if (find_manifest(a, layout, digest, 0, &image.digest, &manifest, err) < 0 ||
        read_blob_json(a, layout, doc_text(manifest, "config.digest"), &config, err) < 0)
        return -1;
    layers = doc_get(manifest, "layers");
    if (!layers || layers->type != DOC_LIST || layers->count == 0 || layers->count > LAYER_LIMIT)
        return fail(err, ERR_INVALID, "the image has no layers, or more than %d", LAYER_LIMIT);
    folders = arena_array_of(a, const char *, layers->count + 1);
    for (uint32_t i = 0; i < layers->count; i++)
        if (unpack_layer(a, data_folder, layout, doc_text(layers->items[i], "digest"), &folders[i], err) < 0)
            return -1;
    image.layers = folders;
    image.layer_count = (int)layers->count;
    image.entrypoint = texts(a, config, "config.Entrypoint");
    image.command = texts(a, config, "config.Cmd");
    image.environment = texts(a, config, "config.Env");
    image.working_folder = doc_text_or(config, "config.WorkingDir", "");
    if (!*image.working_folder)
        image.working_folder = "/";
    image.user = doc_text(config, "config.User");
    *ret = image;
    return 0;
}

/* In index.json, by the name that it was stored under; the only image needs no name. */
static const char *digest_in_index(const struct doc *index, const char *reference, const char *title, bool any)
{
    const struct doc *list = doc_get(index, "manifests");
    const char *by_title = NULL;

    if (!list || list->type != DOC_LIST)
        return NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *name =
            doc_value_text(doc_get(doc_get(list->items[i], "annotations"), "org.opencontainers.image.ref.name"));
        const char *slash = strrchr(name, '/'), *digest = doc_text(list->items[i], "digest");

        if (strcmp(name, reference) == 0)
            return digest;
        if (strcmp(slash ? slash + 1 : name, title) == 0)
            by_title = digest;
    }
    if (!by_title && any && list->count >= 1)
        return doc_text(list->items[0], "digest");
    return by_title;
}

/* The path below the folder of archives, for "oci-archive:mine.tar" and "oci-archive:/the/folder/mine.tar" alike. */
static const char *path_in_archives(const char *archives, const char *reference)
{
    const char *path = reference + strlen(archive_scheme);
    size_t size = strlen(archives);

    return strncmp(path, archives, size) == 0 && path[size] == '/' ? path + size + 1 : path;
}

const char *image_archives(struct arena *a, const struct image_places *places)
{
    if (places->archives && *places->archives)
        return places->archives;
    return arena_printf(a, "%s/images/archives", places->data_folder);
}

static int open_archive(struct arena *a, const struct image_places *places, const char *reference, int *ret_fd,
                        struct err *err)
{
    const char *archives = image_archives(a, places);

    if (file_open_beneath(archives, path_in_archives(archives, reference), ret_fd, err) == 0)
        return 0;
    /* One answer for all: what lies elsewhere on the server is not this user's to find out. */
    return fail(err, ERR_INVALID,
                "The image %s: there is no such file in this server's folder of image archives. Put the archive there "
                "(on the server: the setting images of `sagebrush up`, by default images/archives in the data "
                "directory) and name it oci-archive:FILE.tar", reference);
}

static int unpack_archive(struct arena *a, int fd, const char *reference, const char *folder, struct err *err)
{
    const char *temporary = arena_printf(a, "%s.tmp", folder);
    struct err ignored;

    if (tree_remove(temporary, err) < 0 || folder_make(temporary, 0700, err) < 0)
        return -1;
    if (archive_unpack_fd(fd, temporary, ARCHIVE_DATA, NULL, err) < 0) {
        tree_remove(temporary, &ignored);
        return fail(err, err->kind, "The image %s: %s", reference, err->text);
    }
    if (rename(temporary, folder) < 0)
        return fail_errno(err, errno, "keep the image %s", reference);
    return 0;
}

static int find_in_archive(struct arena *a, const struct image_places *places, const char *reference,
                           struct image *ret, struct err *err)
{
    const char *data_folder = places->data_folder, *key, *folder, *digest;
    char hex[2 * SHA256_SIZE + 1];
    _cleanup_fd_ int lock = -1, fd = -1;
    struct doc *index;
    struct stat st;

    if (open_archive(a, places, reference, &fd, err) < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return fail_errno(err, errno, "The image %s", reference);
    key = arena_printf(a, "%s %lld %lld.%09ld", reference, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                       st.st_mtim.tv_nsec);
    sha256_hex(hex, key, strlen(key));
    folder = arena_printf(a, "%s/images/layouts/%.*s", data_folder, ID_SIZE, hex);
    if (folder_make(arena_printf(a, "%s/images/layouts", data_folder), 0700, err) < 0 ||
        lock_images(a, data_folder, "layouts", &lock, err) < 0)
        return -1;
    if (!path_exists(folder) && unpack_archive(a, fd, reference, folder, err) < 0)
        return -1;
    if (read_json(a, arena_printf(a, "%s/index.json", folder), &index, err) < 0)
        return fail(err, ERR_INVALID, "The image %s is no OCI archive (no index.json in it); make one with: skopeo "
                    "copy SOURCE oci-archive:FILE.tar", reference);
    digest = digest_in_index(index, "", "", true);
    if (!digest)
        return fail(err, ERR_INVALID, "The image %s has no image in its index.json", reference);
    return read_layout(a, data_folder, folder, digest, reference, ret, err);
}

static int unknown(struct arena *a, const struct image_places *places, const char *reference, struct err *err)
{
    const char *nearest = image_nearest(a, places, reference), *repository;
    const char *title = title_of(a, reference, &repository);

    return fail(err, ERR_INVALID,
                "The image %s is not known here%s%s%s It is neither a built-in algorithm or framework image that this "
                "server runs itself, nor in the local store: `sagebrush images` lists both. Bring it with: skopeo copy "
                "docker://%s oci:DIR/images/oci:%s, where DIR is the server's data directory, or put an archive into "
                "DIR/images/archives and name it oci-archive:FILE.tar", reference, nearest ? "; did you mean " : "",
                nearest ? nearest : "", nearest ? "?" : ".", reference, title);
}

static int find_in_store(struct arena *a, const struct image_places *places, const char *reference,
                         const char **ret_layout, const char **ret_digest, struct err *err)
{
    const char *layout = arena_printf(a, "%s/images/oci", places->data_folder), *repository;
    const char *title = title_of(a, reference, &repository), *digest = NULL;
    struct doc *index;

    if (path_exists(arena_printf(a, "%s/index.json", layout))) {
        if (read_json(a, arena_printf(a, "%s/index.json", layout), &index, err) < 0)
            return -1;
        digest = digest_in_index(index, reference, title, false);
    }
    if (!digest)
        return unknown(a, places, reference, err);
    *ret_layout = layout;
    *ret_digest = digest;
    return 0;
}

int image_check(struct arena *a, const struct image_places *places, const char *reference, bool script,
                struct err *err)
{
    const char *layout, *digest;
    _cleanup_fd_ int fd = -1;
    struct image ignored;

    if (text_starts(reference, archive_scheme))
        return open_archive(a, places, reference, &fd, err);
    if (image_is_hosted(a, reference, script, &ignored))
        return 0;
    return find_in_store(a, places, reference, &layout, &digest, err);
}

int image_find(struct arena *a, const struct image_places *places, const char *reference, bool script,
               struct image *ret, struct err *err)
{
    const char *data_folder = places->data_folder, *layout, *digest, *repository;

    if (text_starts(reference, archive_scheme))
        return find_in_archive(a, places, reference, ret, err);
    if (image_is_hosted(a, reference, script, ret))
        return 0;
    if (find_in_store(a, places, reference, &layout, &digest, err) < 0 ||
        folder_make(arena_printf(a, "%s/images", data_folder), 0700, err) < 0)
        return -1;
    return read_layout(a, data_folder, layout, digest, title_of(a, reference, &repository), ret, err);
}
