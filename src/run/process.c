/* process.c - the process runtime: no root, no namespaces, and so only programs of ours that can be told where their
 * /opt/ml is and which port to use. It says what it cannot do rather than do something else. */
#include <string.h>

#include "run/agents.h"
#include "run/image.h"

static int accept_order(struct arena *a, const struct runtime_config *config, const struct doc *order, struct err *err)
{
    const struct image_places places = { config->data_folder, config->archives_folder };
    const char *reference = doc_text(order, "image");
    struct image image;

    if (image_check(a, &places, reference, order_has_script(order), err) < 0)
        return -1;
    if (!image_is_hosted(a, reference, order_has_script(order), &image) || !image.relocatable ||
        doc_count(order, "entrypoint"))
        return fail(err, ERR_INVALID,
                    "The image %s needs a container, and this server runs plain processes (runtime \"process\"): only "
                    "its own algorithms and framework images, with their own entry point, run here.", reference);
    if (doc_has(order, "peers"))
        return fail(err, ERR_INVALID,
                    "Several instances need a network each, and this server runs plain processes (runtime "
                    "\"process\"): set InstanceCount to 1.");
    if (doc_bool(order, "isolated", false))
        return fail(err, ERR_INVALID,
                    "Network isolation needs a container, and this server runs plain processes (runtime "
                    "\"process\").");
    return 0;
}

static const struct agents_driver driver = { "process", accept_order, true };

int process_runtime_new(const struct runtime_config *config, struct runtime **ret, struct err *err)
{
    return agents_new(config, &driver, ret, err);
}
