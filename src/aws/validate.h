/* validate.h - does an input keep the promises of its model? Every violation is found, and told in AWS's words.
 *
 * How a breach is told depends on the service's first protocol:
 *   json, rest-json   ValidationException: "2 validation errors detected: Value 'x' at 'trainingJobName' failed to ..."
 *   query, ec2        the same words under the code ValidationError
 *   rest-xml (S3)     S3 has no such text: what breaks the body's schema is MalformedXML, what breaks a header or the
 *                     query is InvalidArgument; lengths and patterns are S3's own affair (InvalidBucketName...)
 * A value of another type than the model's is a SerializationException. Members that the model does not know and null
 * members are as if they were not there. */
#ifndef AWS_VALIDATE_H
#define AWS_VALIDATE_H

#include "aws/model.h"
#include "base/err.h"
#include "doc/doc.h"

int validate(struct arena *, const struct operation *, const struct doc *input, struct err *err);

/* Values that an installation has beside the model's: of every set whose shape's name ends so. */
struct own_values {
    const char *shape;         /* "InstanceType" */
    const char *const *values; /* NULL-terminated */
};
int validate_with(struct arena *, const struct operation *, const struct doc *input, const struct own_values *,
                  struct err *err); /* NULL: none */

#endif
