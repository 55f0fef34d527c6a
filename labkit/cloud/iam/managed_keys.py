"""The KMS keys that AWS manages for its services in each account, `aws/s3` and its like.

Who is in the account uses one, through its service alone. No policy of the account's is needed for it, and
nothing shares it with another account: its policy is AWS's own. It is there from the start and is never
listed among an account's keys.

AWS page: "AWS managed keys" in the AWS KMS Developer Guide; "Using server-side encryption with AWS KMS keys";
"Secret encryption and decryption in AWS Secrets Manager"; "Amazon SQS Key management".
"""

from __future__ import annotations

import json

from labkit.cloud.iam.state import Arn

_PREFIX = "alias/aws/"
# alias -> the key's id; of those that moto has, as its ListAliases says
KEYS = {
    "alias/aws/s3": "8c3faf07-f43c-4d11-abdb-9183079214c7",
    "alias/aws/secretsmanager": "fee5173a-3972-428e-ae73-cd4c2a371222",
    "alias/aws/sns": "5d1a4b7e-0f0c-4e35-9b8f-2d0b7c1f6a11",
    "alias/aws/sqs": "b3c9e2d4-6a57-4f0e-8c21-71d5a9e04f22",
}
_SERVICES = {key_id: alias.removeprefix(_PREFIX) for alias, key_id in KEYS.items()}


def is_managed(arn: Arn) -> bool:
    """Whether it is one that AWS manages."""
    return arn.service == "kms" and arn.kind == "key" and arn.rest in _SERVICES


def policy_of(arn: Arn) -> str:
    """The policy of an account's key, `aws/s3` or another."""
    service = _SERVICES[arn.rest]
    through_it = {
        "kms:CallerAccount": arn.account_id,
        "kms:ViaService": f"{service}.{arn.region}.amazonaws.com",
    }
    name = {"secretsmanager": "AWS Secrets Manager"}.get(service, service.upper())
    allowed = {
        "Sid": f"Allow access through {name} for all principals in the account that are authorized to use {name}",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {"StringEquals": through_it},
    }  # fmt: skip
    metadata = {
        "Sid": "Allow direct access to key metadata to the account",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{arn.account_id}:root"},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed, metadata]})
