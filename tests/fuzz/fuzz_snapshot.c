/* links: base doc route */
/* The routing snapshot: one that is taken is written and read again as the same. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "route/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

static void check_same(const struct route_snapshot *s, const struct route_snapshot *t)
{
    assert(s->generation == t->generation && str_eq(s->session_key, t->session_key));
    assert(strcmp(s->account, t->account) == 0 && strcmp(s->default_region, t->default_region) == 0);
    assert(s->key_count == t->key_count && s->role_count == t->role_count && s->endpoint_count == t->endpoint_count);
    for (size_t i = 0; i < s->key_count; i++)
        assert(strcmp(s->keys[i].secret, t->keys[i].secret) == 0 && s->keys[i].trusted == t->keys[i].trusted &&
               doc_equal(s->keys[i].policies, t->keys[i].policies));
    for (size_t i = 0; i < s->role_count; i++)
        assert(strcmp(s->roles[i].arn, t->roles[i].arn) == 0 && doc_equal(s->roles[i].policies, t->roles[i].policies));
    for (size_t i = 0; i < s->endpoint_count; i++) {
        assert(strcmp(s->endpoints[i].arn, t->endpoints[i].arn) == 0);
        assert(s->endpoints[i].variant_count == t->endpoints[i].variant_count);
        for (size_t j = 0; j < s->endpoints[i].variant_count; j++) {
            const struct route_variant *v = &s->endpoints[i].variants[j], *w = &t->endpoints[i].variants[j];

            assert(v->weight == w->weight && v->instance_count == w->instance_count);
            for (size_t k = 0; k < v->instance_count; k++)
                assert(v->instances[k].port == w->instances[k].port &&
                       strcmp(v->instances[k].address, w->instances[k].address) == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct route_snapshot s, again;
    struct route_ack ack;
    struct err err = { 0 };
    const char *path;

    if (strstr(folder, "XXXXXX")) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    path = arena_printf(a, "%s/route.json", folder);
    if (route_snapshot_parse(a, (struct str){ (const char *)data, size }, &s, &err) == 0) {
        assert(s.generation >= 1 && (s.session_key.size == 0 || s.session_key.size == 32));
        if (route_snapshot_write(path, &s, &err) < 0 || route_snapshot_read(a, path, &again, &err) < 0)
            abort();
        check_same(&s, &again);
    } else {
        assert(*err.text);
        if (size < 128 && file_write_atomic(path, data, size, 0600, &err) == 0 &&
            route_ack_read(path, &ack, &err) == 0)
            assert(ack.applied >= 0 && ack.drained >= 0);
    }
    return 0;
}
