"""CloudWatch alarms evaluate what the metrics say; a minute is a second in the lab."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.cloud.balancers import Balancer, get, to
from tests.conftest import Aws
from tests.queues import create_queue
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = pytest.mark.slow
BOTH = ["MetricAlarm", "CompositeAlarm"]


class Watched:
    """One metric, and the alarms on it."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.cloudwatch = aws, aws.client("cloudwatch")
        self.namespace = f"Test/{uuid4().hex[:8]}"

    def put(self, value: float, name: str = "Errors", **dimensions: str) -> None:
        told = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        datum = {"MetricName": name, "Value": value, "Dimensions": told}
        self.cloudwatch.put_metric_data(Namespace=self.namespace, MetricData=[datum])

    def alarm(self, **settings: Any) -> str:
        name = f"alarm-{uuid4().hex[:8]}"
        usual = {
            "Namespace": self.namespace,
            "MetricName": "Errors",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        if "Metrics" in settings:
            usual = {
                key: usual[key] for key in ("EvaluationPeriods", "Threshold", "ComparisonOperator")
            }
        if "ExtendedStatistic" in settings:
            usual.pop("Statistic")
        self.cloudwatch.put_metric_alarm(AlarmName=name, **{**usual, **settings})
        return name

    def composite(self, rule: str, **settings: Any) -> str:
        name = f"composite-{uuid4().hex[:8]}"
        self.cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, **settings)
        return name

    def held(self, state: str = "OK") -> str:
        """An alarm that keeps the state it is given by hand."""
        name = self.alarm(TreatMissingData="ignore")
        self.hold(name, state)
        return name

    def hold(self, name: str, state: str) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="by hand")

    def describe(self, name: str) -> dict[str, Any]:
        found = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=BOTH)
        return [*found["MetricAlarms"], *found["CompositeAlarms"]][0]

    def history(self, name: str, **settings: Any) -> list[dict[str, Any]]:
        asked = {"AlarmName": name, "AlarmTypes": BOTH, "ScanBy": "TimestampAscending", **settings}
        return self.cloudwatch.describe_alarm_history(**asked)["AlarmHistoryItems"]

    def state(self, name: str) -> str:
        return self.describe(name)["StateValue"]


@pytest.fixture
def watched(aws: Aws) -> Watched:
    return Watched(aws)


def test_an_alarm_follows_its_metric(watched: Watched) -> None:
    name = watched.alarm()
    assert watched.state(name) == "INSUFFICIENT_DATA"
    watched.put(3)
    eventually(lambda: watched.state(name) == "OK")
    watched.put(7)
    eventually(lambda: watched.state(name) == "ALARM")
    assert "was greater than the threshold (5)" in watched.describe(name)["StateReason"]
    eventually(lambda: watched.state(name) == "INSUFFICIENT_DATA")


@pytest.mark.parametrize(
    ("treat", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("notBreaching", "OK"), ("breaching", "ALARM")],
)
def test_missing_data(watched: Watched, treat: str, state: str) -> None:
    name = watched.alarm(TreatMissingData=treat)
    eventually(lambda: watched.state(name) == state)
    watched.cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
    eventually(lambda: watched.state(name) == state)


def test_missing_data_ignored_keep_the_state(watched: Watched) -> None:
    name = watched.alarm(TreatMissingData="ignore")
    watched.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    beside = watched.alarm(TreatMissingData="breaching")
    eventually(lambda: watched.state(beside) == "ALARM")
    assert watched.state(name) == "ALARM"
    assert watched.describe(name)["StateReason"] == "by hand"


def test_some_of_several_periods(watched: Watched) -> None:
    two_of_three = watched.alarm(
        EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="notBreaching"
    )
    all_three = watched.alarm(EvaluationPeriods=3, TreatMissingData="notBreaching")
    for _ in range(2):
        watched.put(9)
        time.sleep(1.05)  # the next period
    eventually(lambda: watched.state(two_of_three) == "ALARM", 2)
    assert watched.state(all_three) == "OK"


