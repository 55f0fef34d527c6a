"""What the rules of a lifecycle configuration say: which objects they are for, and when they are due.

A rule stays as `PutBucketLifecycleConfiguration` names its members. S3 adds a rule's days to a time and
rounds up to the next midnight UTC. A day of the lab is a day of its scaled clock, and its midnights are
those of that clock; at a scale of 1 they are AWS's own. A `Date` is one of the calendar.

AWS pages: "Setting an S3 Lifecycle configuration on a bucket"; "Lifecycle configuration elements";
"Transitioning objects using Amazon S3 Lifecycle".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from labkit.cloud.shared import runtime
from labkit.cloud.shared.service import AWSError

Rule = Mapping[str, Any]

SMALLEST_TRANSITION = 128 << 10  # bytes, unless a rule names sizes itself
# a transition leads to what is further down
CLASSES = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA",
           "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")  # fmt: skip
_ACTIONS = ("Expiration", "Transitions", "NoncurrentVersionExpiration", "NoncurrentVersionTransitions",
            "AbortIncompleteMultipartUpload")  # fmt: skip
_POSITIVE = {
    "Expiration": "Days",
    "NoncurrentVersionExpiration": "NoncurrentDays",
    "AbortIncompleteMultipartUpload": "DaysAfterInitiation",
}
_MALFORMED = (
    "The XML you provided was not well-formed or did not validate against our published schema"
)
_INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day() -> timedelta:
    """A day of the scaled clock, in real time."""
    return timedelta(seconds=runtime.current().clock.wait_seconds(86400))


def midnight(moment: datetime) -> datetime:
    """The last midnight of the scaled clock."""
    return _EPOCH + (moment - _EPOCH) // day() * day()


def due(begin: datetime, when: Mapping[str, Any], days: str = "Days") -> datetime | None:
    """When an action is due.

    Args:
        begin: when the object was made, or a version was replaced.
        when: has `Date`, or its days by the name `days`.
    """
    if "Date" in when:
        return utc(when["Date"])
    return midnight(begin + when[days] * day()) + day() if days in when else None


def utc(moment: datetime) -> datetime:
    """moto and botocore's models leave the zone out."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def conditions(rule: Rule) -> Mapping[str, Any]:
    """A rule's filter as one mapping: Prefix, Tags, ObjectSizeGreaterThan, ObjectSizeLessThan."""
    found: dict[str, Any] = rule.get("Filter") or {"Prefix": rule.get("Prefix") or ""}
    found = found.get("And", found)
    return {**found, "Tags": [found["Tag"]]} if "Tag" in found else found


def applies(rule: Rule, name: str, size: int = 0, tags: Mapping[str, str] | None = None) -> bool:
    """Whether a rule is for an object.

    Args:
        size: in bytes.
        tags: None of what can have none: a delete marker, an upload.
    """
    wanted = conditions(rule)
    named = {one["Key"]: one["Value"] for one in wanted.get("Tags", ())}
    sized = has_size(rule)
    if tags is None and (named or sized):
        return False
    return (
        name.startswith(wanted.get("Prefix") or "")
        and named.items() <= (tags or {}).items()
        and (not sized or wanted.get("ObjectSizeGreaterThan", -1) < size)
        and (not sized or size < wanted.get("ObjectSizeLessThan", size + 1))
    )


def has_size(rule: Rule) -> bool:
    """Whether a rule's filter names a size."""
    return any(name.startswith("ObjectSize") for name in conditions(rule))


def check(rules: list[dict[str, Any]]) -> None:
    """Refuse a configuration that S3 would refuse.

    Raises:
        AWSError: InvalidArgument, InvalidRequest, MalformedXML.
    """
    named = [rule["ID"] for rule in rules if "ID" in rule]
    if len(named) != len(set(named)):
        message = "Rule ID must be unique. Found same ID for more than one rule"
        raise AWSError("InvalidArgument", message)
    for rule in rules:
        for code, message in _faults(rule):
            raise AWSError(code, message)


def _faults(rule: Rule) -> Iterator[tuple[str, str]]:
    expires = rule.get("Expiration", {})
    if (
        ("Filter" in rule) == ("Prefix" in rule)
        or len(rule.get("Filter") or {}) > 1
        or len(expires) != ("Expiration" in rule)
    ):
        yield "MalformedXML", _MALFORMED
    if not any(name in rule for name in _ACTIONS):
        yield "InvalidRequest", "At least one action needs to be specified in a rule"
    for action, member in _POSITIVE.items():
        if rule.get(action, {}).get(member, 1) < 1:
            yield "InvalidArgument", f"'{member}' for {action} action must be a positive integer"
    for transition in rule.get("Transitions", ()):
        yield from _wrong_transition(rule, transition)
    dates = [one["Date"] for one in (expires, *rule.get("Transitions", ())) if "Date" in one]
    if any(utc(date).timetz() != time(tzinfo=UTC) for date in dates):
        yield "InvalidArgument", "'Date' must be at midnight GMT"
    for name in {"ExpiredObjectDeleteMarker", "AbortIncompleteMultipartUpload"} & {*rule, *expires}:
        if conditions(rule).get("Tags"):
            yield "InvalidRequest", f"{name} cannot be specified with Tags."
        if has_size(rule):
            yield "InvalidRequest", f"{name} cannot be specified with Object Size."


def _wrong_transition(rule: Rule, transition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    days, kind = transition.get("Days"), transition.get("StorageClass")
    if days is not None and days < 30 and kind in _INFREQUENT:
        yield (
            "InvalidArgument",
            "'Days' in Transition action must be greater than or equal to 30 for storageClass "
            f"'{kind}'",
        )
    last = rule.get("Expiration", {}).get("Days")
    if last is not None and days is not None and last <= days:
        prefix = conditions(rule).get("Prefix") or ""
        yield (
            "InvalidArgument",
            f"'Days' in the Expiration action for filter '(prefix={prefix})' must be greater than "
            "'Days' in the Transition action",
        )
