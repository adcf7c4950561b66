/* tls.c - TLS over memory, and the local authority; hides OpenSSL's TLS half.
 *
 * Both directions share one queue of outgoing records, and whoever empties it empties it whole: so handshake messages
 * and answers leave in the order in which OpenSSL wrote them. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/fd.h"

struct tls_server {
    SSL_CTX *context;
};

struct tls_client {
    SSL_CTX *context;
};

struct tls {
    SSL *ssl;
    BIO *in, *out;
};

static int fail_ssl(struct err *err, enum err_kind kind, const char *what)
{
    char reason[256] = "unknown reason";
    unsigned long code = ERR_peek_error();

    if (code)
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return fail(err, kind, "%s: %s", what, reason);
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_size, const unsigned char *offered,
                           unsigned offered_size, void *data)
{
    static const unsigned char http[] = "\x08http/1.1";

    /* A client that speaks only what we do not is answered as if it had not asked: most then speak HTTP/1.1. */
    if (SSL_select_next_proto((unsigned char **)ret, ret_size, http, sizeof http - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

int tls_server_new(const char *certificate_path, const char *key_path, struct tls_server **ret, struct err *err)
{
    SSL_CTX *context = new_context(TLS_server_method());
    struct tls_server *server;

    if (!context)
        return fail_ssl(err, ERR_INTERNAL, "TLS");
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"sagebrush", 9);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, certificate_path) != 1) {
        SSL_CTX_free(context);
        return fail_ssl(err, ERR_INVALID, certificate_path);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        SSL_CTX_free(context);
        return fail_ssl(err, ERR_INVALID, key_path);
    }
    server = calloc(1, sizeof *server);
    assert(server && "out of memory");
    server->context = context;
    *ret = server;
    return 0;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->context);
    free(server);
}

static void bio_cleanup(BIO **b)
{
    BIO_free_all(*b);
}
#define _cleanup_bio_ __attribute__((cleanup(bio_cleanup)))

static bool trust(SSL_CTX *context, const char *authority)
{
    _cleanup_bio_ BIO *pem = BIO_new_mem_buf(authority, -1);
    X509 *certificate = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
    bool trusted = certificate && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1;

    X509_free(certificate);
    return trusted;
}

int tls_client_new(const char *authority, const char *name, struct tls_client **ret, struct err *err)
{
    SSL_CTX *context = new_context(TLS_client_method());
    struct tls_client *client;
    X509_VERIFY_PARAM *check;

    if (!context)
        return fail_ssl(err, ERR_INTERNAL, "TLS");
    check = SSL_CTX_get0_param(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (!trust(context, authority) ||
        (X509_VERIFY_PARAM_set1_ip_asc(check, name) != 1 && X509_VERIFY_PARAM_set1_host(check, name, 0) != 1)) {
        SSL_CTX_free(context);
        return fail_ssl(err, ERR_INVALID, "the server's authority");
    }
    ERR_clear_error();
    client = calloc(1, sizeof *client);
    assert(client && "out of memory");
    client->context = context;
    *ret = client;
    return 0;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->context);
    free(client);
}

static struct tls *new_connection(SSL_CTX *context)
{
    struct tls *t = calloc(1, sizeof *t);

    assert(t && "out of memory");
    t->ssl = SSL_new(context);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    assert(t->ssl && t->in && t->out && "out of memory");
    BIO_set_mem_eof_return(t->in, -1);
    BIO_set_mem_eof_return(t->out, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    return t;
}

struct tls *tls_new(struct tls_server *server)
{
    struct tls *t = new_connection(server->context);

    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

static void take_records(struct tls *t, struct buf *out)
{
    size_t size = BIO_ctrl_pending(t->out);
    int n;

    if (!size)
        return;
    /* Read, not reset: that would wipe all the memory that the queue ever needed. */
    n = BIO_read(t->out, buf_reserve(out, size), (int)size);
    assert(n == (int)size);
    out->size += size;
    out->data[out->size] = '\0';
}

struct tls *tls_connect(struct tls_client *client, struct buf *out)
{
    struct tls *t = new_connection(client->context);

