#include "net_test.h"

#include "net/address.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        int port, family;
        socklen_t size;
        const char *printed;
    } cases[] = {
        { "127.0.0.1", 8443, AF_INET, sizeof(struct sockaddr_in), "127.0.0.1" },
        { "0.0.0.0", 0, AF_INET, sizeof(struct sockaddr_in), "0.0.0.0" },
        { "::1", 65535, AF_INET6, sizeof(struct sockaddr_in6), "::1" },
        { "2001:db8:0:0::7", 80, AF_INET6, sizeof(struct sockaddr_in6), "2001:db8::7" },
        { "::ffff:10.0.0.7", 80, AF_INET6, sizeof(struct sockaddr_in6), "10.0.0.7" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_storage address;
        char text[ADDRESS_TEXT];

        assert_true(address_read(cases[i].text, cases[i].port, &address));
        assert_int_equal(address.ss_family, cases[i].family);
        assert_int_equal(address_port(&address), cases[i].port);
        assert_int_equal(address_size(&address), cases[i].size);
        address_print(&address, text);
        assert_string_equal(text, cases[i].printed);
    }
}

static void test_what_is_no_address(void **state)
{
    struct sockaddr_storage address;

    assert_false(address_read("localhost", 80, &address));
    assert_false(address_read("127.0.0.1", 65536, &address));
    assert_false(address_read("127.0.0.1", -1, &address));
    assert_false(address_read("127.0.0.1 ", 80, &address));
    assert_false(address_read("", 80, &address));
}

static void test_a_unix_socket_has_none(void **state)
{
    const struct sockaddr_storage address = { .ss_family = AF_UNIX };
    char text[ADDRESS_TEXT];

    address_print(&address, text);
    assert_string_equal(text, "");
    assert_int_equal(address_port(&address), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_a_unix_socket_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
