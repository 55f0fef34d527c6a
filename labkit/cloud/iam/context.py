"""The values of the condition keys that a request has, beside those that its parameters tell.

AWS page: "AWS global condition context keys".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cloud.iam import organization, sessions
from labkit.cloud.shared import clock
from labkit.cloud.shared.identity import Principal

EC2 = "ec2.amazonaws.com"
Values = list[str]
Tags = Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class Connection:
    """What is known of the request beside who asks and what for.

    Args:
        source_arn: the resource on whose behalf an AWS service asks for itself.
        agent: the User-Agent header.
        secure: whether it counts as sent by TLS (`aws:SecureTransport`).
    """

    region: str
    source_arn: str | None = None
    agent: str = ""
    secure: bool = True


class Context(dict[str, Values]):
    """Condition keys in lower case; the tags of the resource are looked up when a policy asks for them.

    Args:
        tagged: the beginnings of keys whose rest is a tag's name, and where the tags are.
    """

    def __init__(self, known: Mapping[str, Values], tagged: Mapping[str, Tags]) -> None:
        super().__init__(known)
        self._tagged = tagged

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        if key in self:
            return self[key]
        kind, _, name = key.partition("/")
        if kind in self._tagged:
            tags = {tag.lower(): value for tag, value in self._tagged[kind]().items()}
            return [tags[name]] if name in tags else default
        return default


def of(principal: Principal, identity: Any | None, connection: Connection) -> dict[str, Values]:
    """The keys of who asks, and how; those of the resource are the caller's to add.

    Args:
        identity: `state.identity` of the principal.
    """
    now = int(time.time())
    known: dict[str, str | None] = {
        "aws:currenttime": clock.written(now),
        "aws:epochtime": str(now),
        "aws:requestedregion": connection.region,
        "aws:securetransport": str(connection.secure).lower(),
        "aws:useragent": connection.agent,
        "aws:viaawsservice": "false",
    }
    if principal.service:
        known |= {
            "aws:principalisawsservice": "true",
            "aws:principalservicename": principal.service,
        }
        if principal.service != EC2:  # "The confused deputy problem": EC2 says neither
            source = connection.source_arn or ""
            account = source.split(":")[4] if source.count(":") > 4 else ""
            account = account or principal.account_id
            known |= {"aws:sourcearn": source, "aws:sourceaccount": account}
            known["aws:sourceowner"] = account
    else:
        known |= {
            "aws:sourceip": "127.0.0.1",
            "aws:principalaccount": principal.account_id,
            "aws:principalarn": principal.role_arn or principal.arn,
            "aws:principalisawsservice": "false",
            "aws:principalorgid": organization.id_of(principal.account_id),
            **_of_identity(principal, identity),
        }
    return {key: [value] for key, value in known.items() if value}


def _of_identity(principal: Principal, identity: Any | None) -> dict[str, str | None]:
    unique, name = identity.id if identity else None, principal.arn.rpartition("/")[2]
    if principal.role_arn:
        # a session knows at all whether there was MFA; a key pair for good does not
        session = sessions.of(principal)
        return {
            "aws:principaltype": "AssumedRole",
            "aws:multifactorauthpresent": "false",
            "aws:sourceidentity": session.source_identity,
            "aws:tokenissuetime": session.issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:userid": f"{unique}:{name}" if unique else None,
        }
    return {"aws:principaltype": "User", "aws:username": name, "aws:userid": unique}
