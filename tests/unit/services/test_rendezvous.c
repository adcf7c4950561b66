/* What the tunnels of a job are told of each other, and what nobody can tell them. */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "doc/json.h"
#include "run/folder.h"
#include "services/admin/rendezvous.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct fixture {
    struct arena *arena;
    char data[32];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err;

    *state = f;
    f->arena = arena_new();
    strcpy(f->data, "/tmp/sgb-meet-XXXXXX");
    assert_non_null(mkdtemp(f->data));
    for (const char *const *name = (const char *const[]){ "a-0", "b-0", "c-0", NULL }; *name; name++)
        assert_int_equal(folder_make(arena_printf(f->arena, "%s/agents/%s", f->data, *name), 0700, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err err;

    tree_remove(f->data, &err);
    arena_free(f->arena);
    free(f);
    return 0;
}

static struct doc *parse(struct fixture *f, const char *text)
{
    struct doc *d;
    struct err err;

    assert_int_equal(json_parse(f->arena, str_of(text), &d, &err), 0);
    return d;
}

/* Two instances; c-0 is of another job. */
static const struct doc *order_of(struct fixture *f, const char *name)
{
    struct doc *d = parse(f, "{\"mesh\":{\"server\":\"10.0.0.1\"},\"peers\":{\"algo-1\":\"a-0\",\"algo-2\":\"b-0\"}}");

    doc_set_string(f->arena, d, "name", name);
    return d;
}

/* The answer in JSON; "" and what was wrong in 'kind' when there is none. */
static const char *tell(struct fixture *f, const struct doc *order, const char *told, enum err_kind *ret_kind)
{
    struct doc *answer = doc_map(f->arena);
    struct err err = { 0 };

    if (rendezvous(f->arena, f->data, order, parse(f, told), answer, &err) < 0) {
        *ret_kind = err.kind;
        return "";
    }
    return json_text(f->arena, answer);
}

static void each_is_told_of_the_others_of_its_job(void **state)
{
    struct fixture *f = *state;
    const struct doc *a = order_of(f, "a-0"), *b = order_of(f, "b-0");
    enum err_kind kind;

    assert_string_equal(tell(f, a, "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2:5000\"}", &kind), "{\"peers\":{}}");
    assert_string_equal(tell(f, b, "{\"tunnel\":\"y\",\"endpoint\":\"[fd00::0:3]:5001\"}", &kind),
                        "{\"peers\":{\"algo-1\":\"10.0.0.2:5000\"}}");
    /* Its answer was lost, or it asks again. */
    assert_string_equal(tell(f, a, "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2:5000\"}", &kind),
                        "{\"peers\":{\"algo-2\":\"[fd00::3]:5001\"}}");
}

static void an_agent_has_one_tunnel_ever(void **state)
{
    struct fixture *f = *state;
    const struct doc *a = order_of(f, "a-0");
    enum err_kind kind;

    assert_string_equal(tell(f, a, "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2:5000\"}", &kind), "{\"peers\":{}}");
    /* Another one, also at the same place: its counters begin anew. */
    assert_string_equal(tell(f, a, "{\"tunnel\":\"z\",\"endpoint\":\"10.0.0.2:5000\"}", &kind), "");
    assert_int_equal(kind, ERR_CONFLICT);
    /* Nor does one move: what was sealed for it may still be on its way. */
    assert_string_equal(tell(f, a, "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.9:5000\"}", &kind), "");
    assert_int_equal(kind, ERR_CONFLICT);
    assert_string_equal(tell(f, order_of(f, "b-0"), "{\"tunnel\":\"y\",\"endpoint\":\"10.0.0.3:1\"}", &kind),
                        "{\"peers\":{\"algo-1\":\"10.0.0.2:5000\"}}");
}

static void lies_are_refused(void **state)
{
    static const char *const lies[] = {
        "{}", "[]", "\"x\"", "{\"tunnel\":\"x\"}", "{\"endpoint\":\"10.0.0.2:5000\"}",
        "{\"tunnel\":\"\",\"endpoint\":\"10.0.0.2:5000\"}", "{\"tunnel\":1,\"endpoint\":\"10.0.0.2:5000\"}",
        "{\"tunnel\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"endpoint\":\"10.0.0.2:5000\"}",
        "{\"tunnel\":\"x\",\"endpoint\":5000}", "{\"tunnel\":\"x\",\"endpoint\":[\"10.0.0.2:5000\"]}",
        "{\"tunnel\":\"x\",\"endpoint\":\"127.0.0.1:22\"}", "{\"tunnel\":\"x\",\"endpoint\":\"0.0.0.0:5000\"}",
        "{\"tunnel\":\"x\",\"endpoint\":\"255.255.255.255:5000\"}",
        "{\"tunnel\":\"x\",\"endpoint\":\"224.0.0.1:5000\"}",
        "{\"tunnel\":\"x\",\"endpoint\":\"[::1]:22\"}", "{\"tunnel\":\"x\",\"endpoint\":\"[::ffff:127.0.0.1]:22\"}",
        "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2\"}", "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2:0\"}",
        "{\"tunnel\":\"x\",\"endpoint\":\"node.example:5000\"}",
    };
    struct fixture *f = *state;
    enum err_kind kind;

    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        if (*tell(f, order_of(f, "a-0"), lies[i], &kind))
            fail_msg("taken: %s", lies[i]);
        assert_int_equal(kind, ERR_INVALID);
    }
    assert_false(path_exists(arena_printf(f->arena, "%s/agents/a-0/endpoint.json", f->data)));
}

static void a_job_on_one_machine_has_no_rendezvous(void **state)
{
    static const char *const orders[] = { "{\"name\":\"c-0\"}", "{\"name\":\"c-0\",\"mesh\":{\"server\":\"10.0.0.1\"}}",
                                          "{\"name\":\"c-0\",\"peers\":{\"algo-1\":\"c-0\",\"algo-2\":\"a-0\"}}" };
    struct fixture *f = *state;
    enum err_kind kind;

    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        assert_string_equal(tell(f, parse(f, orders[i]), "{\"tunnel\":\"x\",\"endpoint\":\"10.0.0.2:5\"}", &kind), "");
        assert_int_equal(kind, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_told_of_the_others_of_its_job, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_has_one_tunnel_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_on_one_machine_has_no_rendezvous, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
