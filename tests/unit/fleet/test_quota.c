#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/fleet.h"
#include "fleet/quota.h"

#include <cmocka.h>

#define WORK "training job"

static struct fleet_quota rules[] = {
    { "111*", "ml.p4d.*", WORK, false, 2 },
    { "*", "ml.p4d.*", WORK, true, 1 },
    { "*", "ml.p4d.*", WORK, false, 0 },
};

static void a_limit_is_of_account_type_and_kind(void **state)
{
    struct fleet f = fleet_default();
    struct quotas *q;
    struct err err = { 0 };

    f.quotas = rules;
    f.quota_count = 3;
    q = quotas_new(&f);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4d.24xlarge", false, 2, &err), 0);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4d.24xlarge", false, 1, &err), -1);
    assert_string_equal(err.code, "ResourceLimitExceeded");
    assert_non_null(strstr(err.text, "The account-level service limit 'ml.p4d.24xlarge for training job usage' is 2 "
                                     "Instances, with current utilization of 2 Instances and a request delta of 1 "
                                     "Instances. Please use AWS Service Quotas"));
    /* Another account has its own, other types none, spot another. */
    assert_int_equal(quota_take(q, "1112", WORK, "ml.p4d.24xlarge", false, 1, &err), 0);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4de.24xlarge", false, 100, &err), 0);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4d.24xlarge", true, 2, &err), -1);
    assert_non_null(strstr(err.text, "'ml.p4d.24xlarge for spot training job usage' is 1 Instances"));
    assert_int_equal(quota_take(q, "222", WORK, "ml.p4d.24xlarge", false, 1, &err), -1);
    quota_give(q, "1111", WORK, "ml.p4d.24xlarge", false, 2);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4d.24xlarge", false, 2, &err), 0);
    quotas_free(q);
}

static void what_runs_counts_whatever_the_limit(void **state)
{
    struct fleet f = fleet_default();
    struct quotas *q;
    struct err err = { 0 };

    f.quotas = rules;
    f.quota_count = 3;
    q = quotas_new(&f);
    quota_restore(q, "1111", WORK, "ml.p4d.24xlarge", false, 5);
    assert_int_equal(quota_take(q, "1111", WORK, "ml.p4d.24xlarge", false, 1, &err), -1);
    assert_non_null(strstr(err.text, "utilization of 5"));
    quotas_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_is_of_account_type_and_kind),
        cmocka_unit_test(what_runs_counts_whatever_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
