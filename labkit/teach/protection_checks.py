"""The check of the lesson on protection: asked of IAM's policy simulator, and of the pipeline's history.

AWS pages: "SimulatePrincipalPolicy" in the IAM API Reference; "GetBucketPolicy" in the S3 API Reference.
"""

from __future__ import annotations

import json
from typing import Any

from labkit.lab import Lab
from labkit.provision.environments import sites
from labkit.teach.result import Result, line


def protection(lab: Lab) -> Result:
    """Developers change no main, no artifact and no production; the door for the night is shut."""
    iam, s3 = lab.client("iam"), lab.client("s3")
    repository = lab.arn("codecommit", lab.repository)
    approval = lab.arn("codepipeline", f"{lab.pipeline}/Prod/Approve")

    def may(who: str, action: str, resource: str, **context: str) -> bool:
        """Whether the policies of a role allow it."""
        entries = [
            {
                "ContextKeyName": key,
                "ContextKeyType": "date" if key.endswith("Time") else "string",
                "ContextKeyValues": [value],
            }
            for key, value in context.items()
        ]
        answer = iam.simulate_principal_policy(
            PolicySourceArn=lab.role_arn(who), ActionNames=[action], ResourceArns=[resource],
            ContextEntries=entries,
        )["EvaluationResults"]  # fmt: skip
        return bool(answer[0]["EvalDecision"] == "allowed")

    def pushes(who: str, branch: str) -> bool:
        key = {"codecommit:References": f"refs/heads/{branch}"}
        return may(who, "codecommit:GitPush", repository, **key)

    def walls() -> list[dict[str, Any]]:
        policy = json.loads(s3.get_bucket_policy(Bucket=lab.bucket)["Policy"])
        return [one for one in policy["Statement"] if one["Effect"] == "Deny"]

    def in_production() -> int:
        return int(s3.list_objects_v2(Bucket=sites(lab), Prefix="prod/")["KeyCount"])

    return Result(
        "protection",
        (
            line(
                "a developer pushes to a branch, and not to main",
                "deny GitPush under codecommit:References in the developer's role",
                lambda: pushes("developer", "ana") and not pushes("developer", "main"),
            ),
            line(
                "the artifact bucket has a wall, and it guards itself",
                "deny PutObject and PutBucketPolicy in the bucket policy",
                lambda: any(
                    {"s3:PutObject", "s3:PutBucketPolicy"} <= set(one["Action"]) for one in walls()
                ),
            ),
            line(
                "a releaser approves, a developer does not",
                "allow PutApprovalResult on the action's ARN in the releaser's role alone",
                lambda: (
                    may("releaser", "codepipeline:PutApprovalResult", approval)
                    and not may("developer", "codepipeline:PutApprovalResult", approval)
                ),
            ),
            line(
                "an approved release is in production",
                "approve as the releaser",
                in_production,
            ),
            line(
                "the door for the night is shut for sessions that are still open",
                "deny everything under aws:TokenIssueTime in the role break-glass",
                lambda: not may(
                    "break-glass", "codecommit:GitPush", repository,
                    **{"aws:TokenIssueTime": "2020-01-01T00:00:00Z"},
                ),
            ),
        ),
    )  # fmt: skip
