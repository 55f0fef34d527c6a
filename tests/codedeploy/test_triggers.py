"""A deployment group's triggers: what the subscribers of a topic are sent."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.queues import create_queue
from tests.waiting import eventually

pytestmark = pytest.mark.guests

SPEC = {"appspec.yml": "version: 0.0\nos: linux\n"}


def test_a_topic_hears_of_deployments_and_instances(fleet: Any) -> None:
    # "JSON data formats for CodeDeploy triggers"
    sns, sqs, name = fleet.aws.client("sns"), fleet.aws.client("sqs"), f"t-{uuid4().hex[:8]}"
    queue, arn = create_queue(fleet.aws, name, "sns.amazonaws.com")
    topic = sns.create_topic(Name=name)["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
    wanted = ["DeploymentStart", "DeploymentFailure", "InstanceFailure"]
    trigger = {"triggerName": "tell", "triggerTargetArn": topic, "triggerEvents": wanted}
    group = fleet.group(fleet.hosts[0], triggerConfigurations=[trigger])
    fleet.deploy(group, SPEC)
    bad = fleet.deploy(group, {"appspec.yml": "no"})
    bodies: list[dict[str, Any]] = []

    def heard() -> bool:
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", []):
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return len(bodies) == 4

    eventually(heard)
    statuses = [one.get("status") or one["instanceStatus"] for one in bodies]
    assert statuses == ["CREATED", "CREATED", "Failed", "FAILED"]
    instance, last = bodies[2], bodies[3]
    assert {one["eventTriggerName"] for one in bodies} == {"tell"}
    assert instance["instanceId"].endswith(f"instance/{fleet.hosts[0]}")
    events = json.loads(instance["lifecycleEvents"])
    assert [one["LifecycleEventStatus"] for one in events][:3] == [
        "Succeeded",
        "Succeeded",
        "Failed",
    ]
    assert last["deploymentId"] == bad["deploymentId"]
    assert json.loads(last["errorInformation"])["ErrorCode"] == "HEALTH_CONSTRAINTS"
    assert json.loads(last["deploymentOverview"])["Failed"] == "1"


@pytest.mark.parametrize(
    "trigger",
    [
        {"triggerName": "x", "triggerEvents": ["DeploymentStart"]},
        {"triggerName": "x", "triggerTargetArn": "arn:aws:sqs:x", "triggerEvents": ["DeploymentStart"]},
    ],
)  # fmt: skip
def test_a_trigger_that_cannot_be(fleet: Any, trigger: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        fleet.group(fleet.hosts[0], triggerConfigurations=[trigger])
    assert refused.value.response["Error"]["Code"] == "InvalidTriggerConfigException"
