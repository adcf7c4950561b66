/* tls.h - TLS as arithmetic on bytes: no sockets in here.
 *
 * tls_receive() takes what came over the wire and hands out plain text, tls_send() the other way; both append what
 * has to be sent over the wire to 'out'. TLS 1.2 and 1.3. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

struct tls_server; /* certificate and key; may be used by several threads */
struct tls_client; /* whom to trust; the same */
struct tls;        /* one connection */

int tls_server_new(const char *certificate_path, const char *key_path, struct tls_server **ret, struct err *err);
void tls_server_free(struct tls_server *); /* NULL is fine */

struct tls *tls_new(struct tls_server *);
void tls_free(struct tls *); /* NULL is fine */

/* Servers whose certificate was signed by the authority of that PEM text, for that name or numeric address. */
int tls_client_new(const char *authority, const char *name, struct tls_client **ret, struct err *err);
void tls_client_free(struct tls_client *); /* NULL is fine */

/* The client's side of a connection. Nothing can be sent before tls_ready(): the server is known from then on. */
struct tls *tls_connect(struct tls_client *, struct buf *out);
bool tls_ready(const struct tls *);

enum { TLS_FIRST_BYTE = 0x16 }; /* a TLS connection starts with it, an HTTP one never does */

/* 0: go on, 1: the other side said goodbye, -1: not TLS, or not as we speak it (out may hold an alert to send).
 * 'plain' must not free the tls. */
int tls_receive(struct tls *, const char *data, size_t size, void (*plain)(void *owner, const char *data, size_t size),
                void *owner, struct buf *out, struct err *err);
int tls_send(struct tls *, const char *data, size_t size, struct buf *out, struct err *err);
void tls_goodbye(struct tls *, struct buf *out); /* before the connection is closed in peace */

/* Makes what is missing in 'folder': a local authority (ca.pem, ca.key: ECDSA P-256, ten years) and a server
 * certificate signed by it (server.pem, server.key: 397 days) for the names and addresses given. The server's is made
 * anew when it lacks one of the names, was signed by another authority, or ends within 30 days. Keys are 0600. */
int tls_make_ca(const char *folder, const char *const *names, int name_count, struct clock *, struct err *err);

#endif