def test_the_dimensions_have_to_be_the_very_ones(watched: Watched) -> None:
    own = watched.alarm(
        Dimensions=[{"Name": "Service", "Value": "a"}], TreatMissingData="notBreaching"
    )
    every = watched.alarm(TreatMissingData="notBreaching")
    eventually(lambda: {watched.state(own), watched.state(every)} == {"OK"})
    watched.put(9, Service="a")
    eventually(lambda: watched.state(own) == "ALARM")
    assert watched.state(every) == "OK"


def test_a_rate_of_two_metrics(watched: Watched) -> None:
    def metric(key: str, name: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": watched.namespace, "MetricName": name}, "Period": 60}
        return {"Id": key, "MetricStat": {**stat, "Stat": "Sum"}, "ReturnData": False}

    rate = {"Id": "rate", "Expression": "100 * FILL(errors, 0) / requests", "ReturnData": True}
    name = watched.alarm(
        Metrics=[rate, metric("errors", "Errors"), metric("requests", "Requests")], Threshold=10
    )
    watched.put(100, "Requests")
    eventually(lambda: watched.state(name) == "OK")
    watched.put(100, "Requests")
    watched.put(50, "Errors")
    eventually(lambda: watched.state(name) == "ALARM")


class Inbox:
    """A queue that is sent what a topic and a rule of EventBridge say about some alarms."""

    def __init__(self, aws: Aws) -> None:
        self.sns, self.sqs, self.events = (aws.client(name) for name in ("sns", "sqs", "events"))
        self.name = f"t-{uuid4().hex[:8]}"
        senders = ("sns.amazonaws.com", "events.amazonaws.com")
        self.queue, self.arn = create_queue(aws, self.name, *senders)
        self.topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.arn, Attributes=raw)
        self.bodies: list[dict[str, Any]] = []

    def listen(self, alarm: str) -> None:
        pattern = {"source": ["aws.cloudwatch"], "detail": {"alarmName": [alarm]}}
        self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "queue", "Arn": self.arn}])

    def close(self) -> None:
        self.events.remove_targets(Rule=self.name, Ids=["queue"])
        self.events.delete_rule(Name=self.name)

    def wait(self, state: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The message and the event of a change to this state."""

        def found() -> list[dict[str, Any]]:
            for message in self.sqs.receive_message(QueueUrl=self.queue).get("Messages", []):
                self.bodies.append(json.loads(message["Body"]))
                handle = message["ReceiptHandle"]
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=handle)
            told = [one for one in self.bodies if one.get("NewStateValue") == state]
            events = [one for one in self.bodies if _state_of(one) == state]
            return [told[0], events[0]] if told and events else []

        message, event = eventually(found)
        return message, event


def _state_of(event: dict[str, Any]) -> str | None:
    return event.get("detail", {}).get("state", {}).get("value")


@pytest.fixture
def inbox(aws: Aws) -> Iterator[Inbox]:
    one = Inbox(aws)
    yield one
    one.close()


def test_a_change_of_state_is_an_event_and_a_message(watched: Watched, inbox: Inbox) -> None:
    alarm = watched.alarm(AlarmActions=[inbox.topic])
    inbox.listen(alarm)
    watched.put(9)
    message, event = inbox.wait("ALARM")
    assert (message["OldStateValue"], message["NewStateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    assert message["Trigger"]["MetricName"] == "Errors"
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"


def test_values_with_counts_are_statistics_as_single_values_are(watched: Watched) -> None:
    """Page: "PutMetricData" in the CloudWatch API Reference, Values and Counts."""
    datum = {"MetricName": "Errors", "Values": [1.0, 3.0, 8.0], "Counts": [2.0, 1.0, 0.0]}
    watched.cloudwatch.put_metric_data(Namespace=watched.namespace, MetricData=[datum])
    now = datetime.now(UTC)
    window = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=5)}
    wanted = {"SampleCount": 3, "Sum": 5, "Minimum": 1, "Maximum": 3, "Average": 5 / 3}
    metric = {"Namespace": watched.namespace, "MetricName": "Errors"}
    [point] = watched.cloudwatch.get_metric_statistics(
        **metric, **window, Period=3600, Statistics=list(wanted)
    )["Datapoints"]
    assert {name: point[name] for name in wanted} == pytest.approx(wanted)
    stats = [{"Metric": metric, "Period": 3600, "Stat": name} for name in wanted]
    results = watched.cloudwatch.get_metric_data(
        **window,
        MetricDataQueries=[{"Id": f"m{n}", "MetricStat": one} for n, one in enumerate(stats)],
    )["MetricDataResults"]
    assert [one["Values"][0] for one in results] == pytest.approx(list(wanted.values()))
    [listed] = watched.cloudwatch.list_metrics(Namespace=watched.namespace)["Metrics"]
    assert listed == {**metric, "Dimensions": []}


def test_a_percentile(watched: Watched) -> None:
    """Page: "CloudWatch metrics concepts", percentiles."""
    p90 = watched.alarm(ExtendedStatistic="p90", TreatMissingData="ignore")
    p99 = watched.alarm(ExtendedStatistic="p99", TreatMissingData="ignore")
    slow_in_hundred = {"MetricName": "Errors", "Values": [1.0, 9.0], "Counts": [95.0, 5.0]}
    watched.cloudwatch.put_metric_data(Namespace=watched.namespace, MetricData=[slow_in_hundred])
    eventually(lambda: (watched.state(p90), watched.state(p99)) == ("OK", "ALARM"))
    described = watched.describe(p99)
    assert described["ExtendedStatistic"] == "p99" and "Statistic" not in described
    assert "[9] was greater than the threshold (5)" in described["StateReason"]


@pytest.mark.parametrize(("samples", "state"), [(99, "INSUFFICIENT_DATA"), (100, "ALARM")])
def test_too_few_samples_of_a_percentile_may_be_ignored(
    watched: Watched, samples: int, state: str
) -> None:
    """Page: "Percentile-based alarms and low data samples": p90 wants 10/(1-0.9) of them."""
    ignored, evaluated = (
        watched.alarm(
            ExtendedStatistic="p90", EvaluateLowSampleCountPercentile=low, TreatMissingData="ignore"
        )
        for low in ("ignore", "evaluate")
    )
    datum = {"MetricName": "Errors", "Values": [9.0], "Counts": [float(samples)]}
    watched.cloudwatch.put_metric_data(Namespace=watched.namespace, MetricData=[datum])
    eventually(lambda: watched.state(evaluated) == "ALARM")
    eventually(lambda: watched.state(ignored) == state)


def test_a_percentile_of_a_set_of_statistics_is_unknown(watched: Watched) -> None:
    """Page: "CloudWatch metrics concepts", percentiles: unless all its values are the same."""
    name = watched.alarm(ExtendedStatistic="p99", TreatMissingData="notBreaching")
    numbers = {"SampleCount": 10, "Sum": 60, "Minimum": 2, "Maximum": 10}
    same = {"SampleCount": 10, "Sum": 60, "Minimum": 6, "Maximum": 6}
    for statistics, state in ((numbers, "OK"), (same, "ALARM")):
        datum = {"MetricName": "Errors", "StatisticValues": statistics}
        watched.cloudwatch.put_metric_data(Namespace=watched.namespace, MetricData=[datum])
        eventually(lambda state=state: watched.state(name) == state)


def test_the_slowest_answers_of_a_load_balancer(watched: Watched, balancer: Balancer) -> None:
    """Page: "CloudWatch metrics for your Application Load Balancer", TargetResponseTime."""
    site = balancer.site("site")
    group = balancer.group(site)
    url = balancer.listen(to(group))
    balancer.wait_healthy(group)
    dimensions = [{"Name": "LoadBalancer", "Value": balancer.arn.partition("loadbalancer/")[2]}]
    of_time = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "TargetResponseTime",
        "Dimensions": dimensions,
        "Period": 600,
        "Threshold": 0.1,
        "TreatMissingData": "notBreaching",
    }
    p50, p99 = (watched.alarm(**of_time, ExtendedStatistic=one) for one in ("p50", "p99"))
    for number in range(20):
        site.seconds = 0.15 if number == 10 else 0
        get(f"{url}/")
    eventually(lambda: watched.state(p99) == "ALARM")
    assert watched.state(p50) == "OK"


def test_a_composite_alarm_follows_its_children(watched: Watched) -> None:
    """Page: "PutCompositeAlarm" in the CloudWatch API Reference."""
    errors, slow = watched.held(), watched.held()
    name = watched.composite(f'ALARM({errors}) AND ALARM("{slow}")', AlarmDescription="both")
    created = watched.describe(name)
    assert (created["StateValue"], created["AlarmDescription"]) == ("OK", "both")
    told = f"{created['AlarmArn']} was created and its alarm rule evaluates to OK"
    assert created["StateReason"] == told
    watched.hold(errors, "ALARM")
    assert watched.state(name) == "OK"
    watched.hold(slow, "ALARM")
    now = watched.describe(name)
    arn = watched.describe(slow)["AlarmArn"]
    at = r"\w+day \d\d \w+, \d{4} \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(f"{arn} transitioned to ALARM at {at}", now["StateReason"])
    [child] = json.loads(now["StateReasonData"])["triggeringAlarms"]
    assert (child["arn"], child["state"]["value"]) == (arn, "ALARM")
    assert now["StateTransitionedTimestamp"] == now["StateUpdatedTimestamp"]
    watched.hold(errors, "OK")
    assert watched.state(name) == "OK"


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ("ALARM({alarm})", "ALARM"),
        ("OK({alarm})", "OK"),
        ("OK({ok}) AND INSUFFICIENT_DATA({none})", "ALARM"),
        ("ALARM({alarm}) AND NOT OK({ok})", "OK"),
        ("ALARM({alarm}) OR OK({ok}) AND FALSE", "ALARM"),
        ("(ALARM({alarm}) OR OK({ok})) AND FALSE", "OK"),
        ("NOT (ALARM({ok}) OR ALARM({none}))", "ALARM"),
        ("NOT NOT TRUE", "ALARM"),
        ('( ALARM( "{alarm}" ) )', "ALARM"),
        ("ALARM({arn})", "ALARM"),
        ('ALARM("{arn}")', "ALARM"),
    ],
)
def test_the_rule_of_a_composite_alarm(watched: Watched, rule: str, state: str) -> None:
    """Page: "PutCompositeAlarm" in the CloudWatch API Reference, AlarmRule."""
    names = {"alarm": watched.held("ALARM"), "ok": watched.held()}
    names |= {"none": watched.alarm(), "arn": watched.describe(names["alarm"])["AlarmArn"]}
    assert watched.state(watched.composite(rule.format(**names))) == state


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("ALARM(no-such-alarm)", r"alarms \[no-such-alarm\] in the alarm rule do not exist"),
        (" TRUE", "leading or trailing whitespace"),
        ("TRUE AND", "not fit together"),
        ("TRUE FALSE", "not fit together"),
        ("(TRUE", "not fit together"),
        ("ALARM(a b)", "cannot be read"),
        ("TRUE; import os", "cannot be read"),
        (" OR ".join(["TRUE"] * 501), "more than"),
    ],
)
def test_rules_that_are_refused(watched: Watched, rule: str, told: str) -> None:
    """Page: "PutCompositeAlarm" in the CloudWatch API Reference, AlarmRule."""
    with pytest.raises(ClientError, match=told) as refused:
        watched.composite(rule)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_a_composite_alarm_of_composite_alarms(watched: Watched) -> None:
    child = watched.held()
    middle = watched.composite(f"ALARM({child})")
    top = watched.composite(f"NOT ALARM({middle})")
    assert watched.state(top) == "ALARM"
    watched.hold(child, "ALARM")
    assert (watched.state(middle), watched.state(top)) == ("ALARM", "OK")
    family = watched.cloudwatch.describe_alarms(ChildrenOfAlarmName=middle)["MetricAlarms"]
    assert [(one["AlarmName"], one["StateValue"]) for one in family] == [(child, "ALARM")]
    above = watched.cloudwatch.describe_alarms(ParentsOfAlarmName=middle)["CompositeAlarms"]
    assert [one["AlarmName"] for one in above] == [top]


def test_evaluation_stops_at_a_circle(watched: Watched) -> None:
    """Page: "PutCompositeAlarm": no alarm of a circle can be deleted until it is broken."""
    child = watched.held()
    first = watched.composite(f"ALARM({child})")
    second = watched.composite(f"ALARM({first})")
    rule = f"ALARM({child}) OR NOT ALARM({second})"
    watched.cloudwatch.put_composite_alarm(AlarmName=first, AlarmRule=rule)
    watched.hold(child, "ALARM")
    for name in (first, second):
        with pytest.raises(ClientError, match="composite alarms depending on it"):
            watched.cloudwatch.delete_alarms(AlarmNames=[name])
    watched.cloudwatch.put_composite_alarm(AlarmName=first, AlarmRule="FALSE")
    watched.cloudwatch.delete_alarms(AlarmNames=[second])
    watched.cloudwatch.delete_alarms(AlarmNames=[first, child])


def test_alarms_that_are_described_are_of_metrics_unless_types_are_named(watched: Watched) -> None:
    """Page: "DescribeAlarms" in the CloudWatch API Reference, AlarmTypes."""
    child = watched.held()
    names = [child, watched.composite(f"ALARM({child})")]
    found = watched.cloudwatch.describe_alarms(AlarmNames=names)
    assert [one["AlarmName"] for one in found["MetricAlarms"]] == [child]
    assert found["CompositeAlarms"] == []
    asked = {"AlarmNames": names, "AlarmTypes": BOTH, "StateValue": "OK"}
    pages = watched.cloudwatch.get_paginator("describe_alarms").paginate(
        **asked, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["MetricAlarms"] + page["CompositeAlarms"]) for page in pages] == [1, 1]


def test_an_alarm_of_a_rule_cannot_be_deleted_without_it(watched: Watched) -> None:
    """Page: "DeleteAlarms" in the CloudWatch API Reference: one composite alarm at most."""
    child = watched.held()
    names = [watched.composite(f"OK({child})") for _ in range(2)]
    with pytest.raises(ClientError, match="composite alarms depending on it"):
        watched.cloudwatch.delete_alarms(AlarmNames=[child])
    with pytest.raises(ClientError, match="one composite alarm"):
        watched.cloudwatch.delete_alarms(AlarmNames=names)
    watched.cloudwatch.delete_alarms(AlarmNames=names[:1])
    watched.cloudwatch.delete_alarms(AlarmNames=[child, names[1]])


def test_a_composite_alarm_set_by_hand_waits_for_a_child(watched: Watched) -> None:
    """Page: "SetAlarmState" in the CloudWatch API Reference."""
    child = watched.held()
    name = watched.composite(f"ALARM({child})")
    watched.hold(name, "ALARM")
    assert watched.describe(name)["StateReason"] == "by hand"
    watched.hold(child, "INSUFFICIENT_DATA")
    assert watched.state(name) == "OK"


def test_a_composite_alarm_tells_as_others_do(watched: Watched, inbox: Inbox) -> None:
    """Pages: "Alarm events and EventBridge"; "DescribeAlarmHistory"."""
    child = watched.held()
    rule = f"ALARM({child})"
    name = watched.composite(rule, AlarmActions=[inbox.topic])
    inbox.listen(name)
    watched.hold(child, "ALARM")
    message, event = inbox.wait("ALARM")
    arn = watched.describe(child)["AlarmArn"]
    assert message["AlarmRule"] == rule and "Trigger" not in message
    assert [one["Arn"] for one in message["TriggeringChildren"]] == [arn]
    assert event["detail"]["configuration"] == {"alarmRule": rule}
    assert event["detail"]["previousState"]["value"] == "OK"
    assert json.loads(event["detail"]["state"]["reasonData"])["triggeringAlarms"][0]["arn"] == arn
    eventually(lambda: len(watched.history(name)) == 4)
    assert [one["HistorySummary"] for one in watched.history(name)] == [
        f'Alarm "{name}" created',
        "Alarm updated from INSUFFICIENT_DATA to OK",
        "Alarm updated from OK to ALARM",
        f"Successfully executed action {inbox.topic}",
    ]
    [_, change] = watched.history(name, HistoryItemType="StateUpdate")
    assert change["AlarmType"] == "CompositeAlarm"
    assert json.loads(change["HistoryData"])["newState"]["stateValue"] == "ALARM"
    watched.cloudwatch.delete_alarms(AlarmNames=[name])
    [last] = watched.history(name, ScanBy="TimestampDescending", MaxRecords=1)
    assert last["HistorySummary"] == f'Alarm "{name}" deleted'


@pytest.mark.parametrize(("state", "code"), [("OK", "NO_INSTANCES"), ("ALARM", "ALARM_ACTIVE")])
def test_a_deployment_group_may_name_a_composite_alarm(
    watched: Watched, state: str, code: str
) -> None:
    """Page: "Monitoring deployments with CloudWatch alarms in CodeDeploy", which excepts none."""
    name = watched.composite(f"ALARM({watched.held(state)})")
    codedeploy = watched.aws.client("codedeploy")
    group = {"applicationName": name, "deploymentGroupName": name}
    codedeploy.create_application(applicationName=name, computePlatform="Server")
    codedeploy.create_deployment_group(
        **group,
        serviceRoleArn=create_role(watched.aws, name, "codedeploy.amazonaws.com"),
        alarmConfiguration={"enabled": True, "alarms": [{"name": name}]},
        ec2TagFilters=[{"Key": "Name", "Value": name, "Type": "KEY_AND_VALUE"}],
    )
    revision = {
        "revisionType": "S3",
        "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"},
    }
    deployment = codedeploy.create_deployment(**group, revision=revision)["deploymentId"]
    info = eventually(
        lambda: codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"],
        enough=lambda info: "completeTime" in info,
    )
    assert info["errorInformation"]["code"] == code


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "GreaterThanUpperThreshold"),
        (
            {"Metrics": [{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(m1)"}]},
            "ANOMALY_DETECTION_BAND",
        ),
        ({"ExtendedStatistic": "tm90"}, "tm90"),
        ({"ExtendedStatistic": "p101"}, "p101"),
        ({"ExtendedStatistic": "p9", "Statistic": "Sum"}, "not both"),
        ({"ActionConfiguration": {}}, "ActionConfiguration"),
    ],
)
def test_what_is_not_evaluated_is_refused(
    watched: Watched, settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(ClientError, match=names):
        watched.alarm(**settings)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"ActionsSuppressor": "a", "ActionsSuppressorWaitPeriod": 60}, "ActionsSuppressor"),
        ({"AlarmActions": ["arn:aws:autoscaling:us-east-1:1:policy"]}, "autoscaling"),
    ],
)
def test_what_a_composite_alarm_does_not_do_is_refused(
    watched: Watched, settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(ClientError, match=names):
        watched.composite("TRUE", **settings)
