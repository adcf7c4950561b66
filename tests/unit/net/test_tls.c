/* TLS against a client of the same library, byte by byte and over the server; the certificates as others see them. */
#include "net_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/fd.h"
#include "net/http_server.h"
#include "net/tls.h"

static char folder[64];
static const char *const names[] = { "localhost", "127.0.0.1", "::1", "*.example.test" };

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;

    next = (next + 1) % 4;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static int set_up(void **state)
{
    struct err err = { 0 };

    snprintf(folder, sizeof folder, "/tmp/sb-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(tls_make_ca(folder, names, 4, clock_system(), &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct err err;

    return tree_remove(folder, &err);
}

static SSL *client_new(const char *host)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    assert_int_equal(SSL_CTX_load_verify_locations(context, in_folder("ca.pem"), NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
    ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (strchr(host, ':') || (host[0] >= '0' && host[0] <= '9'))
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    else
        SSL_set1_host(ssl, host);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static void plain(void *owner, const char *data, size_t size)
{
    buf_append(owner, data, size);
}

/* Both sides until the client is done with its handshake; the server's bytes in pieces of that size. */
static bool shake_hands(SSL *client, struct tls *server, size_t piece)
{
    struct buf got = { 0 }, out = { 0 };
    struct err err;
    int status = 0;

    for (int i = 0; i < 20 && status <= 0; i++) {
        char *data;
        long size;

        status = SSL_do_handshake(client);
        if (status <= 0 && SSL_get_error(client, status) != SSL_ERROR_WANT_READ)
            break;
        size = BIO_get_mem_data(SSL_get_wbio(client), &data);
        for (long at = 0; at < size; at += (long)piece) {
            size_t n = (size_t)(size - at) < piece ? (size_t)(size - at) : piece;

            assert_int_equal(tls_receive(server, data + at, n, plain, &got, &out, &err), 0);
        }
        (void)BIO_reset(SSL_get_wbio(client));
        BIO_write(SSL_get_rbio(client), out.data ? out.data : "", (int)out.size);
        buf_clear(&out);
    }
    assert_int_equal(got.size, 0);
    buf_free(&out);
    buf_free(&got);
    return status == 1;
}

static void test_talk(void **state)
{
    struct tls_server *server;
    struct err err;

    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("server.key"), &server, &err), 0);
    for (size_t piece = 1; piece < 5000; piece *= 7) {
        struct tls *t = tls_new(server);
        SSL *client = client_new("localhost");
        _cleanup_buf_ struct buf got = { 0 }, out = { 0 };
        static char much[100000], back[100000];
        char *data;
        long size;
        int n, total = 0;

        assert_true(shake_hands(client, t, piece));
        assert_int_equal(SSL_write(client, "hello", 5), 5);
        size = BIO_get_mem_data(SSL_get_wbio(client), &data);
        assert_int_equal(tls_receive(t, data, (size_t)size, plain, &got, &out, &err), 0);
        assert_string_equal(got.data, "hello");
        (void)BIO_reset(SSL_get_wbio(client));
        memset(much, 'm', sizeof much);
        assert_int_equal(tls_send(t, much, sizeof much, &out, &err), 0);
        BIO_write(SSL_get_rbio(client), out.data, (int)out.size);
        buf_clear(&out);
        while ((n = SSL_read(client, back + total, (int)sizeof back - total)) > 0)
            total += n;
        assert_int_equal(total, sizeof much);
        assert_memory_equal(back, much, sizeof much);
        /* Goodbye, both ways. */
        SSL_shutdown(client);
        size = BIO_get_mem_data(SSL_get_wbio(client), &data);
        assert_int_equal(tls_receive(t, data, (size_t)size, plain, &got, &out, &err), 1);
        tls_goodbye(t, &out);
        assert_true(out.size > 0);
        SSL_free(client);
        tls_free(t);
    }
    tls_server_free(server);
}

static void test_garbage(void **state)
{
    struct tls_server *server;
    _cleanup_buf_ struct buf got = { 0 }, out = { 0 };
    struct err err;
    struct tls *t;

    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("server.key"), &server, &err), 0);
    t = tls_new(server);
    assert_int_equal(tls_receive(t, "\x16\x03\x01GET / HTTP/1.1\r\n\r\n", 21, plain, &got, &out, &err), -1);
    assert_true(*err.text);
    tls_free(t);
    tls_server_free(server);
    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("ca.key"), &server, &err), -1);
    assert_int_equal(tls_server_new(in_folder("nothing"), in_folder("ca.key"), &server, &err), -1);
}

