"""What an attacker tries, refused: each a case of AWS's own documentation or of a public collection.

AWS pages: "Grant a user permissions to pass a role to an AWS service"; "The confused deputy problem";
"Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"; "Role chaining". The ways
to somebody else's rights by iam:PassRole are those of Rhino Security Labs' "AWS IAM Privilege
Escalation Methods".
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import organizations
from tests.conftest import Aws
from tests.iam.identities import ACCOUNT, Identity, allow, role, session, user
from tests.roles import EVERYTHING, create_role, document

SERVICES = [
    "cloudformation", "codebuild", "codedeploy", "codepipeline", "ec2", "ecs-tasks", "events", "lambda",
    "states",
]  # fmt: skip
ZIP = b"PK\x05\x06" + b"\0" * 18
APPROVAL = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
COMMIT = {"category": "Source", "owner": "AWS", "provider": "CodeCommit", "version": "1"}


@pytest.fixture(scope="module")
def administrator(aws: Aws) -> str:
    """The role that everybody would like to have, which every service may take; its ARN."""
    services = [f"{one}.amazonaws.com" for one in SERVICES]
    name = f"administrator-{uuid4().hex[:8]}"
    arn = create_role(aws, name, *services, policy=EVERYTHING)
    iam = aws.client("iam")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.create_instance_profile(InstanceProfileName=f"{name}-free")
    return arn


def _pipeline(arn: str) -> dict[str, Any]:
    source = {
        "name": "Source", "actionTypeId": COMMIT, "outputArtifacts": [{"name": "Source"}],
        "configuration": {"RepositoryName": "shop", "BranchName": "main"},
    }  # fmt: skip
    stages = {"Source": source, "Approve": {"name": "Approve", "actionTypeId": APPROVAL}}
    return {
        "name": "attack", "roleArn": arn, "artifactStore": {"type": "S3", "location": "shop"},
        "stages": [{"name": name, "actions": [one]} for name, one in stages.items()],
    }  # fmt: skip


def _project(arn: str) -> dict[str, Any]:
    return {
        "name": "attack", "serviceRole": arn, "artifacts": {"type": "NO_ARTIFACTS"},
        "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [env]}}"},
        "environment": {
            "type": "LINUX_CONTAINER", "computeType": "BUILD_GENERAL1_SMALL", "image": "aws/codebuild/standard:7.0",
        },
    }  # fmt: skip


def _ways(arn: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Each way by its name: the service, the operation and its parameters."""
    name = arn.rpartition("/")[2]
    container = {"name": "c", "image": "busybox"}
    machine = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    target = {"Id": "1", "Arn": f"arn:aws:codepipeline:us-east-1:{ACCOUNT}:shop", "RoleArn": arn}
    return {
        "a function of mine": ("lambda", "create_function", {
            "FunctionName": "attack", "Runtime": "python3.11", "Handler": "i.h", "Code": {"ZipFile": ZIP},
            "Role": arn,
        }),
        "a function that is there": (
            "lambda", "update_function_configuration", {"FunctionName": "attack", "Role": arn},
        ),
        "a machine of mine": ("ec2", "run_instances", {
            "ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1, "IamInstanceProfile": {"Name": name},
        }),
        "a profile of a machine that is there": (
            "iam", "add_role_to_instance_profile",
            {"InstanceProfileName": f"{name}-free", "RoleName": name},
        ),
        "a build": ("codebuild", "create_project", _project(arn)),
        "a build of a project that is there": (
            "codebuild", "start_build", {"projectName": "attack", "serviceRoleOverride": arn},
        ),
        "a pipeline": ("codepipeline", "create_pipeline", {"pipeline": _pipeline(arn)}),
        "a deployment group": ("codedeploy", "create_deployment_group", {
            "applicationName": "attack", "deploymentGroupName": "attack", "serviceRoleArn": arn,
        }),
        "a stack": ("cloudformation", "create_stack", {
            "StackName": "attack", "RoleARN": arn,
            "TemplateBody": json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}),
        }),
        "a task": ("ecs", "register_task_definition", {
            "family": "attack", "taskRoleArn": arn, "containerDefinitions": [container],
        }),
        "a state machine": (
            "stepfunctions", "create_state_machine",
            {"name": "attack", "definition": machine, "roleArn": arn},
        ),
        "a rule": ("events", "put_targets", {"Rule": "attack", "Targets": [target]}),
    }  # fmt: skip


WAYS = list(_ways("arn:aws:iam::123456789012:role/any"))


@pytest.fixture(scope="module")
def may_all_but_pass(aws: Aws) -> Identity:
    statement = {"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": "*"}
    return user(aws, statement)


