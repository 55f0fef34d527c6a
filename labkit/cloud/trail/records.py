"""CloudTrail's record of a call, as the door saw it asked and answered.

AWS page: "CloudTrail record contents for management, data, and network activity events".
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from botocore.model import OperationNotFoundError
from botocore.parsers import ResponseParserError, create_parser
from moto.core.utils import get_service_model
from werkzeug.wrappers import Response

from labkit.cloud.iam import state
from labkit.cloud.iam.asked import Asked
from labkit.cloud.shared import clients, clock, identity
from labkit.cloud.shared.identity import Principal
from labkit.cloud.trail import events, journal, shown, who

VERSION = "1.11"
_GIT = ("GitPull", "GitPush")
_MOST_NAME = 128


@dataclass
class Call:
    """A request that was let in, as far as the door knows it.

    Args:
        source: the service, as requests to it are signed: `monitoring`.
        service: boto3's name of it: `cloudwatch`.
        operation: botocore's name of it, or codecommit's `GitPull` and `GitPush`.
        environ: of WSGI.
        given: its parameters, as botocore's model names them.
        asked: what IAM was asked.
        error: what the door refused it with: code and message.
    """

    source: str
    service: str
    operation: str
    region: str
    principal: Principal
    environ: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    asked: Sequence[Asked] = ()
    error: tuple[str, str] | None = None


def write(call: Call, response: Response) -> None:
    """Keep the record of a call that was answered, and when its key was used."""
    identity.note_use(call.principal, call.source, call.region)
    for record in _of(call, response):
        journal.append(record)


def _of(call: Call, response: Response) -> Iterator[dict[str, Any]]:
    service, operation = call.service, call.operation
    answer, failed = _answer(call, response)
    failed = call.error or failed
    agent = str(call.environ.get("HTTP_USER_AGENT", ""))
    by_service = clients.MARK in agent
    asking = who.identity(call.principal, by_service=by_service)
    invoker = asking.get("invokedBy")
    kind = events.data_type(service, operation)
    git = operation in _GIT
    record = {
        "eventVersion": VERSION,
        "userIdentity": asking,
        "eventTime": clock.written(int(time.time())),
        "eventSource": f"{call.source}.amazonaws.com",
        "eventName": events.name(service, operation)[:_MOST_NAME],
        "awsRegion": call.region,
        "sourceIPAddress": invoker or call.environ.get("REMOTE_ADDR", "127.0.0.1"),
        "userAgent": invoker or agent.replace(clients.MARK, "").strip(),
        **({"errorCode": failed[0], "errorMessage": failed[1]} if failed else {}),
        "requestParameters": None if git else _shown(call, call.given, "input_shape"),
        "responseElements": None if failed else _shown(call, answer, "output_shape"),
        **({"additionalEventData": _of_git(call)} if git else {}),
        "requestID": _request_id(response),
        "eventID": _uuid(),
        "readOnly": events.is_read_only(service, operation),
        **({"resources": found} if (found := _resources(call)) else {}),
        "eventType": "AwsApiCall",
        "managementEvent": kind is None,
        "recipientAccountId": _account(call),
        "eventCategory": "Management" if kind is None else "Data",
    }
    owner = _owner(call)
    if owner and owner != record["recipientAccountId"]:
        record["sharedEventID"] = _uuid()
        theirs = {"recipientAccountId": owner, "userIdentity": _stranger(asking)}
        yield record | theirs | {"eventID": _uuid()}
    yield record


def _uuid() -> str:
    """A name, not a secret: the system's own randomness costs more than the rest of a record's head."""
    return str(UUID(int=random.getrandbits(128), version=4))


def _account(call: Call) -> str:
    """The account whose event it is: a service asks on behalf of a resource's, or to act as a role of one."""
    if not call.principal.service:
        return call.principal.account_id
    source = str(call.environ.get("HTTP_X_AMZ_SOURCE_ARN", ""))
    arns = [source, *(one.resource for one in call.asked)]
    accounts = [found.account_id for arn in arns if (found := state.parsed(arn))]
    return next((one for one in accounts if one.isdigit()), call.principal.account_id)


