"""The table of decisions once more, asked by a user through boto3: what IAM decides, the service does.

Of the rows whose condition keys come of the caller or of the parameters, and whose actions are in
`CALLS`. What is allowed is asked of things that are not there: only a denial counts as one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws
from tests.iam.identities import ACCOUNT, Identity, session
from tests.iam.table import OWN, identity_of, policy, rows
from tests.roles import document

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
# the keys that every request has
ALWAYS = ("aws:sourceip", "aws:currenttime", "aws:epochtime", "aws:securetransport", "aws:principalarn",
          "aws:username", "aws:userid", "aws:principaltype", "aws:requestedregion", "aws:useragent",
          "aws:viaawsservice", "aws:principalaccount", "aws:resourceaccount", "aws:multifactor")  # fmt: skip
_TAG, _MAX_KEYS = "aws:PrincipalTag/", "s3:max-keys"

Call = Callable[[Identity, str, dict[str, Any]], Any]


def _s3(operation: str) -> Call:
    def call(who: Identity, resource: str, context: dict[str, Any]) -> Any:
        bucket, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
        return getattr(who.client("s3"), operation)(Bucket=bucket, Key=key)

    return call


def _list(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    most = {"MaxKeys": int(context[_MAX_KEYS])} if _MAX_KEYS in context else {}
    return who.client("s3").list_objects_v2(Bucket=resource.rpartition(":")[2], **most)


def _send(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    url = f"{who.aws.endpoint_url}/{ACCOUNT}/{resource.rpartition(':')[2]}"
    return who.client("sqs").send_message(QueueUrl=url, MessageBody="x")


def _invoke(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    return who.client("lambda").invoke(FunctionName=resource)


def _log(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    group, stream = resource.split("log-group:")[1].split(":log-stream:")
    return who.client("logs").create_log_stream(logGroupName=group, logStreamName=stream)


def _approve(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    pipeline, stage, action = resource.split(":")[5].split("/")
    result = {"summary": "", "status": "Approved"}
    return who.client("codepipeline").put_approval_result(
        pipelineName=pipeline, stageName=stage, actionName=action, token="a" * 36, result=result
    )


def _start(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    name = resource.split(":")[5]
    return who.client("codepipeline").start_pipeline_execution(name=name)


def _build(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    return who.client("codebuild").start_build(projectName=resource.rpartition("/")[2])


def _key(who: Identity, resource: str, context: dict[str, Any]) -> Any:
    return who.client("iam").create_access_key(UserName=resource.rpartition("/")[2])


CALLS: dict[str, Call] = {
    "s3:GetObject": _s3("get_object"),
    "S3:GETOBJECT": _s3("get_object"),
    "s3:PutObject": _s3("put_object"),
    "s3:ListBucket": _list,
    "s3:ListAllMyBuckets": lambda who, *_: who.client("s3").list_buckets(),
    "sqs:SendMessage": _send,
    "lambda:InvokeFunction": _invoke,
    "logs:CreateLogStream": _log,
    "codepipeline:PutApprovalResult": _approve,
    "codepipeline:StartPipelineExecution": _start,
    "codebuild:StartBuild": _build,
    "ec2:DescribeInstances": lambda who, *_: who.client("ec2").describe_instances(),
    "iam:CreateAccessKey": _key,
}


def own(row: dict[str, Any]) -> dict[str, Any]:
    """The same row in the lab's account; a bucket with a policy gets a name of its own."""
    text = json.dumps(row, default=str).replace(OWN, ACCOUNT)
    if "policy" in row:
        bucket = row["resource"].partition("/")[0]
        text = text.replace(bucket, f"{bucket}-{uuid4().hex[:8]}")
    found: dict[str, Any] = json.loads(text)
    return found


def can_be_asked(row: dict[str, Any]) -> bool:
    context, caller = row.get("context", {}), row.get("caller", "alice")
    policies = [row.get(name) for name in ("identity", "boundary", "session", "policy", "condition", "deny")]  # fmt: skip
    written = json.dumps(policies).lower()
    return (
        caller in ("alice", "build")
        and row["action"] in CALLS
        and str(row.get("account", OWN)) == OWN
        and [*row["resource"].split(":"), "", "", ""][3] in ("", "us-east-1")
        and not {"scps", "rcps", "grants", "of"} & row.keys()
        and not ("policy" in row and "s3" not in row["action"].lower())
        and not (caller == "alice" and "session" in row)
        and not row["id"].startswith("17")  # the API refuses to keep what is not of the grammar
        and all(_comes_along(key, value, row, caller) for key, value in context.items())
        and not any(key in written and not any(key in one.lower() for one in context) for key in ALWAYS)
    )  # fmt: skip


