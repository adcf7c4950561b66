#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sign/esp.h"

#include <cmocka.h> /* last: its fail() is a macro */

struct fixture {
    unsigned char secret[ESP_SECRET_SIZE];
    struct esp_out *out;
    struct esp_in *in;
};

struct datagram {
    unsigned char bytes[2048];
    size_t size;
};

static struct fixture begin(unsigned rekey)
{
    struct fixture f = { 0 };

    for (size_t i = 0; i < sizeof f.secret; i++)
        f.secret[i] = (unsigned char)i;
    f.out = esp_out_new(f.secret, 1, 2, rekey);
    f.in = esp_in_new(f.secret, 1, 2);
    return f;
}

static void end(struct fixture *f)
{
    esp_out_free(f->out);
    esp_in_free(f->in);
}

static struct datagram sealed(struct esp_out *out, const char *text)
{
    struct datagram d;

    memcpy(d.bytes + ESP_HEAD, text, strlen(text));
    d.size = esp_seal(out, d.bytes, strlen(text));
    assert_true(d.size <= ESP_HEAD + strlen(text) + ESP_TAIL_MOST);
    return d;
}

/* On a copy: what arrives can be tried again. */
static bool opens(struct esp_in *in, const struct datagram *d, const char *text)
{
    struct datagram copy = *d;
    struct str packet;

    if (!esp_open(in, copy.bytes, copy.size, &packet))
        return false;
    assert_int_equal(packet.size, strlen(text));
    assert_memory_equal(packet.data, text, packet.size);
    return true;
}

/* What another implementation makes of it: HKDF and AESGCM of Python's cryptography. */
static void test_known(void **state)
{
    struct fixture f = begin(ESP_REKEY);
    struct datagram d = sealed(f.out, "hello");
    char hex[2 * sizeof d.bytes + 1];

    hex_encode(hex, d.bytes, d.size);
    assert_string_equal(hex, "0010000000000001000000000000000160e14e694ce0b55973a0b92ba83eae6f956fb204f4a309c6");
    assert_int_equal(esp_from(d.bytes, d.size), 1);
    assert_true(opens(f.in, &d, "hello"));
    end(&f);
}

static void test_every_size(void **state)
{
    struct fixture f = begin(ESP_REKEY);
    char text[33] = "";

    for (size_t i = 0; i < sizeof text - 1; i++) {
        struct datagram d = sealed(f.out, text);

        assert_true(opens(f.in, &d, text));
        text[i] = 'x';
    }
    end(&f);
}

static void test_replay_and_order(void **state)
{
    enum { COUNT = 3000, WINDOW = 1024 };
    static struct datagram d[COUNT];
    struct fixture f = begin(ESP_REKEY);

    for (int i = 0; i < COUNT; i++)
        d[i] = sealed(f.out, "one of many");
    assert_true(opens(f.in, &d[5], "one of many"));
    assert_false(opens(f.in, &d[5], "one of many"));
    /* Overtaken, each once. */
    for (int i = 0; i < 5; i++)
        assert_true(opens(f.in, &d[i], "one of many"));
    for (int i = 0; i <= 5; i++)
        assert_false(opens(f.in, &d[i], "one of many"));
    /* A jump within the window and one over it; what came before is known, what did not is let in as long as it can be
     * told. */
    assert_true(opens(f.in, &d[1000], "one of many"));
    assert_false(opens(f.in, &d[3], "one of many"));
    assert_true(opens(f.in, &d[500], "one of many"));
    assert_true(opens(f.in, &d[COUNT - 1], "one of many"));
    assert_false(opens(f.in, &d[COUNT - 1], "one of many"));
    assert_false(opens(f.in, &d[999], "one of many"));
    assert_false(opens(f.in, &d[COUNT - 1 - WINDOW], "one of many"));
    for (int i = COUNT - WINDOW; i < COUNT - 1; i++) {
        assert_true(opens(f.in, &d[i], "one of many"));
        assert_false(opens(f.in, &d[i], "one of many"));
    }
    end(&f);
}

