"""Who may approve: what IAM says to PutApprovalResult, by the table in policies.yaml and as roles.

Whom IAM lets through hears from CodePipeline that the pipeline is not there, and whom it does not,
nothing of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.conftest import Aws

CASES = tables.read(Path(__file__).with_name("policies.yaml"))
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
ALLOWED = "PipelineNotFoundException"
APPROVER = "arn:aws:iam::aws:policy/AWSCodePipelineApproverAccess"


def document(policy: Any) -> str:
    whole = isinstance(policy, dict) and "Statement" in policy
    return json.dumps(policy if whole else {"Version": "2012-10-17", "Statement": policy})


def answer(aws: Aws, credentials: dict[str, str], pipeline: str = "shop") -> tuple[str, str]:
    """The code and the message that an approval gets."""
    named = {"AccessKeyId": "aws_access_key_id", "SecretAccessKey": "aws_secret_access_key"}
    named["SessionToken"] = "aws_session_token"
    keys = {name: credentials[key] for key, name in named.items() if key in credentials}
    result = {"status": "Approved", "summary": "fine"}
    with pytest.raises(ClientError) as refused:
        aws.client("codepipeline", **keys).put_approval_result(
            pipelineName=pipeline, stageName="Approve", actionName="Ask", result=result, token=str(uuid4())
        )  # fmt: skip
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def user(aws: Aws) -> tuple[str, dict[str, str]]:
    """A new user's name and key."""
    iam, name = aws.client("iam"), f"approver-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    return name, iam.create_access_key(UserName=name)["AccessKey"]


def session(aws: Aws, policy: Any, boundary: Any = None, given: Any = None) -> dict[str, str]:
    """The credentials of a session of a role with this policy."""
    iam, name = aws.client("iam"), f"approver-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust["Principal"] = {"AWS": "arn:aws:iam::123456789012:root"}  # type: ignore[assignment]
    settings = {}
    if boundary:
        made = iam.create_policy(PolicyName=name, PolicyDocument=document(boundary))["Policy"]
        settings["PermissionsBoundary"] = made["Arn"]
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=document([trust]), **settings
    )["Role"]  # fmt: skip
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(policy))
    taken = {"Policy": document(given)} if given else {}
    answer = aws.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me", **taken)
    return answer["Credentials"]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_user_with_this_policy(aws: Aws, case: dict[str, Any]) -> None:
    name, key = user(aws)
    if case["policy"]:
        aws.client("iam").put_user_policy(
            UserName=name, PolicyName="own", PolicyDocument=document(case["policy"])
        )
    code, message = answer(aws, key)
    assert code == (ALLOWED if case["allowed"] else "AccessDeniedException"), message
    if not case["allowed"]:
        place = "arn:aws:codepipeline:us-east-1:123456789012:shop/Approve/Ask"
        start = (
            f"User: arn:aws:iam::123456789012:user/{name} is not authorized to perform: "
            f"codepipeline:PutApprovalResult on resource: {place} "
        )
        assert message.startswith(start)
        assert case.get("why", "because no identity-based policy allows") in message


def test_a_group_and_aws_own_policy_for_approvers(aws: Aws) -> None:
    # "AWS managed policies for AWS CodePipeline": AWSCodePipelineApproverAccess
    iam, (name, key) = aws.client("iam"), user(aws)
    iam.create_group(GroupName=name)
    iam.attach_group_policy(GroupName=name, PolicyArn=APPROVER)
    assert answer(aws, key)[0] == "AccessDeniedException"
    iam.add_user_to_group(GroupName=name, UserName=name)
    assert answer(aws, key)[0] == ALLOWED
    iam.remove_user_from_group(GroupName=name, UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=APPROVER)
    assert answer(aws, key)[0] == ALLOWED


def test_a_role_its_boundary_and_its_session(aws: Aws) -> None:
    # "Permissions boundaries for IAM entities"; "Session policies"
    shop = {**EVERYTHING, "Resource": "arn:aws:codepipeline:*:*:shop/*"}
    assert answer(aws, session(aws, EVERYTHING))[0] == ALLOWED
    assert answer(aws, session(aws, shop), "other")[0] == "AccessDeniedException"
    within = session(aws, EVERYTHING, boundary=shop)
    assert answer(aws, within)[0] == ALLOWED
    assert "because no permissions boundary allows" in answer(aws, within, "other")[1]
    narrowed = session(aws, EVERYTHING, given=shop)
    assert answer(aws, narrowed)[0] == ALLOWED
    assert "because no session policy allows" in answer(aws, narrowed, "other")[1]
    denied = session(aws, EVERYTHING, boundary=[EVERYTHING, {**shop, "Effect": "Deny"}])
    assert "with an explicit deny in a permissions boundary" in answer(aws, denied)[1]


def test_the_learner_may_approve(aws: Aws) -> None:
    learner = {"AccessKeyId": aws.description["access_key_id"]}
    learner["SecretAccessKey"] = aws.description["secret_access_key"]
    assert answer(aws, learner)[0] == ALLOWED


def test_a_version_may_be_missing_in_all_but_a_managed_policy(aws: Aws) -> None:
    # "IAM JSON policy elements: Version"; of a managed policy: wercker/step-s3sync, pull request 25
    iam, name = aws.client("iam"), f"old-{uuid4().hex[:8]}"
    text = json.dumps({"Statement": [EVERYTHING]})
    principal = {"Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Statement": [{"Effect": "Allow", **principal}]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=text)
    iam.create_group(GroupName=name)
    iam.put_group_policy(GroupName=name, PolicyName="own", PolicyDocument=text)
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException, match="2012-10-17"):
        iam.create_policy(PolicyName=name, PolicyDocument=text)
