"""A resource's own policy, its tags and its account, where there is one of each.

Who asks is a role of another account that may do everything: it is allowed where the resource's own policy
lets it in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from labkit.cloud.iam.decision import Of, Policies, decide
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.resources import ResourcePolicies, policy_of
from labkit.cloud.iam.statements import Policy, Request
from labkit.cloud.iam.tags import object_tags, tags_of
from tests.iam import one_of_each
from tests.iam.one_of_each import ACCOUNT, AT, OTHER, REGION, RELEASE, TAGS
from tests.iam.test_found import filled

pytestmark = pytest.mark.slow

CALLER = Caller(f"arn:aws:sts::{OTHER}:assumed-role/release/run-7", OTHER, RELEASE)
EVERYTHING = Policy(json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}))

# a resource, what is asked, whether its own policy lets the other account's role in
ASKED = [
    ("arn:aws:s3:::shop", "s3:ListBucket", True),
    ("arn:aws:s3:::shop/a.zip", "s3:GetObject", True),
    ("arn:aws:s3:::shop/a.zip", "s3:DeleteObject", False),
    ("arn:aws:s3:::plain/a.zip", "s3:GetObject", False),
    ("arn:aws:s3:::broken/a.zip", "s3:GetObject", False),
    ("arn:aws:s3:::nowhere", "s3:ListBucket", False),
    ("{key}", "kms:Decrypt", True),
    ("{default_key}", "kms:Decrypt", False),
    ("{granted_key}", "kms:Decrypt", False),  # without the encryption context of the grant
    ("{granted_key}", "kms:DescribeKey", True),  # which has none
    ("{granted_key}", "kms:Encrypt", False),
    (f"arn:aws:sns:{AT}:orders", "sns:Publish", True),
    (f"arn:aws:sns:{AT}:plain", "sns:Publish", False),
    (f"arn:aws:sns:{AT}:shared", "sns:Publish", True),
    (f"arn:aws:sns:{AT}:shared", "sns:Subscribe", False),
    (f"arn:aws:sqs:{AT}:orders", "sqs:SendMessage", True),
    (f"arn:aws:sqs:{AT}:plain", "sqs:SendMessage", False),
    (f"arn:aws:sqs:{AT}:shared", "sqs:SendMessage", True),
    (f"arn:aws:sqs:{AT}:shared", "sqs:ReceiveMessage", False),
    (f"arn:aws:lambda:{AT}:function:hook", "lambda:InvokeFunction", False),
    (f"arn:aws:lambda:{AT}:function:hook", "lambda:GetFunction", True),
    (f"arn:aws:lambda:{AT}:function:hook:1", "lambda:GetFunction", False),
    (f"arn:aws:lambda:{AT}:function:hook:live", "lambda:InvokeFunction", True),
    (f"arn:aws:lambda:{AT}:function:hook:1", "lambda:InvokeFunction", False),
    (f"arn:aws:lambda:{AT}:function:hook:2", "lambda:InvokeFunction", True),
    (f"arn:aws:ecr:{AT}:repository/shop/web", "ecr:BatchGetImage", True),
    (f"arn:aws:ecr:{AT}:repository/plain", "ecr:BatchGetImage", False),
    (f"arn:aws:events:{AT}:event-bus/default", "events:PutEvents", True),
    (f"arn:aws:events:{AT}:event-bus/shop", "events:PutEvents", False),
    (f"arn:aws:events:{AT}:rule/shop/nightly", "events:PutRule", True),
    (f"arn:aws:events:{AT}:rule/nightly", "events:PutRule", False),
    ("{secret}", "secretsmanager:GetSecretValue", True),
    ("{secret}", "secretsmanager:DeleteSecret", False),
    (f"arn:aws:logs:{AT}:log-group:builds:log-stream:1", "logs:PutLogEvents", True),
    (f"arn:aws:logs:{AT}:log-group:audit:log-stream:1", "logs:PutLogEvents", False),
    (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "sts:AssumeRole", True),
    (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "sts:TagSession", True),
    (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "iam:GetRole", False),
    (f"arn:aws:iam::{ACCOUNT}:role/builder", "sts:AssumeRole", False),
    (f"arn:aws:iam::{ACCOUNT}:role/nobody", "sts:AssumeRole", False),
    (f"arn:aws:codebuild:{AT}:report-group/tests", "codebuild:BatchGetReportGroups", True),
    (f"arn:aws:codebuild:{AT}:project/shop", "codebuild:BatchGetProjects", False),
    ("*", "s3:ListAllMyBuckets", False),
]  # fmt: skip

# a resource, its tags
TAGGED = [
    ("arn:aws:s3:::shop", TAGS),
    ("arn:aws:s3:::plain", {}),
    ("arn:aws:s3:::shop/a.zip", None),
    ("arn:aws:s3:::nowhere", None),
    ("{key}", TAGS),
    (f"arn:aws:sns:{AT}:orders", TAGS),
    (f"arn:aws:sns:{AT}:nobody", None),
    (f"arn:aws:sqs:{AT}:orders", TAGS),
    (f"arn:aws:sqs:{AT}:plain", {}),
    (f"arn:aws:lambda:{AT}:function:hook", TAGS),
    (f"arn:aws:lambda:{AT}:function:hook:live", TAGS),
    (f"arn:aws:lambda:{AT}:function:nobody", None),
    (f"arn:aws:ecr:{AT}:repository/shop/web", TAGS),
    (f"arn:aws:events:{AT}:rule/shop/nightly", TAGS),
    (f"arn:aws:events:{AT}:event-bus/shop", TAGS),
    ("{secret}", TAGS),
    (f"arn:aws:secretsmanager:{AT}:secret:nobody", None),
    (f"arn:aws:logs:{AT}:log-group:builds", TAGS),
    (f"arn:aws:logs:{AT}:log-group:builds:log-stream:", TAGS),
    (f"arn:aws:logs:{AT}:log-group:builds:*", TAGS),
    (f"arn:aws:logs:{AT}:log-group:builds:log-stream:1", TAGS),
    (f"arn:aws:logs:{AT}:log-group:nobody", None),
    (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", TAGS),
    (f"arn:aws:iam::{ACCOUNT}:role/builder", {}),
    (f"arn:aws:iam::{ACCOUNT}:user/staff/alice", TAGS),
    (f"arn:aws:iam::{ACCOUNT}:policy/cap", TAGS),
    (f"arn:aws:iam::{ACCOUNT}:instance-profile/host", TAGS),
    (f"arn:aws:iam::{ACCOUNT}:role/nobody", None),
    (f"arn:aws:ssm:{AT}:parameter/shop/port", TAGS),
    (f"arn:aws:ssm:{AT}:parameter/size", TAGS),
    (f"arn:aws:ec2:{AT}:instance/{{instance}}", TAGS),
    (f"arn:aws:ec2:{AT}:key-pair/admin", TAGS),
    (f"arn:aws:ec2:{REGION}::image/{{image}}", TAGS),
    (f"arn:aws:ec2:{AT}:instance/*", None),
    ("{group}", TAGS),
    ("{load_balancer}", TAGS),
    ("{target_group}", TAGS),
    (f"arn:aws:ecs:{AT}:cluster/shop", TAGS),
    (f"arn:aws:ecs:{AT}:service/shop/web", TAGS),
    (f"arn:aws:ecs:{AT}:task-definition/web:1", TAGS),
    ("{task}", TAGS),
    (f"arn:aws:ecs:{AT}:task-definition/web:2", None),
    (f"arn:aws:cloudwatch:{AT}:alarm:errors", TAGS),
    (f"arn:aws:states:{AT}:stateMachine:release", TAGS),
    ("{stack}", TAGS),
    (f"arn:aws:cloudformation:{AT}:stack/shop/*", TAGS),
    (f"arn:aws:cloudformation:{AT}:stack/nobody/*", None),
    (f"arn:aws:codebuild:{AT}:project/shop", TAGS),
    (f"arn:aws:codebuild:{AT}:report-group/tests", TAGS),
    (f"arn:aws:codecommit:{AT}:shop", TAGS),
    (f"arn:aws:codeconnections:{AT}:connection/c-1", TAGS),
    (f"arn:aws:codestar-connections:{AT}:connection/c-1", TAGS),
    (f"arn:aws:codedeploy:{AT}:application:shop", TAGS),
    (f"arn:aws:codedeploy:{AT}:deploymentgroup:shop/prod", {"stage": "prod"}),
    (f"arn:aws:codedeploy:{AT}:deploymentconfig:mine", None),
    (f"arn:aws:codepipeline:{AT}:shop", TAGS),
    (f"arn:aws:codepipeline:{AT}:shop/Production/Approve", TAGS),
    (f"arn:aws:codepipeline:{AT}:nobody", None),
    ("*", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def there() -> Iterator[dict[str, Any]]:
    """What is there, by what the tables call it."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield one_of_each.made()


