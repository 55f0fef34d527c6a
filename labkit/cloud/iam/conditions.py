"""Conditions of a statement: every operator, compiled once.

A value that its operator cannot read decides neither way: the condition then holds in a statement
that denies and does not in one that allows. A key that is not there is another matter; the User
Guide says of each operator what that means.

AWS pages: "IAM JSON policy elements: Condition operators"; "Set operators for multivalued context
keys"; "Conditions with multiple context keys or values".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from labkit.cloud.iam.patterns import (
    Context,
    Malformed,
    Matcher,
    Variable,
    arn_matcher,
    pieces,
    text_matcher,
)

Condition = Callable[[Context], bool]

# "AWS global condition context keys": those of the value type "Multivalued"
_MULTIVALUED = {
    "aws:calledvia",
    "aws:principalorgpaths",
    "aws:principalservicenameslist",
    "aws:resourceorgpaths",
    "aws:sourceorgpaths",
    "aws:tagkeys",
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
# "Date and Time Formats", W3C, of which the page on operators speaks
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?")


def condition(name: str, key: str, wanted: list[str], *, variables: bool, deny: bool) -> Condition:
    """One key under one operator, such as `ForAnyValue:StringLikeIfExists`.

    Args:
        wanted: the values of the policy, of which one has to fit (or none, if the operator negates).
        deny: whether its statement denies.
    """
    quantity, plain, if_exists = _parts(name)
    key = key.lower()
    if plain == "null":
        return _null(key, wanted, deny)
    if not exists(name):
        return lambda context: deny
    build, negated = _OPERATORS[plain]
    in_doubt = deny is not negated
    tests = [_guarded(build, text, variables, in_doubt) for text in wanted]

    def fits(value: str, context: Context) -> bool:
        return any(test(value, context) for test in tests) is not negated

    if not quantity:
        return _of_one_value(key, if_exists or negated, fits)
    # of several values, none is what an empty one is: "context keys with empty values"
    without = if_exists or quantity == "forallvalues"
    every: Callable[[Any], bool] = all if quantity == "forallvalues" else any

    def holds(context: Context) -> bool:
        values = context.get(key, ())
        if not any(values):
            return without
        return every(fits(value, context) for value in values)

    return holds


def exists(name: str) -> bool:
    """Whether there is an operator of that name, such as `ForAnyValue:StringLikeIfExists`."""
    quantity, plain, if_exists = _parts(name)
    if plain == "null":
        return not quantity and not if_exists
    return plain in _OPERATORS and quantity in ("", "forallvalues", "foranyvalue")


def _parts(name: str) -> tuple[str, str, bool]:
    quantity, _, plain = name.lower().rpartition(":")
    return quantity, plain.removesuffix("ifexists"), plain.endswith("ifexists")


def _of_one_value(key: str, without: bool, fits: Matcher) -> Condition:
    def holds(context: Context) -> bool:
        values = context.get(key, ())
        if not values:
            return without
        # "Multivalued context keys require a condition set operator"
        return len(values) == 1 and key not in _MULTIVALUED and fits(values[0], context)

    return holds


def _null(key: str, wanted: list[str], deny: bool) -> Condition:
    answers = {text.lower() for text in wanted}
    if not answers <= {"true", "false"}:
        return lambda context: deny
    return lambda context: ("false" if any(context.get(key, ())) else "true") in answers


def _guarded(build: Callable[[str, bool], Matcher], text: str, variables: bool, doubt: bool) -> Matcher:  # fmt: skip
    """Args: doubt: what to say of a value, of the policy or the request, that cannot be read."""
    try:
        test = build(text, variables)
    except Malformed:
        return lambda value, context: doubt

    def guarded(value: str, context: Context) -> bool:
        try:
            return test(value, context)
        except Malformed:
            return doubt

    return guarded


def _string(*, wildcards: bool = False, ignore_case: bool = False) -> Callable[[str, bool], Matcher]:  # fmt: skip
    return lambda text, variables: text_matcher(
        text, variables=variables, wildcards=wildcards, ignore_case=ignore_case
    )


def _arn(text: str, variables: bool) -> Matcher:
    fits = arn_matcher(text, variables=variables)

    def checked(value: str, context: Context) -> bool:
        if value.count(":") < 5:
            raise Malformed(value)
        return fits(value, context)

    return checked


def _bool(text: str, variables: bool) -> Matcher:
    if any(isinstance(one, Variable) for one in pieces(text, variables=variables)):
        named = text_matcher(text, variables=variables, wildcards=False, ignore_case=True)
        return lambda value, context: named(_truth(value), context)
    wanted = _truth(text)
    return lambda value, context: _truth(value) == wanted


def _read(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Callable[[str, bool], Matcher]:  # fmt: skip
    """A test of two values that are read first; variables are nothing to it."""

    def build(text: str, variables: bool) -> Matcher:
        wanted = read(text)
        return lambda value, context: compare(read(value), wanted)

    return build


def _truth(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise Malformed(text)
    return text.lower()


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise Malformed(text)
    return Decimal(text)


def _date(text: str) -> Decimal:
    """Seconds since 1970; of four digits alone, those of the year that they are."""
    if len(text) != 4 and _NUMBER.fullmatch(text):
        return Decimal(text)
    if not _DATE.fullmatch(text):
        raise Malformed(text)
    whole = text + {4: "-01-01", 7: "-01"}.get(len(text), "")
    try:
        found = datetime.fromisoformat(whole)
    except ValueError as error:
        raise Malformed(text) from error
    return Decimal(found.replace(tzinfo=found.tzinfo or UTC).timestamp())


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(text) from error


def _ip(text: str, variables: bool) -> Matcher:
    network = _address(ipaddress.ip_network, text, strict=False)
    return lambda value, context: _address(ipaddress.ip_address, value) in network


@lru_cache(maxsize=4096)
def _address(read: Callable[..., Any], text: str, **settings: bool) -> Any:
    try:
        return read(text, **settings)
    except ValueError as error:
        raise Malformed(text) from error


# what reads a value of a context key's type, and raises Malformed if it is of another
READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "numeric": _number,
    "boolean": _truth,
    "date": _date,
    "binary": _bytes,
    "ip": lambda text: _address(ipaddress.ip_network, text, strict=False),
}
_EQUAL, _EQUAL_IGNORING_CASE, _LIKE = _string(), _string(ignore_case=True), _string(wildcards=True)

# operator: what makes the test of one value of the policy, and whether it is negated
_OPERATORS: dict[str, tuple[Callable[[str, bool], Matcher], bool]] = {
    "stringequals": (_EQUAL, False),
    "stringnotequals": (_EQUAL, True),
    "stringequalsignorecase": (_EQUAL_IGNORING_CASE, False),
    "stringnotequalsignorecase": (_EQUAL_IGNORING_CASE, True),
    "stringlike": (_LIKE, False),
    "stringnotlike": (_LIKE, True),
    "arnequals": (_arn, False),  # "behave identically"
    "arnlike": (_arn, False),
    "arnnotequals": (_arn, True),
    "arnnotlike": (_arn, True),
    "bool": (_bool, False),
    "binaryequals": (_read(_bytes, operator.eq), False),
    "ipaddress": (_ip, False),
    "notipaddress": (_ip, True),
    **{
        f"{kind}{name}": (_read(read, compare), negated)
        for kind, read in (("numeric", _number), ("date", _date))
        for name, compare, negated in (
            ("equals", operator.eq, False),
            ("notequals", operator.eq, True),
            ("lessthan", operator.lt, False),
            ("lessthanequals", operator.le, False),
            ("greaterthan", operator.gt, False),
            ("greaterthanequals", operator.ge, False),
        )
    },
}
