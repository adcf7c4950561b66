/* EventBridge on a memory store: rules, targets, what they get, once and in order, over a death. */
#include "base/buf.h"
#include "services/events/events.h"

#include "world.h"

#define GROUP "arn:aws:logs:eu-west-1:" ACCOUNT ":log-group:/aws/events/g"

static void rule(const char *name, const char *pattern, const char *more)
{
    struct doc *input = json("{'Name':'%s'%s}", name, more);

    doc_set_string(w.arena, input, "EventPattern", json_text(w.arena, json("%s", pattern)));
    must("events", "PutRule", input);
}

static void target(const char *rule, const char *more)
{
    must("events", "PutTargets", json("{'Rule':'%s','Targets':[{'Id':'t','Arn':'%s'%s}]}", rule, GROUP, more));
}

static const struct doc *put(const char *source, const char *detail)
{
    struct doc *input = json("{'Entries':[{'Source':'%s','DetailType':'T','Resources':['r'],'Time':1}]}", source);

    doc_set_string(w.arena, doc_get(input, "Entries")->items[0], "Detail", json_text(w.arena, json("%s", detail)));
    return must("events", "PutEvents", input);
}

static void deliver(void)
{
    while (!w.platform.events_delivered) {
        assert_int_equal(events_deliver(w.engine, &w.err), 0);
        assert_int_equal(engine_commit(w.engine, &w.err), 0);
    }
}

/* The messages that a rule's target has got, one a line. */
static const char *got(const char *rule)
{
    const struct doc *o;
    char *all = "";

    deliver();
    o = try("logs", "GetLogEvents",
            json("{'logGroupName':'/aws/events/g','logStreamName':'%s/t','startFromHead':true}", rule));
    for (size_t i = 0; i < doc_count(o, "events"); i++)
        all = arena_printf(w.arena, "%s%s%s", all, i ? "\n" : "", doc_text(doc_get(o, "events")->items[i], "message"));
    return all;
}

static void test_an_event_is_told(void **state)
{
    struct doc *event;
    const char *id;

    rule("mine", "{'source':['mine'],'detail':{'n':[{'numeric':['>',1]}]}}", "");
    target("mine", "");
    put("mine", "{'n':1}");
    put("other", "{'n':2}");
    assert_string_equal(got("mine"), "");
    id = doc_text(put("mine", "{'n':2}"), "Entries[0].EventId");
    assert_int_equal(strlen(id), 36);
    assert_int_equal(json_parse(w.arena, str_of(got("mine")), &event, &w.err), 0);
    assert_string_equal(doc_text(event, "id"), id);
    doc_set(w.arena, event, "id", NULL);
    assert_string_equal(json_text(w.arena, event),
                        "{\"version\":\"0\",\"detail-type\":\"T\",\"source\":\"mine\",\"account\":\"" ACCOUNT "\","
                        "\"time\":\"1970-01-01T00:00:00Z\",\"region\":\"eu-west-1\",\"resources\":[\"r\"],"
                        "\"detail\":{\"n\":2}}");
    must("events", "DisableRule", json("{'Name':'mine'}"));
    put("mine", "{'n':3}");
    assert_null(strchr(got("mine"), '\n'));
    must("events", "EnableRule", json("{'Name':'mine'}"));
    put("mine", "{'n':4}");
    assert_non_null(strstr(got("mine"), "\n"));
}

static void test_what_a_target_gets(void **state)
{
    static const struct {
        const char *more, *gets;
    } cases[] = {
        { ",'InputPath':'$.detail'", "{\"a\":\"x\\\"y\",\"b\":[1,{\"c\":null}]}" },
        { ",'InputPath':'$.detail.b[1]'", "{\"c\":null}" },
        { ",'InputPath':'$.detail.none'", "{}" },
        { ",'InputPath':'$'", NULL },
        { ",'Input':'{\\'k\\':1}'", "{'k':1}" },
        { ",'InputTransformer':{'InputPathsMap':{'a':'$.detail.a','b':'$.detail.b','n':'$.detail.n'},"
          "'InputTemplate':'{`t`: `is <a> and <b><n>`, `a`: <a>, `b`: <b>, `n`: <n>, `r`: `<aws.events.rule-name>`}'}",
          "{\"t\": \"is x\\\"y and [1,{\\\"c\\\":null}]\", \"a\": \"x\\\"y\", \"b\": [1,{\"c\":null}], \"n\": null, "
          "\"r\": \"r\"}" },
        { ",'InputTransformer':{'InputPathsMap':{'a':'$.source'},"
          "'InputTemplate':'{`timestamp`: 1709208000123, `message`: `from <a>`}'}", "from mine" },
    };

    rule("r", "{'source':['mine']}", "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doc *input = json("{'Rule':'r','Targets':[{'Id':'t','Arn':'%s'%s}]}", GROUP, cases[i].more);
        struct doc *t = doc_get(input, "Targets")->items[0];
        const char *text = doc_text(t, "InputTransformer.InputTemplate"), *all;

        for (char *p = (char *)text; *p; p++)
            *p = *p == '`' ? '"' : *p;
        if (doc_has(t, "Input"))
            doc_set_string(w.arena, t, "Input", "{\"k\":1}");
        must("events", "PutTargets", input);
        put("mine", "{'a':'x\\\"y','b':[1,{'c':null}]}");
        all = got("r");
        all = strrchr(all, '\n') ? strrchr(all, '\n') + 1 : all;
        if (cases[i].gets && !doc_has(t, "Input"))
            assert_string_equal(all, cases[i].gets);
        else if (cases[i].gets)
            assert_string_equal(all, "{\"k\":1}");
    }
}

