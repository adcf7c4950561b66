/* endpoint_config.c - EndpointConfig: which models an endpoint serves, on what, with which share of the requests. */
#include "engine/engine.h"
#include "services/sagemaker/condition_keys.h"
#include "services/sagemaker/instance.h"
#include "services/sagemaker/kinds.h"

#include <string.h>

enum {
    STARTUP_S = 600, /* the guide's 4 minutes are for hosts that have the image; a Python model takes its time */
    VOLUME_GB = 30,  /* without a size: on AWS it depends on the type */
};

static int check_variant(struct call *c, const struct doc *v, struct err *err)
{
    static const char *const refused[] = {
        "ServerlessConfig", "AcceleratorType", "CoreDumpConfig", "ManagedInstanceScaling",
        "CapacityReservationConfig", "InstancePools", "AcceleratorPartitionLayouts", NULL,
    };
    struct resource found;

    if (instance_refuse_unsafe(v, refused, err) < 0)
        return -1;
    if (!doc_has(v, "ModelName"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Variant %s: a variant without ModelName (inference components) is not here yet.",
                         doc_text(v, "VariantName"));
    if (!doc_has(v, "InstanceType") || !doc_has(v, "InitialInstanceCount"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Variant %s must have InstanceType and InitialInstanceCount.", doc_text(v, "VariantName"));
    return resource_find(c, &model, doc_text(v, "ModelName"), &found, err);
}

static int create(struct call *c, struct resource *r, struct err *err)
{
    static const char *const refused[] = {
        "KmsKeyId", "AsyncInferenceConfig", "ShadowProductionVariants", "ExplainerConfig", "VpcConfig", NULL,
    };
    const struct doc *variants = doc_get(c->input, "ProductionVariants");

    if (instance_refuse_unsafe(c->input, refused, err) < 0)
        return -1;
    /* Of inference components; a Model says for itself whether it is isolated. */
    if (doc_bool(c->input, "EnableNetworkIsolation", false))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "EnableNetworkIsolation of an endpoint configuration is not here yet: set it in CreateModel.");
    if (doc_bool(c->input, "DataCaptureConfig.EnableCapture", false))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "DataCaptureConfig.EnableCapture is not here yet: leave it out.");
    for (size_t i = 0; i < doc_count(variants, ""); i++) {
        for (size_t j = 0; j < i; j++)
            if (doc_is(variants->items[j], "VariantName", doc_text(variants->items[i], "VariantName")))
                return fail_code(err, ERR_INVALID, "ValidationException", "Variant names must be unique: %s",
                                 doc_text(variants->items[i], "VariantName"));
        if (check_variant(c, variants->items[i], err) < 0)
            return -1;
    }
    return 0;
}

static struct doc *resolve_variant(struct arena *a, const struct doc *v, const struct doc *m)
{
    const struct doc *container =
        doc_has(m, "PrimaryContainer") ? doc_get(m, "PrimaryContainer") : doc_at(m, "Containers[0]");
    struct doc *out = doc_map(a);

    doc_set_string(a, out, "VariantName", doc_text(v, "VariantName"));
    doc_set_string(a, out, "ModelName", doc_text(v, "ModelName"));
    doc_set_string(a, out, "InstanceType", doc_text(v, "InstanceType"));
    doc_set_integer(a, out, "InstanceCount", doc_int(v, "InitialInstanceCount", 1));
    doc_set_real(a, out, "Weight", doc_number(v, "InitialVariantWeight", 1));
    doc_set_integer(a, out, "VolumeGb", doc_int(v, "VolumeSizeInGB", VOLUME_GB));
    doc_set_integer(a, out, "StartupSeconds", doc_int(v, "ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_S));
    doc_set_string(a, out, "RoleArn", doc_text(m, "ExecutionRoleArn"));
    doc_set_boolean(a, out, "Isolated", doc_bool(m, "EnableNetworkIsolation", false));
    doc_set_string(a, out, "Image", doc_text(container, "Image"));
    for (const char *const *name = (const char *const[]) { "ModelDataUrl", "ModelDataSource", "Environment", NULL };
         *name; name++)
        if (doc_has(container, *name))
            doc_set(a, out, *name, doc_copy(a, doc_get(container, *name)));
    return out;
}

int endpoint_config_resolve(struct call *c, const char *name, struct doc **ret, struct err *err)
{
    struct doc *out = doc_map(c->arena), *list = doc_list(c->arena);
    const struct doc *variants;
    struct resource config, m;

    if (resource_find(c, &endpoint_config, name, &config, err) < 0)
        return -1;
    variants = doc_get(config.row.spec, "ProductionVariants");
    for (size_t i = 0; i < doc_count(variants, ""); i++) {
        if (resource_find(c, &model, doc_text(variants->items[i], "ModelName"), &m, err) < 0)
            return -1;
        doc_append(c->arena, list, resolve_variant(c->arena, variants->items[i], m.row.spec));
    }
    doc_set_string(c->arena, out, "EndpointConfigName", name);
    doc_set(c->arena, out, "Variants", list);
    *ret = out;
    return 0;
}

const struct kind endpoint_config = {
    .name = "EndpointConfig",
    .service = "sagemaker",
    .arn_type = "endpoint-config",
    .name_member = "EndpointConfigName",
    .arn_member = "EndpointConfigArn",
    .missing_text = "Could not find endpoint configuration \"%s\".",
    .exists_text = "Cannot create already existing endpoint configuration \"%s\".",
    .conditions = condition_keys,
    .create = create,
};
