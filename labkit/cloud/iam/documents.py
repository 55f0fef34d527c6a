"""Whether a policy document is of the grammar, asked where one is put: what is not is never kept.

AWS pages: "Grammar of the IAM JSON policy language"; "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from labkit.cloud.iam import conditions
from labkit.cloud.iam.patterns import Malformed

Raw = dict[str, Any]


class Kind(StrEnum):
    """What a policy is attached to, which decides what its statements have to have."""

    IDENTITY = "identity"
    RESOURCE = "resource"
    RESOURCE_ITSELF = (
        "resource itself"  # whose statements need not name it: "Private repository policies"
    )
    TRUST = "trust"


class Fault(StrEnum):
    """What may be wrong with a document: each service has its own words for some of them."""

    JSON = "json"
    SYNTAX = "syntax"
    SID = "sid"
    EFFECT = "effect"
    PRINCIPAL = "principal"
    ACTION = "action"
    VENDOR = "vendor"
    RESOURCE = "resource"
    NO_STATEMENT = "no statement"
    NO_EFFECT = "no effect"
    NO_PRINCIPAL = "no principal"
    NO_ACTION = "no action"
    NO_RESOURCE = "no resource"


class NotOfTheGrammar(Malformed):
    """A document that cannot be kept."""

    def __init__(self, fault: Fault, what: str) -> None:
        super().__init__(what)
        self.fault, self.what = fault, what


_TOP = {"Version", "Id", "Statement"}
_NAMING = ("Principal", "Action", "Resource")
_ELEMENTS = {"Sid", "Effect", "Condition", *_NAMING, *(f"Not{name}" for name in _NAMING)}
_VERSIONS = ("2008-10-17", "2012-10-17")
_SID = re.compile(r"[0-9A-Za-z]*")
_VENDOR = re.compile(r"[A-Za-z0-9-]+")
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[\w*?]+", re.ASCII)
_RESOURCE = re.compile(r"\*|arn:[^:]+:[^:]+:.+", re.DOTALL)
_PRINCIPALS = {
    "AWS": re.compile(
        r"\*|\d{12}|arn:aws[\w-]*:(iam::\d{12}:(root|(user|role)/.+)"
        r"|sts::\d{12}:(assumed-role/[^/]+/.+|federated-user/.+|self)|iam::cloudfront:user/.+)"
    ),
    "Service": re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|aws\.internal|aws)"),
    "Federated": re.compile(r"\S+"),
    "CanonicalUser": re.compile(r"[0-9a-f]+"),
}


def check(text: str, kind: Kind) -> None:
    """Refuse what is not of the grammar.

    Args:
        text: the document as it came.
        kind: what it is to be attached to.

    Raises:
        NotOfTheGrammar: says what is wrong first.
    """
    for statement in statements(_document(text)):
        _check_statement(statement, kind)


def statements(document: Raw) -> list[Raw]:
    """The statements of a document, of which it may have one without a list."""
    found = document["Statement"]
    return found if isinstance(found, list) else [found]


def _document(text: str) -> Raw:
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, NotOfTheGrammar):
            raise
        raise NotOfTheGrammar(Fault.JSON, "no JSON") from error
    if not isinstance(document, dict):
        raise NotOfTheGrammar(Fault.JSON, "no JSON object")
    _known(document, _TOP)
    _wants(document.get("Version", _VERSIONS[0]) in _VERSIONS, "Version")
    _wants(isinstance(document.get("Id", ""), str), "Id")
    _has(document, "Statement", Fault.NO_STATEMENT)
    found = document["Statement"]
    listed: list[Any] = found if isinstance(found, list) else [found]
    _wants(bool(listed) and all(isinstance(one, dict) for one in listed), "Statement")
    sids = [one["Sid"] for one in listed if one.get("Sid")]
    _wants(all(isinstance(one, str) for one in sids), "Sid")
    if len(set(sids)) != len(sids):
        raise NotOfTheGrammar(Fault.SID, "in a single policy must be unique")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> Raw:
    found = dict(pairs)
    _wants(len(found) == len(pairs), "an element that is there twice")
    return found


def _check_statement(statement: Raw, kind: Kind) -> None:
    _known(statement, _ELEMENTS)
    _has(statement, "Effect", Fault.NO_EFFECT)
    if statement["Effect"] not in ("Allow", "Deny"):
        raise NotOfTheGrammar(Fault.EFFECT, str(statement["Effect"]))
    given = {name: _given(statement, name) for name in _NAMING}
    if kind in (Kind.IDENTITY, Kind.TRUST) and not _SID.fullmatch(statement.get("Sid", "")):
        expression = f"Check that your input satisfies the regular expression {_SID.pattern}"
        raise NotOfTheGrammar(Fault.SID, f"must be alpha-numeric. {expression}")
    if kind is Kind.IDENTITY:
        if given["Principal"] is not None:
            raise NotOfTheGrammar(Fault.PRINCIPAL, "Principal")
    else:
        _check_principals(given["Principal"])
    for action in _texts(given["Action"], Fault.NO_ACTION):
        _check_action(action, kind)
    if kind is Kind.TRUST:
        if given["Resource"] is not None:
            raise NotOfTheGrammar(Fault.RESOURCE, "Resource")
    elif given["Resource"] is not None or kind is not Kind.RESOURCE_ITSELF:
        for resource in _texts(given["Resource"], Fault.NO_RESOURCE):
            if not _RESOURCE.fullmatch(resource):
                raise NotOfTheGrammar(Fault.RESOURCE, resource)
    _check_conditions(statement.get("Condition", {}))


def _check_action(action: str, kind: Kind) -> None:
    vendor, colon, _ = action.partition(":")
    if kind is Kind.TRUST and vendor.lower() != "sts":
        raise NotOfTheGrammar(Fault.ACTION, action)
    if colon and not _VENDOR.fullmatch(vendor):
        raise NotOfTheGrammar(Fault.VENDOR, vendor)
    if not _ACTION.fullmatch(action):
        raise NotOfTheGrammar(Fault.ACTION, action)


def _given(statement: Raw, name: str) -> Any:
    _wants(not (name in statement and f"Not{name}" in statement), name)
    return statement.get(name, statement.get(f"Not{name}"))


def resources(text: str) -> Iterator[str]:
    """The resources that a document of the grammar names, or excepts."""
    for statement in statements(json.loads(text)):
        if (named := _given(statement, "Resource")) is not None:
            yield from _texts(named, Fault.NO_RESOURCE)


def principals(text: str) -> Iterator[tuple[str, str]]:
    """Kind and name of each principal that a document of the grammar names."""
    for statement in statements(json.loads(text)):
        for kind, names in _principals(_given(statement, "Principal")):
            for name in _texts(names, Fault.NO_PRINCIPAL):
                yield kind, name


def _principals(element: Any) -> Iterator[tuple[str, Any]]:
    if element == "*":
        return
    if not element:
        raise NotOfTheGrammar(Fault.NO_PRINCIPAL, "Principal")
    if not isinstance(element, dict) or not element.keys() <= _PRINCIPALS.keys():
        raise NotOfTheGrammar(Fault.PRINCIPAL, json.dumps(element))
    yield from element.items()


def _check_principals(element: Any) -> None:
    for kind, names in _principals(element):
        for name in _texts(names, Fault.NO_PRINCIPAL):
            if not _PRINCIPALS[kind].fullmatch(name):
                raise NotOfTheGrammar(Fault.PRINCIPAL, f'"{kind}":"{name}"')


def _check_conditions(element: Any) -> None:
    for operator, keys in _object(element):
        _wants(conditions.exists(operator), operator)
        for key, values in _object(keys):
            listed = values if isinstance(values, list) else [values]
            scalars = all(isinstance(one, (str, bool, int, float)) for one in listed)
            _wants(bool(listed) and scalars, key)


def _object(element: Any) -> Iterator[tuple[str, Any]]:
    _wants(isinstance(element, dict), "Condition")
    yield from element.items()


def _texts(value: Any, missing: Fault) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    if value is None or not listed:
        raise NotOfTheGrammar(missing, missing)
    _wants(all(isinstance(one, str) for one in listed), str(value))
    return listed


def _has(element: Raw, name: str, missing: Fault) -> None:
    if element.get(name) is None:
        raise NotOfTheGrammar(missing, name)


def _known(element: Raw, names: set[str]) -> None:
    for name in element:
        _wants(name in names, name)


def _wants(holds: bool, what: str) -> None:
    if not holds:
        raise NotOfTheGrammar(Fault.SYNTAX, what)
