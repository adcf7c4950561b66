#include "run/instance_id.h"

#include <string.h>

#include "sign/digest.h"

enum { DIGITS = 17 };

const char *instance_id(struct arena *a, const char *agent)
{
    unsigned char sum[SHA256_SIZE];
    char *id = arena_alloc(a, 2 + DIGITS + 1);

    sha256(sum, agent, strlen(agent));
    memcpy(id, "i-", 2);
    for (int i = 0; i < DIGITS; i++)
        id[2 + i] = "0123456789abcdef"[sum[i] % 16];
    return id;
}

const char *instance_zone(struct arena *a, const char *region)
{
    return arena_printf(a, "%sa", region);
}

const char *instance_arn(struct arena *a, const char *region, const char *account, const char *id)
{
    return arena_printf(a, "arn:aws:ec2:%s:%s:instance/%s", region, account, id);
}
