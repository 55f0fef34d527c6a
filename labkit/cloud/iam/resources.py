"""The policies that a resource has itself, and the account that it is in, by its ARN as `asked` gives it.

A service that is ours puts itself into `ours` when it is loaded: before, it keeps nothing.

AWS pages: "AWS services that work with IAM" (which have resource-based policies); "Key policies in AWS KMS";
"Grants in AWS KMS"; "Viewing resource-based IAM policies in Lambda".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cloud.iam import managed_keys, state
from labkit.cloud.iam.decision import Of
from labkit.cloud.iam.state import Arn
from labkit.cloud.iam.statements import Policy, Request, Statement

# of our services, by what their ARNs say: a resource -> its policy's text
ours: dict[str, Callable[[Arn], str | None]] = {}

ASSUMING = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
# of a grant: what its constraints on the encryption context do not bind ("GrantConstraints", KMS API Reference)
_UNCONSTRAINED = {"DescribeKey", "RetireGrant"}


@dataclass(frozen=True)
class ResourcePolicies:
    """What a resource's own policies are.

    Args:
        grants: of a KMS key, each written as a policy of the key that names its grantee.
        account_id: that the resource is in; None where that follows neither from its ARN nor from what
            the lab keeps.
    """

    policy: Policy | None = None
    grants: tuple[Policy, ...] = ()
    of: Of = Of.ANYTHING
    account_id: str | None = None


@dataclass(frozen=True)
class Several(Policy):
    """The policies of a resource that has several of them, as one."""

    parts: tuple[Policy, ...] = ()

    def statements(self, request: Request, *, deny: bool) -> Iterator[Statement]:
        for part in self.parts:
            yield from part.statements(request, deny=deny)


def policy_of(arn: str, action: str) -> ResourcePolicies:
    """The policies that a resource has itself, as far as they bear on an action.

    What cannot be read is kept as it is: `Policy` knows what an error in a document means.
    """
    found = state.parsed(arn)
    if found is None:
        return ResourcePolicies()
    account_id = _account(found)
    if found.service == "kms":
        return _of_key(found, account_id)
    if found.service == "iam":
        if found.kind != "role" or not action.startswith(ASSUMING):
            return ResourcePolicies(account_id=account_id)
        return ResourcePolicies(_trust(found), of=Of.ROLE, account_id=account_id)
    look = _POLICIES.get(found.service) or ours.get(found.service)
    own = look(found) if look else None
    policy = own if isinstance(own, Policy) else _policy(own)
    return ResourcePolicies(policy, account_id=account_id)


def _account(arn: Arn) -> str | None:
    if arn.service == "s3":
        backend = state.of_bucket(arn.kind)
        return None if backend is None else str(backend.account_id)
    return arn.account_id if arn.account_id.isdecimal() else None


def _policy(text: Any) -> Policy | None:
    if not text:
        return None
    return Policy(text if isinstance(text, str) else json.dumps(text))


def _of_bucket(arn: Arn) -> str | None:
    backend = state.of_bucket(arn.kind)
    text = None if backend is None else _own(backend.buckets.get(arn.kind))
    return text and bytes(text).decode(errors="replace")


def _of_function(arn: Arn) -> Any:
    """Each statement says whether it is of the function, of a version or of an alias."""
    known = {id(one.policy): one.policy for one in state.functions(arn)}  # versions share one
    statements = [one for policy in known.values() for one in policy.statements]
    return statements and {"Version": "2012-10-17", "Statement": statements}


def _of_bus(arn: Arn) -> Any:
    """Of a bus, which says who may make rules on it, too."""
    rule = arn.kind == "rule"
    bus = (arn.rest.rpartition("/")[0] or "default") if rule else arn.rest
    return _own(state.kept(arn, "event_buses").get(bus))


def _of_logs(arn: Arn) -> Policy | None:
    """Up to ten policies of a Region, each of which says itself which log groups it is of."""
    known = [one.policy_document for one in list(state.kept(arn, "resource_policies").values())]
    parts = tuple(policy for text in known if (policy := _policy(text)))
    return Several("", parts=parts) if parts else None


def _own(thing: Any) -> Any:
    return getattr(thing, "policy", None)


# a resource -> its policy, or the text of it
_POLICIES: dict[str, Callable[[Arn], Any]] = {
    "ecr": lambda arn: _own(state.kept(arn, "repositories").get(arn.rest)),
    "events": _of_bus,
    "lambda": _of_function,
    "logs": _of_logs,
    "s3": _of_bucket,
    "secretsmanager": lambda arn: _own(state.kept(arn, "secrets").get(arn.text)),
    "sns": lambda arn: _own(state.kept(arn, "topics").get(arn.text)),
    "sqs": lambda arn: _own(state.kept(arn, "queues").get(arn.resource)),
}


def _trust(arn: Arn) -> Policy | None:
    known = (one for one in list(state.kept(arn, "roles").values()) if one.arn == arn.text)
    return _policy(getattr(next(known, None), "assume_role_policy_document", None))


def _of_key(arn: Arn, account_id: str | None) -> ResourcePolicies:
    if managed_keys.is_managed(arn):
        return ResourcePolicies(_policy(managed_keys.policy_of(arn)), (), Of.KEY, account_id)
    key = state.kept(arn, "keys").get(arn.rest) if arn.kind == "key" else None
    if key is None:
        return ResourcePolicies(account_id=account_id)
    grants = tuple(_policy_of_grant(one) for one in list(key.grants.values()))
    return ResourcePolicies(_policy(key.policy), grants, Of.KEY, account_id)


def _policy_of_grant(grant: Any) -> Policy:
    operations = set(grant.operations)
    freely = operations & _UNCONSTRAINED
    constraints = grant.constraints or {}
    statements = [
        _statement(grant, operations - freely, _conditions(constraints)),
        _statement(grant, freely, _source(constraints)),
    ]
    # without a version: a `${` in an encryption context is no variable
    document = {"Statement": [one for one in statements if one["Action"]]}
    return Policy(json.dumps(document), str(grant.id))


def _statement(grant: Any, operations: set[str], conditions: Mapping[str, Any]) -> dict[str, Any]:
    grantee = grant.grantee_principal
    kind = "Service" if grantee.endswith(".amazonaws.com") else "AWS"
    return {
        "Effect": "Allow",
        "Principal": {kind: grantee},
        "Action": [f"kms:{operation}" for operation in sorted(operations)],
        "Resource": "*",
        "Condition": conditions,
    }


def _conditions(constraints: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a constraint are in any case, its values are not."""
    exactly = constraints.get("EncryptionContextEquals") or {}
    context = {**(constraints.get("EncryptionContextSubset") or {}), **exactly}
    found = _source(constraints)
    if context:
        found["StringEquals"] = {
            f"kms:EncryptionContext:{key}": value for key, value in context.items()
        }
    if exactly:
        names = {"kms:EncryptionContextKeys": list(exactly)}
        found["ForAllValues:StringEqualsIgnoreCase"] = names
    return found


def _source(constraints: Mapping[str, Any]) -> dict[str, Any]:
    source = constraints.get("SourceArn")
    return {"ArnLike": {"aws:SourceArn": source}} if source else {}
