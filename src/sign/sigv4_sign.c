/* sigv4_sign.c - requests that are ours: signed in a header, or as a URL that somebody else may use. */
#include "sign/sigv4_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Proxies and clients change these on the way. */
static bool signable(struct str name)
{
    static const char *const left[] = { "connection", "expect", "transfer-encoding", "user-agent", "authorization",
                                        "x-amzn-trace-id", "keep-alive", "te", "trailer", "upgrade" };

    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (str_is_nocase(name, left[i]))
            return false;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct str signed_names(struct arena *a, const struct sigv4_header *headers, int count)
{
    const char **names = arena_array_of(a, const char *, (size_t)count + 1);
    _cleanup_buf_ struct buf list = { 0 };
    int n = 0;

    for (int i = 0; i < count; i++) {
        char *name;

        if (!signable(headers[i].name))
            continue;
        name = str_dup(a, headers[i].name);
        for (char *p = name; *p; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p - 'A' + 'a');
        names[n++] = name;
    }
    qsort(names, (size_t)n, sizeof *names, compare_names);
    for (int i = 0; i < n; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0)
            continue;
        if (list.size)
            buf_append_char(&list, ';');
        buf_append_str(&list, names[i]);
    }
    return str_of(arena_strndup(a, list.data ? list.data : "", list.size));
}

int sigv4_sign(struct arena *a, struct sigv4_cache *cache, const struct sigv4_request *r,
               const struct sigv4_credentials *who, const struct sigv4_scope *where, struct str payload,
               const struct sigv4_header **ret_headers)
{
    struct sigv4_cache *own = cache ? NULL : sigv4_cache_new();
    struct sigv4_header *all = arena_array_of(a, struct sigv4_header, (size_t)r->header_count + SIGV4_ADDED_MAX);
    struct sigv4_header *added = all + r->header_count;
    struct sigv4_request with = *r;
    struct str service = str_of(where->service), region = str_of(where->region), date;
    char *amz_date = arena_alloc(a, 17), scope[SCOPE_MAX], signature[65];
    const unsigned char *key;
    struct sigv4_canon canon;
    struct str names;
    int n = 0;

    if (!cache)
        cache = own;
    if (r->header_count)
        memcpy(all, r->headers, sizeof *all * (size_t)r->header_count);
    sigv4_time(amz_date, where->now_ms);
    date = (struct str){ amz_date, 8 };
    added[n++] = (struct sigv4_header){ STR("X-Amz-Date"), { amz_date, 16 } };
    added[n++] = (struct sigv4_header){ STR("X-Amz-Content-Sha256"), payload };
    if (who->session_token.size)
        added[n++] = (struct sigv4_header){ STR("X-Amz-Security-Token"), who->session_token };
    with.headers = all;
    with.header_count = r->header_count + n;
    names = signed_names(a, all, with.header_count);
    sigv4_scope_text(scope, date, region, service);
    key = sigv4_key(cache, who->secret_access_key, scope, date, region, service);
    canon = (struct sigv4_canon){ .request = &with, .signed_headers = names, .payload = payload,
                                  .s3 = sigv4_family(where->service) == SIGV4_S3 };
    sigv4_signature(signature, key, (struct str){ amz_date, 16 }, scope, sigv4_canonical(cache, &canon));
    added[n++] = (struct sigv4_header){
        STR("Authorization"),
        str_of(arena_printf(a, ALGORITHM " Credential=" STR_FMT "/%s, SignedHeaders=" STR_FMT ", Signature=%s",
                            STR_ARG(who->access_key_id), scope, STR_ARG(names), signature)) };
    sigv4_cache_free(own);
    *ret_headers = added;
    return n;
}

char *sigv4_presign(struct arena *a, const struct sigv4_request *r, const struct sigv4_credentials *who,
                    const struct sigv4_scope *where, struct str payload, int64_t expires_s)
{
    struct sigv4_cache *cache = sigv4_cache_new();
    struct sigv4_request with = *r;
    struct str service = str_of(where->service), region = str_of(where->region), date, names;
    _cleanup_buf_ struct buf target = { 0 };
    char amz_date[17], scope[SCOPE_MAX], signature[65];
    const unsigned char *key;
    struct sigv4_canon canon;

    sigv4_time(amz_date, where->now_ms);
    date = (struct str){ amz_date, 8 };
    sigv4_scope_text(scope, date, region, service);
    names = signed_names(a, r->headers, r->header_count);
    buf_append(&target, r->target.data, r->target.size);
    buf_printf(&target, "%cX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=",
               memchr(r->target.data, '?', r->target.size) ? '&' : '?');
    uri_encode(&target, who->access_key_id, false);
    buf_append_str(&target, "%2F");
    uri_encode(&target, str_of(scope), false);
    buf_printf(&target, "&X-Amz-Date=%s&X-Amz-Expires=%" PRId64 "&X-Amz-SignedHeaders=", amz_date, expires_s);
    uri_encode(&target, names, false);
    if (who->session_token.size) {
        buf_append_str(&target, "&X-Amz-Security-Token=");
        uri_encode(&target, who->session_token, false);
    }
    with.target = (struct str){ target.data, target.size };
    key = sigv4_key(cache, who->secret_access_key, scope, date, region, service);
    canon = (struct sigv4_canon){ .request = &with, .signed_headers = names, .payload = payload,
                                  .s3 = sigv4_family(where->service) == SIGV4_S3, .presigned = true };
    sigv4_signature(signature, key, (struct str){ amz_date, 16 }, scope, sigv4_canonical(cache, &canon));
    buf_printf(&target, "&X-Amz-Signature=%s", signature);
    sigv4_cache_free(cache);
    return arena_strndup(a, target.data, target.size);
}
