/* links: base sign */
/* The claim of a request's head: the first line is the method and target, the others are headers. A request that was
 * signed by us is verified too, whatever its target is. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "sign/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const services[] = { "", "s3", "sagemaker", "iam" };
    _cleanup_arena_ struct arena *a = arena_new();
    static struct sigv4_cache *cache;
    struct sigv4_header headers[40];
    struct str rest = { (const char *)data, size }, line;
    struct sigv4_request r = { .headers = headers };
    struct sigv4_claim claim;
    struct sigv4_seed seed;
    struct err err;
    unsigned char hash[32] = { 0 };

    if (!cache)
        cache = sigv4_cache_new();
    if (!str_cut(rest, '\n', &line, &rest) || !str_cut(line, ' ', &r.method, &r.target))
        return 0;
    while (rest.size && r.header_count < 32) {
        struct str after = { 0 };

        line = rest;
        str_cut(rest, '\n', &line, &after);
        rest = after;
        if (str_cut(line, ':', &headers[r.header_count].name, &headers[r.header_count].value))
            r.header_count++;
    }
    for (size_t i = 0; i < 4; i++)
        if (sigv4_parse(a, &r, services[i], &claim, &err) == 0)
            assert(sigv4_verify(cache, &r, &claim, STR("secret"), hash, claim.signed_at_ms, &seed, &err) == 0 ||
                   *err.code);
    for (size_t i = 1; i < 3; i++) {
        const struct sigv4_credentials who = { STR("AKID"), STR("secret"), { 0 } };
        const struct sigv4_scope where = { "r", services[i], 1709208000000 };
        const struct sigv4_header *added;
        int n, had = r.header_count;

        headers[r.header_count++] = (struct sigv4_header){ STR("host"), STR("h") };
        if (!sigv4_anonymous(&r))
            return 0;
        n = sigv4_sign(a, cache, &r, &who, &where, STR("UNSIGNED-PAYLOAD"), &added);
        memcpy(headers + r.header_count, added, sizeof *added * (size_t)n);
        r.header_count += n;
        if (sigv4_parse(a, &r, services[i], &claim, &err) == 0)
            assert(str_is(claim.access_key_id, "AKID"));
        r.header_count = had;
    }
    return 0;
}
