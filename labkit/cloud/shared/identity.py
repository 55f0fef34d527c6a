"""Who signs: the learner's IAM user, IAM users they make, assumed roles, and AWS's services.

A service principal (`codebuild.amazonaws.com`) has a key pair of its own, made when the lab starts
and known to this process alone; all it can do with it is assume the roles that trust it (rule R4).
"""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from moto.iam.models import AccessKeyLastUsed, iam_backends
from moto.sts.models import AssumedRole, sts_backends

LEARNER = "learner"


@dataclass(frozen=True)
class Principal:
    """The signer of a request, with what is needed to check its signature."""

    arn: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    service: str | None = None  # "codebuild.amazonaws.com", for a service itself
    invoked_by: str | None = None  # the service that assumed this role
    source_arn: str | None = None  # the resource on whose behalf it did (aws:SourceArn)
    role_arn: str | None = None  # of the role whose session this is

    @property
    def name(self) -> str:
        """`role/session` or a user's name, as CodeBuild's `initiator` shows it."""
        return self.arn.split("/", 1)[-1]


_services: dict[str, Principal] = {}  # by access key id
_assumed: dict[str, AssumedRole] = {}  # by access key id
_sessions: dict[str, tuple[str, str | None]] = {}  # access key id -> (service, source ARN)


def create_learner(account_id: str, kept: Path) -> Principal:
    """The IAM user whose key pair the lab hands out: random, and allowed everything.

    Args:
        kept: the file that keeps the pair, so that a JupyterLab or a shell that is open still signs
            rightly when the lab has been started again.
    """
    iam = iam_backends[account_id]["aws"]
    iam.create_user("us-east-1", LEARNER)
    iam.put_user_policy(
        LEARNER,
        "LearnerAdministratorAccess",
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            }
        ),
    )
    key = iam.create_access_key(LEARNER, prefix="AKIA")
    if kept.exists():
        del iam.access_keys[key.access_key_id]
        key.access_key_id, key.secret_access_key = json.loads(kept.read_text())
        iam.access_keys[key.access_key_id] = key
    else:
        key.secret_access_key = _secret()
        kept.touch(mode=0o600)
        kept.write_text(json.dumps([key.access_key_id, key.secret_access_key]))
    principal = find(key.access_key_id)
    assert principal is not None
    return principal


def service_principal(service: str, account_id: str) -> Principal:
    """The principal of an AWS service, such as `codedeploy.amazonaws.com`, as it works for an account."""
    for principal in _services.values():
        if principal.service == service and principal.account_id == account_id:
            return principal
    key_id = "ASIA" + "".join(
        secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16)
    )
    principal = Principal(service, account_id, key_id, _secret(), service=service)
    _services[key_id] = principal
    return principal


def remember_session(access_key_id: str, service: str, source_arn: str | None) -> None:
    """Note which service assumed the role that this temporary key belongs to."""
    _sessions[access_key_id] = (service, source_arn)


def trust(role_arn: str) -> tuple[str, str] | None:
    """What a session of a role stands on: the role's id and its trust policy; None if it is not there."""
    account_id = (role_arn.split(":") + [""] * 5)[4]
    regions: Any = iam_backends.get(account_id, {})
    for role in list(regions["aws"].roles.values()) if "aws" in regions else []:
        if role.arn == role_arn:
            return role.id, role.assume_role_policy_document
    return None


def find(access_key_id: str) -> Principal | None:
    """The principal whose active key this is, or None."""
    if access_key_id in _services:
        return _services[access_key_id]
    for account_id, account in list(iam_backends.items()):
        user_key = account["aws"].access_keys.get(access_key_id)
        if user_key is not None and user_key.user_name:
            # the name is the one that the user had when the key was made
            users = list(account["aws"].users.values())
            user = next((one for one in users if user_key in one.access_keys), None)
            if user is None or user_key.status != "Active":
                return None
            return _of_user(
                user.name, user.path, account_id, access_key_id, user_key.secret_access_key
            )
    role = assumed_role(access_key_id)
    if role is None or role.expiration.replace(tzinfo=UTC) < datetime.now(UTC):
        return None
    service, source_arn = _sessions.get(access_key_id, (None, None))
    return Principal(
        role.arn,
        role.account_id,
        access_key_id,
        role.secret_access_key,
        role.session_token,
        invoked_by=service,
        source_arn=source_arn,
        role_arn=role.role_arn,
    )


@lru_cache(maxsize=1024)
def _of_user(name: str, path: str, account_id: str, key_id: str, secret: str) -> Principal:
    return Principal(f"arn:aws:iam::{account_id}:user{path}{name}", account_id, key_id, secret)


def note_use(principal: Principal, service: str, region: str) -> None:
    """Note where a user's key was used last, as GetAccessKeyLastUsed tells it.

    Args:
        service: as requests to it are signed.
    """
    key = iam_backends[principal.account_id]["aws"].access_keys.get(principal.access_key_id)
    if key is not None:
        key.last_used = AccessKeyLastUsed(datetime.now(UTC), service=service, region=region)


def assumed_role(access_key_id: str) -> AssumedRole | None:
    """The session of a role that has this key; moto's own search walks through all there ever were."""
    if access_key_id not in _assumed:
        for sessions in list(sts_backends.values()):
            role = sessions["aws"].get_assumed_role_from_access_key(access_key_id)
            if role is not None:
                _assumed[access_key_id] = role
    return _assumed.get(access_key_id)


def _secret() -> str:
    alphabet = string.ascii_letters + string.digits + "+/"
    return "".join(secrets.choice(alphabet) for _ in range(40))
