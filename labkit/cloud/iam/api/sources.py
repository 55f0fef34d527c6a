"""The policies that a simulation is of: those of a principal, and those that come with the request.

AWS pages: "SimulatePrincipalPolicy" and "Statement" in the IAM API Reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.iam.models import IAMBackend

from labkit.cloud.iam import documents, state
from labkit.cloud.iam.documents import NotOfTheGrammar
from labkit.cloud.iam.statements import Policy
from labkit.cloud.shared.service import AWSError

_ENTITY = re.compile(r"arn:aws:iam::(\d{12}):(user|group|role)/(?:.*/)?([\w+=,.@-]+)")


@dataclass(frozen=True)
class Source(Policy):
    """A policy that knows what it is.

    Args:
        kind: `SourcePolicyType` of a statement of it.
    """

    kind: str = "none"


@dataclass(frozen=True)
class Entity:
    """A user, group or role, with its policies.

    Args:
        kind: `user`, `group` or `role`.
    """

    arn: str
    kind: str
    policies: tuple[Source, ...]
    boundary: Source | None = field(default=None)


def entity(backend: IAMBackend, arn: str) -> Entity:
    """Whom a PolicySourceArn names; a user has the policies of their groups, too.

    Raises:
        AWSError: `InvalidInput`, if it names no user, group or role; `NoSuchEntity`.
    """
    named = _ENTITY.fullmatch(arn)
    if named is None:
        message = f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
        raise AWSError("InvalidInput", message)
    account, kind, name = named.groups()
    known: dict[str, Any] = backend.groups if kind == "group" else backend.users
    found = state.role(account, name) if kind == "role" else known.get(name)
    if found is None or account != backend.account_id or found.arn != arn:
        raise AWSError("NoSuchEntity", f"The {kind} with name {name} cannot be found.")
    own = list(_attached(found, kind))
    for group in backend.get_groups_for_user(name) if kind == "user" else ():
        own += _attached(group, "group")
    return Entity(arn, kind, tuple(own), _boundary(backend, found))


def given(texts: Iterable[str], name: str) -> tuple[Source, ...]:
    """Policies of the request, named as the simulator names them: `PolicyInputList.1`.

    Raises:
        AWSError: `InvalidInput`, for what is not of the grammar.
    """
    return tuple(one(text, f"{name}.{number}") for number, text in enumerate(texts, 1))


def one(text: str, name: str, kind: str = "none") -> Source:
    """A policy of the request.

    Args:
        kind: `resource` for a resource's own.

    Raises:
        AWSError: `InvalidInput`, for what is not of the grammar.
    """
    grammar = documents.Kind.RESOURCE_ITSELF if kind == "resource" else documents.Kind.IDENTITY
    try:
        documents.check(text, grammar)
    except NotOfTheGrammar as error:
        message = f"Invalid policy document {name}: {error.fault} error at {error.what}."
        raise AWSError("InvalidInput", message) from error
    return Source(text, name, kind=kind)


def _attached(holder: Any, kind: str) -> Iterator[Source]:
    for name, text in holder.policies.items():
        yield Source(text if isinstance(text, str) else json.dumps(text), name, kind=kind)
    for policy in holder.managed_policies.values():
        yield managed(policy)


def managed(policy: Any) -> Source:
    """A managed policy, as its default version has it."""
    text = next(
        one.document for one in policy.versions if one.version_id == policy.default_version_id
    )
    kind = "aws-managed" if ":iam::aws:" in policy.arn else "user-managed"
    return Source(text, policy.name, policy.arn, kind)


def _boundary(backend: IAMBackend, holder: Any) -> Source | None:
    arn = getattr(holder, "permissions_boundary_arn", None)
    if not arn:
        return None
    known = backend.managed_policies.get(arn)
    # one that is gone allows nothing
    return managed(known) if known else Source('{"Statement": []}', arn, arn, "user-managed")
