"""Somebody with the permissions that were handed in, and what AWS lets them do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError

from labkit.lab import Lab, tag_list
from labkit.provision.aws import created, delete_access_keys
from labkit.provision.roles import POLICY
from labkit.teach.exercises.model import taken

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")


def person(lab: Lab, who: str, policy: Any, part: str = "policy") -> boto3.Session:
    """A user of this name with this policy alone, who signs with a new key.

    Raises:
        NotTakenError: IAM takes it for no policy.
    """
    iam, name = lab.client("iam"), f"{lab.name}-{who}"
    created(iam.create_user, UserName=name, Tags=tag_list(lab))
    with taken(part):
        iam.put_user_policy(UserName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy))
    delete_access_keys(lab, name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=lab.region)


def refusal(call: Callable[..., Any], **parameters: Any) -> str:
    """With which sentence AWS denies a call; "" where it lets it through.

    Raises:
        botocore.exceptions.ClientError: the call fails for another reason.
    """
    try:
        call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            raise
        return str(error.response["Error"]["Message"])
    return ""
