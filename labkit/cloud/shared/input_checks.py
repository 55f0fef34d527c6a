"""Input against botocore's model of an operation, and the operation's own error for what breaks it.

An operation's errors are those that its model lists: CodeCommit answers a bad `repositoryName` with
InvalidRepositoryNameException, CodeBuild everything with InvalidInputException. AWS pages: "Errors"
of each operation in the services' API References.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator
from moto.core.exceptions import ServiceException

_MISSING = re.compile(r'Missing required parameter in (\S+): "(\w+)"')
_NAMED = re.compile(r"(?:Invalid \w+ for|Unknown) parameter (?:in )?([^,:\s]+)")
# what a body is answered with that is not of the model's types, where no error of the operation fits
_NOT_OF_ITS_TYPE = "SerializationException"


@dataclass(frozen=True)
class Fault:
    """What is wrong with one parameter.

    Attributes:
        path: the members' names on the way to it, the innermost last.
        missing: whether it is a required one that is not there.
    """

    path: list[str]
    message: str
    missing: bool = False


def check_types(operation: OperationModel, body: bytes) -> None:
    """Refuse a JSON body whose values are not of the types that the operation's model has.

    Raises:
        ServiceException: with a code that the operation's model lists for such a fault, else
            SerializationException.
    """
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceException(_NOT_OF_ITS_TYPE, f"The body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ServiceException(_NOT_OF_ITS_TYPE, "The body is not a JSON object")
    shape = operation.input_shape
    for fault in _mistyped(given, shape, []) if shape is not None else ():
        raise ServiceException(code(operation, fault), fault.message)


def check(operation: OperationModel, params: dict[str, Any]) -> None:
    """Refuse what the operation's model does not allow.

    Raises:
        ServiceException: with a code that the operation's model lists for such a fault.
    """
    shape = operation.input_shape
    if shape is None:
        return
    report = ParamValidator().validate(params, shape).generate_report()
    # ranges and lengths are told below, in AWS's words
    wrong = [line for line in report.splitlines() if "valid min " not in line]
    if wrong:
        raise ServiceException(code(operation, _fault(wrong[0])), "\n".join(wrong))
    broken = list(constraints(params, shape, []))
    if broken:
        count = f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected: "
        told = count + "; ".join(fault.message for fault in broken)
        raise ServiceException(code(operation, broken[0]), told)


def code(operation: OperationModel, fault: Fault) -> str:
    """The error with which the operation answers a fault: that of the innermost member that has one."""
    service = operation.service_model.service_name
    table = _table()
    if service in table["generic"]:
        return str(table["generic"][service])
    listed = {shape.name for shape in operation.error_shapes}
    own = table.get(service, {}).get("missing" if fault.missing else "invalid", {})
    for name, shape in reversed(list(_along(operation.input_shape, fault.path))):
        found = own.get(name, [])
        candidates = [found] if isinstance(found, str) else found
        names = (name[:1].upper() + name[1:], shape)
        form = "{}RequiredException" if fault.missing else "Invalid{}Exception"
        for candidate in (*candidates, *map(form.format, names)):
            if candidate in listed:
                return str(candidate)
    if "InvalidInputException" in listed:
        return "InvalidInputException"
    return _NOT_OF_ITS_TYPE if service in table else "ValidationException"


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("input_errors.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _fault(line: str) -> Fault:
    """What a line of botocore's report is about."""
    if found := _MISSING.match(line):
        return Fault([*_names(found[1]), found[2]], line, missing=True)
    found = _NAMED.match(line)
    return Fault(_names(found[1]) if found else [], line)


def _names(path: str) -> list[str]:
    """`input.targets[0].name`, without what is no member's name."""
    return [name for name in re.split(r"[.\[\]]+", path) if name not in ("", "input")]


def _along(shape: Shape | None, path: list[str]) -> Iterator[tuple[str, str]]:
    """Each member on a path, and the name of its shape."""
    for name in path:
        while isinstance(shape, (ListShape, MapShape)):
            shape = shape.member if isinstance(shape, ListShape) else shape.value
        members = shape.members if isinstance(shape, StructureShape) else {}
        if name in members:
            shape = members[name]
            yield name, shape.name


_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "blob": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


def _mistyped(value: Any, shape: Shape, path: list[str]) -> Iterator[Fault]:
    """The values that are not of their type; True is no number, though Python says so."""
    fits = isinstance(value, _TYPES[shape.type_name])
    if not fits or (isinstance(value, bool) and shape.type_name != "boolean"):
        where = ".".join(path)
        found = type(value).__name__
        yield Fault(path, f"'{where}' is not of the type {shape.type_name}: it is a {found}")
    elif isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _mistyped(value[name], member, [*path, name])
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            if item is not None:
                yield from _mistyped(item, shape.member, [*path, str(index), "member"])
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            if item is not None:
                yield from _mistyped(item, shape.value, [*path, key, "member"])


def constraints(value: Any, shape: Shape, path: list[str]) -> Iterator[Fault]:
    """The model's patterns, lengths, ranges and enumerations that `value` breaks, in AWS's words."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from constraints(value[name], member, [*path, name])
        return
    if isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            yield from constraints(item, shape.member, [*path, str(index), "member"])
    if isinstance(shape, MapShape):
        for key, item in value.items():
            yield from constraints(item, shape.value, [*path, key, "member"])
    where = ".".join(path)
    for rule in _broken_rules(value, shape):
        told = f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {rule}"
        yield Fault(path, told)


def _broken_rules(value: Any, shape: Shape) -> Iterator[str]:
    metadata = shape.metadata
    if shape.type_name == "string":
        pattern = metadata.get("pattern")
        if pattern and not _full_match(pattern, value):
            yield f"satisfy regular expression pattern: {pattern}"
        if metadata.get("enum") and value not in metadata["enum"]:
            yield f"satisfy enum value set: [{', '.join(metadata['enum'])}]"
    is_number = shape.type_name in ("integer", "long", "float", "double")
    size = value if is_number else len(value) if hasattr(value, "__len__") else None
    if size is not None and shape.type_name not in ("structure", "blob"):
        what = "have value" if is_number else "have length"
        if "max" in metadata and size > metadata["max"]:
            yield f"{what} less than or equal to {metadata['max']}"
        if "min" in metadata and size < metadata["min"]:
            yield f"{what} greater than or equal to {metadata['min']}"


def _full_match(pattern: str, value: str) -> bool:
    # The models' patterns are Java's; a few use what Python's `re` does not know.
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True
