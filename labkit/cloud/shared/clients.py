"""boto3 clients that act as a service's role: the way every engine of the lab reaches AWS (R4).

A role is assumed through the door, by the service's own principal, once an hour for each resource
on whose behalf it acts, and again when its trust policy has changed; clients are kept as long as the
credentials hold.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import IO, Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from labkit.cloud.shared import identity, runtime

LIFETIME_SECONDS = 3600
_VALID_FOR_SECONDS = 300.0
# what tells a service's own call in the trail from one of the guest that has its role's keys
MARK = f"labkit/{secrets.token_hex(8)}"
_CONFIG = Config(retries={"total_max_attempts": 1}, user_agent_extra=MARK)
# One pool for all clients: they all go to the one endpoint, and a lab has hundreds of roles' sessions,
# whose idle connections would be open files at both ends.
_http = URLLib3Session(timeout=(60, 300), max_pool_connections=64)  # seconds to connect, to read
_lock = threading.RLock()
_source: ContextVar[str | None] = ContextVar("source", default=None)


@cache
def _boto3() -> boto3.Session:
    """One for all roles: each of its own would make a client four times as dear."""
    return boto3.Session()


@dataclass
class Session:
    """Temporary credentials of one role, and clients that sign with them."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    region: str
    expires: float = field(default_factory=lambda: time.monotonic() + LIFETIME_SECONDS)
    _clients: dict[str, Any] = field(default_factory=dict)
    _elsewhere: dict[str, Session] = field(default_factory=dict)  # by Region

    def client(self, service: str) -> Any:
        """A boto3 client of `service`; threads may share it."""
        with _lock:
            if service not in self._clients:
                client = _boto3().client(
                    service,
                    self.region,
                    endpoint_url=runtime.current().endpoint_url,
                    aws_access_key_id=self.access_key_id,
                    aws_secret_access_key=self.secret_access_key,
                    aws_session_token=self.session_token,
                    config=_CONFIG,
                )
                # botocore makes the exceptions at their first use; two threads at once would make
                # two sets, and an `except` of one would not catch the other's
                client.exceptions  # noqa: B018
                client._endpoint.http_session = _http
                if self.session_token is None:  # a service itself
                    client.meta.events.register("before-call", _say_source)
                self._clients[service] = client
            return self._clients[service]

    def call(self, service: str, target: str, given: dict[str, Any]) -> IO[bytes]:
        """Ask for an operation that is in IAM's list of actions and in no client.

        Args:
            target: its name with the prefix of the service's JSON protocol.

        Raises:
            botocore.exceptions.ClientError: the service refused.
        """
        body = json.dumps(given)
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        request = AWSRequest("POST", runtime.current().endpoint_url + "/", headers, body)
        keys = Credentials(self.access_key_id, self.secret_access_key, self.session_token)
        SigV4Auth(keys, service, self.region).add_auth(request)
        sent = urllib.request.Request(request.url, body.encode(), dict(request.headers.items()))
        try:
            return urllib.request.urlopen(sent)  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            told = json.loads(error.read())
            fault = {"Code": told.get("__type", ""), "Message": told.get("message", "")}
            raise ClientError({"Error": fault}, target.rpartition(".")[2]) from error

    def in_region(self, region: str) -> Session:
        """The same credentials, with clients of another Region."""
        with _lock:
            if region not in self._elsewhere:
                self._elsewhere[region] = replace(self, region=region, _clients={}, _elsewhere={})
            return self._elsewhere[region]

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as environment variables, for a process that acts as the role."""
        found = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token or "",
        }
        return {name: value for name, value in found.items() if value}


_Key = tuple[str, str, str, str | None, object, str | None]
_sessions: dict[_Key, Session] = {}


def assume_role(
    service: str,
    role_arn: str,
    session_name: str,
    region: str,
    source_arn: str | None = None,
    *,
    valid_for: float = _VALID_FOR_SECONDS,
    policy: str | None = None,
) -> Session:
    """Act as `role_arn`, as the service principal `service` (`codebuild.amazonaws.com`) may.

    Args:
        session_name: what CloudTrail and `initiator` will show after the role's name.
        source_arn: the resource on whose behalf the service acts.
        valid_for: how many seconds the credentials have to last at least, up to an hour less five
            minutes.
        policy: a session policy, which leaves less than the role may do.

    Raises:
        botocore.exceptions.ClientError: `AccessDenied`, the role is not there or does not trust
            the service.

    AWS page: "AssumeRole" in the STS API Reference.
    """
    key = (service, role_arn, session_name, source_arn, identity.trust(role_arn), policy)
    if known := _kept(key, valid_for):
        return known
    account_id = (role_arn.split(":") + [""] * 5)[4]
    sts = as_service(service, region, account_id).client("sts")
    limit = {"Policy": policy} if policy else {}
    with on_behalf_of(source_arn):
        answer = sts.assume_role(
            RoleArn=role_arn,
            RoleSessionName=session_name,
            DurationSeconds=LIFETIME_SECONDS,
            **limit,
        )["Credentials"]
    identity.remember_session(answer["AccessKeyId"], service, source_arn)
    session = Session(
        answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], region
    )
    return _keep(key, session)


@contextmanager
def on_behalf_of(source_arn: str | None) -> Iterator[None]:
    """Have the services' own clients say for which resource they ask (`aws:SourceArn`).

    AWS page: "The confused deputy problem".
    """
    token = _source.set(source_arn)
    try:
        yield
    finally:
        _source.reset(token)


def _say_source(params: dict[str, Any], **_: Any) -> None:
    if source_arn := _source.get():
        params["headers"]["x-amz-source-arn"] = source_arn


def _kept(key: _Key, valid_for: float) -> Session | None:
    """The session of an earlier call, if it lasts for so many seconds."""
    with _lock:
        known = _sessions.get(key)
    lasts = known is not None and known.expires > time.monotonic() + valid_for
    return known if lasts else None


def _keep(key: _Key, session: Session) -> Session:
    """Keep a session for the next who asks, and no longer those whose hour is over."""
    now = time.monotonic()
    with _lock:
        for old in [one for one, known in _sessions.items() if known.expires <= now]:
            del _sessions[old]
        _sessions[key] = session
    return session


def chain_role(
    session: Session,
    role_arn: str,
    session_name: str,
    source_arn: str | None,
    policy: str | None = None,
) -> Session:
    """Act as `role_arn`, assumed anew from the role that `session` acts as; for an hour at most.

    Args:
        policy: a session policy, which leaves less than the role may do.

    Raises:
        botocore.exceptions.ClientError: `AccessDenied`.
    """
    limit = {"Policy": policy} if policy else {}
    answer = session.client("sts").assume_role(
        RoleArn=role_arn, RoleSessionName=session_name, **limit
    )
    keys = answer["Credentials"]
    parent = identity.find(session.access_key_id)
    if parent is not None and parent.invoked_by:
        identity.remember_session(keys["AccessKeyId"], parent.invoked_by, source_arn)
    return Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], session.region
    )


def as_service(service: str, region: str, account_id: str | None = None) -> Session:
    """Act as the service principal itself, in an account: in the lab's, unless told otherwise."""
    account_id = account_id or runtime.current().account_id
    key = (service, account_id, "", region, None, None)
    with _lock:
        if key not in _sessions:
            own = identity.service_principal(service, account_id)
            session = Session(own.access_key_id, own.secret_access_key, None, region)
            session.expires = float("inf")
            _sessions[key] = session
        return _sessions[key]
