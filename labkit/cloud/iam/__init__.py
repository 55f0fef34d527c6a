"""What IAM says to a request: the policies of who asks, and whether they allow it.

`patterns`, `conditions`, `principals` and `statements` know what one statement matches, `policies`
which ones apply, `decision` how they combine. So far the lab asks for one operation,
PutApprovalResult: who may approve a release is a matter of IAM alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from labkit.cloud.iam.decision import decide, message
from labkit.cloud.iam.policies import of
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.statements import Request
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError


def check(principal: Principal, action: str, resource: str) -> None:
    """Ask IAM whether a principal may do this.

    Args:
        action: `codepipeline:PutApprovalResult`.
        resource: the ARN of what it is done to.

    Raises:
        AWSError: AccessDeniedException, with the kind of policy that does not allow it.

    AWS page: "How AWS enforcement code logic evaluates requests to allow or deny access".
    """
    caller = Caller(principal.arn, principal.account_id, principal.role_arn)
    account_id = resource.split(":")[4]
    request = Request(caller, action, resource, account_id, _context(principal, resource))
    decision = decide(request, of(principal))
    if not decision.allowed:
        raise AWSError("AccessDeniedException", message(decision, request))


def _context(principal: Principal, resource: str) -> dict[str, list[str]]:
    """AWS page: "AWS global condition context keys"; the keys that the lab knows the values of."""
    now = datetime.now(UTC)
    user = principal.arn.rpartition("/")[2] if ":user/" in principal.arn else None
    known = {
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
        "aws:PrincipalAccount": principal.account_id,
        "aws:PrincipalArn": principal.role_arn or principal.arn,
        "aws:PrincipalType": "User" if user else "AssumedRole",
        "aws:RequestedRegion": resource.split(":")[3],
        "aws:ResourceAccount": resource.split(":")[4],
        "aws:SecureTransport": "false",
        "aws:SourceIp": "127.0.0.1",
        "aws:username": user,
    }
    return {key.lower(): [value] for key, value in known.items() if value}