    SSL_set_connect_state(t->ssl);
    SSL_do_handshake(t->ssl); /* its first words; the answer is not there yet */
    ERR_clear_error();
    take_records(t, out);
    return t;
}

bool tls_ready(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

int tls_receive(struct tls *t, const char *data, size_t size, void (*plain)(void *owner, const char *data, size_t size),
                void *owner, struct buf *out, struct err *err)
{
    char text[16384];
    int status = 0;

    ERR_clear_error();
    if (size) {
        int n = BIO_write(t->in, data, (int)size);

        assert(n == (int)size && "out of memory");
    }
    while (status == 0) {
        int n = SSL_read(t->ssl, text, sizeof text), why;

        if (n > 0) {
            plain(owner, text, (size_t)n);
            continue;
        }
        why = SSL_get_error(t->ssl, n);
        if (why == SSL_ERROR_WANT_READ)
            break;
        status = why == SSL_ERROR_ZERO_RETURN ? 1 : fail_ssl(err, ERR_INVALID, "TLS");
    }
    take_records(t, out);
    return status;
}

int tls_send(struct tls *t, const char *data, size_t size, struct buf *out, struct err *err)
{
    ERR_clear_error();
    while (size) {
        int n = SSL_write(t->ssl, data, size < 1 << 20 ? (int)size : 1 << 20);

        if (n <= 0)
            return fail_ssl(err, ERR_INVALID, "TLS");
        data += n;
        size -= (size_t)n;
    }
    take_records(t, out);
    return 0;
}

void tls_goodbye(struct tls *t, struct buf *out)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
    take_records(t, out);
}

/* The local authority. It signs for this installation only: its key never leaves the folder. */

enum { CA_DAYS = 3650, SERVER_DAYS = 397, RENEW_DAYS = 30, DAY_S = 86400 };

struct authority {
    X509 *certificate;
    EVP_PKEY *key;
};

static void authority_free(struct authority *a)
{
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
}

/* Neither file is there, or one is, or they do not belong together: false. What cannot be read is an error. */
static int load_pair(const char *folder, const char *name, struct authority *ret, bool *ret_there, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str certificate, key;
    _cleanup_bio_ BIO *certificate_bio = NULL, *key_bio = NULL;

    *ret_there = false;
    *ret = (struct authority){ 0 };
    if (file_read(a, arena_printf(a, "%s/%s.pem", folder, name), 1 << 20, &certificate, err) < 0 ||
        file_read(a, arena_printf(a, "%s/%s.key", folder, name), 1 << 20, &key, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    certificate_bio = BIO_new_mem_buf(certificate.data, (int)certificate.size);
    key_bio = BIO_new_mem_buf(key.data, (int)key.size);
    assert(certificate_bio && key_bio && "out of memory");
    ret->certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
    ret->key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    *ret_there = ret->certificate && ret->key && X509_check_private_key(ret->certificate, ret->key) == 1;
    ERR_clear_error();
    if (!*ret_there) {
        authority_free(ret);
        *ret = (struct authority){ 0 };
    }
    return 0;
}

static int save_pem(const char *folder, const char *name, const char *kind, BIO *pem, mode_t mode, struct err *err)
{
    char path[4096], *data;
    long size = BIO_get_mem_data(pem, &data);

    if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, kind) >= (int)sizeof path)
        return fail(err, ERR_INVALID, "path too long: %.200s...", folder);
    return file_write_atomic(path, data, (size_t)size, mode, err);
}

/* The key first: a certificate without its key is made anew, a key without its certificate too. */
static int save_pair(const char *folder, const char *name, const struct authority *pair, struct err *err)
{
    _cleanup_bio_ BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

    if (!PEM_write_bio_PrivateKey(key, pair->key, NULL, NULL, 0, NULL, NULL) ||
        !PEM_write_bio_X509(certificate, pair->certificate))
        return fail_ssl(err, ERR_INTERNAL, "write a certificate");
    if (save_pem(folder, name, "key", key, 0600, err) < 0)
        return -1;
    return save_pem(folder, name, "pem", certificate, 0644, err);
}

static bool add_extension(X509 *certificate, X509 *issuer, int id, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool added;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    extension = X509V3_EXT_conf_nid(NULL, &context, id, value);
    if (!extension)
        return false;
    added = X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *common_name, int64_t now_s, int64_t days)
{
    unsigned char serial[16];
    BIGNUM *number = NULL;
    X509_NAME *name = X509_get_subject_name(certificate);
    bool filled;

    if (RAND_bytes(serial, sizeof serial) != 1)
        return false;
    serial[0] = (serial[0] & 0x3f) | 0x40; /* positive, and always of the same length */
    number = BN_bin2bn(serial, sizeof serial, NULL);
    filled = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) &&
             X509_set_version(certificate, X509_VERSION_3) == 1 &&
             X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Sagebrush", -1, -1, 0) == 1 &&
             X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0) == 1 &&
             /* A day early: the clocks of two machines differ. */
             ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(now_s - DAY_S)) &&
             ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(now_s + days * DAY_S)) &&
             X509_set_pubkey(certificate, key) == 1;
    BN_free(number);
    return filled;
}

