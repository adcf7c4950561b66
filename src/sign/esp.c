/* esp.c - hides OpenSSL.
 *
 * The keys are agreed on beforehand ("manual keying"), which GCM only bears as long as no nonce comes twice under a
 * key: sequence numbers begin at 1 with each key and the key is changed long before they wrap, with no extended
 * sequence numbers. The receiver keeps the key before the present one, for packets that were overtaken, and takes a
 * later one when a packet proves it. */
#include "sign/esp.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sign/digest.h"

enum {
    KEY_SIZE = 32,
    SALT_SIZE = 4,
    AAD_SIZE = 8, /* SPI and sequence number */
    IV_SIZE = 8,
    TAG_SIZE = 16,
    TRAILER_SIZE = 2, /* length of the padding, next header */
    NEXT_IPV4 = 4,
    EPOCH_BITS = 20,
    EPOCHS = 1 << EPOCH_BITS,
    WINDOW = 1024, /* how late a packet may come */
};

/* One key of one direction. */
struct sa {
    EVP_CIPHER_CTX *cipher;
    unsigned char salt[SALT_SIZE];
    uint32_t epoch, top;        /* the highest sequence number: sent, or proven */
    uint64_t seen[WINDOW / 64]; /* of the receiver: by number, modulo the window */
};

struct direction {
    unsigned char secret[ESP_SECRET_SIZE];
    int from, to;
};

struct esp_out {
    struct direction direction;
    struct sa sa;
    uint32_t rekey;
};

struct esp_in {
    struct direction direction;
    struct sa now, before;
};

