"""Sessions of roles: how long they may be, and the tags, policies and identity that they carry.

AWS pages: "AssumeRole" in the AWS STS API Reference; "Pass session tags in AWS STS"; "Monitor and control
actions taken with assumed roles" (source identity); "Methods to assume a role" (role chaining).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole
from moto.sts.responses import TokenResponse

from labkit.cloud.iam import state
from labkit.cloud.shared.identity import Principal, assumed_role
from labkit.cloud.shared.service import AWSError

_HOUR = 3600


@dataclass(frozen=True)
class Session:
    """What a session carries beside its credentials.

    Args:
        tags: name -> value; they hide the role's own.
        transitive: the names of those that the next session in a chain of roles has, too.
        policies: the ARNs of managed policies that limit it.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()
    policies: tuple[str, ...] = ()
    source_identity: str | None = None
    issued: datetime = field(default_factory=lambda: datetime.now(UTC))


_NONE = Session()
_kept: WeakKeyDictionary[AssumedRole, Session] = WeakKeyDictionary()


def of(principal: Principal) -> Session:
    """The session of a role that a principal is; an empty one of who is none."""
    known = assumed_role(principal.access_key_id) if principal.role_arn else None
    return _NONE if known is None else _kept.get(known, _NONE)


def start() -> None:
    """Have AssumeRole ask, and keep, what moto does not: called once, when STS is first asked for."""
    original = TokenResponse.assume_role

    def assume_role(self: TokenResponse) -> ActionResult:
        principal: Principal = self.normalized_request.environ["labkit.principal"]
        _check_duration(principal, self.params)
        session = _session(of(principal), self.params)
        answer = original(self)
        result: Any = answer.result
        _kept[result["Credentials"]] = session
        result["SourceIdentity"] = session.source_identity
        return answer

    TokenResponse.assume_role = assume_role  # type: ignore[method-assign]


def _check_duration(principal: Principal, given: Mapping[str, Any]) -> None:
    wanted = int(given.get("DurationSeconds") or _HOUR)
    if principal.role_arn and wanted > _HOUR:
        raise AWSError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
            "chaining.",
        )
    arn = state.parsed(given["RoleArn"])
    role = arn and state.role(arn.account_id, arn.rest.rpartition("/")[2])
    if wanted > int(getattr(role, "max_session_duration", None) or _HOUR):
        raise AWSError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )


def _session(caller: Session, given: Mapping[str, Any]) -> Session:
    passed = given.get("Tags", [])
    tags = {tag["Key"]: tag.get("Value", "") for tag in passed}
    names = {name.lower() for name in tags}
    inherited = {
        name: value for name, value in caller.tags.items() if name.lower() in caller.transitive
    }
    transitive = {name.lower() for name in given.get("TransitiveTagKeys", [])}
    if len(names) < len(passed):
        raise _invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if not names.isdisjoint(caller.transitive):
        raise _invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a "
            "transitive tag key from the calling session."
        )
    if not transitive <= names:
        raise _invalid("The specified transitive tag key must be included in the requested tags.")
    identity = given.get("SourceIdentity")
    if caller.source_identity and identity not in (None, caller.source_identity):
        raise AWSError("AccessDenied", "Source identity of a session cannot be changed.")
    arns = tuple(one["arn"] for one in given.get("PolicyArns", []))
    _check_policies(given["RoleArn"], arns)
    return Session(
        {**inherited, **tags},
        frozenset(transitive | caller.transitive),
        arns,
        identity or caller.source_identity,
    )


def _check_policies(role_arn: str, arns: tuple[str, ...]) -> None:
    account = role_arn.split(":")[4]
    for arn in arns:
        if arn not in iam_backends[account]["aws"].managed_policies:
            message = f"Policy {arn} does not exist or is not attachable."
            raise AWSError("MalformedPolicyDocument", message)


def _invalid(message: str) -> AWSError:
    return AWSError("InvalidParameterValue", message)
