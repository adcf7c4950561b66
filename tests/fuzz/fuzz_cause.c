/* links: base agent */
/* The log of a container that ended: what is quoted of it is one line of its own, without space around it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/cause.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str log, struct str cause)
{
    if (!cause.size)
        return;
    assert(cause.data >= log.data && cause.data + cause.size <= log.data + log.size);
    assert(!memchr(cause.data, '\n', cause.size) && str_trim(cause).size == cause.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str log = { (const char *)data, size };

    check(log, cause_in(log));
    check(log, cause_of_called(log));
    return 0;
}
