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

static void test_endpoints(void **state)
{
    static const char *const good[] = { "10.0.0.1:1", "198.51.100.7:65535", "[fd00::1]:7000" };
    static const char *const bad[] = { "", ":", ":1", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536",
                                       "10.0.0.1:-1", "10.0.0.1:+1", "10.0.0.1: 1", "10.0.0.1:1 ", "10.0.0.1:0x1",
                                       "[10.0.0.1:1", "10.0.0.1]:1", "fd00::1:7000", "[fd00::1]7000", "[]:1", "[:1",
                                       "[fd00::1%eth0]:1", "host:1", "10.0.0.1:99999999999999999999",
                                       "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1" };
    struct sockaddr_storage address;
    char text[ENDPOINT_TEXT];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(endpoint_read(good[i], &address));
        endpoint_print(&address, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(endpoint_read(bad[i], &address));
    /* The longest there is. */
    assert_true(endpoint_read("[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", &address));
    endpoint_print(&address, text);
    assert_string_equal(text, "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_whose_address_it_is(void **state)
{
    static const char *const of_one[] = { "10.0.0.1", "198.18.0.1", "fd00::1", "2001:db8::1" };
    static const char *const others[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.8.8.8", "224.0.0.1",
                                          "255.255.255.255", "240.0.0.1", "::", "::1", "ff02::1", "fe80::1",
                                          "::ffff:127.0.0.1" };
    struct sockaddr_storage address;

    for (size_t i = 0; i < sizeof of_one / sizeof *of_one; i++)
        assert_true(address_read(of_one[i], 1, &address) && address_is_of_a_machine(&address));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(address_read(others[i], 1, &address) && !address_is_of_a_machine(&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_a_unix_socket_has_none),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_whose_address_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
