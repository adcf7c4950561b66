/* digest.c - OpenSSL, hidden.
 *
 * The one-shot and streaming digests use the library's plain functions, not EVP: a signature is a dozen digests of a
 * hundred bytes, and with EVP the allocations around them cost more than the digests do. Their states are plain
 * memory, which is what lets a digest be a value. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sign/digest.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

_Static_assert(sizeof(MD5_CTX) <= sizeof((struct digest *)0)->state, "the state is too small");
_Static_assert(sizeof(SHA_CTX) <= sizeof((struct digest *)0)->state, "the state is too small");
_Static_assert(sizeof(SHA256_CTX) <= sizeof((struct digest *)0)->state, "the state is too small");

enum { HKDF_INFO_MOST = 256 };

void digest_start(struct digest *d, enum digest_kind kind)
{
    void *state = d->state;

    d->kind = kind;
    switch (kind) {
    case DIGEST_MD5:
        MD5_Init(state);
        return;
    case DIGEST_SHA1:
        SHA1_Init(state);
        return;
    case DIGEST_SHA256:
        SHA256_Init(state);
        return;
    }
    assert(!"a kind of digest");
}

void digest_update(struct digest *d, const void *data, size_t size)
{
    void *state = d->state;

    switch (d->kind) {
    case DIGEST_MD5:
        MD5_Update(state, data, size);
        return;
    case DIGEST_SHA1:
        SHA1_Update(state, data, size);
        return;
    case DIGEST_SHA256:
        SHA256_Update(state, data, size);
        return;
    }
    assert(!"a kind of digest");
}

void digest_finish(struct digest *d, unsigned char *ret)
{
    void *state = d->state;

    switch (d->kind) {
    case DIGEST_MD5:
        MD5_Final(ret, state);
        return;
    case DIGEST_SHA1:
        SHA1_Final(ret, state);
        return;
    case DIGEST_SHA256:
        SHA256_Final(ret, state);
        return;
    }
    assert(!"a kind of digest");
}

void sha256(unsigned char ret[static SHA256_SIZE], const void *data, size_t size)
{
    struct digest d;

    digest_start(&d, DIGEST_SHA256);
    digest_update(&d, data, size);
    digest_finish(&d, ret);
}

void sha256_hex(char ret[static 2 * SHA256_SIZE + 1], const void *data, size_t size)
{
    unsigned char hash[SHA256_SIZE];

    sha256(hash, data, size);
    hex_encode(ret, hash, sizeof hash);
}

void md5(unsigned char ret[static MD5_SIZE], const void *data, size_t size)
{
    struct digest d;

    digest_start(&d, DIGEST_MD5);
    digest_update(&d, data, size);
    digest_finish(&d, ret);
}

/* RFC 2104. The blocks of all three digests have 64 bytes. */
static void hmac(enum digest_kind kind, size_t hash_size, unsigned char *ret, const void *key, size_t key_size,
                 const void *data, size_t size)
{
    unsigned char block[64] = { 0 }, pad[64], inner[SHA256_SIZE];
    struct digest d;

    if (key_size > sizeof block) {
        digest_start(&d, kind);
        digest_update(&d, key, key_size);
        digest_finish(&d, block);
    } else if (key_size) {
        memcpy(block, key, key_size);
    }
    for (size_t i = 0; i < sizeof block; i++)
        pad[i] = block[i] ^ 0x36;
    digest_start(&d, kind);
    digest_update(&d, pad, sizeof pad);
    digest_update(&d, data, size);
    digest_finish(&d, inner);
    for (size_t i = 0; i < sizeof block; i++)
        pad[i] = block[i] ^ 0x5c;
    digest_start(&d, kind);
    digest_update(&d, pad, sizeof pad);
    digest_update(&d, inner, hash_size);
    digest_finish(&d, ret);
}

void hmac_sha1(unsigned char ret[static SHA1_SIZE], const void *key, size_t key_size, const void *data, size_t size)
{
    hmac(DIGEST_SHA1, SHA1_SIZE, ret, key, key_size, data, size);
}

void hmac_sha256(unsigned char ret[static SHA256_SIZE], const void *key, size_t key_size, const void *data, size_t size)
{
    hmac(DIGEST_SHA256, SHA256_SIZE, ret, key, key_size, data, size);
}

void hkdf_sha256(void *ret, size_t ret_size, struct str key, struct str salt, struct str info)
{
    unsigned char extracted[SHA256_SIZE], block[SHA256_SIZE], message[SHA256_SIZE + HKDF_INFO_MOST + 1];
    size_t before = 0, done = 0;

    assert(info.size <= HKDF_INFO_MOST && ret_size <= 255 * SHA256_SIZE);
    hmac_sha256(extracted, salt.data, salt.size, key.data, key.size);
    for (unsigned char i = 1; done < ret_size; i++) {
        size_t part = ret_size - done < sizeof block ? ret_size - done : sizeof block;

        memcpy(message, block, before);
        memcpy(message + before, info.data, info.size);
        message[before + info.size] = i;
        hmac_sha256(block, extracted, sizeof extracted, message, before + info.size + 1);
        memcpy((unsigned char *)ret + done, block, part);
        done += part;
        before = sizeof block;
    }
    OPENSSL_cleanse(extracted, sizeof extracted);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(message, sizeof message);
}

bool secret_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

enum { NONCE_SIZE = 12, TAG_SIZE = 16 };

struct str seal(struct arena *a, const unsigned char key[static SEAL_KEY_SIZE], struct rand *rand, struct str label,
                struct str plain)
{
    unsigned char *out = arena_alloc(a, NONCE_SIZE + plain.size + TAG_SIZE);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0, tail = 0;

    assert(c && plain.size < INT_MAX && label.size < INT_MAX);
    rand->fill(rand, out, NONCE_SIZE);
    /* None of these can fail but for want of memory, which ends the process everywhere. */
    if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)label.data, (int)label.size) != 1 ||
        EVP_EncryptUpdate(c, out + NONCE_SIZE, &n, (const unsigned char *)plain.data, (int)plain.size) != 1 ||
        EVP_EncryptFinal_ex(c, out + NONCE_SIZE + n, &tail) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + NONCE_SIZE + plain.size) != 1)
        assert(!"AES-256-GCM works");
    assert((size_t)(n + tail) == plain.size);
    EVP_CIPHER_CTX_free(c);
    return (struct str){ (char *)out, NONCE_SIZE + plain.size + TAG_SIZE };
}

bool unseal(struct arena *a, const unsigned char key[static SEAL_KEY_SIZE], struct str label, struct str sealed,
            struct str *ret_plain)
{
    const unsigned char *in = (const unsigned char *)sealed.data;
    unsigned char tag[TAG_SIZE], *out;
    EVP_CIPHER_CTX *c;
    size_t size;
    int n = 0, tail = 0;
    bool good;

    if (sealed.size < NONCE_SIZE + TAG_SIZE || sealed.size > INT_MAX)
        return false;
    size = sealed.size - NONCE_SIZE - TAG_SIZE;
    memcpy(tag, in + NONCE_SIZE + size, sizeof tag);
    out = arena_alloc(a, size + 1);
    c = EVP_CIPHER_CTX_new();
    assert(c);
    good = EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)label.data, (int)label.size) == 1 &&
           EVP_DecryptUpdate(c, out, &n, in + NONCE_SIZE, (int)size) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, sizeof tag, tag) == 1 &&
           EVP_DecryptFinal_ex(c, out + n, &tail) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!good)
        return false;
    *ret_plain = (struct str){ (char *)out, size };
    return true;
}
