"""Templates, read and checked as CloudFormation does before there is a stack.

AWS pages: "Working with CloudFormation templates"; "Intrinsic function reference"; the messages are
those of CreateStack's ValidationError.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from moto.cloudformation.utils import yaml_tag_constructor

from labkit.cloud.shared.service import AWSError

_ATTRIBUTES = {
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "Metadata",
    "DeletionPolicy",
    "UpdateReplacePolicy",
}
_SUBSTITUTED = re.compile(r"\$\{([^!{}][^{}]*)\}")

Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of intrinsic functions, and dates as the text they are."""


_Loader.add_multi_constructor("", yaml_tag_constructor)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


def read(text: str) -> Template:
    """A template of JSON or YAML.

    Raises:
        AWSError: ValidationError, with the place where it cannot be read.
    """
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise _format_error(
            f"JSON not well-formed. (line {error.lineno}, column {error.colno})"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise _format_error(f"YAML not well-formed.{place}") from error
    except yaml.YAMLError as error:
        raise _format_error("YAML not well-formed.") from error
    if not isinstance(found, dict):
        raise _format_error("unsupported structure.")
    return found


def check(template: Template) -> None:
    """Refuse what CloudFormation would, and what the lab could not make.

    Raises:
        AWSError: ValidationError; nothing was done.
    """
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise _format_error("At least one Resources member must be defined.")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise _format_error(
                f"[/Resources/{name}] Every Resources object must contain a Type member."
            )
    _check_types(resources)
    _check_references(template, resources)
    if "Transform" in template:
        raise _refusal("process the transform of a template")


def check_changes(old: Template, new: Template, parameters: Collection[str]) -> None:
    """Refuse an update that the lab could not make.

    Args:
        old, new: the resources of the stack, by name.
        parameters: the parameters whose values change.

    Raises:
        AWSError: ValidationError; nothing was done.
    """
    for name in old.keys() & new.keys():
        kind, before = new[name]["Type"], old[name].get("Properties") or {}
        if kind != old[name]["Type"]:
            raise _refusal(f"change the type of a resource ({name})")
        after = new[name].get("Properties") or {}
        changed = {
            key
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
            or any(one in parameters for _, one in _references(after.get(key)))
        }
        if beyond := sorted(changed - set(types()[kind].get("changes", []))):
            raise _refusal(f"change {', '.join(beyond)} of {kind} ({name})")


def _check_types(resources: dict[str, Any]) -> None:
    unknown = sorted({one["Type"] for one in resources.values()} - set(types()))
    if unknown and (unrecognized := [kind for kind in unknown if not _is_of_aws(kind)]):
        raise _format_error(f"Unrecognized resource types: [{', '.join(unrecognized)}]")
    if unknown:
        raise _refusal(f"make resources of the types [{', '.join(unknown)}]")
    for name, resource in resources.items():
        kind, properties = resource["Type"], resource.get("Properties") or {}
        if beyond := sorted(set(properties) - set(types()[kind]["takes"])):
            raise _refusal(f"make {', '.join(beyond)} of {kind} ({name})")
        if beyond := sorted(set(resource) - _ATTRIBUTES):
            raise _refusal(f"act on {', '.join(beyond)} of {name}")


def _check_references(template: Template, resources: dict[str, Any]) -> None:
    known = {*resources, *(template.get("Parameters") or {})}
    for block in ("Resources", "Outputs"):
        missing = []
        for kind, name in _references(template.get(block) or {}):
            if name in known or name.startswith("AWS::"):
                continue
            if kind == "Fn::GetAtt":
                raise AWSError(
                    "ValidationError",
                    f"Template error: instance of Fn::GetAtt references undefined resource {name}",
                )
            missing.append(name)
        if missing:
            names = ", ".join(dict.fromkeys(missing))
            raise _format_error(
                f"Unresolved resource dependencies [{names}] in the {block} block of the template"
            )


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """What is referred to by name, and by which function."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key == "Ref" and isinstance(item, str):
            yield key, item
        elif key == "Fn::GetAtt":
            yield key, item.split(".")[0] if isinstance(item, str) else str(item[0])
        elif key == "DependsOn":
            yield from ((key, one) for one in ([item] if isinstance(item, str) else item))
        elif key == "Fn::Sub":
            yield from _substituted(item)
        else:
            yield from _references(item)


def _substituted(item: Any) -> Iterator[tuple[str, str]]:
    text, given = (item[0], item[1]) if isinstance(item, list) else (item, {})
    for name in _SUBSTITUTED.findall(text):
        resource, _, attribute = name.strip().partition(".")
        if name.strip() not in given:
            yield ("Fn::GetAtt" if attribute else "Ref"), resource
    yield from _references(given)


@cache
def types() -> dict[str, dict[str, Any]]:
    """What stacks make: type -> `takes`, its properties, `changes`, those that an update changes, and `policies`."""
    return tomllib.loads(Path(__file__).with_name("types.toml").read_text())


def _is_of_aws(kind: str) -> bool:
    """Whether AWS has such a type; only what is refused anyway is asked for, since the list is long."""
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    return kind.startswith("Custom::") or kind in PROVIDER_SCHEMA_MANAGER.get_resource_types(
        "us-east-1"
    )


def _format_error(what: str) -> AWSError:
    return AWSError("ValidationError", f"Template format error: {what}")


def _refusal(what: str) -> AWSError:
    return AWSError("ValidationError", f"The lab's local AWS does not {what} (nothing was done)")
