#include "agent/credentials.h"

#include <string.h>

#include "base/clock.h"

enum { LIFE_MS = 3600 * 1000 };

struct doc *credentials_doc(struct arena *a, const struct order *o, int64_t now_ms)
{
    int64_t expires_ms = now_ms + LIFE_MS;
    struct doc *d = doc_map(a);

    if (o->credentials_expire_ms && o->credentials_expire_ms < expires_ms)
        expires_ms = o->credentials_expire_ms;
    doc_set_string(a, d, "AccessKeyId", o->access_key_id);
    doc_set_string(a, d, "SecretAccessKey", o->secret_access_key);
    doc_set_string(a, d, "Token", o->session_token);
    doc_set_string(a, d, "Expiration", time_iso8601(a, expires_ms, false));
    return d;
}

const char *credentials_role(const struct order *o)
{
    const char *slash = strrchr(o->role_arn, '/');

    return slash ? slash + 1 : "";
}
