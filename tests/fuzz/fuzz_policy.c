/* links: base doc sign aws */
/* A policy document, checked and asked. A document of any shape may be asked, checked or not. */
#include <assert.h>
#include <stdint.h>

#include "aws/policy.h"
#include "doc/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { (const char *)data, size };
    struct doc *d, *context;
    struct err err;

    if (size > 4096 || json_parse(a, text, &d, &err) < 0)
        return 0;
    context = policy_context(a, &(struct policy_caller) { .arn = "arn:aws:iam::123456789012:user/team/bob",
                                                          .account = "123456789012",
                                                          .user_id = "AIDA1",
                                                          .source_ip = "10.1.2.3",
                                                          .region = "eu-west-1",
                                                          .now_ms = 1709208000000 });
    for (int kind = POLICY_IDENTITY; kind <= POLICY_RESOURCE; kind++) {
        struct doc *parsed;

        if (policy_parse(a, text, (enum policy_kind)kind, &parsed, &err) < 0)
            assert(*err.code);
    }
    policy_evaluate(&(struct policy_request){ .policies = d, .session_policy = d, .arn = "x", .action = "s3:GetObject",
                                              .resource = "arn:aws:s3:::bucket/team/bob/key", .context = context });
    policy_knocks(&(struct policy_knock){ .document = d, .arn = "arn:aws:sts::123456789012:assumed-role/R/s",
                                          .account = "123456789012", .service = "", .action = "sts:AssumeRole",
                                          .resource = "", .context = context }, NULL);
    return 0;
}
