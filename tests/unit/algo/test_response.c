/* test_response.c - predictions in every form, to the byte. */
#include <string.h>

#include "algo/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const float chances[] = { 0.25f, 0.75f };
static const float classes[] = { 0.125f, 0.625f, 0.25f };

static void check(enum accept accept, const struct response_options *o, const float *p, size_t rows, size_t width,
                  const char *wanted)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };

    assert_int_equal(response_print(&b, accept, o, p, rows, width, &err), 0);
    assert_string_equal(b.data, wanted);
}

static void test_scores(void **state)
{
    struct response_options plain = { .objective = "reg:squarederror" }, batch = { .batch = true };

    (void)state;
    check(ACCEPT_CSV, &plain, chances, 2, 1, "0.25,0.75");
    check(ACCEPT_CSV, &batch, chances, 2, 1, "0.25\n0.75\n");
    check(ACCEPT_CSV, &plain, classes, 1, 3, "[0.125, 0.625, 0.25]");
    check(ACCEPT_JSON, &plain, chances, 2, 1, "{\"predictions\": [{\"score\": 0.25}, {\"score\": 0.75}]}");
    check(ACCEPT_JSON, &plain, classes, 1, 3, "{\"predictions\": [{\"score\": [0.125, 0.625, 0.25]}]}");
    check(ACCEPT_JSON_LINES, &plain, chances, 2, 1, "{\"score\": 0.25}\n{\"score\": 0.75}\n");
}

static void test_selected(void **state)
{
    struct response_options o = {
        .objective = "binary:logistic",
        .selected = "predicted_label,labels, Probability,probabilities,raw_score,raw_scores,x",
    };
    struct response_options multi = { .objective = "multi:softprob", .classes = 3,
                                      .selected = "probabilities,predicted_label,labels,predicted_score" };
    struct response_options largest = { .objective = "multi:softmax", .classes = 3, .selected = "predicted_label" };
    static const float two = 2;

    (void)state;
    check(ACCEPT_CSV, &o, chances, 2, 1,
          "0,\"[0, 1]\",0.25,\"[0.75, 0.25]\",0.25,\"[0.75, 0.25]\",nan\n"
          "1,\"[0, 1]\",0.75,\"[0.25, 0.75]\",0.75,\"[0.25, 0.75]\",nan");
    check(ACCEPT_JSON, &o, chances, 1, 1,
          "{\"predictions\": [{\"predicted_label\": 0, \"labels\": [0, 1], \"probability\": 0.25, "
          "\"probabilities\": [0.75, 0.25], \"raw_score\": 0.25, \"raw_scores\": [0.75, 0.25], \"x\": NaN}]}");
    check(ACCEPT_JSON_LINES, &multi, classes, 1, 3,
          "{\"predicted_label\": 1, \"labels\": [0, 1, 2], \"probabilities\": [0.125, 0.625, 0.25], "
          "\"predicted_score\": NaN}\n");
    check(ACCEPT_JSON_LINES, &largest, &two, 1, 1, "{\"predicted_label\": 2.0}\n");
}

static void test_not_selectable(void **state)
{
    struct response_options o = { .objective = "count:poisson", .selected = "predicted_score" };
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };

    (void)state;
    assert_int_equal(response_print(&b, ACCEPT_CSV, &o, chances, 1, 1, &err), -1);
    assert_string_equal(err.text, "Objective `count:poisson` unsupported for selectable inference predictions.");
}

static void test_accept(void **state)
{
    static const struct {
        const char *header, *by_default;
        int wanted; /* -1: refused */
    } cases[] = {
        { "", NULL, ACCEPT_CSV },
        { "*/*", "application/json", ACCEPT_JSON },
        { "Application/JSON", NULL, ACCEPT_JSON },
        { "application/jsonlines; verbose=true", NULL, ACCEPT_JSON_LINES },
        { "text/html, application/x-recordio-protobuf;q=0.5", NULL, ACCEPT_RECORDIO },
        { "text/html, */*", NULL, ACCEPT_CSV },
        { "text/html", NULL, -1 },
        { "", "text/html", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum accept accept = ACCEPT_CSV;
        struct err err = { 0 };
        int rc = accept_parse(str_of(cases[i].header), cases[i].by_default, &accept, &err);

        assert_int_equal(rc < 0 ? -1 : (int)accept, cases[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_selected),
        cmocka_unit_test(test_not_selectable),
        cmocka_unit_test(test_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
