"""Policies, and what their statements match: whom, which actions, which resources, on what condition.

A policy is compiled once for as long as its text is in use. A statement that is not of the grammar
allows nothing and, if it denies, denies everything: as on AWS, where an error closes.

AWS pages: "IAM JSON policy elements reference"; "Grammar of the IAM JSON policy language".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.cloud.iam.conditions import Condition, condition
from labkit.cloud.iam.patterns import Context, Malformed, Matcher, action_matcher, resource_matcher
from labkit.cloud.iam.principals import Caller, Named, Principals, principals

_NOWHERE: Context = {}


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        action: `codepipeline:PutApprovalResult`.
        resource: the ARN of what it is done to, or `*` if the action has no resource.
        account_id: of the resource.
        context: the values of each condition key, by its name in lower case.
    """

    caller: Caller
    action: str
    resource: str
    account_id: str
    context: Context


@dataclass(frozen=True)
class Policy:
    """One policy document.

    Args:
        text: its JSON.
        name: what it is called, for those who look for it.
        arn: of a managed policy.
    """

    text: str
    name: str = ""
    arn: str = ""

    def statements(self, request: Request, *, deny: bool) -> Iterator[Statement]:
        """Those of one effect that match action, resource and conditions; whom is still to be asked."""
        known = _candidates(compiled(self.text), request.action, request.resource)
        for statement in known.denies if deny else known.allows:
            if statement.holds(request):
                yield statement


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement; `principals` is None in a policy of an identity."""

    number: int  # in its document, from 0
    sid: str
    deny: bool
    principals: Principals | None
    spares: bool  # whether it is NotPrincipal that names them
    actions: Callable[[str], bool]
    resources: Callable[[str, Context], bool] | None  # None: whatever the policy is attached to
    with_variables: bool  # whether the resources depend on the request's context
    conditions: tuple[Condition, ...]

    def holds(self, request: Request) -> bool:
        if self.with_variables and not self.is_on(request.resource, request.context):
            return False
        return all(holds(request.context) for holds in self.conditions)

    def is_on(self, resource: str, context: Context) -> bool:
        return self.resources is None or self.resources(resource, context)

    def names(self, caller: Caller) -> Named:
        """How it names the caller, for a policy of a resource."""
        if self.principals is None:
            return Named.NOT
        if not self.spares:
            return self.principals.name(caller)
        spared = self.principals.except_for if self.deny else self.principals.names_any
        return Named.NOT if spared(caller) else Named.ITSELF


@dataclass(frozen=True, eq=False)
class Compiled:
    """The statements of a policy, by effect."""

    allows: tuple[Statement, ...]
    denies: tuple[Statement, ...]

    def only(self, fits: Callable[[Statement], bool]) -> Compiled:
        return Compiled(tuple(filter(fits, self.allows)), tuple(filter(fits, self.denies)))


@lru_cache(maxsize=32768)
def _candidates(policy: Compiled, action: str, resource: str) -> Compiled:
    """What may match, so that a policy of many statements costs no more than one of few."""
    named = _of_action(policy, action.lower())
    return named.only(lambda one: one.with_variables or one.is_on(resource, _NOWHERE))


@lru_cache(maxsize=32768)
def _of_action(policy: Compiled, action: str) -> Compiled:
    return policy.only(lambda one: one.actions(action))


@lru_cache(maxsize=8192)
def compiled(text: str) -> Compiled:
    """The statements of a document; none, if it is no JSON object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return Compiled((), ())
    # without a version it is of 2008-10-17, to which ${aws:username} is a text like any other
    variables = document.get("Version") == "2012-10-17"
    listed = enumerate(_listed(document.get("Statement")))
    found = [_statement(number, raw, variables) for number, raw in listed]
    return Compiled(
        tuple(one for one in found if one and not one.deny),
        tuple(one for one in found if one and one.deny),
    )


def _statement(number: int, raw: Any, variables: bool) -> Statement | None:
    if not isinstance(raw, dict) or raw.get("Effect") not in ("Allow", "Deny"):
        return None
    deny = raw["Effect"] == "Deny"
    try:
        return _read(number, raw, variables, deny)
    except Malformed:
        return _everything(number, raw) if deny else None


def _read(number: int, raw: Mapping[str, Any], variables: bool, deny: bool) -> Statement:
    named, spares = _element(raw, "Principal")
    actions, other_actions = _element(raw, "Action")
    resources, other_resources = _element(raw, "Resource")
    if actions is None or (resources is None and named is None):
        raise Malformed("Statement")
    texts = [] if resources is None else _texts(resources)
    return Statement(
        number=number,
        sid=str(raw.get("Sid", "")),
        deny=deny,
        principals=None if named is None else principals(named),
        spares=spares,
        actions=_actions(_texts(actions), other_actions),
        resources=None if resources is None else _resources(texts, variables, other_resources),
        with_variables=variables and any("${" in text for text in texts),
        conditions=tuple(_conditions(raw.get("Condition"), variables, deny)),
    )


def _everything(number: int, raw: Mapping[str, Any]) -> Statement:
    everyone = principals("*") if "Principal" in raw or "NotPrincipal" in raw else None
    return Statement(
        number, str(raw.get("Sid", "")), True, everyone, False, lambda action: True, None, False, ()
    )


def _element(raw: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """The element and whether it is the one with `Not`."""
    if name in raw and f"Not{name}" in raw:
        raise Malformed(name)
    return raw.get(name, raw.get(f"Not{name}")), f"Not{name}" in raw


def _actions(names: list[str], other: bool) -> Callable[[str], bool]:
    for name in names:
        service, colon, _ = name.partition(":")
        if name != "*" and (not colon or "*" in service or "?" in service):
            raise Malformed(name)
    fits = action_matcher(names)
    return (lambda action: not fits(action)) if other else fits


def _resources(names: list[str], variables: bool, other: bool) -> Matcher:
    fits = resource_matcher(names, variables=variables)
    return (lambda resource, context: not fits(resource, context)) if other else fits


def _conditions(raw: Any, variables: bool, deny: bool) -> Iterable[Condition]:
    for name, keys in _object(raw or {}).items():
        for key, wanted in _object(keys).items():
            texts = [_scalar(one) for one in _listed(wanted)]
            yield condition(name, key, texts, variables=variables, deny=deny)


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Malformed("Condition")
    return raw


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise Malformed("Condition")
    return str(value)


def _texts(value: Any) -> list[str]:
    texts = _listed(value)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Malformed(str(value))
    return texts


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
