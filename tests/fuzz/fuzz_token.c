/* links: base sign */
/* A session token as it came in, and its inside sealed with the right key: what only a newer version of us would make.
 */
#include <assert.h>
#include <stdint.h>

#include "sign/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char key[SEAL_KEY_SIZE] = { 1 };
    _cleanup_arena_ struct arena *a = arena_new();
    struct rand dice = rand_seeded(1);
    struct str plain = { (const char *)data, size }, sealed;
    struct token t;

    assert(token_open(a, key, plain, STR("ASIA"), 0, &t) != TOKEN_GOOD);
    sealed = seal(a, key, &dice, STR("sagebrush session token"), plain);
    if (token_open(a, key, str_of(base64_encode(a, sealed.data, sealed.size)), STR("ASIA"), 0, &t) == TOKEN_GOOD)
        assert(t.expires_ms > 0);
    return 0;
}
