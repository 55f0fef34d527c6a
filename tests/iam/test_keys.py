"""Services that use a KMS key do so for who asks them, or as themselves: queues, topics, secrets, log groups."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import organizations, tables
from tests.conftest import Aws
from tests.iam.identities import ACCOUNT, Identity, allow, session, user
from tests.queues import create_queue
from tests.roles import document
from tests.waiting import eventually

ROWS = tables.read(Path(__file__).with_name("keys.yaml"))
OWN = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
LOGS = {"Service": "logs.us-east-1.amazonaws.com"}


@dataclass(frozen=True)
class Locked:
    """A queue, a topic and a secret that one key locks."""

    key: str
    queue: str
    topic: str
    secret: str


@pytest.fixture(scope="module")
def locked(aws: Aws) -> Iterator[dict[str, Locked]]:
    """By whose key it is; `disabled` is disabled once all three are there."""
    kms = aws.client("kms")
    made = {}
    for whose in ("customer", "disabled", "aws"):
        key = None if whose == "aws" else kms.create_key()["KeyMetadata"]["Arn"]
        made[whose] = lock(aws, key)
    kms.disable_key(KeyId=made["disabled"].key)
    yield made
    kms.enable_key(KeyId=made["disabled"].key)


def lock(aws: Aws, key: str | None) -> Locked:
    name = f"k-{uuid4().hex[:8]}"
    of = {service: {"KmsMasterKeyId": key or f"alias/aws/{service}"} for service in ("sqs", "sns")}
    queue = aws.client("sqs").create_queue(QueueName=name, Attributes=of["sqs"])["QueueUrl"]
    topic = aws.client("sns").create_topic(Name=name, Attributes=of["sns"])["TopicArn"]
    own = {"KmsKeyId": key} if key else {}
    secret = aws.client("secretsmanager").create_secret(Name=name, SecretString="x", **own)["ARN"]
    return Locked(key or "", queue, topic, secret)


DOES: dict[str, Callable[[Identity, Locked], Any]] = {
    "send": lambda who, on: who.client("sqs").send_message(QueueUrl=on.queue, MessageBody="x"),
    "send several": lambda who, on: who.client("sqs").send_message_batch(
        QueueUrl=on.queue, Entries=[{"Id": "1", "MessageBody": "x"}]
    ),
    "receive": lambda who, on: who.client("sqs").receive_message(QueueUrl=on.queue),
    "publish": lambda who, on: who.client("sns").publish(TopicArn=on.topic, Message="x"),
    "read": lambda who, on: who.client("secretsmanager").get_secret_value(SecretId=on.secret),
    "make": lambda who, on: who.client("secretsmanager").create_secret(
        Name=uuid4().hex, SecretString="x", KmsKeyId=on.key
    ),
    "put": lambda who, on: who.client("secretsmanager").put_secret_value(
        SecretId=on.secret, SecretString="y"
    ),
    "use the key": lambda who, on: who.client("kms").generate_data_key(
        KeyId=on.key, KeySpec="AES_256"
    ),
}


@pytest.mark.parametrize("row", ROWS, ids=[row["case"] for row in ROWS])
def test_who_may_use_a_key_through_a_service(
    aws: Aws, locked: dict[str, Locked], row: dict[str, Any]
) -> None:
    on = locked[row["key"]]
    conditions = {"Condition": row["when"]} if "when" in row else {}
    of_key = [allow([f"kms:{one}" for one in row["may"]], on.key or "*", **conditions)]
    who = user(aws, allow(["sqs:*", "sns:*", "secretsmanager:*"]), *(of_key if row["may"] else ()))
    if "fails" not in row:
        DOES[row["does"]](who, on)
        return
    with pytest.raises(ClientError) as refused:
        DOES[row["does"]](who, on)
    error = refused.value.response["Error"]
    assert error["Code"] == row["fails"]
    assert row.get("says", "") in error["Message"]


def test_a_secret_of_another_account_needs_a_key_of_the_customers(aws: Aws) -> None:
    """Secrets Manager User Guide: "Access AWS Secrets Manager secrets from a different account"."""
    other = organizations.account(aws)
    role = f"arn:aws:iam::{other}:role/{organizations.ROLE}"
    reader = session(aws, role).client("secretsmanager")
    kms, secrets = aws.client("kms"), aws.client("secretsmanager")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    default, own = lock(aws, None).secret, lock(aws, key).secret
    for secret in (default, own):
        may = allow("secretsmanager:GetSecretValue", Principal={"AWS": role})
        secrets.put_resource_policy(SecretId=secret, ResourcePolicy=document(may))
    with pytest.raises(ClientError, match="if you encrypt the secret with the default KMS service"):
        reader.get_secret_value(SecretId=default)
    with pytest.raises(ClientError, match="Access to KMS is not allowed"):
        reader.get_secret_value(SecretId=own)
    shared = [allow("kms:*", **OWN), allow("kms:Decrypt", Principal={"AWS": role})]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(shared))
    assert reader.get_secret_value(SecretId=own)["SecretString"] == "x"


def test_a_topic_delivers_to_a_locked_queue_only_if_its_key_lets_sns_in(aws: Aws) -> None:
    """SQS Developer Guide: "Amazon SQS Key management", configure KMS permissions for AWS services."""
    sns, sqs, kms = aws.client("sns"), aws.client("sqs"), aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    topic = sns.create_topic(Name=f"k-{uuid4().hex[:8]}")["TopicArn"]
    url, arn = create_queue(aws, f"k-{uuid4().hex[:8]}", "sns.amazonaws.com")
    open_url, open_arn = create_queue(aws, f"k-{uuid4().hex[:8]}", "sns.amazonaws.com")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key})
    for endpoint in (arn, open_arn):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)

    def received(queue: str) -> list[str]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(one["Body"])["Message"] for one in answer.get("Messages", [])]

    sns.publish(TopicArn=topic, Message="before")
    eventually(lambda: received(open_url))
    service = {"Principal": {"Service": "sns.amazonaws.com"}}
    let_in = [allow("kms:*", **OWN), allow(["kms:GenerateDataKey*", "kms:Decrypt"], **service)]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(let_in))
    sns.publish(TopicArn=topic, Message="after")
    # to one queue messages go in order: the first would be there by now
    assert eventually(lambda: received(url)) == ["after"]


def test_a_log_groups_key_lets_the_service_in(aws: Aws) -> None:
    """CloudWatch Logs User Guide: "Encrypt log data in CloudWatch Logs using AWS Key Management Service"."""
    logs, kms = aws.client("logs"), aws.client("kms")
    key, group = kms.create_key()["KeyMetadata"]["Arn"], f"k-{uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=group)
    where = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group"
    refused = f"not allowed to be used with Arn '{where}:{group}'"
    with pytest.raises(ClientError, match=refused) as denied:
        logs.associate_kms_key(logGroupName=group, kmsKeyId=key)
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
    of_this = {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": f"{where}:{group}"}}
    uses = ["kms:GenerateDataKey*", "kms:Decrypt*"]
    let_in = [allow("kms:*", **OWN), allow(uses, Principal=LOGS, Condition=of_this)]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(let_in))
    logs.associate_kms_key(logGroupName=group, kmsKeyId=key)
    assert key_of(logs, group) == key
    with pytest.raises(ClientError, match="not allowed to be used with Arn"):
        logs.create_log_group(logGroupName=f"{group}-other", kmsKeyId=key)
    assert key_of(logs, f"{group}-other") is None
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": "stored under the key"}
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])
    logs.disassociate_kms_key(logGroupName=group)
    assert key_of(logs, group) is None
    reads = (
        lambda: logs.get_log_events(logGroupName=group, logStreamName="s")["events"],
        lambda: logs.filter_log_events(logGroupName=group)["events"],
    )
    for change, is_read in ((kms.disable_key, False), (kms.enable_key, True)):
        change(KeyId=key)
        for read in reads:
            if is_read:
                assert [one["message"] for one in read()] == ["stored under the key"]
            else:
                with pytest.raises(ClientError, match=refused):
                    read()


def key_of(logs: Any, name: str) -> str | None:
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next((one.get("kmsKeyId") for one in groups if one["logGroupName"] == name), None)
