"""Where the statements of a policy stand in its text, as the policy simulator says it.

A start is the place behind what opens the statement, an end the place behind its last character: so
the examples in the AWS CLI's reference of `simulate-custom-policy` and `simulate-principal-policy` count.
AWS page: "Position" in the IAM API Reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

Span = tuple[dict[str, int], dict[str, int]]

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


@lru_cache(maxsize=256)
def spans(text: str) -> tuple[Span, ...]:
    """Start and end of each statement of a policy document, each a line and a column from 1.

    Args:
        text: a document of the grammar.
    """
    return tuple((_position(text, start), _position(text, end)) for start, end in _offsets(text))


def _offsets(text: str) -> Iterator[tuple[int, int]]:
    at = _member(text, "Statement")
    if text[at] == "{":
        yield at + 1, _end(text, at)
        return
    at += 1
    while text[(first := _skip(text, at))] != "]":
        if text[first] == ",":
            first = _skip(text, first + 1)
        end = _end(text, first)
        yield at, end
        at = end


def _member(text: str, name: str) -> int:
    """Where the value of a member of the whole document begins."""
    at = _skip(text, 0) + 1
    while True:
        key, end = _DECODER.raw_decode(text, _skip(text, at))
        value = _skip(text, _skip(text, end) + 1)
        if key == name:
            return value
        at = _skip(text, _end(text, value)) + 1  # behind the comma


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _position(text: str, offset: int) -> dict[str, int]:
    return {
        "Line": text.count("\n", 0, offset) + 1,
        "Column": offset - text.rfind("\n", 0, offset),
    }
