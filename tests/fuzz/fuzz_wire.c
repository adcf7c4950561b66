/* links: base doc aws model sign */
/* A whole request: lines of a head, an empty line, a body. Whatever it asks for is decoded, validated and answered,
 * with an error and with its own input for an output. */
#include <assert.h>
#include <stdint.h>

#include "aws/validate.h"
#include "aws/wire.h"

static struct str next_line(struct str *rest)
{
    struct str line = *rest, after = STR("");

    if (!str_cut(*rest, '\n', &line, &after))
        line = *rest;
    *rest = after;
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const signing[] = { "", "s3", "sagemaker", "logs", "monitoring", "sts", "iam" };
    static const char *const hosts[] = { "h", NULL };
    _cleanup_arena_ struct arena *a = arena_new();
    struct sigv4_header headers[16];
    struct wire_request request = { .headers = headers, .hosts = hosts };
    struct wire_response response;
    struct wire_match match;
    struct doc *input = NULL;
    struct err err = { .kind = ERR_INVALID };
    struct str rest, line, name, value;

    if (size < 1)
        return 0;
    rest = (struct str){ (const char *)data + 1, size - 1 };
    request.method = next_line(&rest);
    request.target = next_line(&rest);
    while ((line = next_line(&rest)).size > 0 && request.header_count < 16)
        if (str_cut(line, ':', &name, &value))
            headers[request.header_count++] = (struct sigv4_header){ name, str_trim(value) };
    request.body = rest;
    match = wire_route(a, &request, signing[data[0] % 7]);
    if (!match.operation)
        assert(wire_unknown(&match, &err) == -1);
    else if (wire_decode(a, &match, &request, &input, &err) == 0) {
        validate(a, match.operation, input, &err);
        wire_encode(a, &match, input, 0, "id", &response);
        buf_free(&response.body);
    }
    if (!input)
        assert(err.code[0]);
    wire_encode_error(a, &match, &err, NULL, "id", &response);
    buf_free(&response.body);
    return 0;
}
