"""What a policy writes for many texts: `*`, `?` and policy variables, compiled once.

AWS pages: "IAM JSON policy elements: Resource"; "IAM JSON policy elements: Action"; "IAM policy
elements: Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

Context = Mapping[str, list[str]]
Matcher = Callable[[str, Context], bool]

_TOKEN = re.compile(r"\$\{(?P<variable>[^{}]+)\}|(?P<wildcard>[*?])")
_VARIABLE = re.compile(r"\s*(?P<key>.+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?", re.DOTALL)
_CHARACTERS = "*?$"  # ${*} is the character


class Malformed(ValueError):
    """What the grammar of the policy language does not have."""


@dataclass(frozen=True)
class Variable:
    """`${aws:PrincipalTag/team, 'none'}`."""

    key: str
    default: str | None

    def value(self, context: Context) -> str | None:
        """None for a key that is not there or has several values: no variable stands for those."""
        known = context.get(self.key, ())
        return known[0] if len(known) == 1 else self.default


@dataclass(frozen=True)
class Wildcard:
    """`*` or `?`."""

    character: str


Piece = str | Variable | Wildcard  # a text stands for itself


def pieces(text: str, *, variables: bool, wildcards: bool = True) -> list[Piece]:
    """The parts of a pattern.

    Args:
        variables: whether the policy is of a version that knows them; `${aws:username}` is a text
            like any other in one of 2008-10-17.
        wildcards: whether `*` and `?` stand for other characters than themselves.
    """
    found: list[Piece] = []
    end = 0
    for token in _TOKEN.finditer(text):
        piece = _piece(token, variables, wildcards)
        if piece is None:
            continue
        found += [text[end : token.start()], piece]
        end = token.end()
    return [one for one in (*found, text[end:]) if one != ""]


def _piece(token: re.Match[str], variables: bool, wildcards: bool) -> Piece | None:
    if token["wildcard"]:
        return Wildcard(token["wildcard"]) if wildcards else None
    if not variables:
        return None
    if token["variable"] in _CHARACTERS:
        return token["variable"]
    named = _VARIABLE.fullmatch(token["variable"])
    return Variable(named["key"].lower(), named["default"]) if named else None


def text_matcher(text: str, *, variables: bool, wildcards: bool, ignore_case: bool) -> Matcher:
    """Whether a value is, or is like, a text."""
    return _matcher(pieces(text, variables=variables, wildcards=wildcards), _glob, ignore_case)


def action_matcher(names: list[str]) -> Callable[[str], bool]:
    """Whether an action, in lower case, is one of those that a policy names."""
    every = "|".join(_glob(tuple(pieces(name.lower(), variables=False))) for name in names)
    fits = re.compile(every).fullmatch
    return lambda action: fits(action) is not None


def resource_matcher(names: list[str], *, variables: bool) -> Matcher:
    """Whether a resource's ARN is like one of those that a policy names.

    A star that ends one of the first five parts of an ARN reaches over colons, another one in them
    does not; in the resource's own part it stands for everything. There alone variables have a value.
    """
    every = [_resource(name, variables) for name in names]
    fixed = [_arn_ending_stars(tuple(one)) for one in every if not _has_variables(one)]
    tests = [_matcher(one, _arn_ending_stars, False) for one in every if _has_variables(one)]
    fits = re.compile("|".join(fixed), re.DOTALL).fullmatch if fixed else None

    def matches(resource: str, context: Context) -> bool:
        if fits is not None and fits(resource):
            return True
        return any(test(resource, context) for test in tests)

    return matches


def _resource(name: str, variables: bool) -> list[Piece]:
    found: list[Piece] = []
    colons = 0
    for one in pieces(name, variables=variables):
        found.append(f"${{{one.key}}}" if isinstance(one, Variable) and colons < 5 else one)
        colons += one.count(":") if isinstance(one, str) else 0
    return found


def arn_matcher(text: str, *, variables: bool) -> Matcher:
    """Whether an ARN is like another in each of its six parts.

    Raises:
        Malformed: it is no ARN.
    """
    found = pieces(text, variables=variables)
    if sum(one.count(":") for one in found if isinstance(one, str)) < 5:
        raise Malformed(text)
    return _matcher(found, _arn, False)


def _has_variables(found: list[Piece]) -> bool:
    return any(isinstance(one, Variable) for one in found)


def _matcher(
    found: list[Piece], expression: Callable[[tuple[Piece, ...]], str], ignore_case: bool
) -> Matcher:
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)

    def with_variables(value: str, context: Context) -> bool:
        filled: list[Piece] = []
        for one in found:
            text = one.value(context) if isinstance(one, Variable) else one
            if text is None:
                return False  # nothing is equal to, or like, a variable without a value
            filled.append(text)
        return _compiled(expression(tuple(filled)), flags).fullmatch(value) is not None

    if _has_variables(found):
        return with_variables
    if not ignore_case and all(isinstance(one, str) for one in found):
        literal = "".join(one for one in found if isinstance(one, str))
        return lambda value, context: value == literal
    fits = re.compile(expression(tuple(found)), flags).fullmatch
    return lambda value, context: fits(value) is not None


@lru_cache(maxsize=4096)
def _compiled(expression: str, flags: int) -> re.Pattern[str]:
    return re.compile(expression, flags)


def _glob(found: tuple[Piece, ...]) -> str:
    """Where a text between two stars fits first, it fits best: nothing is tried twice."""
    texts = [""]
    for one in found:
        if one == Wildcard("*"):
            texts.append("")
        else:
            texts[-1] += "." if isinstance(one, Wildcard) else re.escape(str(one))
    first, *between = texts
    if not between:
        return first
    *between, last = between
    return first + "".join(f"(?>.*?{one})" for one in between if one) + ".*" + last


def _arn_ending_stars(found: tuple[Piece, ...]) -> str:
    return _parts(found, ending=".*")


def _arn(found: tuple[Piece, ...]) -> str:
    return _parts(found, ending="[^:]*")


def _parts(found: tuple[Piece, ...], ending: str) -> str:
    """Args: ending: what a star stands for that ends one of the first five parts."""
    head, colons = "", 0
    for number, one in enumerate(found):
        if isinstance(one, str):
            before, rest = _split(one, 5 - colons)
            head += re.escape(before)
            colons += before.count(":")
            if colons == 5:
                return head + _glob((rest, *found[number + 1 :]) if rest else found[number + 1 :])
        elif one == Wildcard("*"):
            following = found[number + 1] if number + 1 < len(found) else ":"
            ends = isinstance(following, str) and following.startswith(":")
            head += ending if ends else "[^:]*"
        else:
            head += "[^:]"
    return head


def _split(text: str, colons: int) -> tuple[str, str]:
    """The text up to and with so many colons, and what follows them."""
    end = 0
    for _ in range(colons):
        at = text.find(":", end)
        if at < 0:
            return text, ""
        end = at + 1
    return text[:end], text[end:]