static bool accepts(const char *host)
{
    struct tls_server *server;
    struct err err;
    struct tls *t;
    SSL *client = client_new(host);
    bool accepted;

    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("server.key"), &server, &err), 0);
    t = tls_new(server);
    accepted = shake_hands(client, t, 100000);
    SSL_free(client);
    tls_free(t);
    tls_server_free(server);
    return accepted;
}

static void test_names(void **state)
{
    static const char *const evil[] = { "a,DNS:b" }, *const empty[] = { "" };
    struct err err;

    assert_true(accepts("localhost"));
    assert_true(accepts("127.0.0.1"));
    assert_true(accepts("::1"));
    assert_true(accepts("s3.example.test"));
    assert_false(accepts("amazonaws.com"));
    assert_false(accepts("127.0.0.2"));
    assert_int_equal(tls_make_ca(folder, evil, 1, clock_system(), &err), -1);
    assert_int_equal(tls_make_ca(folder, empty, 1, clock_system(), &err), -1);
}

static struct str content(struct arena *a, const char *name)
{
    struct str text;
    struct err err;

    assert_int_equal(file_read(a, in_folder(name), 1 << 20, &text, &err), 0);
    return text;
}

static int64_t later_ms;

static int64_t later(struct clock *c)
{
    return later_ms;
}

static void test_made_once_and_renewed(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str ca = content(a, "ca.pem"), server = content(a, "server.pem"), key = content(a, "ca.key");
    static const char *const more[] = { "localhost", "other.test" };
    struct clock clock = { later, later };
    struct stat st;
    struct err err;

    assert_int_equal(stat(in_folder("ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(in_folder("server.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tls_make_ca(folder, names, 4, clock_system(), &err), 0);
    assert_true(str_eq(content(a, "server.pem"), server));
    /* A name more, and a year later: the server's certificate is new, the authority stays. */
    assert_int_equal(tls_make_ca(folder, more, 2, clock_system(), &err), 0);
    assert_false(str_eq(content(a, "server.pem"), server));
    assert_true(accepts("other.test"));
    server = content(a, "server.pem");
    later_ms = clock_wall_ms(clock_system()) + INT64_C(1000) * 86400 * 370;
    assert_int_equal(tls_make_ca(folder, more, 2, &clock, &err), 0);
    assert_false(str_eq(content(a, "server.pem"), server));
    assert_true(str_eq(content(a, "ca.pem"), ca));
    assert_true(str_eq(content(a, "ca.key"), key));
    /* Without its certificate the authority's key is of no use: both are new, and so is the server's. */
    assert_int_equal(unlink(in_folder("ca.pem")), 0);
    assert_int_equal(tls_make_ca(folder, more, 2, clock_system(), &err), 0);
    assert_false(str_eq(content(a, "ca.key"), key));
    assert_true(accepts("localhost"));
}

/* Our client and our server, until both are done or one is not content. */
static bool meet(const char *authority, const char *name)
{
    struct tls_server *server;
    struct tls_client *client;
    _cleanup_buf_ struct buf to_client = { 0 }, to_server = { 0 }, got = { 0 };
    struct tls *here, *there;
    bool good = true;
    struct err err;

    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("server.key"), &server, &err), 0);
    assert_int_equal(tls_client_new(authority, name, &client, &err), 0);
    there = tls_new(server);
    here = tls_connect(client, &to_server);
    assert_false(tls_ready(here));
    for (int i = 0; i < 10 && good && (to_server.size || to_client.size); i++) {
        good = tls_receive(there, to_server.data, to_server.size, plain, &got, &to_client, &err) >= 0;
        buf_clear(&to_server);
        good = good && tls_receive(here, to_client.data, to_client.size, plain, &got, &to_server, &err) >= 0;
        buf_clear(&to_client);
    }
    good = good && tls_ready(here) && tls_send(here, "hello", 5, &to_server, &err) == 0 &&
           tls_receive(there, to_server.data, to_server.size, plain, &got, &to_client, &err) == 0 &&
           got.size == 5;
    tls_free(here);
    tls_free(there);
    tls_client_free(client);
    tls_server_free(server);
    return good;
}

