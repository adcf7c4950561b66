#include "aws/eventstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The bytes are those that botocore's EventStreamBuffer takes. */
static void messages_are_as_clients_expect(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    char text[600];

    eventstream_event(&b, "PayloadPart", "application/octet-stream", STR("chunk"));
    hex_encode(text, b.data, b.size);
    assert_string_equal(
        text, "0000006e000000595197ff150b3a6576656e742d7479706507000b5061796c6f6164506172740d3a636f6e74656e742d74797065"
              "0700186170706c69636174696f6e2f6f637465742d73747265616d0d3a6d6573736167652d747970650700056576656e7463"
              "68756e6b8a655d1c");
    buf_clear(&b);
    eventstream_exception(&b, "ModelStreamError", STR("{\"Message\":\"m\"}"));
    hex_encode(text, b.data, b.size);
    assert_string_equal(
        text, "0000007d0000005ee8b387e40f3a657863657074696f6e2d747970650700104d6f64656c53747265616d4572726f720d3a636f6e"
              "74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074"
              "696f6e7b224d657373616765223a226d227da1dace3e");
}

static void they_stand_one_after_the_other(void **state)
{
    _cleanup_buf_ struct buf b = { 0 }, twice = { 0 };
    char bytes[256];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    eventstream_event(&b, "PayloadPart", "application/octet-stream", (struct str){ bytes, sizeof bytes });
    eventstream_event(&twice, "PayloadPart", "application/octet-stream", (struct str){ bytes, sizeof bytes });
    eventstream_event(&twice, "PayloadPart", "application/octet-stream", (struct str){ bytes, sizeof bytes });
    assert_int_equal(twice.size, 2 * b.size);
    assert_memory_equal(twice.data + b.size, b.data, b.size);
}

static void an_event_may_be_empty(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };

    eventstream_event(&b, "PayloadPart", "application/octet-stream", STR(""));
    assert_int_equal(b.size, 12 + 0x59 + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_as_clients_expect),
        cmocka_unit_test(they_stand_one_after_the_other),
        cmocka_unit_test(an_event_may_be_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
