"""The expressions of the tables: JMESPath over an operation's parameters, with a few functions more.

Beside the parameters there are `request` (`operation`, `account`, `region`, `partition` and the resource
`type` that is named) and, in a row with `each`, `each`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property, reduce
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlparse

import jmespath
from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

Find = Callable[[str, str], Any]
Read = Callable[[Any, "_Functions"], Any]
_F = TypeVar("_F", bound=Callable[..., Any])


def nothing(kind: str, name: str) -> None:
    """A `find` that knows of nothing."""


@cache
def compiled(expression: str) -> Any:
    """Raises: jmespath.exceptions.ParseError."""
    return jmespath.compile(expression)


@cache
def reading(expression: str) -> Read:
    """The expression as one function: the door asks several at each request.

    Raises:
        jmespath.exceptions.ParseError: it is none.
    """
    return _reading(compiled(expression).parsed)


def _reading(node: Mapping[str, Any]) -> Read:
    """The kinds of nodes that the tables mostly have; JMESPath's own interpreter reads the others."""
    of, value = [_reading(child) for child in _children(node)], node.get("value")
    match node["type"]:
        case "field":
            return lambda data, _: data.get(value) if hasattr(data, "get") else None
        case "literal":
            return lambda data, _: value
        case "subexpression":
            return lambda data, functions: reduce(lambda here, one: one(here, functions), of, data)
        case "or_expression":
            first, second = of
            return lambda data, functions: (
                one if _is_true(one := first(data, functions)) else second(data, functions)
            )
        case "and_expression":
            first, second = of
            return lambda data, functions: (
                second(data, functions) if _is_true(one := first(data, functions)) else one
            )
        case "not_expression":
            [first] = of
            return lambda data, functions: _is_not(first(data, functions))
        case "multi_select_list":
            return lambda data, functions: (
                None if data is None else [one(data, functions) for one in of]
            )
        case "function_expression" if "expref" not in (one["type"] for one in node["children"]):
            return lambda data, functions: functions.call_function(
                value, [one(data, functions) for one in of]
            )
    return lambda data, functions: functions.interpreter.visit(node, data)


def _children(node: Mapping[str, Any]) -> list[Any]:
    return [one for one in node["children"] if isinstance(one, Mapping)]


def _is_true(value: Any) -> bool:
    """As JMESPath has it: what is empty is not, and nought is."""
    return value is not None and value is not False and value not in ("", [], {})


def _is_not(value: Any) -> bool:
    """As JMESPath has `!`."""
    return not value and type(value) not in (int, float)


@cache
def named(expression: str) -> frozenset[str]:
    """The members that an expression names: without any of them there it is nothing."""

    def walked(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["value"]] if node["type"] == "field" else []
            for child in node["children"]:
                yield from walked(child)

    return frozenset(walked(compiled(expression).parsed))


def strings(value: Any) -> list[str]:
    """A parameter as the values of a condition key; of a structure, that it is there."""
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, Mapping):
        return ["true"]
    if isinstance(value, (list, tuple)):
        return list(dict.fromkeys(text for one in value for text in strings(one)))
    return [value.isoformat() if hasattr(value, "isoformat") else str(value)]


class Reader:
    """Reads parameters by expressions."""

    def __init__(self, find: Find) -> None:
        self._functions = _Functions(find)

    def read(self, expression: str, data: Any) -> Any:
        """What an expression is; None where a parameter that it needs is not there, or of no use.

        What is of the wrong type the service refuses, after IAM has been asked.
        """
        try:
            return reading(expression)(data, self._functions)
        except (JMESPathTypeError, AttributeError, TypeError, ValueError):
            return None

    def holds(self, expression: str, data: Any) -> bool:
        """Whether it is true."""
        return _is_true(self.read(expression, data))


def _takes(count: int) -> Callable[[_F], _F]:
    """Tell JMESPath of a function of as many arguments, of any type."""

    def told(function: _F) -> _F:
        vars(function)["signature"] = ({"types": []},) * count
        return function

    return told