static int make_authority(const char *folder, int64_t now_s, struct authority *ret, struct err *err)
{
    unsigned char tag[4];
    char name[64];

    *ret = (struct authority){ .certificate = X509_new(), .key = EVP_EC_gen("P-256") };
    /* Two installations are two authorities, also in a browser's list of them. */
    if (RAND_bytes(tag, sizeof tag) != 1)
        return fail_ssl(err, ERR_INTERNAL, "random bytes");
    snprintf(name, sizeof name, "Sagebrush local CA %02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3]);
    if (!ret->certificate || !ret->key || !fill(ret->certificate, ret->key, name, now_s, CA_DAYS) ||
        X509_set_issuer_name(ret->certificate, X509_get_subject_name(ret->certificate)) != 1 ||
        !add_extension(ret->certificate, ret->certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(ret->certificate, ret->certificate, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(ret->certificate, ret->certificate, NID_subject_key_identifier, "hash") ||
        !add_extension(ret->certificate, ret->certificate, NID_authority_key_identifier, "keyid:always") ||
        X509_sign(ret->certificate, ret->key, EVP_sha256()) == 0)
        return fail_ssl(err, ERR_INTERNAL, "make the local certificate authority");
    return save_pair(folder, "ca", ret, err);
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static int make_server(const char *folder, const struct authority *ca, const char *const *names, int name_count,
                       int64_t now_s, struct err *err)
{
    _cleanup_buf_ struct buf list = { 0 };
    struct authority made = { .certificate = X509_new(), .key = EVP_EC_gen("P-256") };
    int status;

    for (int i = 0; i < name_count; i++)
        buf_printf(&list, "%s%s:%s", i ? "," : "", is_address(names[i]) ? "IP" : "DNS", names[i]);
    if (!made.certificate || !made.key || !fill(made.certificate, made.key, "Sagebrush server", now_s, SERVER_DAYS) ||
        X509_set_issuer_name(made.certificate, X509_get_subject_name(ca->certificate)) != 1 ||
        !add_extension(made.certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(made.certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(made.certificate, ca->certificate, NID_ext_key_usage, "serverAuth") ||
        !add_extension(made.certificate, ca->certificate, NID_subject_key_identifier, "hash") ||
        !add_extension(made.certificate, ca->certificate, NID_authority_key_identifier, "keyid:always") ||
        !add_extension(made.certificate, ca->certificate, NID_subject_alt_name, list.data) ||
        X509_sign(made.certificate, ca->key, EVP_sha256()) == 0)
        status = fail_ssl(err, ERR_INTERNAL, "make the server's certificate");
    else
        status = save_pair(folder, "server", &made, err);
    authority_free(&made);
    return status;
}

static bool has_name(const GENERAL_NAMES *names, const char *name)
{
    unsigned char bytes[16];
    int size = inet_pton(AF_INET, name, bytes) == 1 ? 4 : inet_pton(AF_INET6, name, bytes) == 1 ? 16 : 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *text = entry->type == (size ? GEN_IPADD : GEN_DNS) ? entry->d.ia5 : NULL;

        if (text && ASN1_STRING_length(text) == (size ? size : (int)strlen(name)) &&
            memcmp(ASN1_STRING_get0_data(text), size ? (const char *)bytes : name,
                   (size_t)ASN1_STRING_length(text)) == 0)
            return true;
    }
    return false;
}

static bool still_good(const struct authority *server, const struct authority *ca, const char *const *names,
                       int name_count, int64_t now_s)
{
    time_t renew_from = (time_t)(now_s + RENEW_DAYS * DAY_S);
    GENERAL_NAMES *has = X509_get_ext_d2i(server->certificate, NID_subject_alt_name, NULL, NULL);
    bool good = has && X509_verify(server->certificate, X509_get0_pubkey(ca->certificate)) == 1 &&
                X509_cmp_time(X509_get0_notAfter(server->certificate), &renew_from) > 0;

    for (int i = 0; i < name_count; i++)
        good = good && has_name(has, names[i]);
    GENERAL_NAMES_free(has);
    ERR_clear_error();
    return good;
}

int tls_make_ca(const char *folder, const char *const *names, int name_count, struct clock *clock, struct err *err)
{
    int64_t now_s = clock_wall_ms(clock) / 1000;
    struct authority ca = { 0 }, server = { 0 };
    bool there;
    int status;

    assert(name_count > 0);
    for (int i = 0; i < name_count; i++)
        for (const char *at = names[i]; *at || at == names[i]; at++)
            if (!isalnum((unsigned char)*at) && (!*at || !strchr(".-*:", *at)))
                return fail(err, ERR_INVALID, "not a host name or address: %.100s", names[i]);
    if (load_pair(folder, "ca", &ca, &there, err) < 0)
        return -1;
    status = there ? 0 : make_authority(folder, now_s, &ca, err);
    if (status == 0)
        status = load_pair(folder, "server", &server, &there, err);
    if (status == 0 && !(there && still_good(&server, &ca, names, name_count, now_s)))
        status = make_server(folder, &ca, names, name_count, now_s, err);
    authority_free(&ca);
    authority_free(&server);
    return status;
}
