"""The policy simulator answers as the door decides, of policies that are given or attached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jmespath
import pytest
from botocore.exceptions import ClientError

from tests import organizations, tables
from tests.conftest import Aws
from tests.iam.identities import allow, deny, role, session, user
from tests.roles import document

CASES = tables.read(Path(__file__).parent / "simulations.yaml")["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(aws: Aws, case: dict[str, Any]) -> None:
    iam = aws.client("iam")
    if "fails" in case:
        code, _, message = case["fails"].partition(": ")
        with pytest.raises(ClientError) as raised:
            iam.simulate_custom_policy(**case["with"])
        error = raised.value.response["Error"]
        assert error["Code"] == code
        assert message in ("", error["Message"])
        return
    results = iam.simulate_custom_policy(**case["with"])["EvaluationResults"]
    assert results == case.get("gives", results)
    decided = [one["EvalDecision"] for one in results]
    assert decided == case.get("decides", decided)
    assert jmespath.search(case.get("path", "`null`"), results) == case.get("at")


def test_of_a_user_the_groups_and_managed_policies_count_and_are_named(aws: Aws) -> None:
    iam, ann = aws.client("iam"), user(aws, allow("s3:GetObject"))
    group = f"g-{ann.name}"
    iam.create_group(GroupName=group)
    iam.put_group_policy(
        GroupName=group, PolicyName="no-buckets", PolicyDocument=document(deny("s3:DeleteBucket"))
    )
    iam.add_user_to_group(GroupName=group, UserName=ann.name)
    mine = iam.create_policy(PolicyName=group, PolicyDocument=document(allow("s3:*")))["Policy"]
    iam.attach_user_policy(UserName=ann.name, PolicyArn=mine["Arn"])
    aws_own = "arn:aws:iam::aws:policy/AWSCodeCommitReadOnly"
    iam.attach_user_policy(UserName=ann.name, PolicyArn=aws_own)
    actions = ["s3:GetObject", "s3:DeleteBucket", "codecommit:GetBranch", "sqs:SendMessage"]

    answer = iam.simulate_principal_policy(PolicySourceArn=ann.arn, ActionNames=actions)

    found = {
        one["EvalActionName"]: [
            (each["SourcePolicyId"], each["SourcePolicyType"]) for each in one["MatchedStatements"]
        ]
        for one in answer["EvaluationResults"]
    }
    assert found == {
        "s3:GetObject": [("own", "user"), (group, "user-managed")],
        "s3:DeleteBucket": [("no-buckets", "group")],
        "codecommit:GetBranch": [("AWSCodeCommitReadOnly", "aws-managed")],
        "sqs:SendMessage": [],
    }


def test_of_a_role_its_boundary_caps(aws: Aws) -> None:
    iam = aws.client("iam")
    arn = role(aws, allow("*"), PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
    actions = ["s3:GetObject", "s3:PutObject"]
    results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)
    found = [
        (one["EvalDecision"], one["PermissionsBoundaryDecisionDetail"])
        for one in results["EvaluationResults"]
    ]
    assert found == [
        ("allowed", {"AllowedByPermissionsBoundary": True}),
        ("implicitDeny", {"AllowedByPermissionsBoundary": False}),
    ]


def test_what_it_says_is_what_the_door_does(aws: Aws) -> None:
    ann = user(aws, allow("sqs:ListQueues"), allow("sns:*"), deny("sns:ListTopics"))
    actions = ["sqs:ListQueues", "sns:ListTopics", "s3:ListAllMyBuckets"]
    results = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=ann.arn, ActionNames=actions
    )
    decided = [one["EvalDecision"] for one in results["EvaluationResults"]]
    assert decided == ["allowed", "explicitDeny", "implicitDeny"]
    ann.client("sqs").list_queues()
    with pytest.raises(ClientError, match="with an explicit deny"):
        ann.client("sns").list_topics()
    with pytest.raises(ClientError, match="because no identity-based policy allows"):
        ann.client("s3").list_buckets()


def test_results_come_in_pages(aws: Aws) -> None:
    paginator = aws.client("iam").get_paginator("simulate_custom_policy")
    actions = [f"s3:Action{number}" for number in range(5)]
    pages = list(
        paginator.paginate(
            PolicyInputList=[document(allow("s3:Action3"))],
            ActionNames=actions,
            PaginationConfig={"PageSize": 2},
        )
    )
    assert [len(page["EvaluationResults"]) for page in pages] == [2, 2, 1]
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    assert jmespath.search("[].EvaluationResults[].EvalActionName", pages) == actions


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("arn:aws:iam::123456789012:user/nobody", "NoSuchEntity"),
        ("arn:aws:iam::123456789012:role/nobody", "NoSuchEntity"),
        ("arn:aws:iam::123456789012:group/nobody", "NoSuchEntity"),
        ("arn:aws:iam::123456789012:root/of-all-the-evil", "InvalidInput"),
        ("arn:aws:sts::123456789012:assumed-role/r/session", "InvalidInput"),
    ],
)
def test_whom_it_cannot_be_of(aws: Aws, arn: str, code: str) -> None:
    for call in ("simulate_principal_policy", "get_context_keys_for_principal_policy"):
        more = {"ActionNames": ["s3:GetObject"]} if call.startswith("simulate") else {}
        with pytest.raises(ClientError) as raised:
            getattr(aws.client("iam"), call)(PolicySourceArn=arn, **more)
        assert raised.value.response["Error"]["Code"] == code


def test_a_role_is_not_simulated_with_a_resources_policy(aws: Aws) -> None:
    arn, text = role(aws), document(allow("s3:*", Principal="*"))
    with pytest.raises(ClientError, match="isn't supported for IAM roles"):
        aws.client("iam").simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject"], ResourcePolicy=text
        )


def test_the_keys_that_policies_mention(aws: Aws) -> None:
    iam = aws.client("iam")
    when = {"DateGreaterThan": {"aws:CurrentTime": "2015-08-16T12:00:00Z"}}
    table = "arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}"
    text = document(allow("dynamodb:*", table, Condition=when))
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"]
    assert keys == ["aws:username", "aws:CurrentTime"]  # as the AWS CLI's reference has it

    tagged = {"StringEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team, 'none'}"}}
    ann = user(aws, allow("s3:*", "arn:aws:s3:::shop/${*}", Condition=tagged))
    of_ann = iam.get_context_keys_for_principal_policy(
        PolicySourceArn=ann.arn, PolicyInputList=[text]
    )["ContextKeyNames"]
    assert of_ann == ["aws:PrincipalTag/team", "aws:ResourceTag/team", *keys]


def test_a_user_may_be_let_simulate_themselves_alone(aws: Aws) -> None:
    ann, bob = user(aws), user(aws)
    aws.client("iam").put_user_policy(
        UserName=ann.name,
        PolicyName="own",
        PolicyDocument=document(allow("iam:SimulatePrincipalPolicy", ann.arn)),
    )
    iam = ann.client("iam")
    iam.simulate_principal_policy(PolicySourceArn=ann.arn, ActionNames=["s3:GetObject"])
    with pytest.raises(ClientError, match=f"iam:SimulatePrincipalPolicy on resource: {bob.arn}"):
        iam.simulate_principal_policy(PolicySourceArn=bob.arn, ActionNames=["s3:GetObject"])


def test_of_an_account_of_an_organization_its_control_policies_count(aws: Aws) -> None:
    control, member = organizations.create(aws), organizations.account(aws)
    role_arn = f"arn:aws:iam::{member}:role/{organizations.ROLE}"
    denying = control.create_policy(
        Name=f"no-topics-{member}",
        Description="",
        Type="SERVICE_CONTROL_POLICY",
        Content=document(deny("sns:*")),
    )["Policy"]["PolicySummary"]["Id"]
    control.attach_policy(PolicyId=denying, TargetId=member)
    results = (
        session(aws, role_arn)
        .client("iam")
        .simulate_principal_policy(
            PolicySourceArn=role_arn, ActionNames=["sns:ListTopics", "sqs:ListQueues"]
        )["EvaluationResults"]
    )
    found = [(one["EvalDecision"], one["OrganizationsDecisionDetail"]) for one in results]
    assert found == [
        ("explicitDeny", {"AllowedByOrganizations": False}),
        ("allowed", {"AllowedByOrganizations": True}),
    ]
