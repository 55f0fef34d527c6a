"""The policy simulator: whether policies would allow actions on resources, and by which statements.

It is `decision.decide` that answers, as at the door. As on AWS nothing is known of the request but what
ContextEntries say, and a resource's own policy counts only where the request brings it along.

AWS pages: "SimulatePrincipalPolicy", "SimulateCustomPolicy", "GetContextKeysForPrincipalPolicy" and
"GetContextKeysForCustomPolicy" in the IAM API Reference; "IAM policy testing with the IAM policy simulator".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from labkit.cloud.iam import conditions, documents, organization, state
from labkit.cloud.iam.api import mentioned, positions, sources
from labkit.cloud.iam.api.paging import listed
from labkit.cloud.iam.api.sources import Source
from labkit.cloud.iam.decision import Decision, Kind, Of, Policies, decide, deciding, within
from labkit.cloud.iam.patterns import Context, Malformed
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.resources import ASSUMING
from labkit.cloud.iam.statements import Policy, Request, Statement, compiled
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError

Given = dict[str, Any]

_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")
_OWNER = re.compile(r"arn:aws:iam::(\d{12}):root")
_USER = re.compile(r"arn:aws:iam::(\d{12}):user/.+")


def start() -> None:
    """Answer the simulator's operations, which moto does not."""
    IamResponse.simulate_custom_policy = _simulate_custom  # type: ignore[attr-defined]
    IamResponse.simulate_principal_policy = _simulate_principal  # type: ignore[attr-defined]
    IamResponse.get_context_keys_for_custom_policy = _custom_keys  # type: ignore[attr-defined]
    IamResponse.get_context_keys_for_principal_policy = _principal_keys  # type: ignore[attr-defined]


def _simulate_custom(self: IamResponse) -> ActionResult:
    given = self.params
    policies = sources.given(given["PolicyInputList"], "PolicyInputList")
    caller = _caller(given.get("CallerArn")) or Caller(
        f"arn:aws:iam::{self.current_account}:user/-", self.current_account
    )
    if given.get("ResourcePolicy") and not given.get("CallerArn"):
        raise _invalid("CallerArn is required when a ResourcePolicy is given.")
    return _simulated(given, _Simulation(caller, Policies(policies, _boundary(given))))


def _simulate_principal(self: IamResponse) -> ActionResult:
    given = self.params
    entity = sources.entity(self.backend, given["PolicySourceArn"])
    if given.get("ResourcePolicy") and entity.kind == "role":
        raise _invalid("Simulation of resource-based policies isn't supported for IAM roles.")
    if given.get("ResourcePolicy") and entity.kind == "group" and not given.get("CallerArn"):
        raise _invalid("CallerArn is required when PolicySourceArn is not the ARN of a user.")
    caller = _caller(given.get("CallerArn")) or Caller(entity.arn, self.current_account)
    more = sources.given(given.get("PolicyInputList", ()), "PolicyInputList")
    boundary = _boundary(given) or entity.boundary
    principal = Principal(
        entity.arn,
        self.current_account,
        "",
        "",
        role_arn=entity.arn if entity.kind == "role" else None,
    )
    policies = Policies((*entity.policies, *more), boundary, scps=organization.scps(principal))
    return _simulated(given, _Simulation(caller, policies))


def _custom_keys(self: IamResponse) -> ActionResult:
    policies = sources.given(self.params["PolicyInputList"], "PolicyInputList")
    return ActionResult({"ContextKeyNames": mentioned.keys(one.text for one in policies)})


def _principal_keys(self: IamResponse) -> ActionResult:
    given = self.params
    own = sources.entity(self.backend, given["PolicySourceArn"]).policies
    more = sources.given(given.get("PolicyInputList", ()), "PolicyInputList")
    return ActionResult({"ContextKeyNames": mentioned.keys(one.text for one in (*own, *more))})


@dataclass(frozen=True)
class _Simulation:
    """Who would ask, and the policies that would decide."""

    caller: Caller
    policies: Policies


def _simulated(given: Given, simulation: _Simulation) -> ActionResult:
    if text := given.get("ResourcePolicy"):
        own = sources.one(text, "ResourcePolicy", "resource")
        policies = replace(simulation.policies, resource=own)
        simulation = replace(simulation, policies=policies)
    owner = _owner(given.get("ResourceOwner")) or simulation.caller.account_id
    context = _context(given.get("ContextEntries", ()))
    resources = given.get("ResourceArns") or ["*"]
    for action in given["ActionNames"]:
        if not _ACTION.fullmatch(action):
            raise _invalid(f"Invalid Input Action: {action}. Wildcards are not supported.")
    for resource in resources:
        if resource != "*" and state.parsed(resource) is None:
            raise _invalid(f"ResourceNames are not in a valid ARN format: {resource}.")
    results = [
        _result(simulation, action, resource, owner, context)
        for action in given["ActionNames"]
        for resource in resources
    ]
    return ActionResult(listed(results, "EvaluationResults", given))


