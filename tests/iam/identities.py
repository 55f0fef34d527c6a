"""Users and roles' sessions of a lab, with the policies that a test gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.conftest import Aws
from tests.roles import document

ACCOUNT = "123456789012"


def allow(
    actions: str | list[str], resources: str | list[str] = "*", **more: Any
) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: str | list[str], resources: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {**allow(actions, resources, **more), "Effect": "Deny"}


@dataclass(frozen=True)
class Identity:
    """Somebody with keys to a lab."""

    aws: Aws
    name: str
    arn: str
    keys: dict[str, str]
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.aws.client(service, **self.keys)
        return self._clients[service]

    @property
    def environment(self) -> dict[str, str]:
        """The keys as the AWS CLI and git read them."""
        return {**self.aws.env, **{name.upper(): value for name, value in self.keys.items()}}


def user(aws: Aws, *statements: dict[str, Any]) -> Identity:
    """A new user with an inline policy."""
    iam, name = aws.client("iam"), f"u-{uuid4().hex[:8]}"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    if statements:
        iam.put_user_policy(
            UserName=name, PolicyName="own", PolicyDocument=document(list(statements))
        )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Identity(aws, name, arn, _keys(key))


def role(aws: Aws, *statements: dict[str, Any], trust: Any = None, **more: Any) -> str:
    """The ARN of a new role with an inline policy, trusted by the account unless told otherwise."""
    iam, name = aws.client("iam"), f"r-{uuid4().hex[:8]}"
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trusting = trust or {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusting), **more)
    if statements:
        iam.put_role_policy(
            RoleName=name, PolicyName="own", PolicyDocument=document(list(statements))
        )
    return str(made["Role"]["Arn"])


def session(
    aws: Aws, role_arn: str, by: Identity | None = None, name: str = "me", **more: Any
) -> Identity:
    """A session of a role, assumed by the learner or by somebody else."""
    sts = by.client("sts") if by else aws.client("sts")
    made = sts.assume_role(RoleArn=role_arn, RoleSessionName=name, **more)
    keys = {**_keys(made["Credentials"]), "aws_session_token": made["Credentials"]["SessionToken"]}
    return Identity(aws, role_arn.rpartition("/")[2], made["AssumedRoleUser"]["Arn"], keys)


def _keys(made: dict[str, Any]) -> dict[str, str]:
    return {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
    }
