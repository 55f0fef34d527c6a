"""The shapes of a buildspec's values: what may stand where, and CodeBuild's words if it does not.

AWS page: "Build specification reference for CodeBuild". A single text may stand where a list is
expected, and any scalar where a text is: it counts as it is written, whatever YAML makes of it.
"""

from __future__ import annotations

from labkit.cloud.codebuild.document import LIST, MAPPING, SCALAR, Node

NOTHING = Node(MAPPING, 1)


class BuildspecError(Exception):
    """A buildspec that CodeBuild would not run; the message is the phase context's."""


def mapping(value: Node | None, where: str) -> Node:
    """A mapping; an empty one where nothing stands."""
    if value is None or value.null:
        return NOTHING
    if value.kind != MAPPING:
        raise wrong(value, where, "a mapping")
    return value


def named(value: Node | None, where: str) -> dict[str, Node]:
    """The mappings that a mapping holds, by their names."""
    return {
        key.text: mapping(item, f"{where}/{key.text}") for key, item in mapping(value, where).pairs
    }


def texts(value: Node | None, where: str) -> list[str]:
    """The texts of a list, or the one that stands in its place."""
    if value is None or value.null:
        return []
    if value.kind == MAPPING:
        raise wrong(value, where, "a list")
    items = value.items if value.kind == LIST else [value]
    name = _field(where)
    return [text_of(item, f"{name}[{index}]") for index, item in enumerate(items) if not item.null]


def strings(parent: Node, name: str, where: str) -> dict[str, str]:
    """The variables that a mapping names."""
    where = f"{where}/{name}"
    found = {}
    for key, value in mapping(parent.get(name), where).pairs:
        variable = text_of(key, f"{_field(name)}.key")
        if not variable or "=" in variable:
            raise BuildspecError(f"{where}: invalid name '{variable[:60]}' at line {key.line}")
        found[variable] = text_of(value, f"{_field(name)}[{variable}]")
    return found


def optional(value: Node | None, name: str) -> str | None:
    """A text, or None where nothing stands."""
    return None if value is None or value.null else text_of(value, name)


def text_of(value: Node, name: str) -> str:
    """A value where a string stands: as it is written, whatever else YAML would read of it."""
    if value.kind != SCALAR:
        # published in many logs; the line before is where a key without a value would be
        raise BuildspecError(
            f"Expected {name} to be of string type: found subkeys instead at line {value.line}, "
            f"value of the key tag on line {value.line - 1} might be empty"
        )
    if "\0" in value.text:
        raise BuildspecError(f"control characters are not allowed at line {value.line - 1}")
    return "" if value.null else value.text


def yes(value: Node | None) -> bool:
    """Whether something is switched on."""
    return value is not None and value.text.lower() in ("yes", "true", "on", "y")


def _field(where: str) -> str:
    """`env/exported-variables` as the agent's messages name such a thing: ExportedVariables."""
    return "".join(part.capitalize() for part in where.rpartition("/")[2].split("-"))


def wrong(value: Node, where: str, expected: str) -> BuildspecError:
    """What is said of a value that has not the expected shape."""
    found = {SCALAR: f"'{value.text[:60]}'", LIST: "a list", MAPPING: "a mapping"}[value.kind]
    return BuildspecError(f"{where}: expected {expected}, found {found} at line {value.line}")
