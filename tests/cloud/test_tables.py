"""What the server reads only when it is asked for is all there then."""

from __future__ import annotations

import json

import boto3
import pytest

from tests.conftest import Aws


def test_the_instance_types(aws: Aws) -> None:
    found = aws.client("ec2").describe_instance_types(InstanceTypes=["t3.micro"])["InstanceTypes"]
    assert [(one["InstanceType"], one["VCpuInfo"]["DefaultVCpus"]) for one in found] == [
        ("t3.micro", 2)
    ]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_where_an_instance_type_is_offered(aws: Aws, region: str) -> None:
    ec2 = boto3.client(
        "ec2",
        endpoint_url=aws.endpoint_url,
        region_name=region,
        aws_access_key_id=aws.description["access_key_id"],
        aws_secret_access_key=aws.description["secret_access_key"],
    )
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}],
    )["InstanceTypeOfferings"]
    assert {one["Location"][:-1] for one in offered} == {region}
    assert {one["LocationType"] for one in offered} == {"availability-zone"}


def test_an_instance_type_that_does_not_exist(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    with pytest.raises(ec2.exceptions.ClientError, match="gigantic"):
        ec2.describe_instance_types(InstanceTypes=["t3.gigantic"])


def test_the_policies_of_aws(aws: Aws) -> None:
    iam = aws.client("iam")
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    arns = {one["Arn"] for page in pages for one in page["Policies"]}
    assert len(arns) > 1000
    arn = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert arn in arns
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    document = json.loads(document) if isinstance(document, str) else document
    assert document["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


def test_ones_own_policies_are_among_them(aws: Aws) -> None:
    iam = aws.client("iam")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
    made = iam.create_policy(PolicyName="own-among-them", PolicyDocument=json.dumps(document))
    local = iam.list_policies(Scope="Local")["Policies"]
    assert "own-among-them" in {one["PolicyName"] for one in local}
    assert not any(one["Arn"].startswith("arn:aws:iam::aws:") for one in local)
    iam.delete_policy(PolicyArn=made["Policy"]["Arn"])
