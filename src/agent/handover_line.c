#include "agent/handover_line.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/rand.h"
#include "sign/digest.h"
#include "sign/esp.h"

#define MAGIC "SGBHAND1"

enum { NONCE_SIZE = 32, PROOF_SIZE = 32, NUMBER_SIZE = 8, HEAD_SIZE = 8, ASK_MS = 1000 };

struct call {
    char magic[sizeof MAGIC - 1];
    unsigned char nonce[NONCE_SIZE];
    uint16_t number;
} __attribute__((packed));

struct answer {
    unsigned char nonce[NONCE_SIZE], proof[PROOF_SIZE];
};

struct head {
    uint8_t kind, zero[3];
    uint32_t size;
};

_Static_assert(sizeof(struct call) == 42 && sizeof(struct answer) == 64 && sizeof(struct head) == HEAD_SIZE,
               "they go over the network as they are");

int handover_token(const struct order *o, unsigned char ret[static HANDOVER_TOKEN_SIZE], struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str secret;

    if (!base64_decode(a, str_of(o->tunnel_secret), &secret) || secret.size != ESP_SECRET_SIZE)
        return fail(err, ERR_INVALID, "the order has no secret for the tunnel");
    hkdf_sha256(ret, HANDOVER_TOKEN_SIZE, secret, STR(""), STR("sagebrush handover"));
    return 0;
}

/* --- Bytes --- */

static int broken(struct handover_line *l, struct err *err, const char *what)
{
    l->broken = true;
    return fail(err, ERR_UNAVAILABLE, "%s", what);
}

static int broken_errno(struct handover_line *l, struct err *err, const char *what)
{
    fail_errno(err, errno, "%s", what);
    l->broken = true;
    err->kind = ERR_UNAVAILABLE;
    return -1;
}

int handover_line_wait(struct handover_line *l, int fd, short events, int64_t most_ms, bool *ret_ready, struct err *err)
{
    struct pollfd fds[2] = { { fd, events, 0 }, { l->cancel_fd, POLLIN, 0 } };

    *ret_ready = false;
    for (int64_t left_ms = most_ms; !*ret_ready && left_ms > 0; left_ms -= ASK_MS) {
        int ready = poll(fds, 2, (int)(left_ms < ASK_MS ? left_ms : ASK_MS));

        if (ready < 0 && errno != EINTR)
            return broken_errno(l, err, "wait for another instance");
        l->ended = ready > 0 && fds[1].revents;
        if (l->ended)
            fail(err, ERR_CONFLICT, "the handover of the results was ended");
        else
            l->ended = ready == 0 && l->over && l->over(l->data, err) < 0;
        if (l->ended) {
            l->broken = true;
            return -1;
        }
        *ret_ready = ready > 0 && fds[0].revents;
    }
    return 0;
}

static int wait_for(struct handover_line *l, short events, struct err *err)
{
    bool ready;

    if (handover_line_wait(l, l->fd, events, l->quiet_ms, &ready, err) < 0)
        return -1;
    return ready ? 0 : broken(l, err, "nothing was heard any more");
}

