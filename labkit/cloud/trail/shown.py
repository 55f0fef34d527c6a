"""Parameters and answers as a record shows them: AWS's camel case, and without what must not be read.

Members that their model calls sensitive are hidden; `events.toml` has the exceptions. No blob is shown.
AWS page: "CloudTrail record contents".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from labkit.cloud.trail.events import table

_encode = json.JSONEncoder(default=str).encode
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
MOST_BYTES = 100_000  # "CloudTrail record contents": requestParameters, responseElements


@dataclass(frozen=True)
class Members:
    """How a service's members are shown."""

    without: frozenset[str]
    hidden: frozenset[str]  # `name`, or `name.of member in it`
    plain: frozenset[str]
    called: Mapping[str, str]


@cache
def of_service(service: str) -> Members:
    both = [table("members")["*"], table("members").get(service, {})]

    def named(kind: str) -> frozenset[str]:
        return frozenset(name for one in both for name in one.get(kind, ()))

    return Members(
        named("without"), named("hidden"), named("plain"), table("called").get(service, {})
    )


def parameters(service: str, given: Mapping[str, Any], shape: Shape | None) -> Any:
    """What was asked, or answered.

    Args:
        given: by the names of its members in botocore's model.
        shape: of the operation's input or output; None shows nothing.

    Returns:
        None where nothing is left to show.
    """
    if not isinstance(shape, StructureShape):
        return None
    whole = _structure(given, shape, of_service(service), "")
    size = len(_encode(whole)) if whole else 0
    if size > MOST_BYTES:
        return {"omitted": True, "originalSize": size, "reason": "too large"}
    return whole or None


def _structure(
    value: Mapping[str, Any], shape: StructureShape, members: Members, inside: str
) -> dict[str, Any]:
    found = {}
    for name, one in value.items():
        member = shape.members.get(name)
        if one is None or member is None or name in members.without or member.type_name == "blob":
            continue
        key = members.called.get(name) or _camel(name)
        found[key] = _shown(one, member, members, name, inside)
    return found


def _shown(value: Any, shape: Shape, members: Members, name: str, inside: str) -> Any:
    hidden = name in members.hidden or f"{inside}.{name}" in members.hidden
    if hidden or (shape.metadata.get("sensitive") and name not in members.plain):
        return HIDDEN
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return _structure(value, shape, members, name)
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_shown(one, shape.member, members, name, inside) for one in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {
            key: HIDDEN
            if key in members.hidden
            else _shown(one, shape.value, members, name, inside)
            for key, one in value.items()
        }
    return date(value) if isinstance(value, datetime) else value


def date(moment: datetime) -> str:
    """A date as it stands in parameters: `Nov 28, 2026, 3:04:05 PM`."""
    return f"{moment:%b} {moment.day}, {moment.year}, {moment:%I:%M:%S %p}".replace(", 0", ", ")


def _camel(name: str) -> str:
    return name.lower() if name.isupper() else name[:1].lower() + name[1:]