def decided(arn: str, action: str, own: ResourcePolicies, **context: str) -> bool:
    request = Request(
        CALLER, action, arn, own.account_id or ACCOUNT, {key: [one] for key, one in context.items()}
    )
    policies = Policies((EVERYTHING,), resource=own.policy, grants=own.grants, of=own.of)
    return decide(request, policies).allowed


@pytest.mark.parametrize(("arn", "action", "allowed"), ASKED)
def test_whom_a_resources_own_policy_lets_in(
    arn: str, action: str, allowed: bool, there: dict[str, Any]
) -> None:
    arn = filled(arn, there)
    assert decided(arn, action, policy_of(arn, action)) is allowed


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"kms:encryptioncontext:app": "${shop}"}, True),
        ({"kms:encryptioncontext:app": "${shop}", "kms:encryptioncontext:stage": "prod"}, True),
        ({"kms:encryptioncontext:app": "cart"}, False),
    ],
)
def test_a_grant_holds_under_its_encryption_context(
    context: dict[str, str], allowed: bool, there: dict[str, Any]
) -> None:
    own = policy_of(there["granted_key"], "kms:Decrypt")
    assert decided(there["granted_key"], "kms:Decrypt", own, **context) is allowed


@pytest.mark.parametrize(
    ("arn", "action", "of"),
    [
        ("{default_key}", "kms:Decrypt", Of.KEY),
        (f"arn:aws:kms:{AT}:key/nothing", "kms:Decrypt", Of.ANYTHING),  # which KMS says itself
        (f"arn:aws:kms:{AT}:alias/shop", "kms:CreateAlias", Of.ANYTHING),
        (f"arn:aws:iam::{ACCOUNT}:role/nobody", "sts:AssumeRole", Of.ROLE),  # so that none is told
        (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "iam:PassRole", Of.ANYTHING),
        ("arn:aws:s3:::shop", "s3:ListBucket", Of.ANYTHING),
    ],
)
def test_what_always_needs_its_own_policy(
    arn: str, action: str, of: Of, there: dict[str, Any]
) -> None:
    assert policy_of(filled(arn, there), action).of is of


