"""CloudWatch metrics with boto3."""
import datetime

import botocore.exceptions
import pytest

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def noon():
    """A whole minute, a while ago."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    return now - 30 * MINUTE


def test_statistics(aws, unique, noon):
    cloudwatch = aws("cloudwatch")
    dimensions = [{"Name": "TrainingJobName", "Value": "j"}]
    cloudwatch.put_metric_data(Namespace=unique, MetricData=[
        dict(MetricName="loss", Dimensions=dimensions, Timestamp=noon + i * MINUTE, Value=float(i), Unit="None")
        for i in range(5)])
    points = cloudwatch.get_metric_statistics(
        Namespace=unique, MetricName="loss", Dimensions=dimensions, StartTime=noon, EndTime=noon + 10 * MINUTE,
        Period=60,
        Statistics=["Average", "SampleCount"])["Datapoints"]
    assert sorted((p["Timestamp"], p["Average"], p["SampleCount"]) for p in points) == [
        (noon + i * MINUTE, float(i), 1.0) for i in range(5)]
    whole = cloudwatch.get_metric_statistics(
        Namespace=unique, MetricName="loss", Dimensions=dimensions, StartTime=noon, EndTime=noon + 10 * MINUTE,
        Period=600,
        Statistics=["Sum", "Minimum", "Maximum"], ExtendedStatistics=["p50"])["Datapoints"]
    assert len(whole) == 1 and (whole[0]["Sum"], whole[0]["Minimum"], whole[0]["Maximum"]) == (10.0, 0.0, 4.0)
    assert whole[0]["ExtendedStatistics"] == {"p50": 2.0}


def test_data_and_list(aws, unique, noon):
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_data(Namespace=unique, MetricData=[
        dict(MetricName="m", Timestamp=noon, Values=[1.0, 3.0], Counts=[1.0, 2.0]),
        dict(MetricName="k", Timestamp=noon, StatisticValues=dict(SampleCount=2.0, Sum=5.0, Minimum=1.0, Maximum=4.0))])
    answer = cloudwatch.get_metric_data(StartTime=noon, EndTime=noon + MINUTE, MetricDataQueries=[
        dict(Id=name, MetricStat=dict(Metric=dict(Namespace=unique, MetricName=name), Period=60, Stat="Sum"))
        for name in ("m", "k")])
    assert [r["Values"] for r in answer["MetricDataResults"]] == [[7.0], [5.0]]
    assert answer["MetricDataResults"][0]["Timestamps"] == [noon]
    names = {m["MetricName"] for m in cloudwatch.list_metrics(Namespace=unique)["Metrics"]}
    assert names == {"m", "k"}


def test_refusals(aws, unique, noon):
    cloudwatch = aws("cloudwatch")
    with pytest.raises(botocore.exceptions.ClientError) as info:
        cloudwatch.put_metric_data(Namespace="AWS/x", MetricData=[dict(MetricName="m", Value=1.0)])
    assert info.value.response["Error"]["Code"] in ("InvalidParameterValue", "InvalidParameterValueException")
    with pytest.raises(botocore.exceptions.ClientError):
        cloudwatch.put_metric_data(Namespace=unique, MetricData=[dict(MetricName="m", Value=float("nan"))])
    with pytest.raises(botocore.exceptions.ClientError):
        cloudwatch.get_metric_data(StartTime=noon, EndTime=noon + MINUTE,
                                   MetricDataQueries=[dict(Id="e", Expression="m1 * 2")])
