#include "aws/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct arena *arena;
static struct err err;

static int setup(void **state)
{
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(arena);
    return 0;
}

static void a_tree_is_read(void **state)
{
    struct xml_node *root;
    const struct xml_node *b;

    assert_int_equal(
        xml_parse(arena,
                  STR("<?xml version=\"1.0\"?><x:A xmlns:x=\"u\" xsi:type=\"T\">\n <B>a&amp;b&#x41;<![CDATA[<c>]]>"
                      "</B><C/><B> two </B></x:A>"),
                  &root, &err),
        0);
    assert_string_equal(root->name, "A");
    assert_string_equal(root->attributes->next->name, "xsi:type");
    assert_true(str_is(root->attributes->next->value, "T"));
    b = xml_child(root, "B");
    assert_true(str_is(b->text, "a&bA<c>"));
    assert_true(str_is(b->next->text, ""));
    assert_true(str_is(b->next->next->text, " two "));
    assert_null(b->next->next->next);
    assert_null(xml_child(root, "D"));
    assert_true(str_is(xml_child_text(root, "D"), ""));
}

static void refused(const char *text)
{
    struct xml_node *root;

    err = (struct err){ 0 };
    assert_int_equal(xml_parse(arena, str_of(text), &root, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_true(err.text[0] != '\0');
}

static void what_is_not_xml_is_refused(void **state)
{
    char deep[1000] = "";

    refused("");
    refused("text");
    refused("<a>");
    refused("<a></b>");
    refused("<a/><b/>");
    refused("<a:/>");
    refused("<a>\xff</a>");
    refused("<a>&what;</a>");
    refused("<!DOCTYPE a><a/>");
    refused("<!DOCTYPE a [<!ENTITY e \"eeee\">]><a>&e;</a>");
    for (int i = 0; i < 100; i++)
        strcat(deep, "<a>");
    refused(deep);
}

static void what_is_written_is_read_again(void **state)
{
    static const char nasty[] = "<a>&\"'\r\n\t ]]> é世";
    _cleanup_buf_ struct buf b = { 0 };
    struct xml_node *root;

    xml_declaration(&b);
    xml_open(&b, "Root", "http://x/?a=1&b=2");
    xml_element(&b, "Text", str_of(nasty));
    xml_close(&b, "Root");
    assert_int_equal(xml_parse(arena, (struct str){ b.data, b.size }, &root, &err), 0);
    assert_true(str_is(xml_child_text(root, "Text"), nasty));
    assert_true(str_is(root->attributes->value, "http://x/?a=1&b=2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_read),
        cmocka_unit_test(what_is_not_xml_is_refused),
        cmocka_unit_test(what_is_written_is_read_again),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
