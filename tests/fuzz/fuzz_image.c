/* links: base doc sign net run */
/* A layout of OCI that a user brought: texts parted by 0xff, the first of them index.json, the others its blobs. "@1",
 * "@2"... become the digests of those, in the texts before them. What is found lies in the data folder. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "run/image.h"
#include "run/image_list.h"
#include "sign/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS = 6 };

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

static void write_file(const char *path, struct str text)
{
    struct err err;

    if (file_write_atomic(path, text.data, text.size, 0600, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

/* The digests of the texts behind it are known: the last text is written first. */
static struct str with_digests(struct arena *a, struct str text, int place, const char *const *digests)
{
    struct buf b = { 0 };
    struct str whole;

    for (size_t i = 0; i < text.size; i++) {
        int which = text.data[i] == '@' && i + 1 < text.size ? text.data[i + 1] - '0' : 0;

        if (which > place && which < TEXTS) {
            buf_append_str(&b, digests[which]);
            i++;
        } else {
            buf_append_char(&b, text.data[i]);
        }
    }
    whole = (struct str){ arena_copy(a, b.data ? b.data : "", b.size), b.size };
    buf_free(&b);
    return whole;
}

static void make_layout(struct arena *a, const char *layout, struct str text)
{
    const char *digests[TEXTS] = { 0 };
    struct str texts[TEXTS] = { 0 };

    for (int i = 0; i < TEXTS; i++) {
        struct str after = STR("");

        texts[i] = text;
        str_cut(text, '\xff', &texts[i], &after);
        text = after;
    }
    for (int i = TEXTS - 1; i > 0; i--) {
        struct str blob = with_digests(a, texts[i], i, digests);
        char hex[2 * SHA256_SIZE + 1];

        sha256_hex(hex, blob.data, blob.size);
        digests[i] = arena_printf(a, "sha256:%s", hex);
        write_file(arena_printf(a, "%s/blobs/sha256/%s", layout, hex), blob);
    }
    write_file(arena_printf(a, "%s/index.json", layout), with_digests(a, texts[0], 0, digests));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    struct image_places places = { .data_folder = folder };
    const char *images, *layout;
    struct image image;
    struct doc *list;

    if (strstr(folder, "XXXXXX")) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    images = arena_printf(a, "%s/images", folder);
    layout = arena_printf(a, "%s/oci", images);
    if (folder_make(arena_printf(a, "%s/blobs/sha256", layout), 0700, &err) < 0)
        abort();
    make_layout(a, layout, (struct str){ size ? (const char *)data : "", size });
    if (image_find(a, &places, "example.com/mine:1", false, &image, &err) == 0) {
        assert(image.kind == IMAGE_OCI && image.layer_count > 0 && *image.working_folder);
        for (int i = 0; i < image.layer_count; i++)
            assert(text_starts(image.layers[i], images) && path_exists(image.layers[i]));
        for (const char *const *word = image.entrypoint; *word; word++)
            assert(strlen(*word) < size);
    } else {
        assert(*err.text);
    }
    assert(image_list(a, &places, &list, &err) == 0 || *err.text);
    image_nearest(a, &places, "example.com/mien:1");
    if (tree_remove(images, &err) < 0)
        abort();
    return 0;
}
