"""Stacks: moto's CloudFormation makes resources of the services that are in the lab, and no others.

A template that names more is refused whole: what moto would make of it nobody could use. AWS page:
"AWS resource and property types reference".
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import yaml
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import yaml_tag_constructor

from labkit.cloud.shared.service import AWSError

# services, or single types, that moto makes as the services' own operations would
_MADE = (
    "AWS::AutoScaling::",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::",
    "AWS::ECR::Repository",
    "AWS::ElasticLoadBalancingV2::",
    "AWS::Events::Rule",
    "AWS::IAM::",
    "AWS::KMS::",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::S3::",
    "AWS::SNS::",
    "AWS::SQS::",
    "AWS::SSM::Parameter",
    "AWS::SecretsManager::Secret",
)


def start() -> None:
    """Have moto refuse such templates: called once, when the local AWS starts."""
    for name in ("create_stack", "update_stack", "create_change_set"):
        _guard(name)
    for name in ("describe_change_set", "delete_change_set", "execute_change_set"):
        _find_change_set(name)


def _guard(name: str) -> None:
    original = getattr(CloudFormationBackend, name)

    def checked(self: Any, *arguments: Any, template: Any, **keywords: Any) -> Any:
        _check(template)
        return original(self, *arguments, template=template, **keywords)

    setattr(CloudFormationBackend, name, checked)


def _find_change_set(name: str) -> None:
    """A change set is one of its stack, whatever change sets of that name other stacks have."""
    original = getattr(CloudFormationResponse, name)

    @wraps(original)
    def found(self: Any) -> Any:
        wanted, stack = self._get_param("ChangeSetName"), self._get_param("StackName")
        for one in self.cloudformation_backend.change_sets.values():
            named = wanted == one.change_set_name and stack in (one.stack_name, one.stack_id)
            if named or wanted == one.change_set_id:
                self.params["ChangeSetName"] = one.change_set_id
                return original(self)
        raise AWSError("ChangeSetNotFound", f"ChangeSet [{wanted}] does not exist")

    setattr(CloudFormationResponse, name, found)


def _check(template: Any) -> None:
    resources = _read(template).get("Resources")
    types = {
        resource.get("Type", "")
        for resource in (resources.values() if isinstance(resources, dict) else ())
        if isinstance(resource, dict)
    }
    unknown = sorted(kind for kind in types if not kind.startswith(_MADE))
    if unknown:
        raise AWSError(
            "ValidationError",
            f"The lab's local AWS does not make resources of the types [{', '.join(unknown)}] "
            "(nothing was done)",
        )


def _read(template: Any) -> dict[str, Any]:
    if isinstance(template, dict):
        return template

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("", yaml_tag_constructor)
    try:
        found = yaml.load(template or "", Loader)
    except yaml.YAMLError:
        return {}  # which moto refuses
    return found if isinstance(found, dict) else {}
