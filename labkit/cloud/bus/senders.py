"""What SNS, S3 and CloudWatch Logs hand on: by the door, as the service that sends.

So the policy of the queue, the topic or the function decides, with the topic, the bucket or the log
group as `aws:SourceArn`; moto would reach into the other service. What is refused is not delivered, and
the log says why.

AWS pages: "Subscribing an Amazon SQS queue to an Amazon SNS topic"; "Granting permissions to publish event
notification messages to a destination"; "Log group-level subscription filters"; "Invoking Lambda functions
with Amazon SNS notifications".
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.logs.models import LogStream
from moto.s3 import notifications
from moto.s3.models import FakeBucket

from labkit.cloud.bus.lines import Lines
from labkit.cloud.shared import clients, runtime
from labkit.cloud.shared.service import AWSError, named

if TYPE_CHECKING:
    from moto.sns.models import Subscription

SNS, S3, LOGS = "sns.amazonaws.com", "s3.amazonaws.com", "logs.amazonaws.com"
logger = logging.getLogger(__name__)
_lines = Lines(4, "delivery")


def start() -> None:
    """Take what S3 and CloudWatch Logs hand on through the door: called once, at the start."""
    notifications._send_sqs_message = partial(_of_bucket, "sqs", _to_queue)
    notifications._send_sns_message = partial(_of_bucket, "sns", _to_topic)
    notifications._invoke_awslambda = partial(_of_bucket, "lambda", _to_function)
    notifications.send_test_event = lambda **_: None  # ours says what is refused
    configure = FakeBucket.set_notification_configuration
    FakeBucket.set_notification_configuration = _configured(configure)  # type: ignore[method-assign]
    LogStream._send_log_events = _of_log_group  # type: ignore[method-assign]


def start_topics() -> None:
    """The same of SNS: called once, when SNS is first asked for."""
    from moto.sns import models

    setattr(models, "sqs_backends", _Queues(models.sqs_backends))  # type: ignore[attr-defined] # noqa: B010
    models.Subscription.publish = _published(models.Subscription.publish)  # type: ignore[method-assign]


def send(service: str, source_arn: str, target_arn: str, call: Callable[[Any], object]) -> None:
    """Call a target as a service, in the background, after what was sent to it before.

    Args:
        service: the principal, `sns.amazonaws.com`.
        source_arn: the resource on whose behalf.
        call: is given a client of the target's service.
    """
    _, _, kind, region, *_ = target_arn.split(":")
    account_id = source_arn.split(":")[4]  # a bucket's has none

    def not_delivered(error: Exception) -> None:
        logger.error("%s, target %s: not delivered: %s", source_arn, target_arn, error)

    def deliver() -> None:
        try:
            with clients.on_behalf_of(source_arn):
                call(clients.as_service(service, region, account_id).client(kind))
        except (ClientError, BotoCoreError) as error:
            not_delivered(error)

    _lines.add(target_arn, deliver, not_delivered)


def _to_queue(arn: str, message: str, sqs: Any, **more: Any) -> None:
    account_id, name = arn.split(":")[4:]
    url = f"{runtime.current().endpoint_url}/{account_id}/{name}"
    sqs.send_message(QueueUrl=url, MessageBody=message, **more)


def _to_topic(arn: str, message: str, sns: Any) -> None:
    sns.publish(TopicArn=arn, Message=message)


def _to_function(arn: str, message: str, client: Any) -> None:
    client.invoke(FunctionName=arn, InvocationType="Event", Payload=message)


# S3


def _of_bucket(
    kind: str, to: Callable[..., None], account_id: str, event: Any, name: str, region: str
) -> None:
    """In place of moto's: `name` is a queue's name, or the ARN of a topic or function."""
    arn = name if name.startswith("arn:") else f"arn:aws:{kind}:{region}:{account_id}:{name}"
    bucket = event["Records"][0]["s3"]["bucket"]["arn"]
    send(S3, bucket, arn, partial(to, arn, json.dumps(event)))


def _configured(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def set_notification_configuration(self: FakeBucket, *arguments: Any, **keywords: Any) -> None:
        before = self.notification_configuration
        original(self, *arguments, **keywords)
        try:
            _send_test_event(bucket=self)
        except ClientError as error:
            self.notification_configuration = before
            message = "Unable to validate the following destination configurations"
            raise AWSError("InvalidArgument", message) from error

    return set_notification_configuration


def _send_test_event(bucket: FakeBucket) -> None:
    """S3 tries each destination before it keeps a configuration.

    Raises:
        botocore.exceptions.ClientError: a destination is not there, or does not let S3 in.
    """
    event = json.dumps(notifications._get_test_event(bucket.name))
    known = bucket.notification_configuration
    if known is None:
        return
    with clients.on_behalf_of(bucket.arn):
        for one in known.queue:
            _to_queue(one.arn, event, _as_s3(one.arn))
        for one in known.topic:
            _to_topic(one.arn, event, _as_s3(one.arn))
        for one in known.cloud_function:
            _as_s3(one.arn).invoke(FunctionName=one.arn, InvocationType="DryRun")


def _as_s3(arn: str) -> Any:
    _, _, kind, region, *_ = arn.split(":")
    return clients.as_service(S3, region).client(kind)


# CloudWatch Logs


def _of_log_group(
    self: LogStream, service: str, destination_arn: str, filter_name: str, log_events: Any
) -> None:
    """In place of moto's, for a function: the only destination that the lab takes."""
    group = self.log_group.name
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": self.account_id,
        "logGroup": group,
        "logStream": self.log_stream_name,
        "subscriptionFilters": [filter_name],
        "logEvents": log_events,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode())).decode()
    event = json.dumps({"awslogs": {"data": packed}})
    source = f"arn:aws:logs:{self.region}:{self.account_id}:log-group:{group}:*"
    send(LOGS, source, destination_arn, partial(_to_function, destination_arn, event))


