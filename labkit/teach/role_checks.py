"""The check of the roles: whom each trusts, what each may do, and whether it may do too much.

It reads the policies as AWS has them, inline and attached, and compares actions as IAM does: `*` in
a policy stands for any text, and case does not matter. AWS page: "IAM JSON policy elements: Action".
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from labkit.lab import Lab
from labkit.provision.roles import NOT_NARROWABLE, ROLES
from labkit.teach.result import Line, Result, line

# what each role cannot do its work without
NEEDED = {
    "codepipeline": (
        "s3:PutObject",
        "s3:GetObject",
        "codecommit:GetBranch",
        "codecommit:UploadArchive",
        "codebuild:StartBuild",
        "codebuild:BatchGetBuilds",
        "codedeploy:CreateDeployment",
        "codedeploy:GetDeployment",
    ),
    "codebuild": (
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:PutObject",
        "codecommit:GitPull",
    ),
    "codedeploy": ("ec2:DescribeInstances",),
    "instance": ("s3:GetObject",),
    "events": ("codepipeline:StartPipelineExecution",),
}


def roles(lab: Lab) -> Result:
    """Five roles: each trusts its own service and nobody else, and may do its work and no more."""
    iam = lab.client("iam")
    lines = [_role(lab, who) for who in ROLES]
    profile = lab.role("instance")

    def held() -> list[str]:
        found = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        return [role["RoleName"] for role in found["Roles"]]

    lines.append(
        line(
            f"the instance profile {profile} holds the instances' role",
            "create the profile and add the role to it",
            lambda: held() == [lab.role("instance")],
        )
    )
    lines.append(
        line(
            "no role may do more than its work",
            "name the actions and the resources, instead of *",
            lambda: not any(too_wide(item) for who in ROLES for item in allowed_by(lab, who)),
        )
    )
    return Result("roles", tuple(lines))


def _role(lab: Lab, who: str) -> Line:
    name, principal = lab.role(who), ROLES[who][0]

    def trusted() -> list[str]:
        role = lab.client("iam").get_role(RoleName=name)["Role"]
        return [
            one
            for item in _as_list(role["AssumeRolePolicyDocument"]["Statement"])
            if item["Effect"] == "Allow"
            for named in _as_list(item["Principal"])
            for one in (_as_list(named.get("Service")) if set(named) == {"Service"} else ["?"])
        ]

    def may() -> list[str]:
        return [
            action
            for item in allowed_by(lab, who)
            if item["Effect"] == "Allow"
            for action in _as_list(item["Action"])
        ]

    def works() -> bool:
        allowed = may()
        return trusted() == [principal] and all(
            any(fnmatchcase(needed.lower(), pattern.lower()) for pattern in allowed)
            for needed in NEEDED[who]
        )

    return line(
        f"{name} trusts {principal} alone, and may do its work",
        f'run roles.create_role(lab, "{who}")',
        works,
    )


def allowed_by(lab: Lab, who: str) -> Iterator[dict[str, Any]]:
    """The statements of all policies of a role: those in it, and those attached to it."""
    iam, name = lab.client("iam"), lab.role(who)
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        yield from _as_list(document["Statement"])
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        yield from _as_list(document["PolicyVersion"]["Document"]["Statement"])


def too_wide(statement: dict[str, Any]) -> bool:
    """Whether a statement allows everything of a service, or a narrowable action everywhere."""
    if statement["Effect"] != "Allow":
        return False
    if "NotAction" in statement or "NotResource" in statement:
        return True
    actions = _as_list(statement["Action"])
    everywhere = "*" in _as_list(statement["Resource"])
    return any(action == "*" or action.endswith(":*") for action in actions) or (
        everywhere and not set(actions) <= NOT_NARROWABLE
    )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
