"""Policies that stand in templates: those of queues, topics and buckets, and that none is malformed.

What the door checks of an operation that puts a policy is checked of the resource that does the same, once
its references are filled in: the stack fails with the service's own error.

AWS pages: AWS::SQS::QueuePolicy, AWS::SNS::TopicPolicy and AWS::S3::BucketPolicy in the AWS resource and
property types reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

import jmespath
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

from labkit.cloud.cloudformation.template import types
from labkit.cloud.iam import state

# of a policy that an operation of a service puts, with its other parameters
Check = Callable[[str, str, Mapping[str, Any]], None]


def start(check: Check) -> None:
    """Make such resources, and check all that stand in templates: called once, with CloudFormation."""
    original = parsing.parse_resource_and_generate_name

    @wraps(original)
    def parsed(logical_id: str, resource: dict[str, Any], resources: Any) -> Any:
        found = original(logical_id, resource, resources)
        if found:
            properties = found[1].get("Properties") or {}
            for service, operation, given in _put(resource["Type"], properties):
                check(service, operation, given)
        return found

    parsing.parse_resource_and_generate_name = parsed  # type: ignore[assignment]
    for kind, (targets, put) in _OF_RESOURCES.items():
        _make(kind, targets, put)
    for known in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        known.cache_clear()


def as_json(policy: Any) -> Any:
    """A policy in a template is a mapping, or a text."""
    return json.dumps(policy) if isinstance(policy, dict) else policy


def _put(kind: str, properties: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The operations that a resource stands for, as far as they put policies."""
    for operation, place in types()[kind].get("policies", {}).items():
        service, _, name = operation.partition(":")
        where, _, parameter = place.partition(" -> ")
        found = jmespath.search(where, properties)
        for document in found if isinstance(found, list) else [found]:
            if document is not None:
                given = as_json(document)
                for part in reversed(parameter.split(".")):
                    given = {part: given}
                yield service, name, {**properties, **given}


def _queue(name: str, policy: str | None, account_id: str, region: str) -> None:
    backend = state.backend("sqs", account_id, region)
    queue = backend and backend.queues.get(name.rpartition("/")[2])
    if queue is not None:
        queue.policy = policy


def _topic(arn: str, policy: str | None, account_id: str, region: str) -> None:
    backend = state.backend("sns", account_id, region)
    topic = backend and backend.topics.get(arn)
    if topic is not None:
        default = topic._create_default_topic_policy(region, account_id, topic.name)
        topic.policy = policy or json.dumps(default)


def _bucket(name: str, policy: str | None, account_id: str, region: str) -> None:
    backend = state.backend("s3", account_id, region)
    if backend is not None and name in backend.buckets:
        backend.buckets[name].policy = policy and policy.encode()


# a resource's name or ARN, its policy or none, account and Region
Put = Callable[[str, str | None, str, str], None]
_OF_RESOURCES: dict[str, tuple[str, Put]] = {
    "AWS::SQS::QueuePolicy": ("Queues", _queue),
    "AWS::SNS::TopicPolicy": ("Topics", _topic),
    "AWS::S3::BucketPolicy": ("Bucket", _bucket),
}


def _make(kind: str, targets: str, put: Put) -> None:
    """Tell moto of a type of resource that is the policy of others; it looks among the classes there are."""

    class Made(CloudFormationModel):
        cloudformation_name_type = staticmethod(lambda: "")
        cloudformation_type = staticmethod(lambda: kind)
        has_cfn_attr = classmethod(lambda cls, attr: False)

        def __init__(self, name: str, given: dict[str, Any], account_id: str, region: str) -> None:
            properties = given["Properties"]
            named, document = properties[targets], as_json(properties["PolicyDocument"])
            self.physical_resource_id = name
            self.targets = named if isinstance(named, list) else [named]
            for target in self.targets:
                put(target, document, account_id, region)

        def delete(self, account_id: str, region: str) -> None:
            for target in self.targets:
                put(target, None, account_id, region)

    made: Any = Made

    def create(name: str, given: Any, account_id: str, region: str, **_: Any) -> Any:
        return made(name, given, account_id, region)

    def update(
        original_resource: Any,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Any:
        name = original_resource.physical_resource_id
        return made(name, cloudformation_json, account_id, region_name)

    made.create_from_cloudformation_json = staticmethod(create)
    made.update_from_cloudformation_json = staticmethod(update)
    _made.append(made)


_made: list[Any] = []  # and forgets those that nobody holds
