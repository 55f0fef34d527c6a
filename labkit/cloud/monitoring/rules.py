"""The rule of a composite alarm: `(ALARM(a) OR ALARM("b c")) AND NOT OK(d)`.

Its words become Python's, each function a reference by number, and Python's own parser says how they
belong together: NOT before AND, AND before OR.

AWS page: "PutCompositeAlarm" in the CloudWatch API Reference, AlarmRule.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

MOST_CHILDREN, MOST_ELEMENTS = 100, 500
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|(?P<bare>[^\s()"]+))\s*\)
    | (?P<word>AND|OR|NOT|TRUE|FALSE)\b
    | (?P<bracket>[()])
    )\s*""",
    re.VERBOSE,
)
_WORDS = {"AND": " and ", "OR": " or ", "NOT": " not ", "TRUE": " True ", "FALSE": " False "}


@dataclass(frozen=True)
class Rule:
    """`functions` are the states that are asked for, each with the name of its alarm."""

    functions: tuple[tuple[str, str], ...]
    tree: ast.expr

    @property
    def children(self) -> list[str]:
        """The names of the alarms in the rule, each once."""
        return list(dict.fromkeys(name for _, name in self.functions))

    def holds(self, state_of: Callable[[str], str]) -> bool:
        """Whether the rule is true of alarms in these states."""
        return self._value(self.tree, state_of)

    def _value(self, node: ast.expr, state_of: Callable[[str], str]) -> bool:
        match node:
            case ast.Constant(value=bool() as value):
                return value
            case ast.Subscript(slice=ast.Constant(value=int() as number)):
                state, name = self.functions[number]
                return state_of(name) == state
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return not self._value(part, state_of)
            case ast.BoolOp(op=sign, values=parts):
                values = [self._value(part, state_of) for part in parts]
                return all(values) if isinstance(sign, ast.And) else any(values)
        raise ValueError(ast.unparse(node))


@cache
def parse(text: str) -> Rule:
    """Read a rule.

    Raises:
        ValueError: says what is wrong with it.
    """
    functions: list[tuple[str, str]] = []
    source, place, elements = "", 0, 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ValueError(f"it cannot be read from '{text[place:].strip()[:40]}' on")
        elements += token["word"] not in ("AND", "OR", "NOT")
        if token["state"]:
            source += f" _[{len(functions)}] "
            functions.append((token["state"], name_of(token["quoted"] or token["bare"])))
        else:
            source += _WORDS[token["word"]] if token["word"] else token["bracket"]
        place = token.end()
    try:
        rule = Rule(tuple(functions), ast.parse(source.strip(), mode="eval").body)
        rule.holds(lambda _: "OK")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError("its functions, operators and parentheses do not fit together") from error
    if len(rule.children) > MOST_CHILDREN or elements > MOST_ELEMENTS:
        raise ValueError(f"it has more than {MOST_CHILDREN} alarms or {MOST_ELEMENTS} elements")
    return rule


def name_of(reference: str) -> str:
    """An alarm's name, of its name or its ARN."""
    if reference.startswith("arn:") and ":alarm:" in reference:
        return reference.partition(":alarm:")[2]
    return reference
