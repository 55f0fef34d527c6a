"""Which policies decide about a principal: its organization's, its identity's, its boundary, its session's.

AWS pages: "Policies and permissions in AWS Identity and Access Management"; "Permissions boundaries
for IAM entities"; "Session policies".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from moto.iam.models import iam_backends

from labkit.cloud.iam import organization, sessions
from labkit.cloud.iam.decision import Policies
from labkit.cloud.iam.statements import Policy
from labkit.cloud.shared.identity import Principal, assumed_role


def of(principal: Principal, identity: Any | None) -> Policies:
    """The policies by their kind.

    Args:
        identity: `state.identity` of the principal.
    """
    if identity is None:
        return Policies()
    scps = organization.scps(principal)
    backend, boundary = iam_backends[principal.account_id]["aws"], None
    if arn := getattr(identity, "permissions_boundary_arn", None):
        known = backend.managed_policies.get(arn)
        # one that is gone allows nothing
        boundary = next(_managed([known] if known else []), Policy("{}"))
    if principal.role_arn is None:
        return Policies(tuple(_of_user(backend, identity)), boundary, scps=scps)
    return Policies(
        (*_inline(identity.policies), *_managed(identity.managed_policies.values())),
        boundary,
        _of_session(backend, principal),
        scps,
    )


def _of_session(backend: Any, principal: Principal) -> tuple[Policy, ...] | None:
    """Those passed when the role was assumed, inline or by their ARN; None without any."""
    session, arns = assumed_role(principal.access_key_id), sessions.of(principal).policies
    inline = (Policy(session.policy),) if session is not None and session.policy else ()
    if not inline and not arns:
        return None
    # one that is gone allows nothing
    known = (backend.managed_policies.get(arn) for arn in arns)
    return (*inline, *_managed(policy for policy in known if policy is not None))


def _of_user(backend: Any, user: Any) -> Iterator[Policy]:
    for one in (user, *backend.get_groups_for_user(user.name)):
        yield from _inline(one.policies)
        yield from _managed(one.managed_policies.values())


def _inline(policies: Any) -> Iterator[Policy]:
    for name, text in policies.items():
        yield Policy(text if isinstance(text, str) else json.dumps(text), name)


def _managed(policies: Iterable[Any]) -> Iterator[Policy]:
    for policy in policies:
        default = policy.default_version_id
        for one in policy.versions:
            if one.version_id == default:
                yield Policy(one.document, policy.name, policy.arn)
