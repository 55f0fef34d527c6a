"""What one service hands to another, the policy of the receiver decides.

AWS pages: "Subscribing an Amazon SQS queue to an Amazon SNS topic"; "Granting permissions to publish event
notification messages to a destination"; "Using resource-based policies for Amazon EventBridge".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from tests.cloud.functions import make_functions
from tests.conftest import Aws
from tests.iam.identities import ACCOUNT
from tests.roles import document
from tests.waiting import eventually

AT = f"us-east-1:{ACCOUNT}"


def queue(aws: Aws, **allowed: str) -> tuple[str, str]:
    """A queue's URL and ARN; it lets in a service (`Service`) on behalf of a resource (`SourceArn`)."""
    name = f"q-{uuid4().hex[:8]}"
    arn, attributes = f"arn:aws:sqs:{AT}:{name}", {}
    if allowed:
        statement = {
            "Effect": "Allow", "Principal": {"Service": allowed["Service"]}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnLike": {"aws:SourceArn": allowed["SourceArn"]}},
        }  # fmt: skip
        attributes = {"Policy": document(statement)}
    made = aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)
    return made["QueueUrl"], arn


def messages(aws: Aws, url: str) -> list[str]:
    received = aws.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [one["Body"] for one in received.get("Messages", [])]


def by_topic(aws: Aws, queues: list[str]) -> None:
    sns = aws.client("sns")
    topic = sns.create_topic(Name="deliveries")["TopicArn"]
    for arn in queues:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")


def by_bucket(aws: Aws, queues: list[str]) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="deliveries")
    told = [
        {"Id": str(number), "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        for number, arn in enumerate(queues)
    ]
    for one in told:
        configuration = {"QueueConfigurations": [one]}
        with suppress(s3.exceptions.ClientError):  # S3 tries a queue before it keeps it
            s3.put_bucket_notification_configuration(
                Bucket="deliveries", NotificationConfiguration=configuration
            )
    s3.put_object(Bucket="deliveries", Key="hello", Body=b"x")


def by_rule(aws: Aws, queues: list[str]) -> None:
    events = aws.client("events")
    events.put_rule(Name="deliveries", EventPattern=json.dumps({"source": ["deliveries"]}))
    targets = [{"Id": str(number), "Arn": arn} for number, arn in enumerate(queues)]
    events.put_targets(Rule="deliveries", Targets=targets)
    events.put_events(Entries=[{"Source": "deliveries", "DetailType": "x", "Detail": '{"is": "hello"}'}])  # fmt: skip


@pytest.mark.parametrize(
    ("service", "source", "deliver"),
    [
        ("sns.amazonaws.com", f"arn:aws:sns:{AT}:deliveries", by_topic),
        ("s3.amazonaws.com", "arn:aws:s3:::deliveries", by_bucket),
        ("events.amazonaws.com", f"arn:aws:events:{AT}:rule/deliveries", by_rule),
    ],
    ids=["SNS", "S3", "EventBridge"],
)
def test_a_queue_takes_what_its_policy_lets_in(
    aws: Aws, service: str, source: str, deliver: Callable[[Aws, list[str]], Any]
) -> None:
    ours, let_in = queue(aws, Service=service, SourceArn=source)
    closed, shut = queue(aws)
    others, elsewhere = queue(
        aws, Service=service, SourceArn=source.replace("deliveries", "others")
    )
    deliver(aws, [shut, elsewhere, let_in])

    def refused() -> set[str]:
        lines = (aws.state_dir / "trail.jsonl").read_text().splitlines()
        told = [
            json.loads(line).get("errorMessage", "") for line in lines if '"SendMessage"' in line
        ]
        return {arn for arn in (shut, elsewhere, let_in) if any(arn in one for one in told)}

    eventually(lambda: any("hello" in one for one in messages(aws, ours)), what="not delivered")
    eventually(refused, enough=lambda found: found == {shut, elsewhere}, what="not refused")
    assert not any("hello" in one for url in (closed, others) for one in messages(aws, url))


def test_a_topic_invokes_a_function_that_lets_it(aws: Aws) -> None:
    logs, sns = aws.client("logs"), aws.client("sns")
    functions = make_functions(aws)
    name = functions.make(
        "def handler(event, _):\n"
        "    [record] = event['Records']\n"
        "    print(record['Sns']['Message'], record['Sns']['TopicArn'])\n",
        runtime="python3.13",
    )
    topic = sns.create_topic(Name=name)["TopicArn"]
    endpoint = f"arn:aws:lambda:{AT}:function:{name}"
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=endpoint)
    sns.publish(TopicArn=topic, Message="refused")

    def printed() -> list[str]:
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [one["message"].strip() for one in found]

    eventually(
        lambda: (aws.state_dir / "trail.jsonl").read_text(),
        enough=lambda told: any("lambda:InvokeFunction" in line and name in line for line in told.splitlines()),
        what="not refused",
    )  # fmt: skip
    aws.client("lambda").add_permission(
        FunctionName=name, StatementId="sns", Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com", SourceArn=topic,
    )  # fmt: skip
    sns.publish(TopicArn=topic, Message="welcome")
    lines = eventually(printed, enough=lambda found: f"welcome {topic}" in found)
    assert f"refused {topic}" not in lines
