/* Logs on a memory store: put, read forwards and backwards, filtered, appended by agents, expired. */
#include "services/logs/logs.h"

#include "world.h"

#define DAY INT64_C(86400000)

static void make(const char *group, const char *stream)
{
    must("logs", "CreateLogGroup", json("{'logGroupName':'%s'}", group));
    must("logs", "CreateLogStream", json("{'logGroupName':'%s','logStreamName':'%s'}", group, stream));
}

static const struct doc *put(const char *group, const char *stream, int64_t at_ms, const char *message)
{
    return must("logs", "PutLogEvents", json("{'logGroupName':'%s','logStreamName':'%s','logEvents':[{'timestamp':%lld,"
                                             "'message':'%s'}]}", group, stream, (long long)at_ms, message));
}

/* The messages, parted by single spaces. */
static const char *messages(const struct doc *o)
{
    char *all = "";

    for (size_t i = 0; i < doc_count(o, "events"); i++)
        all = arena_printf(w.arena, "%s%s%s", all, i ? " " : "",
                           doc_text(o, arena_printf(w.arena, "events[%zu].message", i)));
    return all;
}

static const struct doc *get(const char *more)
{
    return must("logs", "GetLogEvents", json("{'logGroupName':'g','logStreamName':'s'%s}", more));
}

static const struct doc *get_token(const char *token, int limit)
{
    return get(arena_printf(w.arena, ",'nextToken':'%s','limit':%d", token, limit));
}

static void test_groups_and_streams(void **state)
{
    const struct doc *o;

    make("g", "s");
    refused("logs", "CreateLogGroup", json("{'logGroupName':'g'}"), "ResourceAlreadyExistsException");
    refused("logs", "CreateLogStream", json("{'logGroupName':'g','logStreamName':'s'}"),
            "ResourceAlreadyExistsException");
    refused("logs", "CreateLogStream", json("{'logGroupName':'none','logStreamName':'s'}"),
            "ResourceNotFoundException");
    assert_string_equal(w.err.text, "The specified log group does not exist.");
    refused("logs", "GetLogEvents", json("{'logGroupName':'g','logStreamName':'none'}"), "ResourceNotFoundException");
    assert_string_equal(w.err.text, "The specified log stream does not exist.");
    for (int i = 0; i < 120; i++)
        must("logs", "CreateLogGroup", json("{'logGroupName':'/aws/Group%03d'}", i));
    o = must("logs", "DescribeLogGroups", json("{'logGroupNamePrefix':'/aws/'}"));
    assert_int_equal(doc_count(o, "logGroups"), 50);
    o = must("logs", "DescribeLogGroups",
             json("{'logGroupNamePrefix':'/aws/','nextToken':'%s'}", doc_text(o, "nextToken")));
    assert_string_equal(doc_text(o, "logGroups[0].logGroupName"), "/aws/Group050");
    o = must("logs", "DescribeLogGroups",
             json("{'logGroupNamePrefix':'/aws/','nextToken':'%s'}", doc_text(o, "nextToken")));
    assert_int_equal(doc_count(o, "logGroups"), 20);
    assert_false(doc_has(o, "nextToken"));
    /* Case counts. */
    assert_int_equal(doc_count(must("logs", "DescribeLogGroups", json("{'logGroupNamePattern':'p11'}")), "logGroups"),
                     10);
    assert_int_equal(doc_count(must("logs", "DescribeLogGroups", json("{'logGroupNamePattern':'group'}")), "logGroups"),
                     0);
    must("logs", "DeleteLogGroup", json("{'logGroupName':'g'}"));
    refused("logs", "DeleteLogGroup", json("{'logGroupName':'g'}"), "ResourceNotFoundException");
    /* What lay in a stream does not come back with its name. */
    make("g", "s");
    assert_string_equal(messages(get("")), "");
}

