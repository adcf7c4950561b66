#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "doc/json.h"
#include "doc/toml.h"

#include <cmocka.h>

static struct doc *parsed(struct arena *a, const char *text)
{
    struct err err = { 0 };
    struct doc *d = NULL;

    if (toml_parse(a, "f.toml", str_of(text), &d, &err) < 0)
        fail_msg("%s", err.text);
    return d;
}

static void a_text_is_the_document(void **state)
{
    static const struct {
        const char *toml, *json;
    } cases[] = {
        { "", "{}" },
        { "\xef\xbb\xbf# c\r\na = 1 # d\r\n", "{\"a\":1}" },
        { "a = [1, +2, -3, 0x1F, 0o17, 0b101, 1_000]", "{\"a\":[1,2,-3,31,15,5,1000]}" },
        { "a = [0.5, -2.5e-1, 1e3, 9223372036854775807]", "{\"a\":[0.5,-0.25,1000.0,9223372036854775807]}" },
        { "a = true\nb = [ # c\n false,\n]\n", "{\"a\":true,\"b\":[false]}" },
        { "a = \"x\\t\\\"\\u00e9\\U0001F600\"", "{\"a\":\"x\\t\\\"\xc3\xa9\xf0\x9f\x98\x80\"}" },
        { "a = 'c:\\x'\nb = '''\nr\\\ns'''", "{\"a\":\"c:\\\\x\",\"b\":\"r\\\\\\ns\"}" },
        { "a = \"\"\"\nx \\\n\n   y\"\"\"\"\"", "{\"a\":\"x y\\\"\\\"\"}" },
        { "a.b.c = 1\na.d = 2\n\"x y\" = 3", "{\"a\":{\"b\":{\"c\":1},\"d\":2},\"x y\":3}" },
        { "a = { x = 1, y.z = 2 }\nb = {}", "{\"a\":{\"x\":1,\"y\":{\"z\":2}},\"b\":{}}" },
        { "[a.b]\nc=1\n[a]\nd=2", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}" },
        { "[[n]]\na=1\n[n.g]\nk=2\n[[n]]\n[[n.m]]\n", "{\"n\":[{\"a\":1,\"g\":{\"k\":2}},{\"m\":[{}]}]}" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct doc *expected;
        struct err err;

        assert_int_equal(json_parse(a, str_of(cases[i].json), &expected, &err), 0);
        if (!doc_equal(parsed(a, cases[i].toml), expected))
            fail_msg("%s\nis %s\nand not %s", cases[i].toml, json_text(a, parsed(a, cases[i].toml)), cases[i].json);
    }
}

static void a_fault_is_told_with_its_line(void **state)
{
    static const struct {
        const char *toml, *words;
    } cases[] = {
        { "a = 1\na = 2", "f.toml:2: a is given twice; the first is in line 1" },
        { "[a]\n\n[a]", "f.toml:3: a is given twice; the first is in line 1" },
        { "a = \"x\nb = 2", "f.toml:1: the string that begins here has no end" },
        { "a = \"\"\"x\n\n", "f.toml:1: the string that begins here has no end" },
        { "a = yes", "f.toml:1: yes is neither true, false nor a number that fits" },
        { "a = 01", "01 is neither" },
        { "a = 1__0", "1__0 is neither" },
        { "a = 9223372036854775808", "neither" },
        { "a = 1.", "neither" },
        { "a = inf", "neither" },
        { "a = 0x8000000000000000", "neither" },
        { "a = 1979-05-27", "is a date or a time" },
        { "a = 07:32:00", "is a date or a time" },
        { "a = 1 b = 2", "more on the line" },
        { "a =", "a value is missing" },
        { "= 1", "a key is missing" },
        { "a", "after the key a comes =" },
        { "[a", "the header of a table ends with ]" },
        { "a = [1 2]", "parted by ," },
        { "a = { b = 1\n}", "on one line" },
        { "a = {b = 1}\n[a.c]", "f.toml:2: the table a was made in line 1" },
        { "a = {b.c = 1, b.c = 2}", "c is given twice" },
        { "[a]\nb.c = 1\n[a.b]", "f.toml:3: b is given twice" },
        { "[a.b]\n[a]\nb.c = 1", "f.toml:3: the table b was made in line 1" },
        { "a = [1]\n[[a]]", "a is no array of tables" },
        { "[[a]]\n[a]", "its tables begin with [[ ]]" },
        { "a = 1\n[a.b]", "a is no table: it was given a value in line 1" },
        { "a = \"\\q\"", "after \\ comes one of" },
        { "a = \"\\ud800\"", "U+D800 is no character" },
        { "a = \"\x01\"", "control character" },
        { "a = \"\xff\"", "not UTF-8" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct err err = { 0 };
        struct doc *d;

        if (toml_parse(a, "f.toml", str_of(cases[i].toml), &d, &err) == 0)
            fail_msg("%s is accepted", cases[i].toml);
        if (!strstr(err.text, cases[i].words))
            fail_msg("%s\nsays %s\nand not %s", cases[i].toml, err.text, cases[i].words);
    }
}

static void a_value_knows_its_line(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = parsed(a, "a = 1\n[[n]]\nb = [\n 2,\n 3 ]\n[[n]]\nc.d = 4\n");

    assert_int_equal(toml_line(doc_at(d, "a")), 1);
    assert_int_equal(toml_line(doc_at(d, "n[0].b[1]")), 5);
    assert_int_equal(toml_line(doc_at(d, "n[1]")), 6);
    assert_int_equal(toml_line(doc_at(d, "n[1].c.d")), 7);
}

static void depth_has_an_end(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    char text[300] = "a = ";
    struct doc *d;

    memset(text + 4, '[', 200);
    assert_int_equal(toml_parse(a, "f", str_of(text), &d, &err), -1);
    assert_non_null(strstr(err.text, "within each other"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_the_document),
        cmocka_unit_test(a_fault_is_told_with_its_line),
        cmocka_unit_test(a_value_knows_its_line),
        cmocka_unit_test(depth_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
