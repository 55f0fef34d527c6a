"""CloudWatch alarms evaluate what the metrics say; a minute is a second in the lab."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = pytest.mark.slow


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
        self.cloudwatch.put_metric_alarm(AlarmName=name, **{**usual, **settings})
        return name

    def describe(self, name: str) -> dict[str, Any]:
        return self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]

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


def test_a_change_of_state_is_an_event_and_a_message(watched: Watched) -> None:
    sns, sqs, events = (watched.aws.client(name) for name in ("sns", "sqs", "events"))
    name = f"t-{uuid4().hex[:8]}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    alarm = watched.alarm(AlarmActions=[topic])
    pattern = {"source": ["aws.cloudwatch"], "detail": {"alarmName": [alarm]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    watched.put(9)
    bodies: list[dict[str, Any]] = []

    def both() -> bool:
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", []):
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return any("Trigger" in one for one in bodies) and any("detail" in one for one in bodies)

    eventually(both)
    [message] = [one for one in bodies if "Trigger" in one]
    assert (message["OldStateValue"], message["NewStateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    assert message["Trigger"]["MetricName"] == "Errors"
    event = next(one for one in bodies if "detail" in one)
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["detail"]["state"]["value"] == "ALARM"
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "GreaterThanUpperThreshold"),
        (
            {"Metrics": [{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(m1)"}]},
            "ANOMALY_DETECTION_BAND",
        ),
    ],
)
def test_what_is_not_evaluated_is_refused(
    watched: Watched, settings: dict[str, Any], names: str
) -> None:
    with pytest.raises(ClientError, match=names):
        watched.alarm(**settings)
