"""The event history: management events of an account and Region, the newest first.

AWS pages: "LookupEvents" in the CloudTrail API Reference; "Working with CloudTrail event history".
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from labkit.cloud.shared.service import AWSError
from labkit.cloud.trail import events, journal, who

MOST = 50
Record = dict[str, Any]

# attribute -> whether a record has that value
_ATTRIBUTES: dict[str, Callable[[Record, str], bool]] = {
    "EventId": lambda record, value: record["eventID"] == value,
    "EventName": lambda record, value: record["eventName"] == value,
    "EventSource": lambda record, value: record["eventSource"] == value,
    "ReadOnly": lambda record, value: str(record["readOnly"]).lower() == value.lower(),
    "Username": lambda record, value: who.name(record["userIdentity"]) == value,
    "AccessKeyId": lambda record, value: record["userIdentity"].get("accessKeyId") == value,
    "ResourceType": lambda record, value: any(
        one["type"] == value for one in record.get("resources", ())
    ),
    "ResourceName": lambda record, value: any(
        value in (one["ARN"], events.resource_name(one["ARN"]))
        for one in record.get("resources", ())
    ),
}


def lookup(
    account_id: str,
    region: str,
    attributes: list[dict[str, str]],
    start: datetime | None,
    end: datetime | None,
    most: int,
    token: str | None,
) -> tuple[list[Record], str | None]:
    """One page of events as LookupEvents has them, and the token of the next.

    Raises:
        AWSError: InvalidLookupAttributesException, InvalidTimeRangeException, InvalidMaxResultsException,
            InvalidNextTokenException.
    """
    if not 1 <= most <= MOST:
        raise AWSError("InvalidMaxResultsException", f"MaxResults is from 1 to {MOST}")
    if len(attributes) > 1:
        message = "The list of lookup attributes can contain only one item"
        raise AWSError("InvalidLookupAttributesException", message)
    if start and end and start > end:
        raise AWSError("InvalidTimeRangeException", "The start time is after the end time")
    start = start and start.replace(microsecond=0)  # as the times of events are
    asked = zlib.crc32(json.dumps([attributes, start, end, region], default=str).encode())
    attribute = attributes[0] if attributes else None
    value = attribute["AttributeValue"] if attribute else ""
    # what cannot be read off the line alone is told from the record
    having = [value] if attribute and attribute["AttributeKey"] != "ReadOnly" else []
    found: list[Record] = []
    for offset, record in journal.backwards(_offset(token, asked), having):
        if not record["managementEvent"] or record["recipientAccountId"] != account_id:
            continue
        at = _time(record)
        if start and at < start:
            break
        if record["awsRegion"] != region or (end and at > end):
            continue
        if attribute is None or _ATTRIBUTES[attribute["AttributeKey"]](record, value):
            found.append(_event(record, at))
            if len(found) == most:
                return found, _token(offset, asked)
    return found, None


def _event(record: Record, at: datetime) -> Record:
    user = who.name(record["userIdentity"])
    key = record["userIdentity"].get("accessKeyId")
    return {
        "EventId": record["eventID"],
        "EventName": record["eventName"],
        "ReadOnly": str(record["readOnly"]).lower(),
        **({"AccessKeyId": key} if key else {}),
        "EventTime": at,
        "EventSource": record["eventSource"],
        **({"Username": user} if user else {}),
        "Resources": [
            {"ResourceType": one["type"], "ResourceName": events.resource_name(one["ARN"])}
            for one in record.get("resources", ())
        ],
        "CloudTrailEvent": json.dumps(record),
    }


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(record["eventTime"])


def _token(offset: int, asked: int) -> str:
    return base64.urlsafe_b64encode(f"{offset}:{asked}".encode()).decode()


def _offset(token: str | None, asked: int) -> int | None:
    if token is None:
        return None
    try:
        offset, same = base64.urlsafe_b64decode(token.encode()).decode().split(":")
        if int(same) == asked and 0 <= int(offset) <= journal.end():
            return int(offset)
    except ValueError:
        pass
    raise AWSError("InvalidNextTokenException", "The token is of another lookup, or of none")
