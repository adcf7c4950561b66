#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/instance_type.h"

static void the_catalogue_finds_by_name(void **state)
{
    assert_int_equal(instance_type("ml.m5.xlarge")->vcpus, 4);
    assert_int_equal(instance_type("m5.xlarge")->vcpus, 4);
    assert_non_null(instance_type("c4.2xlarge"));
    assert_non_null(instance_type("trn2.48xlarge"));
    assert_null(instance_type("ml.m5"));
    assert_null(instance_type(""));
}

static void specs_are_those_of_the_type(void **state)
{
    const struct instance_type *p4d = instance_type("ml.p4d.24xlarge");

    assert_int_equal(p4d->vcpus, 96);
    assert_int_equal(p4d->accelerators, 8);
    assert_string_equal(p4d->accelerator, "A100");
    assert_true(p4d->accelerator_gib == 40 && p4d->memory_gib == 1152 && p4d->nvme_gb == 8000);
    assert_string_equal(instance_type("c7g.large")->architecture, "arm64");
}

static void an_hour_has_a_price_in_each_region(void **state)
{
    const struct instance_market *sydney = instance_market(instance_type("g4dn.xlarge"), "ap-southeast-2");

    assert_true(instance_type("g4dn.xlarge")->usd_hour == 0.526);
    assert_true(sydney->usd_hour == 0.684);
    assert_true(instance_type("ml.p3.2xlarge")->usd_hour == 3.825);
    assert_null(instance_market(instance_type("m5.xlarge"), "mars-north-1"));
    assert_null(instance_market(instance_type("g6.xlarge"), "ap-southeast-1"));
}

/* SageMaker's price is EC2's by one ratio, in every region, on demand and spot. */
static void an_ml_type_is_dearer_by_one_ratio(void **state)
{
    const struct instance_type *ml = instance_type("ml.c5.xlarge"), *ec2 = instance_type("c5.xlarge");

    assert_int_equal(ml->market_count, ec2->market_count);
    for (int i = 0; i < ml->market_count; i++) {
        assert_string_equal(ml->markets[i].region, ec2->markets[i].region);
        assert_float_equal(ml->markets[i].usd_hour, 1.2 * ec2->markets[i].usd_hour, 1e-6);
        assert_float_equal(ml->markets[i].spot_usd_hour, 1.2 * ec2->markets[i].spot_usd_hour, 1e-5);
        assert_true(ml->markets[i].interrupted > 0);
    }
}

static void spot_is_a_part_of_the_price(void **state)
{
    double share = instance_spot_share("ml.c5.9xlarge", "us-east-1");

    assert_true(share > 0.3 && share < 0.6); /* 0.643 of 1.53 */
    assert_true(instance_spot_share("ml.c5.9xlarge", "mars-north-1") == 1);
    assert_true(instance_spot_share("ml.nothing", "us-east-1") == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_catalogue_finds_by_name),
        cmocka_unit_test(specs_are_those_of_the_type),
        cmocka_unit_test(an_hour_has_a_price_in_each_region),
        cmocka_unit_test(an_ml_type_is_dearer_by_one_ratio),
        cmocka_unit_test(spot_is_a_part_of_the_price),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
