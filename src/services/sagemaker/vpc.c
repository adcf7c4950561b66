/* vpc.c - there is one network here, the machine's own, and nothing in it is done for a VpcConfig. To take one that
 * would have limited what a container reaches would be unsafe; that this network has those limits already only an
 * administrator can know. */
#include "services/sagemaker/vpc.h"

#include <string.h>

#include "base/str.h"
#include "engine/engine.h"
#include "services/platform.h"

/* "subnet-0a1b, sg-0c2d" */
static bool is_named(const char *ids, const char *id)
{
    for (ids += strspn(ids, ", "); *ids; ids += strspn(ids, ", ")) {
        size_t size = strcspn(ids, ", ");

        if (size == strlen(id) && strncmp(ids, id, size) == 0)
            return true;
        ids += size;
    }
    return false;
}

/* The words that EC2 has for ids of nobody's. */
static int check_ids(const char *ids, const struct doc *list, const char *noun, struct err *err)
{
    for (size_t i = 0; i < doc_count(list, ""); i++) {
        const char *id = doc_value_text(list->items[i]);

        if (!is_named(ids, id))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "The %s '%s' does not exist. The server's setting \"vpc\" names those that its network "
                             "is.", noun, id);
    }
    return 0;
}

int vpc_check(const struct call *c, const char *path, struct err *err)
{
    const struct platform *platform = engine_context(c->engine);
    const struct doc *vpc = doc_at(c->input, path);

    if (!vpc || vpc->type != DOC_MAP)
        return 0;
    if (!*platform->vpc)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "%s is not honoured here, and ignoring it would be unsafe: a container reaches what this "
                         "machine reaches. Leave it out. Where this machine's network is the one that is meant, its "
                         "administrator says so: vpc = %s, %s",
                         path, doc_text_or(vpc, "Subnets[0]", "subnet-..."),
                         doc_text_or(vpc, "SecurityGroupIds[0]", "sg-..."));
    if (check_ids(platform->vpc, doc_get(vpc, "Subnets"), "subnet ID", err) < 0)
        return -1;
    return check_ids(platform->vpc, doc_get(vpc, "SecurityGroupIds"), "security group", err);
}
