/* images.c - `sagebrush images`: what a job or a model may name as its image. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/settings.h"
#include "run/image_list.h"

static bool as_json;

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

static int run(struct arena *a, char **words, int count, struct err *err)
{
    struct image_places places = { 0 };
    const char *data;
    struct settings s;
    struct doc *list, *all = doc_map(a);

    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0)
        return -1;
    places.data_folder = data;
    places.archives = s.images;
    if (image_list(a, &places, &list, err) < 0)
        return -1;
    if (as_json) {
        doc_set(a, all, "images", list);
        command_print_json(all);
        return 0;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const struct doc *d = list->items[i];

        printf("%-32s %-9s %s\n",
               arena_printf(a, "%s%s", doc_text(d, "name"), doc_is(d, "kind", "built-in") ? ":*" : ""),
               doc_text(d, "kind"), doc_text(d, "about"));
    }
    return 0;
}

const struct command images_command = {
    .name = "images",
    .usage = "[--json]",
    .summary = "the images that jobs and models can name here",
    .about =
        "Lists what TrainingImage and Image may name on this server. Registry and account of an image are ignored, "
        "repository and tag decide, so that the URIs of `sagemaker.image_uris.retrieve` work as they are.\n"
        "\n"
        "built-in: programs of this server; any tag. oci: images in DIR/images/oci; bring one with\n"
        "    skopeo copy docker://REGISTRY/NAME:TAG oci:DIR/images/oci:NAME:TAG\n"
        "archive: files in DIR/images/archives, or in the folder of the setting images; made with\n"
        "    skopeo copy docker://REGISTRY/NAME:TAG oci-archive:DIR/images/archives/NAME.tar",
    .options = options,
    .run = run,
};
