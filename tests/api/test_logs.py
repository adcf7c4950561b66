"""CloudWatch Logs with boto3."""
import time

import botocore.exceptions
import pytest


@pytest.fixture
def stream(aws, unique):
    """A client, and the names of a group with one stream."""
    logs = aws("logs")
    names = dict(logGroupName=unique, logStreamName="s")
    logs.create_log_group(logGroupName=unique)
    logs.create_log_stream(**names)
    yield logs, names
    logs.delete_log_group(logGroupName=unique)


def put(logs, names, *messages, at=None):
    at = at or int(time.time() * 1000)
    logs.put_log_events(**names, logEvents=[dict(timestamp=at + i, message=m) for i, m in enumerate(messages)])
    return at


def test_a_stream_is_read_to_its_end_and_followed(stream):
    logs, names = stream
    lines = [f"line {i} \N{SNOWMAN}\t\\ \"quoted\"" for i in range(25)]
    put(logs, names, *lines)
    seen, token = [], None
    while True:
        more = dict(nextToken=token) if token else {}
        page = logs.get_log_events(**names, startFromHead=True, limit=10, **more)
        seen += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert seen == lines
    put(logs, names, "one more", at=int(time.time() * 1000) + 1000)
    page = logs.get_log_events(**names, nextToken=token)
    assert [event["message"] for event in page["events"]] == ["one more"]


def test_filter(stream):
    logs, names = stream
    logs.create_log_stream(logGroupName=names["logGroupName"], logStreamName="t")
    at = put(logs, names, "INFO a", "ERROR b", "INFO c")
    put(logs, dict(names, logStreamName="t"), "ERROR d", at=at + 10)
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=names["logGroupName"], filterPattern="ERROR", PaginationConfig={"PageSize": 1})
    found = [(event["logStreamName"], event["message"]) for page in pages for event in page["events"]]
    assert found == [("s", "ERROR b"), ("t", "ERROR d")]


def test_a_missing_group_is_named_as_aws_does(aws, unique):
    logs = aws("logs")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.describe_log_streams(logGroupName=unique)
    logs.create_log_group(logGroupName=unique)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=unique)
    logs.delete_log_group(logGroupName=unique)


def test_retention_and_tags(stream):
    logs, names = stream
    group = names["logGroupName"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]
    assert found["retentionInDays"] == 7 and found["arn"].endswith(f":log-group:{group}:*")
    with pytest.raises(botocore.exceptions.ClientError):
        logs.put_retention_policy(logGroupName=group, retentionInDays=8)
    logs.tag_resource(resourceArn=found["logGroupArn"], tags={"a": "1"})
    assert logs.list_tags_for_resource(resourceArn=found["logGroupArn"])["tags"] == {"a": "1"}


def test_events_outlive_a_kill(server, stream):
    logs, names = stream
    put(logs, names, "kept")
    server.kill_control()
    assert [e["message"] for e in logs.get_log_events(**names)["events"]] == ["kept"]
