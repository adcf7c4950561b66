/* container.c - the container runtime: runc on this host, as root. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "run/agents.h"
#include "run/image.h"
#include "run/tunnel_device.h"

static int accept_order(struct arena *a, const struct runtime_config *config, const struct doc *order, struct err *err)
{
    const struct image_places places = { config->data_folder, config->archives_folder };

    /* Where the instances of one with a mesh will be, nobody knows yet: they look themselves. */
    if (doc_has(order, "tunnel") && !doc_has(order, "mesh") && tunnel_device_check(err) < 0)
        return -1;
    return image_check(a, &places, doc_text(order, "image"), order_has_script(order), err);
}

static const struct agents_driver driver = { "container", accept_order, false };

const char *container_runtime_program(void)
{
    static const char *const places[] = { "/usr/local/sbin/runc", "/usr/local/bin/runc", "/usr/sbin/runc",
                                          "/usr/bin/runc" };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

int container_runtime_new(const struct runtime_config *config, struct runtime **ret, struct err *err)
{
    if (geteuid() != 0)
        return fail(err, ERR_UNAVAILABLE,
                    "containers need root: start the server as root, or choose the process or the "
                    "sim runtime");
    if (!container_runtime_program())
        return fail(err, ERR_UNAVAILABLE,
                    "containers need runc, which is not installed: apt-get install runc, or choose "
                    "the process or the sim runtime");
    return agents_new(config, &driver, ret, err);
}
