/* Event patterns: what fits, what does not, and which are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "doc/json.h"
#include "services/events/operator.h"
#include "services/events/pattern.h"

#include <cmocka.h>

static const char event[] =
    "{'source':'aws.sagemaker','detail-type':'SageMaker Training Job State Change','resources':['arn:a','arn:b'],"
    "'detail':{'TrainingJobStatus':'Failed','Count':3,'Ratio':0.25,'Whole':300.0,'Empty':[],'Nothing':null,'On':true,"
    "'path':'dir/file.PNG','star':'a*b','address':'10.0.0.255','six':'2001:db8::1',"
    "'list':[{'x':1,'y':2},{'x':3,'y':4}],'deep':[[1,[2]],3],'$or':['plain']}}";

static struct str quoted(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);

    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return str_of(copy);
}

static bool fits(const char *pattern)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t effort = EVENT_EFFORT;
    struct doc *p, *e;
    struct err err;
    bool matches;

    assert_int_equal(json_parse(a, quoted(a, event), &e, &err), 0);
    if (event_pattern_parse(a, quoted(a, pattern), &p, &err) < 0)
        fail_msg("%s: %s", pattern, err.text);
    matches = event_pattern_matches(p, e, &effort);
    assert_in_range(effort, EVENT_EFFORT - 1000, EVENT_EFFORT - 1);
    return matches;
}

static void test_what_fits(void **state)
{
    static const struct {
        const char *pattern;
        bool fits;
    } cases[] = {
        { "{'source':['aws.sagemaker']}", true },
        { "{'source':['aws.ec2']}", false },
        { "{'source':['aws.ec2','aws.sagemaker']}", true },
        { "{'source':['aws.sagemaker'],'detail':{'TrainingJobStatus':['Completed']}}", false },
        { "{'resources':['arn:b']}", true },
        { "{'resources':[{'prefix':'arn:'}],'detail':{'Count':[3]}}", true },
        { "{'detail':{'Whole':[300]}}", true },
        { "{'detail':{'Count':['3']}}", false },
        { "{'detail':{'Count':['a',{'prefix':'b'},null,true,2,'b',3,false,'']}}", true },
        { "{'detail':{'path':['z',{'suffix':'x'},1,'dir/file.PNG','dir/file']}}", true },
        { "{'detail':{'On':[{'prefix':'b'},'true',1,false,null]}}", false },
        { "{'detail':{'On':[true],'Nothing':[null]}}", true },
        { "{'detail':{'absent':[null]}}", false },
        { "{'detail':{'TrainingJobStatus':[{'prefix':'Fa'}]}}", true },
        { "{'detail':{'TrainingJobStatus':[{'prefix':{'equals-ignore-case':'FA'}}]}}", true },
        { "{'detail':{'path':[{'suffix':'.png'}]}}", false },
        { "{'detail':{'path':[{'suffix':{'equals-ignore-case':'.png'}}]}}", true },
        { "{'detail':{'TrainingJobStatus':[{'equals-ignore-case':'FAILED'}]}}", true },
        { "{'detail':{'TrainingJobStatus':[{'anything-but':'Failed'}]}}", false },
        { "{'detail':{'TrainingJobStatus':[{'anything-but':['Completed','Stopped']}]}}", true },
        { "{'detail':{'TrainingJobStatus':[{'anything-but':{'prefix':'Fa'}}]}}", false },
        { "{'detail':{'TrainingJobStatus':[{'anything-but':{'suffix':['x','ed']}}]}}", false },
        { "{'detail':{'TrainingJobStatus':[{'anything-but':{'wildcard':'C*'}}]}}", true },
        { "{'detail':{'absent':[{'anything-but':'x'}]}}", false },
        { "{'resources':[{'anything-but':'arn:a'}]}", true },
        { "{'detail':{'Count':[{'anything-but':[1,2]}]}}", true },
        { "{'detail':{'Count':[{'numeric':['>',0,'<=',3]}]}}", true },
        { "{'detail':{'Count':[{'numeric':['>',3]}]}}", false },
        { "{'detail':{'Ratio':[{'numeric':['=',0.25]}]}}", true },
        { "{'detail':{'path':[{'numeric':['>',0]}]}}", false },
        { "{'detail':{'Count':[{'exists':true}],'absent':[{'exists':false}]}}", true },
        { "{'detail':{'Count':[{'exists':false}]}}", false },
        { "{'detail':{'Empty':[{'exists':true}]}}", false },
        { "{'absent':{'below':[{'exists':false}]}}", true },
        { "{'detail':[{'exists':true}]}", false }, /* an object is no value */
        { "{'detail':{'path':[{'wildcard':'dir/*.PNG'}]}}", true },
        { "{'detail':{'path':[{'wildcard':'*f*e*'}]}}", true },
        { "{'detail':{'path':[{'wildcard':'*x*'}]}}", false },
        { "{'detail':{'path':[{'wildcard':'dir/file'}]}}", false },
        { "{'detail':{'star':[{'wildcard':'a\\\\*b'}],'path':[{'anything-but':{'wildcard':'*\\\\**'}}]}}", true },
        { "{'detail':{'address':[{'cidr':'10.0.0.0/24'}],'six':[{'cidr':'2001:db8::/32'}]}}", true },
        { "{'detail':{'address':[{'cidr':'10.0.1.0/24'}]}}", false },
        { "{'$or':[{'source':['x']},{'detail':{'Count':[3]}}]}", true },
        { "{'source':['x'],'$or':[{'source':['aws.sagemaker']},{'detail':{'Count':[3]}}]}", false },
        { "{'detail':{'$or':[{'Count':[1]},{'Ratio':[{'numeric':['<',0.2]}]}]}}", false },
        { "{'detail':{'$or':['plain']}}", true },
        { "{'detail':{'list':{'x':[1],'y':[2]}}}", true },
        { "{'detail':{'list':{'x':[1],'y':[4]}}}", false }, /* of two different objects */
        { "{'detail':{'deep':[2]}}", true },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (fits(cases[i].pattern) != cases[i].fits)
            fail_msg("%s: %s", cases[i].pattern, cases[i].fits ? "does not fit" : "fits");
}

