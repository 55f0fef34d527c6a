"""How the policies that apply to a request combine: AWS's flow chart, from deny to session policy.

A request walks it so: an explicit deny anywhere ends it; the organization has to allow it; the
resource's own policy may grant it, in the same account as directly as it names who asks; else
(and always across accounts) the identity's policies have to, within its boundary and its session.

AWS pages: "How AWS enforcement code logic evaluates requests to allow or deny access"; "Policy
evaluation for requests within a single account"; "Cross-account policy evaluation logic".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from labkit.cloud.iam.principals import Named
from labkit.cloud.iam.statements import Policy, Request, Statement


class Kind(StrEnum):
    """Of policies, in AWS's words for a denial and in the order of the flow chart."""

    SCP = "service control policy"
    RCP = "resource control policy"
    RESOURCE = "resource-based policy"
    TRUST = "role trust policy"
    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


class Of(StrEnum):
    """What the request's resource is, where that decides whether its own policy is always needed."""

    ANYTHING = "anything"
    KEY = "key"  # "Key policies in AWS KMS"
    ROLE = "role"  # "How to use trust policies with IAM roles"


@dataclass(frozen=True)
class Policies:
    """The policies that apply to a request.

    Args:
        identity: inline, managed and groups' ones of who asks.
        boundary: None if it has none.
        session: those passed when the session was made; None if there were none.
        scps: from the root of the organization to the account, what is attached to each; None if
            there is no organization, or they do not apply.
        rcps: all from the root of the organization to the account of the resource; they only deny.
        resource: the resource's own, or None.
        grants: of a KMS key, each written as a policy of the key that names its grantee.
        of: what the resource is.
    """

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    session: tuple[Policy, ...] | None = None
    scps: tuple[tuple[Policy, ...], ...] | None = None
    rcps: tuple[Policy, ...] = ()
    resource: Policy | None = None
    grants: tuple[Policy, ...] = ()
    of: Of = Of.ANYTHING

    @property
    def resource_kind(self) -> Kind:
        return Kind.TRUST if self.of is Of.ROLE else Kind.RESOURCE


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and what said so.

    Args:
        explicit: whether a statement denies it, not merely none allows it.
        kind: of the policy that allows or denies it, or that would have had to allow it; None for an
            account's root user, who needs none.
        policy: the one that decided, if a statement did.
        sid: of that statement.
    """

    allowed: bool
    explicit: bool = False
    kind: Kind | None = None
    policy: Policy | None = None
    sid: str = ""


_NOTHING = Decision(False)


def decide(request: Request, policies: Policies) -> Decision:
    """Decide a request by all the policies that apply to it."""
    return _denied(request, policies) or _decided(request, policies)


def _denied(request: Request, policies: Policies) -> Decision | None:
    for kind, policy, statement in _denials(request, policies):
        return Decision(False, True, kind, policy, statement.sid)
    return None


def _denials(request: Request, policies: Policies) -> Iterator[tuple[Kind, Policy, Statement]]:
    for kind, documents in _of_callers(request, policies):
        for policy in documents:
            for statement in policy.statements(request, deny=True):
                if statement.principals is None:
                    yield kind, policy, statement
    for policy in policies.rcps:  # whose principal is everyone
        for statement in policy.statements(request, deny=True):
            yield Kind.RCP, policy, statement
    if policies.resource is not None:
        for statement in policies.resource.statements(request, deny=True):
            if _names(statement, request, policies):
                yield policies.resource_kind, policies.resource, statement


def deciding(
    decision: Decision, request: Request, policies: Policies
) -> list[tuple[Policy, Statement]]:
    """All statements that a decision rests on: those that deny, or else those that allow.

    None, where nothing allows it. AWS page: "EvaluationResult" in the IAM API Reference.
    """
    if decision.explicit:
        return [(policy, statement) for _, policy, statement in _denials(request, policies)]
    if not decision.allowed:
        return []
    found = [
        (policy, statement)
        for policy in policies.identity
        for statement in policy.statements(request, deny=False)
        if statement.principals is None
    ]
    if policies.resource is not None:
        for statement in policies.resource.statements(request, deny=False):
            if statement.names(request.caller) is not Named.NOT:
                found.append((policies.resource, statement))
    return found


def within(kind: Kind, documents: Iterable[Policy], request: Request) -> bool:
    """Whether policies that limit, such as a boundary, leave a request allowed."""
    documents = tuple(documents)
    denied = any(
        statement.principals is None
        for policy in documents
        for statement in policy.statements(request, deny=True)
    )
    return not denied and _allowed(kind, documents, request).allowed


def _of_callers(request: Request, policies: Policies) -> Iterator[tuple[Kind, Iterable[Policy]]]:
    if request.caller.has_identity:
        yield Kind.SCP, (policy for level in policies.scps or () for policy in level)
        yield Kind.IDENTITY, policies.identity
        yield Kind.BOUNDARY, (policies.boundary,) if policies.boundary else ()
        yield Kind.SESSION, policies.session or ()


def _names(statement: Statement, request: Request, policies: Policies) -> bool:
    """A NotPrincipal that denies spares nobody who has a boundary.

    AWS page: "Permissions boundaries for IAM entities".
    """
    bounded = statement.spares and policies.boundary is not None
    return bounded or statement.names(request.caller) is not Named.NOT


def _decided(request: Request, policies: Policies) -> Decision:
    caller = request.caller
    for level in policies.scps or () if caller.has_identity else ():
        if not _allowed(Kind.SCP, level, request).allowed:
            return Decision(False, kind=Kind.SCP)
    named, granted = _granted(request, policies)
    same_account = caller.account_id == request.account_id
    needed = not caller.has_identity or not same_account or policies.of is not Of.ANYTHING
    if needed and named is Named.NOT:
        return Decision(False, kind=policies.resource_kind)
    if not caller.has_identity or (same_account and named is Named.ITSELF):
        return granted
    if caller.is_root:
        return Decision(True)
    if not same_account or named is not Named.ISSUER:
        granted = _allowed(Kind.IDENTITY, policies.identity, request)
    return _limited(granted, request, policies)


def _limited(granted: Decision, request: Request, policies: Policies) -> Decision:
    """What boundary and session leave of it."""
    limits: list[tuple[Kind, tuple[Policy, ...]]] = []
    if policies.boundary is not None:
        limits.append((Kind.BOUNDARY, (policies.boundary,)))
    if policies.session is not None or request.caller.is_federated_user:
        limits.append((Kind.SESSION, policies.session or ()))
    for kind, documents in limits if granted.allowed else ():
        limit = _allowed(kind, documents, request)
        if not limit.allowed:
            return limit
    return granted


def _allowed(kind: Kind, documents: Iterable[Policy], request: Request) -> Decision:
    """Whether a policy of an identity allows it."""
    for policy in documents:
        for statement in policy.statements(request, deny=False):
            if statement.principals is None:
                return Decision(True, kind=kind, policy=policy, sid=statement.sid)
    return Decision(False, kind=kind)


def _granted(request: Request, policies: Policies) -> tuple[Named, Decision]:
    """How directly the resource's own policy, or a grant on it, names the caller, and where."""
    best, found = Named.NOT, _NOTHING
    own = () if policies.resource is None else (policies.resource,)
    for policy in (*own, *policies.grants):
        for statement in policy.statements(request, deny=False):
            named = statement.names(request.caller)
            if named > best:
                best = named
                found = Decision(True, False, policies.resource_kind, policy, statement.sid)
    return best, found


def message(decision: Decision, request: Request) -> str:
    """AWS's sentence for a request that was not allowed.

    An explicit deny by a policy with an ARN names it, unless the resource is another account's. That
    nobody may assume a role by its trust policy is all that STS says.

    AWS pages: "Troubleshoot access denied error messages"; AWS Security Blog: "Enhanced access denied
    error messages with policy ARNs".
    """
    refused = (
        f"User: {request.caller.arn} is not authorized to perform: {request.action} "
        f"on resource: {request.resource}"
    )
    if decision.explicit:
        article = "the" if decision.kind is Kind.TRUST else _article(decision.kind)
        own = decision.policy if request.caller.account_id == request.account_id else None
        arn = f": {own.arn}" if own and own.arn else ""
        return f"{refused} with an explicit deny in {article} {decision.kind}{arn}"
    if decision.kind is Kind.TRUST:
        return refused
    return f"{refused} because no {decision.kind} allows the {request.action} action"


def _article(kind: Kind | None) -> str:
    return "an" if kind is Kind.IDENTITY else "a"