/* The SageMaker SDK asks again for as long as a token comes. */
static void test_streams_in_pages(void **state)
{
    const struct doc *o;

    make("g", "job/algo-1");
    must("logs", "CreateLogStream", json("{'logGroupName':'g','logStreamName':'job/algo-2'}"));
    must("logs", "CreateLogStream", json("{'logGroupName':'g','logStreamName':'jobs'}"));
    o = must("logs", "DescribeLogStreams",
             json("{'logGroupName':'g','logStreamNamePrefix':'job/','orderBy':'LogStreamName','limit':2}"));
    assert_int_equal(doc_count(o, "logStreams"), 2);
    assert_false(doc_has(o, "nextToken"));
    o = must("logs", "DescribeLogStreams", json("{'logGroupName':'g','limit':2}"));
    o = must("logs", "DescribeLogStreams",
             json("{'logGroupName':'g','limit':2,'nextToken':'%s'}", doc_text(o, "nextToken")));
    assert_string_equal(doc_text(o, "logStreams[0].logStreamName"), "jobs");
    assert_false(doc_has(o, "nextToken"));
    put("g", "job/algo-2", NOON, "x");
    put("g", "jobs", NOON - 1, "x");
    o = must("logs", "DescribeLogStreams",
             json("{'logGroupName':'g','orderBy':'LastEventTime','descending':true,'limit':1}"));
    assert_string_equal(doc_text(o, "logStreams[0].logStreamName"), "job/algo-2");
    assert_int_equal(doc_int(o, "logStreams[0].lastEventTimestamp", 0), NOON);
    o = must("logs", "DescribeLogStreams",
             json("{'logGroupName':'g','orderBy':'LastEventTime','descending':true,'limit':1,'nextToken':'%s'}",
                  doc_text(o, "nextToken")));
    assert_string_equal(doc_text(o, "logStreams[0].logStreamName"), "jobs");
    refused("logs", "DescribeLogStreams",
            json("{'logGroupName':'g','orderBy':'LastEventTime','logStreamNamePrefix':'j'}"),
            "InvalidParameterException");
}

static void test_reading(void **state)
{
    const struct doc *o, *again;

    make("g", "s");
    o = get(",'startFromHead':true");
    assert_string_equal(messages(o), "");
    for (int i = 0; i < 5; i++)
        put("g", "s", NOON + i / 2, arena_printf(w.arena, "m%d", i)); /* some in one millisecond */
    /* The token of an empty stream finds what came since. */
    assert_string_equal(messages(get_token(doc_text(o, "nextForwardToken"), 100)), "m0 m1 m2 m3 m4");
    o = get(",'startFromHead':true,'limit':2");
    assert_string_equal(messages(o), "m0 m1");
    o = get_token(doc_text(o, "nextForwardToken"), 2);
    assert_string_equal(messages(o), "m2 m3");
    again = get_token(doc_text(o, "nextBackwardToken"), 1);
    assert_string_equal(messages(again), "m1");
    assert_string_equal(messages(get_token(doc_text(again, "nextForwardToken"), 1)), "m2");
    o = get_token(doc_text(o, "nextForwardToken"), 2);
    assert_string_equal(messages(o), "m4");
    /* At the end: nothing, and the same token again. */
    again = get_token(doc_text(o, "nextForwardToken"), 2);
    assert_string_equal(messages(again), "");
    assert_string_equal(doc_text(again, "nextForwardToken"), doc_text(o, "nextForwardToken"));
    put("g", "s", NOON + 2, "m5");
    assert_string_equal(messages(get_token(doc_text(again, "nextForwardToken"), 2)), "m5");
    /* Without startFromHead: the last ones, in their order. */
    o = get(",'limit':2");
    assert_string_equal(messages(o), "m4 m5");
    o = get_token(doc_text(o, "nextBackwardToken"), 3);
    assert_string_equal(messages(o), "m1 m2 m3");
    o = get_token(doc_text(o, "nextBackwardToken"), 3);
    assert_string_equal(messages(o), "m0");
    again = get_token(doc_text(o, "nextBackwardToken"), 3);
    assert_string_equal(messages(again), "");
    assert_string_equal(doc_text(again, "nextBackwardToken"), doc_text(o, "nextBackwardToken"));
    /* The start counts, the end does not. */
    assert_string_equal(messages(get(arena_printf(w.arena, ",'startFromHead':true,'startTime':%lld,'endTime':%lld",
                                                  (long long)NOON + 1, (long long)NOON + 2))), "m2 m3");
    refused("logs", "GetLogEvents", json("{'logGroupName':'g','logStreamName':'s','nextToken':'f/zz'}"),
            "InvalidParameterException");
    refused("logs", "GetLogEvents",
            json("{'logGroupName':'g','logStreamName':'s','nextToken':'f/ffffffffffffffffffffffffffffffff'}"),
            "InvalidParameterException");
}

/* A page has at most 1 MB, however long the lines are. */
static void test_long_lines(void **state)
{
    char *line = arena_alloc(w.arena, 200001);
    const struct doc *o;
    const char *token = "";
    int pages = 0;
    size_t seen = 0;

    memset(line, 'x', 200000);
    make("g", "s");
    for (int i = 0; i < 20; i++)
        put("g", "s", NOON + i, line);
    do {
        o = *token ? get_token(token, 10000) : get(",'startFromHead':true");
        seen += doc_count(o, "events");
        pages += doc_count(o, "events") > 0;
        token = doc_text(o, "nextForwardToken");
    } while (doc_count(o, "events"));
    assert_int_equal(seen, 20);
    assert_int_equal(pages, 4);
}

