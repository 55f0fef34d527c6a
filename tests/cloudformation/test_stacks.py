"""Stacks make what they say, and take it away again; what the lab cannot make is refused whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from labkit.cloud.cloudformation import template
from tests import tables
from tests.conftest import Aws
from tests.operations.playing import Player
from tests.waiting import eventually

FOLDER = Path(__file__).parent
TEMPLATES = tables.read(FOLDER / "templates.yaml")
TYPES = tables.read(FOLDER / "types.yaml")


class Stack:
    """One stack, and a player that knows its resources' physical ids by their names."""

    def __init__(self, aws: Aws) -> None:
        self.api, self.player = aws.client("cloudformation"), Player(aws, "cloudformation")
        self.name = f"s-{self.player.saved['id']}"
        subnets = aws.client("ec2").describe_subnets()["Subnets"]
        self.player.saved |= {
            "image": aws.image,
            "vpc": subnets[0]["VpcId"],
            "subnet": subnets[0]["SubnetId"],
            "other": subnets[1]["SubnetId"],
        }

    def create(self, template: str) -> None:
        capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        made = self.api.create_stack(
            StackName=self.name, TemplateBody=template, Capabilities=capabilities
        )
        self.id = made["StackId"]
        self._wait("CREATE_COMPLETE")
        for one in self.api.describe_stack_resources(StackName=self.name)["StackResources"]:
            self.player.saved[one["LogicalResourceId"]] = one.get("PhysicalResourceId")

    def update(self, template: str) -> None:
        capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        self.api.update_stack(StackName=self.name, TemplateBody=template, Capabilities=capabilities)
        self._wait("UPDATE_COMPLETE")

    def delete(self) -> None:
        self.api.delete_stack(StackName=self.name)
        self._wait("DELETE_COMPLETE")

    def _wait(self, status: str) -> None:
        eventually(
            lambda: self.api.describe_stacks(StackName=self.id)["Stacks"][0]["StackStatus"],
            enough=lambda found: found == status,
        )


@pytest.mark.parametrize("name", TYPES)
def test_a_resource_is_made_changed_and_taken_away(aws: Aws, name: str) -> None:
    case, stack = TYPES[name], Stack(aws)
    stack.create(json.dumps({"Resources": stack.player._filled(case["parts"])}))
    stack.player.play(case["there"])
    if "changed" in case:
        stack.update(json.dumps({"Resources": stack.player._filled(case["changed"])}))
        stack.player.play(case["then"])
    stack.delete()
    stack.player.play(case["gone"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template(aws: Aws, name: str) -> None:
    case, stack = TEMPLATES[name], Stack(aws)
    if "says" in case:
        for ask in (stack.create, lambda text: stack.api.validate_template(TemplateBody=text)):
            with pytest.raises(ClientError) as refused:
                ask(case["text"])
            error = refused.value.response["Error"]
            assert error["Code"] == "ValidationError"
            assert case["says"] in error["Message"]
        with pytest.raises(ClientError, match="does not exist"):
            stack.api.describe_stacks(StackName=stack.name)
        return
    stack.create(case["text"])
    stack.player.play(case["there"])
    stack.delete()


def test_a_stack_that_cannot_be_made_leaves_its_name_free(aws: Aws) -> None:
    stack = Stack(aws)
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"q-{stack.name}"}}
    wrong = {"Type": "AWS::SSM::Parameter", "DependsOn": "Q", "Properties": {"Type": "String", "Name": "aws", "Value": "v"}}  # fmt: skip
    with pytest.raises(ClientError):
        stack.create(json.dumps({"Resources": {"Q": queue, "P": wrong}}))
    stack.create(json.dumps({"Resources": {"Q": queue}}))
    stack.delete()


_NO_ACTION = {
    "Statement": {"Effect": "Allow", "Principal": "*", "Action": "nothing", "Resource": "*"}
}
_OF_IAM = {"Statement": {"Effect": "Allow", "Action": "nothing", "Resource": "*"}}
_TRUST = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}  # fmt: skip
MALFORMED = {
    "AWS::IAM::Role": ({"AssumeRolePolicyDocument": {"Statement": []}}, "MalformedPolicyDocument"),
    "AWS::IAM::Role's own": (
        {"AssumeRolePolicyDocument": _TRUST, "Policies": [{"PolicyName": "p", "PolicyDocument": _OF_IAM}]},
        "MalformedPolicyDocument",
    ),
    "AWS::IAM::Policy": ({"PolicyName": "p", "PolicyDocument": _OF_IAM, "Roles": []}, "MalformedPolicyDocument"),
    "AWS::KMS::Key": ({"KeyPolicy": _NO_ACTION}, "MalformedPolicyDocumentException"),
    "AWS::Logs::ResourcePolicy": ({"PolicyName": "p", "PolicyDocument": "{"}, "InvalidParameterException"),
    "AWS::S3::BucketPolicy": ({"Bucket": {"Ref": "B"}, "PolicyDocument": _NO_ACTION}, "MalformedPolicy"),
    "AWS::SNS::TopicPolicy": ({"Topics": [], "PolicyDocument": _NO_ACTION}, "InvalidParameter"),
    "AWS::SQS::QueuePolicy": ({"Queues": [], "PolicyDocument": _NO_ACTION}, "InvalidAttributeValue"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_policy_fails_its_stack_as_it_fails_its_service(aws: Aws, kind: str) -> None:
    """The errors are those of tests/iam/malformed.yaml, of the operations that put these policies."""
    (properties, code), stack = MALFORMED[kind], Stack(aws)
    resource = {"Type": kind.partition("'")[0], "Properties": properties}
    resources = {"B": {"Type": "AWS::S3::Bucket"}, "R": resource}
    with pytest.raises(ClientError) as refused:
        stack.create(json.dumps({"Resources": resources}))
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="does not exist"):
        stack.api.describe_stacks(StackName=stack.name)


def test_what_an_update_would_not_change_is_refused(aws: Aws) -> None:
    stack = Stack(aws)
    template = {
        "Parameters": {"Name": {"Type": "String", "Default": stack.name}},
        "Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Name"}}}},
    }  # fmt: skip
    stack.create(json.dumps(template))
    with pytest.raises(ClientError, match="does not change TopicName of AWS::SNS::Topic"):
        stack.api.update_stack(
            StackName=stack.name,
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": "Name", "ParameterValue": "other"}],
        )
    stack.delete()


def test_every_property_is_proved_by_a_case() -> None:
    known = template.types()
    given: dict[str, set[str]] = {}
    changed: dict[str, set[str]] = {}
    for name, case in TYPES.items():
        for part in case["parts"].values():
            given.setdefault(part["Type"], set()).update(part.get("Properties", {}))
        before, after = (
            case.get(key, case["parts"])["R"].get("Properties", {}) for key in ("parts", "changed")
        )
        changed[name] = {key for key in after if after[key] != before.get(key)}
    assert {
        kind: set(one["takes"]) - given.get(kind, set())
        for kind, one in known.items()
        if set(one["takes"]) - given.get(kind, set())
    } == {}
    assert {
        kind: set(one.get("changes", [])) - changed[kind]
        for kind, one in known.items()
        if set(one.get("changes", [])) - changed.get(kind, set())
    } == {}
    assert set(TYPES) == set(known)
