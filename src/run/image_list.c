#include "run/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/nearest.h"
#include "doc/json.h"

enum { INDEX_LIMIT = 4 << 20 };

static void add(struct arena *a, struct doc *list, const char *name, const char *kind, const char *about)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "name", name);
    doc_set_string(a, d, "kind", kind);
    doc_set_string(a, d, "about", about);
    doc_append(a, list, d);
}

static int add_layout(struct arena *a, struct doc *list, const char *data_folder, struct err *err)
{
    const char *path = arena_printf(a, "%s/images/oci/index.json", data_folder);
    const struct doc *manifests;
    struct doc *index;
    struct str text;

    if (!path_exists(path))
        return 0;
    if (file_read(a, path, INDEX_LIMIT, &text, err) < 0)
        return -1;
    if (json_parse(a, text, &index, err) < 0)
        return fail(err, ERR_INVALID, "%s: %s", path, err->text);
    manifests = doc_get(index, "manifests");
    for (uint32_t i = 0; manifests && manifests->type == DOC_LIST && i < manifests->count; i++) {
        const struct doc *names = doc_get(manifests->items[i], "annotations");
        const char *name = doc_value_text(doc_get(names, "org.opencontainers.image.ref.name"));

        if (*name)
            add(a, list, name, "oci", doc_text(manifests->items[i], "digest"));
    }
    return 0;
}

static int add_archives(struct arena *a, struct doc *list, const char *folder, struct err *err)
{
    DIR *d = opendir(folder);

    if (!d)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "open %s", folder);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && e->d_type != DT_DIR)
            add(a, list, arena_printf(a, "oci-archive:%s", e->d_name), "archive",
                arena_printf(a, "%s/%s", folder, e->d_name));
    closedir(d);
    return 0;
}

int image_list(struct arena *a, const struct image_places *places, struct doc **ret, struct err *err)
{
    struct doc *list = doc_list(a);
    const char *name, *about;

    for (size_t i = 0; (name = image_hosted(i, &about)) != NULL; i++)
        add(a, list, name, "built-in", about);
    if (add_layout(a, list, places->data_folder, err) < 0 ||
        add_archives(a, list, image_archives(a, places), err) < 0)
        return -1;
    *ret = list;
    return 0;
}

/* Without what stands before the repository's last part: it does not count. */
static const char *title_of(const char *reference)
{
    const char *slash = strrchr(reference, '/');

    return slash ? slash + 1 : reference;
}

const char *image_nearest(struct arena *a, const struct image_places *places, const char *reference)
{
    const char *title = title_of(reference), *found, *about;
    const char *repository = arena_strndup(a, title, strcspn(title, ":@"));
    const char **names;
    struct doc *list = doc_list(a);
    size_t hosted = 0;
    struct err ignored;

    while (image_hosted(hosted, &about))
        hosted++;
    names = arena_array_of(a, const char *, hosted + 1);
    for (size_t i = 0; i < hosted; i++)
        names[i] = image_hosted(i, &about);
    found = text_nearest(repository, names);
    if (found)
        return arena_printf(a, "%s%.*s", found, (int)strcspn(title + strlen(repository), "@"),
                            title + strlen(repository));
    /* Archives are named only to those who may look at the server's disk. */
    if (add_layout(a, list, places->data_folder, &ignored) < 0)
        return NULL;
    names = arena_array_of(a, const char *, list->count + 1);
    for (uint32_t i = 0; i < list->count; i++)
        names[i] = title_of(doc_text(list->items[i], "name"));
    return text_nearest(title, names);
}
