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
    """What may be wrong with a document; `tables` of the services have their words for each."""

    JSON = "json"
    SYNTAX = "syntax"
    PRINCIPAL = "principal"
    ACTION = "action"
    RESOURCE = "resource"


class NotOfTheGrammar(Malformed):
    """A document that cannot be kept."""

    def __init__(self, fault: Fault, what: str) -> None:
        super().__init__(what)
        self.fault, self.what = fault, what


_TOP = {"Version", "Id", "Statement"}
_NAMING = ("Principal", "Action", "Resource")
_ELEMENTS = {"Sid", "Effect", "Condition", *_NAMING, *(f"Not{name}" for name in _NAMING)}
_VERSIONS = ("2008-10-17", "2012-10-17")
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[\w*?]+", re.ASCII)
_RESOURCE = re.compile(r"\*|arn:[^:]+:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_PRINCIPALS = {
    "AWS": re.compile(
        r"\*|\d{12}|arn:aws[\w-]*:(iam::\d{12}:(root|(user|role)/.+)"
        r"|sts::\d{12}:(assumed-role/[^/]+/.+|federated-user/.+|self)|iam::cloudfront:user/.+)"
    ),
    "Service": re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|aws\.internal|aws)"),
    "Federated": re.compile(r"\S+"),
    "CanonicalUser": re.compile(r"[0-9a-f]{64}"),
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
    found = document.get("Statement")
    listed: list[Any] = found if isinstance(found, list) else [found]
    _wants(bool(listed) and all(isinstance(one, dict) for one in listed), "Statement")
    sids = [one["Sid"] for one in listed if one.get("Sid")]
    _wants(all(isinstance(one, str) for one in sids), "Sid")
    _wants(len(set(sids)) == len(sids), "Sid")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> Raw:
    found = dict(pairs)
    _wants(len(found) == len(pairs), "an element that is there twice")
    return found


def _check_statement(statement: Raw, kind: Kind) -> None:
    _known(statement, _ELEMENTS)
    _wants(statement.get("Effect") in ("Allow", "Deny"), "Effect")
    given = {name: _given(statement, name) for name in _NAMING}
    if (given["Principal"] is None) is not (kind is Kind.IDENTITY):
        raise NotOfTheGrammar(Fault.PRINCIPAL, "Principal")
    if kind is not Kind.IDENTITY:
        _check_principals(given["Principal"])
    for action in _texts(given["Action"], Fault.ACTION, "Action"):
        if not _ACTION.fullmatch(action):
            raise NotOfTheGrammar(Fault.ACTION, action)
    if kind is Kind.TRUST:
        _wants(given["Resource"] is None, "Resource")
    elif given["Resource"] is not None or kind is not Kind.RESOURCE_ITSELF:
        for resource in _texts(given["Resource"], Fault.RESOURCE, "Resource"):
            if not _RESOURCE.fullmatch(resource):
                raise NotOfTheGrammar(Fault.RESOURCE, resource)
    _check_conditions(statement.get("Condition", {}))


def _given(statement: Raw, name: str) -> Any:
    _wants(not (name in statement and f"Not{name}" in statement), name)
    return statement.get(name, statement.get(f"Not{name}"))


def _check_principals(element: Any) -> None:
    if element == "*":
        return
    if not isinstance(element, dict) or not element or not element.keys() <= _PRINCIPALS.keys():
        raise NotOfTheGrammar(Fault.PRINCIPAL, json.dumps(element))
    for kind, names in element.items():
        for name in _texts(names, Fault.PRINCIPAL, kind):
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


def _texts(value: Any, fault: Fault, what: str) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise NotOfTheGrammar(fault, what)
    return listed


def _known(element: Raw, names: set[str]) -> None:
    for name in element:
        _wants(name in names, name)


def _wants(holds: bool, what: str) -> None:
    if not holds:
        raise NotOfTheGrammar(Fault.SYNTAX, what)