static int write_all(struct handover_line *l, const void *bytes, size_t size, struct err *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(l->fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return broken_errno(l, err, "the connection broke");
        if (n < 0 && wait_for(l, POLLOUT, err) < 0)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int read_all(struct handover_line *l, void *bytes, size_t size, struct err *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(l->fd, (char *)bytes + done, size - done, 0);

        if (n == 0)
            return broken(l, err, "the connection was closed");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return broken_errno(l, err, "the connection broke");
        if (n < 0 && wait_for(l, POLLIN, err) < 0)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* --- Who it is --- */

/* The proof is bytes of its own beside the keys: that it was seen tells nothing of them. */
static void derive(struct handover_line *l, const unsigned char *token, const struct call *call,
                   const struct answer *answer, bool leads, unsigned char ret_proof[static PROOF_SIZE])
{
    unsigned char salt[2 * NONCE_SIZE], keys[PROOF_SIZE + 64];
    char purpose[64];

    memcpy(salt, call->nonce, NONCE_SIZE);
    memcpy(salt + NONCE_SIZE, answer->nonce, NONCE_SIZE);
    snprintf(purpose, sizeof purpose, "sagebrush handover of %d", ntohs(call->number));
    hkdf_sha256(keys, sizeof keys, (struct str){ (const char *)token, HANDOVER_TOKEN_SIZE },
                (struct str){ (const char *)salt, sizeof salt }, str_of(purpose));
    memcpy(ret_proof, keys, PROOF_SIZE);
    memcpy(leads ? l->in_key : l->out_key, keys + PROOF_SIZE, 32);
    memcpy(leads ? l->out_key : l->in_key, keys + PROOF_SIZE + 32, 32);
    l->heard = malloc(NUMBER_SIZE + HEAD_SIZE + HANDOVER_PIECE_MOST + SHA256_SIZE);
    l->said = malloc(NUMBER_SIZE + HEAD_SIZE + HANDOVER_PIECE_MOST + SHA256_SIZE);
    assert(l->heard && l->said);
}

static void fill_nonce(unsigned char *nonce)
{
    rand_system()->fill(rand_system(), nonce, NONCE_SIZE);
}

int handover_line_call(struct handover_line *l, const unsigned char *token, int number, struct err *err)
{
    struct call call = { .number = htons((uint16_t)number) };
    struct answer answer;
    unsigned char proof[PROOF_SIZE];

    memcpy(call.magic, MAGIC, sizeof call.magic);
    fill_nonce(call.nonce);
    if (write_all(l, &call, sizeof call, err) < 0 || read_all(l, &answer, sizeof answer, err) < 0)
        return -1;
    derive(l, token, &call, &answer, false, proof);
    return secret_equal(proof, answer.proof, sizeof proof) ? 0 : broken(l, err, "somebody else answers at its port");
}

int handover_line_answer(struct handover_line *l, const unsigned char *token, int number, struct err *err)
{
    struct call call;
    struct answer answer;

    if (read_all(l, &call, sizeof call, err) < 0)
        return -1;
    if (memcmp(call.magic, MAGIC, sizeof call.magic) != 0 || ntohs(call.number) != number)
        return broken(l, err, "it is no instance that called");
    fill_nonce(answer.nonce);
    derive(l, token, &call, &answer, true, answer.proof);
    return write_all(l, &answer, sizeof answer, err);
}

void handover_line_end(struct handover_line *l)
{
    free(l->heard);
    free(l->said);
    l->heard = l->said = NULL;
}

/* --- Frames: the number of each stands before it for the MAC, and is not sent --- */

static void seal_frame(const unsigned char *key, uint64_t number, unsigned char *frame, size_t size,
                       unsigned char ret[static SHA256_SIZE])
{
    for (int i = 0; i < NUMBER_SIZE; i++)
        frame[i] = (unsigned char)(number >> (56 - 8 * i));
    hmac_sha256(ret, key, 32, frame, size);
}

int handover_line_send(struct handover_line *l, enum handover_kind kind, const void *body, size_t size, struct err *err)
{
    struct head head = { .kind = (uint8_t)kind, .size = htonl((uint32_t)size) };
    size_t whole = NUMBER_SIZE + HEAD_SIZE + size;

    assert(size <= HANDOVER_PIECE_MOST);
    memcpy(l->said + NUMBER_SIZE, &head, HEAD_SIZE);
    if (size)
        memcpy(l->said + NUMBER_SIZE + HEAD_SIZE, body, size);
    seal_frame(l->out_key, l->out++, l->said, whole, l->said + whole);
    return write_all(l, l->said + NUMBER_SIZE, whole - NUMBER_SIZE + SHA256_SIZE, err);
}

int handover_line_receive(struct handover_line *l, enum handover_kind *ret_kind, struct str *ret_body, struct err *err)
{
    unsigned char mac[SHA256_SIZE];
    struct head head;
    size_t whole;

    if (read_all(l, &head, sizeof head, err) < 0)
        return -1;
    whole = NUMBER_SIZE + HEAD_SIZE + ntohl(head.size);
    if (ntohl(head.size) > HANDOVER_PIECE_MOST)
        return broken(l, err, "what came is damaged");
    memcpy(l->heard + NUMBER_SIZE, &head, HEAD_SIZE);
    if (read_all(l, l->heard + NUMBER_SIZE + HEAD_SIZE, ntohl(head.size) + SHA256_SIZE, err) < 0)
        return -1;
    memcpy(mac, l->heard + whole, sizeof mac);
    seal_frame(l->in_key, l->in++, l->heard, whole, l->heard + whole);
    if (!secret_equal(mac, l->heard + whole, sizeof mac))
        return broken(l, err, "what came is damaged");
    *ret_kind = head.kind;
    *ret_body = (struct str){ (const char *)l->heard + NUMBER_SIZE + HEAD_SIZE, ntohl(head.size) };
    return 0;
}

bool handover_line_heard(const struct handover_line *l)
{
    struct pollfd p = { l->fd, POLLIN, 0 };

    return poll(&p, 1, 0) > 0;
}
