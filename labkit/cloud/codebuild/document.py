"""A YAML document as CodeBuild's agent reads it: values keep their text, and know their line.

The agent is written in Go, and its errors are those of libyaml (of which go-yaml is a port), with
the line counted from zero: published logs say `found character that cannot start any token at line
3` of a tab in the fourth line (awsdocs/aws-codebuild-user-guide, pull request 25, 2019) and `did
not find expected ',' or ']' at line 19` of the twentieth (aws-samples/bedrock-chat, issue 441,
2024). So the document is read with libyaml, from its events: nothing here is recursive, however
deep or self-referring the document is.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

SCALAR, LIST, MAPPING = "scalar", "list", "mapping"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML without libyaml has its own words
_NULLS = ("", "~", "null", "Null", "NULL")
_MOST_DEPTH = 10_000
_MOST_NODES = 1_000_000  # of a document with its aliases written out
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class DocumentError(Exception):
    """Text that is not a YAML document; the message is the phase context's."""


@dataclass(eq=False)
class Node:
    """A value of a document.

    Attributes:
        line: where it begins, counted from one.
        text: of a scalar, as it is written.
        plain: whether a scalar is written without quotes, so that YAML may read a number of it.
        pairs: of a mapping, in order, with the keys of merged mappings (`<<`) put in.
    """

    kind: str
    line: int
    text: str = ""
    plain: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)

    @property
    def null(self) -> bool:
        """Whether it is written as nothing."""
        return self.kind == SCALAR and self.plain and self.text in _NULLS

    @property
    def children(self) -> Iterator[Node]:
        """What is directly in it."""
        return itertools.chain(self.items, *self.pairs)

    def get(self, name: str) -> Node | None:
        """The value of a key. Of a key that is written twice, the last counts."""
        found = None
        for key, value in self.pairs:
            if key.kind == SCALAR and key.text == name:
                found = value
        return found


def decode(data: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 if it begins with that byte order mark.

    Raises:
        DocumentError: it is neither.
    """
    if data.startswith(_UTF16):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        which = "trailing" if "continuation" in error.reason else "leading"
        problem = f"invalid {which} UTF-8 octet"
        if "unexpected end" in error.reason:
            problem = "incomplete UTF-8 octet sequence"
        line = data.count(b"\n", 0, error.start)
        raise DocumentError(f"{problem} at line {line}") from error


def read(text: str) -> Node | None:
    """The first document of a text, or None if there is none.

    Raises:
        DocumentError: it is not YAML, or is too deep or too often repeated to be read.
    """
    text = text.removeprefix("\ufeff")
    try:
        return _Composer().compose(yaml.parse(text, Loader=_Loader))
    except yaml.reader.ReaderError as error:
        line = text.encode(errors="replace").count(b"\n", 0, error.position)
        raise DocumentError(f"{error.reason} at line {line}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        raise DocumentError(f"{error.problem} at line {line}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise DocumentError(f"control characters are not allowed: {error}") from error


class _Composer:
    """Makes nodes of a parser's events."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.open: list[Node] = []
        self.keys: list[Node | None] = []  # of the open mappings: the key that waits for its value
        self.anchors: dict[str, Node] = {}
        self.aliases = False

    def compose(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                self.keys.pop()
                closed = self.open.pop()
                if closed.kind == MAPPING:
                    _merge(closed)
            elif isinstance(event, yaml.AliasEvent):
                self._add(self._anchored(event))
            elif isinstance(event, yaml.NodeEvent):
                self._begin(event)
        if self.root is not None and self.aliases:
            _check_aliases(self.root)
        return self.root

    def _begin(self, event: yaml.NodeEvent) -> None:
        line = _line(event) + 1
        if isinstance(event, yaml.ScalarEvent):
            node = Node(SCALAR, line, event.value, plain=event.style in (None, ""))
        else:
            node = Node(MAPPING if isinstance(event, yaml.MappingStartEvent) else LIST, line)
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node)
        if node.kind != SCALAR:
            self.open.append(node)
            self.keys.append(None)
            if len(self.open) > _MOST_DEPTH:
                raise DocumentError(f"exceeded max depth of {_MOST_DEPTH} at line {line - 1}")

    def _add(self, node: Node) -> None:
        if not self.open:
            self.root = self.root or node
        elif self.open[-1].kind == LIST:
            self.open[-1].items.append(node)
        elif (key := self.keys[-1]) is None:
            self.keys[-1] = node
        else:
            self.open[-1].pairs.append((key, node))
            self.keys[-1] = None

    def _anchored(self, event: yaml.AliasEvent) -> Node:
        line = _line(event)
        node = self.anchors.get(event.anchor or "")
        if node is None:
            raise DocumentError(f"unknown anchor '{event.anchor}' referenced at line {line}")
        if any(node is outer for outer in self.open):
            raise DocumentError(f"anchor '{event.anchor}' value contains itself at line {line}")
        self.aliases = True
        return node


def _line(event: yaml.Event) -> int:
    return event.start_mark.line if event.start_mark else 0


def _merge(mapping: Node) -> None:
    """Put in the keys of the mappings under `<<`, which those of the mapping itself win over."""
    merged: list[tuple[Node, Node]] = []
    for key, value in mapping.pairs:
        if key.text != "<<" or not key.plain:
            continue
        sources = value.items if value.kind == LIST else [value]
        if any(source.kind != MAPPING for source in sources):
            problem = "map merge requires map or sequence of maps as the value"
            raise DocumentError(f"{problem} at line {key.line - 1}")
        for source in reversed(sources):
            merged += source.pairs
    if merged:
        own = [pair for pair in mapping.pairs if pair[0].text != "<<" or not pair[0].plain]
        if len(merged) + len(own) > _MOST_NODES:
            raise DocumentError("document contains excessive aliasing")
        mapping.pairs = [*merged, *own]


def _check_aliases(root: Node) -> None:
    """Refuse a document that is small, but endless when its aliases are written out."""
    sizes: dict[int, int] = {}
    waiting = [root]
    while waiting:
        node = waiting[-1]
        missing = [child for child in node.children if id(child) not in sizes]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        sizes[id(node)] = 1 + sum(sizes[id(child)] for child in node.children)
    if sizes[id(root)] > _MOST_NODES:
        raise DocumentError("document contains excessive aliasing")


def as_number(text: str) -> str:
    """A plain scalar as YAML reads it where any type may stand: `3.10` is the number 3.1.

    A whole number keeps its `.0`: the page "Runtime versions" writes `dotnet: 8.0` so.
    """
    if re.fullmatch(r"[-+]?\d+\.\d*", text):
        return repr(float(text))
    return text
