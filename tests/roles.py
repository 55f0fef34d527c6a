"""Roles that trust whom a test names and, unless it says otherwise, may do everything."""

from __future__ import annotations

import json
from typing import Any

Statement = dict[str, Any]

EVERYTHING: Statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def create_role(
    aws: Any, name: str, *trusted: str, policy: Statement | list[Statement] = EVERYTHING
) -> str:
    """Create a role with one inline policy; returns its ARN.

    Args:
        aws: whatever makes clients: `Aws` of the tests, or the learner's `Lab`.
        trusted: services (`codebuild.amazonaws.com`), and account ids or ARNs.
        policy: the inline policy's statement or statements.

    Raises:
        botocore.exceptions.ClientError: `EntityAlreadyExists`, where there is such a role.
    """
    services = [one for one in trusted if one.endswith(".amazonaws.com")]
    others = [one for one in trusted if one not in services]
    principal = {"Service": services} if services else {}
    principal |= {"AWS": others} if others else {}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    iam = aws.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(policy))
    return str(role["Arn"])


def document(statements: Statement | list[Statement]) -> str:
    """A policy of these statements, as AWS wants it: JSON in a string."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
