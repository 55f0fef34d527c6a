"""The check of the lesson on least privilege: it reads the trail, the roles' policies and the robot's keys.

AWS pages: "Refine permissions using access activity"; "Update access keys"; "Grant a user permissions to pass a
role to an AWS service" (IAM User Guide).
"""

from __future__ import annotations

from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.observe import audit
from labkit.provision import trail
from labkit.teach.result import Line, Result, line

TRIMMED = ("codepipeline", "codebuild", "codedeploy", "instance")


def least_privilege(lab: Lab) -> Result:
    """A release was refused and fixed, its roles have what they use, and the robot has one key."""
    iam, user = lab.client("iam"), trail.robot(lab)

    def unused() -> list[str]:
        frames = [audit.use(lab, lab.role(who), trail=trail.name(lab)) for who in TRIMMED]
        return [one for frame in frames for one in frame[frame["state"] == audit.NEVER]["action"]]

    def used_last() -> list[Any]:
        keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        told = [iam.get_access_key_last_used(AccessKeyId=one["AccessKeyId"]) for one in keys]
        return [one["AccessKeyLastUsed"].get("LastUsedDate") for one in told]

    def passes() -> list[Any]:
        statements = [
            one
            for name in iam.list_user_policies(UserName=user)["PolicyNames"]
            for one in iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"][
                "Statement"
            ]
        ]
        return [one for one in statements if "iam:PassRole" in one["Action"]]

    return Result(
        "least privilege",
        (
            *(_refusal(lab, who) for who in ("codepipeline", "codebuild", "instance")),
            line(
                "the last execution of the pipeline succeeded",
                "give back what was refused, and release again",
                lambda: observe.executions(lab).iloc[-1]["status"] == "Succeeded",
            ),
            line(
                "no role of the release has an action that it never used",
                "write the policies down to what audit.use shows as used",
                lambda: iam.get_role(RoleName=lab.role(TRIMMED[0])) and not unused(),
            ),
            line(
                f"{user} may pass one role, to one service",
                "allow iam:PassRole on that role, on the condition iam:PassedToService",
                lambda: (
                    all(
                        "*" not in str(one["Resource"]) and "iam:PassedToService" in str(one)
                        for one in passes()
                    )
                    and passes()
                ),
            ),
            line(
                f"{user} has one key, and uses it",
                "use the new key, then deactivate and delete the old one",
                lambda: len(used_last()) == 1 and all(used_last()),
            ),
        ),
    )


def _refusal(lab: Lab, who: str) -> Line:
    def refused() -> int:
        used = audit.used(lab, lab.role(who), trail=trail.name(lab))
        return int(used["refused"].sum())

    return line(
        f"the role {lab.role(who)} was refused something, and the trail has it",
        "take an action away from its policy, and release",
        refused,
    )