def _owner(call: Call) -> str | None:
    """The other account that hears of an assumed role: the role's own.

    AWS page: "Logging IAM and AWS STS API calls with AWS CloudTrail", cross-account access.
    """
    if call.operation != "AssumeRole" or not call.asked:
        return None
    found = state.parsed(call.asked[0].resource)
    return found.account_id if found else None


def _stranger(identity: dict[str, Any]) -> dict[str, Any]:
    """What another account is told of who asked."""
    if identity["type"] == "AWSService":
        return identity
    return {
        "type": "AWSAccount",
        "principalId": identity["principalId"],
        "accountId": identity["accountId"],
    }


def _resources(call: Call) -> list[dict[str, str]]:
    found = {}
    for one in call.asked:
        arn = state.parsed(one.resource)
        kind = events.resource_type(one.resource)
        if arn is None or kind is None or "*" in one.resource:
            continue
        account = arn.account_id or call.principal.account_id
        found[one.resource] = {"ARN": one.resource, "accountId": account, "type": kind}
    return list(found.values())


def _of_git(call: Call) -> dict[str, Any]:
    """AWS page: "Logging AWS CodeCommit API calls with AWS CloudTrail"."""
    return {
        "protocol": "HTTP",
        "repositoryName": call.given.get("repositoryName"),
        "dataTransferred": str(call.environ.get("PATH_INFO", "")).endswith("-pack"),
    }


def _request_id(response: Response) -> str:
    known = response.headers.get("x-amzn-RequestId") or response.headers.get("x-amz-request-id")
    return known or _uuid()


def _shown(call: Call, values: Mapping[str, Any], which: str) -> Any:
    model = _model(call.service, call.operation) if values else None
    return None if model is None else shown.parameters(call.service, values, getattr(model, which))


def _answer(call: Call, response: Response) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """What was answered, where the record says it; or the error."""
    failed = response.status_code >= 400
    if call.error or not (failed or events.is_answered(call.service, call.operation)):
        return {}, None
    model = _model(call.service, call.operation)
    if model is None or not response.is_sequence:
        return {}, (str(response.status_code), response.status) if failed else None
    seen = {
        "status_code": response.status_code,
        "headers": {key.lower(): value for key, value in response.headers.items()},
        "body": response.get_data(),
        "context": {},
    }
    try:
        parsed = _parser(_protocol(call.service, response)).parse(seen, model.output_shape)
    except (ResponseParserError, UnicodeDecodeError):  # the second of a body of bytes
        parsed = {}
    if failed:
        error = parsed.get("Error", {})
        return {}, (error.get("Code") or str(response.status_code), error.get("Message") or "")
    return parsed, None


@cache
def _parser(protocol: str) -> Any:
    return create_parser(protocol)


@cache
def _model(service: str, operation: str) -> Any | None:
    try:
        return get_service_model(service).operation_model(operation)
    except OperationNotFoundError:
        return None


def _protocol(service: str, response: Response) -> str:
    """The protocol that was answered in: some services have several."""
    return _spoken(service, "cbor" in (response.mimetype or ""), response.get_data()[:1] == b"<")


@cache
def _spoken(service: str, is_cbor: bool, is_xml: bool) -> str:
    metadata = get_service_model(service).metadata
    spoken = metadata.get("protocols", [metadata["protocol"]])
    kinds: tuple[str, ...]
    if is_cbor:
        kinds = ("cbor",)
    elif is_xml:
        kinds = ("query", "ec2", "xml")
    else:
        kinds = ("json",)
    found = (one for one in spoken if any(kind in one for kind in kinds))
    return str(next(found, metadata["protocol"]))
