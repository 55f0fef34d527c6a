"""What is behind the names in a request, in an account that has one of each.

Set up through boto3, in moto as the test's own process has it; CodeDeploy, which is ours, in its backend.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.s3.responses import S3Response

import labkit.cloud.cloudformation  # else moto takes seconds to import its own
import labkit.cloud.codedeploy.iam  # noqa: F401 - it registers its kinds
from labkit.cloud.codedeploy.models import Application, Deployment, Group, codedeploy_backends
from labkit.cloud.iam.asked import rows
from labkit.cloud.iam.asked.expressions import Find
from labkit.cloud.iam.found import finder
from labkit.cloud.s3 import acls
from labkit.cloud.shared.identity import Principal

pytestmark = pytest.mark.slow

ACCOUNT, REGION = "123456789012", "us-east-1"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
TEMPLATE = json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}}}})  # fmt: skip
IAM = f"arn:aws:iam::{ACCOUNT}"
ALICE = Principal(f"{IAM}:user/alice", ACCOUNT, "AKIAEXAMPLE", "secret")
SESSION = Principal(
    f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/run",
    ACCOUNT,
    "ASIAEXAMPLE",
    "secret",
    role_arn=f"{IAM}:role/ci/deployer",
)

# kind, name -> what is found; what stands in braces is made when the account is
MANAGED = (
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/8c3faf07-f43c-4d11-abdb-9183079214c7"  # is in every Region
)
MANAGED_SECRETS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/fee5173a-3972-428e-ae73-cd4c2a371222"
# what the cases of tests/operations find, through the door
BY_OPERATIONS = {"organizations:id", "organizations:policy-type", "s3:encrypted-with"}

FOUND = [
    ("iam:user", "alice", f"{IAM}:user/staff/alice"),
    ("iam:access-key", "{access_key}", f"{IAM}:user/staff/alice"),
    ("iam:caller", "user", f"{IAM}:user/staff/alice"),
    ("iam:group", "admins", f"{IAM}:group/admins"),
    ("iam:role", "deployer", f"{IAM}:role/ci/deployer"),
    ("iam:role-boundary", "deployer", f"{IAM}:policy/cap"),
    ("iam:role-boundary", "builder", None),
    ("iam:user-boundary", "alice", None),
    ("iam:instance-profile", "host", f"{IAM}:instance-profile/host"),
    ("iam:instance-profile-roles", "host", [f"{IAM}:role/ci/deployer"]),
    ("iam:instance-profile-roles", f"{IAM}:instance-profile/host", [f"{IAM}:role/ci/deployer"]),
    ("iam:instance-profile-roles", "empty", []),
    ("ec2:launch-template", "web", "{template}"),
    ("ec2:launch-template-roles", "{template}:$Default", [f"{IAM}:role/ci/deployer"]),
    ("ec2:launch-template-roles", "web:1", [f"{IAM}:role/ci/deployer"]),
    ("ec2:launch-template-roles", "web:$Latest", [f"{IAM}:role/builder"]),
    ("ec2:launch-template-roles", "web: 2 ", [f"{IAM}:role/builder"]),  # as moto reads it
    ("ec2:launch-template-roles", "web:3", None),
    ("ec2:launch-template-roles", "web:new", None),
    ("ec2:association", "{association}", "{instance}"),
    ("ec2:key-pair", "{key_pair}", "admin"),
    ("ec2:route-table", "{route_association}", "{route_table}"),
    ("ec2:security-group", "web", "{security_group}"),
    ("autoscaling:group", "web", "{group}"),
    ("autoscaling:instance-group", "{scaled}", "{group}"),
    ("autoscaling:instance-group", "{instance}", None),
    ("cloudformation:change-set", "{change_set}", "{stack}"),
    ("cloudformation:physical", "{queue}", "{stack}"),
    ("ecs:task-definition", "web", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:2"),
    ("ecs:task-definition", "web:1", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1"),
    ("ecs:task-definition", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1"),
    ("ecs:task-definition", "web:3", None),
    ("ecs:task-definition-roles", "web:1", [f"{IAM}:role/ci/deployer", f"{IAM}:role/builder"]),
    ("ecs:task-definition-roles", "web", []),
    ("kms:key", "{key}", "{key_arn}"),
    ("kms:key", "{key_arn}", "{key_arn}"),
    ("kms:key", "alias/shop", "{key_arn}"),
    ("kms:key", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/shop", "{key_arn}"),
    ("kms:key", "arn:aws:kms:us-east-1:999999999999:key/{key}", "{key_arn}"),  # moto uses it so
    ("kms:key", "alias/aws/s3", MANAGED),
    ("kms:ciphertext", "{ciphertext}", "{key_arn}"),
    ("secretsmanager:secret", "db", "{secret}"),
    ("secretsmanager:secret", "{secret}", "{secret}"),
    ("secretsmanager:secret", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db", "{secret}"),
    ("kms:key", "alias/aws/secretsmanager", MANAGED_SECRETS),
    ("secretsmanager:key", "db", MANAGED_SECRETS),
    ("secretsmanager:key", "{secret}", MANAGED_SECRETS),
    ("secretsmanager:key", "locked", "{key_arn}"),
    ("sqs:key", f"http://127.0.0.1:4566/{ACCOUNT}/locked", "{key_arn}"),
    ("sqs:key", "http://127.0.0.1:4566/999999999999/locked", None),
    ("sqs:key", "{queue}", None),
    ("sns:key", f"arn:aws:sns:{REGION}:{ACCOUNT}:locked", "{key_arn}"),
    ("sns:key", f"arn:aws:sns:{REGION}:{ACCOUNT}:nothing", None),
    ("s3:encrypts-with", "nowhere  ", None),
    ("s3:encrypts-with", "nowhere AES256 ", None),
    ("s3:encrypts-with", "nowhere aws:kms ", MANAGED),
    ("s3:encrypts-with", "nowhere aws:kms alias/shop", "{key_arn}"),
    ("s3:encrypts-with", "nowhere aws:kms alias/none", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/none"),
    ("s3:encrypted-with", "nowhere  a.txt", None),
    ("s3:upload", "{upload}", {"ACL": "bucket-owner-full-control", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1", "StorageClass": "STANDARD_IA"}),
    ("s3:upload", "{plain_upload}", {}),
    ("codedeploy:deployment", "d-1", f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:shop/prod"),
    ("codedeploy:deployment-config", "shop/prod", "CodeDeployDefault.OneAtATime"),
]  # fmt: skip
SAID = sorted(
    {
        kind
        for one in re.findall(r"((?:[a-z0-9]+:[a-z-]+(?:, )?)+) {2,}", str(rows.__doc__))
        for kind in one.split(", ")
    }
)


@pytest.fixture(scope="module")
def there() -> Iterator[dict[str, Any]]:
    """What is there, by what the table calls it."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "_acl_from_headers", S3Response._acl_from_headers)
        acls.start()
        yield _of_iam() | _of_ec2() | _of_others()


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def _of_iam() -> dict[str, Any]:
    iam = client("iam")
    iam.create_user(UserName="alice", Path="/staff/")
    iam.create_group(GroupName="admins")
    iam.create_policy(PolicyName="cap", PolicyDocument=TRUST.replace("[]", '[{"Effect": "Allow", "Action": "*", "Resource": "*"}]'))  # fmt: skip
    iam.create_role(RoleName="builder", AssumeRolePolicyDocument=TRUST)
    iam.create_role(RoleName="deployer", Path="/ci/", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=f"{IAM}:policy/cap")  # fmt: skip
    for name, role in {"host": "deployer", "build": "builder", "empty": None}.items():
        iam.create_instance_profile(InstanceProfileName=name)
        if role:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    return {"access_key": key["AccessKeyId"]}


