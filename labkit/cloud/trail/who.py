"""Who asked, as a record says it: `userIdentity`.

AWS page: "CloudTrail userIdentity element".
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from labkit.cloud.iam import state
from labkit.cloud.shared.identity import Principal

_HOSTS = "ec2.amazonaws.com"


def identity(principal: Principal, *, by_service: bool) -> dict[str, Any]:
    """The element for a principal.

    Args:
        by_service: the service itself asks, in the session of a role it acts as; not the commands, the
            host or the function that has its keys too.
    """
    if principal.service:
        return {"type": "AWSService", "invokedBy": principal.service}
    if principal.role_arn is None:
        return _user(principal)
    known = _session(principal.access_key_id, principal)
    invoked = {"invokedBy": principal.invoked_by} if by_service and principal.invoked_by else {}
    return known | invoked


def name(identity: dict[str, Any]) -> str | None:
    """The `Username` that LookupEvents has: a user's name, or the name of a role's session."""
    match identity["type"]:
        case "Root":
            return "root"
        case "AssumedRole":
            return str(identity["arn"]).rpartition("/")[2]
        case _:
            return identity.get("userName")


def _user(principal: Principal) -> dict[str, Any]:
    shared = {
        "arn": principal.arn,
        "accountId": principal.account_id,
        "accessKeyId": principal.access_key_id,
    }
    if principal.arn.endswith(":root"):
        return {"type": "Root", "principalId": principal.account_id, **shared}
    known = state.identity(principal)
    name = principal.arn.rpartition("/")[2]
    return {
        "type": "IAMUser",
        "principalId": getattr(known, "id", name),
        **shared,
        "userName": name,
    }


@lru_cache(maxsize=4096)
def _session(access_key_id: str, principal: Principal) -> dict[str, Any]:
    role_arn = principal.role_arn or ""
    role, session = role_arn.rpartition("/")[2], principal.arn.rpartition("/")[2]
    unique = getattr(state.identity(principal), "id", role)
    issuer = {
        "type": "Role",
        "principalId": unique,
        "arn": role_arn,
        "accountId": principal.account_id,
        "userName": role,
    }
    attributes = {"creationDate": _now(), "mfaAuthenticated": "false"}
    context: dict[str, Any] = {"sessionIssuer": issuer, "attributes": attributes}
    if principal.invoked_by == _HOSTS:
        context["ec2RoleDelivery"] = "2.0"
    return {
        "type": "AssumedRole",
        "principalId": f"{unique}:{session}",
        "arn": principal.arn,
        "accountId": principal.account_id,
        "accessKeyId": access_key_id,
        "sessionContext": context,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
