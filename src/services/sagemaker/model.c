/* model.c - Model: an image, where its artifacts are, and the role they are read with. A record without a life. */
#include "services/sagemaker/condition_keys.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"

#include <string.h>

static int check_container(const struct doc *container, struct err *err)
{
    if (instance_refuse_unsafe(container, "ModelPackageName", err) < 0 ||
        instance_refuse_unsafe(container, "ImageConfig", err) < 0 ||
        instance_refuse_unsafe(container, "AdditionalModelDataSources", err) < 0)
        return -1;
    if (doc_is(container, "Mode", "MultiModel"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Mode MultiModel is not here yet: make a model and an endpoint of each.");
    if (!doc_has(container, "Image"))
        return fail_code(err, ERR_INVALID, "ValidationException", "Containers must have an Image.");
    return 0;
}

static int create(struct call *c, struct resource *r, struct err *err)
{
    const struct doc *primary = doc_get(c->input, "PrimaryContainer");
    size_t count = doc_count(c->input, "Containers");

    if (instance_refuse_unsafe(c->input, "VpcConfig", err) < 0)
        return -1;
    if (!!primary == (count > 0))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "You must provide either PrimaryContainer or Containers, and not both.");
    if (count > 1)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Models of several containers are not here yet: make a model of each container.");
    if (check_container(primary ? primary : doc_at(c->input, "Containers[0]"), err) < 0)
        return -1;
    if (!doc_has(c->input, "ExecutionRoleArn"))
        return fail_code(err, ERR_INVALID, "ValidationException", "ExecutionRoleArn is required for this model.");
    return instance_check_role(c, doc_text(c->input, "ExecutionRoleArn"), err);
}

const struct kind model = {
    .name = "Model",
    .service = "sagemaker",
    .arn_type = "model",
    .name_member = "ModelName",
    .arn_member = "ModelArn",
    .missing_text = "Could not find model \"%s\".",
    .exists_text = "Cannot create already existing model \"%s\".",
    .conditions = condition_keys,
    .create = create,
};
