/* token.c - the inside of a token is a version byte, two times, a counter, and the strings in the order of the table
 * below, each behind its length. A field is added by a new version, for tokens outlive an upgrade. */
#include "sign/token.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"

enum { VERSION = 1, TEXT_MAX = 1 << 20 };

static const size_t texts[] = {
    offsetof(struct token, access_key_id), offsetof(struct token, secret_access_key), offsetof(struct token, account),
    offsetof(struct token, arn),           offsetof(struct token, user_id),           offsetof(struct token, role_arn),
    offsetof(struct token, session_policy),
};
static const size_t numbers[] = {
    offsetof(struct token, issued_ms), offsetof(struct token, expires_ms), offsetof(struct token, revision),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Other things may be sealed with the session key one day; this is a token. */
static const struct str label = { "sagebrush session token", sizeof "sagebrush session token" - 1 };

static void put_u64(struct buf *b, uint64_t value)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (56 - 8 * i));
    buf_append(b, bytes, sizeof bytes);
}

static bool take_u64(struct str *from, uint64_t *ret)
{
    *ret = 0;
    if (from->size < 8)
        return false;
    for (int i = 0; i < 8; i++)
        *ret = *ret << 8 | (unsigned char)from->data[i];
    from->data += 8;
    from->size -= 8;
    return true;
}

char *token_seal(struct arena *a, const unsigned char key[static SEAL_KEY_SIZE], struct rand *rand,
                 const struct token *t)
{
    _cleanup_buf_ struct buf plain = { 0 };
    struct str sealed;

    buf_append_char(&plain, VERSION);
    for (size_t i = 0; i < COUNT(numbers); i++)
        put_u64(&plain, (uint64_t)*(const int64_t *)(const void *)((const char *)t + numbers[i]));
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *text = *(const char *const *)(const void *)((const char *)t + texts[i]);

        assert(text && strlen(text) < TEXT_MAX);
        put_u64(&plain, strlen(text));
        buf_append_str(&plain, text);
    }
    sealed = seal(a, key, rand, label, (struct str){ plain.data, plain.size });
    explicit_bzero(plain.data, plain.size);
    return base64_encode(a, sealed.data, sealed.size);
}

/* What was unsealed was made by us, yet perhaps by a newer one of us: a form not known is no token. */
static bool read_fields(struct arena *a, struct str plain, struct token *ret)
{
    if (plain.size < 1 || plain.data[0] != VERSION)
        return false;
    plain.data++;
    plain.size--;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint64_t value;

        if (!take_u64(&plain, &value))
            return false;
        *(int64_t *)(void *)((char *)ret + numbers[i]) = (int64_t)value;
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        uint64_t size;

        if (!take_u64(&plain, &size) || size > plain.size)
            return false;
        *(const char **)(void *)((char *)ret + texts[i]) = arena_strndup(a, plain.data, size);
        plain.data += size;
        plain.size -= size;
    }
    return plain.size == 0;
}

enum token_answer token_open(struct arena *a, const unsigned char key[static SEAL_KEY_SIZE], struct str text,
                             struct str access_key_id, int64_t now_ms, struct token *ret)
{
    struct token t;
    struct str sealed, plain;

    if (!base64_decode(a, text, &sealed) || !unseal(a, key, label, sealed, &plain) || !read_fields(a, plain, &t))
        return TOKEN_INVALID;
    if (!str_is(access_key_id, t.access_key_id))
        return TOKEN_INVALID;
    if (now_ms >= t.expires_ms)
        return TOKEN_EXPIRED;
    *ret = t;
    return TOKEN_GOOD;
}

bool token_is_of(const struct token *t, const char *id)
{
    size_t size = strlen(id);

    /* "AROA...:SESSION" of a role, "AIDA..." of a user */
    return size > 0 && strncmp(t->user_id, id, size) == 0 && (t->user_id[size] == ':' || t->user_id[size] == '\0');
}

void token_pair_new(struct rand *rand, const char *prefix, struct token_pair *ret)
{
    static const char id_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const char secret_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    assert(strlen(prefix) == 4);
    memcpy(ret->access_key_id, prefix, 4);
    for (int i = 4; i < 20; i++)
        ret->access_key_id[i] = id_letters[rand_below(rand, 32)];
    ret->access_key_id[20] = '\0';
    for (int i = 0; i < 40; i++)
        ret->secret_access_key[i] = secret_letters[rand_below(rand, 64)];
    ret->secret_access_key[40] = '\0';
}
