"""EventBridge: our services' events out, rules matched, targets called.

`publish` puts an event on the default bus; a worker matches it against the rules that moto keeps
and calls each target as EventBridge would: with the target's role, through the door. Nothing polls:
an engine that waits for another service's resource waits here, and then reads it by its API.

AWS pages: "Events from AWS services"; "Amazon EventBridge targets".
"""

from __future__ import annotations

import copy
import json
import logging
import queue
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from jsonpath_ng.ext.parser import parse
from moto.events.models import Rule, events_backends
from moto.events.utils import EventTemplateParser

from labkit.cloud.bus import patterns, senders
from labkit.cloud.bus.lines import Lines
from labkit.cloud.shared import clients, runtime, threads

EVENTS = "events.amazonaws.com"
logger = logging.getLogger(__name__)

Event = dict[str, Any]


def publish(
    source: str, detail_type: str, detail: Event, *, account: str, region: str, resources: list[str]
) -> Event:
    """Put one event of an AWS service on the default bus, and return it as it was sent.

    Args:
        source: `aws.codebuild`, ...
        resources: the ARNs the event is about.
    """
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": resources,
        "detail": detail,
    }
    _events.put(event)
    return event


class Changes:
    """Wakes who waits for a resource to change; they then read it through the door."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count: dict[str, int] = defaultdict(int)

    def announce(self, subject: str) -> None:
        """Say that `subject` (an ARN, or an id) has changed."""
        with self._changed:
            self._count[subject] += 1
            self._changed.notify_all()

    def count(self, subject: str) -> int:
        """How often `subject` has changed; read before polling, and given to `wait`."""
        with self._changed:
            return self._count[subject]

    def wait(self, subject: str, seen: int, timeout: float | None = None) -> int:
        """Wait until `subject` has changed more than `seen` times; returns the count."""
        with self._changed:
            self._changed.wait_for(lambda: self._count[subject] > seen, timeout)
            return self._count[subject]


changes = Changes()
_events: queue.SimpleQueue[Event] = queue.SimpleQueue()


@dataclass(frozen=True)
class _Call:
    """One event on its way to one target of a rule."""

    rule: Rule
    target: dict[str, Any]
    event: Event

    def make(self) -> None:
        """Call the target; what AWS or the lab refuses is noted as not delivered."""
        arn, started = self.target["Arn"], time.monotonic()
        service = arn.split(":")[2]
        call = _TARGETS.get(service)
        try:
            if call is None:
                raise NotImplementedError(f"the lab does not call targets of {service}")
            with clients.on_behalf_of(self.rule.arn):
                call(self.rule, self.target, _input(self.target, self.event))
        except (ClientError, BotoCoreError, NotImplementedError, KeyError) as error:
            self.not_delivered(error)
            return
        milliseconds = 1000 * (time.monotonic() - started)
        logger.info("rule %s called %s in %.0f ms", self.rule.name, arn, milliseconds)

    def not_delivered(self, error: Exception) -> None:
        """EventBridge retries for a day and then drops the event; a lab says so at once.

        AWS page: "Monitoring Amazon EventBridge", FailedInvocations.
        """
        arn = self.target["Arn"]
        logger.error("rule %s, target %s: not delivered: %s", self.rule.name, arn, error)
        cloudwatch = _as_eventbridge(self.rule, "cloudwatch")
        metric = {"MetricName": "FailedInvocations", "Value": 1.0, "Unit": "Count"}
        named = {"Dimensions": [{"Name": "RuleName", "Value": self.rule.name}]}
        cloudwatch.put_metric_data(Namespace="AWS/Events", MetricData=[{**metric, **named}])


_lines = Lines(8, "eventbridge-target")


def start() -> None:
    """Start the worker that matches rules, and take moto's own PutEvents through it too."""
    patterns.start(_TARGETS)
    senders.start()
    Rule.send_to_targets = _send_to_targets  # type: ignore[method-assign,assignment]
    threads.repeat(_match_next_event, name="eventbridge")


