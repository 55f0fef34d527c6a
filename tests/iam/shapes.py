"""What an expression of the tables says, checked against botocore's model of an operation's input."""

from __future__ import annotations

from typing import Any

import jmespath
from botocore.model import ListShape, MapShape, Shape, StructureShape

# a shape; a list of a shape; None for what a function or the lab itself gives
Known = Shape | tuple[str, Any] | None


class Unknown(AssertionError):
    """A member that the model does not have."""


def unknown(expression: str, shape: Shape | None, each: Known = None) -> set[str]:
    """The parameters that an expression names and the operation does not have.

    Args:
        each: what `each` is.

    Raises:
        Unknown: a parameter that is there has no such member.
    """
    absent: set[str] = set()
    _walk(jmespath.compile(expression).parsed, _Root(shape, each, absent))
    return absent


def roots(expression: str) -> set[str]:
    """The parameters that an expression names."""
    return unknown(expression, None)


def kind_of(expression: str, shape: Shape | None) -> Known:
    """What an expression is."""
    return _walk(jmespath.compile(expression).parsed, _Root(shape, None, set()))


def item(known: Known) -> Known:
    if isinstance(known, ListShape):
        return known.member
    return known[1] if isinstance(known, tuple) else None


class _Root:
    """An operation's input, with `request` and `each` in it."""

    def __init__(self, shape: Shape | None, each: Known, absent: set[str]) -> None:
        self.members = shape.members if isinstance(shape, StructureShape) else {}
        self.each, self.absent = each, absent

    def member(self, name: str) -> Known:
        if name in ("request", "each"):
            return self.each if name == "each" else None
        if name not in self.members:
            self.absent.add(name)
        return self.members.get(name)


def _walk(node: dict[str, Any], known: Any) -> Any:
    children = node["children"]
    match node["type"]:
        case "field":
            return _member(known, node["value"])
        case "subexpression" if children[0]["type"] == "not_expression":
            raise Unknown("!a.b is (!a).b to JMESPath: write !(a.b)")
        case "subexpression" | "pipe" | "index_expression":
            for child in children:
                known = _walk(child, known)
            return known
        case "index":
            return item(known)
        case "projection" | "filter_projection":
            one = item(_walk(children[0], known))
            for condition in children[2:]:
                _walk(condition, one)
            return ("list", _walk(children[1], one))
        case "flatten":
            found = _walk(children[0], known)
            return item(found) if _is_list(item(found)) else found
        case "multi_select_list":
            return ("list", _first([_walk(child, known) for child in children]))
        case "or_expression" | "and_expression":
            return _first([_walk(child, known) for child in children])
        case "function_expression":
            arguments = [child for child in children if child["type"] != "expref"]
            found = [_walk(child, known) for child in arguments]
            for child in children:
                if child["type"] == "expref":
                    _walk(child["children"][0], item(found[0]))
            return _first(found) if node["value"] == "not_null" else None
        case "identity" | "current":
            return None if isinstance(known, _Root) else known
        case "literal":
            return None
        case _:
            for child in children:
                _walk(child, known)
            return None


def _member(known: Any, name: str) -> Known:
    if isinstance(known, _Root):
        return known.member(name)
    if isinstance(known, StructureShape):
        if name not in known.members:
            raise Unknown(f"{known.name} has no member {name}")
        member: Known = known.members[name]
        return member
    return known.value if isinstance(known, MapShape) else None


def _is_list(known: Known) -> bool:
    return isinstance(known, (ListShape, tuple))


def _first(found: list[Any]) -> Any:
    return next((one for one in found if one is not None), None)
