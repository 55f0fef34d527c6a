"""moto's large tables, read when they are asked for.

moto reads the instance types of every Region when it is imported, and AWS's managed policies when
the first user is made: 90 MB that most labs never look at. To know EC2's Regions it has botocore
read EC2's model, the largest there is: a fifth of the lab's start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import boto3
from moto.iam import models as iam
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.utilities import utils

_OFFERINGS = "ec2/resources/instance_type_offerings"
_TYPES = "ec2/resources/instance_types.json"


def defer() -> None:
    """Have the tables wait; called before moto's EC2 is imported."""
    _defer_instance_types()
    iam.IAMBackend._init_managed_policies = lambda _: {}  # type: ignore[assignment, method-assign]
    for name in ("aws_managed_policies", "managed_policies"):
        setattr(iam.IAMBackend, name, _Policies(name))


def _defer_instance_types() -> None:
    read = utils.load_resource

    def later(resource: str) -> Any:
        if resource == _TYPES:
            return {}
        return [] if resource.startswith(_OFFERINGS) else read(resource)

    with (
        mock.patch.object(utils, "load_resource", later),
        mock.patch.object(boto3.Session, "get_available_regions", _regions),
    ):
        from moto.ec2.models import instance_types
    known = instance_types.INSTANCE_TYPE_OFFERINGS
    for location_type, by_region in known.items():
        known[location_type] = _Offerings(location_type, by_region)
    instance_types.INSTANCE_TYPES = _Types()
    instance_types.InstanceTypeBackend.instance_types = _TypesAsked()  # type: ignore[assignment]


def _regions(session: boto3.Session, service: str, partition_name: str = "aws") -> list[str]:
    """The Regions of a service that has its own name in botocore's endpoints, as EC2 does."""
    resolver = session._session._get_internal_component("endpoint_resolver")
    regions: list[str] = resolver.get_available_endpoints(service, partition_name)
    return regions


class _Offerings(dict[str, list[dict[str, str]]]):
    """Which instance types a Region has, read for the Regions that are asked for."""

    def __init__(self, location_type: str, regions: dict[str, Any]) -> None:
        super().__init__(regions)
        self.location_type = location_type

    def __getitem__(self, region: str) -> list[dict[str, str]]:
        if not super().__getitem__(region):
            path = f"{_OFFERINGS}/{self.location_type}/{region}.json"
            self[region] = [
                {**one, "LocationType": self.location_type} for one in utils.load_resource(path)
            ]
        return super().__getitem__(region)

    def get(self, region: str, default: Any = None) -> Any:
        try:
            return self[region]
        except KeyError:
            return default


class _Types(dict[str, Any]):
    """All instance types by name, read when one is asked for."""

    def __missing__(self, name: str) -> Any:
        if not self:
            self.update(utils.load_resource(_TYPES))
            return self[name]
        raise KeyError(name)


class _TypesAsked:
    @cache  # noqa: B019
    def __get__(self, *_: object) -> list[Any]:
        from moto.ec2.models.instance_types import InstanceType

        return [InstanceType(name) for name in utils.load_resource(_TYPES)]


class _Policies:
    """One of the IAM backend's two collections of policies, with AWS's in it at its first use."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, backend: iam.IAMBackend | None, _: type) -> Any:
        if backend is None:
            return self
        if self.name not in vars(backend):
            policies = [
                iam.AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
                for name, data in _managed_policies()
            ]
            vars(backend)["aws_managed_policies"] = policies
            vars(backend)["managed_policies"] = {policy.arn: policy for policy in policies}
        return vars(backend)[self.name]

    def __set__(self, backend: iam.IAMBackend, _: Any) -> None:
        """moto has made a new backend, without AWS's policies."""


def _managed_policies() -> Iterator[tuple[str, Any]]:
    """The name and the data of each: one after the other, the whole is never in memory."""
    text, decoder = aws_managed_policies_data, json.JSONDecoder()
    for found in re.finditer(r'^ "([^"]+)":', text, re.MULTILINE):
        yield found[1], decoder.raw_decode(text, found.end())[0]
