"""The roles' policies give what the work needs, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.lab import Lab
from labkit.provision import roles

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(lab_environment: Any) -> Lab:
    return Lab("rights")


@pytest.mark.parametrize("who", roles.ROLES)
def test_no_role_may_do_everything_or_touch_everything(lab: Lab, who: str) -> None:
    for statement in roles.policy(lab, who)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "NotAction" not in statement and "NotResource" not in statement
        for action in statement["Action"]:
            service, _, operation = action.partition(":")
            assert service and operation and "*" not in action, action
        if "*" in statement["Resource"]:
            assert set(statement["Action"]) <= roles.NOT_NARROWABLE


@pytest.mark.parametrize("who", roles.ROLES)
def test_every_resource_names_this_lab(lab: Lab, who: str) -> None:
    predefined = ("deploymentconfig:CodeDeployDefault.", f"aws-codedeploy-{lab.region}/")
    for statement in roles.policy(lab, who)["Statement"]:
        for resource in statement["Resource"]:
            assert (
                resource == "*"
                or lab.name in resource
                or any(known in resource for known in predefined)
            ), resource


@pytest.mark.parametrize("who", roles.ROLES)
def test_a_role_trusts_one_service_on_behalf_of_this_account(lab: Lab, who: str) -> None:
    (statement,) = roles.trust_policy(lab, roles.ROLES[who][0])["Statement"]
    assert statement["Principal"] == {"Service": roles.ROLES[who][0]}
    assert statement["Action"] == "sts:AssumeRole"
    if who != "instance":  # EC2 documents no aws:SourceAccount
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": lab.account_id}}


def test_what_cannot_be_narrowed_is_what_codedeploy_needs(lab: Lab) -> None:
    wide = {
        action
        for who in roles.ROLES
        for statement in roles.policy(lab, who)["Statement"]
        if statement["Resource"] == ["*"]
        for action in statement["Action"]
    }
    assert wide == roles.NOT_NARROWABLE


def test_creating_a_role_again_brings_its_policy_up_to_date(lab: Lab) -> None:
    iam, name = lab.client("iam"), lab.role("codebuild")
    arn = roles.create_role(lab, "codebuild")
    other = {"Version": "2012-10-17", "Statement": [roles.allow(["s3:GetObject"])]}
    iam.put_role_policy(RoleName=name, PolicyName=roles.POLICY, PolicyDocument=json.dumps(other))
    assert roles.create_role(lab, "codebuild") == arn == lab.role_arn("codebuild")
    stored = iam.get_role_policy(RoleName=name, PolicyName=roles.POLICY)["PolicyDocument"]
    assert stored == roles.policy(lab, "codebuild")
    tags = iam.list_role_tags(RoleName=name)["Tags"]
    assert tags == [{"Key": "labkit", "Value": "rights"}]
    roles.delete_roles(lab)
    roles.delete_roles(lab)