/* What is saved is told once, whenever the process dies; what is not saved is not told. */
static void test_over_a_death(void **state)
{
    struct pair *waiting;
    int count;

    rule("r", "{'source':['mine']}", "");
    target("r", ",'InputPath':'$.detail.n'");
    put("mine", "{'n':1}");
    assert_int_equal(events_deliver(w.engine, &w.err), 0);
    store_memory_crash(w.store); /* before the commit of what was carried out */
    w.platform.events_delivered = false;
    assert_int_equal(store_begin(w.store, &w.err), 0);
    assert_int_equal(events_tell(w.arena, w.engine, &(struct telling){ .source = "mine", .detail_type = "T" }, &w.err),
                     0);
    store_drop(w.store);
    put("mine", "{'n':2}");
    assert_string_equal(got("r"), "1\n2");
    /* Carried out twice, as when only the file of the logs was saved. */
    put("mine", "{'n':3}");
    assert_int_equal(store_scan(w.arena, w.store, "core_events_outbox", &(struct range){ 0 }, &waiting, &count, &w.err),
                     0);
    assert_int_equal(count, 1);
    assert_string_equal(got("r"), "1\n2\n3");
    assert_int_equal(store_put(w.store, "core_events_outbox", waiting->key, waiting->value, &w.err), 0);
    w.platform.events_delivered = false;
    assert_string_equal(got("r"), "1\n2\n3");
}

static void test_rules(void **state)
{
    const struct doc *o;

    refused("events", "PutRule", json("{'Name':'r'}"), "ValidationException");
    refused("events", "PutRule", json("{'Name':'r','ScheduleExpression':'rate(1 hour)'}"), "ValidationException");
    refused("events", "PutRule", json("{'Name':'r','EventPattern':'{}'}"), "InvalidEventPatternException");
    refused("events", "PutRule", json("{'Name':'r','EventBusName':'other','EventPattern':'{}'}"),
            "ResourceNotFoundException");
    refused("events", "DescribeRule", json("{'Name':'r'}"), "ResourceNotFoundException");
    assert_string_equal(w.err.text, "Rule r does not exist on EventBus default.");
    for (int i = 0; i < 3; i++)
        rule(arena_printf(w.arena, "r%d", i), "{'source':['mine']}", ",'Tags':[{'Key':'k','Value':'v'}]");
    rule("r1", "{'source':['yours']}", ",'Description':'d','State':'DISABLED'");
    o = must("events", "DescribeRule", json("{'Name':'r1','EventBusName':'default'}"));
    assert_string_equal(doc_text(o, "EventPattern"), "{\"source\":[\"yours\"]}");
    assert_string_equal(doc_text(o, "State"), "DISABLED");
    assert_string_equal(doc_text(o, "Arn"), "arn:aws:events:eu-west-1:" ACCOUNT ":rule/r1");
    o = must("events", "ListTagsForResource", json("{'ResourceARN':'%s'}", doc_text(o, "Arn")));
    assert_string_equal(doc_text(o, "Tags[0].Value"), "v");
    o = must("events", "ListRules", json("{'Limit':2}"));
    assert_string_equal(doc_text(o, "Rules[1].Name"), "r1");
    o = must("events", "ListRules", json("{'Limit':2,'NextToken':'%s'}", doc_text(o, "NextToken")));
    assert_int_equal(doc_count(o, "Rules"), 1);
    assert_false(doc_has(o, "NextToken"));
    target("r2", "");
    refused("events", "DeleteRule", json("{'Name':'r2'}"), "ValidationException");
    o = must("events", "ListRuleNamesByTarget", json("{'TargetArn':'%s'}", GROUP));
    assert_int_equal(doc_count(o, "RuleNames"), 1);
    must("events", "RemoveTargets", json("{'Rule':'r2','Ids':['t','none']}"));
    must("events", "DeleteRule", json("{'Name':'r2'}"));
    must("events", "DeleteRule", json("{'Name':'r2'}"));
    assert_int_equal(doc_count(must("events", "ListRules", json("{}")), "Rules"), 2);
}