# SNS

_publishing: ContextVar[Subscription] = ContextVar("publishing")


@dataclass
class _Queues:
    """moto's queues by account and Region; while a message is delivered, all of them are the door's."""

    kept: Any

    def __getitem__(self, place: str) -> Any:
        return self.kept[place] if _publishing.get(None) is None else self

    def send_message(
        self,
        queue_name: str,
        message_body: str,
        message_attributes: Any = None,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        validate_group_id: bool = True,
    ) -> None:
        subscription, more = _publishing.get(), {}
        if message_attributes:
            more["MessageAttributes"] = message_attributes
        if queue_name.endswith(".fifo"):
            fifo = {"MessageGroupId": group_id, "MessageDeduplicationId": deduplication_id}
            more |= {name: value for name, value in fifo.items() if value}
        arn = subscription.endpoint
        call = partial(_to_queue, arn, message_body, **more)
        send(SNS, subscription.topic.arn, arn, call)


def _published(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def publish(self: Subscription, *arguments: Any, **keywords: Any) -> None:
        if self.protocol == "lambda":
            return _to_subscribed_function(self, **named(original, self, *arguments, **keywords))
        token = _publishing.set(self)
        try:
            return original(self, *arguments, **keywords)
        finally:
            _publishing.reset(token)

    return publish


def _to_subscribed_function(subscription: Subscription, **given: Any) -> None:
    message, attributes = given["message"], given.get("message_attributes")
    matcher = subscription._filter_policy_matcher
    if matcher is not None and not matcher.matches(attributes, message):
        return
    if given.get("message_structure") == "json":
        message = subscription._parse_message_structure(message, "lambda")
    told = subscription.get_post_data(
        message, given["message_id"], given.get("subject"), attributes
    )
    # as the names are in a function's event
    told = {name.replace("URL", "Url"): value for name, value in told.items()}
    told = {"Subject": None, "MessageAttributes": {}, **told}
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription.arn,
        "Sns": told,
    }
    arn, event = subscription.endpoint, json.dumps({"Records": [record]})
    send(SNS, subscription.topic.arn, arn, partial(_to_function, arn, event))
