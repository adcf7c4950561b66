#include "services/sagemaker/condition_keys.h"

#include <string.h>

#include "aws/model.h"

/* Of "Condition keys for Amazon SageMaker" in the Service Authorization Reference, those whose members are not refused
 * anyway (keys of KMS). */
static const struct source {
    const char *key;
    const char *list;   /* of each of these; NULL: of the request itself */
    const char *member; /* "": the list has the values themselves */
    const char *usual;  /* what holds where the request says nothing; NULL: nothing does */
} sources[] = {
    { "sagemaker:EnableRemoteDebug", NULL, "RemoteDebugConfig.EnableRemoteDebug", NULL },
    { "sagemaker:FileSystemAccessMode", "InputDataConfig", "DataSource.FileSystemDataSource.FileSystemAccessMode",
      NULL },
    { "sagemaker:FileSystemDirectoryPath", "InputDataConfig", "DataSource.FileSystemDataSource.DirectoryPath", NULL },
    { "sagemaker:FileSystemId", "InputDataConfig", "DataSource.FileSystemDataSource.FileSystemId", NULL },
    { "sagemaker:FileSystemType", "InputDataConfig", "DataSource.FileSystemDataSource.FileSystemType", NULL },
    { "sagemaker:InstanceTypes", NULL, "ResourceConfig.InstanceType", NULL },
    { "sagemaker:InstanceTypes", "ResourceConfig.InstanceGroups", "InstanceType", NULL },
    { "sagemaker:InstanceTypes", NULL, "ProcessingResources.ClusterConfig.InstanceType", NULL },
    { "sagemaker:InstanceTypes", "ProductionVariants", "InstanceType", NULL },
    { "sagemaker:InterContainerTrafficEncryption", NULL, "EnableInterContainerTrafficEncryption", "false" },
    { "sagemaker:InterContainerTrafficEncryption", NULL, "NetworkConfig.EnableInterContainerTrafficEncryption",
      "false" },
    { "sagemaker:KeepAlivePeriod", NULL, "ResourceConfig.KeepAlivePeriodInSeconds", NULL },
    { "sagemaker:MaxRuntimeInSeconds", NULL, "StoppingCondition.MaxRuntimeInSeconds", "86400" },
    { "sagemaker:NetworkIsolation", NULL, "EnableNetworkIsolation", "false" },
    { "sagemaker:NetworkIsolation", NULL, "NetworkConfig.EnableNetworkIsolation", "false" },
    { "sagemaker:VpcSecurityGroupIds", "VpcConfig.SecurityGroupIds", "", NULL },
    { "sagemaker:VpcSecurityGroupIds", "NetworkConfig.VpcConfig.SecurityGroupIds", "", NULL },
    { "sagemaker:VpcSubnets", "VpcConfig.Subnets", "", NULL },
    { "sagemaker:VpcSubnets", "NetworkConfig.VpcConfig.Subnets", "", NULL },
};

/* Whether requests of that operation can say it at all. */
static bool may_say(const struct shape *input, const char *path)
{
    return model_member(input, (struct str){ path, strcspn(path, ".") }) != NULL;
}

static void add(struct arena *a, struct doc *context, const char *key, const struct doc *value)
{
    if (value && value->type != DOC_NULL)
        doc_append(a, doc_member(a, context, key, DOC_LIST), doc_copy(a, value));
}

void condition_keys(struct call *c, struct doc *context)
{
    const struct shape *input = c->operation->input;
    /* An endpoint is isolated as its models are. */
    bool has_usual = !may_say(input, "ProductionVariants");

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const struct source *s = &sources[i];
        const struct doc *list = s->list ? doc_at(c->input, s->list) : NULL;

        if (!may_say(input, s->list ? s->list : s->member))
            continue;
        for (size_t k = 0; k < doc_count(list, ""); k++)
            add(c->arena, context, s->key, doc_at(list->items[k], s->member));
        if (!s->list && doc_has(c->input, s->member))
            add(c->arena, context, s->key, doc_at(c->input, s->member));
        else if (s->usual && has_usual)
            add(c->arena, context, s->key, doc_string(c->arena, s->usual));
    }
}
