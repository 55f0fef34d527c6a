"""Lesson 2: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab
from labkit.provision.roles import POLICY


def trust_written(lab: Lab, trust: dict[str, Any]) -> Iterator[str]:
    [statement] = trust["Statement"]
    principal = statement.get("Principal")
    if "Resource" in statement:
        yield "a trust policy has no Resource: it is in the role, and about that role"
    if principal in ("*", {"AWS": "*"}):
        yield "everybody on AWS could act as this role"
    if principal != {"Service": "codebuild.amazonaws.com"}:
        yield f"it trusts {principal}. CodeBuild is named like a host: codebuild.amazonaws.com"
    if statement.get("Action") not in ("sts:AssumeRole", ["sts:AssumeRole"]):
        yield f"acting as a role is sts:AssumeRole, not {statement.get('Action')}"
    if "Condition" not in statement:
        yield "it has no Condition, so a stranger's project may get CodeBuild to act as your role"
    if "aws:SourceAccount" not in statement["Condition"].get("StringEquals", {}):
        yield "the condition has to compare aws:SourceAccount, with StringEquals"
    if statement["Condition"]["StringEquals"]["aws:SourceAccount"] != lab.account_id:
        yield f"aws:SourceAccount has to be your account, {lab.account_id}"


def what_a_build_may(actions: list[str]) -> str:
    return "no" if "codecommit:GitPush" not in actions else "yes"


def policy_written(lab: Lab) -> Iterator[str]:
    iam, role = lab.client("iam"), lab.role("codebuild")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    if not names:
        yield f"{role} may do nothing yet: call put_role_policy"
    if POLICY not in names:
        yield f"its policy is named {names[0]}; the lab looks for {POLICY}"
    stored = iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    actions = [action for item in stored["Statement"] for action in item["Action"]]
    if "codecommit:GitPull" not in actions:
        yield "that is not the policy you have read: PolicyDocument=json.dumps(policy)"


def visitor_may(lab: Lab, may: dict[str, Any]) -> Iterator[str]:
    actions, resources = _as_list(may["Action"]), _as_list(may["Resource"])
    wanted = lab.arn("codecommit", lab.repository)
    if "Principal" in may:
        yield "a permission policy has no Principal: it is in the role that it is about"
    if any("*" in action for action in actions):
        yield f"{', '.join(actions)} is more than reading one branch: codecommit:GetBranch"
    if actions != ["codecommit:GetBranch"]:
        yield f"it allows {', '.join(actions)}; reading a branch is codecommit:GetBranch"
    if resources != [wanted]:
        yield f"it holds for {', '.join(resources)}; name this one repository, {wanted}"


def list_of_branches(denied: dict[str, str] | None) -> str:
    return "AccessDenied" if denied else "the branches"


def role_of_the_project(lab: Lab, project: dict[str, Any]) -> Iterator[str]:
    role = project["serviceRole"]
    if role == lab.role_arn("codedeploy"):
        yield "the project still has the role of CodeDeploy"
    if role == lab.role("codebuild"):
        yield "serviceRole wants the role's ARN, not its name: lab.role_arn"
    if role != lab.role_arn("codebuild"):
        yield f"CodeBuild cannot act as {role.rpartition('/')[2]}. Which role trusts CodeBuild?"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
