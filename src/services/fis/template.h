/* template.h - ExperimentTemplate: what an experiment would do to what, and when.
 *
 *     core_fis_templates   account 0 region 0 id   a JSON record: the template as Create and Update gave it
 *                          (description, targets, actions, stopConditions, roleArn, experimentOptions), tags,
 *                          created_ms, updated_ms
 *
 * Ids come from the client's token, so that a Create which comes twice makes one. */
#ifndef SERVICES_FIS_TEMPLATE_H
#define SERVICES_FIS_TEMPLATE_H

#include "engine/call.h"

int template_open(struct call *, const char *id, struct doc **ret, struct err *err); /* AWS's words: not there */
const char *fis_arn(struct call *, const char *type, const char *id);
const char *fis_id(struct call *, const char *prefix, const char *of); /* of the token, for this account and region */

/* ALL, COUNT(n), PERCENT(n): how many of 'there'; -1: neither. */
int64_t selection_count(const char *mode, int64_t there);

int fis_create_template(struct call *, struct err *);
int fis_get_template(struct call *, struct err *);
int fis_update_template(struct call *, struct err *);
int fis_list_templates(struct call *, struct err *);
int fis_delete_template(struct call *, struct err *);
int fis_tag_template(struct call *, const struct doc *tags, const struct doc *gone, struct doc **ret_tags,
                     struct err *err); /* the one of the input's resourceArn; all NULL but ret_tags: only looks */

#endif
