/* ops.c - the operations of SageMaker that are here; everything generic is a row. */
#include "engine/tags.h"
#include "services/sagemaker/kinds.h"

#define VERBS(noun, kind)                                              \
    { "Create" noun, NULL, OP_CREATE, &kind, OP_WRITES },              \
    { "Describe" noun, NULL, OP_DESCRIBE, &kind, OP_READS },           \
    { "List" noun "s", NULL, OP_LIST, &kind, OP_READS },               \
    { "Delete" noun, NULL, OP_DELETE, &kind, OP_WRITES }

static const struct op ops[] = {
    VERBS("TrainingJob", training_job),
    { "StopTrainingJob", NULL, OP_STOP, &training_job, OP_WRITES },
    { "UpdateTrainingJob", NULL, OP_UPDATE, &training_job, OP_WRITES },
    VERBS("ProcessingJob", processing_job),
    { "StopProcessingJob", NULL, OP_STOP, &processing_job, OP_WRITES },
    VERBS("Model", model),
    VERBS("EndpointConfig", endpoint_config),
    VERBS("Endpoint", endpoint),
    { "UpdateEndpoint", NULL, OP_UPDATE, &endpoint, OP_WRITES },
    { "AddTags", tags_add, OP_RUN, NULL, OP_WRITES, NULL, "{ResourceArn}" },
    { "ListTags", tags_list, OP_RUN, NULL, OP_READS, NULL, "{ResourceArn}" },
    { "DeleteTags", tags_delete, OP_RUN, NULL, OP_WRITES, NULL, "{ResourceArn}" },
    {},
};

const struct service_ops sagemaker_ops = { "sagemaker", ops };

const struct kind *const sagemaker_kinds[] = { &training_job, &processing_job, &model, &endpoint_config,
                                               &endpoint, NULL };