def _comes_along(key: str, value: Any, row: dict[str, Any], caller: str) -> bool:
    """Whether the caller or the parameters bring this condition key with this value."""
    if key == "aws:username":
        return caller == "alice" and value == "alice"
    if key == _MAX_KEYS:
        return (
            row["action"] == "s3:ListBucket" and str(value).isdigit() and str(int(value)) == value
        )
    return key.startswith(_TAG) and caller == "alice" and isinstance(value, str) and bool(value)


ROWS = [row for row in rows() if can_be_asked(row)]


@pytest.fixture(scope="module")
def alice(aws: Aws) -> Identity:
    iam = aws.client("iam")
    arn = iam.create_user(UserName="alice")["User"]["Arn"]
    iam.create_user(UserName="carol")  # a policy names only who is there
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}  # fmt: skip
    return Identity(aws, "alice", arn, keys)


@pytest.fixture(scope="module")
def build(aws: Aws) -> str:
    """The role's ARN."""
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    made = aws.client("iam").create_role(
        RoleName="build", Path="/service/", AssumeRolePolicyDocument=document(trust)
    )
    return str(made["Role"]["Arn"])


class Given:
    """What a row gives to who asks, until it has asked."""

    def __init__(self, aws: Aws, stack: ExitStack, row: dict[str, Any]) -> None:
        self.aws, self.stack, self.row = aws, stack, row
        self.iam, self.s3 = aws.client("iam"), aws.client("s3")

    def to_alice(self) -> None:
        name = {"UserName": "alice"}
        if (identity := identity_of(self.row)) is not None:
            text = policy(identity).text
            self.iam.put_user_policy(**name, PolicyName="row", PolicyDocument=text)
            self.stack.callback(self.iam.delete_user_policy, **name, PolicyName="row")
        tags = [
            {"Key": key.removeprefix(_TAG), "Value": value}
            for key, value in self.row.get("context", {}).items()
            if key.startswith(_TAG)
        ]
        if tags:
            self.iam.tag_user(**name, Tags=tags)
            keys = [tag["Key"] for tag in tags]
            self.stack.callback(self.iam.untag_user, **name, TagKeys=keys)
        if "boundary" in self.row:
            self.iam.put_user_permissions_boundary(**name, PermissionsBoundary=self._boundary())
            self.stack.callback(self.iam.delete_user_permissions_boundary, **name)

    def to_build(self, arn: str) -> Identity:
        name = {"RoleName": "build"}
        if (identity := identity_of(self.row)) is not None:
            text = policy(identity).text
            self.iam.put_role_policy(**name, PolicyName="row", PolicyDocument=text)
            self.stack.callback(self.iam.delete_role_policy, **name, PolicyName="row")
        if "boundary" in self.row:
            self.iam.put_role_permissions_boundary(**name, PermissionsBoundary=self._boundary())
            self.stack.callback(self.iam.delete_role_permissions_boundary, **name)
        narrowed = {"Policy": policy(self.row["session"]).text} if "session" in self.row else {}
        return session(self.aws, arn, name="run-1", **narrowed)

    def _boundary(self) -> str:
        made = self.iam.create_policy(
            PolicyName="row", PolicyDocument=policy(self.row["boundary"]).text
        )
        arn = str(made["Policy"]["Arn"])
        self.stack.callback(self.iam.delete_policy, PolicyArn=arn)
        return arn

    def to_the_bucket(self) -> None:
        bucket = self.row["resource"].removeprefix("arn:aws:s3:::").partition("/")[0]
        self.s3.create_bucket(Bucket=bucket)
        whole = json.loads(policy(self.row["policy"]).text)
        every = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]  # as S3 wants it
        for one in (
            whole["Statement"] if isinstance(whole["Statement"], list) else [whole["Statement"]]
        ):
            if one.get("Resource", "*") == "*" and "NotResource" not in one:
                one["Resource"] = every
        self.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(whole))


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_decision(aws: Aws, alice: Identity, build: str, row: dict[str, Any]) -> None:
    row = own(row)
    with ExitStack() as stack:
        given = Given(aws, stack, row)
        who = alice
        try:
            if "policy" in row:
                given.to_the_bucket()
            if row.get("caller", "alice") == "alice":
                given.to_alice()
            else:
                who = given.to_build(build)
        except ClientError as error:
            assert error.response["Error"]["Code"].startswith("MalformedPolicy")
            assert not row["allowed"]  # nothing is allowed by what is not kept
            return
        denial = asked(who, row)
    assert (denial is None) is row["allowed"], denial
    if not row["allowed"] and ":policy/" not in row.get("says", ":policy/"):
        assert denial is not None
        assert row["says"] in denial


def asked(who: Identity, row: dict[str, Any]) -> str | None:
    """The denial's message; None of what IAM allowed, whatever came of it."""
    try:
        CALLS[row["action"]](who, row["resource"], row.get("context", {}))
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED:
            return str(error.response["Error"]["Message"])
    return None


def test_they_are_a_third_of_the_table() -> None:
    assert len(ROWS) * 3 >= len(list(rows()))