def _result(
    simulation: _Simulation, action: str, resource: str, owner: str, context: Context
) -> dict[str, Any]:
    arn = state.parsed(resource)
    policies = simulation.policies
    account = simulation.caller.account_id
    if policies.resource is not None:  # without one only the caller's side is asked
        account = arn.account_id if arn and arn.account_id else owner
        policies = replace(policies, of=_of(arn, action))
    request = Request(simulation.caller, action, resource, account, context)
    decision = decide(request, policies)
    matched = [_matched(*one) for one in deciding(decision, request, policies)]
    missing = _missing(request, policies)
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": matched,
        "MissingContextValues": [] if arn else missing,
    }
    detail: dict[str, Any] = {}
    if policies.scps is not None:
        allowed = all(within(Kind.SCP, level, request) for level in policies.scps)
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": allowed}
    if policies.boundary is not None:
        allowed = within(Kind.BOUNDARY, (policies.boundary,), request)
        detail = {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}}
    if arn is not None:
        specific = {
            "EvalResourceName": resource,
            "EvalResourceDecision": _word(decision),
            "MatchedStatements": matched,
            "MissingContextValues": missing,
            **detail,
        }
        result["ResourceSpecificResults"] = [specific]
    return result | detail


def _of(arn: state.Arn | None, action: str) -> Of:
    if arn is None:
        return Of.ANYTHING
    if arn.service == "kms" and arn.kind == "key":
        return Of.KEY
    trusted = arn.service == "iam" and arn.kind == "role" and action.startswith(ASSUMING)
    return Of.ROLE if trusted else Of.ANYTHING


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit else "implicitDeny"


def _matched(policy: Policy, statement: Statement) -> dict[str, Any]:
    first, last = positions.spans(policy.text)[statement.number]
    return {
        "SourcePolicyId": policy.name,
        "SourcePolicyType": policy.kind if isinstance(policy, Source) else "none",
        "StartPosition": first,
        "EndPosition": last,
    }


def _missing(request: Request, policies: Policies) -> list[str]:
    """The keys that the statements about the action mention, and that ContextEntries lack."""
    own = (policies.boundary, policies.resource)
    every = (*policies.identity, *(policy for policy in own if policy is not None))
    known = request.context.keys()
    found = (key for policy in every for key in _mentioned(policy, request))
    return mentioned.once(key for key in found if key.lower() not in known)


def _mentioned(policy: Policy, request: Request) -> Iterator[str]:
    document = json.loads(policy.text)
    read = compiled(policy.text)
    for statement in (*read.allows, *read.denies):
        about = statement.with_variables or statement.is_on(request.resource, request.context)
        if about and statement.actions(request.action.lower()):
            raw = documents.statements(document)[statement.number]
            yield from mentioned.of_statement(raw, document)


def _boundary(given: Given) -> Source | None:
    texts = given.get("PermissionsBoundaryPolicyInputList", ())
    if len(texts) > 1:
        raise _invalid("Only one permissions boundary can be simulated at a time.")
    found = sources.given(texts, "PermissionsBoundaryPolicyInputList")
    return found[0] if found else None


def _caller(arn: str | None) -> Caller | None:
    if arn is None:
        return None
    named = _USER.fullmatch(arn)
    if named is None:
        raise _invalid(f"CallerArn must be the ARN of an IAM user: {arn}")
    return Caller(arn, named[1])


def _owner(arn: str | None) -> str | None:
    if arn is None:
        return None
    named = _OWNER.fullmatch(arn)
    if named is None:
        raise _invalid(f"'{arn}' is not a valid as a Resource Owner.")
    return named[1]


def _context(entries: Any) -> Context:
    found: dict[str, list[str]] = {}
    for entry in entries:
        key, kind = entry.get("ContextKeyName", ""), entry.get("ContextKeyType", "string")
        values = entry.get("ContextKeyValues", [])
        if not key or key.lower() in found:
            raise _invalid(f"Invalid context key name: {key}")
        if not kind.endswith("List") and len(values) != 1:
            raise _invalid(f"The context key {key} of type {kind} must have exactly one value.")
        try:
            for value in values:
                conditions.READERS[kind.removesuffix("List")](value)
        except Malformed as error:
            raise _invalid(f"Invalid value for the context key {key} of type {kind}.") from error
        found[key.lower()] = values
    return found


def _invalid(message: str) -> AWSError:
    return AWSError("InvalidInput", message)
