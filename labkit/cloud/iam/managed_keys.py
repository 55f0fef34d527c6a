"""The KMS key that AWS manages for S3 in each account, `aws/s3`: who is in the account uses it, through S3 alone.

No policy of the account's is needed for it, and nothing shares it with another account: its policy is
AWS's own. It is there from the start and is never listed among an account's keys.

AWS page: "AWS managed keys" in the AWS KMS Developer Guide; "Using server-side encryption with AWS KMS keys".
"""

from __future__ import annotations

import json

from labkit.cloud.iam.state import Arn

ALIAS_OF_S3 = "alias/aws/s3"
KEY_OF_S3 = "8c3faf07-f43c-4d11-abdb-9183079214c7"  # as moto's ListAliases says


def is_managed(arn: Arn) -> bool:
    """Whether it is an account's `aws/s3`."""
    return arn.service == "kms" and arn.resource == f"key/{KEY_OF_S3}"


def policy_of(arn: Arn) -> str:
    """The policy of an account's `aws/s3`."""
    through_s3 = {
        "kms:CallerAccount": arn.account_id,
        "kms:ViaService": f"s3.{arn.region}.amazonaws.com",
    }
    allowed = {
        "Sid": "Allow access through S3 for all principals in the account that are authorized to use S3",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {"StringEquals": through_s3},
    }  # fmt: skip
    metadata = {
        "Sid": "Allow direct access to key metadata to the account",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{arn.account_id}:root"},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed, metadata]})
