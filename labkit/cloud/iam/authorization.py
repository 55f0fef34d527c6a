"""The door's question to IAM, once a request: what is asked, which policies apply, what they decide.

AWS page: "How AWS enforcement code logic evaluates requests to allow or deny access".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from labkit.cloud.iam import (
    context,
    organization,
    policies,
    resources,
    sessions,
    state,
    tags,
    uses,
)
from labkit.cloud.iam.asked import Asked, asked
from labkit.cloud.iam.asked.reference import condition_keys
from labkit.cloud.iam.asked.rows import PASS_ROLE
from labkit.cloud.iam.context import Connection
from labkit.cloud.iam.decision import decide, message
from labkit.cloud.iam.found import finder
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.statements import Request
from labkit.cloud.shared.identity import Principal

_OBJECT_TAG = "s3:existingobjecttag/<key>"
# What AWS's services do for themselves, by roles linked to them that no account can change
_LINKED = {
    # of the files it delivers: "Amazon S3 bucket policy for CloudTrail" lets it put objects, and no more
    "cloudtrail.amazonaws.com": {"s3:PutObjectAcl"},
    "codebuild.amazonaws.com": {"cloudwatch:PutMetricData"},
    "ecr.amazonaws.com": {"s3:GetObject"},  # of layers, which lie in a bucket of its own
    "events.amazonaws.com": {"cloudwatch:PutMetricData"},
    "elasticloadbalancing.amazonaws.com": {"cloudwatch:PutMetricData"},
    "lambda.amazonaws.com": {"cloudwatch:PutMetricData"},
    "ecs.amazonaws.com": {
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:RegisterTargets",
    },
}


class Denied(Exception):
    """A request is not allowed; says so in AWS's sentence.

    Args:
        asked: all that the request puts to IAM.
        refused: the one that is refused.
    """

    def __init__(self, sentence: str, asked: list[Asked], refused: Asked) -> None:
        super().__init__(sentence)
        self.asked, self.refused = asked, refused


def authorize(
    principal: Principal,
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    connection: Connection,
) -> list[Asked]:
    """Ask IAM whether a principal may do this.

    Args:
        service: boto3's name of it.
        operation: botocore's name of it, or codecommit's `GitPull` and `GitPush`.
        parameters: as botocore's model of the operation names them.

    Returns:
        What was asked, and is allowed.

    Raises:
        Denied: with AWS's sentence for the first question that is refused.
    """
    questions = asked(
        service,
        operation,
        parameters,
        account=principal.account_id,
        region=connection.region,
        find=finder(principal, connection.region),
    )
    if principal.service:
        linked = _LINKED.get(principal.service, set())
        questions = [one for one in questions if one.action not in linked]
    if not questions:
        return []
    caller = _caller(principal, connection.region)
    identity = state.identity(principal)
    of_caller = policies.of(principal, identity)
    known = context.of(principal, identity, connection)
    for one in questions:
        if identity is not None:
            uses.note(identity.id, one.action, connection.region)
        at = resources.policy_of(one.resource, one.action)
        account_id = at.account_id or principal.account_id
        if one.action == PASS_ROLE and account_id != principal.account_id:
            raise Denied("Cross-account pass role is not allowed.", questions, one)
        request = Request(
            caller,
            one.action,
            one.resource,
            account_id,
            _context(one, principal, known, account_id),
        )
        rcps = organization.rcps(principal, account_id, one)
        applying = replace(of_caller, rcps=rcps, resource=at.policy, grants=at.grants, of=at.of)
        decision = decide(request, applying)
        if not decision.allowed:
            raise Denied(message(decision, request), questions, one)
    return questions


def _caller(principal: Principal, region: str) -> Caller:
    if principal.service:
        name, _, domain = principal.service.partition(".")
        return Caller(
            principal.service, "", services=(principal.service, f"{name}.{region}.{domain}")
        )
    return Caller(principal.arn, principal.account_id, principal.role_arn)


def _context(
    asked: Asked, principal: Principal, known: Mapping[str, list[str]], account_id: str
) -> context.Context:
    def of_resource() -> Mapping[str, str]:
        return tags.tags_of(asked.resource) or {}

    def of_principal() -> Mapping[str, str]:
        own = tags.tags_of(principal.role_arn or principal.arn) or {}
        every = (*own.items(), *sessions.of(principal).tags.items())  # which hide the role's
        return {name.lower(): value for name, value in every}

    def of_object() -> Mapping[str, str]:
        bucket, _, key = asked.resource.removeprefix("arn:aws:s3:::").partition("/")
        version = next(iter(asked.keys.get("s3:versionid", ())), None)
        return tags.object_tags(bucket, key, version) or {}

    tagged: dict[str, context.Tags] = {
        "aws:resourcetag": of_resource,
        f"{asked.action.partition(':')[0]}:resourcetag": of_resource,
    }
    if _OBJECT_TAG in condition_keys(asked.action, "object"):
        tagged[_OBJECT_TAG.partition("/")[0]] = of_object
    if not principal.service:
        tagged["aws:principaltag"] = of_principal
    own = {**known, "aws:resourceaccount": [account_id], **asked.keys}
    if org := organization.id_of(account_id):
        own["aws:resourceorgid"] = [org]
    if "kms:viaservice" in own:
        own["aws:viaawsservice"] = ["true"]
        if principal.service:  # which is in no account
            own.pop("kms:calleraccount", None)
    return context.Context(own, tagged)
