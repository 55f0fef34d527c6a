"""What IAM says to a request: the policies of who asks, and whether they allow it.

`statements` knows what one statement matches, `policies` which ones a principal has. So far the lab
asks for one operation, PutApprovalResult: who may approve a release is a matter of IAM alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from labkit.cloud.iam.policies import of
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
    request = Request(action, resource, _context(principal, resource))
    refused = (
        f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"
    )
    known = of(principal)
    for kind, documents in known.items():
        if any(document.has(request, "Deny") for document in documents):
            raise AWSError(
                "AccessDeniedException", f"{refused} with an explicit deny in {_a(kind)}"
            )
    for kind, documents in known.items():
        if not any(document.has(request, "Allow") for document in documents):
            raise AWSError(
                "AccessDeniedException",
                f"{refused} because no {kind} allows the {action} action",
            )


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


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
