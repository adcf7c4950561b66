/* ops.c - the operations of AWS FIS that are here. */
#include "services/fis/catalog.h"
#include "services/fis/experiment.h"
#include "services/fis/fis.h"
#include "services/fis/template.h"

static const char template_resource[] = "arn:aws:fis:{region}:{account}:experiment-template/{id}";
static const char started_resource[] = "arn:aws:fis:{region}:{account}:experiment-template/{experimentTemplateId}";
static const char experiment_resource[] = "arn:aws:fis:{region}:{account}:experiment/{id}";

#define OP(name, run, flags, resource) { name, run, OP_RUN, NULL, flags, NULL, resource }

static const struct op ops[] = {
    OP("CreateExperimentTemplate", fis_create_template, OP_WRITES, "*"),
    OP("GetExperimentTemplate", fis_get_template, OP_READS, template_resource),
    OP("UpdateExperimentTemplate", fis_update_template, OP_WRITES, template_resource),
    OP("DeleteExperimentTemplate", fis_delete_template, OP_WRITES, template_resource),
    OP("ListExperimentTemplates", fis_list_templates, OP_READS, "*"),
    OP("StartExperiment", fis_start_experiment, OP_WRITES, started_resource),
    OP("GetExperiment", fis_get_experiment, OP_READS, experiment_resource),
    OP("StopExperiment", fis_stop_experiment, OP_WRITES, experiment_resource),
    OP("ListExperiments", fis_list_experiments, OP_READS, "*"),
    OP("ListExperimentResolvedTargets", fis_list_resolved_targets, OP_READS,
       "arn:aws:fis:{region}:{account}:experiment/{experimentId}"),
    OP("ListActions", fis_list_actions, OP_READS, "*"),
    OP("GetAction", fis_get_action, OP_READS, "arn:aws:fis:{region}:{account}:action/{id}"),
    OP("ListTargetResourceTypes", fis_list_resource_types, OP_READS, "*"),
    OP("GetTargetResourceType", fis_get_resource_type, OP_READS, "*"),
    OP("TagResource", fis_tag, OP_WRITES, "{resourceArn}"),
    OP("UntagResource", fis_untag, OP_WRITES, "{resourceArn}"),
    OP("ListTagsForResource", fis_list_tags, OP_READS, "{resourceArn}"),
    {},
};

const struct service_ops fis_ops = { "fis", ops };