static void test_put_limits(void **state)
{
    const struct doc *o;

    make("g", "s");
    refused("logs", "PutLogEvents",
            json("{'logGroupName':'g','logStreamName':'s','logEvents':[{'timestamp':%lld,'message':'a'},"
                 "{'timestamp':%lld,'message':'b'}]}",
                 (long long)NOON, (long long)NOON - 1),
            "InvalidParameterException");
    o = must("logs", "PutLogEvents",
             json("{'logGroupName':'g','logStreamName':'s','sequenceToken':'whatever','logEvents':[{'timestamp':%lld,'"
                  "message':'old'},"
                  "{'timestamp':%lld,'message':'good'},{'timestamp':%lld,'message':'new'}]}",
                  (long long)NOON - 15 * DAY, (long long)NOON, (long long)NOON + 3 * 3600 * 1000));
    assert_int_equal(doc_int(o, "rejectedLogEventsInfo.tooOldLogEventEndIndex", -1), 1);
    assert_int_equal(doc_int(o, "rejectedLogEventsInfo.tooNewLogEventStartIndex", -1), 2);
    assert_true(*doc_text(o, "nextSequenceToken"));
    assert_string_equal(messages(get("")), "good");
}

static const struct doc *filter(const char *more)
{
    return must("logs", "FilterLogEvents", json("{'logGroupName':'g'%s}", more));
}

static void test_filter(void **state)
{
    static const struct {
        const char *pattern, *found;
    } patterns[] = {
        { "", "a1 b1 ERROR WARN" },
        { "ERROR", "ERROR" },
        { "error", "" },
        { "?ERROR ?WARN", "ERROR WARN" },
        { "R R", "ERROR WARN" },
        { "-R", "a1 b1" },
        { "1 -a", "b1" },
        { "?a ?b", "a1 b1" },
        { "\\\"ERR\\\"", "ERROR" },
        { "-\\\"ERR\\\" A", "WARN" },
    };
    const struct doc *o;
    const char *token;
    char *all = "";

    make("g", "a");
    must("logs", "CreateLogStream", json("{'logGroupName':'g','logStreamName':'b'}"));
    put("g", "a", NOON, "a1");
    put("g", "b", NOON, "b1");
    put("g", "a", NOON + 2, "ERROR");
    put("g", "b", NOON + 5, "WARN");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        assert_string_equal(messages(filter(arena_printf(w.arena, ",'filterPattern':'%s'", patterns[i].pattern))),
                            patterns[i].found);
    /* One at a time, also when the streams are named in another order: each event once. */
    for (int order = 0; order < 2; order++) {
        all = "";
        token = "";
        do {
            o = filter(arena_printf(w.arena, ",'limit':1%s%s%s%s", order ? ",'logStreamNames':['b','a','b']" : "",
                                    *token ? ",'nextToken':'" : "", token, *token ? "'" : ""));
            all = arena_printf(w.arena, "%s %s", all, messages(o));
            token = arena_strdup(w.arena, doc_text(o, "nextToken"));
        } while (*token);
        assert_string_equal(str_dup(w.arena, str_trim(str_of(all))), "a1 b1 ERROR WARN");
    }
    /* Here the end counts. */
    assert_string_equal(messages(filter(arena_printf(w.arena, ",'startTime':%lld,'endTime':%lld", (long long)NOON + 2,
                                                     (long long)NOON + 5))), "ERROR WARN");
    assert_string_equal(messages(filter(",'logStreamNamePrefix':'b'")), "b1 WARN");
    refused("logs", "FilterLogEvents", json("{'logGroupName':'g','logStreamNamePrefix':'b','logStreamNames':['a']}"),
            "InvalidParameterException");
    refused("logs", "FilterLogEvents", json("{'logGroupName':'g','filterPattern':'{ $.a = 1 }'}"),
            "InvalidParameterException");
    refused("logs", "FilterLogEvents", json("{'logGroupName':'g','nextToken':'7fffffffffffffff'}"),
            "InvalidParameterException");
    refused("logs", "FilterLogEvents", json("{'logGroupName':'g','nextToken':'ffffffffffffffffffffffffffffffff/a'}"),
            "InvalidParameterException");
}