static void put32(unsigned char *at, uint32_t n)
{
    at[0] = (unsigned char)(n >> 24);
    at[1] = (unsigned char)(n >> 16);
    at[2] = (unsigned char)(n >> 8);
    at[3] = (unsigned char)n;
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Never below 256: those are reserved, and 0 would be IKE. */
static uint32_t spi_of(int from, uint32_t epoch)
{
    return (uint32_t)from << EPOCH_BITS | epoch;
}

static struct direction direction_of(const unsigned char *secret, int from, int to)
{
    struct direction d = { .from = from, .to = to };

    assert(from >= 1 && from <= ESP_HOSTS_MOST && to >= 1 && to <= ESP_HOSTS_MOST && from != to);
    memcpy(d.secret, secret, sizeof d.secret);
    return d;
}

static struct sa sa_new(const struct direction *d, uint32_t epoch, int encrypts)
{
    static const char purpose[] = "sagebrush esp 1";
    struct sa sa = { .cipher = EVP_CIPHER_CTX_new(), .epoch = epoch };
    unsigned char info[sizeof purpose - 1 + 12], material[KEY_SIZE + SALT_SIZE];

    memcpy(info, purpose, sizeof purpose - 1);
    put32(info + sizeof purpose - 1, (uint32_t)d->from);
    put32(info + sizeof purpose + 3, (uint32_t)d->to);
    put32(info + sizeof purpose + 7, epoch);
    hkdf_sha256(material, sizeof material, (struct str){ (const char *)d->secret, sizeof d->secret }, STR(""),
                (struct str){ (const char *)info, sizeof info });
    memcpy(sa.salt, material + KEY_SIZE, SALT_SIZE);
    if (!sa.cipher || EVP_CipherInit_ex(sa.cipher, EVP_aes_256_gcm(), NULL, material, NULL, encrypts) != 1)
        assert(!"AES-256-GCM works");
    OPENSSL_cleanse(material, sizeof material);
    return sa;
}

static void sa_end(struct sa *sa)
{
    EVP_CIPHER_CTX_free(sa->cipher);
    *sa = (struct sa){ 0 };
}

/* The nonce, and what is proven and not hidden; 'head' is that of the datagram. */
static bool begin_packet(struct sa *sa, const unsigned char *head)
{
    unsigned char nonce[SALT_SIZE + IV_SIZE];
    int n;

    memcpy(nonce, sa->salt, SALT_SIZE);
    memcpy(nonce + SALT_SIZE, head + AAD_SIZE, IV_SIZE);
    return EVP_CipherInit_ex(sa->cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(sa->cipher, NULL, &n, head, AAD_SIZE) == 1;
}

/* --- Out --- */

struct esp_out *esp_out_new(const unsigned char secret[static ESP_SECRET_SIZE], int from, int to, unsigned rekey)
{
    struct esp_out *o = calloc(1, sizeof *o);

    assert(o && rekey > 0 && rekey <= ESP_REKEY);
    o->direction = direction_of(secret, from, to);
    o->rekey = rekey;
    o->sa = sa_new(&o->direction, 0, 1);
    return o;
}

void esp_out_free(struct esp_out *o)
{
    if (!o)
        return;
    sa_end(&o->sa);
    OPENSSL_cleanse(o, sizeof *o);
    free(o);
}

size_t esp_seal(struct esp_out *o, void *buffer, size_t packet_size)
{
    unsigned char *head = buffer, *body = head + ESP_HEAD;
    size_t padding = -(packet_size + TRAILER_SIZE) & 3, size = packet_size + padding + TRAILER_SIZE;
    int n = 0, tail = 0;

    assert(packet_size <= UINT16_MAX);
    if (o->sa.top == o->rekey) {
        uint32_t next = o->sa.epoch + 1;

        if (next == EPOCHS)
            return 0;
        sa_end(&o->sa);
        o->sa = sa_new(&o->direction, next, 1);
    }
    o->sa.top++;
    put32(head, spi_of(o->direction.from, o->sa.epoch));
    put32(head + 4, o->sa.top);
    put32(head + 8, 0);
    put32(head + 12, o->sa.top);
    for (size_t i = 0; i < padding; i++)
        body[packet_size + i] = (unsigned char)(i + 1);
    body[packet_size + padding] = (unsigned char)padding;
    body[packet_size + padding + 1] = NEXT_IPV4;
    if (!begin_packet(&o->sa, head) || EVP_CipherUpdate(o->sa.cipher, body, &n, body, (int)size) != 1 ||
        EVP_CipherFinal_ex(o->sa.cipher, body + n, &tail) != 1 ||
        EVP_CIPHER_CTX_ctrl(o->sa.cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, body + size) != 1)
        assert(!"AES-256-GCM works");
    return ESP_HEAD + size + TAG_SIZE;
}

/* --- In --- */

struct esp_in *esp_in_new(const unsigned char secret[static ESP_SECRET_SIZE], int from, int to)
{
    struct esp_in *in = calloc(1, sizeof *in);

    assert(in);
    in->direction = direction_of(secret, from, to);
    in->now = sa_new(&in->direction, 0, 0);
    return in;
}

void esp_in_free(struct esp_in *in)
{
    if (!in)
        return;
    sa_end(&in->now);
    sa_end(&in->before);
    OPENSSL_cleanse(in, sizeof *in);
    free(in);
}

/* It came before, or so late that nobody knows. */
static bool is_old(const struct sa *sa, uint32_t number)
{
    if (number > sa->top)
        return false;
    return sa->top - number >= WINDOW || (sa->seen[number % WINDOW / 64] >> number % 64 & 1);
}

static void note(struct sa *sa, uint32_t number)
{
    if (number > sa->top && number - sa->top >= WINDOW)
        memset(sa->seen, 0, sizeof sa->seen);
    else
        for (uint32_t i = sa->top + 1; i <= number; i++)
            sa->seen[i % WINDOW / 64] &= ~(UINT64_C(1) << i % 64);
    if (number > sa->top)
        sa->top = number;
    sa->seen[number % WINDOW / 64] |= UINT64_C(1) << number % 64;
}

/* The padding is that of RFC 4303: 1, 2, 3... */
static bool unpad(const unsigned char *body, size_t size, struct str *ret)
{
    size_t padding = body[size - 2];

    if (body[size - 1] != NEXT_IPV4 || padding > size - TRAILER_SIZE)
        return false;
    size -= TRAILER_SIZE + padding;
    for (size_t i = 0; i < padding; i++)
        if (body[size + i] != i + 1)
            return false;
    *ret = (struct str){ (const char *)body, size };
    return true;
}

static bool decrypt(struct sa *sa, unsigned char *datagram, size_t size)
{
    unsigned char *body = datagram + ESP_HEAD;
    size_t body_size = size - ESP_HEAD - TAG_SIZE;
    int n = 0, tail = 0;

    return begin_packet(sa, datagram) && EVP_CipherUpdate(sa->cipher, body, &n, body, (int)body_size) == 1 &&
           EVP_CIPHER_CTX_ctrl(sa->cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, body + body_size) == 1 &&
           EVP_CipherFinal_ex(sa->cipher, body + n, &tail) == 1;
}

bool esp_open(struct esp_in *in, void *datagram, size_t size, struct str *ret_packet)
{
    unsigned char *bytes = datagram;
    struct sa next = { 0 }, *sa = &in->now;
    uint32_t epoch, number;

    if (esp_from(datagram, size) != in->direction.from)
        return false;
    epoch = get32(bytes) & (EPOCHS - 1);
    number = get32(bytes + 4);
    if (number == 0)
        return false;
    if (in->before.cipher && epoch == in->before.epoch)
        sa = &in->before;
    else if (epoch < in->now.epoch)
        return false;
    else if (epoch > in->now.epoch)
        sa = &next;
    if (is_old(sa, number))
        return false;
    if (sa == &next)
        next = sa_new(&in->direction, epoch, 0);
    if (!decrypt(sa, bytes, size)) {
        sa_end(&next);
        return false;
    }
    note(sa, number);
    if (sa == &next) {
        sa_end(&in->before);
        in->before = in->now;
        in->now = next;
    }
    return unpad(bytes + ESP_HEAD, size - ESP_HEAD - TAG_SIZE, ret_packet);
}

int esp_from(const void *datagram, size_t size)
{
    if (size < ESP_HEAD + 4 + TAG_SIZE || size % 4 != 0 || size > UINT16_MAX)
        return 0;
    return (int)(get32(datagram) >> EPOCH_BITS);
}
