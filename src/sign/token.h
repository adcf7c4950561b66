/* token.h - session tokens: sealed, and complete in themselves.
 *
 * A token holds everything that is needed to verify a request made with temporary credentials, so that the data
 * plane can do so while the control plane is down. Who does not have the session key can neither read nor make one. */
#ifndef SIGN_TOKEN_H
#define SIGN_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/rand.h"
#include "base/str.h"
#include "sign/digest.h"

struct token { /* strings are never NULL; "" does not apply */
    const char *access_key_id; /* ASIA... */
    const char *secret_access_key;
    const char *account;
    const char *arn;      /* who asks: arn:aws:sts::A:assumed-role/ROLE/SESSION, or a user's own */
    const char *user_id;  /* AROA...:SESSION, or the user's */
    const char *role_arn; /* whose policies apply: a role's ARN, or a user's for a session of its own */
    const char *session_policy; /* JSON, "" for none */
    int64_t issued_ms, expires_ms;
    int64_t revision; /* of the role's policies when it was issued */
};

/* Base64 text, fit for X-Amz-Security-Token. */
char *token_seal(struct arena *, const unsigned char key[static SEAL_KEY_SIZE], struct rand *, const struct token *);

enum token_answer { TOKEN_GOOD, TOKEN_INVALID, TOKEN_EXPIRED };

/* A token is good only together with the access key id that it was made for. sigv4_refuse() has the words for the rest.
 */
enum token_answer token_open(struct arena *, const unsigned char key[static SEAL_KEY_SIZE], struct str text,
                             struct str access_key_id, int64_t now_ms, struct token *ret);

/* Was it made for the user or the role of this id? A name may come back after its owner is gone, an id never. */
bool token_is_of(const struct token *, const char *id);

/* Makes a fresh pair: 'prefix' "AKIA" or "ASIA" and 16 capital letters and digits; 40 characters of secret. */
struct token_pair {
    char access_key_id[21], secret_access_key[41];
};
void token_pair_new(struct rand *, const char *prefix, struct token_pair *ret);

#endif
