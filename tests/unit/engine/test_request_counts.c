#include "engine/request_counts.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void each_service_has_its_own(void **state)
{
    struct request_counts c = { 0 };
    _cleanup_buf_ struct buf b = { 0 };

    request_counts_add(&c, "s3", 200, 1500);
    request_counts_add(&c, "s3", 404, 500);
    request_counts_add(&c, "s3", 503, -1); /* the clock of the loop is coarser */
    request_counts_add(&c, "sagemaker", 501, 0);
    request_counts_print(&c, &b);
    buf_append_char(&b, '\0');
    assert_non_null(strstr(b.data, "\nsagebrush_requests_total{service=\"s3\"} 3\n"
                                   "sagebrush_requests_total{service=\"sagemaker\"} 1\n"));
    assert_non_null(strstr(b.data, "\nsagebrush_client_errors_total{service=\"s3\"} 1\n"
                                   "sagebrush_client_errors_total{service=\"sagemaker\"} 1\n"));
    assert_non_null(strstr(b.data, "\nsagebrush_server_errors_total{service=\"s3\"} 1\n"
                                   "sagebrush_server_errors_total{service=\"sagemaker\"} 0\n"));
    assert_non_null(strstr(b.data, "\nsagebrush_request_microseconds_total{service=\"s3\"} 2000\n"));
}

static void there_is_room_for_all_that_are_here_and_no_more(void **state)
{
    static const char names[40][2] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
                                       "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "A", "B",
                                       "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N" };
    struct request_counts c = { 0 };

    for (int i = 0; i < 40; i++)
        request_counts_add(&c, names[i], 200, 1);
    assert_int_equal(c.count, 32);
    assert_int_equal(c.of[31].requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_service_has_its_own),
        cmocka_unit_test(there_is_room_for_all_that_are_here_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