@pytest.fixture(scope="module")
def may_pass_another(aws: Aws) -> Identity:
    but = {"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": "*"}
    return user(aws, but, allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/application/*"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["may_all_but_pass", "may_pass_another"])
def test_a_role_one_may_not_pass_is_no_ladder(
    administrator: str, request: pytest.FixtureRequest, who: str, way: str
) -> None:
    service, operation, parameters = _ways(administrator)[way]
    with pytest.raises(ClientError) as refused:
        getattr(request.getfixturevalue(who).client(service), operation)(**parameters)
    told = refused.value.response["Error"]["Message"]
    assert f"is not authorized to perform: iam:PassRole on resource: {administrator}" in told


def signing_at(then: datetime) -> Any:
    """botocore's clock stands still meanwhile."""
    return mock.patch("botocore.auth.get_current_datetime", lambda **_: then.replace(tzinfo=None))


def _status(url: str, method: str = "GET") -> int:
    request = urllib.request.Request(url, method=method, data=b"" if method == "PUT" else None)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def presigned(aws: Aws) -> str:
    bucket, s3 = f"presigned-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    url = aws.presigned(bucket, "a", ExpiresIn=60)
    assert _status(url) == 200
    return url


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/a?", "/b?"),
        ("X-Amz-Expires=60", "X-Amz-Expires=604800"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("us-east-1", "eu-west-1"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=none"),
        ("?", "?versionId=null&"),
    ],
)
def test_a_presigned_url_holds_for_what_was_signed(presigned: str, old: str, new: str) -> None:
    assert old in presigned
    assert _status(presigned.replace(old, new)) in (400, 403)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_presigned_url_holds_for_its_method(presigned: str, method: str) -> None:
    assert _status(presigned, method) == 403


@pytest.mark.parametrize("minutes", [-20, 20], ids=["old", "of the future"])
def test_a_request_that_was_signed_at_another_time_is_refused(aws: Aws, minutes: int) -> None:
    # "Elements of an AWS API request signature": a request has to arrive within five minutes
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    with signing_at(then), pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        aws.client("sts").get_caller_identity()


def test_a_presigned_url_ends(aws: Aws, presigned: str) -> None:
    bucket = presigned.split("/")[3]
    then = datetime.now(UTC) - timedelta(minutes=10)
    with signing_at(then):
        url = aws.presigned(bucket, "a", ExpiresIn=60)
    assert _status(url) == 403


def test_a_role_is_no_step_to_another_that_does_not_trust_it(aws: Aws) -> None:
    first = session(aws, role(aws, allow("sts:AssumeRole")))
    builds = {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}  # fmt: skip
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
        session(aws, role(aws, EVERYTHING, trust=builds), first)
    untrusting = {"Effect": "Allow", "Principal": {"AWS": user(aws).arn}, "Action": "sts:AssumeRole"}  # fmt: skip
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
        session(aws, role(aws, EVERYTHING, trust=untrusting), first)


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:SourceAccount": "444455556666"}},
        {"ArnEquals": {"aws:SourceArn": f"arn:aws:codebuild:us-east-1:{ACCOUNT}:project/another"}},
    ],
    ids=["account", "project"],
)
def test_a_deputy_that_acts_for_somebody_else_gets_no_role(
    aws: Aws, condition: dict[str, Any]
) -> None:
    trust = {
        "Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"},
        "Action": "sts:AssumeRole", "Condition": condition,
    }  # fmt: skip
    arn, name = role(aws, EVERYTHING, trust=trust), f"deputy-{uuid4().hex[:8]}"
    with pytest.raises(ClientError, match="CodeBuild is not authorized to perform: sts:AssumeRole"):
        aws.client("codebuild").create_project(**_project(arn) | {"name": name})


@pytest.fixture(scope="module")
def stranger(aws: Aws) -> Identity:
    """The administrator of another account, whom nobody here has let in."""
    account = organizations.account(aws)
    return session(aws, f"arn:aws:iam::{account}:role/{organizations.ROLE}")


def test_another_accounts_bucket_is_shut(aws: Aws, stranger: Identity) -> None:
    bucket, s3 = f"ours-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"secret")
    theirs = stranger.client("s3")
    everybody = {**EVERYTHING, "Principal": "*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    for attempt in (
        lambda: theirs.get_object(Bucket=bucket, Key="a"),
        lambda: theirs.put_object(Bucket=bucket, Key="a", Body=b"forged"),
        lambda: theirs.list_objects_v2(Bucket=bucket),
        lambda: theirs.put_bucket_policy(Bucket=bucket, Policy=document(everybody)),
        lambda: theirs.delete_bucket(Bucket=bucket),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"secret"


def test_another_accounts_key_is_shut(aws: Aws, stranger: Identity) -> None:
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    theirs = stranger.client("kms")
    for attempt in (
        lambda: theirs.decrypt(CiphertextBlob=sealed, KeyId=key),
        lambda: theirs.decrypt(CiphertextBlob=sealed),
        lambda: theirs.describe_key(KeyId=key),
        lambda: theirs.put_key_policy(
            KeyId=key, PolicyName="default", Policy=document({**EVERYTHING, "Principal": "*"})
        ),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


def test_another_accounts_repository_is_not_seen(aws: Aws, stranger: Identity) -> None:
    name = f"ours-{uuid4().hex[:8]}"
    made = aws.client("codecommit").create_repository(repositoryName=name)
    url = made["repositoryMetadata"]["cloneUrlHttp"]
    theirs = stranger.client("codecommit")
    assert theirs.list_repositories()["repositories"] == []
    with pytest.raises(ClientError, match="RepositoryDoesNotExistException"):
        theirs.get_repository(repositoryName=name)
    done = subprocess.run(
        ["git", "ls-remote", url], env=stranger.environment, capture_output=True, text=True
    )
    assert done.returncode != 0


def test_who_may_put_no_policy_is_not_told_who_is_there(aws: Aws) -> None:
    bucket = f"ours-{uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=bucket)
    role_arn = f"arn:aws:iam::{ACCOUNT}:role/is-it-there"
    probe = {**EVERYTHING, "Principal": {"AWS": role_arn}, "Resource": f"arn:aws:s3:::{bucket}"}
    with pytest.raises(ClientError, match="MalformedPolicy"):
        aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=document(probe))
    with pytest.raises(ClientError, match="AccessDenied"):
        user(aws).client("s3").put_bucket_policy(Bucket=bucket, Policy=document(probe))