/* {"list": [item, item, ...]}, %d is its number. */
static struct doc *list_of(struct arena *a, const char *item, int count, bool pattern)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct doc *d;
    struct err err;

    buf_append_str(&b, "{'list':[");
    for (int i = 0; i < count; i++) {
        buf_append_str(&b, i ? "," : "");
        buf_append_str(&b, item);
        buf_printf(&b, "%d", i);
        buf_append_str(&b, strchr(item, '{') ? "'}" : strchr(item, '\'') ? "'" : "");
    }
    buf_append_str(&b, "]}");
    buf_append_char(&b, '\0');
    if ((pattern ? event_pattern_parse : json_parse)(a, quoted(a, b.data), &d, &err) < 0)
        fail_msg("%s", err.text);
    return d;
}

static int64_t price_of(const char *wanted, int wanted_count, const char *value, int count, bool fits)
{
    _cleanup_arena_ struct arena *a = arena_new();
    int64_t effort = EVENT_EFFORT;
    bool matches = event_pattern_matches(list_of(a, wanted, wanted_count, true), list_of(a, value, count, false),
                                         &effort);

    assert_int_equal(matches, fits);
    return EVENT_EFFORT - effort;
}

static void long_lists_are_matched_once_through(void **state)
{
    assert_in_range(price_of("'a", 300, "'b", 1000, false), 1000, 1010);
    assert_in_range(price_of("'a", 300, "'b", 10000, false), 10000, 10010);
    assert_in_range(price_of("", 1000, "'b", 1000, false), 1000, 1010);
    assert_in_range(price_of("", 1000, "1", 1000, true), 1, 1010);
    price_of("'a", 300, "'a", 1, true);
    /* Each of the operators looks at each value; what is too much is given up, soon. */
    assert_in_range(price_of("{'prefix':'a", 100, "'b", 1000, false), 200000, 210000);
    assert_in_range(price_of("{'prefix':'a", 200, "'b", 10000, false), EVENT_EFFORT + 1, EVENT_EFFORT + 10);
    assert_in_range(price_of("{'prefix':'a", 200, "'b", 100000, false), EVENT_EFFORT + 1, EVENT_EFFORT + 10);
}