static void test_forged(void **state)
{
    struct fixture f = begin(ESP_REKEY);
    struct datagram d = sealed(f.out, "what nobody may change");

    for (size_t bit = 0; bit < 8 * d.size; bit++) {
        struct datagram forged = d;

        forged.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(opens(f.in, &forged, ""));
    }
    for (size_t size = 0; size < d.size; size++) {
        struct datagram cut = d;

        cut.size = size;
        assert_false(opens(f.in, &cut, ""));
    }
    /* None of them has moved the window. */
    assert_true(opens(f.in, &d, "what nobody may change"));
    end(&f);
}

/* Sent back, sent to a third, of another job: keys of each direction and each secret are its own. */
static void test_elsewhere(void **state)
{
    struct fixture f = begin(ESP_REKEY);
    struct datagram d = sealed(f.out, "for the second");
    struct esp_in *back = esp_in_new(f.secret, 2, 1), *third = esp_in_new(f.secret, 1, 3), *other;

    assert_false(opens(back, &d, ""));
    assert_false(opens(third, &d, ""));
    f.secret[31] ^= 1;
    other = esp_in_new(f.secret, 1, 2);
    assert_false(opens(other, &d, ""));
    assert_true(opens(f.in, &d, "for the second"));
    esp_in_free(back);
    esp_in_free(third);
    esp_in_free(other);
    end(&f);
}

static void test_new_keys(void **state)
{
    struct fixture f = begin(3);
    struct datagram d[12], again;

    for (int i = 0; i < 12; i++)
        d[i] = sealed(f.out, "twelve packets, four keys");
    /* The same number with another key is another packet. */
    assert_memory_equal(d[0].bytes + 4, d[3].bytes + 4, 12);
    assert_memory_not_equal(d[0].bytes, d[3].bytes, 4);
    assert_memory_not_equal(d[0].bytes + ESP_HEAD, d[3].bytes + ESP_HEAD, d[0].size - ESP_HEAD);
    assert_true(opens(f.in, &d[0], "twelve packets, four keys"));
    assert_true(opens(f.in, &d[4], "twelve packets, four keys"));
    /* Overtaken by one of the next key. */
    assert_true(opens(f.in, &d[1], "twelve packets, four keys"));
    assert_false(opens(f.in, &d[1], "twelve packets, four keys"));
    /* One of a key that is not proven changes nothing. */
    again = d[11];
    again.bytes[20] ^= 1;
    assert_false(opens(f.in, &again, ""));
    assert_true(opens(f.in, &d[3], "twelve packets, four keys"));
    assert_true(opens(f.in, &d[2], "twelve packets, four keys"));
    /* All of a key may be lost; what is two keys old is gone. */
    assert_true(opens(f.in, &d[11], "twelve packets, four keys"));
    assert_true(opens(f.in, &d[5], "twelve packets, four keys"));
    assert_false(opens(f.in, &d[0], ""));
    assert_true(opens(f.in, &d[9], "twelve packets, four keys"));
    end(&f);
}

/* Rather nothing than a nonce for the second time. */
static void test_used_up(void **state)
{
    struct fixture f = begin(1);
    unsigned char buffer[ESP_HEAD + ESP_TAIL_MOST];

    for (int i = 0; i < 1 << 20; i++)
        if (esp_seal(f.out, buffer, 0) == 0)
            fail_msg("used up after %d", i);
    assert_int_equal(esp_seal(f.out, buffer, 0), 0);
    assert_int_equal(esp_seal(f.out, buffer, 0), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_known),            cmocka_unit_test(test_every_size),
                                        cmocka_unit_test(test_replay_and_order), cmocka_unit_test(test_forged),
                                        cmocka_unit_test(test_elsewhere),        cmocka_unit_test(test_new_keys),
                                        cmocka_unit_test(test_used_up) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