@pytest.mark.parametrize(
    ("arn", "account"),
    [
        ("arn:aws:s3:::shop/a.zip", ACCOUNT),
        ("arn:aws:s3:::nowhere", "caller"),
        (f"arn:aws:sqs:{REGION}:{OTHER}:orders", OTHER),
        (f"arn:aws:iam::{OTHER}:role/release", OTHER),
        ("arn:aws:iam::aws:policy/ReadOnlyAccess", "caller"),
        (f"arn:aws:ec2:{REGION}::image/ami-1", "caller"),
        ("*", "caller"),
    ],
)
def test_the_account_that_a_resource_is_in(arn: str, account: str, there: dict[str, Any]) -> None:
    assert (policy_of(arn, "x:Y").account_id or "caller") == account
    assert policy_of(arn, "x:Y").account_id == (None if account == "caller" else account)


@pytest.mark.parametrize(("arn", "expected"), TAGGED)
def test_the_tags_of_a_resource(
    arn: str, expected: dict[str, str] | None, there: dict[str, Any]
) -> None:
    assert tags_of(filled(arn, there)) == expected


def test_the_tags_of_an_object_and_of_its_versions(there: dict[str, Any]) -> None:
    assert object_tags("shop", "a.zip") == {"stage": "prod"}
    assert object_tags("shop", "a.zip", there["first"]) == {"stage": "test"}
    assert object_tags("shop", "a.zip", "nothing") is None
    assert object_tags("shop", "gone.zip") is None
    assert object_tags("nowhere", "a.zip") is None


SERVICES = sorted({arn.split(":")[2] for arn, _ in TAGGED if arn.startswith("arn:")} | {"kms"})


@given(
    service=st.sampled_from(SERVICES),
    place=st.sampled_from([AT, f"{REGION}:", f":{ACCOUNT}", ":", f"{REGION}:{OTHER}"]),
    resource=st.one_of(
        st.text(max_size=20),
        st.from_regex(r"[a-z-]{0,12}[:/](shop|web|hook|\*)?[:/]?[\w*]*", fullmatch=True),
    ),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_arn_may_be_asked_about(
    service: str, place: str, resource: str, there: dict[str, Any]
) -> None:
    arn = f"arn:aws:{service}:{place}:{resource}"
    own, tags = policy_of(arn, "sts:AssumeRole"), tags_of(arn)
    assert own.account_id in (None, ACCOUNT, OTHER)
    assert OTHER not in place or (own.policy, tags) == (None, None)
