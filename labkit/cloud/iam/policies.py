"""Which policies decide about a principal: its identity's, its boundary, its session's.

AWS pages: "Policies and permissions in AWS Identity and Access Management"; "Permissions boundaries
for IAM entities"; "Session policies".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from labkit.cloud.iam.statements import Document
from labkit.cloud.shared.identity import Principal

IDENTITY, BOUNDARY, SESSION = "identity-based policy", "permissions boundary", "session policy"


def of(principal: Principal) -> dict[str, list[Document]]:
    """The policies by their kind; of every kind that is there one has to allow a request."""
    backend = iam_backends[principal.account_id]["aws"]
    name = (principal.role_arn or principal.arn).rpartition("/")[2]
    if principal.role_arn is None:
        user = backend.users.get(name)
        return {IDENTITY: [] if user is None else list(_of_user(backend, user))}
    role = next((one for one in backend.roles.values() if one.name == name), None)
    if role is None:
        return {IDENTITY: []}
    known = {IDENTITY: [*_inline(role.policies), *_managed(role.managed_policies.values())]}
    if role.permissions_boundary_arn:
        boundary = backend.managed_policies.get(role.permissions_boundary_arn)
        known[BOUNDARY] = list(_managed([boundary] if boundary else []))
    session = sts_backends[principal.account_id]["aws"].get_assumed_role_from_access_key(
        principal.access_key_id
    )
    if session is not None and session.policy:
        known[SESSION] = [Document(session.policy)]
    return known


def _of_user(backend: Any, user: Any) -> Iterator[Document]:
    for one in (user, *backend.get_groups_for_user(user.name)):
        yield from _inline(one.policies)
        yield from _managed(one.managed_policies.values())


def _inline(policies: Any) -> Iterator[Document]:
    for text in policies.values():
        yield Document(text if isinstance(text, str) else json.dumps(text))


def _managed(policies: Iterable[Any]) -> Iterator[Document]:
    for policy in policies:
        default = policy.default_version_id
        yield from (Document(one.document) for one in policy.versions if one.version_id == default)