def _of_ec2() -> dict[str, Any]:
    ec2, scaling = client("ec2"), client("autoscaling")
    image = {"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={**image, "IamInstanceProfile": {"Name": "host"}},
    )["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_launch_template_version(
        LaunchTemplateId=template,
        LaunchTemplateData={
            **image,
            "IamInstanceProfile": {"Arn": f"{IAM}:instance-profile/build"},
        },
    )
    instance = ec2.run_instances(**image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    association = ec2.associate_iam_instance_profile(
        InstanceId=instance, IamInstanceProfile={"Name": "host"}
    )["IamInstanceProfileAssociation"]["AssociationId"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    table = ec2.create_route_table(VpcId=subnet["VpcId"])["RouteTable"]["RouteTableId"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchTemplate={"LaunchTemplateId": template},
        MinSize=1,
        MaxSize=1,
        VPCZoneIdentifier=subnet["SubnetId"],
    )
    group = scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]
    return {
        "template": template,
        "instance": instance,
        "association": association,
        "route_table": table,
        "route_association": ec2.associate_route_table(
            RouteTableId=table, SubnetId=subnet["SubnetId"]
        )["AssociationId"],
        "key_pair": ec2.create_key_pair(KeyName="admin", KeyType="ed25519")["KeyPairId"],
        "security_group": ec2.create_security_group(GroupName="web", Description="web")["GroupId"],
        "group": group["AutoScalingGroupARN"],
        "scaled": group["Instances"][0]["InstanceId"],
    }


def _of_others() -> dict[str, Any]:
    kms, s3, ecs, stacks = map(client, ("kms", "s3", "ecs", "cloudformation"))
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/shop", TargetKeyId=key["KeyId"])
    locked = {"KmsMasterKeyId": "alias/shop"}
    client("sqs").create_queue(QueueName="locked", Attributes=locked)
    client("sns").create_topic(Name="locked", Attributes=locked)
    client("secretsmanager").create_secret(Name="locked", SecretString="x", KmsKeyId=key["KeyId"])
    s3.create_bucket(Bucket="shop")
    begun = {"ACL": "bucket-owner-full-control", "ServerSideEncryption": "aws:kms"} | {
        "SSEKMSKeyId": "k1",
        "StorageClass": "STANDARD_IA",
    }
    containers = [{"name": "web", "image": "web", "memory": 128}]
    ecs.register_task_definition(
        family="web",
        containerDefinitions=containers,
        taskRoleArn=f"{IAM}:role/ci/deployer",
        executionRoleArn=f"{IAM}:role/builder",
    )
    ecs.register_task_definition(family="web", containerDefinitions=containers)
    stack = stacks.create_stack(StackName="shop", TemplateBody=TEMPLATE)["StackId"]
    changes = stacks.create_change_set(
        StackName="shop", ChangeSetName="next", TemplateBody=TEMPLATE, ChangeSetType="UPDATE"
    )
    backend = codedeploy_backends[ACCOUNT][REGION]
    backend.applications["shop"] = Application(
        "shop", groups={"prod": Group("shop", {"deploymentGroupName": "prod"})}
    )
    backend.deployments["d-1"] = Deployment("shop", "prod", "g-1", "c", {}, id="d-1")
    return {
        "key": key["KeyId"],
        "key_arn": key["Arn"],
        "ciphertext": kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret")["CiphertextBlob"],
        "upload": s3.create_multipart_upload(Bucket="shop", Key="a.zip", **begun)["UploadId"],
        "plain_upload": s3.create_multipart_upload(Bucket="shop", Key="b.zip")["UploadId"],
        "secret": client("secretsmanager").create_secret(Name="db", SecretString="x")["ARN"],
        "stack": stack,
        "change_set": changes["Id"],
        "queue": stacks.describe_stack_resources(StackName="shop")["StackResources"][0][
            "PhysicalResourceId"
        ],
    }


def filled(text: Any, there: dict[str, Any]) -> Any:
    if not isinstance(text, str):
        return text
    whole = text[1:-1] if text.startswith("{") and text.endswith("}") else None
    return there[whole] if whole else re.sub(r"\{(\w+)\}", lambda one: there[one[1]], text)


@pytest.fixture
def find(there: dict[str, Any]) -> Find:
    return finder(ALICE, REGION)


@pytest.mark.parametrize(("kind", "name", "expected"), FOUND)
def test_what_is_found(
    kind: str, name: str, expected: Any, find: Find, there: dict[str, Any]
) -> None:
    assert find(kind, filled(name, there)) == filled(expected, there)


def test_every_kind_that_the_tables_may_have_to_find_is_found() -> None:
    found = {kind for kind, _, expected in FOUND if expected} | {"iam:user-boundary"}
    assert found | BY_OPERATIONS == set(SAID)


def test_a_session_is_no_user(there: dict[str, Any]) -> None:
    assert finder(SESSION, REGION)("iam:caller", "user") is None


@pytest.mark.parametrize("kind", [kind for kind in SAID if not kind.startswith(("iam:", "s3:"))])
def test_names_of_another_region_are_not_found(kind: str, there: dict[str, Any]) -> None:
    names = [
        filled(name, there)
        for one, name, to in FOUND
        if one == kind and to not in (MANAGED, MANAGED_SECRETS)
    ]
    elsewhere = finder(ALICE, "eu-west-1")
    assert {name: elsewhere(kind, name) for name in names if "arn:" not in str(name)} == {
        name: None for name in names if "arn:" not in str(name)
    }


NEAR = ("web", "shop", "db")


@given(
    kind=st.sampled_from([*SAID, "iam:nothing"]),
    name=st.one_of(
        st.text(),
        st.binary(),
        st.none(),
        st.integers(),
        st.dictionaries(st.text(), st.text(), max_size=1),
        st.from_regex(r"arn:aws:\w+:\w*:\w*:\w+[:/]\w*", fullmatch=True),
        st.from_regex(r"(web|shop|db)[:/]{0,2}[\w$-]*", fullmatch=True),
    ),
)
@settings(max_examples=70, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unknown_names_are_nothing_and_no_error(kind: str, name: Any, find: Find) -> None:
    found = find(kind, name)
    assert found is None or (isinstance(name, str) and name.startswith(NEAR))


def test_looking_makes_nothing(there: dict[str, Any]) -> None:
    nobody = Principal(
        "arn:aws:iam::999999999999:user/eve", "999999999999", "AKIAEXAMPLE", "secret"
    )
    assert {finder(nobody, REGION)(kind, "default") for kind in SAID} == {None}
    assert "999999999999" not in {account for one in BackendDict._instances for account in one}