static void test_what_is_wrong(void **state)
{
    static const char *const wrong[] = {
        "", "[]", "{", "{}", "{'source':'aws.ec2'}", "{'source':[]}", "{'source':[['a']]}", "{'detail':{}}",
        "{'source':[{}]}", "{'source':[{'prefix':'a','suffix':'b'}]}", "{'source':[{'like':'a'}]}",
        "{'source':[{'prefix':1}]}", "{'source':[{'prefix':{'prefix':'a'}}]}", "{'source':[{'wildcard':'a**'}]}",
        "{'source':[{'numeric':[]}]}", "{'source':[{'numeric':['>']}]}", "{'source':[{'numeric':['~',1]}]}",
        "{'source':[{'numeric':['>','1']}]}", "{'source':[{'exists':1}]}", "{'source':[{'anything-but':[]}]}",
        "{'source':[{'anything-but':[null]}]}", "{'source':[{'anything-but':{'exists':true}}]}",
        "{'source':[{'anything-but':{'prefix':[]}}]}", "{'source':[{'cidr':'10.0.0.0'}]}",
        "{'source':[{'cidr':'10.0.0.0/33'}]}", "{'$or':[{'a':['x']},{}]}", "{'$or':'x'}",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        struct doc *p;
        struct err err;

        if (event_pattern_parse(a, quoted(a, wrong[i]), &p, &err) == 0)
            fail_msg("%s is taken", wrong[i]);
        assert_string_equal(err.code, "InvalidEventPatternException");
    }
}

/* Star by star, in every way. */
static bool fits_slowly(const char *text, const char *glob)
{
    if (*glob == '*')
        return fits_slowly(text, glob + 1) || (*text && fits_slowly(text + 1, glob));
    if (glob[0] == '\\' && glob[1])
        glob++;
    return *glob ? *text == *glob && fits_slowly(text + 1, glob + 1) : !*text;
}

static void any_text(char *ret, const char *letters, uint32_t *dice)
{
    size_t size = *dice % 9, count = strlen(letters);

    for (size_t i = 0; i < size; i++) {
        *dice = *dice * 1103515245 + 12345;
        ret[i] = letters[(*dice >> 16) % count];
    }
    ret[size] = '\0';
    *dice = *dice * 1103515245 + 12345;
}

static void wildcards_fit_in_some_way_or_in_none(void **state)
{
    const struct event_operator *wildcard = event_operator("wildcard");
    int fitting = 0, taken = 0;
    uint32_t dice = 7;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        char text[16], glob[16];
        struct err err;

        any_text(text, "aab*", &dice);
        any_text(glob, "aab***\\", &dice);
        if (wildcard->check(doc_string(a, glob), "wildcard", &err) < 0)
            continue;
        taken++;
        fitting += fits_slowly(text, glob);
        if (wildcard->fits(doc_string(a, glob), doc_string(a, text)) != fits_slowly(text, glob))
            fail_msg("%s and %s", glob, text);
    }
    assert_true(taken > 1000 && fitting > 100 && fitting < taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_fits),
                                        cmocka_unit_test(long_lists_are_matched_once_through),
                                        cmocka_unit_test(test_what_is_wrong),
                                        cmocka_unit_test(wildcards_fit_in_some_way_or_in_none) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