static void test_targets_that_are_not_here(void **state)
{
    static const char *const wrong[] = {
        "'Arn':'arn:aws:lambda:eu-west-1:123456789012:function:f'", "'Arn':'arn:aws:sqs:eu-west-1:123456789012:q'",
        "'Arn':'arn:aws:logs:eu-west-1:999999999999:log-group:g'",
        "'Arn':'arn:aws:logs:us-east-1:123456789012:log-group:g'",
        "'Arn':'arn:aws:logs:eu-west-1:" ACCOUNT ":log-group::*'", "'Arn':'" GROUP " x'", "'Arn':'" GROUP ":x'",
        "'Arn':'" GROUP "','DeadLetterConfig':{'Arn':'arn:aws:sqs:eu-west-1:123456789012:q'}",
        "'Arn':'" GROUP "','InputPath':'detail'", "'Arn':'" GROUP "','InputPath':'$','Input':'1'",
        "'Arn':'" GROUP "','Input':'{'", "'Arn':'" GROUP "','InputTransformer':{'InputTemplate':'<a>'}",
    };

    rule("r", "{'source':['mine']}", "");
    refused("events", "PutTargets", json("{'Rule':'none','Targets':[{'Id':'t','Arn':'%s'}]}", GROUP),
            "ResourceNotFoundException");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused("events", "PutTargets", json("{'Rule':'r','Targets':[{'Id':'t',%s}]}", wrong[i]),
                "ValidationException");
    for (int i = 0; i < 5; i++)
        must("events", "PutTargets", json("{'Rule':'r','Targets':[{'Id':'t%d','Arn':'%s'}]}", i,
                                          i ? GROUP : GROUP ":*"));
    refused("events", "PutTargets", json("{'Rule':'r','Targets':[{'Id':'t5','Arn':'%s'}]}", GROUP),
            "LimitExceededException");
}

static void test_entries_that_are_not_taken(void **state)
{
    const struct doc *o = must("events", "PutEvents", json(
        "{'Entries':[{'Source':'mine','DetailType':'T'},{'Source':'aws.ec2','DetailType':'T','Detail':'{}'},"
        "{'Source':'mine','DetailType':'T','Detail':'['},{'Source':'mine','DetailType':'T','Detail':'{}',"
        "'EventBusName':'other'},{'Source':'mine','DetailType':'T','Detail':'{}'}]}"));

    assert_int_equal(doc_int(o, "FailedEntryCount", 0), 4);
    assert_string_equal(doc_text(o, "Entries[0].ErrorCode"), "InvalidArgument");
    assert_string_equal(doc_text(o, "Entries[1].ErrorCode"), "NotAuthorizedForSourceException");
    assert_string_equal(doc_text(o, "Entries[2].ErrorCode"), "MalformedDetail");
    assert_string_equal(doc_text(o, "Entries[3].ErrorCode"), "ResourceNotFoundException");
    assert_true(doc_has(o, "Entries[4].EventId"));
}

/* Many operators on many values: told to nobody, not even by the rule that it had fitted before. */
static void test_an_event_that_takes_too_long_to_match(void **state)
{
    _cleanup_buf_ struct buf wanted = { 0 }, values = { 0 };
    const struct doc *o;

    for (int i = 0; i < 150; i++)
        buf_printf(&wanted, "%s{'prefix':'x%d'}", i ? "," : "", i);
    for (int i = 0; i < 2000; i++)
        buf_printf(&values, "%s'%d'", i ? "," : "", i);
    rule("a", "{'source':['mine']}", "");
    target("a", "");
    rule("b", arena_printf(w.arena, "{'detail':{'x':[%.*s]}}", (int)wanted.size, wanted.data), "");
    target("b", "");
    o = put("mine", arena_printf(w.arena, "{'x':[%.*s]}", (int)values.size, values.data));
    assert_string_equal(doc_text(o, "Entries[0].ErrorCode"), "InvalidArgument");
    assert_non_null(strstr(doc_text(o, "Entries[0].ErrorMessage"), "as far as b takes more than"));
    o = put("mine", "{'x':['0']}");
    assert_true(doc_has(o, "Entries[0].EventId"));
    assert_string_equal(got("b"), "");
    assert_non_null(strstr(got("a"), "\"x\":[\"0\"]"));
    assert_null(strchr(got("a"), '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_event_is_told, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_what_a_target_gets, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_over_a_death, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_rules, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_targets_that_are_not_here, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_entries_that_are_not_taken, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_an_event_that_takes_too_long_to_match, world_new, world_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
