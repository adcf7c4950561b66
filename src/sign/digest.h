/* digest.h - digests, keyed digests and sealed bytes. Hides OpenSSL from the rest of the house.
 *
 * A digest is a plain value: it may stand on the stack, be copied in the middle of a message, and needs no freeing. */
#ifndef SIGN_DIGEST_H
#define SIGN_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/rand.h"
#include "base/str.h"

enum digest_kind { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256 };

enum { MD5_SIZE = 16, SHA1_SIZE = 20, SHA256_SIZE = 32, SEAL_KEY_SIZE = 32 };

struct digest {
    enum digest_kind kind;
    _Alignas(16) unsigned char state[128]; /* the library's own */
};

void digest_start(struct digest *, enum digest_kind);
void digest_update(struct digest *, const void *data, size_t size);
void digest_finish(struct digest *,
                   unsigned char *ret); /* ret has room for the kind's size; start again before the next use */

void sha256(unsigned char ret[static SHA256_SIZE], const void *data, size_t size);
void sha256_hex(char ret[static 2 * SHA256_SIZE + 1], const void *data, size_t size);
void md5(unsigned char ret[static MD5_SIZE], const void *data, size_t size);

void hmac_sha1(unsigned char ret[static SHA1_SIZE], const void *key, size_t key_size, const void *data, size_t size);
void hmac_sha256(unsigned char ret[static SHA256_SIZE], const void *key, size_t key_size, const void *data,
                 size_t size);

/* RFC 5869: as many bytes as are wanted (at most 255 times the hash's), for one purpose, which 'info' names. */
void hkdf_sha256(void *ret, size_t ret_size, struct str key, struct str salt, struct str info);

/* Equal, in a time that depends on the size only. */
bool secret_equal(const void *, const void *, size_t size);

/* AES-256-GCM with a fresh nonce: what comes out is nonce, ciphertext, tag. 'label' is bound to it but not in it.
 * Opening gives false for anything that was not sealed with this key and label. */
struct str seal(struct arena *, const unsigned char key[static SEAL_KEY_SIZE], struct rand *, struct str label,
                struct str plain);
bool unseal(struct arena *, const unsigned char key[static SEAL_KEY_SIZE], struct str label, struct str sealed,
            struct str *ret_plain);

#endif
