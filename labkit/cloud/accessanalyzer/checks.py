"""The checks of a policy: each looks at one element and says what it finds there, and where.

AWS page: "IAM Access Analyzer policy validation check reference".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from labkit.cloud.accessanalyzer.locations import Path
from labkit.cloud.iam import conditions
from labkit.cloud.iam.asked import reference
from labkit.cloud.iam.patterns import Malformed, action_matcher

IDENTITY, TRUST = "IDENTITY_POLICY", "TRUST_POLICY"

_TOP = ("Version", "Id", "Statement")
_NAMING = ("Principal", "Action", "Resource")
_ELEMENTS = {"Sid", "Effect", "Condition", *_NAMING, *(f"Not{name}" for name in _NAMING)}
_KEY = re.compile(r"[A-Za-z0-9.-]+:.+")
_SOURCES = ("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths")
_TYPES = {
    "bool": ("boolean", "TYPE_MISMATCH_BOOLEAN"),
    "numeric": ("numeric", "TYPE_MISMATCH_NUMBER"),
    "date": ("date", "TYPE_MISMATCH_DATE"),
    "ipaddress": ("ip", "TYPE_MISMATCH_IP_RANGE"),
    "notipaddress": ("ip", "TYPE_MISMATCH_IP_RANGE"),
}


@dataclass(frozen=True)
class Found:
    """What a check found.

    Args:
        values: what the words of the finding name.
    """

    code: str
    path: Path = ()
    values: dict[str, Any] = field(default_factory=dict)


def findings(document: Any, kind: str) -> Iterator[Found]:
    """What is to be said of a policy document of a kind, element by element."""
    if not isinstance(document, dict):
        yield Found("DATA_TYPE_MISMATCH", (), {"type": "Object"})
        return
    yield from (
        Found("INVALID_POLICY_ELEMENT", (name,), {"element": name})
        for name in document
        if name not in _TOP
    )
    version = document.get("Version")
    if version is None:
        yield Found("MISSING_VERSION")
    elif version not in ("2012-10-17", "2008-10-17"):
        yield Found("INVALID_VERSION", ("Version",), {"version": version})
    statements = document.get("Statement")
    if not statements:
        yield Found("MISSING_STATEMENT")
        return
    seen: set[str] = set()
    for number, one in enumerate(statements if isinstance(statements, list) else [statements]):
        path: Path = ("Statement", number) if isinstance(statements, list) else ("Statement",)
        if not isinstance(one, dict):
            yield Found("DATA_TYPE_MISMATCH", path, {"type": "Object"})
            continue
        yield from _of_sid(one.get("Sid"), (*path, "Sid"), kind, seen)
        yield from _of_statement(one, path, kind)
        if version != "2012-10-17" and "${" in str([one.get("Resource"), one.get("Condition")]):
            yield Found("VARIABLE_UNSUPPORTED_IN_VERSION", path)


def _of_sid(sid: Any, path: Path, kind: str, seen: set[str]) -> Iterator[Found]:
    if sid == "":
        yield Found("EMPTY_SID_VALUE", path)
    if not isinstance(sid, str) or not sid:
        return
    if kind == IDENTITY and not re.fullmatch("[A-Za-z0-9]+", sid):
        yield Found("UNSUPPORTED_SID", path)
    if sid in seen:
        yield Found("UNIQUE_SIDS_REQUIRED", path)
    seen.add(sid)


def _of_statement(one: dict[str, Any], path: Path, kind: str) -> Iterator[Found]:
    for name in one:
        if name not in _ELEMENTS:
            yield Found("INVALID_POLICY_ELEMENT", (*path, name), {"element": name})
    for name in _NAMING:
        if name in one and f"Not{name}" in one:
            values = {"one": name, "other": f"Not{name}"}
            yield Found("UNSUPPORTED_ELEMENT_COMBINATION", path, values)
    if "Effect" not in one:
        yield Found("MISSING_EFFECT", path)
    elif one["Effect"] not in ("Allow", "Deny"):
        yield Found("INVALID_EFFECT", (*path, "Effect"), {"effect": one["Effect"]})
    yield from _of_principal(one, path, kind)
    yield from _of_actions(one, path)
    yield from _of_resources(one, path, kind)
    yield from _of_condition(one.get("Condition"), (*path, "Condition"))
    if one.get("Effect") == "Allow":
        yield from _of_passing(one, path)


def _of_principal(one: dict[str, Any], path: Path, kind: str) -> Iterator[Found]:
    name = "Principal" if "Principal" in one else "NotPrincipal"
    if name not in one:
        if kind != IDENTITY:
            yield Found("MISSING_PRINCIPAL", path)
        return
    path, element = (*path, name), one[name]
    if kind == IDENTITY:
        yield Found("UNSUPPORTED_PRINCIPAL", path, {"kind": kind})
    elif element != "*" and not isinstance(element, dict):
        yield Found("INVALID_PRINCIPAL_FORMAT", path)
    elif isinstance(element, dict):
        for key, names in element.items():
            if key not in ("AWS", "Service", "Federated", "CanonicalUser"):
                yield Found("INVALID_PRINCIPAL_KEY", (*path, key), {"key": key})
            for text, place in _texts(names, (*path, key)):
                if ("*" in text or "?" in text) and not (text == "*" and key == "AWS"):
                    yield Found("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", place, {"key": key})
        if kind != TRUST and "Service" in element and one.get("Effect") == "Allow":
            keys = {key.lower() for _, key, _ in _keys(one.get("Condition"))}
            if keys.isdisjoint(_SOURCES):
                yield Found("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", (*path, "Service"))


def _of_actions(one: dict[str, Any], path: Path) -> Iterator[Found]:
    name = "Action" if "Action" in one else "NotAction"
    if name not in one:
        yield Found("MISSING_ACTION", path)
        return
    if one[name] == []:
        yield Found("EMPTY_ARRAY_ACTION", (*path, name))
    texts = list(_texts(one[name], (*path, name)))
    for text, place in texts:
        service, colon, action = text.partition(":")
        known = reference.services()
        if text == "*" or "*" in service or "?" in service:
            continue
        if not colon:
            yield Found("INVALID_ACTION", place, {"action": text})
        elif service.lower() not in known:
            yield Found("INVALID_SERVICE_IN_ACTION", place, {"service": service})
        elif not _fitting(service.lower(), action):
            yield Found("INVALID_ACTION", place, {"action": text})
    redundant = [text for text, _ in texts if _is_covered(text, [other for other, _ in texts])]
    if redundant:
        values = {"count": len(redundant), "action": redundant[0]}
        yield Found("REDUNDANT_ACTION", (*path, name), values)


def _fitting(service: str, action: str) -> bool:
    fits = action_matcher([action])
    return any(fits(name.lower()) for name in reference.actions(service))


def _is_covered(text: str, every: list[str]) -> bool:
    """Whether another action with a wildcard stands for this one, too."""
    others = [one for one in every if "*" in one and one.lower() != text.lower()]
    return any(action_matcher([one])(text.lower()) for one in others)


def _of_resources(one: dict[str, Any], path: Path, kind: str) -> Iterator[Found]:
    name = "Resource" if "Resource" in one else "NotResource"
    if name not in one:
        if kind == IDENTITY:
            yield Found("MISSING_RESOURCE", path)
        return
    if kind == TRUST:
        yield Found("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", (*path, name))
        return
    if one[name] == []:
        yield Found("EMPTY_ARRAY_RESOURCE", (*path, name))
    for text, place in _texts(one[name], (*path, name)):
        parts = text.split(":", 5)
        if "${}" in text.replace(" ", ""):
            yield Found("EMPTY_VARIABLE", place)
        if text == "*":
            continue
        if parts[0] != "arn":
            yield Found("INVALID_ARN_PREFIX", place)
        elif len(parts) < 6:
            if not text.endswith("*"):
                yield Found("MISSING_ARN_FIELD", place)
        elif not re.fullmatch(r"|\d{12}|aws|.*[*?$].*", parts[4]):
            yield Found("INVALID_ARN_ACCOUNT", place, {"account": parts[4]})


def _of_condition(element: Any, path: Path) -> Iterator[Found]:
    if element == {}:
        yield Found("EMPTY_OBJECT_CONDITION", path)
    for operator, keys in element.items() if isinstance(element, dict) else ():
        if operator.lower().endswith("null" + "ifexists"):
            yield Found("NULL_WITH_IF_EXISTS", (*path, operator))
        elif not conditions.exists(operator) and not operator.lower().endswith(":null"):
            values = {"operator": operator}
            yield Found("INVALID_CONDITION_OPERATOR", (*path, operator), values)
        known: set[str] = set()
        for key in keys if isinstance(keys, dict) else ():
            if key.lower() in known:
                yield Found("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", (*path, operator), {"key": key})
            known.add(key.lower())
    for operator, key, values in _keys(element):
        place = (*path, operator, key)
        if not _KEY.fullmatch(key):
            yield Found("INVALID_CONDITION_KEY_FORMAT", place)
        yield from _of_values(operator, values, place)


def _of_values(operator: str, values: Any, path: Path) -> Iterator[Found]:
    plain = operator.lower().rpartition(":")[2].removesuffix("ifexists")
    kind = next((known for name, known in _TYPES.items() if plain.startswith(name)), None)
    for text, place in _texts(values, path):
        if "${" in text:
            continue
        if plain in ("stringequals", "stringnotequals") and ("*" in text or "?" in text):
            yield Found("WILDCARD_WITHOUT_LIKE_OPERATOR", place)
        if kind is not None:
            try:
                conditions.READERS[kind[0]](text)
            except Malformed:
                yield Found(kind[1], place, {"operator": operator})


def _of_passing(one: dict[str, Any], path: Path) -> Iterator[Found]:
    """iam:PassRole of roles that nobody has named."""
    resources = [text for text, _ in _texts(one.get("Resource", []), path)]
    stars = any(text == "*" or re.search(r":role/\*?$|:role\*$", text) for text in resources)
    keys = {key.lower() for _, key, _ in _keys(one.get("Condition"))}
    if not stars or "iam:passedtoservice" in keys:
        return
    for text, place in _texts(one.get("Action", []), (*path, "Action")):
        if text.lower() == "iam:passrole":
            yield Found("PASS_ROLE_WITH_STAR_IN_RESOURCE", place)
        elif action_matcher([text])("iam:passrole"):
            yield Found("PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", place)


def _keys(element: Any) -> Iterator[tuple[str, str, Any]]:
    """Operator, key and values of each condition that can be read."""
    for operator, keys in element.items() if isinstance(element, dict) else ():
        for key, values in keys.items() if isinstance(keys, dict) else ():
            yield operator, key, values


def _texts(value: Any, path: Path) -> Iterator[tuple[str, Path]]:
    """The texts of an element that has one or a list of them, each with its path."""
    if isinstance(value, str):
        yield value, path
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, str):
                yield one, (*path, index)
