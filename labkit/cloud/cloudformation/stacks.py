"""Stacks: moto's CloudFormation makes resources of the types that a case proves, and no others.

A template that names more is refused whole: what moto would make of it nobody could use. AWS page:
"AWS resource and property types reference".
"""

from __future__ import annotations

import contextlib
from functools import wraps
from typing import Any

from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult

from labkit.cloud.cloudformation import policies, resources
from labkit.cloud.cloudformation import template as templates
from labkit.cloud.shared.service import AWSError


def start(check: policies.Check) -> None:
    """Have moto refuse such templates: called once, when the service is first asked for.

    Args:
        check: refuses a policy that an operation would be refused for.
    """
    for name in ("create_stack", "update_stack", "create_change_set"):
        _guard(name)
    for name in ("describe_change_set", "delete_change_set", "execute_change_set"):
        _find_change_set(name)
    CloudFormationResponse.list_change_sets = _list_change_sets  # type: ignore[method-assign]
    CloudFormationResponse.validate_template = _validate_template  # type: ignore[method-assign]
    _check_changes()
    resources.start()
    policies.start(check)


def _guard(name: str) -> None:
    original = getattr(CloudFormationBackend, name)

    def checked(self: Any, *arguments: Any, template: Any, **keywords: Any) -> Any:
        # what is given as a template before is checked already, and read
        templates.check(template if isinstance(template, dict) else templates.read(template or ""))
        known = set(self.stacks)
        try:
            return original(self, *arguments, template=template, **keywords)
        except Exception:
            for stack_id in (
                set(self.stacks) - known
            ):  # its name is free again, and what was made gone
                with contextlib.suppress(Exception):
                    self.stacks[stack_id].resource_map.delete()
                del self.stacks[stack_id]
            raise

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


def _list_change_sets(self: CloudFormationResponse) -> ActionResult:
    stack, known = self._get_param("StackName"), self.cloudformation_backend.list_change_sets()
    found = [one for one in known if stack in (one.stack_name, one.stack_id)]
    return ActionResult({"Summaries": found})


def _validate_template(self: CloudFormationResponse) -> ActionResult:
    text = self._get_param("TemplateBody")
    if self._get_param("TemplateURL"):
        text = self._get_stack_from_s3_url(self._get_param("TemplateURL"))
    template = templates.read(text)
    templates.check(template)
    parameters = [
        {
            "ParameterKey": name,
            "NoEcho": str(one.get("NoEcho", False)).lower() == "true",
            **{key: str(one[of]) for key, of in _OF_PARAMETERS.items() if of in one},
        }
        for name, one in (template.get("Parameters") or {}).items()
    ]
    answer: dict[str, Any] = {"Parameters": parameters}
    if "Description" in template:
        answer["Description"] = template["Description"]
    if named := [
        one for one in template["Resources"].values() if one["Type"].startswith("AWS::IAM::")
    ]:
        has_name = any("Name" in name for one in named for name in one.get("Properties") or {})
        answer["Capabilities"] = ["CAPABILITY_NAMED_IAM" if has_name else "CAPABILITY_IAM"]
        kinds = sorted({one["Type"] for one in named})
        answer["CapabilitiesReason"] = (
            f"The following resource(s) require capabilities: [{', '.join(kinds)}]"
        )
    return ActionResult(answer)


_OF_PARAMETERS = {"DefaultValue": "Default", "Description": "Description"}


def _check_changes() -> None:
    update, apply = Stack.update, ChangeSet.apply

    def check(stack: Stack, resources: dict[str, Any], parameters: dict[str, Any] | None) -> None:
        known = stack.resource_map.input_parameters
        changed = [name for name, value in (parameters or {}).items() if known.get(name) != value]
        templates.check_changes(stack.resource_map._resource_json_map, resources, changed)

    def updated(
        self: Stack, template: str, role_arn: Any = None, parameters: Any = None, tags: Any = None
    ) -> None:
        check(self, templates.read(template)["Resources"], parameters)
        update(self, template, role_arn, parameters, tags)

    def applied(self: ChangeSet) -> None:
        check(self.stack, self.template_dict["Resources"], self.parameters)
        apply(self)

    Stack.update = updated  # type: ignore[method-assign]
    ChangeSet.apply = applied  # type: ignore[method-assign]
