"""IAM decides every request: what a user or a role may not do is refused, and nothing is done.

AWS pages: "How AWS enforcement code logic evaluates requests to allow or deny access"; "Troubleshoot
access denied error messages"; "Error codes for the Amazon EC2 API"; "Error responses" (Amazon S3).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import organizations
from tests.conftest import Aws
from tests.iam.identities import ACCOUNT, Identity, allow, deny, role, session, user
from tests.roles import EVERYTHING, document

# service, operation, parameters, action, resource, AWS's code
REFUSED: list[tuple[str, str, dict[str, Any], str, str, str]] = [
    ("codebuild", "start_build", {"projectName": "shop"}, "codebuild:StartBuild", f"arn:aws:codebuild:us-east-1:{ACCOUNT}:project/shop", "AccessDeniedException"),
    ("codepipeline", "list_pipelines", {}, "codepipeline:ListPipelines", "*", "AccessDeniedException"),
    ("codedeploy", "get_application", {"applicationName": "shop"}, "codedeploy:GetApplication", f"arn:aws:codedeploy:us-east-1:{ACCOUNT}:application:shop", "AccessDeniedException"),
    ("codecommit", "get_repository", {"repositoryName": "shop"}, "codecommit:GetRepository", f"arn:aws:codecommit:us-east-1:{ACCOUNT}:shop", "AccessDeniedException"),
    ("s3", "list_objects_v2", {"Bucket": "shop-of-nobody"}, "s3:ListBucket", "arn:aws:s3:::shop-of-nobody", "AccessDenied"),
    ("s3", "put_object", {"Bucket": "shop-of-nobody", "Key": "a", "Body": b"x"}, "s3:PutObject", "arn:aws:s3:::shop-of-nobody/a", "AccessDenied"),
    ("s3", "put_object", {"Bucket": "shop-of-nobody", "Key": "a", "ContentType": "application/json"}, "s3:PutObject", "arn:aws:s3:::shop-of-nobody/a", "AccessDenied"),
    ("cloudtrail", "lookup_events", {}, "cloudtrail:LookupEvents", "*", "AccessDeniedException"),
    ("iam", "create_user", {"UserName": "other"}, "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/other", "AccessDenied"),
    ("cloudformation", "describe_stacks", {"StackName": "shop"}, "cloudformation:DescribeStacks", f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/shop/*", "AccessDenied"),
    ("ec2", "describe_instances", {}, "ec2:DescribeInstances", "*", "UnauthorizedOperation"),
    ("elbv2", "describe_load_balancers", {}, "elasticloadbalancing:DescribeLoadBalancers", "*", "AccessDenied"),
    ("autoscaling", "describe_auto_scaling_groups", {}, "autoscaling:DescribeAutoScalingGroups", "*", "AccessDenied"),
    ("sns", "list_topics", {}, "sns:ListTopics", "*", "AuthorizationError"),
    ("sqs", "create_queue", {"QueueName": "shop"}, "sqs:createqueue", f"arn:aws:sqs:us-east-1:{ACCOUNT}:shop", "AccessDenied"),
    ("lambda", "get_function", {"FunctionName": "shop"}, "lambda:GetFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:shop", "AccessDeniedException"),
    ("ecs", "list_clusters", {}, "ecs:ListClusters", "*", "AccessDeniedException"),
    ("ecr", "describe_repositories", {}, "ecr:DescribeRepositories", f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/*", "AccessDeniedException"),
    ("events", "put_rule", {"Name": "r", "EventPattern": "{\"source\": [\"x\"]}"}, "events:PutRule", f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r", "AccessDeniedException"),
    ("logs", "describe_log_groups", {}, "logs:DescribeLogGroups", "*", "AccessDeniedException"),
    ("cloudwatch", "describe_alarms", {}, "cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:*", "AccessDenied"),
    ("kms", "create_key", {}, "kms:CreateKey", "*", "AccessDeniedException"),
    ("secretsmanager", "list_secrets", {}, "secretsmanager:ListSecrets", "*", "AccessDeniedException"),
    ("ssm", "get_parameter", {"Name": "shop"}, "ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/shop", "AccessDeniedException"),
    ("stepfunctions", "list_state_machines", {}, "states:ListStateMachines", "*", "AccessDeniedException"),
]  # fmt: skip


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


@pytest.fixture(scope="session")
def nobody(aws: Aws) -> Any:
    """A user without any policy."""
    return user(aws)


@pytest.mark.parametrize("row", REFUSED, ids=[f"{row[0]}:{row[1]}" for row in REFUSED])
def test_who_has_no_policy_is_refused_in_the_services_own_form(nobody: Any, row: Any) -> None:
    service, operation, parameters, action, resource, code = row
    with pytest.raises(ClientError) as refused:
        getattr(nobody.client(service), operation)(**parameters)
    found, message = refusal(refused)
    assert found == code, message
    sentence = (
        f"User: {nobody.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
    assert sentence.lower() in message.lower().replace('"', "")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_what_is_refused_is_not_done(aws: Aws, nobody: Any) -> None:
    name = f"never-{uuid4().hex[:8]}"
    with pytest.raises(ClientError):
        nobody.client("sqs").create_queue(QueueName=name)
    assert "QueueUrls" not in aws.client("sqs").list_queues(QueueNamePrefix=name)


def test_who_one_is_may_always_be_asked(nobody: Any) -> None:
    assert nobody.client("sts").get_caller_identity()["Arn"] == nobody.arn


def test_a_policy_allows_just_what_it_names(aws: Aws) -> None:
    one, other = (f"allowed-{uuid4().hex[:8]}" for _ in range(2))
    by_name = user(aws, allow("sqs:CreateQueue", f"arn:aws:sqs:*:*:{one}")).client("sqs")
    by_name.create_queue(QueueName=one)
    for refused in (lambda: by_name.create_queue(QueueName=other), by_name.list_queues):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_a_deny_wins_over_the_administrator(aws: Aws) -> None:
    somebody = user(aws, EVERYTHING, deny("s3:DeleteBucket"))
    name = f"kept-{uuid4().hex[:8]}"
    s3 = somebody.client("s3")
    s3.create_bucket(Bucket=name)
    with pytest.raises(ClientError, match="explicit deny in an identity-based policy"):
        s3.delete_bucket(Bucket=name)
    assert name in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def test_a_changed_policy_counts_at_once(aws: Aws) -> None:
    arn = role(aws)
    somebody = session(aws, arn)
    with pytest.raises(ClientError):
        somebody.client("sns").list_topics()
    aws.client("iam").put_role_policy(
        RoleName=somebody.name, PolicyName="own", PolicyDocument=document(allow("sns:ListTopics"))
    )
    somebody.client("sns").list_topics()


def test_a_buckets_policy_alone_lets_a_user_of_the_account_in(aws: Aws) -> None:
    bucket, somebody, s3 = f"shared-{uuid4().hex[:8]}", user(aws), aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        somebody.client("s3").get_object(Bucket=bucket, Key="a")
    statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": somebody.arn})
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    assert somebody.client("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"


def test_a_buckets_policy_refuses_the_learner_what_is_not_encrypted(aws: Aws) -> None:
    # "Protecting data with server-side encryption", the bucket policy that denies
    bucket, s3 = f"encrypted-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    encrypted = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}
    statement = deny("s3:PutObject", f"arn:aws:s3:::{bucket}/*", Principal="*", Condition=encrypted)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    s3.put_object(Bucket=bucket, Key="a", Body=b"1", ServerSideEncryption="aws:kms")


def test_the_tags_of_an_object_decide_who_reads_it(aws: Aws) -> None:
    """S3 User Guide: "Tagging and access control policies"; each version has tags of its own."""
    bucket, s3 = f"tagged-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    green = {"StringEquals": {"s3:ExistingObjectTag/Colour": "green"}}
    actions = ["s3:GetObject", "s3:GetObjectVersion"]
    reader = user(aws, allow(actions, f"arn:aws:s3:::{bucket}/*", Condition=green)).client("s3")
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="Colour=green")["VersionId"]
    reader.get_object(Bucket=bucket, Key="a")
    s3.put_object(Bucket=bucket, Key="a", Body=b"2", Tagging="Colour=red")
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_object(Bucket=bucket, Key="a")
    reader.get_object(Bucket=bucket, Key="a", VersionId=first)
    tags = {"TagSet": [{"Key": "Colour", "Value": "green"}]}
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tags)
    reader.get_object(Bucket=bucket, Key="a")


def test_a_role_is_handed_over_by_whom_may_pass_it(aws: Aws) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    arn, name = role(aws, EVERYTHING, trust=trust), f"f-{uuid4().hex[:8]}"
    function = {
        "FunctionName": name, "Runtime": "python3.11", "Handler": "index.handler",
        "Code": {"ZipFile": b"PK\x05\x06" + b"\0" * 18}, "Role": arn,
    }  # fmt: skip
    create = allow("lambda:CreateFunction")
    with pytest.raises(ClientError, match=f"iam:PassRole on resource: {arn}"):
        user(aws, create).client("lambda").create_function(**function)
    to = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    with pytest.raises(ClientError, match="iam:PassRole"):
        elsewhere = user(aws, create, allow("iam:PassRole", arn, Condition=to))
        elsewhere.client("lambda").create_function(**function)
    to = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    allowed = user(aws, create, allow("iam:PassRole", arn, Condition=to))
    allowed.client("lambda").create_function(**function)


def test_a_role_is_assumed_by_whom_it_trusts_and_who_may(aws: Aws) -> None:
    anybody = role(aws)
    with pytest.raises(ClientError, match="sts:AssumeRole"):
        session(aws, anybody, user(aws))  # the account is trusted; the user's own policies decide
    session(aws, anybody, user(aws, allow("sts:AssumeRole", anybody)))
    one = user(aws)
    by_name = {"Effect": "Allow", "Principal": {"AWS": one.arn}, "Action": "sts:AssumeRole"}
    session(aws, role(aws, trust=by_name), one)


def test_an_external_id_has_to_be_said(aws: Aws) -> None:
    # "How to use an external ID when granting access to your AWS resources to a third party"
    trust = {
        "Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "12345"}},
    }  # fmt: skip
    arn = role(aws, trust=trust)
    for wrong in ({}, {"ExternalId": "54321"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            session(aws, arn, **wrong)
    session(aws, arn, ExternalId="12345")


def test_a_session_policy_only_narrows(aws: Aws) -> None:
    arn = role(aws, allow("sns:ListTopics"))
    wide = session(aws, arn, Policy=document(EVERYTHING))
    wide.client("sns").list_topics()
    with pytest.raises(ClientError, match="no identity-based policy allows"):
        wide.client("sqs").list_queues()
    none = session(aws, arn, Policy=document(allow("sqs:*")))
    with pytest.raises(ClientError, match="no session policy allows"):
        none.client("sns").list_topics()


def test_a_boundary_caps(aws: Aws) -> None:
    name = f"b-{uuid4().hex[:8]}"
    made = aws.client("iam").create_policy(PolicyName=name, PolicyDocument=document(allow("sns:*")))
    arn = role(aws, EVERYTHING, PermissionsBoundary=made["Policy"]["Arn"])
    somebody = session(aws, arn)
    somebody.client("sns").list_topics()
    with pytest.raises(ClientError, match="no permissions boundary allows"):
        somebody.client("sqs").list_queues()


def test_a_tag_of_the_resource_decides(aws: Aws) -> None:
    # "Controlling access to AWS resources using tags"
    sqs, queues = aws.client("sqs"), {}
    for team in ("shop", "bank"):
        made = sqs.create_queue(QueueName=f"{team}-{uuid4().hex[:8]}", tags={"team": team})
        queues[team] = made["QueueUrl"]
    condition = {"StringEquals": {"aws:ResourceTag/team": "shop"}}
    mine = user(aws, allow("sqs:SendMessage", Condition=condition)).client("sqs")
    mine.send_message(QueueUrl=queues["shop"], MessageBody="hello")
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.send_message(QueueUrl=queues["bank"], MessageBody="hello")


@pytest.fixture
def clone(aws: Aws, tmp_path: Path) -> Any:
    """A repository with a first commit on main, and how somebody pushes to it."""
    name = f"shop-{uuid4().hex[:8]}"
    codecommit = aws.client("codecommit")
    url = codecommit.create_repository(repositoryName=name)["repositoryMetadata"]["cloneUrlHttp"]

    def git(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True
        )

    git("init", "-q", "-b", "main", env=aws.env)
    git("commit", "-q", "--allow-empty", "-m", "first", env=aws.env)
    done = git("push", "-q", url, "main", env=aws.env)
    assert done.returncode == 0, done.stderr
    git("commit", "-q", "--allow-empty", "-m", "second", env=aws.env)
    return name, url, git


def test_main_is_protected_and_git_says_so(aws: Aws, clone: Any) -> None:
    # "Limit pushes and merges to branches in AWS CodeCommit"
    name, url, git = clone
    main = {
        "StringEqualsIfExists": {"codecommit:References": ["refs/heads/main"]},
        "Null": {"codecommit:References": "false"},
    }
    somebody = user(aws, allow("codecommit:*"), deny("codecommit:GitPush", Condition=main))
    env = somebody.environment
    done = git("push", url, "main:feature", env=env)
    assert done.returncode == 0, done.stderr
    done = git("push", url, "main", env=env)
    assert done.returncode != 0
    assert "[remote rejected] main -> main" in done.stderr
    assert "codecommit:GitPush" in done.stderr and "explicit deny" in done.stderr
    codecommit = aws.client("codecommit")
    tips = {
        branch: codecommit.get_branch(repositoryName=name, branchName=branch)["branch"]["commitId"]
        for branch in ("main", "feature")
    }
    assert tips["main"] != tips["feature"]


def test_who_may_not_pull_gets_no_clone(nobody: Any, clone: Any) -> None:
    _, url, git = clone
    done = git("ls-remote", url, env=nobody.environment)
    assert done.returncode != 0
    assert "403" in done.stderr


def test_a_denial_is_in_the_trail(aws: Aws, nobody: Any) -> None:
    with pytest.raises(ClientError):
        nobody.client("sns").list_topics()
    records = map(json.loads, (aws.state_dir / "trail.jsonl").read_text().splitlines())
    mine = [one for one in records if one["userIdentity"].get("arn") == nobody.arn]
    assert mine[-1]["eventName"] == "ListTopics"
    assert mine[-1]["errorCode"] == "AuthorizationError"


def member(aws: Aws, *statements: dict[str, Any]) -> tuple[str, Identity]:
    """A new account below a service control policy of these statements, and its administrator."""
    organization, account = organizations.create(aws), organizations.account(aws)
    if statements:
        policy = organization.create_policy(
            Name=f"p-{account}", Description="caps", Type="SERVICE_CONTROL_POLICY",
            Content=document(list(statements)),
        )["Policy"]["PolicySummary"]["Id"]  # fmt: skip
        organization.attach_policy(PolicyId=policy, TargetId=account)
    return account, session(aws, f"arn:aws:iam::{account}:role/{organizations.ROLE}")


def test_a_service_control_policy_caps_an_accounts_administrator_and_not_the_management_account(
    aws: Aws,
) -> None:
    # "Service control policies (SCPs)", SCP effects on permissions
    account, administrator = member(aws, deny("sqs:*"))
    with pytest.raises(ClientError, match="AccessDenied") as error:
        administrator.client("sqs").list_queues()
    _, told = refusal(error)
    assert f"arn:aws:sts::{account}:assumed-role/{organizations.ROLE}/me" in told
    assert "sqs:ListQueues" in told and "with an explicit deny in a service control policy" in told
    administrator.client("sns").list_topics()
    aws.client("sqs").list_queues()


def test_what_no_service_control_policy_allows_nobody_in_the_account_may(aws: Aws) -> None:
    account, administrator = member(aws, allow("s3:*"))
    aws.client("organizations").detach_policy(PolicyId="p-FullAWSAccess", TargetId=account)
    administrator.client("s3").list_buckets()
    with pytest.raises(ClientError, match="because no service control policy allows the sqs:Lis"):
        administrator.client("sqs").list_queues()


def test_an_account_is_who_signs_whatever_a_header_says(aws: Aws) -> None:
    account, administrator = member(aws)
    client = administrator.client("iam")
    client.meta.events.register(
        "before-sign.iam",
        lambda request, **_: request.headers.add_header("x-moto-account-id", ACCOUNT),
    )
    client.create_user(UserName=f"of-{account}")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        aws.client("iam").get_user(UserName=f"of-{account}")


def test_an_account_knows_its_organization(aws: Aws) -> None:
    # "AWS global condition context keys", aws:PrincipalOrgID
    _, administrator = member(aws)
    bucket, s3 = f"shared-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    organization = aws.client("organizations").describe_organization()["Organization"]["Id"]
    for known, is_let_in in (("o-somebodyels", False), (organization, True)):
        condition = {"StringEquals": {"aws:PrincipalOrgID": known}}
        statement = allow(
            "s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*", Condition=condition
        )
        s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
        if is_let_in:
            administrator.client("s3").get_object(Bucket=bucket, Key="a")
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                administrator.client("s3").get_object(Bucket=bucket, Key="a")


def test_the_labs_address_counts_as_https_and_localhost_as_http(aws: Aws) -> None:
    # "AWS global condition context keys", aws:SecureTransport
    bucket, s3 = f"secure-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    objects = f"arn:aws:s3:::{bucket}/*"
    statement = deny("s3:*", objects, Principal="*", Condition=insecure)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    plain = Aws({**aws.description, "endpoint_url": on_localhost(aws)})
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        plain.client("s3").get_object(Bucket=bucket, Key="a")


def on_localhost(aws: Aws) -> str:
    return aws.endpoint_url.replace("127.0.0.1", "localhost")
