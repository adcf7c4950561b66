/* key.c - the primary keys of S3's ordered tables. */
#include "services/s3/key.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"

static struct str joined(struct arena *a, const char *bucket, struct str key, bool ended, struct str rest)
{
    size_t bucket_size = strlen(bucket), size = bucket_size + 1 + key.size + (ended ? 1 : 0) + rest.size;
    char *at = arena_alloc(a, size + 1); /* zeroed: the NULs are there */
    struct str all = { at, size };

    memcpy(at, bucket, bucket_size);
    at += bucket_size + 1;
    if (key.size > 0)
        memcpy(at, key.data, key.size);
    at += key.size + (ended ? 1 : 0);
    if (rest.size > 0)
        memcpy(at, rest.data, rest.size);
    return all;
}

/* Big-endian, so that memcmp order is numeric order. */
static struct str big_endian(char bytes[static 8], uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        bytes[i] = (char)(number & 0xff);
    return (struct str){ bytes, 8 };
}

struct str key_of_version(struct arena *a, const char *bucket, struct str key, int64_t place)
{
    char bytes[8];

    /* Counted downwards, for the newest to come first. */
    return joined(a, bucket, key, true, big_endian(bytes, UINT64_MAX - (uint64_t)place));
}

struct str key_of_upload(struct arena *a, const char *bucket, struct str key, const char *upload_id)
{
    return joined(a, bucket, key, true, str_of(upload_id));
}

struct str key_of_part(struct arena *a, const char *upload_id, int64_t number)
{
    char bytes[8];

    return joined(a, upload_id, big_endian(bytes, (uint64_t)number), false, STR(""));
}

struct str key_of_bucket(struct arena *a, const char *bucket)
{
    return joined(a, bucket, STR(""), false, STR(""));
}

struct str key_of_object(struct arena *a, const char *bucket, struct str key)
{
    return joined(a, bucket, key, true, STR(""));
}

struct str key_of_prefix(struct arena *a, const char *bucket, struct str prefix)
{
    return joined(a, bucket, prefix, false, STR(""));
}

void key_split(struct str primary, struct str *ret_key, struct str *ret_rest)
{
    const char *key = memchr(primary.data, '\0', primary.size), *end;

    assert(key != NULL);
    key++;
    end = memchr(key, '\0', primary.size - (size_t)(key - primary.data));
    assert(end != NULL);
    *ret_key = (struct str){ key, (size_t)(end - key) };
    *ret_rest = (struct str){ end + 1, primary.size - (size_t)(end + 1 - primary.data) };
}

int64_t key_place(struct str rest)
{
    uint64_t number = 0;

    assert(rest.size == 8);
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | (unsigned char)rest.data[i];
    return (int64_t)(UINT64_MAX - number);
}
