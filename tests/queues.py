"""Queues that a test reads what a service sends: a rule of EventBridge, a topic of SNS."""

from __future__ import annotations

from typing import Any

from tests.roles import document


def create_queue(aws: Any, name: str, *senders: str) -> tuple[str, str]:
    """Create a queue that these services may send to; returns its URL and its ARN.

    AWS pages: "Using resource-based policies for Amazon EventBridge"; "Fanout to Amazon SQS queues".

    Args:
        senders: services (`events.amazonaws.com`), which without the queue's policy may not.
    """
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    principal = {"Service": [*senders]}
    may = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(may)})
    return url, arn
