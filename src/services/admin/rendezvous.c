#include "services/admin/rendezvous.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "net/address.h"
#include "run/folder.h"

enum { WORD_MOST = 40 };

#define ENDPOINT_FILE "endpoint.json" /* in the agent's folder: what it has told */

static const char *folder_of(struct arena *a, const char *data_folder, const char *agent)
{
    return arena_printf(a, "%s/agents/%s", data_folder, agent);
}

/* What is kept of what was told, so that nobody is ever answered anything else. */
static int check(struct arena *a, const struct doc *told, const struct doc **ret, struct err *err)
{
    const char *tunnel = doc_text(told, "tunnel"), *endpoint = doc_text(told, "endpoint");
    struct sockaddr_storage address;
    char text[ENDPOINT_TEXT];
    struct doc *d = doc_map(a);

    if (!*tunnel || strlen(tunnel) > WORD_MOST)
        return fail(err, ERR_INVALID, "a tunnel says which one it is");
    if (!endpoint_read(endpoint, &address) || !address_is_of_a_machine(&address))
        return fail(err, ERR_INVALID, "\"%.60s\" is no place where another machine finds a tunnel", endpoint);
    endpoint_print(&address, text);
    doc_set_string(a, d, "tunnel", tunnel);
    doc_set_string(a, d, "endpoint", text);
    *ret = d;
    return 0;
}

/* Durable: also after a power failure nobody else may come. */
static int note(struct arena *a, const char *data_folder, const char *agent, const struct doc *told, struct err *err)
{
    const char *folder = folder_of(a, data_folder, agent);
    const struct doc *now = NULL, *before;

    if (check(a, told, &now, err) < 0 || folder_read(a, folder, ENDPOINT_FILE, &before, err) < 0)
        return -1;
    if (!before) {
        log_info("rendezvous.told", "name=%s endpoint=%s", agent, doc_text(now, "endpoint"));
        return folder_write(a, folder, ENDPOINT_FILE, now, true, err);
    }
    return doc_equal(before, now) ? 0
                                  : fail(err, ERR_CONFLICT,
                                         "%s had a tunnel before, and what it has sealed is not sealed twice", agent);
}

static int answer_peers(struct arena *a, const char *data_folder, const struct doc *order, struct doc *answer,
                        struct err *err)
{
    const struct doc *peers = doc_get(order, "peers");
    struct doc *known = doc_member(a, answer, "peers", DOC_MAP);

    for (uint32_t i = 0; i < peers->count; i++) {
        const char *agent = doc_value_text(peers->members[i].value);
        const struct doc *d;

        if (doc_is(order, "name", agent))
            continue;
        if (folder_read(a, folder_of(a, data_folder, agent), ENDPOINT_FILE, &d, err) < 0)
            return -1;
        if (d)
            doc_set_string(a, known, peers->members[i].key, doc_text(d, "endpoint"));
    }
    return 0;
}

int rendezvous(struct arena *a, const char *data_folder, const struct doc *order, const struct doc *told,
               struct doc *answer, struct err *err)
{
    if (!doc_has(order, "mesh") || !doc_has(order, "peers"))
        return fail(err, ERR_INVALID, "%s has no instances on other machines", doc_text(order, "name"));
    if (note(a, data_folder, doc_text(order, "name"), told, err) < 0)
        return -1;
    return answer_peers(a, data_folder, order, answer, err);
}
