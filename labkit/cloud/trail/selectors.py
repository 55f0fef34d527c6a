"""Which events a trail is for.

AWS pages: "Logging management events"; "Logging data events"; "AdvancedFieldSelector" in the API Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jmespath

from labkit.cloud.shared.service import AWSError
from labkit.cloud.trail.events import data_type_of
from labkit.cloud.trail.models import Trail

SERVICE = "cloudtrail.amazonaws.com"
_GLOBAL = ("iam.amazonaws.com", "sts.amazonaws.com")
_OF_BASIC = ("AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table")
_FIELDS = {
    "eventCategory": "eventCategory",
    "eventName": "eventName",
    "eventSource": "eventSource",
    "eventType": "eventType",
    "readOnly": "readOnly",
    "resources.ARN": "resources[].ARN",
    "resources.type": "",
    "userIdentity.arn": "userIdentity.arn",
}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


def selects(trail: Trail, record: dict[str, Any]) -> bool:
    """Whether a trail delivers the event of a record."""
    everywhere, worldwide = (
        trail.settings[name] for name in ("IsMultiRegionTrail", "IncludeGlobalServiceEvents")
    )
    if record["recipientAccountId"] != trail.account_id:
        return False
    if not everywhere and record["awsRegion"] != trail.region:
        return False
    if not worldwide and record["eventSource"] in _GLOBAL:
        return False
    if data_type_of(record) == "":  # CloudTrail has no event of it
        return False
    if trail.advanced:
        return any(_advanced(one["FieldSelectors"], record) for one in trail.advanced)
    return any(_basic(one, record) for one in trail.selectors)


def _basic(selector: dict[str, Any], record: dict[str, Any]) -> bool:
    wanted = {"ReadOnly": True, "WriteOnly": False}.get(selector["ReadWriteType"])
    if wanted not in (None, record["readOnly"]):
        return False
    if record["managementEvent"]:
        excluded = selector["ExcludeManagementEventSources"]
        return selector["IncludeManagementEvents"] and record["eventSource"] not in excluded
    kind, arns = data_type_of(record), _arns(record)
    return any(
        arn.startswith(value) or f"{arn}/" == value
        for resource in selector["DataResources"]
        if resource["Type"] == kind
        for value in resource["Values"]
        for arn in arns
    )


def _advanced(fields: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    return all(_field(one, record) for one in fields)


def _field(selector: dict[str, Any], record: dict[str, Any]) -> bool:
    if selector["Field"] == "resources.type":
        values: list[str] = [data_type_of(record) or ""]
    else:
        found = jmespath.search(_FIELDS[selector["Field"]], record)
        values = [str(one) for one in (found if isinstance(found, list) else [found])]
    if selector["Field"] == "readOnly":
        values = [one.lower() for one in values]
    return all(_holds(name, selector.get(name), values) for name in [*_OPERATORS, *_NEGATED])


def _holds(name: str, wanted: Iterable[str] | None, values: list[str]) -> bool:
    if not wanted:
        return True
    compare = _OPERATORS[_NEGATED.get(name, name)]
    found = any(compare(value, one) for value in values for one in wanted)
    return found is (name not in _NEGATED)


_NEGATED = {"NotEquals": "Equals", "NotStartsWith": "StartsWith", "NotEndsWith": "EndsWith"}


def _arns(record: dict[str, Any]) -> list[str]:
    return [one["ARN"] for one in record.get("resources", ())]


def basic(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Event selectors with what they leave out filled in.

    Raises:
        AWSError: InvalidEventSelectorsException.
    """
    if len(given) > 5:
        raise invalid("A trail has at most five event selectors.")
    for one in given:
        kinds = {resource.get("Type") for resource in one.get("DataResources", ())}
        if not kinds <= set(_OF_BASIC):
            raise invalid(f"The data resource type must be one of {', '.join(_OF_BASIC)}.")
    return [
        {
            "ReadWriteType": one.get("ReadWriteType", "All"),
            "IncludeManagementEvents": one.get("IncludeManagementEvents", True),
            "DataResources": [{"Values": [], **item} for item in one.get("DataResources", ())],
            "ExcludeManagementEventSources": one.get("ExcludeManagementEventSources", []),
        }
        for one in given
    ]


def advanced(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Advanced event selectors.

    Raises:
        AWSError: InvalidEventSelectorsException; for categories and fields that the lab does not have, too.
    """
    for one in given:
        fields = {field["Field"]: field for field in one["FieldSelectors"]}
        category = fields.get("eventCategory", {}).get("Equals", [])
        if category not in (["Management"], ["Data"]):
            told = category or "without eventCategory"
            raise invalid(f"The lab's local AWS has Management and Data events, not {told}.")
        if unknown := fields.keys() - _FIELDS.keys():
            raise invalid(f"The lab's local AWS does not select by {', '.join(unknown)}.")
        if category == ["Data"] and "resources.type" not in fields:
            raise invalid("Data events are selected by resources.type.")
    return given


def invalid(message: str) -> AWSError:
    return AWSError("InvalidEventSelectorsException", message)
