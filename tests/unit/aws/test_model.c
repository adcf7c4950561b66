#include "aws/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void every_name_is_found(void **state)
{
    int services = 0;

    for (const struct service *const *s = model_services; *s; s++, services++) {
        assert_ptr_equal(model_service((*s)->name), *s);
        assert_true((*s)->protocols != 0);
        for (int i = 0; i < (*s)->operation_count; i++) {
            const struct operation *op = &(*s)->operations[i];

            assert_ptr_equal(model_operation(*s, str_of(op->name)), op);
            assert_ptr_equal(op->service, *s);
            assert_true(op->http_status >= 200 && op->http_status < 300);
            for (int j = 0; j < op->input->member_count; j++)
                assert_ptr_equal(model_member(op->input, str_of(op->input->members[j].name)), &op->input->members[j]);
            for (const struct shape *const *error = op->errors; *error; error++)
                assert_ptr_equal(model_error(op, str_of((*error)->name)), *error);
        }
    }
    assert_true(services >= 8);
}

static void other_names_are_not(void **state)
{
    const struct service *sagemaker = model_service("sagemaker");

    assert_null(model_service("nothing"));
    assert_null(model_operation(sagemaker, STR("")));
    assert_null(model_operation(sagemaker, STR("CreateTrainingJo")));
    assert_null(model_operation(sagemaker, STR("CreateTrainingJobs")));
    assert_null(model_operation(sagemaker, STR("CreateTrainingJob\0")));
    assert_null(model_operation(sagemaker, STR("ZZZ")));
    assert_null(model_member(model_operation(sagemaker, STR("CreateTrainingJob"))->input, STR("trainingJobName")));
}

static void a_shape_says_what_the_model_says(void **state)
{
    const struct operation *create = model_operation(model_service("sagemaker"), STR("CreateTrainingJob"));
    const struct member *name = model_member(create->input, STR("TrainingJobName"));
    const struct member *channels = model_member(create->input, STR("InputDataConfig"));
    const struct member *resources = model_member(create->input, STR("ResourceConfig"));
    const struct member *count = model_member(resources->shape, STR("InstanceCount"));

    assert_true(name->flags & MEMBER_REQUIRED);
    assert_int_equal(name->shape->type, SHAPE_STRING);
    assert_string_equal(name->shape->pattern, "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}");
    assert_true(name->shape->flags & SHAPE_HAS_MAX);
    assert_true(name->shape->max == 63);
    assert_int_equal(channels->shape->type, SHAPE_LIST);
    assert_string_equal(model_item(channels->shape)->shape->name, "Channel");
    assert_int_equal(count->shape->type, SHAPE_INTEGER);
    assert_non_null(model_error(create, STR("ResourceInUse")));
    assert_null(model_error(create, STR("NoSuchBucket")));
}

static void routes_are_grouped(void **state)
{
    for (const struct service *const *s = model_services; *s; s++)
        for (int i = 1; i < (*s)->route_count; i++) {
            const struct route *before = &(*s)->routes[i - 1], *route = &(*s)->routes[i];

            assert_true(route->group == before->group || route->group == before->group + 1);
            if (route->group == before->group)
                assert_string_equal(route->method, before->method);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found),
        cmocka_unit_test(other_names_are_not),
        cmocka_unit_test(a_shape_says_what_the_model_says),
        cmocka_unit_test(routes_are_grouped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
