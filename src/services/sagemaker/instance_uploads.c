/* instance_uploads.c - an agent has an access key of its own, and below the prefixes of its order everything that was
 * begun with that is its. */
#include "services/sagemaker/instance_uploads.h"

#include <string.h>

#include "run/runtime.h"
#include "services/s3/multipart.h"

static int abandon_below(struct pass *p, const char *uri, const char *access_key_id, struct err *err)
{
    struct str bucket, prefix;

    if (!text_starts(uri, "s3://"))
        return 0;
    if (!str_cut(str_of(uri + strlen("s3://")), '/', &bucket, &prefix)) {
        bucket = str_of(uri + strlen("s3://"));
        prefix = STR("");
    }
    return multipart_abandon(p->arena, p->engine, str_dup(p->arena, bucket), prefix, access_key_id, err);
}

int instance_uploads_abandon(struct pass *p, const char *agent, struct err *err)
{
    const struct doc *order, *outputs;
    const char *id;

    if (runtime_order(p->runtime, p->arena, agent, &order, err) < 0)
        return -1;
    id = doc_text(order, "role.access_key_id");
    outputs = doc_get(order, "outputs");
    if (!*id)
        return 0;
    if (abandon_below(p, doc_text(order, "checkpoint.s3_uri"), id, err) < 0 ||
        abandon_below(p, doc_text(order, "output_s3_uri"), id, err) < 0)
        return -1;
    for (uint32_t i = 0; outputs && i < outputs->count; i++)
        if (abandon_below(p, doc_text(outputs->items[i], "s3_uri"), id, err) < 0)
            return -1;
    return 0;
}
