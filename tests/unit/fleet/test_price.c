/* Whose price counts: the fleet file's, the catalogue's of its region, or without a file the list's. */
#include "fleet/instance_type.h"
#include "fleet/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char file[] = "region = \"eu-west-1\"\n"
                           "[[nodes]]\nname = \"n\"\ncores = 8\nmemory = \"32GiB\"\n"
                           "[[types]]\nname = \"box\"\nvcpus = 1\nmemory = \"1GiB\"\n"
                           "usd_hour = 2\nspot_usd_hour = 0.5\n"
                           "[[types]]\nname = \"box.firm\"\nvcpus = 1\nmemory = \"1GiB\"\nusd_hour = 2\n"
                           "[[types]]\nname = \"box.free\"\nvcpus = 1\nmemory = \"1GiB\"\n"
                           "[[types]]\nname = \"ml.m5.xlarge\"\nusd_hour = 0.01\n";

static struct price asked(const char *text, const char *type, const char *region)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet f = fleet_of_slots(a, "local", 4, 0);
    struct err err;

    if (text && fleet_read(a, "fleet.toml", str_of(text), &f, &err) < 0)
        fail_msg("%s", err.text);
    return fleet_price(&f, type, region);
}

static void assert_price(struct price p, double usd_hour, double spot_usd_hour)
{
    assert_float_equal(price_paid(&p, false), usd_hour, 1e-9);
    assert_float_equal(price_paid(&p, true), spot_usd_hour, 1e-9);
}

static void the_files_own(void **state)
{
    assert_price(asked(file, "box", "us-east-1"), 2, 0.5);
    assert_price(asked(file, "box.firm", "us-east-1"), 2, 2);
    assert_price(asked(file, "box.free", "us-east-1"), 0, 0);
    /* The catalogue's spot price is above this price on demand: nobody pays more for spot. */
    assert_price(asked(file, "ml.m5.xlarge", "us-east-1"), 0.01, 0.01);
}

static void with_a_file_the_catalogue_of_its_region(void **state)
{
    const struct instance_market *m = instance_market(instance_type("ml.c5.xlarge"), "eu-west-1");

    assert_true(m->spot_usd_hour < m->usd_hour && m->usd_hour > instance_type("ml.c5.xlarge")->usd_hour);
    assert_price(asked(file, "ml.c5.xlarge", "us-east-1"), m->usd_hour, m->spot_usd_hour);
    assert_price(asked(file, "ml.no.such", "us-east-1"), 0, 0);
}

/* Half an hour at 0.4, half an hour at 0.8. */
static void a_trace_that_takes_back_is_paid(void **state)
{
    static const char trace[] = "[[nodes]]\nname = \"n\"\ncores = 2\nmemory = \"8GiB\"\n"
                                "[[spot.traces]]\ntype = \"box*\"\n"
                                "repeat = \"1h\"\npoints = [[\"0m\", 0.4], [\"30m\", 0.8]]\n[spot]\n";
    _cleanup_arena_ struct arena *a = arena_new();
    const int64_t hour = 3600 * 1000;
    double usd_hour = 7;
    struct fleet f;
    struct err err;

    assert_int_equal(fleet_read(a, "fleet.toml", str_of(trace), &f, &err), 0);
    assert_false(price_traced(&f, "box", 0, hour, &usd_hour));
    assert_int_equal(fleet_read(a, "fleet.toml", str_of(arena_printf(a, "%slive = true\n", trace)), &f, &err), 0);
    assert_false(price_traced(&f, "another", 0, hour, &usd_hour));
    assert_true(usd_hour == 7);
    assert_true(price_traced(&f, "box", 100 * hour, 101 * hour, &usd_hour));
    assert_float_equal(usd_hour, 0.6, 1e-9);
    assert_true(price_traced(&f, "box", hour / 4, hour * 3 / 4, &usd_hour));
    assert_float_equal(usd_hour, 0.6, 1e-9);
    assert_true(price_traced(&f, "box", hour / 2, hour / 2, &usd_hour));
    assert_float_equal(usd_hour, 0.8, 1e-9);
}

static void without_a_file_the_list(void **state)
{
    double usd_hour = instance_type("ml.c5.xlarge")->usd_hour;

    assert_price(asked(NULL, "ml.c5.xlarge", "eu-west-1"), usd_hour,
                 usd_hour * instance_spot_share("ml.c5.xlarge", "eu-west-1"));
    assert_price(asked(NULL, "box", "us-east-1"), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_own),
        cmocka_unit_test(with_a_file_the_catalogue_of_its_region),
        cmocka_unit_test(a_trace_that_takes_back_is_paid),
        cmocka_unit_test(without_a_file_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
