/* model.c - Model: an image, where its artifacts are, and the role they are read with. A record without a life. */
#include <string.h>

#include "base/str.h"
#include "services/sagemaker/condition_keys.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/vpc.h"

static int check_data_source(const struct doc *container, struct err *err)
{
    const struct doc *s3 = doc_at(container, "ModelDataSource.S3DataSource");
    const char *uri = doc_text(s3, "S3Uri");

    if (!s3)
        return 0;
    if (doc_has(container, "ModelDataUrl"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "You must provide either ModelDataUrl or ModelDataSource, and not both.");
    if (!doc_is(s3, "S3DataType", "S3Prefix"))
        return 0;
    /* Without the slash, what belongs to a neighbour whose name begins alike would be part of the model. */
    if (!text_ends(uri, "/"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "S3Uri of an S3DataSource with S3DataType S3Prefix must end with a forward slash (/): %s",
                         uri);
    if (!doc_is(s3, "CompressionType", "None"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "S3DataType S3Prefix needs CompressionType None; an archive is an S3Object.");
    return 0;
}

static int check_container(const struct doc *container, struct err *err)
{
    static const char *const refused[] = {
        "ModelPackageName", "ImageConfig", "AdditionalModelDataSources", "ModelDataSource.S3DataSource.ManifestS3Uri",
        "ModelDataSource.S3DataSource.ETag", "ModelDataSource.S3DataSource.ManifestEtag",
        "ModelDataSource.S3DataSource.HubAccessConfig", NULL,
    };

    if (instance_refuse_unsafe(container, refused, err) < 0 || check_data_source(container, err) < 0)
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

    if (vpc_check(c, "VpcConfig", err) < 0)
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