static void test_our_client(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char other[] = "/tmp/sb-tls-other-XXXXXX";
    struct tls_client *client;
    struct str ours, theirs;
    struct err err;

    assert_int_equal(file_read(a, in_folder("ca.pem"), 1 << 16, &ours, &err), 0);
    assert_true(meet(ours.data, "localhost") && meet(ours.data, "127.0.0.1") && meet(ours.data, "::1"));
    assert_false(meet(ours.data, "other.test"));
    assert_false(meet(ours.data, "127.0.0.2"));
    assert_non_null(mkdtemp(other));
    assert_int_equal(tls_make_ca(other, names, 4, clock_system(), &err), 0);
    assert_int_equal(file_read(a, arena_printf(a, "%s/ca.pem", other), 1 << 16, &theirs, &err), 0);
    assert_false(meet(theirs.data, "localhost"));
    assert_int_equal(tls_client_new("no certificate", "localhost", &client, &err), -1);
    assert_int_equal(tree_remove(other, &err), 0);
}

static void handle(struct http_exchange *x, void *data)
{
    http_answer_text(x, 200, "text/plain", x->tls ? "secret" : "open");
}

/* One port, both kinds: told apart by the first byte. */
static void test_over_the_server(void **state)
{
    struct http_server_options options = { .handle = handle };
    struct loop *loop;
    struct tls_server *tls;
    struct http_server *server;
    _cleanup_buf_ struct buf open = { 0 };
    SSL *client = client_new("localhost");
    char got[4096] = "";
    int port, fd, status = 0;
    struct err err;

    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(tls_server_new(in_folder("server.pem"), in_folder("server.key"), &tls, &err), 0);
    options.loop = loop;
    options.tls = tls;
    server = http_server_new(&options);
    assert_int_equal(http_server_listen_tcp(server, "127.0.0.1", 0, &port, &err), 0);
    fd = raw_connect(port);
    raw_send(loop, fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_true(raw_until(loop, fd, &open, "open"));
    close(fd);
    fd = raw_connect(port);
    SSL_set_fd(client, fd);
    for (int i = 0; i < 1000 && status <= 0; i++) {
        status = SSL_do_handshake(client);
        loop_turn(loop, false);
    }
    assert_int_equal(status, 1);
    /* Two requests in one record. */
    assert_true(SSL_write(client,
                          "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                          73) > 0);
    for (int i = 0, size = 0; i < 1000; i++) {
        int n = SSL_read(client, got + size, (int)sizeof got - 1 - size);

        size += n > 0 ? n : 0;
        if (n <= 0 && SSL_get_error(client, n) == SSL_ERROR_ZERO_RETURN)
            break;
        loop_turn(loop, false);
    }
    assert_int_equal(occurrences(&(struct buf){ got, strlen(got), sizeof got }, "secret"), 2);
    SSL_free(client);
    close(fd);
    http_server_free(server);
    tls_server_free(tls);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_talk),
        TEST(test_garbage),
        TEST(test_our_client),
        TEST(test_names),
        TEST(test_made_once_and_renewed),
        TEST(test_over_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
