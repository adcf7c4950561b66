#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sign/digest.h"

#include <cmocka.h> /* last: its fail() is a macro */

static void test_known(void **state)
{
    static const struct {
        enum digest_kind kind;
        size_t size;
        const char *text, *hex;
    } cases[] = {
        { DIGEST_MD5, 16, "", "d41d8cd98f00b204e9800998ecf8427e" },
        { DIGEST_MD5, 16, "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { DIGEST_SHA1, 20, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { DIGEST_SHA256, 32, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { DIGEST_SHA256, 32, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char hash[32], again[32];
        char hex[65];
        struct digest d, copy;

        digest_start(&d, cases[i].kind);
        for (const char *p = cases[i].text; *p; p++)
            digest_update(&d, p, 1);
        copy = d; /* a value */
        digest_finish(&d, hash);
        digest_finish(&copy, again);
        hex_encode(hex, hash, cases[i].size);
        assert_string_equal(hex, cases[i].hex);
        assert_memory_equal(hash, again, cases[i].size);
    }
}

/* RFC 4231. */
static void test_hmac(void **state)
{
    unsigned char mac[32], key[131];
    char hex[65];

    hmac_sha256(mac, "Jefe", 4, "what do ya want for nothing?", 28);
    hex_encode(hex, mac, 32);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256(mac, key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54);
    hex_encode(hex, mac, 32);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869, A.1 and A.3. */
static void test_hkdf(void **state)
{
    unsigned char key[22], salt[13], info[10], out[42];
    char hex[85];

    memset(key, 0x0b, sizeof key);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (unsigned char)(0xf0 + i);
    hkdf_sha256(out, sizeof out, (struct str){ (char *)key, sizeof key }, (struct str){ (char *)salt, sizeof salt },
                (struct str){ (char *)info, sizeof info });
    hex_encode(hex, out, sizeof out);
    assert_string_equal(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    hkdf_sha256(out, sizeof out, (struct str){ (char *)key, sizeof key }, STR(""), STR(""));
    hex_encode(hex, out, sizeof out);
    assert_string_equal(hex, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void test_seal(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    unsigned char key[SEAL_KEY_SIZE] = { 1 };
    struct rand dice = rand_seeded(7);
    struct str sealed = seal(a, key, &dice, STR("label"), STR("secret")),
               other = seal(a, key, &dice, STR("label"), STR("secret"));
    struct str plain;

    assert_false(str_eq(sealed, other));
    assert_true(unseal(a, key, STR("label"), sealed, &plain));
    assert_true(str_is(plain, "secret"));
    assert_false(unseal(a, key, STR("other"), sealed, &plain));
    for (size_t i = 0; i < sealed.size; i++) {
        ((char *)sealed.data)[i] ^= 1;
        assert_false(unseal(a, key, STR("label"), sealed, &plain));
        ((char *)sealed.data)[i] ^= 1;
        assert_false(unseal(a, key, STR("label"), (struct str){ sealed.data, i }, &plain));
    }
    key[31] ^= 1;
    assert_false(unseal(a, key, STR("label"), sealed, &plain));
    other = seal(a, key, &dice, STR("x"), (struct str){ "", 0 });
    assert_true(unseal(a, key, STR("x"), other, &plain));
    assert_int_equal(plain.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_known), cmocka_unit_test(test_hmac),
                                        cmocka_unit_test(test_hkdf), cmocka_unit_test(test_seal) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
