#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sign/token.h"

#include <cmocka.h> /* last: its fail() is a macro */

static const struct token sample = {
    .access_key_id = "ASIAAAAAAAAAAAAAAAAA",
    .secret_access_key = "secret",
    .account = "123456789012",
    .arn = "arn:aws:sts::123456789012:assumed-role/R/s",
    .user_id = "AROA1:s",
    .role_arn = "arn:aws:iam::123456789012:role/R",
    .session_policy = "",
    .issued_ms = 1000,
    .expires_ms = 2000,
    .revision = 3,
};

static void test_round_trip(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    unsigned char key[SEAL_KEY_SIZE] = { 9 };
    struct rand dice = rand_seeded(1);
    char *text = token_seal(a, key, &dice, &sample);
    struct token t;

    assert_int_equal(token_open(a, key, str_of(text), str_of(sample.access_key_id), 1999, &t), TOKEN_GOOD);
    assert_string_equal(t.secret_access_key, "secret");
    assert_string_equal(t.arn, sample.arn);
    assert_string_equal(t.session_policy, "");
    assert_int_equal(t.expires_ms, 2000);
    assert_int_equal(t.revision, 3);
    assert_int_equal(token_open(a, key, str_of(text), str_of(sample.access_key_id), 2000, &t), TOKEN_EXPIRED);
    assert_int_equal(token_open(a, key, str_of(text), STR("ASIAAAAAAAAAAAAAAAAB"), 1999, &t), TOKEN_INVALID);
    assert_int_equal(token_open(a, key, STR("AAAA"), str_of(sample.access_key_id), 1999, &t), TOKEN_INVALID);
    assert_int_equal(token_open(a, key, STR(""), str_of(sample.access_key_id), 1999, &t), TOKEN_INVALID);
    assert_int_equal(token_open(a, key, STR("***"), str_of(sample.access_key_id), 1999, &t), TOKEN_INVALID);
    text[strlen(text) / 2] ^= 1;
    assert_int_equal(token_open(a, key, str_of(text), str_of(sample.access_key_id), 1999, &t), TOKEN_INVALID);
    key[0] = 8;
    text[strlen(text) / 2] ^= 1;
    assert_int_equal(token_open(a, key, str_of(text), str_of(sample.access_key_id), 1999, &t), TOKEN_INVALID);
}

static void test_pair(void **state)
{
    struct rand dice = rand_seeded(1);
    struct token_pair one, two;

    token_pair_new(&dice, "AKIA", &one);
    token_pair_new(&dice, "ASIA", &two);
    assert_int_equal(strlen(one.access_key_id), 20);
    assert_int_equal(strlen(one.secret_access_key), 40);
    assert_memory_equal(two.access_key_id, "ASIA", 4);
    assert_string_not_equal(one.secret_access_key, two.secret_access_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip), cmocka_unit_test(test_pair) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
