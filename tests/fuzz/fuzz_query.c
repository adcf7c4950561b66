/* links: base doc aws model sign */
/* The first byte chooses an operation of the Query services; the rest is the form. */
#include <stdint.h>

#include "aws/validate.h"
#include "aws/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const services[] = { "iam", "sts", "cloudwatch" };
    _cleanup_arena_ struct arena *a = arena_new();
    const struct service *service;
    struct wire_match match = { .protocol = PROTOCOL_QUERY };
    struct wire_request request = { .method = STR("POST"), .target = STR("/") };
    struct doc *input;
    struct err err;

    if (size < 2)
        return 0;
    service = model_service(services[data[0] % 3]);
    match.service = service;
    match.operation = &service->operations[data[1] % service->operation_count];
    match.protocol = data[0] & 128 ? PROTOCOL_EC2 : PROTOCOL_QUERY;
    request.body = (struct str){ (const char *)data + 2, size - 2 };
    if (wire_decode(a, &match, &request, &input, &err) == 0)
        validate(a, match.operation, input, &err);
    return 0;
}