def _match_next_event() -> None:
    event = _events.get()
    bus = events_backends[event["account"]][event["region"]].event_buses["default"]
    for rule in list(bus.rules.values()):
        match = partial(_send_to_targets, rule, event)
        threads.attempt(match, name=f"rule {rule.arn}", failed=partial(_not_matched, rule))


def _not_matched(rule: Rule, error: Exception) -> None:
    for target in list(rule.targets):
        _Call(rule, target, {}).not_delivered(error)


def _send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:
    if rule.state != "ENABLED" or not rule.event_pattern.matches_event(original_event):
        return
    for target in list(rule.targets):
        call = _Call(rule, copy.deepcopy(target), copy.deepcopy(original_event))
        _lines.add(f"{rule.arn} {target['Id']}", call.make, call.not_delivered)


def _input(target: dict[str, Any], event: Event) -> Any:
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        found = parse(target["InputPath"]).find(event)
        return found[0].value if found else None
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        return EventTemplateParser.parse(
            input_template=transformer.get("InputTemplate"),
            input_paths_map=transformer.get("InputPathsMap", {}),
            event=event,  # type: ignore[arg-type]
        )
    return event


def _client(rule: Rule, target: dict[str, Any], service: str) -> Any:
    """As the target's role; where none is given, as EventBridge, whom the resource's policy has to allow."""
    if "RoleArn" not in target:
        return _as_eventbridge(rule, service)
    return clients.assume_role(
        EVENTS, target["RoleArn"], "eventbridge", rule.region_name, source_arn=rule.arn
    ).client(service)


def _start_pipeline(rule: Rule, target: dict[str, Any], event: Any) -> None:
    name = target["Arn"].split(":")[-1]
    chosen = {
        key: event[key]
        for key in ("sourceRevisions", "variables")
        if ("InputTransformer" in target or "Input" in target) and key in event
    }
    _client(rule, target, "codepipeline").start_pipeline_execution(name=name, **chosen)


def _start_build(rule: Rule, target: dict[str, Any], event: Any) -> None:
    overrides = event if "InputTransformer" in target or "Input" in target else {}
    name = target["Arn"].split("/")[-1]
    _client(rule, target, "codebuild").start_build(projectName=name, **overrides)


def _start_execution(rule: Rule, target: dict[str, Any], event: Any) -> None:
    _client(rule, target, "stepfunctions").start_execution(
        stateMachineArn=target["Arn"], input=json.dumps(event)
    )


def _as_eventbridge(rule: Rule, service: str) -> Any:
    return clients.as_service(EVENTS, rule.region_name, rule.account_id).client(service)


def _publish_message(rule: Rule, target: dict[str, Any], event: Any) -> None:
    _client(rule, target, "sns").publish(TopicArn=target["Arn"], Message=json.dumps(event))


def _send_message(rule: Rule, target: dict[str, Any], event: Any) -> None:
    account_id, name = target["Arn"].split(":")[4:]
    url = f"{runtime.current().endpoint_url}/{account_id}/{name}"
    group = target.get("SqsParameters", {})
    _client(rule, target, "sqs").send_message(QueueUrl=url, MessageBody=json.dumps(event), **group)


def _invoke_function(rule: Rule, target: dict[str, Any], event: Any) -> None:
    _client(rule, target, "lambda").invoke(
        FunctionName=target["Arn"], InvocationType="Event", Payload=json.dumps(event)
    )


def _put_log_event(rule: Rule, target: dict[str, Any], event: Any) -> None:
    logs, group = _client(rule, target, "logs"), target["Arn"].split(":")[6]
    stream = str(uuid.uuid4())
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    entry = {"timestamp": int(time.time() * 1000), "message": json.dumps(event)}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[entry])


_TARGETS: dict[str, Callable[[Rule, dict[str, Any], Any], None]] = {
    "codepipeline": _start_pipeline,
    "codebuild": _start_build,
    "states": _start_execution,
    "sns": _publish_message,
    "sqs": _send_message,
    "logs": _put_log_event,
    "lambda": _invoke_function,
}
