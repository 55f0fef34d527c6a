"""Where the parts of a JSON text stand, as Access Analyzer says it.

AWS pages: "Location", "Span" and "Position" in the IAM Access Analyzer API Reference: lines from 1, columns
and offsets from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


class Places:
    """The places of all parts of a JSON text, by their paths.

    Args:
        text: JSON that can be read.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans = dict(self._walk((), self._skip(0)))

    def of(self, path: Path) -> dict[str, Any]:
        """A location; of a part that is not there it is that of what it would be in."""
        while path not in self._spans:
            path = path[:-1]
        start, end = self._spans[path]
        return {
            "path": [{"index": one} if isinstance(one, int) else {"value": one} for one in path],
            "span": {"start": position(self._text, start), "end": position(self._text, end)},
        }

    def _walk(self, path: Path, start: int) -> Iterator[tuple[Path, tuple[int, int]]]:
        end = _DECODER.raw_decode(self._text, start)[1]
        yield path, (start, end)
        opening = self._text[start]
        if opening not in "{[":
            return
        at, index = self._skip(start + 1), 0
        while self._text[at] not in "}]":
            name: str | int = index
            if opening == "{":
                name, at = _DECODER.raw_decode(self._text, at)
                at = self._skip(self._skip(at) + 1)  # behind the colon
            inner = dict(self._walk((*path, name), at))
            yield from inner.items()
            at = self._skip(inner[*path, name][1])
            if self._text[at] == ",":
                at = self._skip(at + 1)
            index += 1

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at


def position(text: str, offset: int) -> dict[str, int]:
    """Line, column and offset of a character."""
    line = text.count("\n", 0, offset) + 1
    return {"line": line, "column": offset - text.rfind("\n", 0, offset) - 1, "offset": offset}