class _Functions(Functions):  # type: ignore[misc]
    """JMESPath's own functions and the tables'."""

    def __init__(self, find: Find) -> None:
        self._find = find

    @cached_property
    def interpreter(self) -> TreeInterpreter:
        """JMESPath's own, with these functions."""
        return TreeInterpreter(jmespath.Options(custom_functions=self))

    @_takes(2)
    def _func_find(self, kind: str, name: Any) -> Any:
        """What the caller of `asked` knows of a name; of several, of each, in one list."""
        if isinstance(name, list):
            found = [self._func_find(kind, one) for one in name]
            return [one for some in found for one in (some if isinstance(some, list) else [some])]
        return None if name is None else self._find(kind, name)

    @_takes(2)
    def _func_before(self, text: Any, separator: str) -> Any:
        """What stands before the last separator; null without one. Of a list, of each."""
        if isinstance(text, list):
            return [self._func_before(one, separator) for one in text]
        return text.rpartition(separator)[0] if separator in (text or "") else None

    @_takes(2)
    def _func_after(self, text: Any, separator: str) -> Any:
        """What stands after the last separator; null without one. Of a list, of each."""
        if isinstance(text, list):
            return [self._func_after(one, separator) for one in text]
        return text.rpartition(separator)[2] if separator in (text or "") else None

    @_takes(2)
    def _func_path(self, path: str | None, name: str | None) -> str | None:
        """An IAM name with its path, as an ARN has them: `teams/shop/deployer`."""
        return None if name is None else f"{path or '/'}{name}".removeprefix("/")

    @_takes(1)
    def _func_parameter(self, name: Any) -> Any:
        """An SSM parameter's name as its ARN has it: without the first slash and the selector."""
        if isinstance(name, list):
            return [self._func_parameter(one) for one in name]
        if name is None or name.startswith("arn:"):
            return name
        return name.removeprefix("/").partition(":")[0]

    @_takes(1)
    def _func_copied(self, source: Any) -> Any:
        """Bucket, Key and VersionId of a CopySource."""
        if not isinstance(source, str):
            return source
        parsed = urlparse(source)
        bucket, _, key = unquote(parsed.path).lstrip("/").partition("/")
        version = parse_qs(parsed.query).get("versionId", [None])[0]
        return {"Bucket": bucket, "Key": key, "VersionId": version}

    @_takes(1)
    def _func_json(self, text: Any) -> Any:
        """What a JSON text says; null if it is none."""
        try:
            return json.loads(text)
        except (TypeError, ValueError):
            return None

    @_takes(3)
    def _func_mapped(self, items: Any, name: str, value: str) -> Any:
        """A list of structures as a map of one member by another."""
        return {
            one[name]: one[value]
            for one in items or []
            if one.get(name) is not None and one.get(value) is not None
        }

    @_takes(2)
    def _func_specified(self, specifications: Any, kind: str) -> Any:
        """The tags that EC2's TagSpecifications have for a resource type."""
        return [
            tag
            for one in specifications or ()
            if one.get("ResourceType") == kind
            for tag in one.get("Tags", ())
        ]

    @_takes(1)
    def _func_tags(self, tags: Any) -> Any:
        """Tags in any of the services' forms as a map; null of what has no values."""
        if isinstance(tags, str):
            return dict(parse_qsl(tags, keep_blank_values=True))
        if isinstance(tags, Mapping):
            return dict(tags)
        return dict(pairs(tags)) or None

    @_takes(1)
    def _func_tag_keys(self, tags: Any) -> Any:
        """The keys of tags, or of a list of keys; null without any."""
        if isinstance(tags, list) and all(isinstance(one, str) for one in tags):
            return tags or None
        return list(self._func_tags(tags) or ()) or None


def pairs(tags: Iterable[Mapping[str, Any]] | None) -> Iterable[tuple[str, str]]:
    """Key and value of each tag of a list, whatever a service calls them: `Key`, `TagKey`, `key`."""
    for tag in tags or ():
        if isinstance(tag, Mapping):
            named = {name.lower().removeprefix("tag"): value for name, value in tag.items()}
            if named.get("key") is not None:
                yield named["key"], named.get("value") or ""
