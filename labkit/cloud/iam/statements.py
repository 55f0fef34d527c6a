"""What the statements of a policy match: actions, resources and conditions.

AWS pages: "IAM JSON policy elements reference"; "IAM JSON policy elements: Condition operators";
"IAM JSON policy elements: Variables and tags".
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_LITERAL = {"*": "*", "?": "?", "$": "$"}  # ${*} is the character


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        context: the values of each condition key, by its name in lower case.
        variables: whether the policy's version knows policy variables.
    """

    action: str
    resource: str
    context: Mapping[str, list[str]]
    variables: bool = True


@dataclass(frozen=True)
class Document:
    """One policy."""

    text: str

    def has(self, request: Request, effect: str) -> bool:
        """Whether a statement of this effect (Allow or Deny) matches the request."""
        policy = _parsed(self.text)
        # without a version it is of 2008-10-17, to which ${aws:username} is a text like any other
        asked = replace(request, variables=policy.get("Version") == "2012-10-17")
        return any(
            statement.get("Effect") == effect and _matches(statement, asked)
            for statement in _listed(policy.get("Statement"))
        )


@cache
def _parsed(text: str) -> Any:
    return json.loads(text)


def _matches(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _named(statement, "Action", lambda one: _like(one.lower(), request.action.lower()))
        and _named(
            statement,
            "Resource",
            lambda one: _like(_filled(one, request), request.resource),
        )
        and all(
            _holds(name, keys, request) for name, keys in (statement.get("Condition") or {}).items()
        )
    )


def _named(statement: Mapping[str, Any], element: str, fits: Callable[[str], bool]) -> bool:
    if f"Not{element}" in statement:
        return not any(fits(one) for one in _listed(statement[f"Not{element}"]))
    return any(fits(one) for one in _listed(statement.get(element)))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _like(pattern: str, value: str) -> bool:
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _filled(text: str, request: Request) -> str:
    """The text with its policy variables in it; one without a value matches nothing."""
    if not request.variables:
        return text

    def value(found: re.Match[str]) -> str:
        name, _, default = (part.strip() for part in found[1].partition(","))
        if name in _LITERAL:
            return _LITERAL[name]
        known = request.context.get(name.lower()) or []
        return known[0] if len(known) == 1 else default.strip("'") or "\0"

    return _VARIABLE.sub(value, text)


def _holds(name: str, keys: Mapping[str, Any], request: Request) -> bool:
    """Whether all keys of one operator (`ForAnyValue:StringLikeIfExists`) hold."""
    quantity, _, plain = name.rpartition(":")
    if_exists, plain = plain.endswith("IfExists"), plain.removesuffix("IfExists")
    for key, wanted in keys.items():
        values = request.context.get(key.lower(), [])
        texts = [_filled(str(one), request) for one in _listed(wanted)]
        if plain == "Null":
            if str(not values).lower() not in (one.lower() for one in texts):
                return False
        elif not values:
            if not (if_exists or quantity == "ForAllValues" or _is_negated(plain)):
                return False
        elif not _compared(plain, quantity, values, texts):
            return False
    return True


def _is_negated(plain: str) -> bool:
    return plain.startswith(("StringNot", "ArnNot", "NumericNot", "DateNot", "NotIp"))


def _compared(plain: str, quantity: str, values: Iterable[str], wanted: list[str]) -> bool:
    fits, negated = _OPERATORS[plain]

    def one(value: str) -> bool:
        return any(fits(value, text) for text in wanted) is not negated

    return (all if quantity == "ForAllValues" else any)(one(value) for value in values)


def _arn_like(value: str, pattern: str) -> bool:
    given, wanted = value.split(":", 5), pattern.split(":", 5)
    return len(given) == len(wanted) and all(map(_like, wanted, given))


def _date(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _in_network(value: str, network: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)


def _by(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Any:
    return lambda value, text: compare(read(value), read(text))


# operator: what it does with a value of the request and one of the policy; whether it is negated
_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (operator.eq, False),
    "StringNotEquals": (operator.eq, True),
    "StringEqualsIgnoreCase": (_by(str.lower, operator.eq), False),
    "StringNotEqualsIgnoreCase": (_by(str.lower, operator.eq), True),
    "StringLike": (lambda value, text: _like(text, value), False),
    "StringNotLike": (lambda value, text: _like(text, value), True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Bool": (_by(str.lower, operator.eq), False),
    "BinaryEquals": (operator.eq, False),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
    **{
        f"{kind}{name}": (_by(read, compare), negated)
        for kind, read in (("Numeric", float), ("Date", _date))
        for name, compare, negated in (
            ("Equals", operator.eq, False),
            ("NotEquals", operator.eq, True),
            ("LessThan", operator.lt, False),
            ("LessThanEquals", operator.le, False),
            ("GreaterThan", operator.gt, False),
            ("GreaterThanEquals", operator.ge, False),
        )
    },
}