static void test_append(void **state)
{
    const struct doc *batch =
        json("{'account':'" ACCOUNT "','region':'eu-west-1','group':'g','stream':'s','events':[{'offset':0,"
             "'at_ms':%lld,'message':'one'},{'offset':4,'at_ms':%lld,'message':'two'}]}",
             (long long)NOON, (long long)NOON);
    const struct doc *more =
        json("{'account':'" ACCOUNT "','region':'eu-west-1','group':'g','stream':'s','events':[{'offset':4,"
             "'at_ms':%lld,'message':'two'},{'offset':8,'at_ms':%lld,'message':'three'}]}",
             (long long)NOON, (long long)NOON + 1);

    for (int i = 0; i < 2; i++)
        assert_int_equal(logs_append(w.arena, w.store, batch, NOON, &w.err), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(logs_append(w.arena, w.store, more, NOON, &w.err), 0);
    assert_string_equal(messages(get("")), "one two three");
    assert_int_equal(logs_append(w.arena, w.store, json("{'account':'1'}"), NOON, &w.err), -1);
}

static void test_retention(void **state)
{
    const struct doc *o;

    make("g", "s");
    refused("logs", "PutRetentionPolicy", json("{'logGroupName':'g','retentionInDays':2}"),
            "InvalidParameterException");
    must("logs", "PutRetentionPolicy", json("{'logGroupName':'g','retentionInDays':3}"));
    o = must("logs", "DescribeLogGroups", json("{}"));
    assert_int_equal(doc_int(o, "logGroups[0].retentionInDays", 0), 3);
    put("g", "s", NOON - 2 * DAY, "two");
    put("g", "s", NOON, "zero");
    assert_int_equal(logs_expire(w.store, NOON, &w.err), 0);
    assert_string_equal(messages(get("")), "two zero");
    assert_int_equal(logs_expire(w.store, NOON + 2 * DAY, &w.err), 0);
    assert_string_equal(messages(get("")), "zero");
    must("logs", "DeleteRetentionPolicy", json("{'logGroupName':'g'}"));
    assert_int_equal(logs_expire(w.store, NOON + 900 * DAY, &w.err), 0);
    assert_string_equal(messages(get("")), "zero");
}

static void test_tags(void **state)
{
    const struct doc *o;

    must("logs", "CreateLogGroup", json("{'logGroupName':'g','tags':{'a':'1'}}"));
    must("logs", "TagResource",
         json("{'resourceArn':'arn:aws:logs:eu-west-1:" ACCOUNT ":log-group:g','tags':{'b':'2'}}"));
    must("logs", "TagLogGroup", json("{'logGroupName':'g','tags':{'c':'3'}}"));
    must("logs", "UntagResource",
         json("{'resourceArn':'arn:aws:logs:eu-west-1:" ACCOUNT ":log-group:g','tagKeys':['a']}"));
    o = must("logs", "ListTagsForResource", json("{'resourceArn':'arn:aws:logs:eu-west-1:" ACCOUNT ":log-group:g'}"));
    assert_string_equal(json_text(w.arena, doc_get(o, "tags")), "{\"b\":\"2\",\"c\":\"3\"}");
}

static void test_resource_policies(void **state)
{
    struct doc *policy = json("{'policyName':'events'}");
    const struct doc *o;

    doc_set_string(w.arena, policy, "policyDocument",
                   "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
                   "\"events.amazonaws.com\"},\"Action\":\"logs:PutLogEvents\",\"Resource\":\"*\"}]}");
    must("logs", "PutResourcePolicy", policy);
    must("logs", "PutResourcePolicy", policy);
    o = must("logs", "DescribeResourcePolicies", json("{}"));
    assert_int_equal(doc_count(o, "resourcePolicies"), 1);
    assert_string_equal(doc_text(o, "resourcePolicies[0].policyDocument"), doc_text(policy, "policyDocument"));
    refused("logs", "PutResourcePolicy", json("{'policyName':'bad','policyDocument':'{}'}"),
            "InvalidParameterException");
    for (int i = 1; i < 10; i++) {
        doc_set_string(w.arena, policy, "policyName", arena_printf(w.arena, "p%d", i));
        must("logs", "PutResourcePolicy", policy);
    }
    must("logs", "PutResourcePolicy", policy); /* one that is there is replaced */
    doc_set_string(w.arena, policy, "policyName", "p10");
    refused("logs", "PutResourcePolicy", policy, "LimitExceededException");
    o = must("logs", "DescribeResourcePolicies", json("{'limit':8}"));
    o = must("logs", "DescribeResourcePolicies", json("{'limit':8,'nextToken':'%s'}", doc_text(o, "nextToken")));
    assert_int_equal(doc_count(o, "resourcePolicies"), 2);
    must("logs", "DeleteResourcePolicy", json("{'policyName':'events'}"));
    refused("logs", "DeleteResourcePolicy", json("{'policyName':'events'}"), "ResourceNotFoundException");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_groups_and_streams, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_streams_in_pages, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_reading, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_long_lines, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_put_limits, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_filter, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_append, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_retention, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_tags, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_resource_policies, world_new, world_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
