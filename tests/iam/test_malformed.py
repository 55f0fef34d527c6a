"""What is no policy is refused where it is put, in the service's own words, and changes nothing."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests import tables
from tests.conftest import Aws
from tests.iam.identities import allow, role, user
from tests.roles import create_role, document

CASES = tables.read(Path(__file__).parent / "malformed.yaml")["cases"]


@pytest.fixture(scope="module")
def things(aws: Aws) -> dict[str, str]:
    """One of each thing that takes a policy."""
    name = f"t-{uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=name)
    aws.client("secretsmanager").create_secret(Name=name, SecretString="x")
    aws.client("ecr").create_repository(repositoryName=name)
    aws.client("events").create_event_bus(Name=name)
    arn = create_role(aws, name, "codebuild.amazonaws.com", "123456789012")
    project = aws.client("codebuild").create_project(
        name=name,
        serviceRole=arn,
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
    )
    return {
        "name": name,
        "role": arn,
        "key": aws.client("kms").create_key()["KeyMetadata"]["KeyId"],
        "queue": aws.client("sqs").create_queue(QueueName=name)["QueueUrl"],
        "topic": aws.client("sns").create_topic(Name=name)["TopicArn"],
        "project": project["project"]["arn"],
    }


@pytest.mark.parametrize("case", CASES, ids=[case["puts"] for case in CASES])
def test_case(aws: Aws, things: dict[str, str], case: dict[str, Any]) -> None:
    service, _, operation = case["puts"].partition(":")
    call = getattr(aws.client(service), xform_name(operation))
    things = {**things, "service": service}
    things["arn"] = string.Template(case["to"]).substitute(things)

    def given(text: str) -> Any:
        document = string.Template(text).substitute(things)
        return _filled(case["with"], {**things, "document": document})

    for text, said in case["refused"].items():
        code, _, message = said.partition(": ")
        with pytest.raises(ClientError) as raised:
            call(**given(text))
        error = raised.value.response["Error"]
        assert error["Code"] == code, (text, error)
        assert message in ("", error["Message"]), text
    call(**given(case["takes"]))


def _filled(value: Any, things: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, things) for key, one in value.items()}
    return string.Template(value).substitute(things)


def test_a_key_is_locked_for_good_only_by_who_says_so(aws: Aws) -> None:
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    locked = document(allow("kms:Decrypt", Principal={"AWS": "123456789012"}))
    with pytest.raises(ClientError, match="will not allow you to update the key policy"):
        kms.put_key_policy(KeyId=key, Policy=locked)
    kms.put_key_policy(KeyId=key, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    with pytest.raises(ClientError, match="not authorized to perform: kms:PutKeyPolicy"):
        kms.put_key_policy(KeyId=key, Policy=locked)


def test_who_puts_a_keys_policy_has_to_be_let_in_by_it(aws: Aws) -> None:
    ann = user(aws, allow("kms:*"))
    kms = ann.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    others = role(aws)
    with pytest.raises(ClientError, match="will not allow you to update the key policy"):
        kms.put_key_policy(KeyId=key, Policy=document(allow("kms:*", Principal={"AWS": others})))
    kms.put_key_policy(KeyId=key, Policy=document(allow("kms:*", Principal={"AWS": ann.arn})))
