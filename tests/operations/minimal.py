"""Input made from botocore's model alone: what an operation must be given, and nothing more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

# tried in this order against a member's pattern
_STRINGS = (
    "lab",
    "lab-name",
    "1",
    "123456789012",
    "us-east-1",
    "us-east-1a",
    "/lab",
    "{}",
    "arn:aws:iam::123456789012:role/lab",
    "arn:aws:s3:::lab",
    "arn:aws:lambda:us-east-1:123456789012:function:lab",
    "arn:aws:events:us-east-1:123456789012:event-bus/lab",
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/lab/0123456789abcdef",
    "11111111-2222-4333-8444-555555555555",
    "https://example.com/lab",
    "sha256:" + "0" * 64,
    "0" * 40,
    "mw-0123456789abcdef0",
)


def input_of(shape: Shape | None) -> dict[str, Any]:
    """The required members of an operation's input, each with a value its model allows."""
    return _structure(shape, ()) if isinstance(shape, StructureShape) else {}


def _structure(shape: StructureShape, above: tuple[str, ...]) -> dict[str, Any]:
    if shape.name in above:
        return {}
    return {
        name: _value(member, (*above, shape.name))
        for name, member in shape.members.items()
        if name in shape.required_members
    }


def _value(shape: Shape, above: tuple[str, ...]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, above)
    if isinstance(shape, ListShape):
        return [_value(shape.member, above)] * max(1, shape.metadata.get("min", 1))
    if isinstance(shape, MapShape):
        return {_string(shape.key): _value(shape.value, above)}
    if shape.type_name == "string":
        return _string(shape)
    if shape.type_name == "timestamp":
        return datetime(2026, 1, 1, tzinfo=UTC)
    if shape.type_name == "blob":
        return b"lab"
    if shape.type_name == "boolean":
        return True
    return max(1, shape.metadata.get("min", 1))


def _string(shape: Shape) -> str:
    if values := shape.metadata.get("enum"):
        return str(values[0])
    pattern, least = shape.metadata.get("pattern", ""), shape.metadata.get("min", 0)
    return next(
        (text for text in _STRINGS if len(text) >= least and _matches(pattern, text)), "lab"
    )


def _matches(pattern: str, text: str) -> bool:
    try:
        return not pattern or re.fullmatch(pattern, text) is not None
    except re.error:  # the models' patterns are Java's
        return True
